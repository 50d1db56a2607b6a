"""Builds the embedded language model: ``python -m propersim_env.baselines.studies.embedded_model --out FOLDER``."""

from __future__ import annotations

import argparse
import json
import random
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from rich.progress import Progress

from propersim_env.agents.assistants.proper.labels import labels_of
from propersim_env.agents.assistants.proper.plan import Plan
from propersim_env.agents.users.simulated.encoder import Encoder
from propersim_env.setting import load_setting

from .fit import LanguageTargets, OutcomeTargets, Targets, Trainer, decision_quality, make_model, make_tokenizer, save
from .rollouts import collect

EPILOG = """\
Two models come out, each with tokenizer and chat template:
  FOLDER/embedded             writes and follows its prompt, speaks at random: the untrained base of the cold regime
  FOLDER/embedded-amortised   the same after the outcomes of train personas: the base of the amortised regime
The whole takes about an hour on one core. An interrupted build goes on after the last finished model.
"""


def main() -> None:
    """Build."""
    parser = argparse.ArgumentParser(prog="python -m propersim_env.baselines.studies.embedded_model", description=__doc__,
                                     epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="where the models go")
    parser.add_argument("--personas", type=int, default=160, help="train personas (population seed 0); default: 160")
    parser.add_argument("--days", type=int, default=8, help="days of each; default: 8")
    parser.add_argument("--steps", type=int, nargs=2, default=(1500, 1500), metavar=("LANGUAGE", "OUTCOMES"),
                        help="training steps of the two stages; default: 1500 1500")
    parser.add_argument("--seed", type=int, default=0, help="of everything random; default: 0")
    parser.add_argument("--workers", type=int, default=2, help="processes and threads; default: 2")
    options = parser.parse_args()
    torch.set_num_threads(options.workers)
    build(options)


def build(options: argparse.Namespace) -> None:
    """Rollouts, tokenizer, both stages, and what is worth knowing about them in ``build.json``."""
    started, setting = time.monotonic(), load_setting("house")
    train = collect(0, options.personas, options.days, options.workers)
    dev = collect(1, max(2, options.personas // 10), options.days, options.workers)
    random.Random(options.seed).shuffle(dev)
    dev, spell = dev[:3000], Plan(labels_of("house", Encoder.load())).spell
    about: dict[str, Any] = {"learned_from": ["train"], "train_samples": len(train), "dev_samples": len(dev),
                             "personas": options.personas,
                             "days": options.days, "steps": list(options.steps), "seed": options.seed,
                             "packages": {name: version(name) for name in ("torch", "transformers", "tokenizers")}}
    tokenizer = make_tokenizer(train[:: max(1, len(train) // 8000)], setting, spell)
    model = make_model(tokenizer, options.seed)
    about["parameters"] = sum(p.numel() for p in model.parameters())
    stages: tuple[tuple[str, Targets, float, float], ...] = (
              ("embedded", LanguageTargets(setting, random.Random(options.seed)), 2e-3, 0.3),
              ("embedded-amortised", OutcomeTargets(random.Random(options.seed)), 1e-3, 2.0))
    for (name, targets, rate, weight), steps in zip(stages, options.steps, strict=True):
        folder = options.out / name
        if (folder / "model.safetensors").exists():
            model = type(model).from_pretrained(folder, dtype=torch.float32)
            continue
        trainer = Trainer(model, tokenizer, train, targets, spell, options.seed)
        with Progress() as progress:
            bar = progress.add_task(name, total=steps)
            for _, text, decided in trainer.run(steps, rate, weight):
                progress.update(bar, advance=1, description=f"{name}: text loss {text:.2f}, decision loss {decided:.3f}")
        about[name] = decision_quality(Trainer(model, tokenizer, dev, OutcomeTargets(random.Random(1)), spell, 1), dev)
        save(model, tokenizer, folder)
    about["minutes"] = round((time.monotonic() - started) / 60, 1)
    (options.out / "build.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(about, indent=1))


if __name__ == "__main__":
    main()
