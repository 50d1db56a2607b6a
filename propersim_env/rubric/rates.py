"""How often: counts a day, intervals, spacing, limits and named slots, read from words."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise

from .times import Day, Span, spans
from .words import lexicon

_MEANS = {"every": "interval", "hourly": "interval", "an_hour": "interval", "gap": "gap", "space": "gap", "closer": "gap",
          "within": "gap", "leaving": "gap", "most": "most", "most_after": "most", "day_most": "most", "not_more": "most",
          "extra": "most", "least": "least"}
_TOO_MANY = re.compile(r"[^.;,]*(?<!\w)(?:is|are|would be|feels) (?:far |way |much )?"
                       r"too (?:much|many|often|frequent|few|seldom|rare)(?!\w)[^.;,]*")
_KINDS = ("day_most", "not_more", "most", "most_after", "least", "closer", "within", "leaving", "gap", "space", "average",
          "every", "an_hour", "hourly", "extra", "daily", "daily_after", "weekly")
_ORDINALS = ("second", "third", "fourth", "fifth", "sixth")
_ORDINAL = "|".join(_ORDINALS)


@dataclass(slots=True)
class Rate:
    """What the words say about how often.

    Attributes:
        count: Recommendations a day, (fewest, most), or None.
        interval: Minutes from one to the next, (shortest, longest), or None.
        bundle: How many come in one stated period ("twice every 3 hours": 2).
        gap: Minutes that must lie between two, or None.
        most: Most a day, or None.
        slots: Named parts of the day, one recommendation each.
        heard: The words that were understood.
        least: Fewest a day, where somebody asks for no fewer, or None.
        words: The words behind ``count``, ``interval``, ``gap``, ``most`` and ``least``.
        conflicts: Contradictions that were settled (see `settling`).
    """

    count: tuple[float, float] | None = None
    interval: tuple[float, float] | None = None
    bundle: float = 1.0
    gap: float | None = None
    most: float | None = None
    slots: list[Span] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)
    least: float | None = None
    words: dict[str, str] = field(default_factory=dict)
    conflicts: list[str] = field(default_factory=list)

    @property
    def stated(self) -> bool:
        """Whether anything at all was said."""
        return any(value is not None for value in (self.count, self.interval, self.most, self.gap, self.least))

    def per_day(self, waking: int) -> float:
        """Recommendations wanted in a day of so many waking minutes."""
        if self.count:
            number = sum(self.count) / 2
        elif self.interval:
            number = waking / (sum(self.interval) / 2)
        elif self.most:
            number = self.most if self.most < 2 else 0.8 * self.most
        elif self.least:
            number = self.least
        elif self.gap:
            number = waking / self.gap / 1.5
        else:
            number = float(lexicon()["routine_defaults"]["per_day"])
        return round(max(0.1, min(number, self.most or 48.0, 48.0)), 2)

    def min_gap(self, waking: int) -> float:
        """Minutes that should lie between two."""
        rules = lexicon()["rates"]
        even = waking / self.per_day(waking)
        gap = self.gap if self.gap is not None else self.interval[0] if self.interval else (
            rules["gap_of_slots_share"] if self.slots else rules["gap_of_even_share"]) * even
        return round(max(0.0, min(max(gap, min(rules["least_gap"], even)), waking / self.per_day(waking), 960.0)) - 0.05, 1)

    def overdue(self, waking: int, factor: float) -> float:
        """Waking minutes of silence after which a person with this rate has been forgotten."""
        if self.interval:
            middle = sum(self.interval) / 2
            return max(factor * middle, self.bundle * middle if self.bundle > 1 else 0.0)
        return factor * waking / self.per_day(waking)


@lru_cache(maxsize=1)
def _grammar() -> dict[str, re.Pattern[str]]:
    numbers = lexicon()["numbers"]
    word = "|".join(sorted(map(re.escape, numbers["words"]), key=len, reverse=True))
    n = rf"(?:(?<![\w.:])\d+(?:\.\d+)?(?![\d:])|(?<!\w)(?:{word})(?!\w))"
    between = rf"(?P<lo>{n})(?:\s?(?:to|or|-|and|, maybe|, at most)\s?(?P<hi>{n}))?"
    unit = "|".join(numbers["units"])
    day = r"(?:(?:a|per|each|every|in a|over a|during the|throughout the|over the) ?(?:single |whole |waking )?day|daily)"
    thing, pair = numbers["thing"], rf"(?P<lo>{n})(?:\s?(?:to|or|-)\s?(?P<hi>{n}))?"
    hedge = r"(?:(?:about|around|roughly|approximately|perhaps|maybe|ideally|only|just) )?"
    some = rf"{n}(?:\s?(?:to|or|-)\s?(?:{n}|twice|thrice))?"
    times = rf"(?P<times>once or twice|once|twice|thrice|{some} (?:times|{thing}))"
    limit = (r"(?:no more than|not more than|never more than|at most|a maximum of|maximum(?: of)?|max(?: of)?|up to|fewer than|"
             r"less than|limit(?:ed)?(?: it)?(?: to)?|capped at|(?:don't|do not) (?:exceed|go over))")
    bear = "tolerate|accept|allow|bear|stand|put up with|(?:fine|ok|okay|live) with|(?:do not|don't|won't) mind"
    length = rf"(?P<unit>{unit})s?(?P<half> and a half)?"
    per, things = r"(?:a|per|each|every) day|daily", rf"(?: (?:times|{thing}))?"
    expressions = {
        "day_most": rf"{between}{things},? (?:{per}),? (?:at (?:the )?(?:most|maximum)|max(?:imum)?|tops|or (?:fewer|less)|"
                    rf"(?:and )?(?:no|not) more(?! than))(?! ?(?:of )?{n})(?!\w)",
        "not_more": rf"(?:don't|do not|never|not|nor|no)(?!\w)[^.;,]{{0,30}}?(?<!\w)more (?:often )?than (?P<lo>{n}){things}"
                    rf"(?: {per})?(?! ?(?:{unit}|words?|every|(?:an|per|each|every) hour|in an hour))",
        "least": rf"(?:at least|no fewer than|no less than|a minimum of|minimum) (?P<lo>{n}){things},? (?:{per})(?!\w)",
        "closer": r"(?:no|not|never|nothing)(?: any| two)? (?:closer|sooner|nearer)(?: together)? than (?:every )?"
                  rf"{between}[ -]{length}(?!\w)",
        "within": r"(?:never|not|no) (?:twice|two|again|more than (?:one|once))[^.;,]{0,25}?(?<!\w)"
                  rf"(?:within|in under|in less than) {between}[ -]{length}(?!\w)",
        "leaving": rf"(?:leave|with|allow)(?: me)?(?: at least)? {between}[ -]{length} (?:or (?:so|more) )?(?:in )?"
                   r"between(?!\w)",
        "every": rf"(?:{times}[ ,]*(?:in )?)?(?<!\w)(?:every|per|each|a|an)(?<!\ba a) {hedge}(?:{between} )?{length}(?!\w)",
        "hourly": r"(?<!\w)(?:hourly|on the hour)(?!\w)",
        "an_hour": rf"(?<!\w)(?<!than )(?<!most )(?<!to ){between}(?: (?:{thing}))? (?:an|a|per|each|every) hour"
                   r"(?! and| of| apart| between)",
        "extra": rf"(?:{bear}) (?:a|one) (?P<first>{_ORDINAL})|(?<!\w)a (?P<later>{_ORDINAL})(?: one)?(?: [a-z]+){{0,4}}? "
                 r"(?:won't hurt|wouldn't hurt|(?:is|would be) (?:fine|ok|okay|tolerable|acceptable|all right))",
        "daily": rf"(?<!\w)(?:(?P<once>once or twice|once|twice|thrice)|{between}"
                 rf"(?:\s+(?:times|(?:\w+ ){{0,3}}?(?:{thing})))?),?\s+{day}",
        "daily_after": rf"{day},? (?:i (?:want|like|need|prefer|would like) )?{pair}\s+(?:{thing})",
        "weekly": rf"(?<!\w)(?:(?P<once>once|twice|thrice)|{between}(?: times| (?:{thing}))?) (?:a|per|each|every) week",
        "most": rf"{limit}\.? (?P<lo>{n})(?! ?(?:{unit}|words?|every|(?:an|per|each|every) hour|in an hour))",
        "most_after": rf"(?<!\w)(?!an? )(?P<lo>{n}) (?:at the (?:outside|most|very most)|at most|tops|max(?:imum)?(?! of)|"
                      r"is (?:the|my) (?:ceiling|limit|most|maximum))(?!\w)",
        "gap": rf"(?:at least |a minimum of |no less than |minimum |leave |with |about |around )?{between}[ -]{length}"
               rf"[^.;]{{0,40}}?(?<!\w)(?:apart|between(?! {n} and {n})|of (?:quiet|peace|silence)|gaps?|breaks?|spacing)"
               r"(?!\w)",
        "average": rf"(?P<lo>{n}) (?:a day )?(?:on (?:the |an )?average|if you want the average)",
        "space": rf"(?:gap|break|pause|space|quiet|interval) of (?:at least )?{between} {length}",
        "slots": r"(?<!\w)(?:once|one|another|again|twice) (?:of them |recommendation |suggestion |message |more )?"
                 r"(?:in|during|at|around|after|before|over|when)(?!\w)",
    }
    return {name: re.compile(expression) for name, expression in expressions.items()}


def number(text: str | None) -> float | None:
    """A number in figures or words: "a couple" -> 2."""
    if not text:
        return None
    text = text.strip()
    words = lexicon()["numbers"]["words"]
    return float(words[text]) if text in words else float(text) if re.fullmatch(r"\d+(?:\.\d+)?", text) else None


def _times(text: str | None) -> float:
    if not text:
        return 1.0
    known = lexicon()["numbers"]["times"]
    if text in known:
        return float(known[text])
    found = [known[w] if w in known else number(w) for w in re.findall(r"once|twice|thrice|\d+|[a-z-]+", text)]
    values = [float(v) for v in found if v]
    return sum(values) / len(values) if values else 1.0


def _pair(match: re.Match[str]) -> tuple[float, float] | None:
    low = number(match["lo"])
    if low is None:
        return None
    high = number(match["hi"]) if "hi" in match.groupdict() else None
    return (min(low, high or low), max(low, high or low))


def _every(match: re.Match[str], rate: Rate) -> bool:
    """A stated interval: "about twice every 2 to 3 hours"."""
    pair = _pair(match) or (1.0, 1.0)
    if match["times"] is None and re.match(r"(?:a|an|per) ", match[0].lstrip()) and match["lo"] is None:
        return False
    unit = float(lexicon()["numbers"]["units"][match["unit"]])
    low, high = pair[0] * unit, pair[1] * unit
    if match["half"]:
        low, high = low + unit / 2, high + unit / 2
    rate.bundle = _times(match["times"])
    rate.interval = (low / rate.bundle, high / rate.bundle)
    return True


def read_rate(text: str, day: Day) -> Rate:
    """Everything that a text says about how often.

    Args:
        text: Tidy text, any number of sentences.
        day: The person's usual day, for the slots.

    Example:
        >>> read_rate("Every 3 to 4 hours, max five a day.", Day(420, 1380, 460, 765, 1125, 1020)).interval
        (180.0, 240.0)
    """
    lowered = _TOO_MANY.sub(" ", text.lower())
    # "half an hour" and "an hour and a half" as plain numbers of minutes
    lowered = re.sub(r"\bhalf(?: an)? hour\b|\bhalf-hour\b", "30 minutes", lowered)
    lowered = re.sub(r"\b(?:an|one) hour and a half\b|\bhour and a half\b", "90 minutes", lowered)
    lowered = re.sub(r"\b(\w+) and a half hours", _halves, lowered)
    lowered = re.sub(r"\b(?:every|each) (30|90) minutes", r"every \1 minutes", lowered)
    lowered = re.sub(r"\b(30|90) minutes (to|or) (\w+) hours?", _same_unit, lowered)
    grammar, rate = _grammar(), Rate()
    masked = lowered
    for name in _KINDS:
        for match in grammar[name].finditer(masked):
            if _take(name, match, rate):
                rate.heard.append(match[0].strip())
                rate.words.setdefault(_MEANS.get(name, "count"), match[0].strip())
                masked = masked[: match.start()] + "_" * len(match[0]) + masked[match.end():]
    rate.slots = _slots(lowered, rate, day)
    if rate.slots and not rate.stated:
        rate.count = (float(len(rate.slots)),) * 2
        rate.heard.append(", ".join(s.label for s in rate.slots))
    return rate


def _halves(match: re.Match[str]) -> str:
    """"Two and a half hours" in minutes."""
    hours = number(match[1])
    return match[0] if hours is None else f"{hours * 60 + 30:g} minutes"


def _same_unit(match: re.Match[str]) -> str:
    """"90 minutes or two hours" in minutes."""
    hours = number(match[3])
    return match[0] if hours is None else f"{match[1]} {match[2]} {hours * 60:g} minutes"


def _take(name: str, match: re.Match[str], rate: Rate) -> bool:
    """Use one match; False if it says nothing that is not known yet."""
    if name == "every":
        return rate.interval is None and _every(match, rate)
    if name == "hourly":
        rate.interval = rate.interval or (60.0, 60.0)
        return True
    if name == "extra":
        rate.most = rate.most or float(_ORDINALS.index(match["first"] or match["later"]) + 2)
        return True
    if name == "an_hour":
        many = _pair(match)
        if many is None or rate.interval is not None:
            return False
        rate.interval = (60 / many[1], 60 / many[0])
        return True
    if name in ("gap", "space", "closer", "within", "leaving"):
        pair = _pair(match)
        if pair is None or rate.gap is not None:
            return False
        unit = float(lexicon()["numbers"]["units"][match["unit"]])
        rate.gap = pair[0] * unit + (unit / 2 if "half" in match.groupdict() and match["half"] else 0)
        return True
    groups = match.groupdict()
    if groups.get("once"):
        pair = (1.0, 2.0) if " or " in groups["once"] else (_times(groups["once"]),) * 2
    else:
        found = _pair(match)
        if found is None:
            return False
        pair = found
    if name in ("most", "most_after", "day_most", "not_more"):
        rate.most = rate.most or max(pair[1], 0.1)
        return True
    if name == "least":
        rate.least = rate.least or pair[0]
        return True
    if rate.count is not None:
        return False
    share = 7.0 if name == "weekly" else 1.0
    rate.count = (pair[0] / share, pair[1] / share)
    return True


def _slots(lowered: str, rate: Rate, day: Day) -> list[Span]:
    """Named slots: "once in the morning, once during lunch", or a count with as many parts of the day."""
    starts = [m.start() for m in _grammar()["slots"].finditer(lowered)]
    found: list[Span] = []
    for start, end in pairwise([*starts, len(lowered)]):
        piece = re.split(r"[.;]", lowered[start:end])[0]
        found += spans(piece, day)[:1]
    if len(found) >= 2:
        return found
    if rate.count and rate.count[0] == rate.count[1] and 2 <= rate.count[0] <= 5:
        for sentence in re.split(r"[.;]", lowered):
            if re.search(r"\bin the|\bat |\bduring|\bbefore|\bafter|\baround", sentence):
                named = spans(sentence, day)
                if len(named) == int(rate.count[0]):
                    return named
    return []
