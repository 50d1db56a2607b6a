"""``propersim validate --cases``: how far the simulated user agrees with labelled rating cases."""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

from rich.table import Table

from propersim_env.cli.console import OUT, print_json
from propersim_env.evaluation.agreement import fit_weights, kappa
from propersim_env.messages import DIMENSIONS
from propersim_env.names import near_matches
from propersim_env.rubric import read_document
from propersim_env.schema import DataError, read_json_lines
from propersim_env.setting import load_setting


def run_cases(options: argparse.Namespace) -> int:
    """Judge the cases that the options name; print kappas and write the marks."""
    cases = _cases(options.cases)
    judged = judge_cases(cases, options.personas, options.setting, str(options.cases), options.reader)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        lines = [json.dumps({"id": c["id"], **r.marks, "reasons": r.reasons}, ensure_ascii=False) for c, r in judged]
        options.out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    summary = agreement(judged)
    if options.json:
        print_json({**summary, "cases": len(cases), "written": str(options.out or "")})
        return 0
    _print(summary, len(cases))
    if options.out:
        OUT.print(f"written: {options.out}", highlight=False, soft_wrap=True)
    return 0


def _cases(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        raise DataError(str(path), "", "no such file", "give a JSON Lines file of cases")
    cases = read_json_lines(path)
    if not cases:
        raise DataError(str(path), "", "holds no case", "write one JSON object a line")
    for i, case in enumerate(cases, 1):
        for name in ("id", "persona", "candidate"):
            if not isinstance(case, dict) or name not in case:
                raise DataError(f"{path} line {i}", name, "is missing", "a case needs id, persona and candidate, among others")
        for name, mark in (case.get("labels") or {}).items():
            if name in DIMENSIONS and mark not in (0, 1, None):
                raise DataError(f"{path} line {i}", f"labels.{name}", f"is {mark!r}", "write 0, 1 or null")
    return cases


def judge_cases(cases: list[dict[str, Any]], folder: Path, setting_name: str = "house",
                source: str = "cases", reader_name: str = "embedded") -> list[tuple[dict[str, Any], Any]]:
    """Judge cases with the personas of a folder, imported from words.

    Returns:
        The cases in order, each with its `CaseRating`.

    Raises:
        DataError: A persona has no file, or a case is malformed.
    """
    from propersim_env.agents.users.simulated.compiled import text_reader
    from propersim_env.agents.users.simulated.situation import SituationRater, persona_number, situation_from_case

    if not folder.is_dir():
        raise DataError(str(folder), "", "no such folder", "give the folder of the persona files")
    files = {persona_number(p.stem): p for p in sorted(folder.iterdir()) if p.suffix in (".json", ".txt", ".md")}
    setting = load_setting(setting_name)
    reader, raters, judged = text_reader(setting, reader_name), dict[str, SituationRater](), []
    for i, case in enumerate(cases, 1):
        key = str(case["persona"])
        if key not in raters:
            if key not in files:
                raise DataError(f"{source} line {i}", "persona", f"no file for {key!r} in {folder}", near_matches(key, files))
            raters[key] = SituationRater(read_document(files[key]), setting, reader)
        judged.append((case, raters[key].rate(situation_from_case(case, f"{source} line {i}"), str(case["candidate"] or ""))))
    return judged


def agreement(judged: list[tuple[dict[str, Any], Any]]) -> dict[str, Any]:
    """Kappa by dimension, and of preference with each persona left out of the fit of its weights."""
    pairs: dict[str, list[tuple[int, int]]] = {d: [] for d in DIMENSIONS}
    for case, rating in judged:
        for name in DIMENSIONS:
            label = (case.get("labels") or {}).get(name)
            if label is not None:
                pairs[name].append((int(label), rating.marks[name]))
    values = {n: kappa([a for a, _ in p], [b for _, b in p]) for n, p in pairs.items()}
    left_out = {**values, "preference": _left_out(judged)}
    weights = _fit([(c, r) for c, r in judged if _fits(c, r)])
    return {
        "kappa": _rounded(values), "kappa_leave_personas_out": _rounded(left_out),
        "accuracy": _rounded({n: sum(a == b for a, b in p) / len(p) if p else float("nan") for n, p in pairs.items()}),
        "counted": {n: len(p) for n, p in pairs.items()}, "weights_fitted_here": weights,
    }


def _fits(case: dict[str, Any], rating: Any) -> bool:
    return bool(rating.features) and not rating.decided and (case.get("labels") or {}).get("preference") is not None


def _fit(judged: list[tuple[dict[str, Any], Any]]) -> dict[str, float] | None:
    labels = [int(c["labels"]["preference"]) for c, _ in judged]
    return fit_weights([r.features for _, r in judged], labels) if len(set(labels)) == 2 else None


def _left_out(judged: list[tuple[dict[str, Any], Any]]) -> float:
    labels, marks = list[int](), list[int]()
    usable = [(c, r) for c, r in judged if _fits(c, r)]
    weights = {p: _fit([(c, r) for c, r in usable if c["persona"] != p]) for p in {c["persona"] for c, _ in judged}}
    for case, rating in judged:
        label = (case.get("labels") or {}).get("preference")
        if label is None:
            continue
        labels.append(int(label))
        fitted = weights[case["persona"]]
        if rating.decided or not fitted:
            marks.append(rating.marks["preference"])
        else:
            marks.append(int(fitted["base"] + sum(fitted[n] * v for n, v in rating.features.items()) > 0))
    return kappa(labels, marks)


def _rounded(values: dict[str, float]) -> dict[str, float | None]:
    known = {n: v for n, v in values.items() if not math.isnan(v)}
    mean = sum(known.values()) / len(known) if known else float("nan")
    return {n: None if math.isnan(v) else round(v, 3) for n, v in {**values, "mean": mean}.items()}


def _print(summary: dict[str, Any], number: int) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("dimension", "kappa", "leave personas out", "same mark", "labelled"):
        table.add_column(title, justify="left" if title == "dimension" else "right")
    for name in (*DIMENSIONS, "mean"):
        row = [summary[k][name] for k in ("kappa", "kappa_leave_personas_out", "accuracy")]
        counted = str(summary["counted"].get(name, ""))
        table.add_row(name, *("-" if v is None else f"{v:.3f}" for v in row), counted)
    OUT.print(table)
    OUT.print(f"{number} cases. Leave personas out: the weights of preference are fitted without the judged persona; the other "
              "dimensions have no fitted weight. Rules and lexicon are the same for everybody, but were widened after reading "
              "the development personas: personas never seen agree less.",
              style="dim", highlight=False, soft_wrap=True)
