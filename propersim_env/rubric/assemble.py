"""From a compiled rubric to a persona of this package: a dictionary in the persona format, with every default marked."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from propersim_env.persona import TRAITS
from propersim_env.setting import Setting

from .compiler import CompiledRubric, Moment, WantText
from .documents import SECTIONS
from .times import Span, clock_text
from .words import concepts, lexicon

_LIKING = {"tied": 0.8, "general": 0.6, "profile": 0.5}


@lru_cache(maxsize=8)
def _activities_by_concept(setting: Setting) -> dict[str, tuple[str, ...]]:
    """Common activities that a concept names: half of their texts mention it, or a third where it is their topic too."""
    table, found = lexicon()["concepts"]["table"], dict[str, list[str]]()
    for activity in setting.activities:
        mentioned = [concepts(text) for text in activity.texts]
        for name in {n for names in mentioned for n in names}:
            share = sum(name in names for names in mentioned) / len(mentioned)
            same = activity.topics[:1] == tuple(table[name]["topics"][:1])
            if activity.category in table[name]["category"] and share >= (1 / 3 if same else 0.5):
                found.setdefault(name, []).append(activity.id)
    return {name: tuple(ids) for name, ids in found.items()}


def _doing(names: frozenset[str], setting: Setting) -> list[str]:
    """Categories and activity ids that concepts stand for; "leisure" alone is too wide to be a situation."""
    table, ids = lexicon()["concepts"]["table"], list[str]()
    for name in sorted(names):
        wide = {"leisure", "rest", "away"}
        ids += [c for c in table[name]["category"] if c in setting.categories and c not in wide]
        ids += _activities_by_concept(setting).get(name, ())
    return list(dict.fromkeys(ids))


def to_persona_dict(rubric: CompiledRubric, setting: Setting, identifier: str = "") -> dict[str, Any]:
    """A dictionary that `persona_from_dict` accepts; what it had to invent is added to ``rubric.defaults``.

    Args:
        rubric: The compiled rubric.
        setting: Whose topics, tones and activities to use.
        identifier: The persona's id; made from the source's name if empty.
    """
    document, defaults = rubric.document, rubric.defaults
    stem = re.sub(r"[^A-Za-z0-9_-]+", "_", Path(document.source).stem).strip("_-")[:60]
    identifier = identifier or (stem if re.match("[A-Za-z]", stem) else f"p_{stem}".strip("_-"))
    background = " ".join(document.fields.get("background", []))[:800]
    if not document.age:
        defaults["age"] = "not stated: 40"
    missing = [t for t in TRAITS if t not in document.traits]
    if missing:
        defaults["traits"] = f"not stated: 0 for {', '.join(missing)}"
    tones = [t.id for t in setting.tones]
    defaults["activities"] = "own activities are not read from words: the setting's common ones"
    return {
        "version": 1, "id": identifier, "name": document.name[:80] or identifier,
        "age": min(max(document.age or 40, 16), 110), "pronouns": document.pronouns,
        "occupation": (document.occupation or ("" if document.running else re.split(r"[.,;]", background)[0].strip())
                       or "not stated")[:160],
        "traits": {t: float(min(max(document.traits.get(t, 0.0), -4), 4)) for t in TRAITS},
        "background": background or "not stated",
        **{name: _phrases(document.fields.get(name, [])) for name in ("interests", "lifestyle", "daily_plan")},
        "goals": " ".join(document.fields.get("goals", []))[:400] or "not stated",
        "routine": rubric.routine, "activities": [],
        "preferences": {
            "topics": _liking(rubric),
            "wants": _wants(rubric, setting),
            "timing": _timing(rubric, setting),
            "frequency": {"per_day": rubric.rate.per_day(rubric.waking), "min_gap_minutes": rubric.rate.min_gap(rubric.waking)},
            "communication": {
                "tones": [t for t in rubric.tones if t in tones] or tones[:1],
                "avoid_tones": [t for t in rubric.avoid_tones if t in tones],
                "max_words": rubric.max_words, "boundaries": rubric.boundaries[:7],
            },
        },
        "rubric": {section: document.sections[section][:4000] or "Not stated." for section in SECTIONS},
    }


def _phrases(statements: list[str]) -> list[str]:
    return list(dict.fromkeys(s[:200] for s in statements))[:8] or ["not stated"]


def _liking(rubric: CompiledRubric) -> dict[str, float]:
    liking: dict[str, float] = {}
    for want in rubric.wants:
        for topic, share in want.topics:
            if want.kind == "refused":
                liking[topic] = min(liking.get(topic, 0.0), -0.7 if share >= 0.3 else -0.3)
            elif liking.get(topic, 0.0) >= 0:
                liking[topic] = max(liking.get(topic, 0.0), round(_LIKING[want.kind] * min(1.0, 0.4 + share), 2))
    if not liking:
        rubric.defaults["preferences.topics"] = "no topic was understood: drinks_snacks 0.1"
        liking["drinks_snacks"] = 0.1
    return dict(sorted(liking.items(), key=lambda item: -item[1]))


def _wants(rubric: CompiledRubric, setting: Setting) -> list[dict[str, Any]]:
    wants: list[dict[str, Any]] = []
    usable = [w for w in rubric.wants if w.topics and w.kind == "tied"]
    usable += [w for w in rubric.wants if w.topics and w.kind == "general"]
    if not usable:
        usable = [w for w in rubric.wants if w.topics and w.kind == "profile"][:4]
        rubric.defaults["preferences.wants"] = "no content with a situation was understood: from interests, at any wanted time"
    for want in usable:
        share = want.topics[0][1]
        for topic, mass in want.topics[:3]:
            if topic not in setting.topic_index or mass < 0.5 * share:
                continue
            for span in _want_spans(want, rubric):
                wants.append({
                    "id": f"{topic}_{len(wants) + 1}", "topic": topic, "activities": _doing(want.concepts, setting)[:12],
                    "from": clock_text(span.start), "to": clock_text(span.end), "days": span.days,
                    "weight": 0.3 if want.guessed else {"tied": 0.9, "general": 0.6, "profile": 0.3}[want.kind],
                    "why": rubric.document.said.get(want.sentence, want.sentence)[:200],
                })
    if not wants:
        topic = next(iter(_liking(rubric)))
        rubric.defaults["preferences.wants"] = "nothing usable was understood: one want of the smallest weight"
        wants.append({"id": "default_1", "topic": topic, "activities": [], "from": clock_text(rubric.day.wake),
                      "to": clock_text(rubric.day.sleep), "days": "all", "weight": 0.1,
                      "why": "default: nothing was understood"})
    return wants[:16]


def _want_spans(want: WantText, rubric: CompiledRubric) -> list[Span]:
    day = Span(rubric.day.wake, rubric.day.sleep, "waking hours", "clock", 0)
    days = "weekend" if re.search(r"\bweekends?\b", want.situation) and not re.search("plan", want.situation) else "all"
    if not want.spans:
        return [Span(day.start, day.end, day.label, day.kind, 0, days)]
    cut = [Span(max(s.start, day.start), min(s.end, day.end), s.label, s.kind, s.at, s.days) for s in want.spans]
    return [s for s in cut if s.end - s.start >= 10][:2] or [day]


def _window(span: Span, label: str) -> dict[str, str]:
    return {"from": clock_text(span.start), "to": clock_text(span.end), "days": span.days, "label": (label or span.label)[:60]}


def _timing(rubric: CompiledRubric, setting: Setting) -> dict[str, Any]:
    never = [s for m in rubric.unwanted() if not m.concepts and not m.soft for s in m.spans]
    wanted = [_window(s, s.label) for m in rubric.wanted() for span in m.spans for s in _outside(span, never)]
    if not wanted:
        wanted = [_window(s, s.label) for s in rubric.rate.slots]
    if not wanted:
        rule = lexicon()["routine_defaults"]["wanted"]
        rubric.defaults["timing.wanted"] = "no wanted time was understood: " + ", ".join("-".join(w) for w in rule)
        wanted = [{"from": a, "to": b, "days": "all", "label": "default"} for a, b in rule]
    spans = [s for m in rubric.wanted() for s in m.spans]
    unwanted, doing = list[dict[str, str]](), list[str]()
    for moment in rubric.unwanted():
        doing += [] if _only_at(moment) else _doing(moment.concepts, setting)
        for span in moment.spans:
            whole = not moment.concepts or span.kind == "clock"
            if (span in never or (whole and not any(map(span.overlaps, spans)))) and span.end > span.start:
                unwanted.append(_window(span, span.label))
    return {"wanted": _distinct(wanted)[:8], "unwanted": _distinct(unwanted)[:8],
            "unwanted_activities": list(dict.fromkeys(doing))[:8]}


def _outside(span: Span, never: list[Span]) -> list[Span]:
    """What is left of a wanted time outside the unwanted ones."""
    left = [span]
    for no in never:
        left = [replace(piece, start=a, end=b) if piece.overlaps(no) else piece for piece in left
                for a, b in (((piece.start, no.start), (no.end, piece.end)) if piece.overlaps(no) else ((0, 0),))
                if not piece.overlaps(no) or b - a >= 10]
    return left


def _only_at(moment: Moment) -> bool:
    """Whether the activity is unwanted at a part of the day only."""
    return any(s.kind == "daypart" for s in moment.spans)


def _distinct(windows: list[dict[str, str]]) -> list[dict[str, str]]:
    return list({(w["from"], w["to"], w["days"]): w for w in windows if w["from"] < w["to"]}.values())
