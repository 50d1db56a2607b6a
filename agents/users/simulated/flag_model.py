"""Harm that no pattern lists: flags learned from examples, beside the rules of `lexicon.json`.

`flag_examples.jsonl` holds texts in many voices: harmful ones by flag, texts that say nothing (`vague`), and harmless ones
that use the same words. `baselines/studies/flag_classifier.py` fits a ridge regression on them (embedding, words, pairs
of words), chooses the thresholds by cross-validation that leaves whole ideas out, and writes `flag_model.npz` and
`flag_model.json`. A reader on another embedding fits its own, in seconds.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from propersim_env.schema import DataError, read_json, read_json_lines

from .encoder import WORD
from .ridge import Ridge, stem

EXAMPLES_FILE = Path(__file__).with_name("flag_examples.jsonl")
WEIGHTS_FILE = Path(__file__).with_name("flag_model.npz")
NUMBERS_FILE = Path(__file__).with_name("flag_model.json")
HARMFUL = ("flattery", "guilt", "medical", "pressure", "privacy", "safety", "sales")
VAGUE = "vague"
NAMES = (*HARMFUL, VAGUE)


@dataclass(frozen=True, slots=True)
class Example:
    """One row of `flag_examples.jsonl`.

    Attributes:
        text: The text.
        flags: What it should be flagged with; none if it is harmless.
        idea: Texts of one idea are never on both sides of a cross-validation.
        tone: How it sounds, "" for no audible tone, None where that was not labelled.
    """

    text: str
    flags: tuple[str, ...]
    idea: str
    tone: str | None = None


@lru_cache(maxsize=1)
def flag_examples() -> tuple[Example, ...]:
    """Read the examples.

    Raises:
        DataError: A row has an unknown flag.
    """
    found = []
    for i, row in enumerate(read_json_lines(EXAMPLES_FILE), 1):
        unknown = set(row["flags"]) - set(NAMES)
        if unknown:
            raise DataError(f"{EXAMPLES_FILE} line {i}", "flags", f"has {sorted(unknown)}", f"use {', '.join(NAMES)}")
        found.append(Example(row["text"], tuple(row["flags"]), row["idea"], row.get("tone")))
    return tuple(found)


def numbers() -> dict[str, Any]:
    """Values of `flag_model.json`."""
    return {name: entry["value"] for name, entry in read_json(NUMBERS_FILE).items() if isinstance(entry, dict)}


def bag_of(lowered: str) -> dict[str, None]:
    """Words, without their endings, and pairs of neighbours; in the order of the text."""
    words = [stem(word) for word in WORD.findall(lowered)]
    return dict.fromkeys([*words, *(f"{first} {second}" for first, second in pairwise(["<", *words, ">"]))])


class FlagModel:
    """Hears harm, and emptiness, in words that no rule lists.

    A harmful text gets the one flag that fits best, if that flag's score plus the sum of all harmful scores exceeds a
    threshold: the sum tells harm from harmlessness better than any single flag does.
    """

    def __init__(self, ridge: Ridge, thresholds: Mapping[str, float]) -> None:
        """Take a fit whose classes are `NAMES`, and the thresholds `harmful` and `vague`."""
        self.ridge, self.thresholds = ridge, dict(thresholds)
        self._harmful, self._vague = thresholds["harmful"], thresholds[VAGUE]

    def flags(self, lowered: str, embedding: np.ndarray) -> list[str]:
        """Flags of a cleaned text: at most one of `HARMFUL`, and `VAGUE`."""
        return self.decide(self.ridge.scores(bag_of(lowered), embedding.astype(float)).tolist())

    def decide(self, scores: Sequence[float]) -> list[str]:
        """Flags for scores in the order of `NAMES`."""
        best, strength = strongest(scores)
        found = [HARMFUL[best]] if strength > self._harmful else []
        return [*found, VAGUE] if scores[-1] > self._vague else found

    def save(self, path: Path) -> None:
        """Write the weights."""
        ridge = self.ridge
        words = np.frombuffer("\n".join(ridge.rows).encode(), np.uint8)
        np.savez_compressed(path, words=words, rarity=ridge.rarity.astype(np.float32), mean=ridge.mean,
                            word_weight=np.array(ridge.word_weight), dense_weights=ridge.dense_weights.astype(np.float32),
                            word_weights=ridge.word_weights.astype(np.float16))


def strongest(scores: Sequence[float]) -> tuple[int, float]:
    """Index of the harmful flag with the highest score, and that score plus the sum of all harmful ones."""
    harmful = list(scores[:-1])
    top = max(harmful)
    return harmful.index(top), top + sum(harmful)


def fit_flags(encode: Callable[[Sequence[str]], np.ndarray], clean: Callable[[str], str],
              harmless: Sequence[tuple[str, str]]) -> Ridge:
    """Fit the flags on the examples and on harmless texts of a setting.

    Args:
        encode: Texts to embeddings [n, dim].
        clean: Text to what is searched in it (lower case, straight quotes).
        harmless: More texts without a flag, each with the group in which it is left out.
    """
    values, examples = numbers(), flag_examples()
    texts = [clean(text) for text in [*(e.text for e in examples), *(text for text, _ in harmless)]]
    targets = np.zeros((len(texts), len(NAMES)))
    for i, example in enumerate(examples):
        targets[i, [NAMES.index(flag) for flag in example.flags]] = 1.0
    groups = [*(e.idea for e in examples), *(group for _, group in harmless)]
    return Ridge.fit([bag_of(text) for text in texts], encode(texts).astype(float), targets, np.ones(len(texts)),
                     values["ridge"], values["word_weight"], int(values["least_uses"]), groups)


def fit_flag_model(encode: Callable[[Sequence[str]], np.ndarray], clean: Callable[[str], str],
                   harmless: Sequence[tuple[str, str]]) -> FlagModel:
    """Fit the flags, arguments as in `fit_flags`, and choose their thresholds by the examples left out."""
    ridge, examples = fit_flags(encode, clean, harmless), flag_examples()
    targets = np.array([[name in example.flags for name in NAMES] for example in examples], float)
    return FlagModel(ridge, choose_thresholds(ridge.left_out[: len(examples)], targets))


def choose_thresholds(scores: np.ndarray, targets: np.ndarray) -> dict[str, float]:
    """Lowest thresholds above which, in left-out texts, a large enough share of what is flagged deserves a flag.

    Args:
        scores: float64 [n, n_flags] of left-out texts.
        targets: float64 [n, n_flags], 0 or 1. For harmful flags any harmful label counts as deserved.
    """
    strengths = [strongest(row)[1] for row in scores.tolist()]
    wanted: dict[str, tuple[list[float], list[bool]]] = {
        "harmful": (strengths, (targets[:, :-1].sum(axis=1) > 0).tolist()),
        VAGUE: (scores[:, -1].tolist(), (targets[:, -1] > 0).tolist()),
    }
    shares, chosen = numbers()["precision"], dict[str, float]()
    for name, (values, deserved) in wanted.items():
        right, lowest = 0, float("inf")
        for count, (value, good) in enumerate(sorted(zip(values, deserved, strict=True), reverse=True), 1):
            right += good
            if good and right >= shares[name] * count:
                lowest = value
        chosen[name] = round(lowest - 5e-4, 3)
    return chosen


@lru_cache(maxsize=1)
def load_flags() -> FlagModel:
    """The model that ships with the package, for embeddings of its own encoder."""
    with np.load(WEIGHTS_FILE) as arrays:
        words = arrays["words"].tobytes().decode().split("\n")
        ridge = Ridge({word: row for row, word in enumerate(words)}, arrays["rarity"].astype(float),
                      float(arrays["word_weight"]), arrays["mean"], arrays["dense_weights"].astype(float),
                      arrays["word_weights"].astype(float))
    return FlagModel(ridge, numbers()["thresholds"])


def write_numbers(values: Mapping[str, Any]) -> None:
    """Change entries of `flag_model.json`, leaving the others as they are."""
    table = {**read_json(NUMBERS_FILE), **values}
    lines = [f' {json.dumps(name)}: {json.dumps(entry, ensure_ascii=False)}' for name, entry in table.items()]
    NUMBERS_FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
