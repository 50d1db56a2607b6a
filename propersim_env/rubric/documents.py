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

from .first_person import first_person, is_about_another
from .running import sort_running
from .words import is_english, lexicon, pattern, running, tidy

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
        occupation: What the person does for a living; empty where nobody says it in so many words.
        said: The words as they were written, by statement, where a statement was rewritten.
        unsorted: Sentences of running text that show by no word what they are about.
        running: Whether it is running text rather than a file with parts of its own.
        english: Whether all of it together reads as English; its parts are then not judged one by one.
    """

    source: str
    name: str = ""
    age: int = 0
    pronouns: str = "they"
    fields: dict[str, list[str]] = field(default_factory=dict)
    sections: dict[str, str] = field(default_factory=lambda: dict.fromkeys(SECTIONS, ""))
    traits: dict[str, float] = field(default_factory=dict)
    occupation: str = ""
    said: dict[str, str] = field(default_factory=dict)
    unsorted: list[str] = field(default_factory=list)
    running: bool = False
    english: bool = False

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
    document.pronouns = _pronouns(" ".join(s for items in document.fields.values() for s in items))
    for section, text in document.sections.items():
        if is_about_another(text):  # the grammar reads what somebody says of himself
            document.sections[section] = first_person(tidy(text), document.name)
    if not document.words().strip() and not document.unsorted:
        raise DataError(source, "criteria", "there is no text about a person",
                        'give the four paragraphs under "criteria", or a plain text file')
    return document


def document_from_words(text: str, source: str = "persona") -> Document:
    """Read plain words: ``Heading: text`` lines where there are any; the rest is running text, sorted by what it says."""
    document = Document(source, running=True, english=is_english(tidy(text)))
    headings = {n: e for n, e in lexicon()["sections"]["headings"].items() if n not in (*SECTIONS, "lifestyle", "background")}
    current, rest = "", list[str]()
    for line in text.splitlines():
        words = line.strip().lstrip("#*- ").rstrip("*").strip()
        head, colon, after = words.partition(":")
        key = head.strip(" *").lower().replace("_", " ")
        name = next((n for n, e in headings.items() if re.fullmatch(e, key)), "") if colon and not _is_kind(key) else ""
        current = name or (current if words and not colon and current else "")
        value = after.strip(" *") if name else words
        if not current:
            rest.append(line)
        elif current == "name":
            document.name, current = value[:80], ""
        elif current == "age":
            document.age, current = int((re.findall(r"\d+", value) or ["0"])[0]), ""
        elif current == "occupation":
            document.occupation, current = value, ""
        elif value:
            document.fields.setdefault(current, []).append(value)
    _sort(document, "\n".join(rest))
    document.pronouns = _pronouns(text)
    return document


def _is_kind(key: str) -> bool:
    return any(re.fullmatch(e, key) for e in running()["headings"]["table"].values())


def _sort(document: Document, text: str) -> None:
    """Put the statements of running text where they belong."""
    found = sort_running(text, document.name)
    document.name = document.name or found.name
    document.age = document.age or found.age
    document.occupation = document.occupation or found.occupation
    for part, statements in found.statements.items():
        if part in SECTIONS:
            document.sections[part] = " ".join([document.sections[part], *statements]).strip()
        else:
            document.fields.setdefault(part, []).extend(statements)
    document.said |= found.said
    document.unsorted += found.unsorted


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


def _pronouns(words: str) -> str:
    """The pronoun that texts about the person use; "they" where they use several or none."""
    words = words.lower()
    she, he = bool(pattern("she|her|hers").search(words)), bool(pattern("he|his|him").search(words))
    return "she" if she and not he else "he" if he and not she else "they"
