"""How to speak to somebody: tones, length and boundaries, read from words."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from .rates import number
from .words import lexicon, pattern, sentences

_WORDS = re.compile(r"(?P<n>\d{1,3}|[a-z]+(?:-[a-z]+)?) words?(?! (?:or|of) (?:two|advice))")


@dataclass(slots=True)
class Manner:
    """What was understood.

    Attributes:
        tones, avoid_tones, boundaries: Ids of the setting, the first named first.
        max_words: Longest welcome text.
        marks: What was made of each sentence.
        defaults: What nobody stated, with the value that was taken.
    """

    tones: list[str] = field(default_factory=list)
    avoid_tones: list[str] = field(default_factory=list)
    boundaries: list[str] = field(default_factory=list)
    max_words: int = 0
    marks: dict[str, list[str]] = field(default_factory=dict)
    defaults: dict[str, str] = field(default_factory=dict)

    def mark(self, sentence: str, what: str) -> None:
        """Note what was made of a sentence."""
        self.marks.setdefault(sentence, []).append(what)


def read_manner(text: str) -> Manner:
    """Read tones, length and boundaries.

    Args:
        text: Tidy text.

    Example:
        >>> manner = read_manner("Warm but never formal, thirty words at most. No sales talk.")
        >>> manner.tones, manner.avoid_tones, manner.max_words, manner.boundaries
        (['warm'], ['formal'], 30, ['sales'])
    """
    rules, manner = lexicon()["tones"], Manner()
    liked: dict[str, int] = {}
    avoided: dict[str, int] = {}
    for sentence in sentences(text):
        _tones(sentence, manner, liked, avoided)
        _length(sentence, manner)
        for name, expression in lexicon()["boundaries"]["words"].items():
            if pattern(expression).search(sentence.lower()):
                manner.boundaries.append(name)
                manner.mark(sentence, f"boundary: {name}")
    manner.tones = [t for t in liked if t not in avoided][:3]
    for tone in manner.tones[:1]:
        for other in rules["avoided_with"].get(tone, ()):
            avoided.setdefault(other, 9999)
    manner.avoid_tones = [t for t in avoided if t not in manner.tones][:3]
    manner.boundaries = list(dict.fromkeys(manner.boundaries))
    if not manner.tones:
        manner.tones = ["gentle"]
        manner.defaults["communication.tones"] = "no tone was understood: gentle"
    if not manner.max_words:
        manner.max_words = int(lexicon()["length"]["default"])
        manner.defaults["communication.max_words"] = f"no length was stated: {manner.max_words} words"
    return manner


def _tones(sentence: str, manner: Manner, liked: dict[str, int], avoided: dict[str, int]) -> None:
    rules, lowered = lexicon()["tones"], sentence.lower()
    about = re.search(rules["about"], lowered) or len(lowered.split()) <= rules["short_sentence"]
    for expression, tone in rules["liked"].items():
        if _refused(expression, lowered):
            avoided.setdefault(tone, 0)
            manner.mark(sentence, f"tone avoided: {tone}")
        elif about and (match := pattern(expression).search(lowered)):
            liked.setdefault(tone, len(liked) * 1000 + match.start())
            manner.mark(sentence, f"tone: {tone}")
    for expression, tone in rules["urgent"].items():
        if _refused(expression, lowered):
            if tone in lexicon()["boundaries"]["words"]:
                manner.boundaries.append(tone)
            else:
                avoided.setdefault(tone, 0)
            manner.mark(sentence, f"not: {tone}")


def _refused(expression: str, lowered: str) -> bool:
    """Whether a manner of speaking is named as unwanted: "no jokes", "bossy is not"."""
    negative = lexicon()["tones"]["negative"]
    return bool(re.search(rf"(?<!\w){negative}\s*(?<!\w)(?:{expression})(?!\w)", lowered)
                or re.search(rf"(?<!\w)(?:{expression}) (?:is|are) (?:not|out|never)(?!\w)", lowered))


def _length(sentence: str, manner: Manner) -> None:
    lowered = sentence.lower()
    for expression, words in lexicon()["length"]["words"].items():
        if pattern(expression).search(lowered) and not manner.max_words:
            manner.max_words = int(words)
            manner.mark(sentence, f"length: {words} words")
    for match in _WORDS.finditer(lowered):
        stated = number(match["n"])
        if stated and stated >= 6 and match["n"] not in ("handful", "several"):
            manner.max_words = int(min(max(stated, 5), 120))
            manner.mark(sentence, f"length: {manner.max_words} words")
            return
