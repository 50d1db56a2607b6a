"""A second opinion: the same lives with another reader of texts, and whether the ranking of assistants stands.

Each logged episode is lived again with a resident that understands texts by another model. It hears what was said at the
moments at which it was said, and what it remembers of it follows its own understanding. Days, needs and noise are the same.
Every reader is fitted on the catalogue, so that opinions may differ on new texts above all: those are counted apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from propersim_env.agents.users.simulated.compiled import EMBEDDED, text_reader
from propersim_env.evaluation.metrics import same
from propersim_env.evaluation.relive import same_rubric
from propersim_env.evaluation.rescore import Judge, rerate
from propersim_env.evaluation.statistics import Interval, interval, kendall, nanmean, ratio
from propersim_env.log import Episode, read_episode
from propersim_env.messages import DIMENSIONS
from propersim_env.setting import load_setting

from .runs import Results, Run
from .table import with_interval

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Opinion:
    """One assistant as the two readers rate what it said.

    Attributes:
        name: The assistant.
        privileged: It knew the resident, as the reader of the run understands it.
        said: Texts that both have rated.
        logged, again: Delivered score (0-4) by the reader of the run and by the other one, over personas.
        same: Share of texts with the same rating from both.
        new: How many of the texts are not in the catalogue.
        same_new: `same` over those; NaN where there are none.
        moved: For each dimension, share of texts with the mark by the other reader less that by the reader of the run.
    """

    name: str
    privileged: bool
    said: int
    logged: Interval
    again: Interval
    same: float
    new: int
    same_new: float
    moved: Mapping[str, float]


@dataclass(frozen=True)
class SecondOpinion:
    """All assistants that said something, best first by the reader of the run; Kendall's tau-b of the two rankings."""

    reader: str
    opinions: Sequence[Opinion]
    silent: Sequence[str]

    def ranking(self, of: str) -> list[str]:
        """Names, best first, by ``"logged"`` or ``"again"``."""
        return [o.name for o in sorted(self.opinions, key=lambda o: -getattr(o, of).mean)]

    def tau(self, privileged: bool = True) -> float:
        """Agreement of the two rankings, -1 to 1; NaN below two assistants. Without privileged ones if so asked."""
        kept = [o for o in self.opinions if privileged or not o.privileged]
        return kendall(np.array([o.logged.mean for o in kept]), np.array([o.again.mean for o in kept]))


def check(runs: Sequence[Run], reader: str) -> None:
    """Refuse, before any work, a reader that is not there, and runs that have no use for one.

    Raises:
        ImportError: The extra is not installed.
        ValueError: There is no such model, the run had that reader, or its residents were not simulated.
    """
    config = runs[0].config
    if config["user"] != "simulated":
        raise ValueError(f"--reader: the residents of these runs were played by {config['user']!r}; only the simulated user "
                         f"has readers")
    if config["user_options"].get("reader", EMBEDDED) == reader:
        raise ValueError(f"--reader {reader!r}: these runs were rated by that reader; name another one")
    text_reader(load_setting(config["setting"]), reader)


def second_opinion(results: Results, reader: str, progress: Callable[[int], None] | None = None) -> SecondOpinion:
    """Rate everything that was said again.

    Args:
        results: From `runs.load`.
        reader: Name or path of a sentence-transformers model, or "embedded".
        progress: Called with the number of episodes lived since the last call.

    Raises:
        LogError: A log is of another version, or its days depend on how texts are understood.
    """
    opinions, silent = [], []
    for name in results.names:
        marks: dict[str, list[NDArray[np.int64]]] = {}  # a row a text: marks logged, marks again, whether it is new
        for one in results.of(name):
            rated = rated_again(read_episode(one.path), reader)
            marks.setdefault(one.metrics.persona, []).append(np.array(rated, np.int64).reshape(-1, 3))
            if progress is not None:
                progress(1)
        if any(len(pairs) for rows in marks.values() for pairs in rows):
            opinions.append(_opinion(name, any(one.metrics.privileged for one in results.of(name)), marks))
        else:
            silent.append(name)
    opinions.sort(key=lambda o: -o.logged.mean)
    return SecondOpinion(reader, opinions, silent)


def rated_again(episode: Episode, reader: str) -> list[tuple[int, int, bool]]:
    """The marks (0..15) of every delivered text, as logged and by another reader, and whether it is not in the catalogue.

    Raises:
        LogError: The days of the log depend on how texts are understood, or it is of another version.
    """
    same_rubric(episode)
    catalogue = {same(entry.text) for entry in load_setting(episode.begin["setting"]).catalogue}
    return [(step.decision.marks, step.marks, same(step.decision.text) not in catalogue)
            for step in rerate(episode, Judge(options={"reader": reader}))
            if step.decision.text and step.decision.marks is not None and step.marks is not None]


def _opinion(name: str, privileged: bool, marks: Mapping[str, Sequence[NDArray[np.int64]]]) -> Opinion:
    def score(column: int) -> Interval:
        """Mean rating, of each episode, then over the seeds of a persona, then over personas."""
        rows = [nanmean(np.array([ratio(_totals(pairs[:, column]).sum(), len(pairs)) for pairs in seeds]))
                for seeds in marks.values()]
        return interval(np.array(rows, float))

    every = np.concatenate([pairs for seeds in marks.values() for pairs in seeds])
    bits = every[:, :2, None] >> np.arange(len(DIMENSIONS)) & 1
    moved = (bits[:, 1] - bits[:, 0]).mean(axis=0)
    agreed, new = _totals(every[:, 0]) == _totals(every[:, 1]), every[:, 2] > 0
    return Opinion(name, privileged, len(every), score(0), score(1), float(agreed.mean()), int(new.sum()),
                   float(ratio((agreed & new).sum(), new.sum())), {d: float(moved[i]) for i, d in enumerate(DIMENSIONS)})


def _totals(marks: NDArray[np.int64]) -> FloatArray:
    return (marks[:, None] >> np.arange(len(DIMENSIONS)) & 1).sum(axis=1).astype(float)


def verdict(found: SecondOpinion) -> list[str]:
    """Whether the ranking stands, in a few lines."""
    logged, again = found.ranking("logged"), found.ranking("again")
    if len(logged) < 2:
        return ["fewer than two assistants said something: there is no ranking"]
    stands = "the ranking stands" if logged == again else "the ranking changes"
    lines = [f"{stands}: Kendall's tau {found.tau():.2f} over {len(logged)} assistants",
             f"by the reader of the runs: {' > '.join(logged)}", f"by the other reader:       {' > '.join(again)}"]
    said, new = sum(o.said for o in found.opinions), sum(o.new for o in found.opinions)
    if 2 * new < said:
        lines.append(f"a weak test: {new} of {said} texts are new, and readers hardly differ on the catalogue that they are "
                     f"fitted on")
    fair = [o for o in found.opinions if not o.privileged]
    if 2 <= len(fair) < len(logged):
        lines.insert(1, f"without those that know the resident: tau {found.tau(privileged=False):.2f} over {len(fair)}")
    return lines


def markdown(found: SecondOpinion, name: str) -> str:
    """A table of both delivered scores; `name` stands for the model (a path is nobody's business)."""
    lines = [f"# Rated again by {name}", "",
             "Every episode lived again with a resident that understands texts by this model: same days, needs and "
             "noise, same texts at the same moments; dose, fatigue and repeats as this resident hears them. Delivered score "
             "(0-4) of all days; *same rating*: share of texts. Readers are fitted on the catalogue, and differ on *new* texts "
             "above all. Last columns: change of the share of texts with each mark.", "",
             "| assistant | texts | reader of the runs | this reader | same rating | new texts | same rating, new | "
             + " | ".join(DIMENSIONS) + " |",
             "| --- |" + " ---: |" * (6 + len(DIMENSIONS))]
    for o in found.opinions:
        cells = [o.name + "\\*" * o.privileged, str(o.said), with_interval(o.logged), with_interval(o.again), f"{o.same:.0%}",
                 str(o.new), f"{o.same_new:.0%}" if o.new else "-",
                 *(f"{o.moved[d]:+.0%}" for d in DIMENSIONS)]
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", *(f"- {line}" for line in verdict(found))]
    if found.silent:
        lines.append(f"- said nothing: {', '.join(found.silent)}")
    lines += ["", "\\* knows the resident, by the reader of the runs."]
    return "\n".join(lines) + "\n"


def as_json(found: SecondOpinion, name: str) -> dict[str, Any]:
    """The same as JSON values."""
    def tau(privileged: bool) -> float | None:
        value = found.tau(privileged)
        return None if np.isnan(value) else round(value, 6)

    def score(value: Interval) -> dict[str, float | int | None]:
        single = np.isnan(value.low)
        return {"mean": round(value.mean, 6), "low": None if single else round(value.low, 6),
                "high": None if single else round(value.high, 6), "n": value.n}

    return {"reader": name, "tau": tau(True), "tau_without_privileged": tau(False), "silent": list(found.silent),
            "rankings": {"logged": found.ranking("logged"), "again": found.ranking("again")},
            "assistants": [{"name": o.name, "privileged": o.privileged, "said": o.said, "logged": score(o.logged),
                            "again": score(o.again), "same": round(o.same, 6), "new": o.new,
                            "same_new": round(o.same_new, 6) if o.new else None,
                            "moved": {k: round(v, 6) for k, v in o.moved.items()}} for o in found.opinions]}
