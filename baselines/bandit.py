"""What the two bandit baselines share: features of a moment, one linear model per mark, and the choice of what to say.

A recommendation is a topic put in a tone at a moment. Four linear models give the probability of the four marks, each from
the features that can matter to it (see `Moment` and `Content`); their sum is the expected rating. The assistant speaks when
the best recommendation is expected to earn more than `worth`, on the scale of utility, (rating - 2) / 2, where silence earns
0. What a recommendation costs those after it is met by the frequency model, whose features are how much was said lately.

Everything comes from observations: the clock, what the resident does, what was said, and how that was marked. The setting
(topics, catalogue, phrases for activities) is public; the persona is not used, even where it is revealed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from propersim_env.agents.users.simulated.encoder import Encoder
from propersim_env.clock import MINUTES_PER_TICK, TICKS_PER_DAY, TICKS_PER_HOUR, is_weekend
from propersim_env.observation import Observation, read_observation
from propersim_env.seeding import rng_from_state, rng_state, stream
from propersim_env.setting import load_setting

Floats = NDArray[np.float64]
FINE_HOURS, COARSE_HOURS = 1.0, 2.0
"""Spacing of the bumps over the day: fine for when to speak, coarse for what about (one set for each topic)."""
MEANINGS = 12
"""Principal components of the activity's embedding."""
DOSE_HOURS, WEARY_HOURS, TOPIC_HOURS, TOPIC_DAYS = 12.0, 12.0, 4.0, 14.0
"""Hours and days in which what was said fades by a factor e (assumption: half a day for all, hours and weeks by topic)."""
DOSE_KINKS = (0.0, 1.0, 2.0, 4.0, 8.0)
GAP_MINUTES = (20.0, 60.0, 240.0)
FRESH_MINUTES = 7.5
WORD_KINKS = (12.0, 18.0, 24.0)
TIES = 1e-3
"""Weight of what is beyond 0..1 where several recommendations are equal."""
REST_DAYS = 7
"""Days for which a text is not said again."""


def bumps(hours: float) -> Floats:
    """Smooth features of the time of day, shape ``(576, n)``: bumps `hours` apart that sum to 1, around midnight too."""
    n = round(24 / hours)
    clock = np.arange(TICKS_PER_DAY) / TICKS_PER_HOUR
    distance = np.abs((clock[:, None] - hours * np.arange(n) + 12) % 24 - 12) / hours
    values: Floats = np.where(distance < 1, 0.5 + 0.5 * np.cos(np.pi * np.minimum(distance, 1)), 0.0)
    return values


@dataclass(slots=True)
class Sample:
    """The features of one recommendation, for each mark: places among the weights, and values there. Elsewhere they are 0."""

    places: list[list[int]]
    values: list[list[float]]


class LinearModel:
    """Bayesian linear regression by rank-one updates; with prior variance 1 / penalty it is ridge regression.

    Args:
        mean: Prior mean of the weights, shape ``(d,)``.
        covariance: Prior covariance, shape ``(d, d)``.
        noise: Variance of an observation around the line, > 0.
    """

    def __init__(self, mean: Floats, covariance: Floats, noise: float) -> None:
        if covariance.shape != (len(mean), len(mean)):
            raise ValueError(f"covariance of shape {covariance.shape} for {len(mean)} weights: it must be square and fit")
        if not noise > 0:
            raise ValueError(f"noise={noise} is no variance: it must be above 0")
        self.mean, self.covariance, self.noise = mean.copy(), covariance.copy(), noise

    def update(self, places: Sequence[int], values: Sequence[float], target: float) -> None:
        """Learn from one observation whose features are `values` at `places`, and 0 elsewhere."""
        at, x = np.asarray(places), np.asarray(values)
        gain = self.covariance[:, at] @ x
        spread = float(gain[at] @ x) + self.noise
        self.mean += gain * ((target - float(self.mean[at] @ x)) / spread)
        self.covariance -= np.outer(gain, gain / spread)


SCALES = {
    "1": 0.5, "likeness": 0.1, "said": 0.2, "topic": 0.3, "topic likeness": 0.1, "topic at hour": 0.2,
    "hour": 0.3, "weekend hour": 0.1, "fresh": 0.2, "company": 0.1, "weary": 0.2, "activity": 0.05,
    "gap": 0.4, "dose": 0.3, "number": 0.2, "tone": 0.3, "words": 0.1,
}
"""Standard deviation of a weight by its group, before anything is known (assumption): a large one is learnt quickly, a small
one slowly. The ridge penalty of a weight is the noise over its square."""


def plain_models(of: World, start: float, noise: float) -> list[LinearModel]:
    """Models that expect `start` (0..1) of every mark and know nothing else; marks vary around their lines by `noise`."""
    models = []
    for groups in of.groups:
        mean = np.zeros(len(groups))
        mean[0] = start
        models.append(LinearModel(mean, np.diag([SCALES[group] ** 2 for group in groups]), noise))
    return models


class World:
    """The public side of a setting as arrays; made once for each setting (see `world`).

    Attributes:
        texts: Catalogue texts, ordered by topic.
        topic: Topic of each text; `starts`, where the texts of each topic begin.
        manner: Features of how a text is put, shape ``(texts, n)``: 1, its tone (one of n), and its words beyond 12, 18, 24.
        sizes: Number of weights of each mark's model.
        groups: Name of the group of each weight, for each mark.
    """

    def __init__(self, setting: str) -> None:
        loaded = load_setting(setting)
        catalogue = sorted((t for t in loaded.catalogue), key=lambda t: loaded.topic_index[t.topic])
        self.texts = [t.text for t in catalogue]
        self.topic = np.array([loaded.topic_index[t.topic] for t in catalogue])
        self.spoken = np.unique(self.topic)
        self.starts = np.searchsorted(self.topic, self.spoken)
        tones = [tone.id for tone in loaded.tones]
        self.manner = np.zeros((len(catalogue), 1 + len(tones) + len(WORD_KINKS)))
        self.manner[:, 0] = 1
        for row, entry in enumerate(catalogue):
            self.manner[row, 1 + tones.index(entry.tone)] = 1
            words = len(entry.text.split())
            self.manner[row, -len(WORD_KINKS) :] = [max(0.0, words - kink) / 6 for kink in WORD_KINKS]
        self.fine, self.coarse = bumps(FINE_HOURS), bumps(COARSE_HOURS)
        self._meaning(loaded.topics, [phrase for a in loaded.activities for phrase in a.texts])
        topics, hours = len(self.spoken), self.coarse.shape[1]
        shared = ["1", "likeness", "likeness", "said", "said"]
        self.shared, self.width = len(shared), 2 + hours
        self.groups = (
            [*shared, *(["topic", "topic likeness"] + ["topic at hour"] * hours) * topics],
            ["1"] + ["hour"] * self.fine.shape[1] + ["weekend hour"] * hours + ["fresh", "company", "weary"]
            + ["activity"] * MEANINGS,
            ["1"] + ["gap"] * len(GAP_MINUTES) + ["dose"] * len(DOSE_KINKS) + ["number"] * 2,
            ["1"] + ["tone"] * len(tones) + ["words"] * len(WORD_KINKS),
        )
        self.sizes = tuple(len(g) for g in self.groups)
        own = self.shared + self.width * np.arange(topics)[:, None] + np.arange(self.width)
        self.places = np.hstack([np.tile(np.arange(self.shared), (topics, 1)), own])

    def _meaning(self, topics: Sequence[Any], phrases: Sequence[str]) -> None:
        self._encoder = Encoder.load()
        known = self._encoder.encode(phrases).astype(float)
        self._centre = known.mean(axis=0)
        _, size, axes = np.linalg.svd(known - self._centre, full_matrices=False)
        signs = np.sign(axes[np.arange(MEANINGS), np.abs(axes[:MEANINGS]).argmax(axis=1)])
        self._axes = axes[:MEANINGS] * (signs / (size[0] / np.sqrt(len(phrases))))[:, None]
        lines = [f"{topics[k].name} {topics[k].description} {' '.join(topics[k].keywords)}" for k in self.spoken]
        self._topics = self._encoder.encode(lines).astype(float)
        alike = known @ self._topics.T
        self._usual, self._spread = alike.mean(axis=0), alike.std(axis=0)
        self._seen: dict[str, tuple[Floats, Floats]] = {}

    def activity(self, phrase: str) -> tuple[Floats, Floats]:
        """A phrase's principal components, and how like each topic it is, in standard deviations (bounded memo)."""
        found = self._seen.get(phrase)
        if found is None:
            if len(self._seen) >= 20_000:
                self._seen.clear()
            e = self._encoder.encode([phrase])[0].astype(float)
            found = self._seen[phrase] = (self._axes @ (e - self._centre), (e @ self._topics.T - self._usual) / self._spread)
        return found


@lru_cache(maxsize=4)
def world(setting: str) -> World:
    """The `World` of a setting."""
    return World(setting)


class Moment:
    """What was seen and said so far, and the features of now.

    Timing: 1; time of day (bumps an hour apart); on weekends, time of day again (2 hours apart); how new the activity is,
    exp(-minutes / 7.5); whether somebody else is at home; weariness, the marks that recent texts lost on preference and
    frequency, fading over half a day; 12 principal components of the activity's embedding.

    Frequency: 1; exp(-minutes since the last text / 20, 60, 240); the dose, a count of what was said that fades over half a
    day, and what of it is beyond 1, 2, 4 and 8; the numbers said today and yesterday.

    Preference, for each topic: likeness of activity and topic, and what of it is beyond one standard deviation; how lately
    the topic was welcome, fading over 4 hours, and spoken of, fading over 14 days; and weights of the topic's own for 1,
    likeness, and the time of day (2 hours apart).
    """

    def __init__(self, of: World) -> None:
        self.world = of
        self.now, self.action, self.changed, self.company = -1, "", 0, False
        self.last, self.topic, self.dose, self.weary = -(10**6), 0, 0.0, 0.0
        self.topic_levels = np.zeros((2, len(of.spoken)))
        self.numbers: dict[int, int] = {}

    def see(self, seen: Observation) -> None:
        """Go on to the tick of an observation."""
        ticks = seen.tick - self.now
        if seen.action != self.action or ticks > 1:
            self.action, self.changed = seen.action, seen.tick
        hours = ticks / TICKS_PER_HOUR
        self.dose *= np.exp(-hours / DOSE_HOURS)
        self.weary *= np.exp(-hours / WEARY_HOURS)
        self.now, self.company = seen.tick, bool(seen.company)
        self.topic_levels *= np.exp(-hours / np.array([[TOPIC_HOURS], [24 * TOPIC_DAYS]]))

    def say(self, topic: int) -> None:
        """Note that a text on a topic (by its place among those spoken of) is said now."""
        self.last = self.now
        self.dose += 1
        self.topic, self.topic_levels[1, topic] = topic, self.topic_levels[1, topic] + 1
        day = self.now // TICKS_PER_DAY
        self.numbers = {d: n for d, n in self.numbers.items() if d >= day - 1}
        self.numbers[day] = self.numbers.get(day, 0) + 1

    def hear(self, marks: int) -> None:
        """Note how the last text was marked."""
        self.topic_levels[0, self.topic] += marks & 1
        self.weary += 0.5 * (not marks & 1) + (not marks & 4)

    def timing(self) -> Floats:
        """Features of the timing model."""
        day, tick = divmod(self.now, TICKS_PER_DAY)
        fresh = np.exp(-(self.now - self.changed) * MINUTES_PER_TICK / FRESH_MINUTES)
        coarse = self.world.coarse[tick]
        return np.concatenate([
            [1.0], self.world.fine[tick], coarse if is_weekend(day) else 0 * coarse,
            [fresh, self.company, self.weary / 2], self.world.activity(self.action)[0]])

    def frequency(self) -> Floats:
        """Features of the frequency model."""
        day, gap = self.now // TICKS_PER_DAY, (self.now - self.last) * MINUTES_PER_TICK
        return np.array([1.0, *(np.exp(-gap / m) for m in GAP_MINUTES),
                         *(max(0.0, self.dose - kink) / (1 + kink) for kink in DOSE_KINKS),
                         self.numbers.get(day, 0) / 4, self.numbers.get(day - 1, 0) / 4])

    def preference(self) -> Floats:
        """Features of the preference model, one row for each topic; they belong at `World.places`."""
        alike = self.world.activity(self.action)[1]
        rows = np.empty((len(alike), self.world.places.shape[1]))
        rows[:, 0] = 1
        rows[:, 1], rows[:, 2] = alike / 2, np.maximum(0, alike - 1)
        rows[:, 3], rows[:, 4] = self.topic_levels
        rows[:, 5], rows[:, 6] = 1, alike / 2
        rows[:, 7:] = self.world.coarse[self.now % TICKS_PER_DAY]
        return rows

    def get_state(self) -> dict[str, Any]:
        """State as JSON values."""
        return {"now": self.now, "action": self.action, "changed": self.changed, "last": self.last,
                "topic": self.topic, "dose": float(self.dose), "weary": float(self.weary), "topics": self.topic_levels.tolist(),
                "numbers": list(self.numbers.items())}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Restore what `get_state` gave."""
        self.now, self.action, self.changed = state["now"], state["action"], state["changed"]
        self.last, self.topic, self.dose, self.weary = state["last"], state["topic"], state["dose"], state["weary"]
        self.topic_levels = np.array(state["topics"])
        self.numbers = {int(day): int(n) for day, n in state["numbers"]}


class Talker(ABC):
    """Says texts of the catalogue and remembers, of each, its features and the marks it got. What it says is in `choose`.

    Args:
        setting: Whose topics and catalogue.
    """

    def __init__(self, setting: str) -> None:
        self.setting, self.world = setting, world(setting)

    @abstractmethod
    def choose(self) -> int | None:
        """The text to say now, None for silence."""

    def reset(self, seed: int) -> None:
        """Forget the resident."""
        self.rng = stream(seed, "bandit")
        self.moment = Moment(self.world)
        self.learnt: list[tuple[Sample, int]] = []
        self.pending: Sample | None = None
        self.said: dict[int, int] = {}

    def act(self, observation: str) -> str:
        """Learn from how the last text was marked, then speak or not."""
        seen = read_observation(observation)
        self.moment.see(seen)
        if self.pending is not None:
            sample, self.pending = self.pending, None
            if seen.marks is not None:
                self.moment.hear(seen.marks)
                self.take_in(sample, seen.marks)
            self.prepare()
        text = self.choose()
        return "" if text is None else self.say(text)

    def prepare(self) -> None:  # noqa: B027 (not everybody has something to prepare)
        """Make ready for the next choice, after something was said."""

    def take_in(self, sample: Sample, marks: int) -> None:
        """Learn how a text was marked."""
        self.learnt.append((sample, marks))

    def say(self, text: int) -> str:
        """Say a text, and keep the features with which its marks will be learnt from."""
        topic = int(np.searchsorted(self.world.spoken, self.world.topic[text]))
        rows = (self.moment.preference()[topic], self.moment.timing(), self.moment.frequency(), self.world.manner[text])
        places = [self.world.places[topic].tolist(), *(list(range(len(row))) for row in rows[1:])]
        self.pending = Sample(places, [row.tolist() for row in rows])
        self.moment.say(topic)
        self.said[text] = self.moment.now
        return self.world.texts[text]

    def get_state(self) -> dict[str, Any]:
        """State as JSON values: what was said and how it was marked, from which all that was learnt follows."""
        return {"rng": rng_state(self.rng), "moment": self.moment.get_state(), "said": list(self.said.items()),
                "learnt": [{"sample": asdict(sample), "marks": marks} for sample, marks in self.learnt],
                "pending": None if self.pending is None else asdict(self.pending)}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Restore what `get_state` gave."""
        self.reset(0)
        for row in state["learnt"]:
            self.take_in(Sample(**row["sample"]), row["marks"])
        self.moment.set_state(state["moment"])
        self.said = {int(text): int(tick) for text, tick in state["said"]}
        self.pending = Sample(**state["pending"]) if state["pending"] else None
        self.rng = rng_from_state(state["rng"])


class Bandit(Talker):
    """An assistant with a linear model for each mark. What `LinUCB` and `Thompson` add is in `begin`, `view` and `hopes`.

    Args:
        worth: Utility that a text must be expected to earn, -1..1; the price of the room that it takes from later ones.
        easing: By how much that price falls in a day of silence, >= 0; it never falls below 0.
        setting: Whose topics and catalogue.
    """

    def __init__(self, worth: float, easing: float, setting: str) -> None:
        if not -1 <= worth <= 1:
            raise ValueError(f"worth={worth} is no utility: it must be between -1 and 1")
        if easing < 0:
            raise ValueError(f"easing={easing} is negative: choose 0 (the price never falls) or more")
        super().__init__(setting)
        self.worth, self.easing = worth, easing

    @abstractmethod
    def begin(self) -> list[LinearModel]:
        """The models of somebody not yet known, in the order of the four dimensions."""

    @abstractmethod
    def view(self) -> None:
        """Prepare `hopes` after the models have changed."""

    @abstractmethod
    def hopes(self, mark: int, rows: Floats, places: NDArray[np.int64] | None = None) -> Floats:
        """Hoped-for probability of a mark for each row of features, not yet limited to 0..1.

        Args:
            mark: Which of the four.
            rows: Features, shape ``(n, k)``.
            places: Weights that they belong to, shape ``(n, k)``; None: all of them, in order.
        """

    def reset(self, seed: int) -> None:
        """Forget the resident."""
        super().reset(seed)
        self.models = self.begin()
        self.prepare()

    def prepare(self) -> None:
        """Look at the models anew, and forget the menu."""
        self._drawn_from = rng_state(self.rng)  # nothing is drawn between two looks
        self.view()
        self._menu_day = -1

    def take_in(self, sample: Sample, marks: int) -> None:
        """Learn how a text was marked."""
        super().take_in(sample, marks)
        for i, model in enumerate(self.models):
            model.update(sample.places[i], sample.values[i], float(marks >> i & 1))

    def choose(self) -> int | None:
        """The best text, if it is expected to be worth it."""
        silence = (self.moment.now - max(self.moment.last, 0)) / TICKS_PER_DAY
        least = 2 + 2 * max(self.worth - self.easing * silence, min(self.worth, 0.0))
        timing, frequency = self.moment.timing(), self.moment.frequency()
        moment = float((_limit(self.hopes(1, timing[None])) + _limit(self.hopes(2, frequency[None])))[0])
        if moment + 2 <= least:
            return None  # whatever the text
        self._make_menu()
        raw = self.hopes(0, self.moment.preference(), self.world.places)
        total = _limit(raw) + _limit(self._manner) + moment
        best = int(np.argmax(total + TIES * (raw + self._manner)))
        return int(self._menu[best]) if total[best] > least else None

    def _make_menu(self) -> None:
        """For each topic the best put text that was not said lately; unless nothing changed since that was last found."""
        day = self.moment.now // TICKS_PER_DAY
        if day == self._menu_day:
            return
        self._menu_day = day
        manner = self.hopes(3, self.world.manner)
        order = manner.copy()
        for text, tick in self.said.items():
            if day - tick // TICKS_PER_DAY <= REST_DAYS:
                order[text] = -1e3 - tick  # only if all of a topic were said lately, and then the oldest
        ends = [*self.world.starts[1:].tolist(), len(order)]
        self._menu = np.array([a + int(np.argmax(order[a:b])) for a, b in zip(self.world.starts.tolist(), ends, strict=True)])
        self._manner = manner[self._menu]

    def get_state(self) -> dict[str, Any]:
        """State as JSON values; the generator is the one before the last look, which `set_state` repeats."""
        return {**super().get_state(), "rng": self._drawn_from}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Restore what `get_state` gave."""
        super().set_state(state)
        self.prepare()


def _limit(values: Floats) -> Floats:
    return np.minimum(np.maximum(values, 0.0), 1.0)
