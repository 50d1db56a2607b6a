"""Finished runs as comparable episodes: several run folders, one world, and the homes that every assistant has lived in.

What can be refused is refused from the ``run.json`` files, before a log is read. Of every log its metrics are kept, and where
it is; its events are read again by whoever needs them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from propersim_env.evaluation.metrics import ORACLE, EpisodeMetrics, measure
from propersim_env.evaluation.report import episodes, same_worlds
from propersim_env.evaluation.runner import RunError, read_config
from propersim_env.log import Episode, LogError, read_episode
from propersim_env.names import near_matches

Home = tuple[str, int]
"""Persona and seed."""


@dataclass(frozen=True)
class Run:
    """One run folder: its name, its ``run.json`` (`config` is the resolved configuration), and what was read of it."""

    folder: Path
    config: Mapping[str, Any]
    python: str
    packages: Mapping[str, str]
    digests: list[str] = field(default_factory=list)

    @property
    def told(self) -> str:
        """What its assistants were told of how they were rated, and of the person."""
        return str(self.config.get("feedback", "full")) + (", persona" if self.config["reveal_persona"] else "")

    @property
    def homes(self) -> set[Home]:
        """Every persona with every seed."""
        return {(persona, seed) for persona in self.config["personas"] for seed in self.config["seeds"]}


@dataclass(frozen=True, slots=True)
class Lived:
    """One finished episode: its log, what was measured of it, and what its assistant was told."""

    path: Path
    metrics: EpisodeMetrics
    told: str
    digest: str
    days: tuple[str, ...]

    @property
    def home(self) -> Home:
        """Whose, and which."""
        return self.metrics.persona, self.metrics.seed


@dataclass(frozen=True)
class Labels:
    """Names of assistants in tables: ``LABEL=SPEC``, or ``LABEL=SPEC@FOLDER`` for one run folder only."""

    names: Mapping[tuple[str, Path | None], str] = field(default_factory=dict)

    @staticmethod
    def parse(texts: Sequence[str], folders: Sequence[Path]) -> Labels:
        """Read them.

        Raises:
            ValueError: One is not written so, or two assistants get one name.
        """
        names: dict[tuple[str, Path | None], str] = {}
        for text in texts:
            label, equals, spec = text.partition("=")
            if not (label and equals and spec):
                raise ValueError(f"--label {text!r}: write LABEL=ASSISTANT, e.g. full=proper:preset=amortised")
            head, _, tail = spec.rpartition("@")
            folder = next((f for f in folders if head and tail in (str(f), f.name)), None)
            spec = head if folder is not None else spec
            if ORACLE in (spec, label):
                raise ValueError(f"--label {text!r}: {ORACLE!r} keeps its name, utility is a share of what it earns")
            names[spec, folder] = label
        if len(set(names.values())) < len(names):
            raise ValueError(f"--label: two assistants get one name among {', '.join(sorted(names.values()))}")
        return Labels(names)

    def of(self, spec: str, folder: Path) -> str:
        """The name of an assistant of a run folder."""
        return self.names.get((spec, folder)) or self.names.get((spec, None)) or spec


@dataclass(frozen=True)
class Results:
    """Episodes of several assistants in the same homes.

    Attributes:
        runs: Where they come from.
        lived: For each assistant by its name the episode in each home, the same homes for all.
        personas: Personas of these homes, in the order of the runs.
        homes: Persona and seed.
        days: Of each episode.
        left_out: A line for each episode that is not counted, and why.
    """

    runs: Sequence[Run]
    lived: Mapping[str, Mapping[Home, Lived]]
    personas: Sequence[str]
    homes: Sequence[Home]
    days: int
    left_out: Sequence[str]

    @property
    def names(self) -> list[str]:
        """The assistants."""
        return list(self.lived)

    def of(self, name: str) -> list[Lived]:
        """The episodes of an assistant, in the order of `homes`."""
        return [self.lived[name][home] for home in self.homes]


def open_runs(folders: Sequence[Path]) -> list[Run]:
    """Read the ``run.json`` of each folder.

    Raises:
        RunError: A folder holds no run, or is named twice; their worlds differ; personas of one id differ.
    """
    runs = []
    for folder in folders:
        config = read_config(folder)
        about = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        runs.append(Run(folder, config, str(about.get("python", "?")), about.get("packages", {})))
    if len({folder.resolve() for folder in folders}) < len(folders):
        raise RunError("a run folder is named twice; name each once")
    same_worlds(folders, [run.config for run in runs])
    return runs


def named(runs: Sequence[Run], labels: Labels, chosen: Sequence[str] = ()) -> dict[str, set[Home]]:
    """The assistants to compare, and the homes that they are meant to have lived in.

    Args:
        runs: From `open_runs`.
        labels: Their names.
        chosen: Names to keep; all where none is given. The oracle is always kept.

    Raises:
        RunError: There is no run of the oracle, or no home that all assistants share.
        ValueError: A name that no run has.
    """
    found: dict[str, set[Home]] = {}
    specs: set[str] = set()
    for run in runs:
        for spec in run.config["assistants"]:
            specs.add(spec)
            found.setdefault(labels.of(spec, run.folder), set()).update(run.homes)
    for spec, _ in labels.names:
        if spec not in specs:
            raise ValueError(f"--label: no run has an assistant {spec!r}: {near_matches(spec, specs)}")
    if ORACLE not in found:
        raise RunError(f"no run of {ORACLE!r} among {', '.join(str(run.folder) for run in runs)}, and utility is a share of "
                       f"what it earns: run it with the same personas, seeds and days (propersim run adds it by itself)")
    for name in chosen:
        known_name(name, found, "--assistants")
    kept = {name: homes for name, homes in found.items() if not chosen or name in chosen or name == ORACLE}
    shared = set.intersection(*kept.values())
    if not shared:
        lines = "\n".join(f"  {name}: {_some(homes)}" for name, homes in kept.items())
        raise RunError(f"no persona and seed that all assistants have lived with:\n{lines}\nrun them with the same --personas "
                       f"and --seed, or leave one out with --assistants")
    return kept


def _some(homes: set[Home]) -> str:
    names = [f"{persona} seed {seed}" for persona, seed in sorted(homes)]
    return ", ".join(names[:4]) + (f" … ({len(names)})" if len(names) > 4 else "")


def known_name(name: str, known: Mapping[str, Any] | Sequence[str], where: str) -> None:
    """Refuse a name that no run has."""
    if name not in known:
        raise ValueError(f"{where} {name!r}: no such assistant in these runs; {near_matches(name, known)}")


def load(
    runs: Sequence[Run], labels: Labels, names: Mapping[str, set[Home]], progress: Callable[[int], None] | None = None
) -> Results:
    """Read and check every log; keep the homes that all assistants have finished.

    Args:
        runs: From `open_runs`.
        labels: Names of the assistants.
        names: From `named`.
        progress: Called with the number of logs read since the last call.

    Raises:
        LogError: A log was edited, or two logs of one episode differ.
        RunError: No home was finished by all.
    """
    lived: dict[str, dict[Home, Lived]] = {name: {} for name in names}
    left_out: list[str] = []
    for run in runs:
        for one in _lived(run, left_out, progress):
            name = labels.of(one.metrics.assistant, run.folder)
            if name in lived:
                there = lived[name].setdefault(one.home, one)
                if there is not one:
                    _same_episode(name, there, one)
    homes = set.intersection(*(set(found) for found in lived.values()))
    if not homes:
        rows = ", ".join(f"{name} {len(found)}" for name, found in lived.items())
        raise RunError(f"no home was finished by all assistants (finished episodes: {rows}); run the same commands "
                       f"again to go on")
    for name, found in lived.items():
        left_out += [f"{name} with {p}, seed {s}: not every assistant has finished this home"
                     for p, s in sorted(set(found) - homes)]
    _same_days({name: [found[h] for h in homes] for name, found in lived.items()}, bool(_follows(runs)))
    order = list(dict.fromkeys(persona for run in runs for persona in run.config["personas"]))
    ranked = sorted(homes, key=lambda home: (order.index(home[0]), home[1]))
    personas = list(dict.fromkeys(persona for persona, _ in ranked))
    return Results(runs, lived, personas, ranked, int(runs[0].config["days"]), left_out)


def count_logs(runs: Sequence[Run]) -> int:
    """Logs that `load` will read."""
    return sum(1 for run in runs for _ in run.folder.glob("events-*.jsonl"))


def _lived(run: Run, left_out: list[str], progress: Callable[[int], None] | None) -> Iterator[Lived]:
    for episode in episodes(run.folder):
        if progress is not None:
            progress(1)
        if isinstance(episode, str):
            left_out.append(episode.replace(f"{run.folder}/", f"{run.folder.name}/"))
            continue
        assert episode.end is not None  # complete, or it were a line
        run.digests.append(episode.end["sha256"])
        yield Lived(episode.path, measure(episode), run.told, episode.end["sha256"], _days(episode))


def _days(episode: Episode) -> tuple[str, ...]:
    """A mark for each day of the resident's diary."""
    return tuple(hashlib.sha256(json.dumps(day, sort_keys=True).encode()).hexdigest()[:16] for day in episode.days())


def _follows(runs: Sequence[Run]) -> Any:
    """Whether what is said changes what the resident does next."""
    return any(run.config["user_options"].get("follow_through") for run in runs)


def _same_episode(name: str, a: Lived, b: Lived) -> None:
    """Two logs of one assistant in one home must tell the same; what it was told may differ if it makes no difference."""
    if a.digest != b.digest and read_episode(a.path).events != read_episode(b.path).events:
        raise LogError(f"{name} with {a.metrics.persona}, seed {a.metrics.seed} is logged twice, and differently: {a.path} "
                       f"(told: {a.told}) and {b.path} (told: {b.told}); give them names of their own "
                       f"(--label 'LABEL={name}@FOLDER'), or leave one out")


def _same_days(lived: Mapping[str, Sequence[Lived]], follows: bool) -> None:
    """All assistants must have met the same days, else a paired difference means nothing."""
    if follows:
        return
    first: dict[Home, Lived] = {}
    for one in (one for found in lived.values() for one in found):
        there = first.setdefault(one.home, one)
        if any(a != b for a, b in zip(there.days, one.days, strict=False)):
            raise LogError(f"{one.path} and {there.path}: the resident lived different days, although persona and seed are the "
                           f"same: they are of different versions; run one of them anew")
