"""``propersim export``: logs as Parquet, as a Minari dataset, or as preference data for TRL."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from propersim_env.cli.console import ERR, OUT, add_common, print_json
from propersim_env.export import minari_dataset, parquet
from propersim_env.export.source import Places, check_out

FORMATS = ("parquet", "minari", "trl-dpo", "trl-kto")
ONLY = {"without_observations": ("parquet",), "dataset": ("minari",), "reward": ("minari",), "preset": ("trl-dpo", "trl-kto"),
        "scheme": ("trl-dpo",), "model": ("trl-dpo", "trl-kto")}
"""Options that only some formats have."""
EPILOG = """\
examples:
  propersim export runs/latest --to parquet --out exports/latest.parquet
  propersim export runs/latest --to minari --out exports/minari --dataset propersim/latest-v0
  propersim export runs/a runs/b --assistant fixed-rate --to trl-dpo --out exports/pairs.jsonl
  propersim export runs/latest --to trl-kto --out exports/answers.jsonl

  parquet   one row a decision: what was seen, said, rated, and what else was rated then (extra 'parquet')
  minari    a dataset of episodes for offline reinforcement learning; --out is the folder in which Minari is to look
            (MINARI_DATASETS_PATH), nothing is sent anywhere (extra 'minari')
  trl-dpo   JSON lines for TRL's DPOTrainer: prompt, chosen, rejected
  trl-kto   JSON lines for TRL's KTOTrainer: prompt, completion, label

A run is a folder that propersim run wrote, or a single log. What the assistant saw is not in a log: each episode is lived
again, and must be rated again as logged. docs/logs_and_exports.md has every column, and how to read the files back.
"""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "export", help="logs as Parquet, Minari, or data for TRL", formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Write the decisions of runs in a format that other programs read.", epilog=EPILOG)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run folders or logs")
    parser.add_argument("--to", choices=FORMATS, required=True, help="the format")
    parser.add_argument("--out", type=Path, required=True, metavar="PATH",
                        help="file to write; for minari, a folder of datasets")
    parser.add_argument("--assistant", metavar="NAME", help="only episodes of this assistant; default: all")
    parser.add_argument("--replace", action="store_true", help="replace what is there already")
    only = parser.add_argument_group("for one format")
    only.add_argument("--without-observations", action="store_true", default=None,
                      help="parquet: leave out what the assistant saw; much faster, and for logs that cannot be lived again")
    only.add_argument("--dataset", metavar="ID", help="minari: id of the dataset; default: propersim/NAME-v0, NAME of the run")
    only.add_argument("--reward", choices=("rating", "utility"),
                      help="minari: of the environment; default: rating, and utility where ratings were kept back")
    only.add_argument("--preset", help="trl: of ProPerAssistant: what prompts remember and show; default: cold")
    only.add_argument("--scheme", help="trl-dpo: how ratings become pairs: moment, total or paper; default: moment")
    only.add_argument("--model", help="trl: spell texts and count tokens as this model does (extra 'train'); default: as "
                      "written")
    add_common(parser)
    parser.set_defaults(execute=run)


def run(options: argparse.Namespace) -> int:
    """Execute the command."""
    options.interrupted = "you stopped the export; nothing was written"
    for name, formats in ONLY.items():
        if getattr(options, name) is not None and options.to not in formats:
            raise ValueError(f"--{name.replace('_', '-')} is for --to {' and '.join(formats)}, not for {options.to}")
    places = Places(options.runs, options.assistant)
    write = {"parquet": _parquet, "minari": _minari, "trl-dpo": _trl, "trl-kto": _trl}[options.to](options, places)
    incomplete: list[str] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("logs, {task.fields[steps]:,} "
               "decisions"), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=ERR, transient=True) as bar:
        task = bar.add_task(f"to {options.to}", total=places.count(), steps=0)

        def step(decisions: int) -> None:
            bar.update(task, steps=bar.tasks[0].fields["steps"] + decisions)

        sources = places.read(seen=lambda: bar.advance(task), left_out=incomplete.append)
        counts, lines = write(sources, step)
    if options.json:
        print_json({"to": options.to, "out": str(options.out), **asdict(counts), "incomplete": incomplete})
        return 0
    for line in incomplete:
        ERR.print(f"left out: {line}", style="yellow", soft_wrap=True)
    for line in lines:
        OUT.print(line, soft_wrap=True)
    return 0


Write = Callable[[Any, Callable[[int], None]], tuple[Any, list[str]]]


def _parquet(options: argparse.Namespace, places: Places) -> Write:
    parquet.need_pyarrow()
    check_out(options.out, options.replace)
    runs = {places.run_name(place): json.loads((place / "run.json").read_text(encoding="utf-8"))
            for place in places.places if (place / "run.json").exists()}

    def write(sources: Any, step: Callable[[int], None]) -> tuple[Any, list[str]]:
        counts = parquet.write(sources, options.out, runs, with_observations=not options.without_observations, step=step)
        return counts, [
            f"{_episodes(counts)}, {counts.said:,} texts, {counts.alternatives:,} alternatives"
            + _unrated(counts) + _replaced(counts),
            f"written: {options.out}"]

    return write


def _minari(options: argparse.Namespace, places: Places) -> Write:
    name = options.dataset or f"propersim/{_plain(places.run_name(options.runs[0]))}-v0"
    minari_dataset.check_id(options.out, name, options.replace)
    check_out(options.out / "x", True)

    def write(sources: Any, step: Callable[[int], None]) -> tuple[Any, list[str]]:
        counts = minari_dataset.write(sources, options.out, name, reward=options.reward, replace=options.replace, step=step)
        return counts, [
            f"{_episodes(counts)}, {counts.said:,} texts; longest observation {counts.longest['observation']} characters"
            + _unrated(counts) + _replaced(counts),
            f"written: {options.out / name}; to load it: MINARI_DATASETS_PATH={options.out} python -c "
            f"\"import minari, propersim_env; print(minari.load_dataset('{name}'))\""]

    return write


def _trl(options: argparse.Namespace, places: Places) -> Write:
    from propersim_env.agents.assistants.proper import trl_data
    from propersim_env.agents.assistants.proper.pairs import Scheme
    from propersim_env.agents.assistants.proper.presets import preset

    check_out(options.out, options.replace)
    recall, scheme = preset(options.preset or "cold").recall, Scheme.preset(options.scheme or "moment")
    counting: dict[str, Any] = {}
    if options.model is not None:
        from propersim_env.agents.assistants.proper.models import load_base, need_installed
        from propersim_env.agents.assistants.proper.policy import Policy

        need_installed()
        policy = Policy(load_base(options.model))
        counting = {"count": policy.count, "complete": policy.complete, "spell": policy.spell}
    elif recall.context_tokens:
        raise ValueError(f"--preset {options.preset} fits prompts into {recall.context_tokens} tokens: say of which model with "
                         "--model, e.g. --model embedded")

    def write(sources: Any, step: Callable[[int], None]) -> tuple[Any, list[str]]:
        counts = trl_data.write(sources, options.out, options.to, recall, scheme, step=step, **counting)
        if options.to == "trl-dpo":
            kept = (f"{counts.rows:,} pairs kept ({counts.decision:,} whether to speak, {counts.content:,} what to say), "
                    f"{counts.tied:,} tied and dropped, {counts.unrated:,} moments unrated and dropped")
        else:
            kept = (f"{counts.rows:,} answers kept ({counts.desirable:,} desirable), {counts.unrated:,} moments unrated and "
                    f"dropped")
        lines = [f"{_episodes(counts)}, {counts.moments:,} moments with a text", kept, f"written: {options.out}"]
        if counts.rows == 0:
            lines.insert(2, "the file is empty: nothing in these runs can be compared; an assistant that has others rated "
                            "beside what it says gives pairs, e.g. propersim run --assistants proper:preset=cold:train=false")
        return counts, lines

    return write


def _plain(name: str) -> str:
    """A name that Minari takes."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "_" for c in name) or "run"


def _episodes(counts: Any) -> str:
    return f"{counts.episodes:,} episode{'s' * (counts.episodes != 1)}, {counts.decisions:,} decisions"


def _unrated(counts: Any) -> str:
    return f", {counts.unrated:,} decisions without a rating" if counts.unrated else ""


def _replaced(counts: Any) -> str:
    return f"; in {counts.replaced:,} texts, what UTF-8 cannot hold was replaced by U+FFFD" if counts.replaced else ""
