"""What happened, for models that read prose: records, retrieval and summaries, put into the prompt within a token budget.

A record is made when an activity begins and when something was said; it holds no more than its level shows, so that nothing
hidden can act through retrieval. What does not fit into a prompt is counted, and the counts go to the assistant's notes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from propersim_env.clock import TICKS_PER_DAY, TICKS_PER_HOUR, moment_text
from propersim_env.messages import DIMENSIONS
from propersim_env.observation import Observation
from propersim_env.schema import read_json, sourced_values

from .answer import read_text
from .context import Context, Part, assemble
from .memory import LEVELS, Level, Memory, Record, TextEncoder
from .summaries import Summaries, Summarise, by_rule

if TYPE_CHECKING:
    from .recall import RecallSettings

FILE = Path(__file__).with_name("chronicle.json")
Count = Callable[[str], int]
"""Tokens of a text."""
Complete = Callable[[Sequence[dict[str, str]], int], tuple[str, bool]]
"""The likeliest completion of chat messages in so many tokens at most, and whether the model ended it itself."""
KINDS = ("rule", "model")


@lru_cache(maxsize=1)
def numbers() -> dict[str, Any]:
    """How much is shown, and the words around it: the values of ``chronicle.json``."""
    return sourced_values(read_json(FILE), str(FILE))


class Chronicle:
    """What happened to one resident, live or along a log.

    Args:
        level: What is kept and shown, one of `memory.LEVELS`.
        encoder: For retrieval.
        retrieval: Preset of ``memory.json``.
        budget: Tokens of a prompt at most, not counting those of the chat template.
        count: Tokens of a text.
        summarise: Puts past hours and blocks into words; the running hour is always told by rule, as it changes all the time.

    Raises:
        ValueError: No such level.
    """

    def __init__(self, level: str, encoder: TextEncoder, retrieval: str, budget: int, count: Count,
                 summarise: Summarise = by_rule) -> None:
        if level not in LEVELS:
            raise ValueError(f"level {level!r} keeps no records: choose one of {', '.join(LEVELS)}")
        self.level, self.budget, self.summarise = cast(Level, level), budget, summarise
        self._count = lru_cache(maxsize=128)(count)
        self.memory = Memory(encoder, retrieval, self.level)
        self.summaries = Summaries(summarise, self.level)
        self._action, self._hour = "", -1
        self._waiting: Record | None = None
        self._parts: list[Part] = []
        self._parts_of: tuple[int, int, str, int] = (-1, 0, "", -1)
        self._told = 0
        self.prompts = self.tokens = self.most_tokens = 0
        self.kept, self.dropped = Counter[str](), Counter[str]()

    def see(self, seen: Observation) -> None:
        """Take in an observation: the rating in it, and the activity if it is another one."""
        if self._waiting is not None and seen.tick > self._waiting.tick:
            self._keep(self._rated(self._waiting, seen))
            self._waiting = None
        hour = seen.tick // TICKS_PER_HOUR
        if seen.action != self._action:
            self._keep(Record(seen.tick, seen.action))
        elif hour != self._hour:  # an activity that goes on belongs to this hour too
            self.summaries.add(Record(seen.tick, seen.action))
        self._action, self._hour = seen.action, hour

    def spoke(self, seen: Observation, text: str) -> None:
        """Take in what was said at the observation seen last; it becomes a record when its rating is known."""
        if self.level != "A":
            self._waiting = Record(seen.tick, seen.action, text)

    def told(self, reasons: Mapping[int, str]) -> None:
        """Take in why texts were rated as they were, by the tick at which they were said; only level ASCR keeps that.

        Records and the summaries that are still shown are put anew with it.
        """
        if self.level != "ASCR" or not reasons:
            return

        def known(record: Record) -> Record:
            why = reasons.get(record.tick, "") if record.said else ""
            return replace(record, reason=why) if why else record

        self._waiting = known(self._waiting) if self._waiting else None
        first = min(reasons)
        for i in range(len(self.memory) - 1, -1, -1):
            if self.memory.records[i].tick < first:
                break
            self.memory.records[i] = known(self.memory.records[i])
        self.summaries.revise(known)
        self._told += 1

    def _keep(self, record: Record) -> None:
        self.memory.add(record)
        self.summaries.add(record)

    def _rated(self, record: Record, seen: Observation) -> Record:
        """The record with what the observation says of its rating, as far as the level shows it."""
        if self.level == "AS":
            return record
        if seen.marks is None:
            return replace(record, marks=seen.reaction if seen.reaction != "none" else "")
        lost = [name for i, name in enumerate(DIMENSIONS) if not seen.marks >> i & 1]
        marks = f"no mark for {', '.join(lost)}" if lost and self.level == "ASCR" else ""
        return replace(record, rating=seen.marks.bit_count(), marks=marks)

    def parts(self, seen: Observation) -> list[Part]:
        """What may be shown now, in about the order of time: what is remembered, summaries, and the last records."""
        key = (len(self.memory), self._told, seen.action, seen.tick // TICKS_PER_HOUR)
        if self._parts_of != key:
            self._parts, self._parts_of = self._make_parts(seen), key
        return self._parts

    def _make_parts(self, seen: Observation) -> list[Part]:
        p, records = numbers(), self.memory.records
        rank = p["priority"]
        begun = bool(records) and not records[-1].said and records[-1].action == seen.action  # that is now, not the past
        past = len(records) - begun
        last = range(max(0, past - p["last"]), past)
        found = self.memory.retrieve(seen.action, p["retrieved"], leave_out=len(last) + begun)
        parts = [Part("retrieved", f"Remembered: {records[i].text(self.level)}", rank["retrieved"]) for i in found]
        shown = [*(("block", line) for line in self.summaries.block_lines(p["blocks"])),
                 *(("hour", line) for line in self.summaries.hour_lines()),
                 *(("running", line) for line in self.summaries.running_lines())]
        parts += [Part(kind, line, rank[kind]) for kind, line in shown]
        today = seen.day * TICKS_PER_DAY
        return parts + [Part("last", f"Lately: {records[i].text(self.level, date=records[i].tick < today)}", rank["last"])
                        for i in last]

    def prompt(self, seen: Observation, system: str, counts: Sequence[str]) -> tuple[dict[str, str], ...]:
        """The chat messages of a decision, within the budget.

        Args:
            seen: The observation seen last.
            system: The instructions; "" for none.
            counts: What else is to be said; the last, which describes the moment, must fit.

        Raises:
            ValueError: Instructions, persona and moment alone are above the budget.
        """
        rank = numbers()["priority"]
        system = f"{system} {numbers()['instructions']}" if system else ""
        fixed = self._count(system) if system else 0
        parts = [Part("persona", seen.persona, 0)] if seen.persona else []
        parts += [Part("counts", text, rank["counts"]) for text in counts[:-1] if text]
        parts += [*self.parts(seen), Part("now", counts[-1], rank["now"])]
        try:
            context = assemble(parts, self.budget - fixed, self._count)
        except ValueError as error:
            raise ValueError(f"context_tokens={self.budget} at {moment_text(seen.tick)}, of which the instructions take "
                             f"{fixed}: {error}") from error
        self._note(context, fixed)
        user = {"role": "user", "content": context.text}
        return ({"role": "system", "content": system}, user) if system else (user,)

    def _note(self, context: Context, fixed: int) -> None:
        self.prompts += 1
        self.tokens += context.tokens + fixed
        self.most_tokens = max(self.most_tokens, context.tokens + fixed)
        self.kept += context.kept
        self.dropped += context.dropped

    def notes(self) -> dict[str, Any]:
        """Prompts since the last call: mean and largest tokens, and parts kept and dropped by kind.

        Where a model summarises, also how often it did, and how often the rule had to.
        """
        prompts = max(1, self.prompts)
        notes: dict[str, Any] = {"prompt": {
            "tokens": round(self.tokens / prompts, 1), "most_tokens": self.most_tokens,
            "kept": dict(sorted(self.kept.items())), "dropped": dict(sorted(self.dropped.items()))}}
        if isinstance(self.summarise, Retold):
            notes["summaries"] = self.summarise.notes()
        self.prompts = self.tokens = self.most_tokens = 0
        self.kept, self.dropped = Counter[str](), Counter[str]()
        return notes


class Retold:
    """Summaries by a language model. Where its words cannot be used, the rule takes its place, and that is counted.

    Args:
        complete: The model.
        count: Tokens of a text.
    """

    def __init__(self, complete: Complete, count: Count) -> None:
        self.complete, self.count = complete, count
        self.by_model, self.left_out = 0, 0
        self.by_rule = Counter[str]()

    def __call__(self, records: Sequence[Record], start: int, end: int, level: Level) -> str:
        """The records of ticks ``[start, end)`` in words."""
        p = numbers()
        notes = assemble([Part("record", r.text(level, date=False), 1) for r in records], p["retell_budget"], self.count)
        self.left_out += notes.dropped["record"]
        messages = ({"role": "system", "content": p["retell"]}, {"role": "user", "content": notes.text})
        words, ended = self.complete(messages, p["retell_tokens"])
        answer = read_text(" ".join(words.split()), ended) if words.strip() else None
        if answer is None or answer.malformed:
            self.by_rule[answer.malformed if answer else "empty"] += 1
            return by_rule(records, start, end, level)
        self.by_model += 1
        return answer.text

    def notes(self) -> dict[str, Any]:
        """Since the last call: summaries by the model, by rule and why, and records that its prompts had no room for."""
        result = {"by_model": self.by_model, "by_rule": dict(sorted(self.by_rule.items())), "records_left_out": self.left_out}
        self.by_model, self.left_out = 0, 0
        self.by_rule = Counter[str]()
        return result


def reasons_of(events: Sequence[Mapping[str, Any]]) -> dict[int, str]:
    """Why texts were rated as they were, by tick, as far as the assistant was told.

    Args:
        events: As ``learn`` gets them: dicts with tick, text, marks and reasons.
    """
    return {event["tick"]: reason_of(event["reasons"], event["marks"]) for event in events
            if event["text"] and event["marks"] is not None and event.get("reasons")}


def reason_of(reasons: Mapping[str, str], marks: int) -> str:
    """What the resident says of the marks that it kept back, or of the preference where it gave them all.

    Example:
        >>> reason_of({"preference": "Tea is always welcome.", "timing": "I was busy."}, 0b1101)
        'I was busy.'
    """
    lost = [name for i, name in enumerate(DIMENSIONS) if not marks >> i & 1]
    return " ".join(reasons[name] for name in lost or DIMENSIONS[:1] if reasons.get(name))


def chronicle_of(settings: RecallSettings, encoder: TextEncoder, count: Count | None,
                 complete: Complete | None) -> Chronicle | None:
    """The chronicle that settings ask for; None where they remember nothing, or show counts only.

    Raises:
        ValueError: Settings that make no sense, or something is missing that they need.
    """
    budget, kind = settings.context_tokens, settings.summaries
    if kind not in KINDS:
        raise ValueError(f"summaries={kind!r}: choose {' or '.join(KINDS)}")
    if budget < 0:
        raise ValueError(f"context_tokens={budget}: give 0 (counts only) or the tokens that a prompt may have")
    if not budget or settings.level == "none":
        return None
    if count is None:
        raise ValueError(f"context_tokens={budget} needs a tokenizer to count with: pass count=policy.count")
    if kind == "model" and complete is None:
        raise ValueError('summaries="model" needs a language model: pass complete=policy.complete, or choose summaries="rule"')
    summarise = Retold(complete, count) if kind == "model" and complete else by_rule
    return Chronicle(settings.level, encoder, settings.retrieval, budget, count, summarise)
