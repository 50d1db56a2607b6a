"""The loss curve and the settings of a training at Weights & Biases, where that is asked for. Nothing is sent otherwise."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from .models import need
from .trainers import TrainingError

TRACKERS = ("none", "wandb")
NO_EXTRA = 'tracker "wandb" needs the package wandb: pip install "propersim[wandb]"'


def check_tracker(tracker: str) -> None:
    """See that a tracker is known and installed.

    Raises:
        ImportError: wandb is not installed; one line with the command that installs it.
        ValueError: No such tracker.
    """
    if tracker not in TRACKERS:
        raise ValueError(f"tracker={tracker!r}: choose {' or '.join(TRACKERS)}")
    if tracker == "wandb":
        try:
            need("wandb")
        except ImportError as error:
            raise ImportError(f"{NO_EXTRA} ({error.__cause__})") from error


@contextmanager
def tracked(tracker: str, name: str, config: Mapping[str, Any]) -> Iterator[None]:
    """A run of the tracker, which the trainer finds and logs to; it has ended afterwards, however the training went.

    The environment variables of wandb apply: ``WANDB_MODE=offline`` needs neither network nor account, ``WANDB_DIR`` says where
    its folder is made (the current one otherwise), ``WANDB_PROJECT`` names the project (``propersim`` otherwise).

    Raises:
        ImportError: wandb is not installed.
        TrainingError: It cannot begin, for want of an account for example.
    """
    check_tracker(tracker)
    if tracker == "none":
        yield
        return
    wandb = need("wandb")
    try:
        run = wandb.init(project=os.environ.get("WANDB_PROJECT") or "propersim", name=name, config=dict(config),
                         settings=wandb.Settings(console="off"))
    except wandb.Error as error:
        raise TrainingError(f"wandb cannot begin a run ({' '.join(str(error).split())}): run wandb login, set "
                            "WANDB_MODE=offline, or leave out the tracker") from error
    failed = True
    try:
        yield
        failed = False
    finally:
        run.finish(exit_code=int(failed))
