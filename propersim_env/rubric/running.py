"""Running text: parted into statements, each sorted by what it says; one sentence may serve several parts of a rubric.

A statement that shows by no word what it is about is left out and reported, never guessed at.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from .clock_words import HOURS, as_times, in_figures
from .first_person import first_person, is_about_another
from .person import age_of, name_of, occupation_of
from .rates import read_rate
from .times import USUAL_DAY, spans
from .words import concepts, is_english, lexicon, pattern, running, tidy

_PREFERENCE, _TIMING, _RATE, _MANNER = "Personal_Preference", "Timing", "Frequency", "Communication_&_Safety"
_ORDER = (_PREFERENCE, _TIMING, _RATE, _MANNER, "lifestyle", "background")
_MILITARY = re.compile(r"(?:(?<= at )|(?<=and )|(?<=from )|(?<=between )|(?<=until )|(?<= to )|(?<=after )|(?<=before ))"
                       r"([01]\d|2[0-3])([0-5]\d)\b(?! ?[a-z]{4,})")
_APOSTROPHE = re.compile(r"\b(?:(?:do|does|did|is|are|ca|wo|would|should|must|could|have)n(?=t\b)|"
                         r"(?<!\w)[Ii](?=m\b|ve\b|d like))(t|m|ve|d)")
_BULLET = re.compile(r"^\s*(?:[-*\u2022\u2013]|\d+[.)])\s+")


@dataclass(slots=True)
class Sorted:
    """What running text came to.

    Attributes:
        name, age, occupation: Who it is; empty or 0 where nobody says.
        statements: By part ("Timing", "lifestyle" and so on), in first person, each ended by a full stop.
        said: The words as they were written, by statement.
        unsorted: Sentences that show by no word what they are about.
    """

    name: str = ""
    age: int = 0
    occupation: str = ""
    statements: dict[str, list[str]] = field(default_factory=dict)
    said: dict[str, str] = field(default_factory=dict)
    unsorted: list[str] = field(default_factory=list)

    def add(self, part: str, statement: str, written: str) -> None:
        """Add a statement to a part."""
        statement = re.sub(r"[?!]+", "", statement).strip(" ,;:.-")
        if not re.search(r"\w", statement):
            return
        statement = statement[0].upper() + statement[1:] + "."
        self.statements.setdefault(part, []).append(statement)
        self.said[tidy(statement)] = written.strip(" ,;")


def sort_running(text: str, name: str = "") -> Sorted:
    """Sort running text, with or without short headings and bullets.

    Args:
        text: What somebody wrote.
        name: The person's name, where it is known.

    Example:
        >>> sorted_text = sort_running("I'm Ida, 30. Talk to me after lunch, twice a day. I love jazz. The sky is blue.")
        >>> sorted_text.name, sorted_text.age, sorted_text.unsorted
        ('Ida', 30, ['The sky is blue.'])
        >>> sorted_text.statements["Timing"], sorted_text.statements["Frequency"]
        (['Talk to me after lunch.'], ['Twice a day.'])
    """
    result, another = Sorted(name), is_about_another(text)
    english = is_english(text)
    for kind, block in _blocks(text):
        written = _MILITARY.sub(r"\1:\2", _APOSTROPHE.sub(lambda m: f"{m[0][:-len(m[1])]}'{m[1]}", tidy(block)))
        result.name = result.name or name_of(written, another)
        written = first_person(written, result.name) if another else written
        if not english:
            _leave(kind, written, result)
        elif kind in ("", "identity", "routine"):
            _sort_text(written, result, kind)
        else:
            _sort_list(kind, written, result)
    return result


def _leave(kind: str, text: str, result: Sorted) -> None:
    """Keep a text in another language as it is: the linter names it, and nothing is read from it."""
    part = {"like": _PREFERENCE, "dislike": _PREFERENCE, "time": _TIMING, "not_time": _TIMING, "rate": _RATE, "manner": _MANNER}
    if kind in part:
        result.add(part[kind], text, text)
    else:
        result.unsorted += _sentences(text)


def _blocks(text: str) -> list[tuple[str, str]]:
    """Stretches of a text with the kind of heading they stand under ("" for none)."""
    kinds = {name: re.compile(rf"(?:{e})[?]?") for name, e in running()["headings"]["table"].items()}
    blocks: list[tuple[str, list[str]]] = [("", [])]
    for line in text.splitlines():
        bullet = bool(_BULLET.match(line))
        words = _BULLET.sub("", line).strip().lstrip("#").strip(" *")
        head, colon, rest = words.partition(":")
        key = tidy(head).lower().strip(" *").rstrip("?")
        alone = not colon and len(key.split()) <= 5 and not re.search(r"[.!,;]$", words)
        kind = next((k for k, e in kinds.items() if (colon or alone) and e.fullmatch(key)), None)
        if kind is not None:
            blocks.append((kind, [rest.strip()] if rest.strip() else []))
        elif not words:
            if blocks[-1][1]:
                blocks.append(("", []))
        elif bullet and blocks[-1][0] and len(blocks[-1][1]) and re.search(r"(?<!\S)[-*]", line) and ":" not in words:
            blocks.append(("", [words if words[-1] in ".!?" else f"{words}."]))
        else:
            blocks[-1][1].append(f"{words}." if bullet and words[-1] not in ".!?" else words)
    return [(kind, " ".join(lines)) for kind, lines in blocks if lines]


def _sentences(text: str) -> list[str]:
    """Sentences of running text, whatever letter they begin with; a remark in brackets is one of its own."""
    rules, asides = running()["split"], list[str]()

    def aside(match: re.Match[str]) -> str:
        asides.append(next(g for g in match.groups() if g))
        return ""

    found = list[str]()
    protected = re.sub(rf"\b({rules['abbreviations']})\.(?=\s)", r"\1", text)
    for sentence in re.split(r"(?<=[.!?])[\"')\]]*\s+", protected):
        plain = re.sub(rules["aside"], aside, sentence, flags=re.IGNORECASE)
        found += [s for s in (plain.strip(), *(_completed(a, sentence) for a in asides)) if re.search(r"\w", s)]
        asides.clear()
    return found


def _completed(aside: str, sentence: str) -> str:
    """A relative clause with the meal it is about: "dinner at 8"."""
    meal = re.search(r"dinner|supper|lunch|breakfast", sentence.lower())
    return f"{meal[0]} {aside}" if meal and re.match(r"(?:at|around|about) ", aside.strip()) else aside


def _sort_text(text: str, result: Sorted, kind: str) -> None:
    last, rules = frozenset[str](), running()["split"]
    for i, sentence in enumerate(_sentences(text)):
        groups, previous = list[tuple[frozenset[str], str]](), frozenset[str]()
        for piece, border in _pieces(sentence):
            parts = frozenset(parts_of(piece, previous)) or (frozenset({"lifestyle"}) if kind == "routine" else frozenset())
            if groups and re.match(rules["refusal_of_before"], piece.lower().strip()):
                parts, piece = frozenset({_TIMING}), f"never {groups[-1][1]}"
            elif not parts and groups:
                parts = previous
            if parts == {_PREFERENCE} and groups and _at_a_time(piece) and _at_a_time(groups[-1][1]):
                groups.append((parts, f"I like {piece.strip()}"))
            elif groups and parts == groups[-1][0] and not (parts == {_TIMING} and border.startswith(";")):
                groups[-1] = (parts, groups[-1][1] + border + piece)
            else:
                groups.append((parts, piece))
            previous = parts
        groups = _leading(groups)
        if not any(parts for parts, _ in groups):
            times = frozenset({_TIMING}) if _only_times(sentence.lower()) else _by_context(sentence, last)
            groups = [(frozenset(parts_of(sentence)) or times, sentence)]
        last = groups[-1][0]
        own = " ".join(words for parts, words in groups if not parts & set(_ORDER[:4]))
        personal = bool(own) and _identity(own, result, i < 4 or kind == "identity")
        for parts, words in groups:
            for part in parts or (() if not personal else ("background",)):
                result.add(part, _for_part(part, words), words)
            if not parts and not personal:
                result.unsorted.append(words)


def _pieces(sentence: str) -> list[tuple[str, str]]:
    """A sentence in pieces, each with the words that part it from the one before."""
    pieces, position, border = list[tuple[str, str]](), 0, ""
    for match in re.finditer(running()["split"]["border"], sentence, re.IGNORECASE):
        words = sentence[position: match.start()]
        if re.search(r"\w", words):
            pieces.append((words, border))
        border, position = match[0], match.end()
    return [*pieces, (sentence[position:], border)] if re.search(r"\w", sentence[position:]) else pieces


def _leading(groups: list[tuple[frozenset[str], str]]) -> list[tuple[frozenset[str], str]]:
    """Give a beginning without a part of its own ("When I'm cooking, …") to what follows it."""
    if len(groups) > 1 and not groups[0][0]:
        return [(groups[1][0], f"{groups[0][1]}, {groups[1][1]}"), *groups[2:]]
    return groups


def _at_a_time(piece: str) -> bool:
    """Whether a piece is a thing and its part of the day: "jazz in the evening"."""
    return bool(re.fullmatch(r"\s*(?!and|about|on)[\w' -]+? (?:in the \w+|on \w+days?|at \w+|with my \w+|over \w+)[ .]*",
                             piece.lower()))


def _by_context(sentence: str, last: frozenset[str]) -> frozenset[str]:
    """The parts of a sentence without a cue of its own: "Match reports after tea, that's good", "Also nail art on Sundays"."""
    lowered = sentence.lower()
    if _situated(lowered) and any(re.search(running()["cues"]["back"], p.strip(" .!")) for p in lowered.split(",")[1:]):
        return frozenset({_PREFERENCE})
    return last if re.match(r"(?:and|also|plus|oh and|same for|ditto)\b", lowered) else frozenset()


def parts_of(piece: str, before: frozenset[str] = frozenset()) -> set[str]:
    """The parts of a rubric that a piece of a sentence speaks about, by its words; empty if it does not show any.

    Example:
        >>> sorted(parts_of("talk to me after lunch")), sorted(parts_of("the cat sat on the mat"))
        (['Timing'], [])
    """
    cues = running()["cues"]
    lowered = as_times(tidy(piece).lower()).strip(" .,;!?")
    says = {name: re.search(rf"(?<!\w)(?:{expression})", lowered) for name, expression in cues.items() if name != "source"}
    if says["back"]:
        return set()
    rate = read_rate(in_figures(lowered), USUAL_DAY)
    times, done = spans(lowered, USUAL_DAY), concepts(lowered)
    clock, tone, found = any(s.kind == "clock" for s in times), _mostly_tone(lowered), set[str]()
    about = bool(says["refuse"] or says["about"] or says["wish"]) and not tone and _content(lowered)
    if rate.stated or says["rate"] or (rate.heard and not says["about"]):
        found.add(_RATE)
    placed = times or done or says["not_at"] or re.search(r"\b(?:when|while|during|if)\b", lowered)
    if (says["contact"] and placed) or (says["moment"] and (times or done)) or (says["not_at"] and not about):
        found.add(_TIMING)
    told = bool(says["manner"]) and _TIMING not in found and not about
    if tone or told or says["boundary"]:
        found.add(_MANNER)
    named = not says["boundary"] or re.search(running()["cues"]["boundary_topic"], lowered)
    counted = _RATE in found and not says["about"]
    if about and named and _TIMING not in found and not counted:
        found.add(_PREFERENCE)
    if not found and _situated(lowered) and (_idea(lowered) or before == {_PREFERENCE}):
        found.add(_PREFERENCE)
    if not found - {_MANNER} and clock and not about and re.search(running()["routine"]["words"], lowered):
        return {"lifestyle"}
    return found or ({"background"} if says["profile"] else set())


def _only_times(lowered: str) -> bool:
    """Whether a text says nothing beside times and days."""
    cues, lowered = running()["cues"], as_times(tidy(lowered))
    if not spans(lowered, USUAL_DAY) or re.search(running()["routine"]["words"], lowered):
        return False
    for span in spans(lowered, USUAL_DAY):
        lowered = lowered.replace(span.label, " ")
    for expression in (cues["days"], cues["moment"], cues["empty"], lexicon()["asks"]["filler"]):
        lowered = re.sub(rf"(?<!\w)(?:{expression})(?!\w)", " ", lowered)
    return not re.search(r"[a-z]{3,}", lowered)


def _situated(lowered: str) -> bool:
    return bool(re.search(lexicon()["asks"]["marker"], lowered))


def _idea(lowered: str) -> bool:
    return bool(pattern(lexicon()["asks"]["noun"]).search(lowered))


def _content(lowered: str) -> bool:
    """Whether words remain that say what something is about."""
    rules = lexicon()["asks"]
    for expression in (running()["cues"]["wish"], running()["cues"]["contact"], rf"(?<!\w)(?:{rules['noun']})(?!\w)"):
        lowered = re.sub(expression, " ", lowered)
    for heard in read_rate(lowered, USUAL_DAY).heard:
        lowered = lowered.replace(heard, " ")
    lowered = re.sub(running()["cues"]["empty"], " ", lowered)
    return bool(re.search(r"[a-z]{3,}", pattern(rules["filler"]).sub(" ", lowered)))


def _mostly_tone(lowered: str) -> bool:
    """Whether a piece says little beyond a manner of speaking: "gentle, please", "blunt is fine"."""
    rules = lexicon()
    words = re.findall(r"[a-z'-]+", lowered)
    left = lowered
    for expression in (*rules["tones"]["liked"], *rules["tones"]["urgent"], *rules["length"]["words"]):
        left = pattern(expression).sub(" ", left)
    if left == lowered:
        return False
    rest = re.findall(r"[a-z'-]+", pattern(running()["cues"]["beside_tone"]).sub(" ", left))
    return len(rest) <= max(1, len(words) // 5)


def _identity(sentence: str, result: Sorted, early: bool) -> bool:
    """Take name, age and occupation out of a sentence; True if it told any of them."""
    before = (result.age, result.occupation)
    bare = bool(result.name and re.search(rf"\b{re.escape(result.name)}\b", sentence)) or early
    result.age = result.age or age_of(sentence, bare)
    result.occupation = result.occupation or occupation_of(sentence, result.name, bool(result.age and not before[0]) and bare)
    named = bool(result.name and re.search(rf"\b{re.escape(result.name)}\b", sentence))
    return named or before != (result.age, result.occupation)


def _for_part(part: str, words: str) -> str:
    """A statement as the grammar of its part reads it."""
    if part != _TIMING:
        return words
    words = re.sub(r"\b([01]\d|2[0-3])([0-5]\d)\b(?= ?(?:and|to|until|till|hours|[,.;]|$))", r"\1:\2", words)
    words = re.sub(r"(?i)\b(?:i(?:'d| would) rather |please )?(?:you )?wait(?:ed)? (?:until|till)"
                   r"(?: i(?:'ve| have)? \w+(?: \w+)? (?:at|by))?", "never before", words)
    words = re.sub(rf"\babout (?=\d|(?:{'|'.join(HOURS)}|half|noon)\b)", "around ", words)
    amount = r"(?! ?(?:hours?|minutes?|times?|messages?|suggestions?|recommendations?|words?|a day|per))"
    return re.sub(rf"(?<![\w:.])(\d{{1,2}}) ?- ?(\d{{1,2}})\b(?![:.]\d|\s?[ap]m){amount}", r"between \1 and \2", words)


def _sort_list(kind: str, text: str, result: Sorted) -> None:
    """What stands under a heading: its items become whole statements."""
    if kind in ("rate", "manner"):
        result.add({"rate": _RATE, "manner": _MANNER}[kind], text, text)
        for sentence in _sentences(text):
            if kind == "manner" and parts_of(sentence) == {_RATE}:
                result.add(_RATE, sentence, sentence)
        return
    border = r"(?<=[.;])\s+"
    border += "" if kind == "time" else r"|, (?!(?:and|or|when|while|during|in|at|on|after|before|but|not)\b)"
    for item in re.split(border, text):
        item, words = item.strip(" ,;"), item.strip(" .,;")
        words = words if re.match(r"I\b|[A-Z]{2}", item) else words[:1].lower() + words[1:]
        if not re.search(r"\w", words):
            continue
        lowered = words.lower()
        said = re.search(running()["cues"]["wish"], lowered) or re.match(r"(?:no|not|never|nothing)\b", lowered)
        if kind == "like":
            result.add(_PREFERENCE, words if said else f"I like {words}", item)
        elif kind == "dislike":
            result.add(_PREFERENCE, words if said else f"I do not like {words}", item)
        elif kind == "time":
            result.add(_TIMING, _for_part(_TIMING, words if said or not re.match(r"\d", words) else f"between {words}".replace(
                "between", "from" if "-" in words.split()[0] else "at", 1)), item)
        elif kind == "not_time":
            link = re.match(r"(?:at|in|on|during|when|while|before|after|between|from|until)\b", lowered)
            result.add(_TIMING, _for_part(_TIMING, words if said else f"not {words}" if link else f"not while {words}"), words)
