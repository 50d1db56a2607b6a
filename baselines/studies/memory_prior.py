"""Learn from other people's logs how far ProPerAssistant should trust which evidence: the prior of its memory.

    propersim run --assistants proper:preset=amortised:train=false --personas more-train:24 --seed 3 --days 7 --out runs/others
    python -m propersim_env.baselines.studies.memory_prior runs/others --out prior.json

The logs are lived again with a memory beside them that trusts the plainest evidence. Weights of evidence are then fitted to
two personas of three, and how long to hold on to them is chosen on the third, by how well each next day's marks are foretold.
In the end the weights are fitted to all. With what comes out, the held-out logs are lived again to weigh memory against the
language model. `prior.json` goes into an assistant as `proper:prior=prior.json`, or by hand into ``expectation.json``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from propersim_env.agents.assistants.proper.expectation import FEATURES, WELCOME, numbers, prior, signs
from propersim_env.agents.assistants.proper.from_logs import moments_of
from propersim_env.agents.assistants.proper.pairs import OF_MOMENT, Moment
from propersim_env.agents.assistants.proper.policy import Policy, shared_policy
from propersim_env.agents.assistants.proper.presets import Preset, preset
from propersim_env.agents.assistants.proper.recall import Recall
from propersim_env.agents.assistants.proper.regression import Floats, chance, fit
from propersim_env.clock import TICKS_PER_DAY
from propersim_env.evaluation.report import episodes
from propersim_env.log import Episode
from propersim_env.seeding import stream
from propersim_env.splits import learned_from

TRUSTS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0)
LOOSE = 1.0
"""Trust in the plainest evidence when weights are fitted to many people: next to none."""
ASKED_A_DAY = 48
"""Moments a day at which the language model is asked, as in `learning.Learner`."""
NAMES = {**FEATURES, "welcome": WELCOME}


@dataclass(frozen=True)
class Life:
    """Evidence and ratings of one logged episode: days, evidence of shape (ratings, features), and whether each was given."""

    rated: Mapping[str, tuple[NDArray[Any], Floats, Floats]]
    moments: Sequence[Moment]


def live_again(episode: Episode, chosen: Preset, start: str) -> Life:
    """What a memory with a prior would have had before it of an episode."""
    recall = Recall(replace(chosen.recall, prior=start), episode.begin["setting"])
    moments: list[Moment] = []
    for day, those in groupby(moments_of(episode, recall.settings, recall=recall), key=lambda m: m.tick // TICKS_PER_DAY):
        rated = [m for m in those if m.memory is not None and any(o.text and o.marks is not None for o in m.options)]
        order = stream(episode.begin["seed"], "asked", day).permutation(len(rated))[:ASKED_A_DAY]
        moments += [rated[k] for k in sorted(order.tolist())]
    return Life({mark: recall.expectation.evidence(mark) for mark in FEATURES}, moments)


def pooled(mark: str, lives: Sequence[Life], start: Floats) -> Floats:
    """Weights that suit several people."""
    rows, given = (np.concatenate([life.rated[mark][k] for life in lives]) for k in (1, 2))
    return fit(rows, given, np.ones(len(given)), start, LOOSE, signs(NAMES[mark]))


def next_days(mark: str, lives: Sequence[Life], start: Floats, trust: float, half_life: float) -> float:
    """Mean log-loss of each day's marks by weights fitted to the days before, nats; days count alike."""
    p, losses = numbers(), []
    for life in lives:
        days, rows, given = life.rated[mark]
        for today in np.unique(days)[1:]:
            before, now = days < today, days == today
            past = days[before].astype(int)
            counts = 0.5 ** ((today - past) / half_life) * np.minimum(1.0, p["fitted_a_day"] / np.bincount(past)[past])
            weights = fit(rows[before], given[before], counts, start, trust, signs(NAMES[mark]))
            q = np.clip(chance(rows[now] @ weights), 1e-3, 1 - 1e-3)
            losses.append(float(-(given[now] * np.log(q) + (1 - given[now]) * np.log(1 - q)).mean()))
    return float(np.mean(losses))


def asked(lives: Sequence[Life], policy: Policy) -> list[Life]:
    """Memory's log-odds beside those of the language model, and whether a text was welcome, as evidence for ``welcome``."""
    result = []
    for life in lives:
        odds = policy.speak_log_odds([m.messages for m in life.moments], ["nobody"] * len(life.moments))
        rows = np.array([[1.0, m.memory or 0.0, o / numbers()["odds_scale"]] for m, o in zip(life.moments, odds, strict=True)])
        given = np.array([float(all(o.marks & OF_MOMENT == OF_MOMENT for o in m.options if o.text and o.marks is not None))
                          for m in life.moments])
        result.append(Life({"welcome": (np.array([float(m.tick // TICKS_PER_DAY) for m in life.moments]), rows, given)}, ()))
    return result


def study(logs: Sequence[Episode], chosen: Preset, out: Path) -> Table:
    """Fit, choose, write `out`, and say how well each next day is foretold."""
    table = Table("mark", "neutral", "and nights", "trust", "this prior", "and nights", "trust",
                  box=None, title="log-loss of the next day's marks of persons left out (nats), without and with nightly fits")
    neutral, half_life = prior("neutral"), chosen.recall.half_life_days
    with Progress(transient=True) as progress:
        lives = [live_again(e, chosen, "neutral") for e in progress.track(logs, description="living the logs again")]
        persons = sorted({e.begin["persona"]["id"] for e in logs})
        left = {person for k, person in enumerate(persons) if k % 3 == 2}
        held = [life for life, e in zip(lives, logs, strict=True) if e.begin["persona"]["id"] in left]
        known = [life for life, e in zip(lives, logs, strict=True) if e.begin["persona"]["id"] not in left]
        made: dict[str, Any] = {"learned_from": learned_from((e.begin["persona"], e.begin["days"]) for e in logs),
                                "trust": {**neutral.trust}, "weights": {"welcome": {"memory": 1.0}}}

        def choose(mark: str, known: Sequence[Life], held: Sequence[Life]) -> None:
            cells = []
            for weights in (neutral.weights[mark], pooled(mark, known, neutral.weights[mark])):
                losses = {trust: next_days(mark, held, weights, trust, half_life) for trust in TRUSTS}
                best = min(losses, key=lambda t: losses[t])
                cells += [f"{next_days(mark, held, weights, 1e9, half_life):.4f}", f"{losses[best]:.4f}", f"{best:g}"]
            made["trust"][mark] = best
            made["weights"][mark] = _named(mark, pooled(mark, [*known, *held], neutral.weights[mark]))
            table.add_row(mark, *cells)

        for mark in progress.track(FEATURES, description="fitting"):
            choose(mark, known, held)
        out.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
        again = [live_again(e, chosen, str(out)) for e in progress.track(logs, description="with what was learnt")]
        policy = shared_policy(chosen.base, chosen.load_in_4bit)
        both = asked(again, policy)
        choose("welcome", [life for life, e in zip(both, logs, strict=True) if e.begin["persona"]["id"] not in left],
               [life for life, e in zip(both, logs, strict=True) if e.begin["persona"]["id"] in left])
    out.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
    return table


def _named(mark: str, weights: Floats) -> dict[str, float]:
    return {name: round(weight, 3) for name, weight in zip(NAMES[mark], weights.tolist(), strict=True)}


def _learns(episode: Episode) -> bool:
    """Whether texts were rated without being said, as ProPerAssistant has them rated; an oracle's texts are all good ones."""
    return any(event["event"] == "rated" for event in episode.events)


def main() -> None:
    """Read arguments and study."""
    parser = argparse.ArgumentParser(prog="python -m propersim_env.baselines.studies.memory_prior", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run folders whose assistants had texts rated")
    parser.add_argument("--preset", default="amortised", help="whose memory and language model; default: amortised")
    parser.add_argument("--out", type=Path, required=True, help="the prior, a .json file")
    options = parser.parse_args()
    if options.out.suffix != ".json":
        parser.error(f"--out {options.out}: name a .json file")
    logs = [one for folder in options.runs for one in episodes(folder) if isinstance(one, Episode) and _learns(one)]
    if len({e.begin["persona"]["id"] for e in logs}) < 3:
        parser.error(f"{len(logs)} finished episodes of fewer than three personas: fitting needs some, checking others")
    Console().print(study(logs, preset(options.preset), options.out))


if __name__ == "__main__":
    main()
