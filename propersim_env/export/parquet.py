"""Logs as one Parquet file: one row a decision, one row group an episode; and back.

The file holds everything that an `Episode` says of its decisions. What assistants noted of themselves and the residents'
diaries stay in the logs. Text is UTF-8: half of a surrogate pair, which a log can hold, becomes U+FFFD and is counted.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from propersim_env import __version__
from propersim_env.clock import TICKS_PER_DAY, time_text
from propersim_env.evaluation.relive import observations
from propersim_env.evaluation.runner import fingerprint_of
from propersim_env.export.source import Source, utf8, whole
from propersim_env.feedback import Feedback
from propersim_env.log import Decision, LogError
from propersim_env.messages import DIMENSIONS, marks_of

FORMAT = 1
KEY = b"propersim"
"""Of the file's metadata."""
COLUMNS: dict[str, tuple[str, str]] = {
    "run": ("dictionary", "name of the run folder"),
    "episode": ("dictionary", "name of the log: assistant, persona, seed"),
    "assistant": ("dictionary", "its specification"),
    "persona": ("dictionary", "id of the resident"),
    "seed": ("int64", "of the episode"),
    "step": ("int32", "number of the decision in its episode, from 0"),
    "day": ("int32", "from 0"),
    "tick": ("int32", "absolute: 576 a day, 2.5 minutes each"),
    "time": ("string", "HH:MM"),
    "observation": ("string", "what the assistant saw; null with --without-observations"),
    "text": ("string", "what it said; empty: silence"),
    "rating": ("int8", "0 to 4; null where the rating failed"),
    **dict.fromkeys(DIMENSIONS, ("bool", "mark of that dimension; null where the rating failed")),
    "reaction": ("dictionary", "accept, dismiss or ignore; none for silence; null where the rating failed"),
    "told": ("bool", "whether the assistant was told this rating (the run's feedback)"),
    "alternatives": ("alternatives", "what was rated at that moment without being heard: text, rating, four marks"),
    "propensity": ("float64", "probability with which the assistant chose this, where its log says so"),
    "reasons": ("string", "JSON: a sentence by dimension; null for silence"),
    "terms": ("string", "JSON: what decided the marks; null for silence"),
    "failure": ("string", "kind of failure where the rating failed"),
}
"""Type and meaning of each column, in order."""


@dataclass
class Written:
    """What an export holds."""

    episodes: int = 0
    decisions: int = 0
    said: int = 0
    alternatives: int = 0
    unrated: int = 0
    replaced: int = 0


def need_pyarrow() -> Any:
    """The package.

    Raises:
        ImportError: It is not installed.
    """
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise ImportError('Parquet needs pyarrow: pip install "propersim[parquet]"') from error
    return pyarrow


def schema() -> Any:
    """The columns, as pyarrow has them; meanings are in the metadata of each field."""
    pa = need_pyarrow()
    rated = [("text", pa.string()), ("rating", pa.int8()), *((name, pa.bool_()) for name in DIMENSIONS)]
    types = {"dictionary": pa.dictionary(pa.int32(), pa.string()), "alternatives": pa.list_(pa.struct(rated)),
             "int64": pa.int64(), "int32": pa.int32(), "int8": pa.int8(), "bool": pa.bool_(), "float64": pa.float64(),
             "string": pa.string()}
    return pa.schema([pa.field(name, types[kind], metadata={"about": about}) for name, (kind, about) in COLUMNS.items()])


def write(sources: Iterable[Source], out: Path, runs: Mapping[str, Any], *, with_observations: bool = True,
          step: Callable[[int], None] | None = None) -> Written:
    """Write a file; it is there whole or not at all.

    Args:
        sources: Episodes; one is held at a time.
        out: The file.
        runs: Content of ``run.json`` by name of the run, for the file's metadata.
        with_observations: Live every episode again for what the assistant saw; else that column is null, and logs of other
            versions and of users that cannot be built again can be exported too.
        step: Called with the number of decisions written since the last call.

    Raises:
        ImportError: pyarrow is not installed.
        LogError, TypeError: A log cannot be lived again.
    """
    pa = need_pyarrow()
    columns, counts = schema(), Written()
    entries: list[dict[str, Any]] = []
    personas: dict[str, Any] = {}
    with whole(out) as temporary, pa.parquet.ParquetWriter(temporary, columns, compression="zstd") as writer:
        for source in sources:
            rows = _rows(source, counts, with_observations)
            writer.write_table(pa.Table.from_pydict(rows, schema=columns))
            begin = {key: value for key, value in source.episode.begin.items() if key not in ("event", "persona")}
            persona = source.episode.begin["persona"]
            mark = fingerprint_of(persona)
            personas[mark] = persona
            entries.append({"run": source.run, "episode": source.name, "persona": mark, "begin": begin,
                            "end": dict(source.episode.end or {}), "rows": len(rows["tick"])})
            counts.episodes += 1
            if step is not None:
                step(len(rows["tick"]))
        about = {"format": FORMAT, "propersim": __version__, "pyarrow": pa.__version__, "runs": dict(runs),
                 "personas": personas, "episodes": entries, "observations": with_observations}
        writer.add_key_value_metadata({KEY: json.dumps(about, ensure_ascii=False).encode("utf-8", "replace")})
    return counts


def _rows(source: Source, counts: Written, with_observations: bool) -> dict[str, list[Any]]:
    episode, begin = source.episode, source.episode.begin
    feedback = Feedback.parse(begin.get("feedback", "full"))
    persona, seed = begin["persona"]["id"], begin["seed"]
    rows: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    constant = {"run": source.run, "episode": source.name, "assistant": begin["assistant"], "persona": persona, "seed": seed}
    seen = observations(episode) if with_observations else ((None, d) for d in episode.decisions())
    for number, (observation, decision) in enumerate(seen):
        event = decision.event or {}
        marks = _marks(decision.marks)
        told = feedback.full or (bool(decision.text) and feedback.rated(seed, persona, decision.tick))
        counts.decisions += 1
        counts.said += bool(decision.text)
        counts.alternatives += len(decision.alternatives)
        counts.unrated += decision.marks is None
        counts.replaced += utf8(decision.text) != decision.text
        row = {
            **constant, "step": number, "day": decision.tick // TICKS_PER_DAY, "tick": decision.tick,
            "time": time_text(decision.tick), "text": utf8(decision.text),
            "observation": None if observation is None else utf8(observation),
            "rating": decision.rating, **marks, "told": told and decision.marks is not None,
            "reaction": None if decision.marks is None else event.get("reaction", "none"),
            "alternatives": [{"text": utf8(text), "rating": given.bit_count(), **_marks(given)}
                             for text, given in decision.alternatives],
            "propensity": event.get("propensity"), "reasons": _json(event.get("reasons")), "terms": _json(event.get("terms")),
            "failure": event.get("failure"),
        }
        for name, values in rows.items():
            values.append(row[name])
    return rows


def _marks(marks: int | None) -> dict[str, bool | None]:
    return {name: None if marks is None else bool(marks >> i & 1) for i, name in enumerate(DIMENSIONS)}


def _json(value: Any) -> str | None:
    return None if value is None else json.dumps(value)


@dataclass(frozen=True)
class Exported:
    """An episode read back.

    Attributes:
        run, episode: Where it is from.
        begin: As in the log: assistant, persona, seed, days, versions.
        end: As in the log: reason, number of decisions, SHA-256 of the log.
        decisions: Equal to those of the log.
        observations: What the assistant saw at each; None where that was left out.
    """

    run: str
    episode: str
    begin: Mapping[str, Any]
    end: Mapping[str, Any]
    decisions: tuple[Decision, ...]
    observations: tuple[str | None, ...] = field(repr=False)


def about(path: Path) -> dict[str, Any]:
    """The metadata of a file: format, versions, runs, personas, episodes.

    Raises:
        LogError: The file was not written by this export.
    """
    pa = need_pyarrow()
    try:
        found = pa.parquet.read_metadata(path).metadata or {}
    except pa.ArrowInvalid as error:
        raise LogError(f"{path}: is no Parquet file ({error})") from error
    if KEY not in found:
        raise LogError(f"{path}: a Parquet file that propersim export did not write: it has no metadata {KEY.decode()!r}")
    known: dict[str, Any] = json.loads(found[KEY])
    if known["format"] != FORMAT:
        raise LogError(f"{path}: has format {known['format']}; this version reads format {FORMAT}")
    return known


def read(path: Path) -> Iterator[Exported]:
    """The episodes of a file, one at a time.

    Raises:
        ImportError: pyarrow is not installed.
        LogError: The file was not written by this export.
    """
    known = about(path)
    with need_pyarrow().parquet.ParquetFile(path) as file:
        group = 0
        for entry in known["episodes"]:
            rows: list[dict[str, Any]] = []
            while group < file.num_row_groups and len(rows) < entry["rows"]:
                rows += file.read_row_group(group).to_pylist()
                group += 1
            begin = {**entry["begin"], "event": "begin", "persona": known["personas"][entry["persona"]]}
            yield Exported(entry["run"], entry["episode"], begin, entry["end"], tuple(map(_decision, rows)),
                           tuple(row["observation"] for row in rows))


def _decision(row: Mapping[str, Any]) -> Decision:
    failed, event = row["rating"] is None, None
    marks = None if failed else marks_of({name: row[name] for name in DIMENSIONS})
    if failed:
        event = {"event": "said", "tick": row["tick"], "text": row["text"], "marks": None, "failure": row["failure"]}
    elif row["reasons"] is not None:
        event = {"event": "said", "tick": row["tick"], "text": row["text"], "marks": f"{marks:x}", "rating": row["rating"],
                 "reaction": row["reaction"], "reasons": json.loads(row["reasons"]), "terms": json.loads(row["terms"])}
    if event is not None and row["propensity"] is not None:
        event["propensity"] = row["propensity"]
    alternatives = tuple((o["text"], marks_of({name: o[name] for name in DIMENSIONS})) for o in row["alternatives"])
    return Decision(row["tick"], row["text"], marks, event, alternatives)
