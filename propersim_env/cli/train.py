"""``propersim train``: an adapter for ProPerAssistant from logged episodes."""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.progress import Progress

from propersim_env.cli.console import ERR, OUT, add_common, print_json
from propersim_env.log import Episode, read_episode
from propersim_env.seeding import stream

EPILOG = """\
examples:
  propersim run --assistants proper:preset=cold:train=false --personas sampled:16 --out runs/first
  propersim train --runs runs/first --model embedded --out adapters/first
  propersim run --assistants proper:preset=cold:adapter=adapters/first:decide=threshold --personas 8
  propersim train --runs runs/a runs/b --method kto --model Qwen/Qwen2.5-1.5B-Instruct --settings gpu --out adapters/qwen

A run is a folder that propersim run wrote, or single logs. Each episode is lived again with a memory beside it, so that every
prompt is the one that the assistant would have had; alternatives that were rated without being said are used too. An
interrupted training goes on from its last checkpoint. Needs: pip install "propersim[train]".
"""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "train", help="train ProPerAssistant on logged episodes", formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Make preference pairs of logged episodes and train an adapter on them (DPO or KTO, with TRL).",
        epilog=EPILOG)
    parser.add_argument("--runs", nargs="+", type=Path, required=True, metavar="RUN", help="run folders or logs")
    parser.add_argument("--assistant", metavar="NAME", help="only episodes of this assistant; default: all")
    parser.add_argument("--model", default="embedded",
                        help="embedded, embedded-amortised, a hub id, a folder, a .gguf file or a package; default: embedded")
    parser.add_argument("--method", choices=("dpo", "kto"), default="dpo", help="default: dpo")
    parser.add_argument("--preset", default="cold", help="of ProPerAssistant: what is remembered and shown; default: cold")
    parser.add_argument("--scheme", default="moment", help="how ratings become pairs: moment, total or paper; default: moment")
    parser.add_argument("--settings", default="embedded", help="preset of training.json; default: embedded")
    parser.add_argument("--pairs", type=int, help="draw so many pairs at random; default: all")
    parser.add_argument("--adapter", type=Path, help="go on from this adapter")
    parser.add_argument("--tracker", default="none", help="none or wandb; default: none")
    parser.add_argument("--seed", type=int, default=0, help="default: 0")
    parser.add_argument("--out", type=Path, required=True, help="folder of the adapter")
    add_common(parser)
    parser.set_defaults(execute=run)


def run(options: argparse.Namespace) -> int:
    """Execute the command."""
    options.interrupted = "you stopped the training; the same command goes on from the last checkpoint"
    from propersim_env.agents.assistants.proper.from_logs import moments_of
    from propersim_env.agents.assistants.proper.models import load_base
    from propersim_env.agents.assistants.proper.pairs import Scheme, kto_examples, pairs_of
    from propersim_env.agents.assistants.proper.policy import Policy
    from propersim_env.agents.assistants.proper.presets import preset
    from propersim_env.agents.assistants.proper.train import TrainSettings, train

    recall, scheme = preset(options.preset).recall, Scheme.preset(options.scheme)
    settings = TrainSettings.preset(options.settings, method=options.method, seed=options.seed)
    episodes = _episodes(options.runs, options.assistant)
    base = load_base(options.model, load_in_4bit=settings.load_in_4bit)
    policy = Policy(base)
    spell = policy.spell
    items: list[Any] = []
    counts: Counter[str] = Counter()
    with Progress(console=ERR, transient=True) as progress:
        for episode in progress.track(episodes, description="living the logs again"):
            moments = list(moments_of(episode, recall, count=policy.count, complete=policy.complete))
            pairs, counted = pairs_of(moments, scheme, spell)
            counts.update(asdict(counted))
            items += pairs if options.method == "dpo" else kto_examples(moments, delivered_only=False, spell=spell)
    if options.pairs is not None:
        items = [items[i] for i in stream(options.seed, "pairs").permutation(len(items))[: options.pairs]]
    total = settings.steps(len(items))
    with Progress(console=ERR, transient=True) as progress:
        bar = progress.add_task("training", total=total)

        def on_step(step: int, loss: float) -> None:
            progress.update(bar, completed=step, description=f"training, loss {loss:.3f}")

        report = train(base, items, options.out, settings, adapter=options.adapter, tracker=options.tracker,
                       tied=counts["tied"], on_step=on_step)
    if options.json:
        print_json({"out": str(options.out), "episodes": len(episodes), "counts": dict(counts), "report": asdict(report)})
        return 0
    OUT.print(f"{len(episodes)} episodes: {counts['decision']} decision and {counts['content']} content pairs, "
              f"{counts['tied']} ties dropped, {counts['unrated']} moments unrated")
    OUT.print(f"trained on {report.kept} ({report.too_long} too long), {report.steps} steps, loss {report.first_loss:.3f} to "
              f"{report.last_loss:.3f}, {report.tokens} tokens, {report.seconds:.0f} s")
    OUT.print(f"adapter in {options.out}: propersim run --assistants proper:base={options.model}:adapter={options.out}")
    return 0


def _episodes(places: list[Path], assistant: str | None) -> list[Episode]:
    """Complete episodes of runs."""
    files = [file for place in places for file in (sorted(place.glob("events-*.jsonl")) if place.is_dir() else [place])]
    if not files:
        raise ValueError(f"no logs in {', '.join(map(str, places))}: give folders that propersim run wrote")
    found = [read_episode(file) for file in files]
    chosen = [e for e in found if assistant is None or e.begin.get("assistant") == assistant]
    if not chosen:
        there = sorted({str(e.begin.get("assistant")) for e in found})
        raise ValueError(f"no episode of assistant {assistant!r}: there are {', '.join(there)}")
    return chosen
