"""What a text says, as far as the simulated user understands it: topics, tone, flags, effort.

Meaning comes from the embedded encoder and from the words of the catalogue: a ridge regression from (embedding, words) to
topics, and one from (cues, words) to tones, both fitted in a fraction of a second when the reader is built. What must
never be fooled, flags and negation, comes from the explicit rules in `lexicon.json`; flags that no rule lists are learned
from examples (`flag_model`). Reading never raises.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np

from .encoder import WORD, TextEncoder, plain
from .flag_model import VAGUE, FlagModel, flag_examples, load_flags
from .ridge import Ridge, stem
from .text_rules import Cleaned, TextRules

MEMO_TEXTS = 20_000
LIST_BORDER = re.compile(r"[,;/&+|]| and | or | then ")


class TopicLike(Protocol):
    """What the reader needs to know of a topic."""

    @property
    def id(self) -> str:
        """Name used by the catalogue."""

    @property
    def keywords(self) -> Sequence[str]:
        """Words that hint at the topic."""

    @property
    def description(self) -> str:
        """A few words on what belongs to it."""


class ToneLike(Protocol):
    """What the reader needs to know of a tone."""

    @property
    def id(self) -> str:
        """Name used by the catalogue."""

    @property
    def markers(self) -> Sequence[str]:
        """Words or phrases that give the tone away."""


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """What a text says.

    Attributes:
        topics: float32 [n_topics], how much of the text is about each; sums to at most 1, the rest is about nothing known.
        grounded: False if the text cannot be understood: its marks should then be cautious.
        coverage: Share of its words that are known, 0..1.
        words: Number of words, any script.
        tones: float32 [n_tones], how clearly each tone is heard, 0..1.
        flags: Names of what was noticed, see `FLAGS`.
        effort_minutes: Stated duration in minutes, None where none is stated.
        embedding: float32 [dim], unit length or all zero.
        key: The words alone, for finding repeats.
        content: Stems of the words that say something: no function words, no filler such as "maybe", "nice" or "idea".
    """

    topics: np.ndarray
    grounded: bool
    coverage: float
    words: int
    tones: np.ndarray
    flags: frozenset[str]
    effort_minutes: float | None
    embedding: np.ndarray
    key: str
    content: frozenset[str]


FLAGS = frozenset(
    {"pressure", "sales", "privacy", "safety", "medical", "flattery", "guilt", "injection", "negated", "stuffing",
     "gibberish", "foreign", "empty", "vague", "overlong", "rating_request"}
)


FEW_WORDS = 3
"""Fewer content words than this are too few to tell by their share that one text repeats another."""


@dataclass(frozen=True, slots=True)
class RepeatLimits:
    """When one text counts as a repeat of another.

    Attributes:
        share: Share of the content words of the text with fewer of them that the other must hold too.
        similarity: Cosine of the embeddings from which two texts are the same in other words.
        short_similarity: The same where all content words of a text with few of them stand in the other.
    """

    share: float
    similarity: float
    short_similarity: float


def is_repeat(a: Reading, b: Reading, limits: RepeatLimits) -> bool:
    """Whether two texts say the same: padding, another order and small edits do not make a text new."""
    if a.key == b.key:
        return True
    shared, least = len(a.content & b.content), min(len(a.content), len(b.content))
    if least >= FEW_WORDS and shared >= limits.share * least:
        return True
    few = least < FEW_WORDS and shared == least
    return float(a.embedding @ b.embedding) > (limits.short_similarity if few else limits.similarity)


@dataclass(frozen=True, slots=True)
class ReaderSettings:
    """Constants of the learned part, chosen by leave-one-out accuracy on the catalogue (see `encoder.md`).

    Attributes:
        word_weight: Weight of shared words against shared meaning, for topics.
        ridge: Strength of the ridge, topics; `tone_ridge`, tones.
        topic_sharpness: Inverse temperature of the softmax over topics; `tone_sharpness` of tones.
        nothing: Least score that "about nothing known" has beside the topics; `toneless`, beside the tones.
        nothing_strength: Weight of the lexicon's texts about nothing, as a share of a catalogue text.
        keyword_strength: Weight of a topic's keyword, as a share of a catalogue text.
        least_mass: Smallest mass of the best topic for a text to be grounded.
        stuffed_mass: Largest mass a topic may have in stuffed text.
    """

    word_weight: float = 0.6
    ridge: float = 0.25
    tone_ridge: float = 0.3
    topic_sharpness: float = 14.0
    tone_sharpness: float = 12.0
    nothing: float = 0.25
    toneless: float = 0.3
    nothing_strength: float = 0.5
    keyword_strength: float = 1.0
    least_mass: float = 0.25
    stuffed_mass: float = 0.05


class TextReader:
    """Reads texts; built once per setting and shared.

    Example:
        >>> reader = TextReader(setting.topics, setting.tones, prototypes, Encoder.load())
        >>> reading = reader.read("How about a slow vegetable soup tonight?")
        >>> setting.topics[reading.topics.argmax()].id
        'cooking'
    """

    def __init__(self, topics: Sequence[TopicLike], tones: Sequence[ToneLike],
                 prototypes: Sequence[tuple[str, str, str]], encoder: TextEncoder,
                 settings: ReaderSettings | None = None, flag_model: FlagModel | None = None) -> None:
        """Fit the reader.

        Args:
            topics: The topics, in the order of `Reading.topics`.
            tones: The tones, in the order of `Reading.tones`.
            prototypes: Catalogue texts as (text, topic id, tone id); tone "" teaches the topic alone.
            encoder: The sentence encoder.
            settings: Constants of the learned part.
            flag_model: Learned flags for the encoder's embeddings; those that ship with the package if None.

        Raises:
            ValueError: A prototype names a topic or tone that is not listed.
        """
        self.settings = settings or ReaderSettings()
        self.encoder = encoder
        self.rules = TextRules()
        self.flag_model = flag_model or load_flags()
        self.topic_ids = [topic.id for topic in topics]
        self.tone_ids = [tone.id for tone in tones]
        for text, topic, tone in prototypes:
            if topic not in self.topic_ids or tone not in ("", *self.tone_ids):
                raise ValueError(f"prototype {text!r} has topic {topic!r} and tone {tone!r}: add the missing one to the "
                                 "setting's topics.json or tones.json, or correct the catalogue")
        self._named = _own_keywords(topics, self.rules.function_words)
        self._markers = [_phrases(tone.markers) for tone in tones]
        self.topic_model = self._fit_topics(topics, prototypes)
        self.tone_model = self._fit_tones(tones, prototypes)
        self._memo: dict[str, Reading] = {}

    def read(self, text: str) -> Reading:
        """Read any text; the same text gives the same `Reading` object while it is remembered."""
        reading = self._memo.get(text)
        if reading is None:
            if len(self._memo) >= MEMO_TEXTS:
                del self._memo[next(iter(self._memo))]
            reading = self._memo[text] = self._read(text)
        return reading

    def similarity(self, a: Reading, b: Reading) -> float:
        """Cosine of two readings' embeddings, 1 for texts of the same words, 0 where one is not understood."""
        if a.key == b.key:
            return 1.0
        return round(float(np.clip(a.embedding.astype(float) @ b.embedding.astype(float), -1.0, 1.0)), 6)

    def _read(self, text: str) -> Reading:
        cleaned = self.rules.clean(text)
        words = WORD.findall(cleaned.lowered)
        coverage = self.encoder.coverage(cleaned.lowered)
        positive, negated = self.rules.unnegated(cleaned.lowered, words)
        embedding = self.encoder.encode([cleaned.lowered])[0]
        flags = self.rules.pattern_flags(cleaned.lowered) | self._shape_flags(cleaned, words, coverage)
        content = frozenset(stem(word) for word in words if word not in self.rules.filler_words)
        flags.update(self._learned_flags(cleaned, embedding, content))
        if negated:
            flags.add("negated")
        topics = self._topics(positive, embedding if positive == cleaned.lowered else self.encoder.encode([positive])[0])
        tones = self._tones(cleaned, words)
        if not flags.isdisjoint({"empty", "gibberish", "foreign"}):
            topics, tones = np.zeros_like(topics), np.zeros_like(tones)
        elif "stuffing" in flags:
            topics *= min(1.0, self.settings.stuffed_mass / max(float(topics.max(initial=0.0)), 1e-9))
        for array in (topics, tones, embedding):
            array.flags.writeable = False
        return Reading(
            topics=topics,
            grounded=bool(topics.max(initial=0.0) >= self.settings.least_mass),
            coverage=round(coverage, 6),
            words=len(cleaned.tokens),
            tones=tones,
            flags=frozenset(flags),
            effort_minutes=self.rules.effort_minutes(cleaned.lowered),
            embedding=embedding,
            key=cleaned.key,
            content=content,
        )

    def _learned_flags(self, cleaned: Cleaned, embedding: np.ndarray, content: frozenset[str]) -> list[str]:
        """Harm that no pattern lists; and `vague`, for texts of few words that say something, or of none."""
        found = self.flag_model.flags(cleaned.lowered, embedding)
        if len(content) > self.rules.limits["vague_content"]:
            return [flag for flag in found if flag != VAGUE]
        return found if content or not cleaned.tokens else [*found, VAGUE]

    def _shape_flags(self, cleaned: Cleaned, words: Sequence[str], coverage: float) -> set[str]:
        flags: set[str] = set()
        if cleaned.truncated or len(cleaned.tokens) > self.rules.limits["overlong_words"]:
            flags.add("overlong")
        if not cleaned.tokens:
            return flags | {"empty"}
        if self.rules.is_foreign(cleaned):
            return flags | {"foreign"}
        if self.rules.is_gibberish(cleaned, coverage):
            return flags | {"gibberish"}
        named = {topic for word in set(words) for topic in self._named.get(stem(word), ())}
        parts = len(LIST_BORDER.split(cleaned.lowered))
        if self.rules.is_stuffed(words, parts, len(named)) or self.rules.is_heap(cleaned.lowered):
            flags.add("stuffing")
        return flags

    def _bag(self, lowered: str) -> Counter[str]:
        return Counter(stem(word) for word in WORD.findall(lowered) if word not in self.rules.function_words)

    def _topics(self, positive: str, embedding: np.ndarray) -> np.ndarray:
        scores = self.topic_model.scores(self._bag(positive), embedding.astype(float))
        return self.topic_masses(scores)

    def topic_masses(self, scores: np.ndarray) -> np.ndarray:
        """Turn scores [n_topics + 1], the last of them "no topic", into float32 masses that sum to at most 1."""
        sharp = np.exp(self.settings.topic_sharpness * np.clip(scores, -2.0, 2.0))
        masses = (sharp / (sharp.sum() + math.exp(self.settings.topic_sharpness * self.settings.nothing)))[:-1]
        return np.asarray(np.floor(masses * 1e5) / 1e5, np.float32)

    def _tone_features(self, cleaned: Cleaned, words: Sequence[str]) -> tuple[Counter[str], np.ndarray]:
        sequence = ["<", *words, ">"]
        bag = Counter(word for word in words if word in self.rules.function_words)
        bag.update(f"{first} {second}" for first, second in pairwise(sequence))
        markers = [min(len(phrases.findall(cleaned.lowered)), 2) / 2.0 for phrases in self._markers]
        return bag, np.array([*self.rules.surface(cleaned.shown, words), *markers])

    def _tones(self, cleaned: Cleaned, words: Sequence[str]) -> np.ndarray:
        bag, cues = self._tone_features(cleaned, words)
        return self.tone_masses(self.tone_model.scores(bag, cues))

    def tone_masses(self, scores: np.ndarray) -> np.ndarray:
        """Turn scores [..., n_tones] into float32 masses that sum to at most 1; the rest is no audible tone."""
        sharp = np.exp(self.settings.tone_sharpness * np.clip(scores, -2.0, 2.0))
        unclear = math.exp(self.settings.tone_sharpness * self.settings.toneless)
        return np.asarray(np.round(sharp / (sharp.sum(axis=-1, keepdims=True) + unclear), 5), np.float32)

    def _fit_topics(self, topics: Sequence[TopicLike], prototypes: Sequence[tuple[str, str, str]]) -> Ridge:
        texts = [(plain(text), self.topic_ids.index(topic), 1.0) for text, topic, _ in prototypes]
        weight = self.settings.keyword_strength
        for index, topic in enumerate(topics):
            texts.append((plain(topic.description), index, 1.0))
            texts += [(plain(word), index, weight) for word in topic.keywords]
        texts += [(plain(text), len(topics), self.settings.nothing_strength) for text in self.rules.nothing_texts]
        targets = np.eye(len(topics) + 1)[[index for _, index, _ in texts]]
        bags = [self._bag(text) for text, _, _ in texts]
        dense = self.encoder.encode([text for text, _, _ in texts]).astype(float)
        weights = np.array([weight for _, _, weight in texts])
        return Ridge.fit(bags, dense, targets, weights, self.settings.ridge, self.settings.word_weight)

    def _fit_tones(self, tones: Sequence[ToneLike], prototypes: Sequence[tuple[str, str, str]]) -> Ridge:
        """Fit on the catalogue, on the labelled examples of other voices, sober ones included, and on the markers."""
        texts = [(text, tone) for text, _, tone in prototypes if tone]
        texts += [(e.text, e.tone) for e in flag_examples() if e.tone is not None and e.tone in ("", *self.tone_ids)]
        spoken = len(texts)
        self.tone_texts = [text for text, _ in texts]
        texts += [(marker, tone.id) for tone in tones for marker in tone.markers]
        cleaned = [self.rules.clean(text) for text, _ in texts]
        features = [self._tone_features(one, WORD.findall(one.lowered)) for one in cleaned]
        targets = np.array([[tone == name for name in self.tone_ids] for _, tone in texts], float)
        weights = np.array([1.0] * spoken + [0.2] * (len(texts) - spoken))
        dense = np.stack([cues for _, cues in features])
        return Ridge.fit([bag for bag, _ in features], dense, targets, weights, self.settings.tone_ridge, 1.0)


def _phrases(markers: Sequence[str]) -> re.Pattern[str]:
    """Compile words or phrases to one pattern that finds any of them; one that finds nothing if there are none."""
    found = "|".join(re.escape(plain(marker).strip()) for marker in markers if marker.strip())
    return re.compile(rf"(?<!\w)(?:{found})(?!\w)" if found else r"(?!)")


def _own_keywords(topics: Sequence[TopicLike], function_words: frozenset[str]) -> dict[str, tuple[str, ...]]:
    """Map the stem of each keyword, and of each topic's own name, to its topic, where it hints at that topic alone."""
    owners: dict[str, set[str]] = {}
    for topic in topics:
        for word in (*topic.keywords, *topic.id.split("_")):
            if plain(word) not in function_words:
                owners.setdefault(stem(plain(word)), set()).add(topic.id)
    return {stem: tuple(found) for stem, found in owners.items() if len(found) == 1}
