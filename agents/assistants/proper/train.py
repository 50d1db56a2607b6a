"""From preference pairs to a LoRA adapter: what is trained on is counted, and a training that fails changes nothing."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from propersim_env.names import near_matches
from propersim_env.schema import read_json, sourced_values

from . import trainers
from .answer import SPEAK
from .models import NOTE, WEIGHTS, Base, check_adapter, encode, end_token, need, need_installed, read_adapter, render
from .pairs import Example, Pair
from .tracking import check_tracker, tracked
from .trainers import Row, StepHook, TrainingError

__all__ = ["TrainReport", "TrainSettings", "TrainingError", "check_out", "tokens_of", "train"]

FILE = Path(__file__).with_name("training.json")
NOTED = ("torch", "transformers", "trl", "peft")
"""Packages whose versions are noted beside an adapter."""
ELSEWHERE = "choose another folder with --out, or replace it with --replace"


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """How an adapter is trained.

    Attributes:
        method: ``"dpo"`` (pairs) or ``"kto"`` (single answers).
        model, load_in_4bit: The base that a preset is meant for, for `load_base`; "" for any.
        rank, alpha, dropout: Of LoRA, on all seven projections of a layer.
        beta: How strongly the adapter is held to the base.
        learning_rate: At the first step; falls linearly to 0.
        epochs: Times that every pair is seen.
        batch: Pairs a step; a multiple of `micro_batch`, which is how many go through the model at once.
        longest_prompt, longest_answer: Tokens; what is longer is left out and counted.
        gradient_checkpointing: Saves memory, costs time.
        bf16: Mixed precision.
        checkpoint_every: Steps between checkpoints; a training that is not longer keeps none, as does 0.
        least: Fewer pairs than this are not trained on.
        seed: Of the adapter's first weights, of the order, and of dropout.
    """

    method: Literal["dpo", "kto"] = "dpo"
    model: str = ""
    load_in_4bit: bool = False
    rank: int = 16
    alpha: int = 32
    dropout: float = 0.0
    beta: float = 0.1
    learning_rate: float = 5e-5
    epochs: int = 2
    batch: int = 4
    micro_batch: int = 4
    longest_prompt: int = 2048
    longest_answer: int = 256
    gradient_checkpointing: bool = False
    bf16: bool = False
    checkpoint_every: int = 50
    least: int = 8
    seed: int = 0

    def __post_init__(self) -> None:
        if self.method not in ("dpo", "kto"):
            raise ValueError(f"method={self.method!r}: choose dpo or kto")
        if self.micro_batch < 1 or self.batch % self.micro_batch:
            raise ValueError(f"batch={self.batch} is no multiple of micro_batch={self.micro_batch}: choose one that is")
        if self.method == "kto" and self.micro_batch < 2:
            raise ValueError(f"micro_batch={self.micro_batch}: kto compares answers within a batch, so give 2 or more")
        if self.epochs < 1 or self.rank < 1 or self.learning_rate <= 0 or self.beta <= 0:
            raise ValueError(f"epochs={self.epochs}, rank={self.rank}, learning_rate={self.learning_rate}, beta={self.beta}: "
                             "all must be positive")

    @staticmethod
    def preset(name: str, **changes: Any) -> TrainSettings:
        """A named preset of ``training.json``, with changes.

        Raises:
            ValueError: No such preset; near matches are listed.
        """
        known = _presets()
        if name not in known:
            raise ValueError(f"unknown training preset {name!r}: {near_matches(name, known)}")
        return replace(TrainSettings(**known[name]), **changes)

    def steps(self, pairs: int) -> int:
        """Steps that so many pairs take."""
        return -(-pairs // self.batch) * self.epochs


@lru_cache(maxsize=1)
def _presets() -> dict[str, Any]:
    presets: dict[str, Any] = sourced_values(read_json(FILE), str(FILE))["presets"]
    return presets


@dataclass(frozen=True, slots=True)
class TrainReport:
    """What a training did.

    Attributes:
        kept, too_long, tied: Pairs trained on, pairs left out for their length, and comparisons without a winner before.
        steps, resumed_at: Steps in all, and the step of the checkpoint from which it went on (0: from the start).
        first_loss, last_loss: At the first step, and over the last tenth of the steps.
        margin, accuracy: Over the last tenth: how far the adapter puts chosen above rejected (in rewards), and how often.
            For KTO, which has no pairs: the mean reward of desirable answers above that of others, and None.
        tokens: That went through the adapter, both completions counted with their prompt.
        seconds: Time taken, not counting imports.
    """

    kept: int
    too_long: int
    tied: int
    steps: int
    resumed_at: int
    first_loss: float
    last_loss: float
    margin: float | None
    accuracy: float | None
    tokens: int
    seconds: float


def tokens_of(base: Base, item: Pair | Example) -> Row:
    """A pair as token ids.

    The prompt is what the policy sees when it goes on from it. Completions are cut from the whole where it begins with
    the prompt's tokens, and end with the token at which generation stops, unless a text has yet to follow.
    """
    start = render(base, item.messages, item.prefix)
    prompt = encode(base, start)
    end = end_token(base)

    def completion(text: str) -> list[int]:
        whole = encode(base, start + text)
        ids = whole[len(prompt) :] if whole[: len(prompt)] == prompt else encode(base, text)
        while ids and ids[-1] == end:
            ids.pop()
        return ids if text == SPEAK and not item.prefix else [*ids, end]

    if isinstance(item, Example):
        return {"prompt_ids": prompt, "completion_ids": completion(item.completion), "label": item.desirable}
    return {"prompt_ids": prompt, "chosen_ids": completion(item.chosen), "rejected_ids": completion(item.rejected)}


def _answers(row: Row) -> list[list[int]]:
    return [row[name] for name in ("chosen_ids", "rejected_ids", "completion_ids") if name in row]


def _counted(base: Base, pairs: Sequence[Pair] | Sequence[Example], settings: TrainSettings) -> list[Row]:
    """Token ids of what is short enough, in an order drawn by the seed (KTO does not shuffle)."""
    rows = [tokens_of(base, item) for item in pairs]
    rows = [row for row in rows if len(row["prompt_ids"]) <= settings.longest_prompt
            and max(map(len, _answers(row))) <= settings.longest_answer]
    if len(rows) < settings.least:
        raise ValueError(f"{len(rows)} of {len(pairs)} pairs are within {settings.longest_prompt} tokens of prompt and "
                         f"{settings.longest_answer} of answer, fewer than least={settings.least}: raise longest_prompt, or "
                         "show less in the prompt")
    random.Random(settings.seed).shuffle(rows)
    return rows


def _check(pairs: Sequence[Pair] | Sequence[Example], settings: TrainSettings, tied: int) -> None:
    """What can be refused before anything is loaded."""
    if len(pairs) < settings.least:
        why = f" ({tied} comparisons were tied)" if tied else ""
        raise ValueError(f"{len(pairs)} pairs to train on{why}, fewer than least={settings.least}: gather more rated moments")
    wanted = Example if settings.method == "kto" else Pair
    if not all(isinstance(item, wanted) for item in pairs):
        raise ValueError(f"method={settings.method!r} is trained on {wanted.__name__}s: use kto_examples for kto, pairs_of for "
                         "dpo")
    if settings.method == "kto" and len({item.desirable for item in pairs if isinstance(item, Example)}) < 2:
        raise ValueError("all examples are desirable, or none is, so nothing tells them apart: choose another threshold")


def train(
    base: Base, pairs: Sequence[Pair] | Sequence[Example], out: Path, settings: TrainSettings | str = "embedded", *,
    adapter: Path | None = None, resume: bool = True, tracker: str = "none", tied: int = 0, progress: bool = False,
    on_step: StepHook | None = None, replaces: bool = True, learned_from: Sequence[str] = (),
) -> TrainReport:
    """Train an adapter.

    Args:
        base: Loaded once, used every night; it is as before afterwards.
        pairs: What to train on; examples for KTO.
        out: Folder of the adapter; what was there is replaced when training has succeeded.
        settings: How, or the name of a preset.
        adapter: Go on from this one (the reference stays the base without any adapter).
        resume: Go on from a checkpoint of the same training, if it was interrupted; nothing is done if it had ended.
        tracker: ``"none"`` or ``"wandb"`` (see `tracking.tracked`).
        tied: Comparisons that were dropped before, for the report.
        progress: Show progress bars.
        on_step: Called with the number of the step and its loss.
        replaces: Whether an adapter in `out` that was trained otherwise is replaced, or refused.
        learned_from: Whose ratings these are, for the note beside the adapter (see `propersim_env.splits`).

    Raises:
        ValueError: Too few pairs, an adapter of another base or rank, or a folder that is not to be replaced.
        TrainingError: The loss is not finite, memory is too small, or the adapter cannot be written.
        ImportError: A package is missing.
    """
    settings = TrainSettings.preset(settings) if isinstance(settings, str) else settings
    _check(pairs, settings, tied)
    known = set(learned_from)
    if adapter is not None:
        check_adapter(base, adapter)
        known |= set(read_adapter(base.name, adapter).get("learned_from", ()))
    check_tracker(tracker)
    need_installed()
    begun = time.perf_counter()
    rows = _counted(base, pairs, settings)
    key = _key(base, rows, settings, adapter)
    _put_back(out)
    done = _done(out, key) if resume else None
    if done is not None:
        return done
    check_out(out)
    if not replaces and (out / NOTE).is_file():
        raise ValueError(f"{out} holds an adapter that was trained on other pairs, or from another adapter: {ELSEWHERE}")
    part = out.with_name(out.name + ".part")
    with explained(out), trainers.memory_explained(settings):
        checkpoint = _checkpoint(part, key, resume)
        about = {"base": base.name, "pairs": len(rows), "tied": tied, **asdict(settings)}
        with trainers.kept_as_it_was(base), tracked(tracker, out.name, about):
            trainer = trainers.build(base, rows, settings, part, tracker, progress)
            if adapter is not None:
                trainers.start_from(trainer, adapter)
            if settings.method == "dpo":
                trainers.add_reference(trainer, rows, settings.micro_batch)
            logs = trainers.run(trainer, settings, checkpoint, on_step)
            resumed = int(checkpoint.name.rpartition("-")[2]) if checkpoint else 0
            measured = _measures(logs, settings)
            tokens = settings.epochs * sum(len(row["prompt_ids"]) + len(ids) for row in rows for ids in _answers(row))
            report = TrainReport(len(rows), len(pairs) - len(rows), tied, int(trainer.state.global_step), resumed, **measured,
                                 tokens=tokens, seconds=round(time.perf_counter() - begun, 3))
            note = {"base": base.name, "fingerprint": base.fingerprint, "key": key, "settings": asdict(settings),
                    "report": asdict(report), "learned_from": sorted(known),
                    "versions": {name: version(name) for name in NOTED}}
            _save(trainer.model, base, out, part, note)
    return report


@contextmanager
def explained(out: Path) -> Iterator[None]:
    """Say what to do where a folder cannot be written.

    Raises:
        TrainingError: In place of the error of the system.
    """
    try:
        yield
    except (OSError, need("safetensors").SafetensorError) as error:
        named = f"{error.strerror} ({error.filename})" if isinstance(error, OSError) and error.filename else str(error)
        raise TrainingError(f"cannot write {out}: {named}; free some space or choose another folder with --out; what was there "
                            "before is kept") from error


def check_out(out: Path, base: str | None = None, settings: TrainSettings | None = None) -> None:
    """See that an adapter can be put into a folder.

    Args:
        out: It is made if it is not there, and replaced if it holds an adapter.
        base: Name of the base model; with settings, an adapter that was trained otherwise is refused.
        settings: Of the training.

    Raises:
        TrainingError: It cannot be written.
        ValueError: It holds something else than an adapter, or one that was trained otherwise.
    """
    if out.exists() and not (out.is_dir() and ((out / NOTE).is_file() or not any(out.iterdir()))):
        raise ValueError(f"{out} is not empty and holds no adapter, so it is not replaced: choose another folder with --out")
    with explained(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        probe = out.with_name(out.name + ".probe")
        probe.write_bytes(b"x")
        probe.unlink()
    if base is None or settings is None or not (out / NOTE).is_file():
        return
    note = read_json(out / NOTE)
    was, now = ({"base": b, **s} for b, s in ((note.get("base"), note.get("settings", {})), (base, asdict(settings))))
    differ = [f"{name} {was.get(name)!r}, now {now[name]!r}" for name in now if was.get(name) != now[name]]
    if differ:
        raise ValueError(f"{out} holds an adapter that was trained otherwise ({'; '.join(differ)}): {ELSEWHERE}")


def _measures(logs: Sequence[Mapping[str, float]], settings: TrainSettings) -> dict[str, Any]:
    last = logs[-max(len(logs) // 10, 1) :]

    def mean(name: str) -> float | None:
        values = [entry[name] for entry in last if name in entry]
        return sum(values) / len(values) if values else None

    return {"first_loss": logs[0]["loss"], "last_loss": mean("loss"), "margin": mean("rewards/margins"),
            "accuracy": mean("rewards/accuracies")}


def _key(base: Base, rows: Sequence[Row], settings: TrainSettings, adapter: Path | None) -> str:
    """What determines a training, as a hash: trainings with the same can go on from each other's checkpoints."""
    digest = hashlib.sha256(json.dumps([base.fingerprint, asdict(settings), rows]).encode())
    if adapter is not None:
        digest.update((adapter / WEIGHTS).read_bytes())
    return digest.hexdigest()


def _done(out: Path, key: str) -> TrainReport | None:
    """The report of a training that had ended."""
    try:
        note = json.loads((out / NOTE).read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        return None
    return TrainReport(**note["report"]) if note.get("key") == key else None


def _checkpoint(part: Path, key: str, resume: bool) -> Path | None:
    """The last checkpoint of the same training; those of another are removed."""
    mark = part / "key.txt"
    if not (resume and mark.is_file() and mark.read_text() == key):
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        mark.write_text(key)
        return None
    whole = [p for p in part.glob("checkpoint-*") if (p / "trainer_state.json").is_file()]
    return max(whole, key=lambda p: int(p.name.rpartition("-")[2]), default=None)


def _old(out: Path) -> Path:
    return out.with_name(out.name + ".old")


def _put_back(out: Path) -> None:
    """Undo an exchange of folders that was cut off in the middle."""
    if _old(out).exists() and not out.exists():
        _old(out).rename(out)


def _save(model: Any, base: Base, out: Path, part: Path, note: Mapping[str, Any]) -> None:
    """Write the adapter beside its place, then move it there."""
    made, old = part / "adapter", _old(out)
    model.peft_config["default"].base_model_name_or_path = base.name
    model.save_pretrained(str(made), save_embedding_layers=False)
    (made / "README.md").unlink(missing_ok=True)
    (made / NOTE).write_text(json.dumps(note, indent=1) + "\n", encoding="utf-8")
    shutil.rmtree(old, ignore_errors=True)
    if out.exists():
        out.rename(old)
    made.rename(out)
    shutil.rmtree(old, ignore_errors=True)
    shutil.rmtree(part, ignore_errors=True)
