"""From a document in words to structured statements: wants, moments, rate, manner, routine; with notes on each sentence."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from .clauses import Clause, asks, clauses, content_words
from .documents import SECTIONS, Document
from .manner import read_manner
from .rates import Rate, read_rate
from .routine import read_routine
from .settling import settle
from .times import USUAL_DAY, Day, Span, clock_text, spans
from .words import concepts, is_english, lexicon, pattern, sentences, situation_words, tidy


class Understanding(Protocol):
    """What a reading of a text tells about its topics."""

    @property
    def topics(self) -> np.ndarray:
        """Mass of each topic, at most 1 together."""


class Reader(Protocol):
    """Understands free text; the simulated user's `TextReader` is one."""

    topic_ids: list[str]

    def read(self, text: str) -> Understanding:
        """Read a text."""
        ...


@dataclass(frozen=True, slots=True)
class WantText:
    """A content that is wanted (or refused) in a situation, in words and as topics.

    Attributes:
        content, situation: The words; an empty situation means any.
        topics: Topic ids with their share, largest first.
        spans: Times that the situation names.
        concepts: Names of what is done in the situation.
        kind: ``tied``, ``general`` (no situation), ``profile`` (from interests and the like) or ``refused``.
        sentence: Where it was said.
        guessed: Whether it was only guessed from loose wording.
    """

    content: str
    situation: str
    topics: tuple[tuple[str, float], ...]
    spans: tuple[Span, ...]
    concepts: frozenset[str]
    kind: str
    sentence: str
    guessed: bool = False


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment that is wanted or not: times, or something that is done.

    Attributes:
        spans: Times; empty where only a situation is named.
        concepts: What is done then.
        phrase: The words.
        wanted: False for one in which to be left alone.
        soft: Wanted: "I do not mind". Not wanted: only given as the reason of the wanted times.
    """

    spans: tuple[Span, ...]
    concepts: frozenset[str]
    phrase: str
    wanted: bool
    soft: bool


@dataclass(frozen=True, slots=True)
class Note:
    """What was made of one sentence; `understood` is empty where nothing was."""

    section: str
    sentence: str
    understood: tuple[str, ...]


@dataclass(slots=True)
class CompiledRubric:
    """A rubric as statements.

    Attributes:
        wants: Contents and situations.
        moments: Wanted and unwanted moments.
        rate: How often.
        tones, avoid_tones, boundaries: Ids of the setting.
        max_words: Longest welcome text.
        day: The usual day.
        routine: The same as the persona format has it.
        notes: One for each sentence of the rubric.
        defaults: What nobody stated, with the value that was taken.
        adjusted: What was stated and cannot be kept, with what was taken instead.
    """

    document: Document
    wants: list[WantText] = field(default_factory=list)
    moments: list[Moment] = field(default_factory=list)
    rate: Rate = field(default_factory=Rate)
    tones: list[str] = field(default_factory=list)
    avoid_tones: list[str] = field(default_factory=list)
    boundaries: list[str] = field(default_factory=list)
    max_words: int = 0
    day: Day = USUAL_DAY
    routine: dict[str, Any] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)
    defaults: dict[str, str] = field(default_factory=dict)
    adjusted: dict[str, str] = field(default_factory=dict)

    @property
    def waking(self) -> int:
        """Waking minutes of the usual day."""
        return self.day.sleep - self.day.wake

    def wanted(self) -> list[Moment]:
        """Moments in which to be spoken to."""
        return [m for m in self.moments if m.wanted]

    def unwanted(self) -> list[Moment]:
        """Moments in which to be left alone."""
        return [m for m in self.moments if not m.wanted]


def compile_rubric(document: Document, reader: Reader, wake: int | None = None) -> CompiledRubric:
    """Compile a document; never raises on any text.

    Args:
        document: What somebody wrote.
        reader: Understands free text.
        wake: Minute of getting up, where the day is known; else from the document.

    Returns:
        The statements. Read `notes`, `defaults` and `lint.lint` before using them.
    """
    rubric = CompiledRubric(document)
    marks: dict[str, list[str]] = {}
    _routine(rubric, wake, marks)
    _wants(rubric, reader, marks)
    _moments(rubric, marks)
    _rate(rubric, marks)
    _manner(rubric, marks)
    _notes(rubric, marks)
    return rubric


def topic_mix(reader: Reader, text: str, least: float = 0.12) -> tuple[tuple[str, float], ...]:
    """Topics of a text with their shares, largest first."""
    masses = reader.read(text).topics
    order = np.argsort(-masses, kind="stable")[:3]
    return tuple((reader.topic_ids[int(k)], round(float(masses[k]), 3)) for k in order if masses[k] >= least)


def _without_refusal(text: str) -> str:
    rules = lexicon()["polarity"]
    return pattern(rules["after"]).sub(" ", pattern(rules["negative"]).sub(" ", text))


def topics_of(reader: Reader, content: str) -> tuple[tuple[str, float], ...]:
    """Topics of a content that may name several things: those of its items, by the item that is most about each."""
    mixed = dict(topic_mix(reader, content))
    for item in re.split(r", | and | or | nor ", content):
        if content_words(item) and item != content:
            for topic, share in topic_mix(reader, item, 0.5):
                mixed[topic] = max(share, mixed.get(topic, 0.0))
    return tuple(sorted(mixed.items(), key=lambda pair: -pair[1])[:4])


def _english(rubric: CompiledRubric, section: str) -> str:
    """A section, or nothing where it is in another language: no word of it is then taken for an English one."""
    text = tidy(rubric.document.sections[section])
    return text if rubric.document.english or is_english(text) else ""


def _wants(rubric: CompiledRubric, reader: Reader, marks: dict[str, list[str]]) -> None:
    text = _english(rubric, "Personal_Preference")
    rules = lexicon()["asks"]
    for ask in asks(text):
        vague = bool(re.match(rules["vague"], ask.content)) or (not ask.situation and bool(
            pattern(rules["vague"]).search(ask.content)))
        kind = "tied" if ask.situation else "general"
        mix = topics_of(reader, ask.content)
        if vague:
            marks.setdefault(ask.sentence, []).append("general attitude, no content")
            continue
        situation = ask.situation
        rubric.wants.append(WantText(ask.content, situation, mix, tuple(spans(situation, rubric.day)),
                                     frozenset(concepts(situation)), kind, ask.sentence, ask.guessed))
        named = ", ".join(t for t, _ in mix) or "no topic of the setting"
        when = f" when {situation}" if situation else ""
        marks.setdefault(ask.sentence, []).append(f"{'guess' if ask.guessed else 'want'}: {ask.content} [{named}]{when}")
    for clause in clauses(text):
        if not clause.wanted and len(clause.text.split()) > 2:
            words = re.sub(rules["reason"], "", _without_refusal(clause.text)).strip(" .,")
            mix = topics_of(reader, words)
            rubric.wants.append(WantText(words, "", mix, (), frozenset(concepts(words)), "refused", clause.sentence))
            marks.setdefault(clause.sentence, []).append(f"refused: {words}")
    told = ("interests", "goals", "daily_plan", "lifestyle", "background")
    for name in told[:2] if rubric.document.running else told:
        for statement in rubric.document.fields.get(name, []):
            mix = topic_mix(reader, statement)
            rubric.wants.append(WantText(statement.lower(), "", mix, (), frozenset(), "profile", statement))


def _moments(rubric: CompiledRubric, marks: dict[str, list[str]]) -> None:
    rules, day = lexicon()["timing"], rubric.day
    for clause in clauses(_english(rubric, "Timing")):
        found = _wanted_moments(clause, day) if clause.wanted else _unwanted_moments(clause, day)
        rubric.moments += found
        for moment in found:
            marks.setdefault(clause.sentence, []).append(describe(moment))
        if clause.wanted and re.search(rules["whole_day"], clause.text):
            span = Span(day.wake, day.sleep, "any time", "clock", 0)
            rubric.moments.append(Moment((span,), frozenset(), "any time", True, True))
            marks.setdefault(clause.sentence, []).append("wanted: any time")
    _drop_vaguer(rubric)
    if not rubric.wanted():
        rubric.defaults["timing.wanted"] = "no wanted time was understood"


def describe(moment: Moment) -> str:
    """A moment in a few words."""
    times = ", ".join(f"{clock_text(s.start)}-{clock_text(s.end)} ({s.label})" for s in moment.spans)
    what = ", ".join(sorted(moment.concepts))
    names = ("wanted", "welcome") if moment.wanted else ("left alone", "left alone, softly")
    head = names[moment.soft]
    return f"{head}: {'; '.join(p for p in (times, what) if p) or moment.phrase}"


def _wanted_moments(clause: Clause, day: Day) -> list[Moment]:
    rules = lexicon()["timing"]
    if re.search(rules["elaboration"], clause.text):
        return []
    text = re.sub(rules["subordinate"], "", clause.text)
    return [moment for part in re.split(r"[;:](?!\d)", text) for moment in _wanted_in(part, clause, day)]


def _wanted_in(text: str, clause: Clause, day: Day) -> list[Moment]:
    found = list[Moment]()
    times = spans(text, day)
    if times:
        pieces = [(s, text[s.at: (times[i + 1].at if i + 1 < len(times) else len(text))]) for i, s in enumerate(times)]
        for span, piece in pieces:
            done = concepts(piece) if span.kind == "event" else set()
            found.append(Moment((span,), frozenset(done), piece.strip(" ,."), True, clause.weak))
            found += _blocked_before(piece, clause)
        return found
    for situation in re.findall(r"(?:during|when(?:ever)?|while|over|on|after|once) (.+?)(?=, (?:or|and|when)|$)", text):
        done = concepts(situation)
        if done or situation_words(situation):
            found.append(Moment((), frozenset(done), situation.strip(" ,."), True, clause.weak))
    return found


def _blocked_before(piece: str, clause: Clause) -> list[Moment]:
    """A moment wanted "after my workout" is not one during the workout."""
    table = lexicon()["concepts"]["table"]
    found = list[Moment]()
    after = r"\bafter (?!\d)(?:i(?:'ve| have) (?:had|finished|done) )?((?:my |the |a )?(?:(?!or\b|and\b)[\w-]+ ?){1,5})"
    for match in re.finditer(after, piece):
        absorbing = {c for c in concepts(match[1]) if table[c]["absorbing"]}
        if absorbing:
            found.append(Moment((), frozenset(absorbing), match[1].strip(), False, False))
    return found


def _unwanted_moments(clause: Clause, day: Day) -> list[Moment]:
    rules = lexicon()["timing"]
    cue = pattern(lexicon()["polarity"]["negative"]).match(clause.text)
    soft = bool(re.search(rules["soft"], clause.text[:60])) or bool(re.match(r"without|free from", clause.text))
    soft = soft or bool(re.search(rules["soft_subject"], clause.sentence.lower()))
    text = re.sub(rules["reason_of_refusal"], "", clause.text)
    kept = re.search(r"(?:before|after|until|from|between|at)$", cue[0]) if cue else None
    body = text[kept.start() if kept else cue.end():] if cue and not re.match(r"before i dive", cue[0]) else text
    body = body.strip()
    found = list[Moment]()
    phrases = [p for p in re.split(rules["phrase_border"], body) if p and p.strip(" .")]
    for phrase in (p for p in phrases if not re.match(rules["elaboration"], p.strip())):
        times, done = [_whole(s, day) for s in spans(phrase, day)], concepts(phrase)
        if times or done or situation_words(phrase):
            found.append(Moment(tuple(times), frozenset(done), phrase.strip(" .()"), False, soft))
    return found


def _whole(span: Span, day: Day) -> Span:
    """An unwanted time that is open to one side: "never after nine" lasts until bed, "not before ten" begins with the day."""
    if span.kind == "clock" and re.match(r"(?:any ?time )?(?:after|past)\b", span.label):
        return replace(span, end=max(day.sleep, span.end))
    if span.kind == "clock" and re.match(r"(?:before|until|till)\b", span.label):
        return replace(span, start=min(day.wake, span.start))
    return span


def _drop_vaguer(rubric: CompiledRubric) -> None:
    """Leave out a part of the day where a clock time elsewhere in the paragraph makes it more precise."""
    clock = [s for m in rubric.wanted() for s in m.spans if s.kind == "clock" and m.phrase != "any time"]
    kept = []
    for moment in rubric.moments:
        vague = moment.wanted and moment.spans and all(s.kind == "daypart" for s in moment.spans)
        if vague and not moment.soft and any(c.overlaps(s) for c in clock for s in moment.spans):
            continue
        kept.append(moment)
    rubric.moments = kept


def _rate(rubric: CompiledRubric, marks: dict[str, list[str]]) -> None:
    text = _english(rubric, "Frequency")
    rubric.rate = rate = read_rate(text, rubric.day)
    if not rate.stated:
        other = read_rate(" ".join(_english(rubric, s) for s in SECTIONS), rubric.day)
        rubric.rate = rate = other if other.stated else rate
    rate.conflicts = settle(rate, text, rubric.day)
    if not rate.slots and re.search(lexicon()["rates"]["one_each"], text.lower()):
        rate.slots = [s for m in rubric.wanted() if not m.soft for s in m.spans]
    for sentence in sentences(text):
        heard = [h for h in rate.heard if h in sentence.lower()]
        if heard:
            marks.setdefault(sentence, []).append(
                f"rate: {'; '.join(heard)} -> {rate.per_day(rubric.waking):g} a day, {rate.min_gap(rubric.waking):g} min apart"
                + (f", slots {', '.join(s.label for s in rate.slots)}" if rate.slots else ""))
    if not rate.stated:
        rubric.defaults["frequency"] = f"no rate was understood: {rate.per_day(rubric.waking):g} a day"


def _manner(rubric: CompiledRubric, marks: dict[str, list[str]]) -> None:
    manner = read_manner(_english(rubric, "Communication_&_Safety"))
    rubric.tones, rubric.avoid_tones = manner.tones, manner.avoid_tones
    rubric.boundaries, rubric.max_words = manner.boundaries, manner.max_words
    rubric.defaults |= manner.defaults
    for sentence, what in manner.marks.items():
        marks.setdefault(sentence, []).extend(what)


def _routine(rubric: CompiledRubric, known_wake: int | None, marks: dict[str, list[str]]) -> None:
    fields = rubric.document.fields
    statements = [tidy(s) for name in ("lifestyle", "daily_plan", "background") for s in fields.get(name, [])]
    own = [tidy(s) for s in fields.get("lifestyle", [])] if rubric.document.running else []
    statements += sentences(tidy(rubric.document.sections["Timing"]))
    usual = read_routine(statements, own, known_wake)
    rubric.day, rubric.routine, rubric.adjusted = usual.day, usual.routine, usual.adjusted
    rubric.defaults |= usual.defaults
    for statement, what in usual.marks.items():
        marks.setdefault(statement, []).extend(what)


def _notes(rubric: CompiledRubric, marks: dict[str, list[str]]) -> None:
    """One note for each statement, in the words in which it was written."""
    document = rubric.document
    for section in SECTIONS:
        for sentence in sentences(tidy(document.sections[section])):
            written = document.said.get(sentence, sentence)
            rubric.notes.append(Note(section, written, tuple(dict.fromkeys(marks.get(sentence, ())))))
    if not document.running:
        return
    person = [f"{key} {value}" for key, value in (
        ("name", document.name), ("age", document.age), ("occupation", document.occupation)) if value]
    for name in ("background", "lifestyle"):
        for i, statement in enumerate(map(tidy, document.fields.get(name, []))):
            what = marks.get(statement, []) + (person if name == "background" and i == 0 else [])
            what = what or (["background"] if name == "background" else [])
            rubric.notes.append(Note(name, document.said.get(statement, statement), tuple(what)))
    rubric.notes += [Note("unsorted", sentence, ()) for sentence in document.unsorted]
