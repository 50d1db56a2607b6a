"""From rated moments to preference pairs, and which pairs of all days so far are trained on. Needs no model.

A *decision* pair teaches whether to speak: its completions are ``SILENT`` and ``SAY:``, and stop there, so that the words of
one text say nothing about the moment. A *content* pair teaches what to say: the answer has begun with ``SAY:``, and its
completions are two texts of the same moment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

import numpy as np

from propersim_env.messages import DIMENSIONS
from propersim_env.names import near_matches
from propersim_env.schema import read_json, sourced_values

from .answer import SILENT, SPEAK

FILE = Path(__file__).with_name("pairs.json")
Messages = tuple[dict[str, str], ...]
Kind = Literal["decision", "content"]
OF_MOMENT = sum(1 << DIMENSIONS.index(name) for name in ("timing", "frequency"))
"""Marks that do not depend on what is said."""
OF_CONTENT = sum(1 << DIMENSIONS.index(name) for name in ("preference", "communication"))


@dataclass(frozen=True, slots=True)
class Option:
    """Something that could be said at a moment, or silence.

    Attributes:
        text: What to say, ``""`` for silence.
        rating: Its total rating, 0..4; None where it is not known.
        marks: Its rating by dimension, a bit mask 0..15 (see `propersim_env.messages.Rating`); None where it is not known.
        delivered: Whether the resident heard it, rather than only rated it.
    """

    text: str
    rating: int | None = None
    marks: int | None = None
    delivered: bool = False


@dataclass(frozen=True, slots=True)
class Moment:
    """A decision with what is known of its options.

    Attributes:
        tick: Absolute tick.
        messages: Chat messages of the prompt.
        options: What could be said, and silence, as far as it was rated.
        memory: Log-odds that speaking is welcome, by memory; None where memory had no say.
    """

    tick: int
    messages: Messages
    options: tuple[Option, ...]
    memory: float | None = None


@dataclass(frozen=True, slots=True)
class Pair:
    """A preference.

    Attributes:
        messages: Chat messages of the prompt.
        prefix: How the answer has begun, ``""`` or ``"SAY:"``.
        chosen, rejected: Completions after the prefix; a model ends them itself, unless they are ``"SAY:"`` alone.
        margin: By how many marks (or points of the rating) chosen is better, > 0.
        kind: Whether it teaches when to speak or what to say.
        tick: Absolute tick of the moment.
    """

    messages: Messages
    prefix: str
    chosen: str
    rejected: str
    margin: float
    kind: Kind
    tick: int


@dataclass(frozen=True, slots=True)
class Example:
    """A single answer for KTO, desirable or not; `prefix` and `completion` as in `Pair`."""

    messages: Messages
    prefix: str
    completion: str
    desirable: bool
    tick: int


@dataclass(slots=True)
class Counts:
    """What became of moments.

    Attributes:
        decision, content: Pairs kept of each kind.
        tied: Comparisons without a winner, dropped.
        unrated: Moments of which too little is known to compare anything.
    """

    decision: int = 0
    content: int = 0
    tied: int = 0
    unrated: int = 0

    @property
    def kept(self) -> int:
        """Pairs kept."""
        return self.decision + self.content


@dataclass(frozen=True, slots=True)
class Scheme:
    """How options of a moment are compared.

    Attributes:
        decision: ``"marks"``: to speak is right where timing and frequency are both given; ``"total"``: where the rating of
            the moment's text is above the worth of silence; ``"rated"``: where it is above the rating that silence got.
        content: ``"marks"``: by the marks for preference and communication; ``"total"``: by the whole rating.
        whole: Pairs are of whole answers (``SAY: text``), without a prefix; needs ``decision="rated"``.
        silence: Worth of silence, 0..4, for ``decision="total"``.
        delivered_only: Use only what the resident heard: decision pairs from it, and no content pairs, as texts of
            different moments do not compare (see `kto_examples`).
        spelt_out: The same pairs as answers that are given: no prefix, and to speak is to say a text. For trainers that end
            every completion; a decision pair then teaches the words of that text too.
    """

    decision: Literal["marks", "total", "rated"] = "marks"
    content: Literal["marks", "total"] = "marks"
    whole: bool = False
    silence: float = 2.8
    delivered_only: bool = False
    spelt_out: bool = False

    def __post_init__(self) -> None:
        if self.decision not in ("marks", "total", "rated") or self.content not in ("marks", "total"):
            raise ValueError(f"decision={self.decision!r}, content={self.content!r}: choose marks, total or (decision only) "
                             "rated")
        if self.whole and (self.decision, self.content) != ("rated", "total"):
            raise ValueError(f"whole=True with decision={self.decision!r}, content={self.content!r}: whole answers are "
                             'compared by their ratings, so use decision="rated" and content="total"')
        if not 0 <= self.silence <= 4:
            raise ValueError(f"silence={self.silence}: the worth of silence is on the scale of ratings, 0 to 4")

    @staticmethod
    def preset(name: str) -> Scheme:
        """A named scheme of ``pairs.json``.

        Raises:
            ValueError: No such scheme; near matches are listed.
        """
        return Scheme(**_preset("schemes", name))


@dataclass(frozen=True, slots=True)
class Replay:
    """Which pairs are trained on tonight.

    Attributes:
        pairs: So many of all, all days alike.
        all_of_today: All pairs of the last day, and as many of the days before.
        decision, content: Instead: so many of each kind, of which `recent_share` from the last `recent_days` days.
        recent_days: Days that count as recent, the last one included.
        recent_share: 0..1.
    """

    pairs: int | None = None
    all_of_today: bool = False
    decision: int = 0
    content: int = 0
    recent_days: int = 1
    recent_share: float = 0.0

    @staticmethod
    def preset(name: str) -> Replay:
        """A named preset of ``pairs.json``.

        Raises:
            ValueError: No such preset; near matches are listed.
        """
        return Replay(**_preset("replay", name))


@lru_cache(maxsize=1)
def _numbers() -> dict[str, Any]:
    return sourced_values(read_json(FILE), str(FILE))


def _preset(table: str, name: str) -> dict[str, Any]:
    known = _numbers()[table]
    if name not in known:
        raise ValueError(f"unknown preset {name!r} of {table}: {near_matches(name, known)}")
    return dict(known[name])


@dataclass(slots=True)
class _Collector:
    """Pairs in the making; a comparison without a winner is counted and dropped."""

    scheme: Scheme
    spell: Callable[[str], str] = str
    pairs: list[Pair] = field(default_factory=list)
    counts: Counts = field(default_factory=Counts)

    def compare(self, moment: Moment, kind: Kind, prefix: str, ours: tuple[str, float], theirs: tuple[str, float]) -> None:
        """Add the pair of two completions with their values."""
        margin = ours[1] - theirs[1]
        if margin == 0:
            self.counts.tied += 1
            return
        chosen, rejected = (ours[0], theirs[0]) if margin > 0 else (theirs[0], ours[0])
        self.pairs.append(Pair(moment.messages, prefix, chosen, rejected, abs(margin), kind, moment.tick))
        if kind == "decision":
            self.counts.decision += 1
        else:
            self.counts.content += 1

    def decision(self, moment: Moment, texts: Sequence[Option]) -> bool:
        """Whether to speak, from what is known; False where too little is."""
        spoken = next((o for o in texts if o.delivered), texts[0])
        speak = whole_answer(spoken.text, self.spell) if self.scheme.spelt_out else SPEAK
        if self.scheme.decision == "marks":
            lacking = OF_MOMENT.bit_count() - ((spoken.marks or 0) & OF_MOMENT).bit_count()
            self.compare(moment, "decision", "", (speak, 0.0), (SILENT, lacking or -1.0))
            return True
        if self.scheme.decision == "total":
            worth = self.scheme.silence
        else:
            rated = next((o.rating for o in moment.options if not o.text and o.rating is not None), None)
            if rated is None:
                return False
            worth = float(rated)
        self.compare(moment, "decision", "", (speak, float(spoken.rating or 0)), (SILENT, worth))
        return True

    def content(self, moment: Moment, texts: Sequence[Option]) -> bool:
        """What to say; False where there is nothing to compare."""
        values = {o.text: _content_value(o, self.scheme) for o in texts}
        prefix, begin = ("", f"{SPEAK} ") if self.scheme.spelt_out else (SPEAK, " ")
        for ours, theirs in combinations(values, 2):
            self.compare(moment, "content", prefix, (begin + self.spell(ours), values[ours]),
                         (begin + self.spell(theirs), values[theirs]))
        return len(values) > 1

    def whole(self, moment: Moment) -> bool:
        """Every two whole answers that were rated."""
        rated = {o.text: float(o.rating) for o in moment.options if o.rating is not None}
        for ours, theirs in combinations(rated, 2):
            kind: Kind = "content" if ours and theirs else "decision"
            self.compare(moment, kind, "", (whole_answer(ours, self.spell), rated[ours]),
                         (whole_answer(theirs, self.spell), rated[theirs]))
        return len(rated) > 1


def whole_answer(text: str, spell: Callable[[str], str] = str) -> str:
    """``"SILENT"``, or ``"SAY: text"``."""
    return f"{SPEAK} {spell(text)}" if text else SILENT


def _content_value(option: Option, scheme: Scheme) -> float:
    return float(option.rating or 0) if scheme.content == "total" else ((option.marks or 0) & OF_CONTENT).bit_count()


def _usable(moment: Moment, by: str, scheme: Scheme) -> list[Option]:
    """Texts of which what `by` compares is known."""
    known = [o for o in moment.options if o.text and (o.marks if by == "marks" else o.rating) is not None]
    return [o for o in known if o.delivered] if scheme.delivered_only else known


def pairs_of(
    moments: Sequence[Moment], scheme: Scheme | str = "moment", spell: Callable[[str], str] = str
) -> tuple[list[Pair], Counts]:
    """Preference pairs of moments, in their order.

    Args:
        moments: Decisions with what is known of their options.
        scheme: How options are compared, or the name of a preset.
        spell: A text as the model would write it (see `policy.Policy.spell`).

    Returns:
        The pairs, and what became of the moments.

    Example:
        >>> liked, disliked = Option("Some tea?", 4, 15), Option("Tidy up now.", 2, 6)
        >>> pairs, counts = pairs_of([Moment(200, ({"role": "user", "content": "Evening."},), (liked, disliked))])
        >>> [(p.prefix, p.chosen, p.rejected) for p in pairs]
        [('', 'SAY:', 'SILENT'), ('SAY:', ' Some tea?', ' Tidy up now.')]
    """
    scheme = Scheme.preset(scheme) if isinstance(scheme, str) else scheme
    collector = _Collector(scheme, spell)
    for moment in moments:
        if scheme.whole:
            usable = collector.whole(moment)
        else:
            texts = _usable(moment, scheme.decision, scheme)
            usable = bool(texts) and collector.decision(moment, texts)
            if not scheme.delivered_only:
                usable |= collector.content(moment, _usable(moment, scheme.content, scheme))
        collector.counts.unrated += not usable
    return collector.pairs, collector.counts


def kto_examples(
    moments: Sequence[Moment], threshold: float | None = None, delivered_only: bool = True,
    spell: Callable[[str], str] = str,
) -> list[Example]:
    """Single answers with whether they are desirable, for feedback in which only what was said is rated.

    Args:
        moments: Decisions with what is known of their options; silence counts where it was rated.
        threshold: Rating from which an answer is desirable; by default that of ``pairs.json``.
        delivered_only: Leave out what was rated without being heard.
        spell: A text as the model would write it.
    """
    least = float(_numbers()["desirable_from"]) if threshold is None else threshold
    return [
        Example(moment.messages, "", whole_answer(option.text, spell), option.rating >= least, moment.tick)
        for moment in moments for option in moment.options
        if option.rating is not None and (option.delivered or not delivered_only)
    ]


def replay(
    pairs_by_day: Mapping[int, Sequence[Pair]], preset: Replay | str, rng: np.random.Generator
) -> list[Pair]:
    """Draw tonight's pairs from those of all days so far, without drawing one twice, in random order.

    Args:
        pairs_by_day: Pairs of each day; the largest day is today.
        preset: What to draw, or the name of a preset.
        rng: Draws; the same generator and pairs give the same list.
    """
    plan = Replay.preset(preset) if isinstance(preset, str) else preset
    if not pairs_by_day:
        return []
    today = max(pairs_by_day)
    if plan.all_of_today:
        new = list(pairs_by_day[today])
        drawn = new + _draw(list(_between(pairs_by_day, None, today)), len(new), rng)
    elif plan.pairs is not None:
        drawn = _draw(list(_between(pairs_by_day, None, today + 1)), plan.pairs, rng)
    else:
        drawn = []
        first = today - plan.recent_days + 1
        for kind, number in (("decision", plan.decision), ("content", plan.content)):
            recent = [p for p in _between(pairs_by_day, first, today + 1) if p.kind == kind]
            old = [p for p in _between(pairs_by_day, None, first) if p.kind == kind]
            wanted = round(number * plan.recent_share)
            of_old = min(len(old), number - min(len(recent), wanted))  # what one side lacks the other gives
            drawn += _draw(recent, number - of_old, rng) + _draw(old, of_old, rng)
    return _draw(drawn, len(drawn), rng)


def _between(pairs_by_day: Mapping[int, Sequence[Pair]], first: int | None, end: int) -> Iterator[Pair]:
    for day in sorted(pairs_by_day):
        if day < end and (first is None or day >= first):
            yield from pairs_by_day[day]


def _draw(pool: Sequence[Pair], number: int, rng: np.random.Generator) -> list[Pair]:
    return [pool[i] for i in rng.permutation(len(pool))[:number]]
