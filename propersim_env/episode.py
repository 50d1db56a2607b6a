"""What an environment is asked to simulate, resolved to objects: personas, users, seeds and logs.

Shared by the single and the vector view, so that the same options mean the same episodes.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any
from zlib import crc32

from propersim_env import __version__
from propersim_env.log import EpisodeLog
from propersim_env.machine import MachineConfig
from propersim_env.persona import Persona, load_persona, persona_from_dict
from propersim_env.population import sample_persona
from propersim_env.seeding import derive, stream
from propersim_env.setting import Setting, load_setting

RUBRIC_VERSION = 2
"""Rises when the same text in the same situation may get other marks: logs of different versions do not compare."""


class EpisodeSource:
    """Says who lives in the home in each episode.

    Args:
        persona: A bundled id (``"p01"``), the path of a persona file, a `Persona` or its dictionary; ``"bundled"`` draws
            one of the bundled personas for each episode, ``"sampled"`` a fresh one.
        setting: Name of a bundled setting, or path of a folder.
    """

    def __init__(self, persona: str | Persona | Mapping[str, Any], setting: str | Setting = "house") -> None:
        self.setting = load_setting(setting) if isinstance(setting, str) else setting
        self.spec = persona
        self._fixed: Persona | None = None
        if isinstance(persona, Persona):
            self._fixed, self.setting = persona, persona.setting
        elif isinstance(persona, Mapping):
            self._fixed = persona_from_dict(persona, self.setting)
        elif persona not in ("bundled", "sampled"):
            self._fixed = bundled_persona(persona, self.setting)

    def persona(self, seed: int) -> Persona:
        """The resident of the episode with this seed."""
        if self._fixed is not None:
            return self._fixed
        if self.spec == "sampled":
            return sample_persona(derive(seed, "persona"), 0, self.setting)
        names = list(self.setting.persona_files())
        return bundled_persona(names[int(stream(seed, "persona").integers(len(names)))], self.setting)


@lru_cache(maxsize=256)
def bundled_persona(name: str, setting: Setting) -> Persona:
    """`load_persona`, keeping what was loaded: many homes and episodes share a persona."""
    return load_persona(name, setting)


def episode_log(
    folder: str | Path, assistant: str, persona: Persona, seed: int, config: MachineConfig, user: Mapping[str, Any],
    **more: Any,
) -> EpisodeLog:
    """Open (or go on with) the log of one episode in a run folder.

    Args:
        folder: The run folder; made if missing.
        assistant: Name under which the assistant enters tables.
        persona: Who lives there.
        seed: Seed of the episode.
        config: The machine's.
        user: Name and options of the user agent.
        more: Further JSON values for the ``begin`` event.
    """
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    begin = {
        "version": __version__, "rubric": RUBRIC_VERSION, "setting": persona.setting.name, "assistant": assistant,
        "user": dict(user), "seed": seed, "days": config.days, "reveal_persona": config.reveal_persona, **more,
        **({} if config.max_cycles is None else {"max_cycles": config.max_cycles}),
        **({} if config.feedback == "full" else {"feedback": config.feedback}), "persona": persona.to_dict(),
    }
    return EpisodeLog(path / log_name(assistant, persona.id, seed), begin)


def log_name(assistant: str, persona: str, seed: int) -> str:
    """File name of an episode's log; where characters are replaced or cut, a checksum keeps different names different."""
    safe = "".join(c if c.isascii() and (c.isalnum() or c in "-_.+") else "_" for c in assistant)[-80:]
    if safe != assistant:
        safe = f"{safe}-{crc32(assistant.encode('utf-8', 'surrogatepass')):08x}"
    return f"events-{safe}-{persona}-s{seed}.jsonl"
