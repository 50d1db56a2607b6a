"""The lexicon of rubrics, and text made ready to be searched."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import Any

from propersim_env.schema import DATA, DataError, read_json

LEXICON_FILE = DATA / "rubric" / "lexicon.json"
RUNNING_FILE = DATA / "rubric" / "running.json"
_STRAIGHT = str.maketrans(
    {"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u2013": "-", "\u2014": ",", "\u00a0": " "}
)
_HALF = re.compile(r"\b([ap])\.\s?m\b(\.(?=\s+(?-i:[A-Z])|\s*$))?\.?", re.IGNORECASE)
_WORDS = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")
_SENTENCE = re.compile(r"(?<=[.!?])[\"')\]]*\s+(?=[\"'(\[]?[A-Z0-9])|\n+")


@lru_cache(maxsize=1)
def lexicon() -> dict[str, Any]:
    """The tables of ``data/rubric/lexicon.json``.

    Raises:
        DataError: A table has no source.
    """
    return _tables(LEXICON_FILE)


@lru_cache(maxsize=1)
def running() -> dict[str, Any]:
    """The tables of ``data/rubric/running.json``: how running text is parted and sorted.

    Raises:
        DataError: A table has no source.
    """
    return _tables(RUNNING_FILE)


def _tables(file: Path) -> dict[str, Any]:
    tables: dict[str, Any] = read_json(file)
    for name, table in tables.items():
        if name not in ("version", "about") and not (isinstance(table, dict) and table.get("source")):
            raise DataError(str(file), name, "has no source", 'add "source": "…"; an assumption says so')
    return tables


@lru_cache(maxsize=512)
def pattern(expression: str) -> re.Pattern[str]:
    """Compile a pattern of the lexicon so that it matches at word borders."""
    return re.compile(rf"(?<!\w)(?:{expression})(?!\w)")


def tidy(text: str) -> str:
    """Straighten quotes, dashes and spaces, and write ``a.m.`` as ``am``."""
    # A dash between figures is a range, any other long dash a comma.
    text = re.sub(r"(?<=[\dmM.])\s*[\u2013\u2014]\s*(?=\d)", "-", text).translate(_STRAIGHT)
    text = re.sub(r"\s*,(?=[A-Za-z])", ", ", text)
    text = _HALF.sub(lambda m: f"{m[1]}m{'.' if m[2] else ''}", text)
    return re.sub(r"[ \t]+", " ", text).strip()


def sentences(text: str) -> list[str]:
    """Split a tidy text into sentences."""
    return [part.strip() for part in _SENTENCE.split(text) if part and part.strip()]


def concepts(text: str) -> set[str]:
    """Names of the lexicon's concepts (what people do) that the text mentions."""
    lowered = pattern(lexicon()["finished"]["words"]).sub(" ", text.lower())
    return {name for name, entry in lexicon()["concepts"]["table"].items() if pattern(entry["words"]).search(lowered)}


def doing(activity: str) -> set[str]:
    """Concepts of what is being done now: what is over, comes later, or is somebody else's sleep, is left out.

    Example:
        >>> sorted(doing("resting after a long run"))
        ['break']
    """
    return concepts(re.sub(lexicon()["others"]["care"], " ", at_present(activity)))


def at_present(activity: str) -> str:
    """An activity in lower case without what is over or still to come, and without the sleep of somebody else."""
    finished = lexicon()["finished"]
    lowered = re.sub(lexicon()["others"]["state"], " ", activity.lower())
    return pattern(finished["around"]).sub(" ", pattern(finished["words"]).sub(" ", lowered))


def situation_words(text: str) -> set[str]:
    """The words of a situation that say what is done, who is there or with what.

    Example:
        >>> sorted(situation_words("when I'm on the phone with my mother"))
        ['mother', 'phone']
    """
    idle = frozenset(lexicon()["situation_idle"]["words"].split())
    return {w for w in re.findall(r"[a-z]{3,}", text.lower().replace("'", "")) if w not in idle}


def is_english(text: str) -> bool:
    """Whether a text of some length is in English, by its function words and script."""
    rules, words = lexicon()["language"], [w.lower() for w in _WORDS.findall(text)]
    if len(words) < rules["least_words"]:
        return True
    known = frozenset(rules["words"].split())
    return sum(w in known for w in words) >= rules["english_share"] * len(words)
