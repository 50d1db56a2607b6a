"""Answers that are remembered: what was asked once is never paid for again, and a recorded run needs no network.

One SQLite file holds them by the SHA-256 of the request (see `Request.key`). Failures are never kept.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .interface import Around, Failed, Reply, Request

MODES = ("use", "replay")
VERSION = 1


@dataclass
class Cached(Around):
    """Remembers answers of a model.

    Attributes:
        path: The file; made if missing.
        mode: ``"use"`` answers from the file and asks the model for what is not in it; ``"replay"`` never asks the model: what
            is not there is a failure of kind ``not_recorded``.
    """

    path: Path = Path("answers.sqlite")
    mode: str = "use"
    found: int = 0
    """Requests that were answered from the file."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mode not in MODES:
            raise ValueError(f"mode={self.mode!r}: choose {' or '.join(MODES)}")
        if self.mode == "replay" and not self.path.exists():
            raise ValueError(f"{self.path}: no recorded answers there; record them with mode=use")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._file = sqlite3.connect(self.path, check_same_thread=False, isolation_level=None, timeout=60)
        weakref.finalize(self, self._file.close)  # for who forgets to
        try:
            if self.mode == "use":
                self._file.execute("PRAGMA journal_mode=WAL")
            version = self._file.execute("PRAGMA user_version").fetchone()[0]
        except sqlite3.DatabaseError as error:
            raise ValueError(f"{self.path} holds no answers ({error}): name another file") from error
        if version not in (0, VERSION):
            raise ValueError(f"{self.path} is of version {version}, and this package writes {VERSION}: name another file")
        if version == 0 and self.mode == "use":
            self._file.execute(f"PRAGMA user_version={VERSION}")
            self._file.execute("CREATE TABLE IF NOT EXISTS answers "
                               "(key TEXT PRIMARY KEY, model TEXT, request TEXT, reply TEXT) WITHOUT ROWID")

    def ask(self, requests: Sequence[Request]) -> list[Reply | Failed]:
        """Answers from the file, the others from the model; equal requests of one call are asked once."""
        keys = [request.key(self.name) for request in requests]
        known = {key: reply for key in dict.fromkeys(keys) if (reply := self._known(key)) is not None}
        missing = {key: request for key, request in zip(keys, requests, strict=True) if key not in known}
        answers: dict[str, Reply | Failed] = dict(known)
        if self.mode == "replay":
            answers |= {key: Failed("not_recorded", f"no answer is recorded in {self.path.name} for request {key[:12]}")
                        for key in missing}
        elif missing:
            for key, answer in zip(missing, self.inner.ask(list(missing.values())), strict=True):
                answers[key] = answer
                if isinstance(answer, Reply):
                    self._keep(key, missing[key], answer)
        self.found += sum(key in known for key in keys)
        return [answers[key] for key in keys]

    def about(self) -> Mapping[str, Any]:
        """That of the model, and that answers are remembered."""
        return {**self.inner.about(), "cache": self.mode}

    def _known(self, key: str) -> Reply | None:
        with self._lock:
            row = self._file.execute("SELECT reply FROM answers WHERE key = ?", (key,)).fetchone()
        return None if row is None else replace(Reply(**json.loads(row[0])), cached=True)

    def _keep(self, key: str, request: Request, reply: Reply) -> None:
        asked = {name: getattr(request, name) for name in Request.__slots__}
        answer = {name: getattr(reply, name) for name in Reply.__slots__ if name != "cached"}
        with self._lock:  # on the disk before the answer is used: a killed run pays for nothing twice
            self._file.execute("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?)", (
                key, self.name, json.dumps(asked, ensure_ascii=False, default=dict), json.dumps(answer, ensure_ascii=False)))

    def close(self) -> None:
        """End the connection to the file."""
        self._file.close()
