"""Persona documents: a published persona file, our own format, or plain words with or without headings."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from propersim_env.persona import TRAITS
from propersim_env.schema import DataError, parse_json

from .words import lexicon, pattern, sentences, tidy

SECTIONS = ("Personal_Preference", "Timing", "Frequency", "Communication_&_Safety")
_LISTS = {"current_interests": "interests", "interests": "interests", "lifestyle": "lifestyle", "daily_plan_req": "daily_plan",
          "daily_plan": "daily_plan", "long_term_goals": "goals", "goals": "goals", "background": "background"}
_ITEM = re.compile(r"(?:^|\s)\d+[.)]\s+")


@dataclass(slots=True)
class Document:
    """What somebody wrote about a person.

    Attributes:
        source: File name or another name, for messages.
        name, age, pronouns: Who it is; empty or 0 where nobody says.
        fields: ``background``, ``interests``, ``lifestyle``, ``goals``, ``daily_plan``: statements.
        sections: The four paragraphs of the rubric; a missing one is "".
        traits: Z-scores by trait, of those that are stated.
    """

    source: str
    name: str = ""
    age: int = 0
    pronouns: str = "they"
    fields: dict[str, list[str]] = field(default_factory=dict)
    sections: dict[str, str] = field(default_factory=lambda: dict.fromkeys(SECTIONS, ""))
    traits: dict[str, float] = field(default_factory=dict)

    def words(self) -> str:
        """All of it as one text."""
        return " ".join([*(s for items in self.fields.values() for s in items), *self.sections.values()])


def read_document(path: Path) -> Document:
    """Read a persona document: JSON by its content, anything else as plain words.

    Raises:
        DataError: The file cannot be read, or is JSON without any text about a person.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as problem:
        raise DataError(str(path), "", f"cannot be read ({problem})", "give a UTF-8 text or JSON file") from problem
    if text.lstrip().startswith("{"):
        return document_from_dict(parse_json(text, str(path)), str(path))
    return document_from_words(text, str(path))


def document_from_dict(data: Any, source: str = "persona") -> Document:
    """Take the texts out of a parsed persona file (published format, or ours).

    Raises:
        DataError: It is not a dictionary with text about a person.
    """
    if not isinstance(data, Mapping):
        raise DataError(source, "(top level)", f"is a {type(data).__name__}", "give a JSON object with the persona's texts")
    rubric = data.get("criteria", data.get("rubric"))
    document = Document(source, name=_text(data.get("name")))
    if isinstance(rubric, Mapping):
        for key, value in rubric.items():
            section = _section(str(key))
            if section in SECTIONS:
                document.sections[section] = f"{document.sections[section]} {_text(value)}".strip()
    elif isinstance(rubric, str):
        _sort(document, rubric)
    for key, name in _LISTS.items():
        if data.get(key):
            document.fields.setdefault(name, []).extend(_items(data[key], document.name))
    if isinstance(data.get("age"), int) and not isinstance(data.get("age"), bool):
        document.age = int(data["age"])
    document.traits = _traits(data)
    document.pronouns = _pronouns(document)
    if not document.words().strip():
        raise DataError(source, "criteria", "there is no text about a person",
                        'give the four paragraphs under "criteria", or a plain text file')
    return document


def document_from_words(text: str, source: str = "persona") -> Document:
    """Read plain words: ``Heading: text`` lines where there are any; each other sentence goes where it belongs."""
    document = Document(source)
    headings = lexicon()["sections"]["headings"]
    current, loose = "", list[str]()
    for line in text.splitlines():
        stripped = line.strip().lstrip("#*- ").rstrip("*").strip()
        head, colon, rest = stripped.partition(":")
        name = _section(head) if colon or line.lstrip().startswith("#") else ""
        if name:
            current, stripped = name, rest.strip(" *")
        if not stripped:
            current = current if name else ""
        elif current == "name":
            document.name, current = stripped[:80], ""
        elif current == "age":
            document.age, current = int((re.findall(r"\d+", stripped) or ["0"])[0]), ""
        elif current in SECTIONS:
            document.sections[current] = f"{document.sections[current]} {stripped}".strip()
        elif current in headings:
            document.fields.setdefault("background" if current == "occupation" else current, []).append(stripped)
        else:
            loose.append(stripped)
    _sort(document, " ".join(loose))
    document.pronouns = _pronouns(document)
    return document


def _sort(document: Document, text: str) -> None:
    """Put each sentence of running text where it belongs, by its cues."""
    rules = lexicon()["sections"]
    for sentence in sentences(tidy(text)):
        lowered = sentence.lower()
        section = next((name for name, cue in rules["cues"].items() if re.search(cue, lowered)), "")
        asks = re.search("recommend|suggest|tips|ideas", lowered)
        if not section and not asks and re.search(rules["lifestyle_cues"], lowered):
            document.fields.setdefault("lifestyle", []).append(sentence)
            continue
        name = section or "Personal_Preference"
        document.sections[name] = f"{document.sections[name]} {sentence}".strip()


def _section(key: str) -> str:
    plain = key.strip().lower().replace("_", " ")
    for name, expression in lexicon()["sections"]["headings"].items():
        if re.fullmatch(expression, plain) or plain == name.lower().replace("_", " "):
            return str(name)
    return ""


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, (list, tuple)):
        return " ".join(map(_text, value)).strip()
    return "" if value is None else json.dumps(value, ensure_ascii=False)


def _items(value: Any, name: str) -> list[str]:
    if isinstance(value, (list, tuple)):
        return [_text(v) for v in value if _text(v)]
    text = _text(value)
    parts = [p.strip() for p in _ITEM.split(text)]
    if len(parts) > 1:
        parts = parts[1:] if not parts[0] or (name and name in parts[0]) else parts
    return [p for p in parts if p]


def _traits(data: Mapping[str, Any]) -> dict[str, float]:
    given = data.get("traits")
    if isinstance(given, Mapping):
        return {t: float(given[t]) for t in TRAITS if isinstance(given.get(t), (int, float))}
    words = _text(data.get("big_five_personality_traits")).lower()
    found = {t: re.search(rf"(high|low) in {t}", words) for t in TRAITS}
    return {t: (1.0 if m[1] == "high" else -1.0) for t, m in found.items() if m}


def _pronouns(document: Document) -> str:
    """The pronoun that the texts about the person use; "they" where they use several or none."""
    words = " ".join(s for items in document.fields.values() for s in items).lower()
    she, he = bool(pattern("she|her|hers").search(words)), bool(pattern("he|his|him").search(words))
    return "she" if she and not he else "he" if he and not she else "they"
