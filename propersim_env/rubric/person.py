"""Who it is: name, age and occupation, read from running text."""

from __future__ import annotations

import re
from functools import lru_cache

from .words import running

YOUNGEST, OLDEST = 16, 110
"""Ages that a persona may have, in years."""


@lru_cache(maxsize=1)
def _number() -> str:
    rules = running()["identity"]
    tens = "|".join(rules["tens"])
    ones = "|".join(rules["ones"])
    return rf"(?:\d{{2,3}}|(?:{tens})(?:[ -](?:{ones}))?|{'|'.join(rules['teens'])})"


def _years(words: str) -> int:
    rules, lowered = running()["identity"], words.lower()
    if lowered.isdigit():
        return int(lowered)
    pieces = re.split(r"[ -]", lowered)
    return sum(rules["tens"].get(p, 0) + rules["ones"].get(p, 0) + rules["teens"].get(p, 0) for p in pieces)


def age_of(sentence: str, bare: bool = False) -> int:
    """Years of age that a sentence states, or 0.

    Args:
        sentence: Tidy text.
        bare: Whether a number between commas counts too ("Ida, 30, nurse").

    Example:
        >>> age_of("I'm sixty-eight and retired."), age_of("In bed by 10."), age_of("Ida, 30, a nurse.", bare=True)
        (68, 0, 30)
    """
    rules, lowered = running()["identity"], sentence.lower()
    for key in ("age", "bare_age") if bare else ("age",):
        for match in re.finditer(rules[key].replace("{n}", _number()), lowered):
            years = _years(next(g for g in match.groups() if g))
            if YOUNGEST <= years <= OLDEST:
                return years
    return 0


def name_of(text: str, another: bool = False) -> str:
    """The name that a text states, or "".

    Args:
        text: Tidy text.
        another: Whether it speaks of somebody else: "Arjun is a nurse" then names him.

    Example:
        >>> name_of("Hello, folks call me Walt."), name_of("Mornings are best.")
        ('Walt', '')
    """
    rules = running()["identity"]
    stop = rf"(?:{rules['not_names']})\b"
    for match in re.finditer(rf"\b{rules['name']}", text):
        name = match["name"].split()
        if not re.match(stop, name[0]):
            return match["name"] if len(name) == 1 or not re.match(stop, name[1]) else name[0]
    for sentence in re.split(r"(?<=[.!?:])\s+", text):
        opening = re.match(rules["opening"], sentence.strip())
        if opening and not re.match(stop, opening["name"]) and (
                age_of(sentence, True) or (another and re.search(r" (?:is|works) ", sentence))):
            return opening["name"]
    spoken = re.match(r"(?:hey |hi )?(?:im|i'm|i am) ([a-z]{3,12}),? (?=\d\d\b)", text)
    return spoken[1].title() if spoken else ""


def occupation_of(sentence: str, name: str = "", aged: bool = False) -> str:
    """What a sentence says somebody does for a living, or "".

    Args:
        sentence: Tidy text.
        name: The person's name, which is none.
        aged: Whether the sentence states the age: what stands beside it is then the occupation.

    Example:
        >>> occupation_of("Ida, 30, a nurse.", "Ida", aged=True), occupation_of("I'm a retired baker living alone.")
        ('nurse', 'baker')
    """
    rules = running()["identity"]
    plain = re.sub(rf"\b{re.escape(name)}\b", "", sentence) if name else sentence
    lowered = plain.lower()
    for match in re.finditer(rf"\b(?:{rules['job']})", lowered):
        job = _trimmed(next(g for g in match.groups() if g))
        if job and not re.match(rules["not_jobs"], job):
            return job
    if not aged:
        return ""
    for piece in re.split(r"[,;:.]", re.sub(rf"\b{_number()}(?:[ -]years?[ -]old)?\b", ",", lowered)):
        job = _trimmed(piece)
        if re.search(r"[a-z]{3}", job) and not re.match(rules["not_jobs"], job) and not re.match(
                r"(?:and|i|i'm|im|my|hey|hello|good|answer|you|the name|is)\b", job):
            return job
    return ""


def _trimmed(job: str) -> str:
    rules = running()["identity"]
    job = re.sub(rules["job_end"], "", f" {job.strip()} ").strip()
    return re.sub(rules["job_start"], "", f"{job} ").strip()[:120]
