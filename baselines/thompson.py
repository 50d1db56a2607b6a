"""Thompson sampling, from a plain prior or from a pooled one that knows what residents are like in general.

The pooled prior of the weights of each mark's linear model, a mean and a covariance between people, is fitted on other
residents by empirical Bayes: random rollouts with sampled personas are logged, and the hierarchical model (weights of each
person normal around a common mean, marks normal around a person's line) is fitted by expectation-maximisation. Write it anew
with ``python -m propersim_env.baselines.thompson fit``; run both with ``propersim run --assistants
linear-thompson,thompson-pooled``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from propersim_env.agents.assistants.scripted import WAKING_TICKS
from propersim_env.baselines.bandit import Bandit, Floats, LinearModel, Talker, plain_models, world
from propersim_env.evaluation.units import Batch, RunConfig, Unit
from propersim_env.messages import DIMENSIONS
from propersim_env.persona import select_personas
from propersim_env.schema import read_json
from propersim_env.setting import whole
from propersim_env.splits import check_catalogue, split

PRIOR_FILE = Path(__file__).with_name("thompson.npz")
FIRST_SPREAD = 0.2
"""Standard deviation of weights between people with which the fit begins (assumption)."""
Data = list[tuple[Floats, Floats]]


@lru_cache(maxsize=4)
def load_prior(path: Path = PRIOR_FILE) -> tuple[tuple[Floats, Floats, float], ...]:
    """Mean, covariance and noise variance of each mark's model.

    Raises:
        ValueError: The file is missing or does not hold them.
    """
    try:
        with np.load(path) as arrays:
            prior = []
            for name in DIMENSIONS:
                mean, lower = arrays[f"{name}_mean"].astype(float), arrays[f"{name}_covariance"].astype(float)
                covariance = np.zeros((len(mean), len(mean)))
                covariance[np.tril_indices(len(mean))] = lower
                prior.append((mean, covariance + np.tril(covariance, -1).T, float(arrays[f"{name}_noise"])))
    except (OSError, KeyError, ValueError) as error:
        raise ValueError(f"{path}: no prior of thompson-pooled can be read there ({error}); write it with "
                         f"python -m propersim_env.baselines.thompson fit --out {path}") from error
    return tuple(prior)


def provenance(path: Path) -> dict[str, Any]:
    """What is noted beside a prior: ``learned_from`` (splits) and ``setting`` among it.

    Raises:
        ValueError: The note is missing, or lacks these.
    """
    try:
        about: dict[str, Any] = read_json(path.with_suffix(".json"))
        return {**about, "learned_from": about["learned_from"], "setting": about["setting"]}
    except (ValueError, KeyError) as error:
        raise ValueError(f"{path.with_suffix('.json')}: does not say from whom the prior of thompson-pooled was learned "
                         f"({error}); write both with python -m propersim_env.baselines.thompson fit --out {path}") from error


class LinearThompson(Bandit):
    """Linear Thompson sampling that learns from this resident alone (Agrawal & Goyal 2013), one model for each mark.

    Args:
        worth: Utility that a text must promise, -1..1, and `easing`: see `Bandit`.
        spread: Factor on the standard deviation of what is sampled, >= 0; 0 acts on the mean.
        start: Probability of each mark before anything is known, 0..1.
        noise: Variance of a mark around its line, > 0.
        setting: Whose topics and catalogue.

    Of the 12 settings of ``sweeps/linear_thompson.yaml`` the default was the best on 16 dev people (utility .20).
    """

    def __init__(
        self, worth: float = 0.4, easing: float = 0.25, spread: float = 0.25, start: float = 0.6, noise: float = 0.06,
        setting: str = "house",
    ) -> None:
        if spread < 0:
            raise ValueError(f"spread={spread} is negative: choose 0 (no exploration) or more")
        super().__init__(worth, easing, setting)
        self.spread, self.start, self.noise = spread, start, noise

    def begin(self) -> list[LinearModel]:
        """Models that expect `start` of every mark, and know nothing else."""
        return plain_models(self.world, self.start, self.noise)

    def view(self) -> None:
        """Imagine a resident: sample weights, which hold until something new is learnt."""
        self._weights = [self._sample(model) if self.spread else model.mean for model in self.models]

    def _sample(self, model: LinearModel) -> Floats:
        lower = np.linalg.cholesky(model.covariance + 1e-9 * np.eye(len(model.mean)))
        weights: Floats = model.mean + self.spread * (lower @ self.rng.standard_normal(len(model.mean)))
        return weights

    def hopes(self, mark: int, rows: Floats, places: NDArray[np.int64] | None = None) -> Floats:
        """What the imagined resident would give."""
        weights = self._weights[mark]
        hoped: Floats = rows @ weights if places is None else (rows * weights[places]).sum(axis=1)
        return hoped


class Thompson(LinearThompson):
    """Linear Thompson sampling from a prior fitted on other residents.

    Args:
        worth: Utility that a text must promise, -1..1, and `easing`: see `Bandit`.
        spread: Factor on the standard deviation of what is sampled, >= 0; 0 acts on the mean.
        prior: Path of a file of `fit`, for another setting or population; by default the one that is shipped.
        setting: Whose topics and catalogue.
    """

    def __init__(
        self, worth: float = 0.6, easing: float = 0.25, spread: float = 0.5, prior: str = "", setting: str = "house"
    ) -> None:
        super().__init__(worth, easing, spread, setting=setting)
        path = Path(prior) if prior else PRIOR_FILE
        self.prior, about = load_prior(path), provenance(path)
        self.learned_from = tuple(about["learned_from"])
        check_catalogue(setting, about["setting"], "fit a prior with python -m propersim_env.baselines.thompson fit --setting "
                        f"{setting.removesuffix('@new')}@known --out FILE, and name it with prior=FILE")
        found = tuple(len(mean) for mean, _, _ in self.prior)
        if found != self.world.sizes:
            raise ValueError(f"the prior has {found} weights by mark and setting {setting!r} needs {self.world.sizes}: fit one "
                             f"with python -m propersim_env.baselines.thompson fit --setting {setting} --out FILE")

    def begin(self) -> list[LinearModel]:
        """Models that expect a resident like the others."""
        return [LinearModel(*prior) for prior in self.prior]


SLOWEST, FASTEST = 0.5, 4.0
"""Bounds of the mean number a day in a rollout (assumption): few, for who is tired of it marks everything down."""


class Rollout(Talker):
    """Says random texts at random moments and keeps their features and marks, at a rate of this resident's own.

    Args:
        slowest, fastest: Bounds of the mean number a waking day of 16 hours, drawn evenly on a log scale.
        setting: Whose topics and catalogue.
    """

    def __init__(self, slowest: float = SLOWEST, fastest: float = FASTEST, setting: str = "house") -> None:
        super().__init__(setting)
        self.slowest, self.fastest = slowest, fastest

    def reset(self, seed: int) -> None:
        """Draw the rate."""
        super().reset(seed)
        rate = self.slowest * (self.fastest / self.slowest) ** self.rng.random()
        self.chance = rate / WAKING_TICKS

    def choose(self) -> int | None:
        """Throw the dice."""
        return int(self.rng.integers(len(self.world.texts))) if self.rng.random() < self.chance else None


def roll_out(people: str, days: int, setting: str = "house", seed: int = 0) -> list[Data]:
    """Log random rollouts.

    Args:
        people: See `propersim_env.persona.select_personas`, e.g. ``"train:512"``.
        days: With each.
        setting: Where they live; of which catalogue, if it names a part.
        seed: Of the episodes.

    Returns:
        For each mark, for each persona, the features ``(n, d)`` and marks ``(n,)`` of what was said.

    Raises:
        RuntimeError: An episode failed.
    """
    personas = select_personas(people, whole(setting))
    logged: list[Data] = [[] for _ in DIMENSIONS]
    name = f"{__package__}.thompson:Rollout:setting={setting}"
    for first in range(0, len(personas), 32):
        units = [Unit(name, persona, seed) for persona in personas[first : first + 32]]
        batch = Batch(units, RunConfig(days, feedback="delivered"), None)
        failures = batch.run()
        if failures:
            raise RuntimeError(f"a rollout with {failures[0].persona} failed: {failures[0].message}")
        for assistant in batch.assistants:
            for mark, size in enumerate(assistant.world.sizes):
                x, y = np.zeros((len(assistant.learnt), size)), np.zeros(len(assistant.learnt))
                for row, (sample, marks) in enumerate(assistant.learnt):
                    x[row, sample.places[mark]] = sample.values[mark]
                    y[row] = marks >> mark & 1
                logged[mark].append((x, y))
    return logged


def exchangeable(covariance: Floats, shared: int, width: int) -> Floats:
    """The nearest covariance that stays the same when blocks of weights change places: their average over all orders.

    A free covariance of hundreds of weights cannot be had from some hundred people; topics tell of each other this way.

    Args:
        covariance: Shape ``(d, d)``.
        shared: Number of weights before the blocks.
        width: Weights in each block.
    """
    n = (len(covariance) - shared) // width
    tied = covariance.copy()
    blocks = covariance[shared:, shared:].reshape(n, width, n, width)
    within = np.einsum("kikj->ij", blocks) / n
    between = (blocks.sum(axis=(0, 2)) - n * within) / (n * max(n - 1, 1))
    tied[shared:, shared:] = np.kron(np.eye(n), within - between) + np.tile(between, (n, n))
    tied[shared:, :shared] = np.tile(covariance[shared:, :shared].reshape(n, width, shared).mean(axis=0), (n, 1))
    tied[:shared, shared:] = tied[shared:, :shared].T
    return tied


def fit(data: Data, rounds: int = 20, blocks: tuple[int, int] | None = None) -> tuple[Floats, Floats, float]:
    """Fit a hierarchical linear model by expectation-maximisation.

    Args:
        data: Features ``(n, d)`` and marks ``(n,)`` of each person.
        rounds: Of expectation and maximisation.
        blocks: Weights before and in each of the blocks between which the covariance is `exchangeable`.

    Returns:
        Mean of the weights over people, covariance between people, and variance of a mark around its person's line.
    """
    size = data[0][0].shape[1]
    squares = [(x.T @ x, x.T @ y, x, y) for x, y in data]
    total = sum(len(y) for _, y in data)
    mean, covariance, noise = np.zeros(size), FIRST_SPREAD**2 * np.eye(size), 0.2
    for _ in range(rounds):
        precision = np.linalg.inv(covariance + 1e-8 * np.eye(size))
        weights, spread, error = [], np.zeros((size, size)), 0.0
        for xx, xy, x, y in squares:
            own = np.linalg.inv(xx / noise + precision)
            weights.append(own @ (xy / noise + precision @ mean))
            spread += own
            error += float(((y - x @ weights[-1]) ** 2).sum() + (own * xx).sum())
        mean = np.mean(weights, axis=0)
        apart = np.array(weights) - mean
        covariance = (spread + apart.T @ apart) / len(data)
        if blocks is not None:
            covariance = exchangeable(covariance, *blocks)
        noise = error / total
    return mean, covariance, noise


def write_prior(path: Path, chosen: str, number: int, days: int, setting: str) -> None:
    """Roll out, fit, and write the prior with its provenance (same name, ending ``.json``)."""
    logged = roll_out(f"{chosen}:{number}", days, setting)
    arrays: dict[str, Any] = {}
    shared, width = world(setting).shared, world(setting).width
    for name, data in zip(DIMENSIONS, logged, strict=True):
        mean, covariance, noise = fit(data, blocks=(shared, width) if name == "preference" else None)
        arrays[f"{name}_mean"] = mean.astype(np.float32)
        arrays[f"{name}_covariance"] = covariance[np.tril_indices(len(mean))].astype(np.float32)
        arrays[f"{name}_noise"] = np.array(noise, np.float32)
        print(f"{name}: {len(mean)} weights, noise variance {noise:.3f}")
    np.savez_compressed(path, **arrays)
    said = sum(len(y) for _, y in logged[0])
    path.with_suffix(".json").write_text(json.dumps({
        "about": "Prior of the assistant thompson-pooled: mean, lower triangle of the covariance and noise, for each mark.",
        "source": "Fitted by python -m propersim_env.baselines.thompson fit on random rollouts with the simulated user.",
        "setting": setting, "personas": f"{chosen}:{number}", "learned_from": [chosen], "days": days,
        "number_a_day": [SLOWEST, FASTEST], "recommendations": said,
        "share_of_marks": {name: round(float(np.concatenate([y for _, y in data]).mean()), 4)
                           for name, data in zip(DIMENSIONS, logged, strict=True)},
    }, indent=2) + "\n")


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line: ``fit``."""
    parser = argparse.ArgumentParser(prog="python -m propersim_env.baselines.thompson", description=main.__doc__)
    fitting = parser.add_subparsers(required=True).add_parser("fit", help="write the prior of thompson-pooled anew")
    fitting.add_argument("--personas", type=int, default=512, help="number of personas; default: 512")
    fitting.add_argument("--split", default="train", help="whose people; default: train")
    fitting.add_argument("--days", type=int, default=14, help="days with each; default: 14")
    fitting.add_argument("--setting", default="house", help="name or folder of a setting; default: house")
    fitting.add_argument("--out", type=Path, default=PRIOR_FILE, help="default: the file that is shipped")
    options = parser.parse_args(arguments)
    if (last := split(options.split).from_day) and options.days > last:
        fitting.error(f"--days {options.days}: of {options.split} learners may see the first {last} days")
    write_prior(options.out, options.split, options.personas, options.days, options.setting)


if __name__ == "__main__":
    main()
