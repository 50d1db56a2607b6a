"""What a user and an assistant must be able to do. Nothing needs to inherit from these classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from propersim_env.messages import Rating, UserTurn, UserTurns
from propersim_env.persona import Persona


class AgentTimeout(BaseException):
    """An agent took too long for one decision. Not an `Exception`, so that an agent's own handlers do not swallow it."""


class UserAgent(Protocol):
    """Plays ``user_0``: lives the day of a persona and rates what it hears.

    Optional: ``rate(text) -> Rating`` (judge a candidate now, without consequences), ``get_state() -> dict``,
    ``set_state(state)`` (JSON values) and the class attribute ``deterministic`` (False for live language models and people);
    ``explain(text)``, ``what_if(text, *, horizon, **changes)`` and ``best_moment(text, *, horizon, within_minutes)``, which
    give what is described in `propersim_env.what_if`. A batch has them with the home as first argument.
    """

    def reset(self, persona: Persona, seed: int) -> UserTurn:
        """Begin an episode at tick 0 and take the first turn, which rates nothing."""

    def act(self, heard: str) -> UserTurn:
        """Rate what was heard (``""``: silence) and say what is done at the next tick at which one is available."""


class UserBatch(Protocol):
    """Plays ``user_0`` in n homes at once. `propersim_env.registry.make_users` makes one from any user agent.

    Optional: ``foresee(setting, texts)``, called before a log is rated again, with everything that will be said in it.
    """

    def reset(self, i: int, persona: Persona, seed: int) -> UserTurn:
        """Begin an episode in home i."""

    def act(self, heard: Sequence[str], active: NDArray[np.bool_] | None = None) -> UserTurns:
        """One turn in every home, or in the active ones; what is returned for the others means nothing."""

    def rate(self, i: int, text: str) -> Rating:
        """Judge a candidate in home i now, without consequences."""

    def resident(self, i: int) -> Any:
        """Privileged access to the resident of home i, for oracles; a TypeError where there is none."""

    def get_state(self, i: int) -> dict[str, Any]:
        """State of home i."""

    def set_state(self, i: int, state: Mapping[str, Any]) -> None:
        """Restore the state of home i."""


@runtime_checkable
class Assistant(Protocol):
    """Plays ``assistant_0``: decides at each tick whether to speak and what to say.

    A plain function of one argument, ``observation -> text``, is an assistant too. Optional members:

    - ``learn(events)``: called once a day, at the first decision of a new day, with the log events of the day before.
    - ``alternatives() -> Sequence[str]``: asked right after each decision, under feedback ``"full"`` only: texts (``""``:
      silence) that the resident rates at this very moment without hearing them. The ratings are told in ``learn`` only, as
      ``event["alternatives"]``: a list of dicts with text, rating and marks, there for every event.
    - ``act_together(assistants, observations) -> list[str | BaseException]``: a static or class method, called once a tick in
      place of ``act`` for all homes run side by side whose classes share it. An exception in place of a text fails that home,
      one that is raised fails all of the call. It must decide for each as ``act`` would: batches differ from run to run.
    - ``notes() -> Mapping[str, Any]``: called once after each ``learn``: what the assistant says of its own state as the day
      begins, e.g. training loss. JSON values without the names ``event`` and ``day``; logged, and compared byte by byte when a
      run is resumed, so nothing may be in them that differs from run to run, such as times.
    - ``keep(folder)``: called before ``reset`` in runs that have a folder: a `pathlib.Path` of this episode's own, to be made
      when it is needed, for checkpoints with which a killed run goes on. It is emptied before an episode begins anew.
    - ``get_state()`` / ``set_state(state)``: JSON values, for exact branching.
    - ``bind(resident)``: called after ``reset`` with privileged knowledge of the resident; for oracles only, and
      recorded in the log.
    - ``learned_from``: whom it has learned from before the run: names of splits, populations (``"s5"``) or ids of people (see
      `propersim_env.splits`). The runner refuses to evaluate it with these.
    - ``replay(observation, text)``: when a run is resumed, called instead of ``act`` with what was said then; define it
      where ``act`` is expensive.
    """

    def reset(self, seed: int) -> None:
        """Begin an episode; all randomness must come from this seed."""

    def act(self, observation: str) -> str:
        """The text to say, or ``""`` to stay silent."""
