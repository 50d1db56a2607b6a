"""What memory expects of a text at a moment: how likely each mark is, and what saying it would earn.

Evidence is counted over rated records, weighed by how like this moment and this text they are. A small logistic regression for
each mark says how far to trust which evidence. It is fitted every night to this resident's ratings; where it starts is the
*prior*: `neutral` trusts the plainest evidence as it is, `pooled` was fitted to train personas.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from propersim_env.clock import MINUTES_PER_TICK, TICKS_PER_DAY, TICKS_PER_HOUR, is_weekend
from propersim_env.names import near_matches
from propersim_env.schema import read_json, sourced_values

from .labels import Labels
from .memory import TextEncoder
from .regression import Floats, chance, fit, logit
from .tallies import Instant, Judged, given_marks

FILE = Path(__file__).with_name("expectation.json")

CONTENT = ("constant", "topic now", "topic", "topic now at this hour", "topic at this hour", "like texts", "about the activity",
           "habit", "satiation", "repeated")
MANNER = ("constant", "tone", "like texts", "words")
TIMING = ("constant", "moments", "hour", "activity", "begun", "lasting", "load", "tired")
FREQUENCY = ("constant", "like dose", "very like dose", "gap", "load")
WELCOME = ("constant", "memory", "model")
AGAINST = {"habit", "satiation", "repeated", "load", "tired"}
"""Evidence that can only speak against a text."""
EITHER = {"constant", "begun", "lasting", "words"}
"""Evidence that may speak for one resident's texts and against another's."""
FEATURES: Mapping[str, tuple[str, ...]] = {
    "preference": CONTENT, "timing": TIMING, "frequency": FREQUENCY, "communication": MANNER}
"""Evidence for each mark, in the order of `propersim_env.messages.DIMENSIONS`."""


def signs(names: Sequence[str]) -> Floats:
    """Which sign the weight of each piece of evidence may have: -1, 1, or 0 for either."""
    return np.array([0.0 if name in EITHER else -1.0 if name in AGAINST else 1.0 for name in names])


@lru_cache(maxsize=1)
def numbers() -> dict[str, Any]:
    """The numbers of ``expectation.json``."""
    return sourced_values(read_json(FILE), str(FILE))


@dataclass(frozen=True)
class Prior:
    """What is believed of evidence before this resident rated anything.

    Attributes:
        weights: Of the evidence for each mark and for decisions (`WELCOME`), in its order.
        trust: In the weights of each mark: penalty on going away from them, in ratings' worth (see `regression.fit`).
        learned_from: Splits, populations or ids of the people whom it was fitted to.
    """

    weights: Mapping[str, Floats]
    trust: Mapping[str, float]
    learned_from: tuple[str, ...] = ()


def prior(name: str) -> Prior:
    """A prior of ``expectation.json`` by name, or of another file (``*.json``) that has the same form.

    Raises:
        ValueError: No such prior, or it weighs evidence that is not known.
    """
    known: dict[str, Any] = numbers()["priors"]
    if name.endswith(".json"):
        known = {name: read_json(Path(name))}
    if name not in known:
        raise ValueError(f"unknown prior {name!r} of what memory expects: {near_matches(name, known)}")
    names, given = {**FEATURES, "welcome": WELCOME}, known[name]
    for mark, values in given["weights"].items():
        if strange := set(values) - set(names.get(mark, ())):
            raise ValueError(f"prior {name!r}: nothing called {min(strange)!r} is known as evidence for {mark!r}")
    return Prior({mark: np.array([float(given["weights"].get(mark, {}).get(f, 0.0)) for f in names[mark]]) for mark in names},
                 {mark: float(given["trust"][mark]) for mark in names}, tuple(given.get("learned_from", ())))


class _Rows:
    """Numbers of records in columns that grow."""

    def __init__(self, width: int) -> None:
        self.size, self._data = 0, np.zeros((width, 256))

    def add(self, *values: float) -> None:
        if self.size == self._data.shape[1]:
            self._data = np.concatenate([self._data, np.zeros((len(self._data), max(256, self.size)))], axis=1)
        self._data[:, self.size] = values
        self.size += 1

    def keep_last(self, n: int) -> None:
        """Forget all but the last n records."""
        if self.size > n:
            self._data, self.size = self._data[:, self.size - n : self.size].copy(), n

    @property
    def columns(self) -> Floats:
        return self._data[:, : self.size]


class _Table:
    """Rows of numbers that belong to texts, each computed once.

    Args:
        row: Gives the row of a text.
    """

    def __init__(self, row: Callable[[str], NDArray[Any]]) -> None:
        self.row, self._of = row, dict[str, int]()
        self._rows = np.zeros((0, 0))

    def __call__(self, text: str) -> int:
        """Index of a text's row."""
        k = self._of.get(text)
        if k is None:
            k, row = len(self._of), self.row(text)
            self._of[text] = k
            if k == len(self._rows):
                self._rows = np.concatenate([self._rows.reshape(-1, len(row)), np.zeros((max(64, k), len(row)))])
            self._rows[k] = row
        return k

    @property
    def rows(self) -> Floats:
        """All rows, float64, shape (texts, numbers)."""
        return self._rows[: len(self._of)]


class Expectation:
    """What one resident's ratings let expect.

    Args:
        labels: Topics and tones of texts.
        encoder: For likeness of activities and of texts.
        half_life_days: What was learnt counts half after this time.
        by_dimension: Whether marks are known (level ASCR) or ratings only (ASC): then all four marks are said to be given
            where the rating is 3 or 4, and none elsewhere.
        prior_name: Where weights start (see `prior`).
    """

    def __init__(self, labels: Labels, encoder: TextEncoder, half_life_days: float, by_dimension: bool,
                 prior_name: str) -> None:
        self.labels, self.half_life_days, self.by_dimension = labels, half_life_days, by_dimension
        self.prior = prior(prior_name)
        self.weights = dict(self.prior.weights)
        self.encoder = encoder
        self.actions = _Table(lambda action: encoder.encode([action])[0])
        self.texts = _Table(self._row)
        self._topics = slice(0, len(labels.setting.topics))
        self._tones = slice(self._topics.stop, self._topics.stop + len(labels.setting.tones))
        self._embedded = slice(self._tones.stop, None)
        self._rated = _Rows(12)  # day, minute, weekend, begun, log gap, log load, action, text, and the four marks
        self._said = _Rows(4)  # tick, text, whether it was wanted, marks that were not given
        self._kept = {mark: _Rows(len(names) + 2) for mark, names in FEATURES.items()}  # day, whether given, and the evidence
        self._at: tuple[Instant, int] | None = None
        self._likeness: tuple[Floats, Floats, Floats] = (np.zeros(0), np.zeros(0), np.zeros(0))

    @property
    def count(self) -> int:
        """Ratings known."""
        return self._rated.size

    def _row(self, text: str) -> Floats:
        """Shares of topics, shares of tones, and the embedding of a text."""
        row = np.zeros(self._tones.stop)
        for part, shares in zip((self._topics, self._tones), self.labels.read(text), strict=True):
            for index, share in shares:
                row[part.start + index] = share
        return np.concatenate([row, self.encoder.encode([text])[0]])

    def said(self, tick: int, text: str) -> None:
        """Something was said; until its rating is known it counts as wanted."""
        self._said.add(tick, self.texts(text), 1.0, 0.0)

    def learn(self, judged: Sequence[Judged]) -> None:
        """Take in ratings in the order of time.

        Every rating is first held against what memory knew before any of these was told: this is what `night` fits to.
        """
        if self._rated.size:
            for instant, group in groupby(judged, key=lambda one: one.instant):
                self._keep(instant, list(group))
        for one in judged:
            at, given = one.instant, given_marks(one.marks, self.by_dimension)
            self._rated.add(at.tick // TICKS_PER_DAY, *_clock(at), _log_gap(at.gap), np.log1p(at.load), self.actions(at.action),
                            self.texts(one.text), *given)
            if one.delivered:
                self._tell(at.tick, given)

    def _tell(self, tick: int, given: Floats) -> None:
        """The rating of what was said at a tick is known."""
        data = self._said.columns
        k = int(np.searchsorted(data[0], tick))
        if k < self._said.size and data[0, k] == tick:
            data[2, k], data[3, k] = given[0], 4 - given.sum()

    def _keep(self, instant: Instant, judged: Sequence[Judged]) -> None:
        """Remember what evidence there was for ratings of one moment."""
        day = instant.tick // TICKS_PER_DAY
        timing, frequency = self._moment_features(instant)
        content, manner = self._text_features(instant, [one.text for one in judged])
        for k, one in enumerate(judged):
            given = given_marks(one.marks, self.by_dimension)
            rows = (content[k], timing, frequency, manner[k])
            for mark, row, value in zip(FEATURES, rows, given.tolist(), strict=True):
                self._kept[mark].add(day, value, *row)

    def night(self, today: int) -> None:
        """Fit the weights to the ratings so far."""
        p = numbers()
        for mark, kept in self._kept.items():
            if kept.size < p["fewest_fitted"]:
                continue
            kept.keep_last(p["most_fitted"])
            days, rows, given = self.evidence(mark)
            per_day = np.bincount(days)[days]
            counts = 0.5 ** ((today - days) / self.half_life_days) * np.minimum(1.0, p["fitted_a_day"] / per_day)
            start, trust = self.prior.weights[mark], self.prior.trust[mark]
            self.weights[mark] = fit(rows, given, counts, start, trust, signs(FEATURES[mark]))

    def evidence(self, mark: str) -> tuple[NDArray[np.intp], Floats, Floats]:
        """What was held against ratings: days, evidence of shape (ratings, features), and whether the mark was given."""
        days, given, *rows = self._kept[mark].columns
        return days.astype(np.intp), np.stack(rows, axis=1), given

    def fit_welcome(self, log_odds: Sequence[float], memory: Sequence[float], welcome: Sequence[bool]) -> None:
        """Weigh the language model's log-odds of speaking against memory's, on moments whose answers are known."""
        rows = np.stack([np.ones(len(memory)), np.array(memory), np.array(log_odds) / numbers()["odds_scale"]], axis=1)
        self.weights["welcome"] = fit(rows, np.array(welcome, float), np.ones(len(rows)), self.prior.weights["welcome"],
                                      self.prior.trust["welcome"], signs(WELCOME))

    def moment_marks(self, at: Instant) -> tuple[float, float]:
        """Probabilities of the marks for timing and for frequency of a text at this moment, by memory alone."""
        timing, frequency = self._moment_features(at)
        return (float(chance(timing @ self.weights["timing"])), float(chance(frequency @ self.weights["frequency"])))

    def moment(self, at: Instant) -> float:
        """Log-odds that both are given."""
        timing, frequency = self.moment_marks(at)
        return float(logit(np.array(timing * frequency)))

    def welcome(self, memory: float, log_odds: float) -> float:
        """Probability that a text is welcome now, by memory (see `moment`) and by the language model."""
        w = self.weights["welcome"]
        return float(chance(w[0] + w[1] * memory + w[2] * np.array(log_odds) / numbers()["odds_scale"]))

    def content(self, at: Instant, texts: Sequence[str]) -> Floats:
        """Marks for what is said (preference and communication) that each text can expect now, 0..2."""
        content, manner = self._text_features(at, texts)
        return np.asarray(chance(content @ self.weights["preference"]) + chance(manner @ self.weights["communication"]))

    def _like_now(self, at: Instant) -> tuple[Floats, Floats, Floats]:
        """For all ratings: how little they have aged, how like their activity is to this one, minutes apart on the clock."""
        if self._at != (at, self._rated.size):
            rated = self._rated.columns
            age = 0.5 ** np.maximum(0.0, (at.tick / TICKS_PER_DAY - rated[0]) / self.half_life_days)
            here = self.actions(at.action)
            alike = np.clip(self.actions.rows @ self.actions.rows[here], 0, 1)
            self._at = (at, self._rated.size)
            self._likeness = (age, alike[rated[6].astype(int)], np.abs(rated[1] - _clock(at)[0]))
        return self._likeness

    def _moment_features(self, at: Instant) -> tuple[Floats, Floats]:
        """Evidence for timing and for frequency, in the order of `TIMING` and `FREQUENCY`."""
        p, rated = numbers(), self._rated.columns
        age, near, apart = self._like_now(at)
        _, weekend, begun = _clock(at)
        given = rated[8:]
        kind = np.where(rated[2] == weekend, 1.0, p["other_kind_of_day"])
        stage = np.where(rated[3] == begun, 1.0, p["other_stage"])
        wide, hour = (np.exp(-0.5 * (apart / p[name]) ** 2) for name in ("minutes_wide", "minutes_narrow"))
        doing = p["any_activity"] + (1 - p["any_activity"]) * near ** p["activity_sharpness"]
        evidence = (age * kind * stage * doing * wide, age * kind * hour, age * stage * near ** (2 * p["activity_sharpness"]))
        days = rated[0].astype(int)
        shares = [_share(weights, days, given[1], p["expected_timing"]) for weights in evidence]
        tired = self._tired(at.tick)
        gap, load = _log_gap(at.gap), np.log1p(at.load)
        timing = np.array([1.0, *shares, begun, min(at.lasting, 120.0) / 60, load, tired])
        d_gap, d_load = rated[4] - gap, rated[5] - load
        alike = (age * np.exp(-0.5 * ((d_gap / a) ** 2 + (d_load / b) ** 2)) for a, b in (p["dose_wide"], p["dose_narrow"]))
        felt = [_share(weights, days, given[2], p["expected_frequency"]) for weights in alike]
        return timing, np.array([1.0, *felt, gap, load])

    def _tired(self, tick: int) -> float:
        """Marks lately not given for what was said, each fading; on a logarithmic scale."""
        said = self._said.columns
        if not self._said.size:
            return 0.0
        hours = (tick - said[0]) / TICKS_PER_HOUR
        fading = np.where(hours > 0, np.exp(-np.maximum(hours, 0) / numbers()["tired_hours"]), 0.0)
        return float(np.log1p(said[3] @ fading))

    def _text_features(self, at: Instant, texts: Sequence[str]) -> tuple[Floats, Floats]:
        """Evidence for preference and for communication: shapes (texts, features), in the order of `CONTENT` and `MANNER`."""
        p, rated = numbers(), self._rated.columns
        ids = [self.texts(text) for text in texts]
        age, near, apart = self._like_now(at)
        given, of_text, known = rated[8:], rated[7].astype(int), self.texts.rows
        wanted, sounds, rows = given[0], given[3], known[ids]
        here = age * (p["any_activity_content"] + (1 - p["any_activity_content"]) * near ** p["activity_sharpness"])
        then = age * np.exp(-0.5 * (apart / p["topic_minutes"]) ** 2)
        likely = p["expected_preference"]
        kind = np.where(rated[2] == _clock(at)[1], 1.0, p["other_kind_of_day"])
        now, ever, both, hour = (_by_label(known[:, self._topics], rows[:, self._topics], of_text, weights, wanted, likely)
                                 for weights in (here, age, here * then * kind, then))
        like = np.clip(rows[:, self._embedded] @ known[:, self._embedded].T, 0, 1) ** p["text_sharpness"]
        about = rows[:, self._embedded] @ self.actions.rows[self.actions(at.action)]
        constant = np.ones(len(ids))
        content = np.stack([constant, now, ever, both, hour, _by_text(like, of_text, here, wanted, likely), about,
                            *self._worn(at.tick, rows)], axis=1)
        likely = p["expected_communication"]
        manner = np.stack([constant, _by_label(known[:, self._tones], rows[:, self._tones], of_text, age, sounds, likely),
                           _by_text(like, of_text, age, sounds, likely),
                           np.array([len(text.split()) for text in texts]) / 20], axis=1)
        return content, manner

    def _worn(self, tick: int, rows: Floats) -> tuple[Floats, Floats, Floats]:
        """How used up texts are: their topics by habit, their topics by what was just taken up, their words by repetition."""
        said, p = self._said.columns, numbers()
        hours = np.maximum((tick - said[0]) / TICKS_PER_HOUR, 0)
        before = (said[0] < tick).astype(float)
        heard = self.texts.rows[said[1].astype(int)]
        same = rows[:, self._topics] @ heard[:, self._topics].T * before
        habit = np.log1p(same @ 0.5 ** (hours / 24 / p["habit_days"]))
        full = same @ (said[2] * np.exp(-hours / p["satiation_hours"]))
        words = np.clip(rows[:, self._embedded] @ heard[:, self._embedded].T, 0, 1) ** p["repeat_sharpness"]
        return habit, full, np.minimum(words @ (before * (hours < 24 * p["repeat_days"])), 2.0)


def _clock(at: Instant) -> tuple[float, float, float]:
    """Minute of the day, whether it is a weekend, and whether the activity has just begun."""
    day, tick = divmod(at.tick, TICKS_PER_DAY)
    return tick * MINUTES_PER_TICK, float(is_weekend(day)), float(at.lasting < numbers()["begun_minutes"])


def _log_gap(minutes: float) -> float:
    """Gaps on a logarithmic scale (base 2, hours); never having spoken is the longest."""
    longest = numbers()["longest_gap_minutes"]
    return float(np.log2((longest if minutes < 0 else min(max(minutes, 2.5), longest)) / 60))


def _share(weights: Floats, days: NDArray[np.intp], given: Floats, expected: float) -> float:
    """Log-odds of a mark by weighed records, with `doubt` records' worth of what is expected without any.

    However many ratings there are of one day, they tell of one day: together they count as `most_a_day` records at most.
    """
    p = numbers()
    every, good = np.bincount(days, weights), np.bincount(days, weights * given)
    counts = 1 / (1 + every / p["most_a_day"])
    return float(logit(np.array((good @ counts + expected * p["doubt"]) / (every @ counts + p["doubt"]))))


def _by_label(
    known: Floats, rows: Floats, of_text: NDArray[np.intp], weights: Floats, given: Floats, expected: float
) -> Floats:
    """Log-odds of a mark for texts, by records that share their labels.

    Args:
        known: Shares of labels of all known texts, shape (known, labels).
        rows: Those of the texts asked about, shape (texts, labels).
        of_text: Which known text each record is of.
        weights: Of records.
        given: Whether each got the mark, 0 or 1.
        expected: Share of the mark without records.
    """
    doubt = numbers()["doubt_topic"]
    good = known.T @ np.bincount(of_text, weights * given, len(known))
    every = known.T @ np.bincount(of_text, weights, len(known))
    return logit(rows @ ((good + expected * doubt) / (every + doubt)))


def _by_text(like: Floats, of_text: NDArray[np.intp], weights: Floats, given: Floats, expected: float) -> Floats:
    """Log-odds of a mark for texts, by records of like texts; `like` has shape (texts, known)."""
    n, doubt = like.shape[1], numbers()["doubt_text"]
    good, every = np.bincount(of_text, weights * given, n), np.bincount(of_text, weights, n)
    return logit((like @ good + expected * doubt) / (like @ every + doubt))
