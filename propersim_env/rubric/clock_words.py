"""Clock times in words, written as figures: "half past seven" becomes "7:30", "eight in the evening" becomes "8 pm"."""

from __future__ import annotations

import re

HOURS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_MINUTES = {"five": 5, "ten": 10, "fifteen": 15, "twenty": 20, "twenty-five": 25, "thirty": 30, "forty": 40, "forty-five": 45,
            "oh-five": 5, "oh five": 5, "a quarter": 15, "quarter": 15}
_HOUR = rf"(?P<hour>{'|'.join(HOURS)}|1[0-2]|[1-9])"
_LEADS = "at|from|until|till|til|before|after|by|around|about|towards?|past|between|since|near|say|roughly|to|and"
_FOLLOWERS = ("and|or|to|till|til|until|in the|at|on|when|while|if|for|each|every|most|onwards?|sharp|am|pm|o'clock|is|are|but|"
              "unless|as|then|because|so|during|i|you|suits?|works?|would|please")
_BEFORE = rf"(?<![\w:])(?P<lead>(?:{_LEADS})\s)"
_AFTER = rf"(?=\s*(?:$|[,.;:)!?-]|(?:{_FOLLOWERS})\b))"
_PAST = re.compile(rf"\b(?:(?P<part>half|a quarter|quarter|(?:twenty-five|twenty|ten|five)(?: minutes)?)) past {_HOUR}\b")
_TO = re.compile(rf"\b(?P<part>(?:a )?quarter|(?:twenty-five|twenty|ten)(?: minutes)?|(?<=at )five|(?<=by )five) to {_HOUR}\b")
_HALF = re.compile(rf"{_BEFORE}half {_HOUR}\b{_AFTER}")
_JOINED = re.compile(rf"\b{_HOUR}[ -](?P<minute>fifteen|thirty|forty-five|twenty|forty|ten|oh[ -]five)\b{_AFTER}")
_OCLOCK = re.compile(rf"\b{_HOUR} o'? ?clock\b")
_ALONE = re.compile(rf"{_BEFORE}(?P<about>(?:about|around|roughly|maybe|say|nearly) )?{_HOUR}\b{_AFTER}")
_STATED = re.compile(rf"\b(?P<hour>{'|'.join(HOURS)}) "
                     r"(?:(?P<am>in the morning)|(?P<pm>in the (?:afternoon|evening)|at night))\b")
_RANGE = re.compile(rf"(?:(?<=\d )|(?<=[ap]m ))(?P<link>to|and|till|til|until|or) {_HOUR}\b{_AFTER}")
_STARTED = re.compile(rf"{_HOUR}\b(?= (?:to|till|til|until) (?:about |around |roughly )?\d)")
_PAIR = re.compile(rf"\b(?P<first>{'|'.join(HOURS)}) (?P<link>to|till|til|until) (?P<second>{'|'.join(HOURS)})"
                   r"(?= (?:in the|at night|am|pm|o'clock)\b)")
_HALVES = re.compile(r"(?P<time>\b\d{1,2}(?::\d\d)?)(?: o'clock)?,? (?:(?P<am>in the (?:early )?mornings?)|"
                     r"(?P<pm>in the (?:late |early )?(?:afternoons?|evenings?)|at night|of an evening))\b")
_ABOUT = re.compile(r"\b(?P<link>to|till|until|and|from|between) (?:about|around|roughly|maybe|say|nearly) (?=\d)")

_TIME = r"\d{1,2}(?::\d\d)?(?: ?(?:am|pm|o'clock))?"
_BARE = re.compile(rf"(?<![\w:.-])(?<!from )(?<!between )(?P<a>{_TIME}|{'|'.join(HOURS)}) (?:to|till|until) (?P<b>{_TIME}|"
                   rf"{'|'.join(HOURS)})(?=\s*(?:$|[,.;:)]|(?:is|are|works|suits|on|only|weekdays|weekends|and \d)\b))")
_AFTER_BEFORE = re.compile(rf"(?:after|past) (?P<a>{_TIME}|noon) and before (?:[a-z]+ (?:at|around|about) )?"
                           rf"(?P<b>{_TIME}|noon)(?![\w:])")
_AFTER_UNTIL = re.compile(rf"(?:after|past) (?P<a>{_TIME}) (?:until|till) (?P<b>{_TIME}|midnight)(?![\w:])")
_EVENT_AT = re.compile(rf"\b(?P<rel>before|after|until|till) (?:[a-z']+ ){{1,4}}?(?:at|around|about) (?P<at>{_TIME})(?![\w:])")
_LISTED = re.compile(rf"(?<=\d, )(?P<hour>{'|'.join(HOURS)})(?=, |,? (?:and|or) |[.;]|$)")


def _hour(text: str) -> int:
    return int(text) if text.isdigit() else HOURS.index(text) + 1


def _minutes(text: str) -> int:
    text = text.replace(" minutes", "")
    return 30 if text == "half" else _MINUTES[text]


def _clock(hour: int, minute: int) -> str:
    return f"{hour}:{minute:02d}"


def in_figures(text: str) -> str:
    """Write the clock times of a lower-case text in figures; writing it again changes nothing.

    Example:
        >>> in_figures("between half past seven and nine, or from five to six in the morning, never at a quarter to three")
        'between 7:30 and 9, or from 5 to 6 am, never at 2:45'
    """
    text = _PAST.sub(lambda m: _clock(_hour(m["hour"]), _minutes(m["part"])), text)
    text = _TO.sub(lambda m: _clock((_hour(m["hour"]) + 10) % 12 + 1, 60 - _minutes(m["part"])), text)
    text = _HALF.sub(lambda m: f"{m['lead']}{_clock(_hour(m['hour']), 30)}", text)
    text = _JOINED.sub(lambda m: _clock(_hour(m["hour"]), _minutes(m["minute"].replace(" ", "-"))), text)
    text = _OCLOCK.sub(lambda m: f"{_hour(m['hour'])} o'clock", text)
    text = _PAIR.sub(lambda m: f"{_hour(m['first'])} {m['link']} {_hour(m['second'])}", text)
    text = _ALONE.sub(_alone, text)
    text = _STARTED.sub(lambda m: str(_hour(m["hour"])), text)
    text = re.sub(r"(?<=\b(?:noon) )(till|until|to) (" + "|".join(HOURS) + r")\b", lambda m: f"{m[1]} {_hour(m[2])}", text)
    text = _RANGE.sub(lambda m: f"{m['link']} {_hour(m['hour'])}", text)
    text = _ABOUT.sub(lambda m: f"{m['link']} ", text)
    text = _LISTED.sub(lambda m: f"at {_hour(m['hour'])}", text)
    text = _HALVES.sub(lambda m: f"{m['time']} {'am' if m['am'] else 'pm'}", text)
    text = _EVENT_AT.sub(_event_at, text)
    text = _AFTER_BEFORE.sub(r"from \g<a> to \g<b>", text)
    return _AFTER_UNTIL.sub(r"from \g<a> to \g<b>", text)


def as_times(text: str) -> str:
    """`in_figures`, in a text about times: "nine to six is fine" is a range too, which about rates it would not be.

    Example:
        >>> as_times("weekdays nine to six is fine")
        'weekdays from 9 to 6 is fine'
    """
    def pair(match: re.Match[str]) -> str:
        a, b = (str(_hour(x)) if x in HOURS else x for x in (match["a"], match["b"]))
        return f"from {a} to {b}"

    text = _STATED.sub(lambda m: f"{_hour(m['hour'])} {'am' if m['am'] else 'pm'}", text)  # "one in the morning" may be a count
    return _BARE.sub(pair, in_figures(text))


def _event_at(match: re.Match[str]) -> str:
    """"Until supper at 7:30" as "until 7:30 pm"."""
    half = " pm" if re.search("dinner|supper|evening", match[0]) else " am" if re.search("breakfast|morning", match[0]) else ""
    return f"{match['rel']} {match['at']}{half if match['at'][-1].isdigit() else ''}"


def _alone(match: re.Match[str]) -> str:
    lead = match["lead"].strip()
    if lead in ("to", "and") and not re.search(r"(?:\d|noon|midnight) $", match.string[: match.start()]):
        return match[0]
    return f"{match['lead']}{match['about'] or ''}{_hour(match['hour'])}"
