"""``propersim personas import``: persona documents in words, compiled into persona files."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

from propersim_env.cli.console import ERR, OUT, add_common, error, print_json
from propersim_env.rubric import CompiledRubric, compile_rubric, read_document
from propersim_env.rubric.assemble import to_persona_dict
from propersim_env.rubric.lint import Finding, lint
from propersim_env.schema import DataError
from propersim_env.setting import Setting, load_setting

EPILOG = """\
examples:
  propersim personas import persona_07.json --out people     a published persona file
  propersim personas import me.txt                           your own, in plain words: what was understood, and what not
  propersim personas show people/persona_07.json

A text file may have lines such as "Timing: In the late morning, never during lunch." or be running text.
"""
_STYLE = {"error": "red", "warning": "yellow", "note": "dim"}


def add(actions: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the action to ``propersim personas``."""
    parser = actions.add_parser(
        "import", help="compile persona documents in words", epilog=EPILOG,
        description="Compile persona documents (published persona files, or plain words) into persona files, offline. "
                    "Exit status 1 if a file cannot be used or has an error.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--out", type=Path, metavar="DIR", help="write one persona file each, and a report beside it")
    parser.add_argument("--setting", default="house", help="name of a setting, or path of its folder; default: house")
    add_common(parser)
    parser.set_defaults(execute=run)


def run(options: argparse.Namespace) -> int:
    """Execute the action."""
    from propersim_env.agents.users.simulated.compiled import text_reader

    setting = load_setting(options.setting)
    reader = text_reader(setting)
    results, taken = list[dict[str, Any]](), set[str]()
    for path in options.files:
        try:
            rubric = compile_rubric(read_document(path), reader)
            result = _result(path, rubric, setting, taken)
        except DataError as problem:
            result = {"file": str(path), "ok": False, "error": str(problem)}
        if options.out and "persona" in result:
            result["written"] = _write(options.out, result)
        results.append(result)
        if not options.json:
            _print(result)
    if options.json:
        print_json(results)
    return 0 if all(r["ok"] for r in results) else 1


def _result(path: Path, rubric: CompiledRubric, setting: Setting, taken: set[str]) -> dict[str, Any]:
    from propersim_env.persona import persona_from_dict

    data = to_persona_dict(rubric, setting)
    while data["id"] in taken:
        number = re.search(r"_(\d+)$", data["id"])
        data["id"] = f"{data['id'][: number.start()]}_{int(number[1]) + 1}" if number else f"{data['id']}_2"
    taken.add(data["id"])
    persona_from_dict(data, setting, str(path))
    findings = lint(rubric)
    return {
        "file": str(path), "ok": not any(f.level == "error" for f in findings), "persona": data,
        "understood": [{"section": n.section, "sentence": n.sentence, "as": list(n.understood)} for n in rubric.notes],
        "defaults": dict(rubric.defaults), "findings": [_as_dict(f) for f in findings],
    }


def _as_dict(finding: Finding) -> dict[str, str]:
    return {"level": finding.level, "place": finding.place, "problem": finding.problem, "remedy": finding.remedy}


def _write(folder: Path, result: dict[str, Any]) -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{result['persona']['id']}.json", folder / f"{result['persona']['id']}.report.txt"]
    report = {k: v for k, v in result.items() if k not in ("persona", "written")}
    paths[0].write_text(json.dumps(result["persona"], indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    paths[1].write_text("\n".join(_lines(report)) + "\n", encoding="utf-8")
    return [str(p) for p in paths]


def _lines(result: dict[str, Any]) -> list[str]:
    lines, section = [f"{result['file']}: {'ok' if result['ok'] else 'has errors'}"], ""
    for entry in result["understood"]:
        if entry["section"] != section:
            section = entry["section"]
            lines.append(f"{section}:")
        lines.append(f"  {'+' if entry['as'] else '-'} {entry['sentence']}")
        lines += [f"      {what}" for what in entry["as"]]
    lines += [f"{f['level']}: {f['place']}: {f['problem']} - {f['remedy']}" for f in result["findings"]]
    return lines


def _print(result: dict[str, Any]) -> None:
    if "error" in result:
        error(result["error"])
        return
    for line in _lines({**result, "findings": []}):
        OUT.print(line, markup=False, highlight=False, soft_wrap=True)
    for f in result["findings"]:
        ERR.print(f"{f['level']}: {f['place']}: {f['problem']} - {f['remedy']}", style=_STYLE[f["level"]], markup=False,
                  highlight=False, soft_wrap=True)
    if written := result.get("written"):
        OUT.print(f"written: {', '.join(written)}", highlight=False, soft_wrap=True)
