"""What an assistant said, for a person to read: a random sample with its moments and ratings, and counts over everything.

Whether a text makes sense is for a person to say. The flags below find some of what is garbled; what they do not flag may be
garbled too, so that their share is a lower bound.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from propersim_env.agents.users.simulated.encoder import WORD, Encoder, plain
from propersim_env.clock import TICKS_PER_DAY, moment_text, time_text
from propersim_env.evaluation.metrics import same
from propersim_env.log import Episode, read_episode
from propersim_env.messages import DIMENSIONS
from propersim_env.setting import Setting

from .runs import Results

SAMPLE = 100
UNFINISHED = frozenset({"a", "an", "the", "and", "or", "your", "my", "our", "their", "every", "of"})
"""No sentence ends with one of these words."""
END = re.compile(r"[.!?…][\"'”’)\]]*$")
STRETCH = 4
RULES = {
    "unknown word": "a word that is neither in the catalogue, the activities and the personas nor among the whole words, or "
                    "endings of them, of the embedded encoder's vocabulary of English; words with digits or of other scripts "
                    "are not looked at",
    "doubled word": "the same word twice in a row, where the catalogue does not have it so",
    "repeated stretch": f"the same {STRETCH} words in a row twice",
    "unfinished": "the last word is one that no sentence ends with: " + ", ".join(sorted(UNFINISHED)),
    "no end mark": "it does not end with . ! ? or …",
}
"""Each flag, and when it is set."""


@dataclass(frozen=True)
class Said:
    """A delivered text at its moment."""

    persona: str
    seed: int
    tick: int
    text: str
    marks: int | None
    reaction: str
    reasons: Mapping[str, str]
    doing: str


@dataclass(frozen=True)
class Vocabulary:
    """Texts that are known word for word, and words that are known.

    Attributes:
        texts: Of the catalogue, but for case and spaces.
        words: Of the catalogue, the activities and the personas.
        doubled: Words that the catalogue has twice in a row.
    """

    texts: frozenset[str]
    words: frozenset[str]
    doubled: frozenset[str]

    @staticmethod
    def of(setting: Setting, personas: Sequence[Mapping[str, Any]], more: Sequence[str] = ()) -> Vocabulary:
        """Gather it.

        Args:
            setting: Whose catalogue, activities, topics and rooms.
            personas: Persona files.
            more: Further texts whose words count, such as what the resident was seen doing.
        """
        catalogue = [entry.text for entry in setting.catalogue]
        others = [*more, *setting.room_names.values(), *(text for a in setting.activities for text in a.texts)]
        others += [text for t in setting.topics for text in (t.name, t.description, *t.keywords)]
        others += [text for persona in personas for text in _strings(persona)]
        doubled = (a for text in catalogue for a, b in pairwise(words_of(text)) if a == b)
        return Vocabulary(frozenset(map(same, catalogue)), frozenset(w for t in [*catalogue, *others] for w in words_of(t)),
                          frozenset(doubled))

    def flags(self, text: str) -> list[str]:
        """Which of `RULES` a text breaks."""
        words, found = words_of(text), list[str]()
        if not all(word in self.words or _english(word) for word in words):
            found.append("unknown word")
        if any(a == b and a not in self.doubled for a, b in pairwise(words)):
            found.append("doubled word")
        stretches = [tuple(words[i : i + STRETCH]) for i in range(len(words) - STRETCH + 1)]
        if len(set(stretches)) < len(stretches):
            found.append("repeated stretch")
        if words and words[-1] in UNFINISHED:
            found.append("unfinished")
        if not END.search(text.strip()):
            found.append("no end mark")
        return found


def words_of(text: str) -> list[str]:
    """Words in lower case without accents; what has digits in it is none."""
    return WORD.findall(re.sub(r"\S*\d\S*", " ", plain(text)))


def _english(word: str) -> bool:
    """Whether the embedded encoder knows it as a whole word; a single letter is none."""
    return len(word) > 1 and Encoder.load().rows_of(word)[0]


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value.replace("_", " ")
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _strings(key)
            yield from _strings(item)
    elif isinstance(value, Sequence):
        for item in value:
            yield from _strings(item)


@dataclass
class Collected:
    """Everything an assistant said, and the personas that it said it to."""

    said: list[Said] = field(default_factory=list)
    personas: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    setting: str = "house"


def collect(results: Results, name: str, progress: Callable[[int], None] | None = None) -> Collected:
    """Read the delivered texts of one assistant.

    Args:
        results: From `runs.load`.
        name: The assistant.
        progress: Called with the number of logs read since the last call.

    Raises:
        ValueError: It said nothing.
    """
    found = Collected()
    for one in results.of(name):
        episode = read_episode(one.path)
        persona = episode.begin["persona"]
        found.personas[persona["id"]], found.setting = persona, episode.begin["setting"]
        found.said += _said(episode)
        if progress is not None:
            progress(1)
    if not found.said:
        raise ValueError(f"--texts-of {name!r}: it said nothing in these runs; name another assistant")
    return found


def _said(episode: Episode) -> Iterator[Said]:
    diaries = {day["day"]: day.get("activities") for day in episode.days()}
    for event in episode.said():
        if event["text"]:
            marks = None if event["marks"] is None else int(event["marks"], 16)
            yield Said(episode.begin["persona"]["id"], episode.begin["seed"], event["tick"], event["text"], marks,
                       event.get("reaction", "none"), event.get("reasons", {}), doing(diaries, event["tick"]))


def doing(diaries: Mapping[int, Any], tick: int) -> str:
    """What the resident was doing at a tick by the diary of that day, ``""`` where it keeps none."""
    clock, activities = time_text(tick), diaries.get(tick // TICKS_PER_DAY)
    begun = [a for a in activities if a[0] <= clock] if isinstance(activities, list) else []
    return f"{begun[-1][3]} ({begun[-1][4].replace('_', ' ')})" if begun else ""


def counts(collected: Collected, vocabulary: Vocabulary) -> dict[str, Any]:
    """Over all delivered texts: how many are of the catalogue, how many new, and how many of the new ones each rule flags."""
    texts = [one.text for one in collected.said]
    new = [text for text in texts if same(text) not in vocabulary.texts]
    flagged = [vocabulary.flags(text) for text in new]
    return {
        "delivered": len(texts), "distinct": len({same(text) for text in texts}), "catalogue": len(texts) - len(new),
        "new": len(new), "distinct_new": len({same(text) for text in new}), "flagged": sum(map(bool, flagged)),
        "by_rule": {rule: sum(rule in flags for flags in flagged) for rule in RULES},
    }


def sample(said: Sequence[Said], n: int = SAMPLE, seed: int = 0) -> list[Said]:
    """So many delivered texts, drawn evenly without replacement, in the order of persona and time."""
    chosen = np.random.default_rng(seed).choice(len(said), min(n, len(said)), replace=False)
    return [said[i] for i in sorted(chosen.tolist())]


def markdown(name: str, collected: Collected, vocabulary: Vocabulary, n: int = SAMPLE, seed: int = 0) -> str:
    """The page: counts over everything that was said, the rules of the flags, and the sample."""
    c, chosen = counts(collected, vocabulary), sample(collected.said, n, seed)

    def share(part: int, whole: int) -> str:
        return f"{part} ({part / whole:.1%})" if whole else "0"

    lines = [
        f"# What {name} said", "", f"| all {c['delivered']} delivered texts | |", "| --- | ---: |",
        f"| distinct texts | {c['distinct']} |",
        f"| word for word in the catalogue | {share(c['catalogue'], c['delivered'])} |",
        f"| new | {share(c['new'], c['delivered'])} |", f"| distinct new texts | {c['distinct_new']} |",
        f"| new and flagged as garbled, of the new | {share(c['flagged'], c['new'])} |",
        *(f"| … {rule} | {share(number, c['new'])} |" for rule, number in c["by_rule"].items()), "",
        "*Word for word*: but for case and spaces. *Garbled* is what breaks one of these rules, which find no fault with any "
        "text of the catalogue. It is a lower bound: a text can break none and mean nothing. A person must read.", "",
        *(f"- **{rule}**: {meaning}." for rule, meaning in RULES.items()), "",
        f"## {len(chosen)} of them, drawn at random (seed {seed})", "",
        "What the resident was doing is from the diary that the log keeps of each day.", "",
    ]
    for i, one in enumerate(chosen, 1):
        lines += _entry(i, one, vocabulary)
    return "\n".join(lines)


def _entry(i: int, one: Said, vocabulary: Vocabulary) -> list[str]:
    known = same(one.text) in vocabulary.texts
    origin = "catalogue" if known else ", ".join(["new", *vocabulary.flags(one.text)])
    if one.marks is None:
        rating = "not rated"
    else:
        marks = " ".join(f"{d} {one.marks >> k & 1}" for k, d in enumerate(DIMENSIONS))
        rating = f"**{one.marks.bit_count()} of 4** ({marks}), {one.reaction}"
    when = f"day {one.tick // TICKS_PER_DAY + 1}, {moment_text(one.tick)}"
    head = f"{i}. {one.persona}, seed {one.seed}, {when}" + (f": {one.doing}" if one.doing else "")
    text = " ".join(one.text.split()).replace("<", "&lt;")
    return [head, f"   > {text}", "", f"   {rating}; {origin}",
            *(f"   - {dimension}: {reason}" for dimension, reason in one.reasons.items()), ""]
