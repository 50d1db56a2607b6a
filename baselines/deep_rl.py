"""Deep reinforcement learning across residents: PPO, DQN or recurrent PPO of Stable-Baselines3, trained on other people.

The policy sees the features of `propersim_env.features` and says texts of the catalogue. Its weights do not change in the home
in which it is used: what it knows of this resident is what the features (or the state of a recurrent network) have kept.

Train with ``python -m propersim_env.baselines.deep_rl train``, run with ``propersim run --assistants deep-rl:model=FOLDER``.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress

from propersim_env import __version__, splits
from propersim_env.cli.console import ERR, OUT, key_value
from propersim_env.features import Features
from propersim_env.names import import_object, near_matches
from propersim_env.persona import Persona, select_personas, split_of
from propersim_env.schema import DataError, read_json
from propersim_env.seeding import rng_from_state, rng_state, stream
from propersim_env.setting import load_setting, whole
from propersim_env.wrappers import Menu, catalogue_env

SETTINGS = Path(__file__).with_name("deep_rl.json")
CLASSES = {"ppo": "stable_baselines3:PPO", "dqn": "stable_baselines3:DQN", "recurrent-ppo": "sb3_contrib:RecurrentPPO"}
POINTS, KEPT = 50, 10
"""Points of the learning curve that is kept beside a policy, and how often it is written on the way."""


def algorithm_class(name: str) -> Any:
    """The class of an algorithm.

    Raises:
        ValueError: No such algorithm; near matches are listed.
        ImportError: Its package is missing; one line with the command that installs it.
    """
    if name not in CLASSES:
        raise ValueError(f"unknown algorithm {name!r}: {near_matches(name, CLASSES)}")
    package = CLASSES[name].partition(":")[0]
    if importlib.util.find_spec(package) is None:
        raise ImportError(f'{name} needs the package {package}: pip install "propersim[rl]"')
    return import_object(CLASSES[name])


class DeepRL:
    """A policy that was trained on other residents.

    Args:
        model: Folder that ``train`` wrote. Its ``model.zip`` holds pickled objects: use only what you trust.
        greedy: Take the likeliest action instead of drawing one (with DQN always).
        setting: Whose topics and catalogue.
    """

    def __init__(self, model: str, greedy: bool = False, setting: str = "house") -> None:
        self.about = provenance(Path(model))
        self.learned_from = tuple(self.about["learned_from"])
        splits.check_catalogue(setting, self.about["setting"], "train with python -m propersim_env.baselines.deep_rl train "
                               f"--setting {setting.removesuffix('@new')}@known --out FOLDER, and name it with model=FOLDER")
        self.greedy, loaded = greedy or self.about["algorithm"] == "dqn", load_setting(setting)
        self.features, self.menu = Features(loaded), Menu(loaded, self.about["factored"])
        if (self.features.names, self.menu.labels) != (self.about["fields"], self.about["actions"]):
            raise ValueError(f"{model}: trained with other features or actions than setting {setting!r} has: train anew with "
                             f"python -m propersim_env.baselines.deep_rl train --setting {setting} --out FOLDER")
        self.policy = load_policy(Path(model), self.about["algorithm"])

    def reset(self, seed: int) -> None:
        """Forget the resident."""
        self.rng = stream(seed, "deep-rl")
        self.features.reset()
        self.menu.reset()
        self.spoke = False
        self.state: Any = None

    def act(self, observation: str) -> str:
        """Look, and draw an action."""
        preferences = self._preferences(self.features.read(observation, self.spoke))
        if self.greedy:
            number = int(preferences.argmax())
        else:
            heaps = preferences.cumsum()
            number = int(np.searchsorted(heaps, self.rng.random() * heaps[-1], side="right"))
        self.spoke = bool(number)
        return self.menu.take(number)

    def _preferences(self, vector: NDArray[np.float32]) -> NDArray[np.float64]:
        """Probabilities of actions, or their values for DQN; shape ``(n,)``."""
        import torch

        with torch.no_grad():
            seen = torch.as_tensor(vector[None])
            if self.about["algorithm"] == "dqn":
                return self.policy.q_net(seen)[0].numpy().astype(float)
            if self.about["algorithm"] == "ppo":
                found = self.policy.get_distribution(seen)
            else:
                network = self.policy.lstm_actor
                none = torch.zeros(network.num_layers, 1, network.hidden_size)
                found, self.state = self.policy.get_distribution(seen, self.state or (none, none), torch.zeros(1))
            return found.distribution.probs[0].numpy().astype(float)

    def get_state(self) -> dict[str, Any]:
        """State as JSON values."""
        return {"rng": rng_state(self.rng), "features": self.features.get_state(), "menu": self.menu.get_state(),
                "spoke": self.spoke, "state": None if self.state is None else [part.tolist() for part in self.state]}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Restore what `get_state` gave."""
        import torch

        self.rng, self.spoke = rng_from_state(state["rng"]), state["spoke"]
        self.features.set_state(state["features"])
        self.menu.set_state(state["menu"])
        self.state = None if state["state"] is None else tuple(torch.tensor(part) for part in state["state"])


def provenance(folder: Path) -> dict[str, Any]:
    """What is noted beside a policy: algorithm, fields, actions, setting, and whom it has learned from.

    Raises:
        ValueError: The note is missing, or lacks these.
    """
    try:
        about: dict[str, Any] = read_json(folder / "about.json")
        for key in ("algorithm", "factored", "fields", "actions", "setting", "learned_from"):
            about[key]
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"{folder}: holds no policy of deep-rl ({error}); make one with "
                         f"python -m propersim_env.baselines.deep_rl train --out {folder}") from error
    return about


@lru_cache(maxsize=8)
def load_policy(folder: Path, algorithm: str) -> Any:
    """The policy network in a folder, on the processor; one for all homes of a process, for it keeps no state of theirs."""
    policy = algorithm_class(algorithm).load(folder / "model.zip", device="cpu").policy
    policy.set_training_mode(False)
    return policy


class People(gym.Wrapper[Any, Any, Any, Any]):
    """Somebody else lives in the home in each episode, in turn.

    Args:
        env: The home.
        people: Who.
        first, step: Place of the first of them, and how far on the next one is: several homes take turns.
    """

    def __init__(self, env: gym.Env[Any, Any], people: Sequence[Persona], first: int = 0, step: int = 1) -> None:
        super().__init__(env)
        self.people, self.next, self.pace = people, first, step

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode with the next one."""
        person = self.people[self.next % len(self.people)]
        self.next += self.pace
        return self.env.reset(seed=seed, options={"persona": person, **(options or {})})


class Quiet(gym.spaces.Discrete):
    """Numbers of which a random one is mostly 0: exploring among texts alone would be chatter that nobody bears."""

    def __init__(self, n: int, silence: float) -> None:
        super().__init__(n)
        self.silence = silence

    def sample(self, mask: Any = None, probability: Any = None) -> np.int64:
        """A random number."""
        if self.np_random.random() < self.silence:
            return np.int64(0)
        return np.int64(self.np_random.integers(1, self.n))


def learned_from(people: str, personas: Sequence[Persona], days: int) -> tuple[str, ...]:
    """Whom a policy is noted to have learned from: the splits that were named, else populations or ids.

    Raises:
        ValueError: Learners may not see so many days of a split.
    """
    names = {split_of(part) for part in people.split(",")}
    named = [splits.split(name) for name in sorted(names - {"", "sampled"})]
    for one in named:
        if one.from_day and days > one.from_day:
            raise ValueError(f"--days {days}: of {one.name} learners may see the first {one.from_day} days")
    if len(named) == len(names) and all(one.population is not None for one in named):
        return tuple(one.name for one in named)
    return splits.learned_from((persona.to_dict(), days) for persona in personas)


def train(
    out: Path, algorithm: str = "ppo", people: str = "train:64", steps: int = 200_000, *, days: int = 14, homes: int = 8,
    factored: bool = True, setting: str = "house", feedback: str = "delivered", seed: int = 0,
    options: Mapping[str, Any] | None = None, progress: Progress | None = None,
) -> dict[str, Any]:
    """Train a policy and write it, with a note of how it came about, into a folder.

    Args:
        out: The folder.
        algorithm: ``"ppo"``, ``"dqn"`` or ``"recurrent-ppo"``.
        people: See `propersim_env.persona.select_personas`; the next of them for each episode.
        steps: Decisions, over all homes; algorithms round up to their rollouts.
        days: Horizon of an episode.
        homes: Stepped side by side.
        factored: Actions are a topic and a tone, else single texts.
        setting: Where they live; of which catalogue, if it names a part.
        feedback: What the policy is told of ratings; its reward with it (see `propersim_env.feedback`).
        seed: Of the episodes and of the algorithm.
        options: Of the algorithm, over those of ``deep_rl.json``.
        progress: Shows how far it is.

    Returns:
        The note. The policy is written ten times on the way, and where training is interrupted (Ctrl-C).

    Raises:
        ValueError: What was asked for cannot be; ImportError: the extra is missing.
    """
    kind = algorithm_class(algorithm)
    if steps < 1 or homes < 1:
        raise ValueError(f"{steps} steps in {homes} homes: both must be at least 1")
    from stable_baselines3.common.env_util import make_vec_env

    told = read_json(SETTINGS)
    if not told.get("source"):
        raise DataError(str(SETTINGS), "source", "is missing", "say where the numbers come from")
    chosen = told["algorithms"][algorithm]
    personas = select_personas(people, whole(setting), seed)
    learned = learned_from(people, personas, days)
    places = iter(range(homes))

    def home() -> gym.Env[Any, Any]:
        env = catalogue_env(factored, setting, setting=whole(setting), days=days, feedback=feedback)
        env.action_space = Quiet(env.action_space.n, told["first_silence"])  # type: ignore[attr-defined,assignment]
        return People(env, personas, next(places), homes)

    env = make_vec_env(home, homes, seed)
    wanted = {**chosen["options"], **(options or {})}
    try:
        model = kind(chosen["policy"], env, **{"seed": seed, "device": "cpu", "stats_window_size": homes, **wanted})
    except TypeError as error:
        raise ValueError(f"{algorithm} cannot take the options {dict(options or {})}: {error}") from error
    if algorithm != "dqn":  # at first it would speak at nearly every tick, and learn only that it should not
        _lean_to_silence(model.policy.action_net.bias, told["first_silence"])
    loaded = load_setting(setting)
    note = {
        "about": "A policy of deep-rl.", "algorithm": algorithm, "factored": factored, "setting": setting, "people": people,
        "learned_from": list(learned), "days": days, "homes": homes, "feedback": feedback, "seed": seed,
        "options": wanted, "propersim": __version__, "fields": Features(loaded).names, "actions": Menu(loaded, factored).labels,
    }
    out.mkdir(parents=True, exist_ok=True)

    def keep(curve: list[list[float]]) -> None:
        note.update(steps=int(model.num_timesteps), curve=curve)
        model.save(out / "new.zip")
        (out / "new.zip").replace(out / "model.zip")
        (out / "about.json").write_text(json.dumps(note, indent=1) + "\n", encoding="utf-8")

    _learn(model, steps, days, keep, progress)
    return note


def _lean_to_silence(bias: Any, silence: float) -> None:
    """Set the biases of a softmax so that silence (0) begins with this probability."""
    import torch

    with torch.no_grad():
        bias.zero_()
        bias[0] = float(np.log(silence / (1 - silence) * (len(bias) - 1)))


def _learn(
    model: Any, steps: int, days: int, keep: Callable[[list[list[float]]], None], progress: Progress | None
) -> None:
    """Learn, and keep what was learned with its curve: decisions, and utility a day in the last episode of each home."""
    curve: list[list[float]] = []
    kept, newest = 0, None
    bar = None if progress is None else progress.add_task("training", total=steps)

    def on_step(_: dict[str, Any], __: dict[str, Any]) -> bool:
        nonlocal kept, newest
        done = model.num_timesteps
        last = model.ep_info_buffer[-1] if model.ep_info_buffer else None
        if last is not newest and done >= (curve[-1][0] if curve else 0) + steps / POINTS:
            newest = last
            curve.append([done, round(float(np.mean([e["r"] for e in model.ep_info_buffer])) / days, 4)])
        if done >= kept + steps / KEPT:
            keep(curve)
            kept = done
        if progress is not None and bar is not None:
            worth = f", {curve[-1][1]:+.2f} utility a day" if curve else ""
            progress.update(bar, completed=min(done, steps), description=f"training{worth}")
        return True

    try:
        model.learn(steps, callback=on_step)
    except KeyboardInterrupt:
        ERR.print(f"stopped after {model.num_timesteps} of {steps} decisions; what was learned so far is kept")
    keep(curve)


EPILOG = """\
examples:
  python -m propersim_env.baselines.deep_rl train --out policies/ppo
  python -m propersim_env.baselines.deep_rl train --algorithm recurrent-ppo --people train:256 --out policies/recurrent
  python -m propersim_env.baselines.deep_rl train --algorithm dqn --option learning_rate=0.0001 --out policies/dqn
  propersim run --assistants deep-rl:model=policies/ppo --personas test:8 --out runs/deep

200,000 decisions take some minutes on one core. Needs: pip install "propersim[rl]".
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line: ``train``."""
    parser = argparse.ArgumentParser(prog="python -m propersim_env.baselines.deep_rl", description=__doc__.partition("\n")[0])
    add = parser.add_subparsers(required=True).add_parser(
        "train", help="train a policy on other residents", formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Train a policy on other residents, a new one in each episode.", epilog=EPILOG)
    add.add_argument("--algorithm", default="ppo", help=f"{', '.join(CLASSES)}; default: ppo")
    add.add_argument("--people", default="train:64", help="as --personas of propersim run; default: train:64")
    add.add_argument("--steps", type=int, default=200_000, help="decisions, over all homes; default: 200000")
    add.add_argument("--days", type=int, default=14, help="days of an episode; default: 14")
    add.add_argument("--homes", type=int, default=8, help="homes stepped side by side; default: 8")
    add.add_argument("--flat", action="store_true", help="actions are single texts of the catalogue, not a topic and a tone")
    add.add_argument("--setting", default="house", help="e.g. house@known: learn with a part of the catalogue; default: house")
    add.add_argument("--feedback", default="delivered", help="full, delivered, reactions or sampled:SHARE; default: delivered")
    add.add_argument("--seed", type=int, default=0, help="default: 0")
    add.add_argument("--option", action="append", type=key_value, default=[], metavar="KEY=VALUE",
                     help="option of the algorithm's class in Stable-Baselines3; may be repeated")
    add.add_argument("--out", type=Path, required=True, help="folder for the policy")
    options = parser.parse_args(arguments)
    try:
        with Progress(console=ERR, transient=True) as progress:
            note = train(options.out, options.algorithm, options.people, options.steps, days=options.days, homes=options.homes,
                         factored=not options.flat, setting=options.setting, feedback=options.feedback, seed=options.seed,
                         options=dict(options.option), progress=progress)
    except (ValueError, ImportError) as error:
        add.error(str(error))
    if note["curve"]:
        OUT.print(f"utility a day in training, last episodes: {note['curve'][-1][1]:+.3f} after {note['steps']} decisions")
    OUT.print(f"policy in {options.out}: propersim run --assistants deep-rl:model={options.out} --personas test:8",
              soft_wrap=True)


if __name__ == "__main__":
    main()
