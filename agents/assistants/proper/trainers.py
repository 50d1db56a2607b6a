"""What of TRL is used, and where its ways are put right.

TRL would add the end token to every completion, drop long prompts without a word, take yesterday's adapter for the reference
where one is given, and leave its patches on the base model. So it gets token ids that were counted here, a fresh adapter into
which the old weights are copied (the reference is then the base with its adapter switched off), and the base is put back.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .models import Base, need, plain_afterwards, quietly

if TYPE_CHECKING:
    from .train import TrainSettings

PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
Row = dict[str, Any]
StepHook = Callable[[int, float], None]


class TrainingError(RuntimeError):
    """Training failed; the message says what to change. The adapter that was there before is still in place."""


@contextlib.contextmanager
def kept_as_it_was(base: Base) -> Iterator[None]:
    """Leave neither adapters nor patches on a base, nor another state of the global random generators."""
    torch = need("torch")
    states = random.getstate(), np.random.get_state()  # noqa: NPY002 - TRL seeds the global one
    devices = [base.model.device] if base.model.device.type == "cuda" else []
    try:
        with plain_afterwards(base), torch.random.fork_rng(devices), quietly():
            yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002


@contextlib.contextmanager
def memory_explained(settings: TrainSettings) -> Iterator[None]:
    """Say what to change where memory is too small, on a GPU or not.

    Raises:
        TrainingError: In place of the error of torch or of Python.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        on_gpu = isinstance(error, need("torch").OutOfMemoryError)
        if not (on_gpu or isinstance(error, MemoryError) or "can't allocate memory" in str(error)):
            raise
        raise TrainingError(
            f"{'the GPU' if on_gpu else 'this machine'} has too little memory for this training: lower micro_batch "
            f"({settings.micro_batch}) or longest_prompt ({settings.longest_prompt}), set gradient_checkpointing, load the "
            "base in 4 bit, or choose a smaller model; what was trained before is kept") from error


def build(
    base: Base, rows: Sequence[Row], settings: TrainSettings, folder: Path, tracker: str = "none", progress: bool = False
) -> Any:
    """A trainer of TRL that sees exactly these tokens.

    Args:
        base: Gets LoRA layers; use inside `kept_as_it_was`.
        rows: ``prompt_ids`` with ``chosen_ids`` and ``rejected_ids``, or with ``completion_ids`` and ``label``.
        settings: How to train.
        folder: For checkpoints.
        tracker: ``report_to`` of transformers.
        progress: Show its bars.
    """
    trl, datasets, peft = need("trl", "training"), need("datasets", "training"), need("peft", "training")
    kto = settings.method == "kto"
    parent = trl.KTOTrainer if kto else trl.DPOTrainer

    class Counted(parent):  # type: ignore[misc, valid-type]
        """Takes token ids as they are, and tells nobody."""

        def _prepare_dataset(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
            return dataset

        def _send_telemetry(self) -> None:
            pass

    Counted.__name__ = parent.__name__
    rows = _with_mismatched(rows, settings.micro_batch) if kto else list(rows)
    present = {name.rpartition(".")[2] for name, _ in base.model.named_modules()}
    targets = [p for p in PROJECTIONS if p in present] or "all-linear"
    lora = peft.LoraConfig(r=settings.rank, lora_alpha=settings.alpha, lora_dropout=settings.dropout, bias="none",
                           target_modules=targets, task_type="CAUSAL_LM")
    config = (trl.KTOConfig if kto else trl.DPOConfig)(**_arguments(base, len(rows), settings, folder, tracker, progress))
    trainer = Counted(model=base.model, args=config, train_dataset=datasets.Dataset.from_list(rows),
                      processing_class=base.tokenizer, peft_config=lora)
    trainer.remove_callback(need("transformers").PrinterCallback)
    _check_batch(trainer, rows[:2], kto)
    return trainer


def _arguments(base: Base, number: int, settings: TrainSettings, folder: Path, tracker: str, progress: bool) -> dict[str, Any]:
    """Arguments of the trainer. Dropout is applied as stated: by itself, TRL would set it to 0."""
    on_cpu = base.model.device.type == "cpu"
    steps = settings.steps(number)
    saved = settings.checkpoint_every and steps > settings.checkpoint_every
    arguments: dict[str, Any] = {
        "output_dir": str(folder), "per_device_train_batch_size": settings.micro_batch,
        "gradient_accumulation_steps": max(settings.batch // settings.micro_batch, 1),
        "num_train_epochs": settings.epochs, "learning_rate": settings.learning_rate, "lr_scheduler_type": "linear",
        "beta": settings.beta, "max_length": None, "bf16": settings.bf16, "use_cpu": on_cpu, "seed": settings.seed,
        "data_seed": settings.seed, "gradient_checkpointing": settings.gradient_checkpointing,
        "disable_dropout": False, "report_to": [] if tracker == "none" else [tracker], "run_name": folder.stem,
        "save_strategy": "steps" if saved else "no", "save_steps": settings.checkpoint_every or 1, "save_total_limit": 1,
        "logging_steps": 1, "logging_nan_inf_filter": False, "disable_tqdm": not progress,
        "dataloader_pin_memory": not on_cpu, "remove_unused_columns": False, "pad_to_multiple_of": None,
    }
    if settings.gradient_checkpointing:
        arguments["gradient_checkpointing_kwargs"] = {"use_reentrant": False}
    return arguments


def _with_mismatched(rows: Sequence[Row], batch: int) -> list[Row]:
    """KTO estimates a divergence from completions that belong to another prompt of the same batch."""
    starts = [i - i % batch for i in range(len(rows))]
    other = [i - 1 if i > start else min(start + batch, len(rows)) - 1 for i, start in enumerate(starts)]
    return [{**row, "KL_completion_ids": rows[j]["completion_ids"]} for row, j in zip(rows, other, strict=True)]


def _check_batch(trainer: Any, rows: Sequence[Row], kto: bool) -> None:
    """The batch must have our tokens: other versions of TRL name the columns in other ways."""
    first = "completion_ids" if kto else "chosen_ids"
    batch = trainer.data_collator(list(rows))
    wanted = rows[0]["prompt_ids"] + rows[0][first]
    seen = batch["input_ids"][0][: len(wanted)].tolist()
    if seen != wanted or int(batch["completion_mask"][0].sum()) != len(rows[0][first]):
        raise TrainingError(f"trl {need('trl').__version__} makes other batches of our tokens than this package knows: "
                            'install a version that it was tested with, pip install "propersim[train]"')


def start_from(trainer: Any, adapter: Path) -> None:
    """Copy an adapter's weights into the trainer's.

    Raises:
        ValueError: It has another rank or other layers.
    """
    peft, load = need("peft"), need("safetensors.torch").load_file
    weights = load(str(adapter / "adapter_model.safetensors"))
    mine = peft.get_peft_model_state_dict(trainer.model)
    if {n: tuple(w.shape) for n, w in weights.items()} != {n: tuple(w.shape) for n, w in mine.items()}:
        raise ValueError(f"the adapter {adapter} has other layers or another rank than the settings: train with the rank "
                         "it was trained with, or begin a new one")
    peft.set_peft_model_state_dict(trainer.model, weights)


def add_reference(trainer: Any, rows: Sequence[Row], batch: int) -> None:
    """Compute the reference's log-probabilities once, in batches of like length, rather than in every epoch."""
    datasets = need("datasets")
    lengths = [len(r["prompt_ids"]) + max(len(r["chosen_ids"]), len(r["rejected_ids"])) for r in rows]
    order = sorted(range(len(rows)), key=lengths.__getitem__)
    chosen, rejected = np.zeros(len(rows)), np.zeros(len(rows))
    trainer.model.eval()
    for i in range(0, len(order), batch):
        members = order[i : i + batch]
        tensors = trainer.data_collator([rows[j] for j in members])
        inputs = {name: t.to(trainer.accelerator.device) for name, t in tensors.items()}
        ours, theirs = trainer.compute_ref_log_probs(trainer.model, inputs)
        chosen[members], rejected[members] = ours.float().cpu().numpy(), theirs.float().cpu().numpy()
    trainer.model.train()
    trainer.train_dataset = datasets.Dataset.from_list([
        {**row, "ref_chosen_logps": c, "ref_rejected_logps": r}
        for row, c, r in zip(rows, chosen.tolist(), rejected.tolist(), strict=True)
    ])
    trainer.precompute_ref_logps = True


def run(trainer: Any, settings: TrainSettings, checkpoint: Path | None, on_step: StepHook | None) -> list[Mapping[str, float]]:
    """Train.

    Returns:
        What was measured at every step.

    Raises:
        TrainingError: The loss is not finite.
    """
    transformers = need("transformers")

    class Watch(transformers.TrainerCallback):  # type: ignore[misc, name-defined]
        """Stops at a loss that is not finite, before a checkpoint is written of it."""

        def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, float] | None = None, **_: Any) -> None:
            loss = float((logs or {}).get("loss", 0.0))
            if not isfinite(loss):
                raise TrainingError(f"the loss at step {state.global_step} is {loss}: lower learning_rate "
                                    f"({settings.learning_rate:g}), or raise beta ({settings.beta:g})")
            if on_step is not None and "loss" in (logs or {}):
                on_step(int(state.global_step), loss)

    trainer.add_callback(Watch())
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    return [logs for logs in trainer.state.log_history if "loss" in logs]
