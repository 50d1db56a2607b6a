"""ProPerSim: a simulated home for proactive, personalised assistants.

A resident with a personality lives through timed days; an assistant decides at every waking tick whether to recommend
something, and what; the resident rates it. Start with ``gymnasium.make("ProPerSim-v0")``, `env` (PettingZoo), or the command
``propersim run``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gymnasium as _gymnasium

__version__ = "0.1.0"

if TYPE_CHECKING:
    from propersim_env.log import read_episode
    from propersim_env.persona import Persona, load_persona, select_personas
    from propersim_env.population import sample_persona
    from propersim_env.registry import make_assistant, make_user
    from propersim_env.setting import load_setting
    from propersim_env.single_agent import ProPerSimEnv
    from propersim_env.two_agent import env, parallel_env, raw_env
    from propersim_env.vector import ProPerSimVectorEnv

_LAZY = {
    "read_episode": "log", "Persona": "persona", "load_persona": "persona", "select_personas": "persona",
    "sample_persona": "population", "make_assistant": "registry", "make_user": "registry", "load_setting": "setting",
    "ProPerSimEnv": "single_agent", "env": "two_agent", "parallel_env": "two_agent", "raw_env": "two_agent",
    "ProPerSimVectorEnv": "vector",
}

__all__ = [
    "Persona", "ProPerSimEnv", "ProPerSimVectorEnv", "env", "load_persona", "load_setting", "make_assistant",
    "make_user", "parallel_env", "raw_env", "read_episode", "sample_persona", "select_personas",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        from importlib import import_module

        value = getattr(import_module(f"propersim_env.{_LAZY[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY])


for _id, _nondeterministic in (("ProPerSim-v0", False), ("ProPerSimLive-v0", True)):
    # The second id is for users that are not a function of the seed: live language models and people.
    _gymnasium.register(
        id=_id,
        entry_point="propersim_env.single_agent:ProPerSimEnv",
        vector_entry_point="propersim_env.vector:ProPerSimVectorEnv",
        nondeterministic=_nondeterministic,
    )

_gymnasium.register(id="ProPerSimCatalogue-v0", entry_point="propersim_env.wrappers:catalogue_env")
