"""V13 and V14: ratings move in the right direction when one thing changes, and cannot be had by tricks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from propersim_env.persona import Persona
from propersim_env.registry import make_assistant

from .values import Size, Value, references, residents, sampled, threshold


def _needy(n: int, days: int) -> Iterator[tuple[Any, Any]]:
    """Residents in the middle of each of their open needs: (resident, need)."""
    for resident in residents(sampled(n)).residents:
        for _ in range(days):
            for need in resident.plan.needs:
                resident.tick = (need.start + need.end) // 2
                yield resident, need
            resident.next_day()


def _margins(resident: Any, text: str, tick: int | None = None) -> Any:
    """Margins of a text without noise."""
    at = resident.tick if tick is None else tick
    judged = resident.rater.judge(resident.plan, at, resident.mind, text)
    return np.array(judged.margins) - resident.plan.noise[:, at]


def _plain(resident: Any, topic: str) -> str:
    """A catalogue text that is clearly about a topic."""
    setting, rater = resident.persona.setting, resident.rater
    place = setting.topic_index[topic]
    texts = [t.text for t in setting.catalogue if t.topic == topic and rater.hear(t.text).topics[:1]]
    return max(texts, key=lambda t: float(rater.hear(t).reading.topics[place]))


def _renamed(resident: Any, text: str) -> bool:
    persona = resident.persona
    other = residents([Persona({**persona.to_dict(), "name": "Somebody Else"}, persona.setting)], resident.seed).residents[0]
    judged = other.rater.judge(resident.plan, resident.tick, resident.mind, text)
    return bool(judged.margins == resident.judge(text).margins)


def metamorphic(size: Size) -> list[Value]:
    """V13: pairs of cases that differ in one thing."""
    n = 80 if size == "small" else 500
    right: dict[str, list[bool]] = {}
    unsafe = references()["unsafe"]
    renamed: set[str] = set()
    for resident, need in _needy(n, 1):
        persona, plan = resident.persona, resident.plan
        text = _plain(resident, need.want.topic)
        disliked = min(persona.liking, key=lambda t: persona.liking[t])
        base = _margins(resident, text)
        if persona.id not in renamed:
            renamed.add(persona.id)
            right.setdefault("renaming the person", []).append(_renamed(resident, text))
        right.setdefault("case and spacing", []).append(bool(np.allclose(_margins(resident, f"  {text.lower()} "), base)))
        polite = _margins(resident, f"By the way: {text[0].lower()}{text[1:]}")
        right.setdefault("paraphrase by a polite opening", []).append((polite[0] > 0) == (base[0] > 0))
        right.setdefault("more relevant", []).append(base[0] > _margins(resident, _plain(resident, disliked))[0])
        worse = max(_margins(resident, f"{text} {clause}")[3] for clause in unsafe)
        right.setdefault("safer", []).append(base[3] > worse)
        night = [t for t in (*range(0, plan.wake, 24), *range(plan.sleep, 576, 4))
                 if plan.segments[plan.segment[t]].kind.category == "sleep"]
        right.setdefault("asleep", []).append(max(_margins(resident, text, t)[1] for t in night) <= 0)
    total = sum(map(len, right.values()))
    values = [Value("V13", f"{name}: share in the right direction", float(np.mean(cases)), threshold("metamorphic"), "equal",
                    f"{len(cases)} pairs") for name, cases in right.items()]
    return [*values, Value("V13", "number of generated pairs", total, 1000, ">=", f"open needs of {n} sampled personas")]


def _content_oracle() -> Any:
    return make_assistant("content-oracle")


def gaming(size: Size) -> list[Value]:
    """V14: tricks against the plain text that fits, in the same situation with the same noise."""
    n = 24 if size == "small" else 128
    attacks, injections = references()["attacks"], references()["injections"]
    above, gains, cases, chooser_of = dict.fromkeys([*attacks, "negated"], 0), [0], 0, dict[str, Any]()
    for resident, need in _needy(n, 2):
        chooser = chooser_of.get(resident.persona.id)
        if chooser is None:
            chooser = chooser_of[resident.persona.id] = _content_oracle()
            chooser.reset(0)
            chooser.bind(lambda resident=resident: resident)
        text = chooser.best_text(resident)[0]
        plain = resident.judge(text).marks.bit_count()
        cases += 1
        for name, attack in attacks.items():
            above[name] += resident.judge(attack).marks.bit_count() > plain
        topic = resident.persona.setting.topics[resident.persona.setting.topic_index[need.want.topic]].name.lower()
        above["negated"] += resident.judge(f"Please do not do any {topic} now, never mind {topic}.").marks.bit_count() > plain
        for clause in injections:
            gains.append(resident.judge(f"{text} {clause}").marks.bit_count() - plain)
    what = f"{cases} open needs of {n} sampled personas, against the best text"
    values = [Value("V14", f"{name}: cases rated above plain relevant text", count, threshold("gaming"), "equal", what)
              for name, count in above.items()]
    return [*values, Value("V14", "most that an injected clause gains", max(gains), 0, "<=", what)]
