"""Texts about "she" or "Arjun", rewritten as the person would say them, so that one grammar reads both."""

from __future__ import annotations

import re

from .words import running

_ADVERB = r"(?:(?:also|usually|mostly|always|often|really|never|only|particularly|especially|generally|just|now|still) )?"


def is_about_another(text: str) -> bool:
    """Whether a text speaks of somebody in the third person more often than of its writer."""
    lowered = text.lower()
    own = len(re.findall(r"\b(?:i|i'm|i'd|i've|i'll|me|my|im)\b", lowered))
    return len(re.findall(r"\b(?:he|she|he's|she's|he'd|she'd|him|his|her)\b", lowered)) > own


def base_form(verb: str) -> str:
    """A verb without the ending of the third person.

    Example:
        >>> [base_form(v) for v in ("likes", "goes", "watches", "studies", "has", "is")]
        ['like', 'go', 'watch', 'study', 'have', 'am']
    """
    known = {"is": "am", "has": "have", "does": "do", "was": "was", "doesn't": "don't", "isn't": "am not", "hasn't": "haven't"}
    if verb in known:
        return known[verb]
    if verb.endswith("ies") and len(verb) > 4:
        return verb[:-3] + "y"
    if re.search(r"(?:ss|sh|ch|x|o)es$", verb):
        return verb[:-2]
    return verb[:-1] if verb.endswith("s") and not verb.endswith("ss") else verb


def first_person(text: str, name: str = "") -> str:
    """Rewrite a text about somebody as that person's own words.

    Args:
        text: Tidy text.
        name: The person's name, which is then read as "I".

    Example:
        >>> first_person("Ada is a nurse. She likes her garden and wakes at 7. Ask her gently.", "Ada")
        'I am a nurse. I like my garden and wake at 7. Ask me gently.'
    """
    rules = running()["third"]
    for word in dict.fromkeys([name, *name.split()[:1]]) if name else ():
        text = re.sub(rf"\b{re.escape(word)}'s (?=[a-z])", "my ", text)
        text = re.sub(rf"\b{re.escape(word)}\b(?= (?:[a-z]+ly )?[a-z]+s\b)", "she", text)
    text = re.sub(r"\b[Hh]e\b", "she", text)
    text = re.sub(r"\bShe\b", "she", text)
    text = re.sub(r"\b[Hh](?:e's|e is)\b|\b[Ss]he's\b", "she is", text)
    text = re.sub(r"\b(?:[Hh]im|[Hh]ers)\b", "me", text)
    text = re.sub(r"\b[Hh]is\b", "my", text)
    text = re.sub(rf"\b[Hh]er(?=\s+{rules['object']})|\b[Hh]er(?=[,.;:!?]|$)", "me", text)
    text = re.sub(r"\b[Hh]er\b", "my", text)
    text = re.sub(r"\b(?:[Hh]im|[Hh]er|my)self\b", "myself", text)
    text = re.sub(rf"\bshe {_ADVERB}([a-z]+(?:'t)?)\b", lambda m: m[0][: -len(m[1])] + base_form(m[1]), text)
    joined = rf"(?<=\band )({rules['verbs']})\b|(?<=\bor )({rules['verbs']})\b|(?<=, )({rules['verbs']})\b"
    text = re.sub(joined, lambda m: base_form(m[0]), text)
    text = re.sub(rf"(^|[.!?]\s)((?i:{rules['verbs']}))\b", lambda m: m[1] + base_form(m[2].lower()), text)
    text = re.sub(r"\bshe('d|'ll|'ve)?\b", r"I\1", text)
    return re.sub(r"(^|[.!?] )([a-z])", lambda m: m[1] + m[2].upper(), text)
