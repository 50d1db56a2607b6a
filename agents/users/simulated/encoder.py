"""Static sentence embeddings: what the simulated user knows about the meaning of words, with numpy alone.

A text is the weighted sum of one row per word, taken from a table distilled from all-MiniLM-L6-v2 (see `encoder.md`).
The sum is exact integer arithmetic, so an embedding is the same on every machine.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np

TABLE_FILE = Path(__file__).with_name("encoder.npz")
WORD = re.compile(r"[a-z]+(?:'[a-z]+)?")
LONGEST_WORD = 40
MEMO_WORDS = 50_000
CONTRACTIONS = ("n't", "'s", "'re", "'ve", "'ll", "'d", "'m")
ENDINGS = (
    ("ies", "y"), ("ied", "y"), ("ily", "y"), ("iest", "y"), ("ier", "y"), ("iness", "y"), ("es", ""), ("s", ""),
    ("ed", "e"), ("ed", ""), ("ing", "e"), ("ing", ""), ("ly", ""), ("er", "e"), ("er", ""), ("est", "e"),
    ("est", ""), ("ness", ""), ("ment", ""), ("isation", "ize"), ("ise", "ize"), ("ised", "ize"), ("ising", "ize"),
)
PREFIXES = ("un", "re", "de", "non")


def plain(text: str) -> str:
    """Lower-case, strip accents and straighten apostrophes: "Café's" -> "cafe's"."""
    folded = unicodedata.normalize("NFKD", text.lower().replace("\u2019", "'"))
    return folded if folded.isascii() else "".join(mark for mark in folded if not unicodedata.combining(mark))


def stems(word: str) -> Iterator[str]:
    """Yield the simpler words an unknown one may be made of, likeliest first: "decluttering" gives "declutter"."""
    for ending, replacement in ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            stem = word[: -len(ending)]
            yield stem + replacement
            if not replacement and stem[-1] == stem[-2]:
                yield stem[:-1]
    for prefix in PREFIXES:
        if word.startswith(prefix) and len(word) - len(prefix) >= 4:
            yield word[len(prefix) :]


class TextEncoder(Protocol):
    """What a reader needs of an encoder."""

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Embed texts: float32 [n, dim], rows of unit length or all zero."""

    def coverage(self, text: str) -> float:
        """Share of the word tokens that are known, 0..1."""


class Encoder:
    """Turns texts into unit vectors whose dot products follow meaning.

    Example:
        >>> encoder = Encoder.load()
        >>> tea, coffee, chess = encoder.encode(["make a pot of tea", "brew some coffee", "play a game of chess"])
        >>> bool(tea @ coffee > tea @ chess)
        True
    """

    def __init__(self, table: np.ndarray, factors: np.ndarray, vocabulary: Sequence[str]) -> None:
        """Take int8 [n, dim] rows, the positive integer factor of each row, and the n pieces they stand for."""
        if not len(table) == len(factors) == len(vocabulary):
            raise ValueError(
                f"encoder table has {len(table)} rows, {len(factors)} factors and {len(vocabulary)} pieces: "
                "the file is damaged; write it again with baselines/studies/distil_encoder.py"
            )
        self._rows = table.astype(np.int64) if table.dtype != np.int8 else table
        self._factors = factors.astype(np.int64)
        self._index: Mapping[str, int] = {piece: row for row, piece in enumerate(vocabulary)}
        self._memo: dict[str, tuple[bool, tuple[int, ...]]] = {}

    @classmethod
    def load(cls) -> Encoder:
        """Read the table that ships with the package (one shared instance per process)."""
        return _load()

    @property
    def dim(self) -> int:
        """Length of an embedding."""
        return int(self._rows.shape[1])

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Embed texts: float32 [n, dim], rows of unit length, all zero where no piece is known."""
        result = np.zeros((len(texts), self.dim), np.float32)
        for row, text in enumerate(texts):
            pieces = [piece for word in WORD.findall(plain(text)) for piece in self.rows_of(word)[1]]
            if pieces:
                total = self._factors[pieces] @ self._rows[pieces].astype(np.int64)
                length = float(np.sqrt(float(sum(value * value for value in total.tolist()))))
                if length > 0.0:
                    result[row] = np.round(total / length, 6)
        return result

    def coverage(self, text: str) -> float:
        """Share of the word tokens that are known whole words, 0 for a text without words."""
        words = WORD.findall(plain(text))
        return sum(self.rows_of(word)[0] for word in words) / len(words) if words else 0.0

    def rows_of(self, word: str) -> tuple[bool, tuple[int, ...]]:
        """Find the rows of a plain word, and whether it (or its stem) is known as a whole."""
        known = self._memo.get(word)
        if known is None:
            if len(self._memo) >= MEMO_WORDS:
                self._memo.clear()
            known = self._memo[word] = self._find_rows(word)
        return known

    def _find_rows(self, word: str) -> tuple[bool, tuple[int, ...]]:
        for ending in CONTRACTIONS:
            if word.endswith(ending):
                word = word.removesuffix(ending)
                break
        for whole in (word, word.replace("'", ""), *stems(word)):
            if whole in self._index:
                return True, (self._index[whole],)
        return False, self._word_pieces(word.replace("'", "")[:LONGEST_WORD])

    def _word_pieces(self, word: str) -> tuple[int, ...]:
        """Split an unknown word greedily into the longest known pieces (WordPiece)."""
        pieces: list[int] = []
        start = 0
        while start < len(word):
            for end in range(len(word), start, -1):
                row = self._index.get(word[start:end] if start == 0 else "##" + word[start:end])
                if row is not None:
                    pieces.append(row)
                    start = end
                    break
            else:
                return ()
        return tuple(pieces)


@lru_cache(maxsize=1)
def _load() -> Encoder:
    with np.load(TABLE_FILE) as arrays:
        vocabulary = arrays["vocabulary"].tobytes().decode().split("\n")
        return Encoder(arrays["table"], arrays["factors"], vocabulary)
