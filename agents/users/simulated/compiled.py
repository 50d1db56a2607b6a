"""What is made once and shared: the reader of a setting's texts, and the planner and rater of a persona."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from propersim_env.persona import Persona
from propersim_env.setting import Setting

from .day import DayPlanner
from .encoder import Encoder
from .flag_model import fit_flag_model
from .parameters import load_parameters
from .rater import Rater
from .reader import TextReader
from .sentence_encoder import SentenceEncoder
from .text_rules import TextRules

EMBEDDED = "embedded"
COMPILED_WITH = ("parameters", "noise", "trait_effects", "reader")
"""Options of the simulated user that a planner and a rater are made with."""


def text_reader(setting: Setting, reader: str = EMBEDDED) -> TextReader:
    """The reader of a setting's texts, shared by all residents.

    Args:
        setting: Whose topics, tones and catalogue.
        reader: "embedded", or the name or path of a sentence-transformers model (extra `reader`).

    Raises:
        ImportError: The extra is not installed.
        ValueError: There is no such model.
    """
    return _reader(setting, reader)


@lru_cache(maxsize=4)
def _reader(setting: Setting, reader: str) -> TextReader:
    prototypes = [(t.text, t.topic, t.tone) for t in setting.catalogue]
    if reader == EMBEDDED:
        return TextReader(setting.topics, setting.tones, prototypes, Encoder.load())
    encoder, rules = SentenceEncoder(reader), TextRules()
    flags = fit_flag_model(encoder.encode, lambda text: rules.clean(text).lowered,
                           [(text, f"topic {topic}") for text, topic, _ in prototypes])
    return TextReader(setting.topics, setting.tones, prototypes, encoder, flag_model=flags)


def compile_persona(persona: Persona, options: Mapping[str, Any]) -> tuple[DayPlanner, Rater]:
    """Planner and rater of a persona under these options; kept for a while: episodes are many, and both have no state."""
    return _compile(persona, json.dumps([options[name] for name in COMPILED_WITH], sort_keys=True))


@lru_cache(maxsize=256)
def _compile(persona: Persona, options: str) -> tuple[DayPlanner, Rater]:
    changes, noise, trait_effects, name = json.loads(options)
    parameters = load_parameters(changes)
    reader = text_reader(persona.setting, name)
    return DayPlanner(persona, parameters, noise), Rater(persona, parameters, reader, trait_effects)
