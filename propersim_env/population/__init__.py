"""Unlimited residents: samples a persona of a setting, so that results need not rest on the bundled ones.

Traits are correlated as published and explain little; most of what a person likes is that person's own. Every number and
every phrase is in ``data/population.json`` and the setting's files. Persona i of a seed never depends on how many are drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, log
from typing import Any

from propersim_env.clock import parse_time
from propersim_env.persona import TRAITS, Persona, persona_from_dict
from propersim_env.population.daily_life import Day, sample_activities, sample_routine, sample_timing, sample_wants
from propersim_env.population.tables import Draw, Json, Tables, tables
from propersim_env.population.wording import write_person, write_rubric
from propersim_env.seeding import stream
from propersim_env.setting import Setting

__all__ = ["sample_persona"]


def sample_persona(seed: int, index: int, setting: Setting, validate: bool = False) -> Persona:
    """Persona `index` of an unlimited population.

    Args:
        seed: Which population, >= 0.
        index: Which of its members, >= 0; the same whatever the number sampled.
        setting: Where the person lives; its tables of names, occupations and rubric templates are used.
        validate: Check the result against the schema, as a file would be: slow, and the sampler is tested to pass.

    Example:
        >>> from propersim_env.setting import load_setting
        >>> sample_persona(0, 3, load_setting("house")).id
        's0-0003'
    """
    if seed < 0 or index < 0:
        raise ValueError(f"persona {index} of seed {seed}: number and seed must be 0 or above")
    data = _sample(seed, index, tables(setting))
    source = f"sampled persona {data['id']}"
    return persona_from_dict(data, setting, source) if validate else Persona(data, setting, source)


def _sample(seed: int, index: int, t: Tables) -> Json:
    draw = Draw(stream(seed, "population", index))
    traits = _traits(draw, t)
    age, occupation = _occupation(draw, t)
    latent = _latent_liking(draw, t, occupation, traits)
    liking = _liking(draw, t, latent)
    works = t.occupations[occupation]["works"]
    routine = sample_routine(draw, t, traits, works)
    activities = sample_activities(draw, t, t.occupations[occupation], liking)
    per_day = _per_day(draw, t, traits)
    day = Day(t, routine, activities, liking)
    timing = sample_timing(draw, t, day, per_day)
    wants = sample_wants(draw, t, day, liking, timing, per_day)
    preferences = {
        "topics": liking,
        "wants": wants,
        "timing": timing,
        "frequency": {"per_day": per_day, "min_gap_minutes": _gap(draw, t, routine, per_day)},
        "communication": _communication(draw, t, traits),
    }
    person = write_person(draw, t, traits, t.occupations[occupation], routine, activities, liking)
    return {
        "version": 1, "id": f"s{seed}-{index:04d}", "name": t.name(seed, index), "age": age,
        "pronouns": t.n.pronouns, "occupation": t.occupations[occupation]["title"],
        "traits": dict(zip(TRAITS, traits, strict=True)), **person, "routine": routine, "activities": activities,
        "preferences": preferences, "rubric": write_rubric(draw, t, preferences, routine, activities),
    }


def _traits(draw: Draw, t: Tables) -> tuple[float, ...]:
    limit = t.n.trait_limit
    z = t.root @ [draw.normal() for _ in TRAITS]
    return tuple(round(min(max(value, -limit), limit), 2) for value in z.tolist())


def _occupation(draw: Draw, t: Tables) -> tuple[int, int]:
    """Age, and the place of an occupation that fits it."""
    age = draw.whole(*t.n.age)
    fitting = [i for i, o in enumerate(t.occupations) if o["ages"][0] <= age <= o["ages"][1]]
    place = draw.pick(fitting or range(len(t.occupations)))
    low, high = t.occupations[place]["ages"]
    return min(max(age, low), high), place


def _latent_liking(draw: Draw, t: Tables, occupation: int, traits: Sequence[float]) -> list[float]:
    """For each topic, a liking of about unit variance: mostly idiosyncratic, some occupation, a little of the traits."""
    pull = t.occupation_pull[occupation]
    return [
        lean.of(traits) + pull[i] + t.topic_own[i] * float(draw.normal()) for i, lean in enumerate(t.topic_leanings)
    ]


def _liking(draw: Draw, t: Tables, latent: Sequence[float]) -> dict[str, float]:
    """The likings that the persona states, in steps, with the strong likings and dislikes that everybody has."""
    spec, floor = t.n.liking, t.n.liking_floor
    steps = [round(min(max(spec["mean"] + spec["sd"] * z, -1.0), 1.0) / spec["step"]) * spec["step"] for z in latent]
    order = sorted(range(len(latent)), key=latent.__getitem__, reverse=True)
    for rank, place in enumerate(order[: floor["then"]]):
        steps[place] = max(steps[place], floor["first_least"] if rank < floor["first"] else floor["then_least"])
    for place in order[-floor["last"] :]:
        steps[place] = min(steps[place], floor["last_most"])
    listed = set(order[: floor["then"]]) | set(order[-floor["last"] :])
    number = draw.whole(*floor["listed"])
    for place in sorted(order, key=lambda i: -abs(steps[i])):
        if len(listed) < number and steps[place]:
            listed.add(place)
    return {t.setting.topic_ids[i]: round(steps[i], 2) for i in order if i in listed}


def _per_day(draw: Draw, t: Tables, traits: Sequence[float]) -> float:
    spec, lean = t.n.per_day, t.leanings["per_day"]
    z = lean.of(traits) + lean.rest * float(draw.normal())
    value = min(max(exp(log(spec["median"]) + spec["log_sd"] * z), spec["low"]), spec["high"])
    return float(round(value / spec["step"]) * spec["step"])


def _gap(draw: Draw, t: Tables, routine: Json, per_day: float) -> int:
    """Smallest gap in minutes, in steps of five that stay within the shares of the interval."""
    interval = (parse_time(routine["sleep"]) - parse_time(routine["wake"])) / per_day
    low, high = (share * interval for share in t.n.gap_share)
    gap = round(draw.between(low, high) / 5) * 5
    return gap if low <= gap <= high else int((low + high) / 2)


def _communication(draw: Draw, t: Tables, traits: Sequence[float]) -> dict[str, Any]:
    tones = [tone.id for tone in t.setting.tones]
    counts, affinity = t.n.tone_counts, t.setting.tone_affinity
    taste = [lean.of(traits) + lean.rest * float(draw.normal()) for lean in t.tone_leanings]
    order = sorted(range(len(tones)), key=taste.__getitem__, reverse=True)
    liked = [tones[i] for i in order[: 1 + draw.index(counts["liked"])]]
    for i, tone in enumerate(tones):
        likeness = max(affinity.get(tone, {}).get(other, affinity.get(other, {}).get(tone, 0.0)) for other in liked)
        taste[i] += counts["likeness"] * likeness
    rest = sorted((i for i in range(len(tones)) if tones[i] not in liked), key=taste.__getitem__)
    avoided = [tones[i] for i in rest[: 1 + draw.index(counts["avoided"])]]
    return {
        "tones": liked,
        "avoid_tones": avoided,
        "max_words": round(draw.gauss(t.n.max_words, t.leanings["max_words"], traits)),
        "boundaries": draw.some(list(t.rubric["boundary_phrases"]), draw.whole(*t.n.boundary_count)),
    }
