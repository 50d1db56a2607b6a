"""Counts what an imported persona has in common with what a careful reader takes from its text."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from propersim_env.clock import parse_time
from propersim_env.rubric import compile_rubric, read_document
from propersim_env.rubric.assemble import to_persona_dict
from propersim_env.setting import Setting

FOLDER = Path(__file__).with_name("data") / "plain_personas"
MEALS = ("breakfast", "lunch", "dinner")


def expected_facts(part: str) -> dict[str, dict[str, Any]]:
    """Facts by document of one part, "develop" or "final"."""
    documents = json.loads((FOLDER / "facts.json").read_text(encoding="utf-8"))["documents"]
    return {name: facts for name, facts in documents.items() if facts["part"] == part}


def _window(text: str) -> tuple[int, int]:
    start, end = text.lstrip("~").split("-")
    return parse_time(start), parse_time(end)


def _alike(a: tuple[int, int], b: tuple[int, int]) -> bool:
    """Whether two windows share at least half of what they cover together."""
    shared = min(a[1], b[1]) - max(a[0], b[0])
    return 2 * shared >= max(a[1], b[1]) - min(a[0], b[0])


def _single(kind: str, wanted: Any, found: Any, right: bool) -> Counter[tuple[str, str]]:
    count: Counter[tuple[str, str]] = Counter()
    count[kind, "expected"] += wanted is not None
    count[kind, "found"] += found is not None and wanted is not None
    count[kind, "recalled"] += wanted is not None and right
    count[kind, "right"] += wanted is not None and right
    return count


def _set(kind: str, wanted: list[str], found: set[str]) -> Counter[tuple[str, str]]:
    needed, allowed = {w for w in wanted if w[0] != "~"}, {w.lstrip("~") for w in wanted}
    return Counter({(kind, "expected"): len(needed), (kind, "found"): len(found),
                    (kind, "recalled"): len(needed & found), (kind, "right"): len(found & allowed)})


def _windows(kind: str, wanted: list[str], found: list[tuple[int, int]]) -> Counter[tuple[str, str]]:
    needed, allowed = [_window(w) for w in wanted if w[0] != "~"], [_window(w) for w in wanted]
    return Counter({(kind, "expected"): len(needed), (kind, "found"): len(found),
                    (kind, "recalled"): sum(any(_alike(n, f) for f in found) for n in needed),
                    (kind, "right"): sum(any(_alike(f, a) for a in allowed) for f in found)})


def score(name: str, facts: dict[str, Any], setting: Setting, reader: Any) -> Counter[tuple[str, str]]:
    """Counts by (kind of fact, "expected" | "found" | "recalled" | "right") of one document."""
    rubric = compile_rubric(read_document(FOLDER / f"{name}.txt"), reader)
    data = to_persona_dict(rubric, setting)
    preferences, defaults = data["preferences"], rubric.defaults
    count: Counter[tuple[str, str]] = Counter()
    name_found = rubric.document.name
    count += _single("name", facts.get("name"), name_found or None, name_found == facts.get("name"))
    count += _single("age", facts.get("age"), rubric.document.age or None, rubric.document.age == facts.get("age"))
    job = data["occupation"].lower()
    count += _single("occupation", facts.get("occupation"), job if job != "not stated" else None,
                     facts.get("occupation", "") in job and len(job) < len(facts.get("occupation", "")) + 30)
    for key in ("wake", "sleep", *MEALS):
        stated = None if f"routine.{key}" in defaults else data["routine"][key]
        want = facts.get(key)
        right = bool(want and stated and abs(parse_time(want) - parse_time(stated)) <= 15)
        count += _single("meals" if key in MEALS else key, want, stated, right)
    work = [f"{w['from']}-{w['to']}" for w in data["routine"]["work"]]
    if "work" in facts:
        count += _windows("work", facts["work"], [] if "routine.work" in defaults else [_window(w) for w in work])
    timing = preferences["timing"]
    for kind in ("wanted", "unwanted"):
        found = [] if f"timing.{kind}" in defaults else [_window(f"{w['from']}-{w['to']}") for w in timing[kind]]
        count += _windows(kind, facts.get(kind, []), found)
    categories = {a.id: a.category for a in setting.activities}
    count += _set("unwanted activities", facts.get("doing", []), {categories.get(a, a) for a in timing["unwanted_activities"]})
    low, high = facts["per_day"]
    rate = None if "frequency" in defaults else preferences["frequency"]["per_day"]
    count += _single("rate", low, rate, rate is not None and low - 0.1 <= rate <= high + 0.1)
    gap = preferences["frequency"]["min_gap_minutes"] if rubric.rate.gap or rubric.rate.interval else None
    count += _single("gap", facts.get("gap"), gap, bool(gap and abs(gap - facts.get("gap", 0)) <= 0.06 * gap))
    manner = preferences["communication"]
    count += _set("tones", facts.get("tones", []), set() if "communication.tones" in defaults else set(manner["tones"]))
    avoid = facts.get("avoid", [])
    count += _set("tones avoided", avoid, set(manner["avoid_tones"]) & {a.lstrip("~") for a in avoid})
    words = None if "communication.max_words" in defaults else manner["max_words"]
    least, most = facts.get("max_words", (None, None))
    count += _single("length", least, words, bool(least and words and least <= words <= most))
    count += _set("boundaries", facts.get("boundaries", []), set(manner["boundaries"]))
    wants = set() if "preferences.wants" in defaults else {w["topic"] for w in preferences["wants"]}
    count += _set("topics wanted", facts.get("topics", []), wants)
    refused = {t for w in rubric.wants if w.kind == "refused" for t, share in w.topics[:1] if share >= 0.3}
    return count + _set("topics refused", facts.get("refused", []), refused)


def summary(count: Counter[tuple[str, str]]) -> dict[str, tuple[float, float, int]]:
    """Recall, precision and expected number by kind of fact, and of all together."""
    kinds = list(dict.fromkeys(kind for kind, _ in count))
    rows = {kind: {n: count[kind, n] for n in ("expected", "found", "recalled", "right")} for kind in kinds}
    rows["all"] = {n: sum(row[n] for row in rows.values()) for n in ("expected", "found", "recalled", "right")}
    return {kind: (round(r["recalled"] / max(r["expected"], 1), 3), round(r["right"] / max(r["found"], 1), 3), r["expected"])
            for kind, r in rows.items()}
