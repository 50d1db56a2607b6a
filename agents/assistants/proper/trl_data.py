"""Logged episodes as data sets for TRL: preferences for its ``DPOTrainer``, single answers for its ``KTOTrainer``.

Prompts, pairs and labels are those that ``propersim train`` makes (`from_logs`, `pairs`), in TRL's conversational format: JSON
lines with lists of messages. TRL ends every completion, so answers are spelt out (`pairs.Scheme.spelt_out`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from propersim_env.export.source import Source, utf8, whole

from .chronicle import Complete, Count
from .from_logs import moments_of
from .pairs import Counts, Messages, Moment, Scheme, kto_examples, pairs_of
from .recall import RecallSettings

Kind = Literal["trl-dpo", "trl-kto"]


@dataclass
class Written:
    """What a file holds, and what became of the rest.

    Attributes:
        episodes, decisions: Read.
        moments: Decisions at which a text was said or rated.
        rows: Lines of the file.
        decision, content: Pairs of each kind (trl-dpo).
        tied: Comparisons without a winner, dropped (trl-dpo).
        unrated: Moments of which too little is known to compare anything (trl-dpo), or nothing at all (trl-kto).
        desirable: Lines with label true (trl-kto).
    """

    episodes: int = 0
    decisions: int = 0
    moments: int = 0
    rows: int = 0
    decision: int = 0
    content: int = 0
    tied: int = 0
    unrated: int = 0
    desirable: int = 0


def write(sources: Iterable[Source], out: Path, kind: Kind, recall: RecallSettings, scheme: Scheme | str = "moment", *,
          count: Count | None = None, complete: Complete | None = None, spell: Callable[[str], str] = str,
          step: Callable[[int], None] | None = None) -> Written:
    """Write a file of JSON lines; it is there whole or not at all.

    Args:
        sources: Episodes; the rows of one are held at a time.
        out: The file.
        kind: ``"trl-dpo"``: ``prompt``, ``chosen``, ``rejected``, ``margin``, ``kind``; ``"trl-kto"``: ``prompt``,
            ``completion``, ``label``. Both with ``run``, ``episode``, ``assistant``, ``persona``, ``seed``, ``tick``.
        recall: What the prompts remember and show.
        scheme: How options of a moment are compared (trl-dpo).
        count: As for `moments_of`.
        complete: As for `moments_of`.
        spell: A text as the model would write it.
        step: Called with the number of decisions read since the last call.

    Raises:
        LogError: A log cannot be lived again.
    """
    scheme = replace(Scheme.preset(scheme) if isinstance(scheme, str) else scheme, spelt_out=True)
    counts = Written()
    with whole(out) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        for source in sources:
            moments = list(moments_of(source.episode, recall, count=count, complete=complete))
            rows = preferences(moments, scheme, spell, counts) if kind == "trl-dpo" else answers(moments, spell, counts)
            about = provenance(source)
            for row in rows:
                file.write(utf8(json.dumps({**row, **about}, ensure_ascii=False)) + "\n")
            decisions = int((source.episode.end or {}).get("decisions", 0))
            counts.episodes += 1
            counts.decisions += decisions
            counts.moments += len(moments)
            counts.rows += len(rows)
            if step is not None:
                step(decisions)
    return counts


def preferences(moments: Sequence[Moment], scheme: Scheme, spell: Callable[[str], str] = str,
                counts: Written | None = None) -> list[dict[str, Any]]:
    """The pairs of moments as rows for ``DPOTrainer``."""
    pairs, counted = pairs_of(moments, scheme, spell)
    _add(counts, counted)
    return [{"prompt": _messages(p.messages), "chosen": _answer(p.prefix + p.chosen),
             "rejected": _answer(p.prefix + p.rejected), "margin": float(p.margin), "kind": p.kind, "tick": p.tick}
            for p in pairs]


def answers(moments: Sequence[Moment], spell: Callable[[str], str] = str,
            counts: Written | None = None) -> list[dict[str, Any]]:
    """The single answers of moments as rows for ``KTOTrainer``."""
    examples = kto_examples(moments, delivered_only=False, spell=spell)
    if counts is not None:
        counts.desirable += sum(e.desirable for e in examples)
        counts.unrated += sum(all(o.rating is None for o in moment.options) for moment in moments)
    return [{"prompt": _messages(e.messages), "completion": _answer(e.prefix + e.completion), "label": e.desirable,
             "tick": e.tick} for e in examples]


def provenance(source: Source) -> dict[str, Any]:
    """The columns that say where a row is from."""
    begin = source.episode.begin
    return {"run": source.run, "episode": source.name, "assistant": begin["assistant"], "persona": begin["persona"]["id"],
            "seed": begin["seed"], "rubric": begin["rubric"]}


def _add(counts: Written | None, counted: Counts) -> None:
    if counts is not None:
        for name, number in asdict(counted).items():
            setattr(counts, name, getattr(counts, name) + number)


def _messages(messages: Messages) -> list[dict[str, str]]:
    return [dict(message) for message in messages]


def _answer(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]
