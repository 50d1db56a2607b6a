"""From a document in words to structured statements: wants, moments, rate, manner, routine; with notes on each sentence."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from propersim_env.clock import parse_time

from .clauses import Clause, asks, clauses
from .documents import SECTIONS, Document
from .rates import Rate, read_rate
from .times import Day, Span, spans
from .words import concepts, is_english, lexicon, pattern, sentences, situation_words, tidy

USUAL_DAY = Day(435, 1395, 475, 765, 1125, 1020)
"""A day against which a persona's own times are read, before they are known."""


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
    """

    content: str
    situation: str
    topics: tuple[tuple[str, float], ...]
    spans: tuple[Span, ...]
    concepts: frozenset[str]
    kind: str
    sentence: str


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
    _routine(rubric, wake)
    marks: dict[str, list[str]] = {}
    _wants(rubric, reader, marks)
    _moments(rubric, marks)
    _rate(rubric, marks)
    _manner(rubric, marks)
    for section in SECTIONS:
        for sentence in sentences(tidy(document.sections[section])):
            rubric.notes.append(Note(section, sentence, tuple(dict.fromkeys(marks.get(sentence, ())))))
    return rubric


def clock_text(minute: int) -> str:
    """Minutes after midnight as HH:MM."""
    return f"{minute // 60:02d}:{minute % 60:02d}"


def topic_mix(reader: Reader, text: str, least: float = 0.12) -> tuple[tuple[str, float], ...]:
    """Topics of a text with their shares, largest first."""
    masses = reader.read(text).topics
    order = np.argsort(-masses, kind="stable")[:3]
    return tuple((reader.topic_ids[int(k)], round(float(masses[k]), 3)) for k in order if masses[k] >= least)


def _english(rubric: CompiledRubric, section: str) -> str:
    """A section, or nothing where it is in another language: no word of it is then taken for an English one."""
    text = tidy(rubric.document.sections[section])
    return text if is_english(text) else ""


def _wants(rubric: CompiledRubric, reader: Reader, marks: dict[str, list[str]]) -> None:
    text = _english(rubric, "Personal_Preference")
    rules = lexicon()["asks"]
    for ask in asks(text):
        vague = bool(re.match(rules["vague"], ask.content)) or (not ask.situation and bool(
            pattern(rules["vague"]).search(ask.content)))
        kind = "tied" if ask.situation else "general"
        mix = topic_mix(reader, ask.content)
        if vague:
            marks.setdefault(ask.sentence, []).append("general attitude, no content")
            continue
        situation = ask.situation
        rubric.wants.append(WantText(ask.content, situation, mix, tuple(spans(situation, rubric.day)),
                                     frozenset(concepts(situation)), kind, ask.sentence))
        named = ", ".join(t for t, _ in mix) or "no topic of the setting"
        when = f" when {situation}" if situation else ""
        marks.setdefault(ask.sentence, []).append(f"want: {ask.content} [{named}]{when}")
    for clause in clauses(text):
        if not clause.wanted and len(clause.text.split()) > 2:
            words = re.sub(rules["reason"], "", pattern(lexicon()["polarity"]["negative"]).sub(" ", clause.text)).strip(" .,")
            mix = topic_mix(reader, words)
            rubric.wants.append(WantText(words, "", mix, (), frozenset(concepts(words)), "refused", clause.sentence))
            marks.setdefault(clause.sentence, []).append(f"refused: {words}")
    for name in ("interests", "goals", "daily_plan", "lifestyle", "background"):
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
    body = text[cue.end():] if cue and not re.match(r"before i dive", cue[0]) else text
    found = list[Moment]()
    phrases = [p for p in re.split(rules["phrase_border"], body) if p and p.strip(" .")]
    for phrase in (p for p in phrases if not re.match(rules["elaboration"], p.strip())):
        times, done = spans(phrase, day), concepts(phrase)
        if times or done or situation_words(phrase):
            found.append(Moment(tuple(times), frozenset(done), phrase.strip(" .()"), False, soft))
    return found


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
    """Tones, length and boundaries."""
    rules, bounds, length = lexicon()["tones"], lexicon()["boundaries"]["words"], lexicon()["length"]
    text = _english(rubric, "Communication_&_Safety")
    liked: dict[str, int] = {}
    avoided: dict[str, int] = {}
    for sentence in sentences(text):
        lowered = sentence.lower()
        about_tone = re.search(rules["about"], lowered) or len(lowered.split()) <= rules["short_sentence"]
        for expression, tone in rules["liked"].items():
            refused = re.search(rf"(?<!\w){rules['negative']}\s*(?<!\w)(?:{expression})(?!\w)", lowered)
            if refused:
                avoided.setdefault(tone, refused.start())
                marks.setdefault(sentence, []).append(f"tone avoided: {tone}")
            elif about_tone and (match := pattern(expression).search(lowered)):
                liked.setdefault(tone, len(liked) * 1000 + match.start())
                marks.setdefault(sentence, []).append(f"tone: {tone}")
        for expression, tone in rules["urgent"].items():
            if re.search(rf"(?<!\w){rules['negative']}\s*(?<!\w)(?:{expression})(?!\w)", lowered):
                target = rubric.boundaries if tone in bounds else avoided
                if isinstance(target, list):
                    target.append(tone)
                else:
                    target.setdefault(tone, 0)
                marks.setdefault(sentence, []).append(f"not: {tone}")
        for name, expression in bounds.items():
            if pattern(expression).search(lowered):
                rubric.boundaries.append(name)
                marks.setdefault(sentence, []).append(f"boundary: {name}")
        for expression, words in length["words"].items():
            if pattern(expression).search(lowered) and not rubric.max_words:
                rubric.max_words = int(words)
                marks.setdefault(sentence, []).append(f"length: {words} words")
        stated = re.search(r"(\d{1,3}) words", lowered)
        if stated:
            rubric.max_words = min(max(int(stated[1]), 5), 120)
            marks.setdefault(sentence, []).append(f"length: {rubric.max_words} words")
    rubric.tones = [t for t in liked if t not in avoided][:3]
    for tone in rubric.tones[:1]:
        for other in rules["avoided_with"].get(tone, ()):
            avoided.setdefault(other, 9999)
    rubric.avoid_tones = [t for t in avoided if t not in rubric.tones][:3]
    rubric.boundaries = list(dict.fromkeys(rubric.boundaries))
    if not rubric.tones:
        rubric.tones = ["gentle"]
        rubric.defaults["communication.tones"] = "no tone was understood: gentle"
    if not rubric.max_words:
        rubric.max_words = int(length["default"])
        rubric.defaults["communication.max_words"] = f"no length was stated: {rubric.max_words} words"


def _routine(rubric: CompiledRubric, known_wake: int | None = None) -> None:
    """The usual day from lifestyle and the other texts; what nobody states is a marked default."""
    defaults, document = lexicon()["routine_defaults"], rubric.document
    statements = [tidy(s).lower() for name in ("lifestyle", "daily_plan", "background") for s in document.fields.get(name, [])]
    statements += [s.lower() for s in sentences(tidy(document.sections["Timing"]))]
    base = USUAL_DAY

    def stated(expression: str, low: int, high: int) -> int | None:
        for statement in statements:
            for match in re.finditer(rf"(?:{expression})(?! (?:and|until|till|to) )[^.;]{{0,40}}?", statement):
                for span in spans(statement[match.start(): match.end() + 45], base):
                    if span.kind != "clock":
                        continue
                    middle = span.start + (35 if span.end - span.start == 85 else 0)
                    middle = span.end if re.match("before|until|till|by", span.label) else middle
                    middle = middle + 1440 if low >= 1200 and middle < 240 else middle
                    if low <= middle <= high:
                        return middle
        return None

    def choose(name: str, value: int | None, default: int) -> int:
        if value is None:
            rubric.defaults[f"routine.{name}"] = f"not stated: {clock_text(default)}"
        return default if value is None else value

    wake = choose("wake", known_wake if known_wake is not None else stated(defaults["waking_words"], 210, 780),
                  parse_time(defaults["wake"]))
    late = any(re.search(defaults["late_words"], s) for s in statements)
    bed = stated(defaults["bed_words"], 1200, 1440)
    latest = parse_time(defaults["latest_sleep"])
    sleep = choose("sleep", latest if late else bed, min(wake + defaults["sleep_after_wake"], latest))
    sleep = max(min(sleep, latest), min(wake + 720, latest))
    lunch = choose("lunch", stated("lunch", 600, 1000), max(parse_time(defaults["lunch"]), wake + 180))
    dinner = choose("dinner", stated("dinner|supper", 960, 1320), max(parse_time(defaults["dinner"]), lunch + 240))
    breakfast = choose("breakfast", stated("breakfast", wake, lunch - 60), wake + int(defaults["breakfast_after_wake"]))
    dinner = min(dinner, sleep - 60)
    retired = bool(re.search(defaults["retired"], " ".join(statements)))
    work = [] if retired else [w for w in defaults["work"] if parse_time(w[0]) >= breakfast + 20 or wake <= 480]
    end = parse_time(work[-1][1]) if work else dinner - 60
    guessed = frozenset(name for name in ("lunch", "dinner") if f"routine.{name}" in rubric.defaults)
    rubric.day = Day(wake, sleep, breakfast, lunch, dinner, end, guessed)
    rubric.routine = {
        "wake": clock_text(wake), "sleep": clock_text(sleep),
        "weekend_shift_minutes": min(defaults["weekend_shift_minutes"], 1440 - sleep),
        "breakfast": clock_text(breakfast), "lunch": clock_text(lunch), "dinner": clock_text(dinner),
        "work": [{"from": a, "to": b} for a, b in work], "work_days": list(defaults["work_days"]) if work else [],
        "consistency": defaults["consistency"],
    }
    if work:
        rubric.defaults["routine.work"] = "not stated: " + ", ".join(f"{a}-{b}" for a, b in work)
