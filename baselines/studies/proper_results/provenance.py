"""Where results come from: the commands that give the same episodes, and the versions, rebuilt from what the runs kept."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from propersim_env import __version__
from propersim_env.evaluation.runner import fingerprint
from propersim_env.persona import select_personas

from .runs import Results, Run


def command(config: Mapping[str, Any]) -> str:
    """The ``propersim run`` that a resolved configuration is of, as far as names can say it."""
    seeds = config["seeds"]
    words = ["propersim", "run", "--assistants", ",".join(config["assistants"]), "--personas", _personas(config),
             "--days", str(config["days"]), "--seed", str(seeds[0])]
    if len(seeds) > 1:
        words += ["--seeds", str(len(seeds))]
    if config["setting"] != "house":
        words += ["--setting", config["setting"]]
    if config["user"] != "simulated":
        words += ["--user", config["user"]]
    for key, value in config["user_options"].items():
        words += ["--user-option", f"{key}={json.dumps(value)}"]
    if config.get("feedback", "full") != "full":
        words += ["--feedback", config["feedback"]]
    words += ["--reveal-persona"] * bool(config["reveal_persona"])
    words += ["--no-oracle"] * ("oracle" not in config["assistants"])
    return shlex.join(words)


def _personas(config: Mapping[str, Any]) -> str:
    """The shortest specification that gives the same personas, mark for mark; their ids where none does."""
    there: Mapping[str, str] = config["personas"]
    for spec in ("all", str(len(there)), f"sampled:{len(there)}", ",".join(there)):
        try:
            found = select_personas(spec, config["setting"], config["seeds"][0])
        except (ValueError, OSError):  # too many for the bundled ones, files of one's own, or a setting that is not here
            continue
        if {p.id: fingerprint(p) for p in found} == there:
            return spec
    return ",".join(there)


def versions(run: Run) -> dict[str, str]:
    """What the run was made with."""
    return {"propersim": run.config["propersim"], "rubric": str(run.config["rubric"]), "python": run.python, **run.packages}


def digest(run: Run) -> str:
    """A mark of all logs that were read from a run: the same logs give the same."""
    return hashlib.sha256("".join(sorted(run.digests)).encode()).hexdigest()[:16]


def lines(results: Results, arguments: Sequence[str]) -> list[str]:
    """The foot of the table, as Markdown."""
    found = ["## How this was made", "", "Rebuilt from the runs' `run.json`; every log was checked against its SHA-256. The "
             "digest is of the logs that were read.", ""]
    for run in results.runs:
        made = ", ".join(f"{name} {value}" for name, value in versions(run).items())
        variant = f", variant {run.config['variant']}" if run.config.get("variant") else ""
        found += [f"- `{run.folder.name}`: {len(run.digests)} logs, digest {digest(run)}; {made}{variant}", "",
                  "  ```", f"  {command(run.config)}", "  ```", ""]
    found += [f"The table, with propersim {__version__}:", "", "```",
              f"python -m propersim_env.baselines.studies.proper_results {shlex.join(arguments)}", "```", ""]
    if results.left_out:
        found += [f"Left out: {len(results.left_out)} episodes.", "", *(f"- {line}" for line in results.left_out), ""]
    return found


def as_json(results: Results) -> list[dict[str, Any]]:
    """The same as JSON values."""
    return [{"run": run.folder.name, "logs": len(run.digests), "digest": digest(run), "versions": versions(run),
             "command": command(run.config), "config": dict(run.config)} for run in results.runs]
