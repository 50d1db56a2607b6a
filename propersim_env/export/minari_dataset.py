"""Logs as a Minari dataset: what the environment would have given an agent that acted as the logged assistant did.

Observations and actions are texts, rewards and infos those of ``ProPerSim-v0``. Minari rebuilds a text space from its set of
characters, so the spaces of a dataset are those of its own texts: characters that occur, length of the longest. They are
known only at the end, so episodes wait in a temporary folder until then.

Storage is Minari's Parquet format: its HDF5 format takes no text with a NUL and gives strings in infos back as bytes.
"""

from __future__ import annotations

import json
import os
import pickle
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from dataclasses import replace as replace_fields
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from propersim_env import __version__
from propersim_env.evaluation.relive import Step, steps
from propersim_env.export.source import Source, utf8, whole
from propersim_env.feedback import Feedback
from propersim_env.log import LogError
from propersim_env.machine import RewardKind
from propersim_env.messages import DIMENSIONS

FORMAT = "parquet"
WORLD = ("setting", "days", "max_cycles", "user", "reveal_persona", "feedback", "rubric")
"""What episodes of one dataset share: its environment has one of each."""
LONGEST = 2**17 - 1
"""Steps of an episode: Minari reads an episode as one batch of rows, and this is its size less the last observation."""
PATH_VARIABLE = "MINARI_DATASETS_PATH"


@dataclass
class Written:
    """What a dataset holds."""

    dataset: str = ""
    episodes: int = 0
    decisions: int = 0
    said: int = 0
    unrated: int = 0
    replaced: int = 0
    longest: dict[str, int] = field(default_factory=lambda: {"observation": 0, "action": 0})
    characters: int = 0


def need_minari() -> Any:
    """The package.

    Raises:
        ImportError: It, or a package that it reads and writes with, is not installed.
    """
    try:
        import minari
        import PIL  # noqa: F401 (Minari's storages need it, and do not say so)
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise ImportError('a Minari dataset needs minari, pyarrow and pillow: pip install "propersim[minari]"') from error
    return minari


def write(sources: Iterable[Source], root: Path, dataset: str, *, reward: RewardKind | None = None, replace: bool = False,
          step: Callable[[int], None] | None = None) -> Written:
    """Write a dataset; it is there whole or not at all.

    Args:
        sources: Episodes of one world; one is held at a time.
        root: Folder in which Minari is to look (``MINARI_DATASETS_PATH``).
        dataset: Its id, e.g. ``"propersim/mine-v0"``.
        reward: As of the environment; by default ``"rating"``, and ``"utility"`` where ratings were kept back.
        replace: Replace a dataset of that id.
        step: Called with the number of decisions read since the last call.

    Raises:
        ImportError: minari is not installed.
        LogError: A log cannot be lived again, or is of another world than the first.
        ValueError: The id is none of Minari's, or taken.
    """
    minari = need_minari()
    check_id(root, dataset, replace)
    counts = Written(dataset)
    characters: dict[str, set[str]] = {"observation": set(), "action": set()}
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".export-", dir=root) as work:
        folder, entries, first = Path(work), [], None
        for number, source in enumerate(sources):
            first = first or replace_fields(source, episode=replace_fields(source.episode, events=()))
            _same_world(first, source)
            episode = _episode(source, _reward(first, reward), counts)
            characters["observation"].update(*episode["observations"])
            characters["action"].update(*episode["actions"])
            (folder / f"{number}.pickle").write_bytes(pickle.dumps(episode))
            entries.append(_entry(source))
            if step is not None:
                step(len(episode["rewards"]))
        assert first is not None  # sources are never empty
        counts.characters = len(set().union(*characters.values()))
        spaces = {kind: gym.spaces.Text(max(counts.longest[kind], 1), min_length=0, charset="".join(sorted(found)) or " ")
                  for kind, found in characters.items()}
        with _datasets_in(folder / "made"):
            made = minari.create_dataset_from_buffers(
                dataset, _buffers(folder, entries), env=_environment(first, _reward(first, reward)),
                observation_space=spaces["observation"], action_space=spaces["action"], data_format=FORMAT,
                algorithm_name=", ".join(sorted({e["assistant"] for e in entries})),
                description=f"{counts.episodes} logged episodes of propersim {__version__}: a text, or '' for silence, at "
                            f"every waking tick of 2.5 minutes. reset(seed=seed, options=options), both in the episode's "
                            f"metadata, begins the same episode.")
            made.storage.update_episode_metadata(entries)
        for path in sorted((folder / "made").rglob("namespace_metadata.json")):
            there = root / path.relative_to(folder / "made")
            there.parent.mkdir(parents=True, exist_ok=True)
            if not there.exists():
                path.rename(there)
        with whole(root / dataset) as temporary:
            (folder / "made" / dataset).rename(temporary)
    return counts


def check_id(root: Path, dataset: str, replace: bool) -> None:
    """Refuse an id that Minari does not take, or that is taken, before any work."""
    need_minari()
    from minari.dataset.minari_dataset import parse_dataset_id

    try:
        parse_dataset_id(dataset)
    except ValueError as error:
        raise ValueError(f"--dataset {dataset!r}: {error}; write for instance propersim/mine-v0") from error
    if (root / dataset).exists() and not replace:
        raise ValueError(f"--dataset {dataset}: {root / dataset} exists: choose another id, or replace it with --replace")


def _reward(first: Source, reward: RewardKind | None) -> RewardKind:
    full = Feedback.parse(first.episode.begin.get("feedback", "full")).full
    if not full and reward == "rating":
        raise ValueError("--reward rating: assistants of this run were not told how silence is rated; use utility")
    return reward or ("rating" if full else "utility")


def _same_world(first: Source, source: Source) -> None:
    for key in WORLD:
        here, there = source.episode.begin.get(key), first.episode.begin.get(key)
        if here != there:
            raise LogError(f"{source.episode.path}: {key} is {json.dumps(here)}, in {first.episode.path} it is "
                           f"{json.dumps(there)}: a Minari dataset has one environment; make a dataset of each")


def _environment(first: Source, reward: RewardKind) -> Any:
    """The specification of the environment in which these episodes were lived, but for the persona."""
    begin = first.episode.begin
    options = {"user": begin["user"]["name"], "user_options": dict(begin["user"].get("options", {})), "days": begin["days"],
               "setting": begin["setting"], "reward": reward, "reveal_persona": begin["reveal_persona"],
               "max_cycles": begin.get("max_cycles"), "feedback": begin.get("feedback", "full")}
    specification = deepcopy(gym.spec("ProPerSim-v0"))
    specification.kwargs = {**specification.kwargs, **options}
    return specification


def _entry(source: Source) -> dict[str, Any]:
    begin, end = source.episode.begin, source.episode.end or {}
    return {"run": source.run, "episode": source.name, "assistant": begin["assistant"], "persona": begin["persona"]["id"],
            "propersim": begin["version"], "rubric": begin["rubric"], "end": end.get("reason"), "sha256": end.get("sha256")}


def _episode(source: Source, reward: RewardKind, counts: Written) -> dict[str, Any]:
    """The buffers of one episode, as keywords of Minari's `EpisodeBuffer`."""
    begin = source.episode.begin
    feedback = Feedback.parse(begin.get("feedback", "full"))
    observations: list[str] = []
    actions: list[str] = []
    rewards: list[float] = []
    marks, reactions, failures, ticks = [[0] * len(DIMENSIONS)], ["none"], [""], []
    last: Step | None = None
    for one in steps(source.episode, reward=reward):
        decision, last = one.decision, one
        told = feedback.full or (bool(decision.text) and feedback.rated(begin["seed"], begin["persona"]["id"], decision.tick))
        observations.append(utf8(one.observation))
        actions.append(utf8(decision.text))
        rewards.append(one.reward)
        ticks.append(decision.tick)
        known = one.marks if told and one.marks is not None else None
        marks.append([-1] * len(DIMENSIONS) if known is None else [known >> i & 1 for i in range(len(DIMENSIONS))])
        reactions.append(one.rating.reaction if one.rating is not None else "none")
        failures.append(decision.event["failure"] if decision.event is not None and decision.marks is None else "")
        counts.said += bool(decision.text)
        counts.replaced += actions[-1] != decision.text
        counts.unrated += one.marks is None
    if last is None or len(rewards) > LONGEST:
        raise LogError(f"{source.episode.path}: {len(rewards)} decisions; Minari reads episodes of 1 to {LONGEST} steps")
    observations.append(utf8(last.after))
    counts.episodes += 1
    counts.decisions += len(rewards)
    for kind, texts in (("observation", observations), ("action", actions)):
        counts.longest[kind] = max(counts.longest[kind], *map(len, texts))
    dismissed = (source.episode.end or {}).get("reason") == "dismissed"
    ends = [False] * (len(rewards) - 1)
    return {
        "seed": begin["seed"], "options": {"persona": dict(begin["persona"])}, "observations": observations,
        "actions": actions, "rewards": rewards, "terminations": [*ends, dismissed], "truncations": [*ends, not dismissed],
        "infos": {"tick": [*ticks, last.next_tick], "marks": np.array(marks, np.int8), "reaction": reactions,
                  "failure": failures},
    }


def _buffers(folder: Path, entries: Iterable[Mapping[str, Any]]) -> Iterator[Any]:
    from minari.data_collector import EpisodeBuffer

    for number, _ in enumerate(entries):
        yield EpisodeBuffer(**pickle.loads((folder / f"{number}.pickle").read_bytes()))


@contextmanager
def _datasets_in(folder: Path) -> Iterator[None]:
    """Have Minari work in this folder, and keep its advice on authors and links to itself."""
    before = os.environ.get(PATH_VARIABLE)
    os.environ[PATH_VARIABLE] = str(folder)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            yield
    finally:
        if before is None:
            del os.environ[PATH_VARIABLE]
        else:
            os.environ[PATH_VARIABLE] = before
