"""A ridge regression on an embedding and on the words of a text: the learned part of reading, fitted in a moment."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

import numpy as np


class Ridge:
    """Ridge regression on dense and word features, solved in the dual: one weight row per word, one per dimension.

    Attributes:
        rows: Row of each known word in `word_weights`.
        rarity: float64 [n_words], weight of each word.
        mean: float64 [n_classes], score of a text that shows nothing.
        dense_weights: float64 [dim, n_classes]; `word_weights`, float64 [n_words, n_classes].
        left_out: float64 [n_texts, n_classes], score of each text if its group had been left out; empty if not fitted here.
    """

    def __init__(self, rows: Mapping[str, int], rarity: np.ndarray, word_weight: float, mean: np.ndarray,
                 dense_weights: np.ndarray, word_weights: np.ndarray) -> None:
        self.rows, self.rarity, self.word_weight = rows, rarity, word_weight
        self.mean, self.dense_weights, self.word_weights = mean, dense_weights, word_weights
        self.left_out = np.zeros((0, len(mean)))
        self._rarity = rarity.tolist()
        self._typical = float(rarity.mean()) if len(rarity) else 1.0

    @classmethod
    def fit(cls, bags: Sequence[Iterable[str]], dense: np.ndarray, targets: np.ndarray, weights: np.ndarray, ridge: float,
            word_weight: float, least_uses: int = 1, groups: Sequence[str] = ()) -> Ridge:
        """Fit.

        Args:
            bags: The distinct words of each text.
            dense: float64 [n_texts, dim], the embedding or other cues of each.
            targets: float64 [n_texts, n_classes], 1 where a text belongs to a class.
            weights: float64 [n_texts], how much each text counts.
            ridge: Strength of the ridge.
            word_weight: Weight of shared words against shared meaning.
            least_uses: Words in fewer texts are left out.
            groups: Which texts belong together, for `left_out`; each on its own if empty.
        """
        bags = [dict.fromkeys(bag) for bag in bags]  # distinct, and in one order in every process
        uses = Counter(word for bag in bags for word in bag)
        kept = sorted(word for word, count in uses.items() if count >= least_uses)
        rarity = np.array([math.log((1 + len(bags)) / (0.5 + uses[word])) for word in kept])
        model = cls({word: row for row, word in enumerate(kept)}, rarity, word_weight, (weights @ targets) / weights.sum(),
                    np.zeros((0, 0)), np.zeros((0, 0)))
        once = np.array([uses[word] == 1 for word in kept], bool)  # such a word makes its text like no other, only like itself
        place = np.cumsum(~once) - 1
        words, alone, lone = np.zeros((len(bags), int((~once).sum()))), np.zeros(len(bags)), []
        for i, bag in enumerate(bags):
            rows, values = (np.array(part) for part in model.words(bag))
            if len(rows):
                single = once[rows]
                words[i, place[rows[~single]]] = values[~single]
                alone[i] = values[single] @ values[single]
                lone.append((rows[single], i, values[single]))
        inverse = np.linalg.inv(dense @ dense.T + words @ words.T + np.diag(alone + ridge / weights))
        duals = inverse @ (targets - model.mean)
        model.dense_weights, model.word_weights = dense.T @ duals, np.zeros((len(kept), targets.shape[1]))
        model.word_weights[~once] = words.T @ duals
        for rows, i, values in lone:
            model.word_weights[rows] = values[:, None] * duals[i]
        model.left_out = targets - (_left_out(inverse, duals, groups) if groups else duals / np.diag(inverse)[:, None])
        return model

    def words(self, bag: Iterable[str]) -> tuple[list[int], list[float]]:
        """Rows of the known words among distinct ones, and their weights: by rarity, the whole text of length `word_weight`."""
        rows, values, length = [], [], 1e-9
        for word in bag:
            row = self.rows.get(word)
            if row is None:
                length += self._typical * self._typical
            else:
                value = self._rarity[row]
                length += value * value
                rows.append(row)
                values.append(value)
        scale = self.word_weight / math.sqrt(length)
        return rows, [value * scale for value in values]

    def scores(self, bag: Iterable[str], dense: np.ndarray) -> np.ndarray:
        """Score every class: about 1 for texts like those of the class, about 0 for others."""
        rows, values = self.words(bag)
        return np.asarray(self.mean + dense @ self.dense_weights + np.array(values) @ self.word_weights[rows])


def _left_out(inverse: np.ndarray, duals: np.ndarray, groups: Sequence[str]) -> np.ndarray:
    """Residual of each text under the fit without its whole group, in closed form."""
    members: dict[str, list[int]] = {}
    for i, group in enumerate(groups):
        members.setdefault(group, []).append(i)
    residuals = np.zeros_like(duals)
    for rows in members.values():
        residuals[rows] = np.linalg.solve(inverse[np.ix_(rows, rows)], duals[rows])
    return residuals


@lru_cache(maxsize=50_000)
def stem(word: str) -> str:
    """Join the forms of a word: "stretches", "stretching" -> "stretch"."""
    word = word.split("'")[0] or word
    for ending in ("ing", "ed", "es", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3 and not word.endswith(("ss", "us")):
            word = word[: -len(ending)]
            break
    word = word[:-1] if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "sl" else word
    return word[:-1] if len(word) > 3 and word[-1] == "e" else word[:-1] + "i" if word.endswith("y") else word
