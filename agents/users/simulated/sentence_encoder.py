"""A stronger reader: any sentence-transformers model in place of the embedded encoder. Needs the extra `reader`.

The rest stays: rules, words, ridge regressions, all refitted on the model's embeddings. Meant for studies that ask how much
depends on the reader, and for settings in which texts cost a language model anyway: a new text costs the model's time (5-20 ms
on a CPU, against 0.03 ms), and the last digits of embeddings may differ between machines.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .encoder import Encoder

MEMO_TEXTS = 20_000
FEW = 64  # batches of more texts than this are kept in a file: those that readers are fitted on


def cache_folder() -> Path:
    """Where embeddings are kept between runs: ``$XDG_CACHE_HOME/propersim``, by default ``~/.cache/propersim``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "propersim"


class SentenceEncoder:
    """Embeddings of a sentence-transformers model, with the interface of `Encoder`.

    Args:
        name: Name or path of the model, as `sentence_transformers.SentenceTransformer` takes it.

    Raises:
        ImportError: sentence-transformers is not installed.
        ValueError: There is no such model.
    """

    def __init__(self, name: str) -> None:
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError as problem:
            raise ImportError(
                f'reader {name!r} needs sentence-transformers: pip install "propersim[reader]", or use reader="embedded"'
            ) from problem
        try:
            self._model: Any = SentenceTransformer(name, device="cpu")
        except (OSError, ValueError) as problem:
            raise ValueError(f"reader {name!r} is no model that sentence-transformers can load "
                             f"({type(problem).__name__}): give a name or a folder of one, or \"embedded\"") from problem
        self._words = Encoder.load()
        self._memo: dict[str, np.ndarray] = {}
        probe = np.round(self._run(["The same model gives the same numbers for this."]), 3)
        self._model_print = hashlib.sha256(probe.tobytes()).hexdigest()

    def coverage(self, text: str) -> float:
        """Share of the word tokens that are known whole words, by the embedded vocabulary."""
        return self._words.coverage(text)

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Embed texts: float32 [n, dim], rows of unit length."""
        if len(texts) > FEW:
            return self._encode_kept(texts)
        new = [text for text in dict.fromkeys(texts) if text not in self._memo]
        if len(self._memo) + len(new) > MEMO_TEXTS:
            self._memo.clear()
            new = list(dict.fromkeys(texts))
        if new:
            self._memo.update(zip(new, self._run(new), strict=True))
        return np.stack([self._memo[text] for text in texts]) if texts else self._run([])

    def _run(self, texts: Sequence[str]) -> np.ndarray:
        rows = self._model.encode(list(texts), normalize_embeddings=True, show_progress_bar=False, convert_to_numpy=True)
        return np.asarray(np.round(rows, 6), np.float32)

    def _encode_kept(self, texts: Sequence[str]) -> np.ndarray:
        """Embed many texts, or read what an earlier run with the same model and texts kept."""
        key = hashlib.sha256("\0".join([self._model_print, *texts]).encode()).hexdigest()[:24]
        path = cache_folder() / f"embeddings-{key}.npy"
        if path.exists():
            return np.asarray(np.load(path, allow_pickle=False), np.float32)
        rows = self._run(texts)
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, draft = tempfile.mkstemp(dir=path.parent, suffix=".npy")
        with os.fdopen(handle, "wb") as file:
            np.save(file, rows)
        Path(draft).replace(path)  # at once, so that another process never reads half a file
        return rows
