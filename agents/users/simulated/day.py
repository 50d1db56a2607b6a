"""One planned day: everything about it that no assistant can change, as arrays over its 576 ticks.

Routine, needs, moments and noise are exogenous: two assistants that face the same resident and seed meet the same day.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from propersim_env.clock import MINUTES_PER_TICK, TICKS_PER_DAY, applies
from propersim_env.persona import Persona, Want, Window
from propersim_env.seeding import stream
from propersim_env.setting import ActivityKind

from .routine import Routine, Segment

if TYPE_CHECKING:
    from .company import Company

TICKS = np.arange(TICKS_PER_DAY)
MINUTES = TICKS * MINUTES_PER_TICK
ALONE = frozenset({"sleep", "guests"})
"""Categories of activity during which everybody wants to be left alone."""
CLOSED = ("away", "guests")
"""Categories of activity during which nothing is wanted of an assistant: wants do not hold, and needs lapse."""


@dataclass(frozen=True, slots=True)
class Need:
    """A latent opportunity: open in ticks ``[start, end)`` of its day until served; else it lapses."""

    index: int
    want: Want
    start: int
    end: int


@dataclass(slots=True)
class DayPlan:
    """A day as arrays of shape ``(576,)``, and its activities and needs.

    Attributes:
        wake, sleep: The resident is awake in ticks ``[wake, sleep)``.
        available: Whether the resident is awake and at home.
        closes: First tick from this one on at which the resident is asleep, away or has guests.
        segment: Index into `segments` at each tick.
        want_bits: Wants whose situation holds, as bits.
        need_bits: Needs open (unless served), as bits.
        felt_bits: The same as far as the resident, whose judgement is noisy, feels them.
        timing: Margin of being spoken to at that moment, before fatigue; noise included in `preferred` only.
        preferred: Whether this is a moment at which to be spoken to (rates silence).
        overdue_after: Waking ticks without a recommendation after which silence is overdue.
        noise: Shape ``(4, 576)``, noise on the margin of each dimension.
        uniform: Shape ``(576,)``, decides reactions.
        company: The second resident, if there is one.
    """

    day: int
    segments: list[Segment]
    wake: int
    sleep: int
    available: NDArray[np.bool_]
    closes: NDArray[np.int64]
    segment: NDArray[np.int16]
    want_bits: NDArray[np.int64]
    needs: list[Need]
    need_bits: NDArray[np.int64]
    felt_bits: NDArray[np.int64]
    timing: NDArray[np.float64]
    preferred: NDArray[np.bool_]
    overdue_after: NDArray[np.int64]
    noise: NDArray[np.float64]
    uniform: NDArray[np.float64]
    company: Company | None = None


class DayPlanner:
    """Plans the days of one persona.

    Args:
        persona: Who lives here.
        parameters: See ``parameters.json``.
        noise: Scale of the rating noise, 0 (none) and up; 1 is the calibrated size.
        routine: How this person lives; made from the persona if not given.
    """

    def __init__(
        self, persona: Persona, parameters: SimpleNamespace, noise: float = 1.0, routine: Routine | None = None
    ) -> None:
        self.persona, self.parameters, self.scale = persona, parameters, noise
        self.routine = routine or Routine(persona, parameters)
        self.sd = np.array([parameters.noise[d] for d in ("preference", "timing", "frequency", "communication")]) * noise
        self.interval_ticks = persona.waking_minutes / persona.per_day / MINUTES_PER_TICK
        self._windows = {weekend: self._window_arrays(2 if weekend else 0) for weekend in (False, True)}
        self._want_matches: dict[str, int] = {}
        self._weights = np.cumsum([w.weight for w in persona.wants])
        self._ahead = [round(m / MINUTES_PER_TICK) for m in parameters.look_ahead_minutes]

    def of(self, persona: Persona) -> DayPlanner:
        """The planner of the same person with other wishes: the routine stays."""
        return DayPlanner(persona, self.parameters, self.scale, self.routine)

    def _window_arrays(self, day: int) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.bool_]]:
        """For a kind of day: timing margin by windows, want bits by windows, and whether a wanted window is on."""
        p, persona = self.parameters, self.persona
        wanted, unwanted = _mask(persona.wanted, day), _mask(persona.unwanted, day)
        timing = np.where(unwanted, p.timing_unwanted, np.where(wanted, p.timing_wanted, p.timing_neutral))
        bits = np.zeros(TICKS_PER_DAY, np.int64)
        for i, want in enumerate(persona.wants):
            bits |= _mask((want.window,), day).astype(np.int64) << i
        return timing, bits, wanted & ~unwanted

    def matches(self, kind: ActivityKind) -> int:
        """Bits of the wants that this activity is a situation of."""
        bits = self._want_matches.get(kind.id)
        if bits is None:
            bits = sum(
                1 << i
                for i, want in enumerate(self.persona.wants)
                if not want.activities or kind.id in want.activities or kind.category in want.activities
            )
            self._want_matches[kind.id] = bits
        return bits

    def plan(self, seed: int, day: int) -> DayPlan:
        """The day with this number, the same for the same seed."""
        segments = self.routine.day(seed, day)
        return self.compile(segments, seed, day)

    def compile(self, segments: list[Segment], seed: int, day: int, certain: Sequence[Want] = ()) -> DayPlan:
        """Arrays of a day made of these segments.

        Args:
            segments: They tile the day, which begins and ends asleep.
            seed: Of the episode; with `day` it decides the draws of noise and needs.
            day: Number of the day.
            certain: The last of the persona's wants, as far as a need comes of each for sure while it holds; the other needs
                are drawn from the wants before.
        """
        rng = stream(seed, self.persona.id, "day", day)
        noise = rng.standard_normal((4, TICKS_PER_DAY)) * self.sd[:, None]
        uniform, need_draws = rng.random(TICKS_PER_DAY), rng.random(256)
        if self.parameters.noise_stream:
            fresh = stream(seed, self.persona.id, "noise", self.parameters.noise_stream, day)
            noise, uniform = fresh.standard_normal((4, TICKS_PER_DAY)) * self.sd[:, None], fresh.random(TICKS_PER_DAY)
        segment = tick_segments(segments)
        wake = int(np.searchsorted(segment, 1))
        sleep = int(np.searchsorted(segment, len(segments) - 1))
        _, window_bits, in_wanted = self._windows[not applies("weekdays", day)]
        match = np.array([self.matches(s.kind) for s in segments], np.int64)[segment]
        for ahead in self._ahead:
            match[:-ahead] |= np.array([self.matches(s.kind) for s in segments], np.int64)[segment[ahead:]]
        want_bits = window_bits & match
        awake = (wake <= TICKS) & (sleep > TICKS)
        available = awake & ~at(segments, segment, "away")
        closed = at(segments, segment, *CLOSED)
        want_bits[~awake | closed] = 0
        timing = self.timing(segments, segment, day)
        closes = following(closed, sleep)
        needs, need_bits = self._needs(need_draws.tolist(), want_bits, in_wanted, closes, certain)
        felt = np.where(self.parameters.need_felt + noise[0] > 0, need_bits, 0)
        return DayPlan(
            day=day, segments=segments, wake=wake, sleep=sleep, available=available, closes=closes,
            segment=segment.astype(np.int16), want_bits=want_bits, needs=needs, need_bits=need_bits, felt_bits=felt,
            timing=timing, preferred=timing + noise[1] > self.parameters.good_moment,
            overdue_after=(self.parameters.overdue_intervals * self.interval_ticks * (1 + noise[2])).astype(np.int64),
            noise=noise, uniform=uniform,
        )

    def retime(self, plan: DayPlan) -> None:
        """Compute anew what follows from activities, in a plan in which they or the company were changed."""
        segment = plan.segment.astype(np.int64)
        plan.timing = self.timing(plan.segments, segment, plan.day)
        if plan.company is not None:
            plan.company.meet(plan.segments, segment, plan.available)
            plan.timing -= self.parameters.company_timing * plan.company.together
        plan.preferred = plan.timing + plan.noise[1] > self.parameters.good_moment

    def timing(self, segments: list[Segment], segment: NDArray[np.int64], day: int) -> NDArray[np.float64]:
        """Margin of being spoken to at each tick of a day made of these segments."""
        p, persona = self.parameters, self.persona
        margin = self._windows[not applies("weekdays", day)][0].copy()
        alone = persona.unwanted_activities | ALONE
        left_alone = [s.kind.id in alone or s.kind.category in alone for s in segments]
        margin[np.array(left_alone)[segment]] = p.timing_unwanted
        fresh = MINUTES - np.array([s.start for s in segments])[segment] <= p.breakpoint_minutes
        absorption = np.array([s.kind.absorption for s in segments])[segment]
        return margin + np.where(fresh, p.breakpoint_bonus, -p.absorption_cost * absorption)

    def _needs(
        self, draws: list[float], want_bits: NDArray[np.int64], in_wanted: NDArray[np.bool_], closes: NDArray[np.int64],
        certain: Sequence[Want],
    ) -> tuple[list[Need], NDArray[np.int64]]:
        """Needs of the day: each begins where its want's situation holds, mostly in a wanted window."""
        p, wants = self.parameters, self.persona.wants
        drawn = len(wants) - len(certain)
        needs: list[Need] = []
        for k, want in enumerate(certain):
            ticks = np.flatnonzero(want_bits >> drawn + k & 1)
            if ticks.size:
                gaps = np.flatnonzero(np.diff(ticks) > 1)  # the want holds until its occasion; before it one may be away
                start = int(ticks[gaps[-1] + 1 if gaps.size else 0])
                needs.append(Need(len(needs), want, start, int(ticks[-1]) + 1))
        u = iter(draws)
        rate = p.need_rate * self.persona.per_day
        fewest, most = p.need_spread
        number = min(int(rate * (fewest + (most - fewest) * next(u)) + next(u)), p.most_needs) + len(needs)
        for _ in range(3 * number):  # a draw may fall on a situation that does not occur today, or on one taken already
            if len(needs) == number:
                break
            i = int(np.searchsorted(self._weights, next(u) * self._weights[drawn - 1] * 0.999999, side="right"))
            holds = (want_bits >> i) & 1 == 1
            place, length = next(u), next(u)
            ticks = np.flatnonzero(holds & in_wanted)
            if not ticks.size:
                ticks = np.flatnonzero(holds)
            if not ticks.size:
                continue  # the situation does not occur today
            start = int(ticks[int(place * ticks.size)])
            minutes = p.need_minutes[0] + (p.need_minutes[1] - p.need_minutes[0]) * length
            end = min(start + round(minutes / MINUTES_PER_TICK), int(closes[start]))
            clash = any(n.want.topic == wants[i].topic and n.start < end and start < n.end for n in needs)
            if end - start >= 4 and not clash:
                needs.append(Need(len(needs), wants[i], start, end))
        bits = np.zeros(TICKS_PER_DAY, np.int64)
        for need in needs:
            bits[need.start : need.end] |= 1 << need.index
        return needs, bits


def tick_segments(segments: Sequence[Segment]) -> NDArray[np.int64]:
    """Index of the segment at each tick of a day, shape ``(576,)``."""
    return np.searchsorted(np.array([s.start for s in segments]), MINUTES, side="right") - 1


def at(segments: Sequence[Segment], segment: NDArray[np.int64], *categories: str) -> NDArray[np.bool_]:
    """Whether an activity of these categories is done, at each tick."""
    inside: NDArray[np.bool_] = np.array([s.kind.category in categories for s in segments])[segment]
    return inside


def following(mask: NDArray[np.bool_], end: int) -> NDArray[np.int64]:
    """For each tick the first one from it on at which the mask holds; `end` if there is none before that."""
    ticks = np.where(mask, TICKS, end)
    first: NDArray[np.int64] = np.minimum(np.minimum.accumulate(ticks[::-1])[::-1], end)
    return first


def _mask(windows: tuple[Window, ...], day: int) -> NDArray[np.bool_]:
    mask = np.zeros(TICKS_PER_DAY, bool)
    for window in windows:
        if window.on(day):
            mask |= (window.start <= MINUTES) & (window.end > MINUTES)
    return mask
