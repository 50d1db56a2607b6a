"""From preference pairs to a LoRA adapter, with TRL: DPO, or KTO where ratings come one at a time.

Pairs are tokenised here, not by the trainer, so that it sees exactly the tokens that the policy sees: answers that end are ended
once, and ``SAY:`` in a decision, after which a text follows, is not ended.
"""

from __future__ import annotations

import json
import logging
import math
import shutil
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from propersim_env.names import near_matches
from propersim_env.schema import read_json, sourced_values

from .answer import SPEAK
from .models import render
from .pairs import Pair

if TYPE_CHECKING:
    from .models import Base

FILE = Path(__file__).with_name("training.json")


class TrainingError(RuntimeError):
    """Training failed; whatever adapter was there before is untouched. The message says what to change."""


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """How to train; presets are in ``training.json``.

    Attributes:
        method: ``"dpo"`` or ``"kto"``.
        rank, alpha, dropout: Of the LoRA adapter, on all projections.
        beta: Strength of the pull towards the reference.
        learning_rate: Falls linearly to 0.
        epochs: Passes over the pairs.
        batch: Pairs in an effective batch; `micro_batch` of them are computed at once.
        most_tokens: Prompt and answer together; longer pairs are dropped and counted.
        least_pairs: Fewer are not trained on.
        seed: Of everything random.
    """

    method: str = "dpo"
    rank: int = 16
    alpha: int = 32
    dropout: float = 0.05
    beta: float = 0.1
    learning_rate: float = 5e-5
    epochs: float = 2.0
    batch: int = 4
    micro_batch: int = 4
    most_tokens: int = 2048
    least_pairs: int = 8
    seed: int = 0
    gradient_checkpointing: bool = False
    bf16: bool = False

    @staticmethod
    def preset(name: str, **changes: Any) -> TrainSettings:
        """Settings by name, with changes.

        Raises:
            ValueError: No such preset; near matches are listed.
        """
        known = _numbers()
        if name not in known:
            raise ValueError(f"unknown training preset {name!r}: {near_matches(name, known)}")
        return replace(TrainSettings(**known[name]), **changes)


@lru_cache(maxsize=1)
def _numbers() -> dict[str, Any]:
    return sourced_values(read_json(FILE), str(FILE))


@dataclass(frozen=True, slots=True)
class TrainReport:
    """What training did: pairs kept and too long, tokens, steps, and losses and accuracy at its beginning and end."""

    kept: int
    too_long: int
    tokens: int
    steps: int
    first_loss: float
    last_loss: float
    accuracy: float
    seconds: float

    def notes(self) -> dict[str, Any]:
        """What is the same at every run: JSON values without times."""
        return {"kept": self.kept, "too_long": self.too_long, "tokens": self.tokens, "steps": self.steps,
                "first_loss": round(self.first_loss, 3), "last_loss": round(self.last_loss, 3)}


def tokenise(base: Base, pair: Pair) -> dict[str, list[int]]:
    """A pair as the trainer takes it: tokens of the prompt and of both answers."""
    tokenizer = base.tokenizer
    encode = tokenizer.encode
    prompt = encode(render(base, pair.messages, pair.prefix), add_special_tokens=False)
    ends = {}
    for name, answer in (("chosen_ids", pair.chosen), ("rejected_ids", pair.rejected)):
        open_ended = not pair.prefix and answer == SPEAK
        ends[name] = encode(answer, add_special_tokens=False) + ([] if open_ended else [tokenizer.eos_token_id])
    return {"prompt_ids": prompt, **ends}


def train(base: Base, pairs: Sequence[Pair], out: Path, settings: TrainSettings, *, adapter: Path | None = None) -> TrainReport:
    """Train an adapter on pairs.

    Args:
        base: The base model, which is also the reference.
        pairs: Preference pairs.
        out: Folder of the adapter; it is there whole or not at all.
        settings: How.
        adapter: Folder of the adapter to go on from.

    Raises:
        ValueError: Too few pairs.
        TrainingError: It failed; what was at `out` is untouched.
    """
    started = time.monotonic()
    rows = [tokenise(base, pair) for pair in pairs]
    fitting = [r for r in rows if len(r["prompt_ids"]) + max(len(r["chosen_ids"]), len(r["rejected_ids"])) <= settings.most_tokens]
    if len(fitting) < settings.least_pairs:
        raise ValueError(f"{len(fitting)} pairs to train on ({len(rows) - len(fitting)} are longer than {settings.most_tokens} tokens): "
                         f"at least {settings.least_pairs} are needed")
    temporary = out.with_name(f".{out.name}.part")
    shutil.rmtree(temporary, ignore_errors=True)
    model, history = _fit(base, fitting, temporary, settings, adapter)
    losses = [h["loss"] for h in history if "loss" in h]
    if not losses or not all(map(math.isfinite, losses)):
        raise TrainingError(f"the loss is not finite ({losses[-1:] or 'none'}): lower learning_rate ({settings.learning_rate})")
    model.save_pretrained(str(temporary))
    report = TrainReport(len(fitting), len(rows) - len(fitting), sum(len(r["prompt_ids"]) * 2 + len(r["chosen_ids"])
                         + len(r["rejected_ids"]) for r in fitting), len(losses), losses[0], losses[-1],
                         float(history[-2].get("rewards/accuracies", math.nan)) if len(history) > 1 else math.nan,
                         time.monotonic() - started)
    about = {"base": base.name, "settings": asdict(settings), "report": asdict(report)}
    (temporary / "propersim.json").write_text(json.dumps(about, indent=1), encoding="utf-8")
    model.unload()
    shutil.rmtree(out, ignore_errors=True)
    temporary.rename(out)
    return report


def _fit(base: Base, rows: Sequence[Mapping[str, list[int]]], folder: Path, settings: TrainSettings,
         adapter: Path | None) -> tuple[Any, list[dict[str, Any]]]:
    import torch
    from datasets import Dataset
    from datasets.utils.logging import disable_progress_bar
    from peft import LoraConfig, PeftModel, get_peft_model
    from trl import DPOConfig, DPOTrainer

    class Trainer(DPOTrainer):  # type: ignore[misc]
        """Takes pairs that are tokens already."""

        def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
            return dataset

    disable_progress_bar()
    plain = base.model.get_base_model() if isinstance(base.model, PeftModel) else base.model
    torch.manual_seed(settings.seed)
    if adapter is not None:
        model: Any = PeftModel.from_pretrained(plain, str(adapter), is_trainable=True)
    else:
        model = get_peft_model(plain, LoraConfig(r=settings.rank, lora_alpha=settings.alpha, lora_dropout=settings.dropout,
                                                 target_modules="all-linear", task_type="CAUSAL_LM"))
    config = DPOConfig(
        output_dir=str(folder), beta=settings.beta, learning_rate=settings.learning_rate, num_train_epochs=settings.epochs,
        per_device_train_batch_size=settings.micro_batch,
        gradient_accumulation_steps=max(1, settings.batch // settings.micro_batch), lr_scheduler_type="linear", max_length=None,
        gradient_checkpointing=settings.gradient_checkpointing, bf16=settings.bf16, use_cpu=not torch.cuda.is_available(),
        seed=settings.seed, logging_steps=1, save_strategy="no", report_to=[], disable_tqdm=True, dataloader_pin_memory=False,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.getLogger("trl").setLevel(logging.ERROR)
        trainer = Trainer(model=model, args=config, train_dataset=Dataset.from_list([dict(r) for r in rows]),
                          processing_class=base.tokenizer)
        trainer.remove_callback("PrinterCallback")
        from transformers import PrinterCallback
        trainer.remove_callback(PrinterCallback)
        try:
            trainer.train()
        except torch.OutOfMemoryError as error:
            raise TrainingError(f"out of memory: lower micro_batch ({settings.micro_batch}) or most_tokens "
                                f"({settings.most_tokens}), or set gradient_checkpointing") from error
    return model, list(trainer.state.log_history)
