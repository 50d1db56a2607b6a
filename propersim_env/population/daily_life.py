"""A sampled person's day: routine, activities of one's own, and when to be spoken to about what."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import exp

import numpy as np
from numpy.typing import NDArray

from propersim_env.clock import parse_time
from propersim_env.population.tables import Draw, Json, Tables
from propersim_env.setting import ActivityKind

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Slot:
    """A window ``[start, end)`` in minutes on some days, with the daypart it lies in."""

    start: int
    end: int
    days: str
    label: str

    def to_dict(self) -> Json:
        """As the persona format writes it."""
        return {"from": clock(self.start), "to": clock(self.end), "days": self.days, "label": self.label}


class Day:
    """When this person can be found at what.

    Attributes:
        at: Minutes of ``wake``, ``sleep`` and the meals on a weekday.
        work: Blocks of work.
        own: Activities of one's own.
        kinds: These and the common activities that are this person's.
    """

    def __init__(self, t: Tables, routine: Json, activities: Sequence[Json], liking: dict[str, float]) -> None:
        self.at = {key: parse_time(routine[key]) for key in ("wake", "sleep", "breakfast", "lunch", "dinner")}
        self.work = [(parse_time(w["from"]), parse_time(w["to"])) for w in routine["work"]]
        self.own = tuple(map(ActivityKind.from_dict, activities))
        least = t.n.needs_liking
        common = (k for k in t.setting.activities if not k.needs or liking.get(k.needs, 0.0) > least)
        self.kinds = (*self.own, *common)
        self._tables: dict[bool, tuple[NDArray[np.int64], dict[str, float]]] = {}

    def present(self, span: Span, days: str, minutes: int) -> tuple[list[ActivityKind], dict[str, float]]:
        """What can occur for so many minutes of a window on those days.

        Returns:
            The activities, and for each category the share (by weight) of its activities that are among them.
        """
        weekend = days == "weekend"
        if weekend not in self._tables:
            self._tables[weekend] = self._table(weekend)
        table, weights = self._tables[weekend]
        overlap = np.minimum(table[1], span[1]) - np.maximum(table[0], span[0])
        places = dict.fromkeys(table[2, overlap >= minutes].tolist())
        kinds = [self.kinds[i] for i in places if self.kinds[i].days in ("all", days)]
        share: dict[str, float] = {}
        for kind in kinds:
            share[kind.category] = share.get(kind.category, 0.0) + kind.weight / weights[kind.category]
        return kinds, share

    def _table(self, weekend: bool) -> tuple[NDArray[np.int64], dict[str, float]]:
        """Start, end and place of all spans, shape (3, spans); and each category's weight."""
        rows, weights = [], dict[str, float]()
        work = [] if weekend else self.work
        free = without([(self.at["wake"], self.at["sleep"])], work)
        for i, kind in enumerate(self.kinds):
            if kind.days == ("weekdays" if weekend else "weekend"):
                continue
            spans = self._possible(kind, work, free)
            if spans:
                weights[kind.category] = weights.get(kind.category, 0.0) + kind.weight
                rows += [(s, e, i) for s, e in spans]
        return np.array(rows, np.int64).reshape(-1, 3).T, weights

    def _possible(self, kind: ActivityKind, work: list[Span], free: list[Span]) -> list[Span]:
        """When the activity can occur: around its meal, at work, in free time, before and after the night."""
        if kind.meal:
            meal = self.at[kind.meal]
            return [(meal - 60, meal) if kind.category == "cooking" else (meal - 15, meal + 40)]
        if kind.category in ("sleep", "away", "eating", "cooking"):
            return []
        wake, sleep = self.at["wake"], self.at["sleep"]
        if kind.category == "washing":
            possible = [(wake, wake + 40), (sleep - 40, sleep)]
        elif kind.category == "rest":
            possible = [(wake, sleep)]
        else:
            possible = work if kind.category == "work" else free
        low, high = kind.hours
        return [(s if s > low else low, e if e < high else high) for s, e in possible if e > low and s < high]


def clock(minute: float) -> str:
    """Minutes after midnight as ``"HH:MM"``."""
    return f"{int(minute) // 60:02d}:{int(minute) % 60:02d}"


def without(spans: Iterable[Span], holes: Iterable[Span]) -> list[Span]:
    """What is left of spans when others are cut out."""
    left = list(spans)
    for low, high in holes:
        left = [p for s, e in left for p in ((s, min(e, low)), (max(s, high), e)) if p[1] > p[0]]
    return left


def _to(value: float, step: int) -> int:
    return round(value / step) * step


def sample_routine(draw: Draw, t: Tables, traits: Sequence[float], works: bool) -> Json:
    """Times of waking, meals, work and sleep."""
    n, mean = t.n, parse_time(t.n.wake["mean"])
    morningness = t.leanings["morningness"]
    late = -(morningness.of(traits) + morningness.rest * float(draw.normal()))
    wake = _to(min(max(mean + n.wake["sd"] * late, parse_time(n.wake["low"])), parse_time(n.wake["high"])), 5)

    def near(key: str, least: float = 0.0, most: float = 1440.0) -> int:
        spec = getattr(n, key)
        value = parse_time(spec["mean"]) + spec["per_wake_minute"] * (wake - mean) + spec["sd"] * float(draw.normal())
        low, high = max(parse_time(spec["low"]), least), min(parse_time(spec["high"]), most)
        return _to(min(max(value, low), high), 5)

    sleep = near("sleep")
    breakfast = _to(wake + draw.between(*n.breakfast["after_wake"]), 5)
    lunch = near("lunch", least=breakfast + n.lunch["after_breakfast"])
    dinner = near("dinner", lunch + n.dinner["after_lunch"], sleep - n.dinner["before_sleep"])
    later = min(max(_to(draw.gauss(n.weekend_shift), n.weekend_shift["step"]), 0), (1440 - sleep) // 5 * 5)
    work = _work(draw, t, traits, breakfast, lunch, dinner) if works else []
    days = n.work_days["days"]
    if work and not draw.chance(n.work_days["five"]):
        days = draw.some(days, len(days) - 1)
    return {
        "wake": clock(wake), "sleep": clock(sleep),
        "weekend_shift_minutes": later,
        "breakfast": clock(breakfast), "lunch": clock(lunch), "dinner": clock(dinner),
        "work": [{"from": clock(s), "to": clock(e)} for s, e in work], "work_days": list(days) if work else [],
        "consistency": round(draw.gauss(n.consistency, t.leanings["consistency"], traits), 2),
    }


def _work(draw: Draw, t: Tables, traits: Sequence[float], breakfast: int, lunch: int, dinner: int) -> list[Span]:
    """One block before lunch and one after it, of about the hours that this person works."""
    spec = t.n.work_blocks
    minutes = draw.gauss(t.n.work_hours, t.leanings["work_hours"], traits) * 60
    start = _to(max(breakfast + draw.between(*spec["after_breakfast"]), parse_time(spec["not_before"])), 15)
    noon = _to(lunch - spec["before_lunch"], 15)
    first = [(start, noon)] if noon - start >= 60 else []
    minutes -= sum(e - s for s, e in first)
    again = _to(lunch + draw.between(*spec["after_lunch"]), 15)
    end = min(_to(again + max(minutes, 60), 15), _to(dinner - spec["before_dinner"], 15))
    return [*first, (again, end)]


def sample_activities(draw: Draw, t: Tables, occupation: Json, liking: dict[str, float]) -> list[Json]:
    """Those of the occupation, and personal versions of common activities about liked topics."""
    setting, categories = t.setting, t.n.own_categories
    taken = {k.id for k in setting.activities}
    own = [{**a, "id": f"own_{a['id']}" if a["id"] in taken else a["id"]} for a in occupation["activities"]]
    own = [{**a, "texts": draw.some(a["texts"], draw.whole(*t.n.own_variation["texts"]))} for a in own]
    candidates, weights = [], []
    for kind in setting.activities:
        if kind.category in categories and not kind.meal:
            best = max(liking.get(topic, 0.0) for topic in kind.topics)
            if best >= t.n.want_taste["liked"]:
                candidates.append(kind)
                weights.append(categories[kind.category] * exp(3 * best))
    chosen = draw.some(candidates, draw.whole(*t.n.activity_counts["from_common"]), weights)
    return own + [_personal(draw, t, kind) for kind in chosen]


def _personal(draw: Draw, t: Tables, kind: ActivityKind) -> Json:
    spec = t.n.own_variation
    low, high = kind.hours
    if high - low > spec["narrow_above"]:
        low += _to(draw.between(0, spec["narrow"]) * (high - low), 15)
        high -= _to(draw.between(0, spec["narrow"]) * (high - low), 15)
    factor = draw.between(*spec["minutes"])
    absorption = kind.absorption + draw.between(-spec["absorption"], spec["absorption"])
    return {
        "id": f"own_{kind.id}"[:40], "category": kind.category, "room": kind.room, "object": kind.object,
        "minutes": [max(5, round(m * factor)) for m in kind.minutes],
        "absorption": round(min(max(absorption, 0.0), 1.0), 2), "weight": round(draw.between(*spec["weight"]), 1),
        "hours": {"from": clock(low), "to": clock(high)}, "days": kind.days, "topics": list(kind.topics),
        "texts": draw.some(kind.texts, draw.whole(*spec["texts"])),
    }


def sample_timing(draw: Draw, t: Tables, day: Day, per_day: float) -> Json:
    """Wanted and unwanted windows, and activities during which to be left alone."""
    alone = _left_alone(draw, t, day)
    pieces = _pieces(t, day, "work" in alone)
    wanted = sorted(_wanted(draw, t, pieces, per_day), key=lambda w: (w.start, w.days))
    unwanted = _unwanted(draw, t, pieces, wanted, bool(day.work))
    return {
        "wanted": [w.to_dict() for w in wanted],
        "unwanted": [w.to_dict() for w in sorted(unwanted, key=lambda w: w.start)],
        "unwanted_activities": alone,
    }


def _left_alone(draw: Draw, t: Tables, day: Day) -> list[str]:
    spec, categories = t.n.unwanted_activity, t.setting.categories
    alone = [c for c, p in spec["categories"].items() if c in categories and draw.chance(p) and (c != "work" or day.work)]
    for kind in day.own:
        if kind.absorption >= spec["absorbing"] and kind.category not in alone and draw.chance(spec["own_absorbing"]):
            alone.append(kind.id)
    return alone[: spec["most"]]


def _pieces(t: Tables, day: Day, work_unwanted: bool) -> list[tuple[Slot, str]]:
    """The dayparts that a window can lie in, with their half of the day; at weekends where work fills one."""
    spec = t.n.window_minutes
    step, pieces = spec["step"], []
    for part in t.n.dayparts:
        start, end = (day.at[anchor] + minutes for anchor, minutes in (part["from"], part["to"]))
        start, end, days = -(-start // step) * step, end // step * step, "all"
        if work_unwanted:
            free = max(without([(start, end)], day.work), key=lambda s: s[1] - s[0], default=(start, start))
            if free[1] - free[0] >= spec["shortest"]:
                start, end = free
            else:
                days = "weekend"
        if end - start >= spec["shortest"]:
            pieces.append((Slot(start, end, days, part["label"]), part["half"]))
    return pieces


def _part_of(draw: Draw, t: Tables, slot: Slot) -> Slot:
    """A window within a daypart."""
    spec = t.n.window_minutes
    step = spec["step"]
    length = max(spec["shortest"], _to(draw.between(spec["part"], 1.0) * (slot.end - slot.start), step))
    start = slot.start + int(draw.between(0, 0.999) * ((slot.end - slot.start - length) // step + 1)) * step
    return Slot(start, start + length, slot.days, slot.label)


def _wanted(draw: Draw, t: Tables, pieces: list[tuple[Slot, str]], per_day: float) -> list[Slot]:
    """Windows early and late in the day, until they are as long as this person can be spoken to."""
    spec, taste = t.n.window_minutes, t.n.daypart_taste
    low, high = spec["low"], spec["high"]
    target = min(max(spec["mean"] + spec["per_message"] * per_day + spec["sd"] * float(draw.normal()), low), high)
    ranked = sorted(pieces, key=lambda _: float(draw.normal()))
    daily = [p for p in ranked if p[0].days == "all"]
    first = [next(p for p in daily if p[1] == half) for half in ("early", "late") if any(p[1] == half for p in daily)]
    order = [slot for slot, _ in first + [p for p in daily if p not in first]]
    windows: list[Slot] = []
    for slot in order:
        if len(windows) == spec["most"] or (len(windows) >= 2 and _length(windows) >= target):
            break
        windows.append(_part_of(draw, t, slot))
    for i, slot in enumerate(order[: len(windows)]):
        if _length(windows) < low:
            windows[i] = slot
    while _length(windows) > high:
        i = max(range(len(windows)), key=lambda i: windows[i].end - windows[i].start)
        windows[i] = Slot(windows[i].start, windows[i].end - spec["step"], "all", windows[i].label)
    lost = [p[0] for p in ranked if p[0].days == "weekend"]
    if lost and len(windows) < spec["most"] and draw.chance(taste["work_weekend"]):
        window = _part_of(draw, t, lost[0])
        windows += [window] if _length([*windows, window]) <= high else []
    return windows


def _length(windows: Iterable[Slot]) -> int:
    return sum(w.end - w.start for w in windows)


def _unwanted(
    draw: Draw, t: Tables, pieces: list[tuple[Slot, str]], wanted: Sequence[Slot], works: bool
) -> list[Slot]:
    """Quiet windows in dayparts that hold no wanted one."""
    labels = {w.label for w in wanted}
    free = [slot for slot, _ in pieces if slot.label not in labels]
    chosen = draw.some(free, draw.index(t.n.unwanted_window_count))
    quiet = [_part_of(draw, t, slot) for slot in chosen]
    weekdays = t.n.unwanted_weekdays
    return [
        Slot(q.start, q.end, "weekdays" if works and q.days == "all" and draw.chance(weekdays) else q.days, q.label)
        for q in quiet
        if not any(q.start < w.end and w.start < q.end for w in wanted)
    ]


def sample_wants(
    draw: Draw, t: Tables, day: Day, liking: dict[str, float], timing: Json, per_day: float
) -> list[Json]:
    """What is wanted when: liked topics in situations that occur in and around the wanted windows."""
    spec = t.n.want_count
    mean = spec["mean"] + spec["per_message"] * per_day
    number = round(min(max(mean + spec["sd"] * float(draw.normal()), spec["low"]), spec["high"]))
    windows = [Slot(parse_time(w["from"]), parse_time(w["to"]), w["days"], w["label"]) for w in timing["wanted"]]
    lengths = [float(w.end - w.start) for w in windows]
    places = [*range(len(windows)), *(draw.index(lengths) for _ in range(len(windows), number))]
    alone = frozenset(timing["unwanted_activities"])
    wants: list[Json] = []
    used: set[tuple[str, str]] = set()
    for window in (windows[i] for i in sorted(places)):
        span, days = _want_span(draw, t, day, window, timing)
        counts = {topic: sum(w["topic"] == topic for w in wants) for topic in liking}
        open_topics = [
            k for k, v in liking.items()
            if v >= t.n.want_taste["liked"] and counts[k] < 2 and (k, window.label) not in used
        ]
        if not open_topics:
            continue
        present, share = day.present(span, days, t.n.situation["overlap"])
        present = [k for k in present if k.id not in alone and k.category not in alone]
        topic, kinds = _want_topic(draw, t, liking, open_topics, counts, present)
        used.add((topic, window.label))
        again = f"_{counts[topic] + 1}" if any(w["id"] == _want_id(topic, window) for w in wants) else ""
        strength = 0.35 + 0.6 * liking[topic] + draw.between(-0.15, 0.15)
        wants.append({
            "id": _want_id(topic, window) + again, "topic": topic,
            "activities": _situation(draw, t, day, kinds, present, share),
            "from": clock(span[0]), "to": clock(span[1]), "days": days,
            "weight": round(min(max(strength, 0.3), 1.0), 1), "why": draw.pick(t.wording["why"]),
        })
    return wants


def _want_id(topic: str, window: Slot) -> str:
    return f"{topic}_{window.label.replace(' ', '_')}"[:38]


def _want_span(draw: Draw, t: Tables, day: Day, window: Slot, timing: Json) -> tuple[Span, str]:
    """A part of the window, or the window and a little beyond, and on which days."""
    taste, step = t.n.want_taste, t.n.window_minutes["step"]
    start, end = window.start, window.end
    if end - start >= taste["divide_from"] and draw.chance(taste["divide"]):
        length = _to(draw.between(0.5, 0.8) * (end - start), step)
        start += _to(draw.between(0, 1) * (end - start - length), step)
        return (start, start + length), _want_days(draw, t, day, window)
    closed = [(parse_time(w["from"]), parse_time(w["to"])) for w in timing["unwanted"]]
    floor = max([day.at["wake"], *(e for _, e in closed if e <= start)])
    ceiling = min([day.at["sleep"], *(s for s, _ in closed if s >= end)])
    span = max(floor, start - draw.pick(taste["spill"])), min(ceiling, end + draw.pick(taste["spill"]))
    return span, _want_days(draw, t, day, window)


def _want_days(draw: Draw, t: Tables, day: Day, window: Slot) -> str:
    if window.days == "all" and day.work and draw.chance(t.n.want_taste["weekdays"]):
        return "weekdays"
    return window.days


def _want_topic(
    draw: Draw, t: Tables, liking: dict[str, float], topics: Sequence[str], counts: dict[str, int],
    present: Sequence[ActivityKind],
) -> tuple[str, list[ActivityKind]]:
    """A liked topic, rather one that something done at that time is about; and what is done then."""
    taste = t.n.want_taste
    fitting: dict[str, list[ActivityKind]] = {topic: [] for topic in topics}
    for kind in present:
        for topic in kind.topics:
            if topic in fitting:
                fitting[topic].append(kind)

    def score(topic: str) -> float:
        real = taste["real_situation"] if fitting[topic] else 0.0
        return float(liking[topic] + real + taste["noise"] * draw.normal() - taste["again"] * counts[topic])

    best = max(topics, key=score)
    return best, fitting[best]


def _situation(
    draw: Draw, t: Tables, day: Day, kinds: Sequence[ActivityKind], present: Sequence[ActivityKind],
    share: dict[str, float],
) -> list[str]:
    """Activities and categories around which the topic is wanted; all of them occur then."""
    spec = t.n.situation
    chosen: list[str] = []
    category = ""
    if kinds:
        own = {k.id for k in day.own}
        kind = kinds[draw.index([spec["own"] if k.id in own else 1.0 for k in kinds])]
        category = kind.category
        about = sum(k.weight for k in kinds if k.category == category)
        typical = about >= spec["about"] * sum(k.weight for k in present if k.category == category)
        broad = share[category] >= spec["share"] and (typical or category in spec["idle"])
        specific = spec["specific_own" if kind.id in own else "specific_common"]
        chosen.append(category if broad and not draw.chance(specific) else kind.id)
    here = {k.category for k in present if k.category != category and share[k.category] >= spec["share"]}
    options = [c for c in spec["generic"] if c in here]
    enough = chosen == [category] and spec["generic"].get(category, 0.0) >= spec["common"]
    number = max(draw.index(spec["generic_count"]), 0 if enough else 1)
    return chosen + draw.some(options, number, [spec["generic"][c] for c in options])
