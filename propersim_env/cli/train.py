"""``propersim train``: an adapter for ProPerAssistant from logged episodes."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.progress import Progress

from propersim_env.cli.console import ERR, OUT, add_common, print_json
from propersim_env.export.source import find_logs, read_log
from propersim_env.log import Episode
from propersim_env.seeding import stream
from propersim_env.splits import learned_from

if TYPE_CHECKING:
    from propersim_env.agents.assistants.proper.train import TrainSettings

TO_MAKE_ONE = "to make one: propersim run --assistants proper:preset=cold:train=false --out {place}"
EPILOG = """\
examples:
  propersim run --assistants proper:preset=cold:train=false --personas sampled:16 --out runs/first
  propersim train --runs runs/first --model embedded --out adapters/first
  propersim run --assistants proper:preset=cold:adapter=adapters/first:decide=threshold --personas 8
  propersim train --runs runs/a runs/b --method kto --model Qwen/Qwen2.5-1.5B-Instruct --settings gpu --out adapters/qwen

A run is a folder that propersim run wrote, or single logs. Each episode is lived again with a memory beside it, so that every
prompt is the one that the assistant would have had; alternatives that were rated without being said are used too. An
interrupted training goes on from its last checkpoint. Needs: pip install "propersim[train]"; --tracker wandb needs
"propersim[wandb]" too.
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
    parser.add_argument("--chat-template", metavar="FILE",
                        help="a Jinja template, or a file with one, for a model whose tokenizer has none")
    parser.add_argument("--tracker", choices=("none", "wandb"), default="none",
                        help="wandb: loss curve and settings go to Weights & Biases (WANDB_MODE=offline: into a folder only); "
                             "default: none")
    parser.add_argument("--seed", type=int, default=0, help="default: 0")
    parser.add_argument("--out", type=Path, required=True, help="folder of the adapter")
    parser.add_argument("--replace", action="store_true", help="replace an adapter in --out that was trained otherwise")
    add_common(parser)
    parser.set_defaults(execute=run)


def run(options: argparse.Namespace) -> int:
    """Execute the command."""
    options.interrupted = "you stopped the training; the same command goes on from the last checkpoint"
    from propersim_env.agents.assistants.proper.from_logs import moments_of
    from propersim_env.agents.assistants.proper.models import check_adapter, load_base
    from propersim_env.agents.assistants.proper.pairs import Scheme, kto_examples, pairs_of
    from propersim_env.agents.assistants.proper.policy import Policy
    from propersim_env.agents.assistants.proper.presets import preset
    from propersim_env.agents.assistants.proper.train import TrainSettings, train
    from propersim_env.agents.assistants.proper.trainers import memory_explained

    recall, scheme = preset(options.preset).recall, Scheme.preset(options.scheme)
    settings = TrainSettings.preset(options.settings, method=options.method, seed=options.seed)
    _check(options, settings)
    episodes = _episodes(options.runs, options.assistant)
    with memory_explained(settings):
        base = load_base(options.model, load_in_4bit=settings.load_in_4bit, chat_template=options.chat_template)
    if options.adapter is not None:
        check_adapter(base, options.adapter)
    policy = Policy(base)
    spell = policy.spell
    items: list[Any] = []
    counts: Counter[str] = Counter()
    with Progress(console=ERR, transient=True) as progress:
        for episode in progress.track(episodes, description="living the logs again"):
            moments = list(moments_of(episode, recall, count=policy.count, complete=policy.complete))
            pairs, counted = pairs_of(moments, scheme, spell)
            counts.update(asdict(counted), moments=len(moments))
            items += pairs if options.method == "dpo" else kto_examples(moments, delivered_only=False, spell=spell)
    if not counts["moments"]:
        raise ValueError(f"nothing to train on: in {_number(episodes)} of {_assistants(episodes)} nothing was said, and no "
                         "text was rated without being said: give runs of an assistant that speaks, e.g. propersim run "
                         "--assistants proper:preset=cold:train=false")
    if len(items) < settings.least:
        raise ValueError(f"too little to train on: {_number(episodes)} of {_assistants(episodes)} give {len(items)} "
                         f"{'pairs' if options.method == 'dpo' else 'examples'} ({counts['moments']} moments with a text, "
                         f"{counts['tied']} comparisons tied, {counts['unrated']} moments unrated), and {settings.least} are "
                         "the least: give more runs or longer ones, or another --scheme")
    if options.pairs is not None:
        items = [items[i] for i in stream(options.seed, "pairs").permutation(len(items))[: options.pairs]]
    total = settings.steps(len(items))
    with Progress(console=ERR, transient=True) as progress:
        bar = progress.add_task("training", total=total)

        def on_step(step: int, loss: float) -> None:
            progress.update(bar, completed=step, description=f"training, loss {loss:.3f}")

        report = train(base, items, options.out, settings, adapter=options.adapter, tracker=options.tracker,
                       tied=counts["tied"], on_step=on_step, replaces=options.replace,
                       learned_from=learned_from((e.begin["persona"], e.begin["days"]) for e in episodes))
    if options.json:
        print_json({"out": str(options.out), "episodes": len(episodes), "counts": dict(counts), "report": asdict(report)})
        return 0
    OUT.print(f"{len(episodes)} episodes: {counts['decision']} decision and {counts['content']} content pairs, "
              f"{counts['tied']} ties dropped, {counts['unrated']} moments unrated")
    OUT.print(f"trained on {report.kept} ({report.too_long} too long), {report.steps} steps, loss {report.first_loss:.3f} to "
              f"{report.last_loss:.3f}, {report.tokens} tokens, {report.seconds:.0f} s")
    OUT.print(f"adapter in {options.out}: propersim run --assistants proper:preset={options.preset}:base={options.model}:"
              f"adapter={options.out}", soft_wrap=True)
    return 0


def _check(options: argparse.Namespace, settings: TrainSettings) -> None:
    """Refuse what can be refused before a model is loaded or a log is lived again."""
    from propersim_env.agents.assistants.proper.models import need_installed, place_of, read_adapter
    from propersim_env.agents.assistants.proper.tracking import check_tracker
    from propersim_env.agents.assistants.proper.train import check_out

    for name, lowest in (("pairs", settings.least), ("seed", 0)):
        if getattr(options, name) is not None and getattr(options, name) < lowest:
            raise ValueError(f"--{name} {getattr(options, name)}: must be at least {lowest}")
    need_installed()
    check_tracker(options.tracker)
    place_of(options.model)
    if options.adapter is not None:
        read_adapter(options.model, options.adapter)
    check_out(options.out, None if options.replace else options.model, settings)


def _number(episodes: Sequence[Episode]) -> str:
    return f"{len(episodes)} episode{'s' if len(episodes) != 1 else ''}"


def _assistants(episodes: Sequence[Episode]) -> str:
    return ", ".join(sorted({str(e.begin.get("assistant")) for e in episodes}))


def _episodes(places: list[Path], assistant: str | None) -> list[Episode]:
    """Complete episodes of runs, of any assistant or of one."""
    found = [read_log(file, "--runs") for place in places for file in find_logs(place, "--runs", TO_MAKE_ONE)]
    chosen = [e for e in found if assistant is None or e.begin.get("assistant") == assistant]
    if not chosen:
        raise ValueError(f"no episode of assistant {assistant!r}: there are {_assistants(found)}")
    return chosen
