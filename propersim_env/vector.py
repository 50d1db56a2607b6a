"""The vector view: many homes in one machine, stepped together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import error
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from propersim_env.clock import TICKS_PER_DAY
from propersim_env.episode import EpisodeSource, episode_log
from propersim_env.machine import Machine, MachineConfig, RewardKind
from propersim_env.messages import Rating
from propersim_env.persona import Persona
from propersim_env.registry import Specification, make_users
from propersim_env.spaces import Unicode
from propersim_env.variants import settle
from propersim_env.what_if import Explanation, WhatIf, best_moment, counterfactual, explanation


class ProPerSimVectorEnv(VectorEnv[tuple[str, ...], Sequence[str], NDArray[np.float64]]):
    """n homes at once; the same trajectories and logs as n `ProPerSimEnv`, many times faster.

    Observations and actions are sequences of n strings. ``info`` holds arrays of n: ``tick``, ``day``, ``marks`` (bit
    masks; see `messages.Rating`) and, where something was said, ``reaction`` (object array). Where the feedback keeps marks
    back, ``_marks`` says which of them count.

    Args:
        num_envs: Number of homes.
        personas: One persona for all homes (as for `ProPerSimEnv`), or a list of n.
        kwargs: As for `ProPerSimEnv`; a home that ends is reset at the next step (``AutoresetMode.NEXT_STEP``) with the
            next seed in line, unless ``autoreset=False``.
    """

    metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP, "render_modes": []}  # noqa: RUF012 (gymnasium's own form)

    def __init__(
        self,
        num_envs: int = 1,
        *,
        persona: str | Mapping[str, Any] | Persona | Sequence[str | Mapping[str, Any] | Persona] = "p01",
        user: Specification = "simulated",
        user_options: Mapping[str, Any] | None = None,
        days: int | None = None,
        setting: str = "house",
        reward: RewardKind | None = None,
        reveal_persona: bool = False,
        max_cycles: int | None = None,
        log_dir: str | Path | None = None,
        log_as: str = "assistant",
        autoreset: bool = True,
        render_mode: str | None = None,
        feedback: str | None = None,
        variant: str | None = None,
    ) -> None:
        if render_mode is not None:
            raise ValueError(f"render_mode={render_mode!r}: the vector view does not render; use gym.make for one home")
        if num_envs < 1:
            raise ValueError(f"num_envs={num_envs}: at least one home is needed")
        several = not isinstance(persona, (str, Mapping, Persona))
        specs: list[Any] = list(persona) if several else [persona] * num_envs  # type: ignore[arg-type]
        if len(specs) != num_envs:
            raise ValueError(f"{len(specs)} personas for num_envs={num_envs} homes: give one, or as many as homes")
        self.num_envs = num_envs
        shared = {} if several else {0: EpisodeSource(specs[0], setting)}
        self.sources = [shared.get(0) or EpisodeSource(spec, setting) for spec in specs]
        chosen, self.user_options = settle(variant, user_options, days=days, reward=reward, feedback=feedback)
        self.users = make_users(user, num_envs, **self.user_options)
        self.user_name = user if isinstance(user, str) else getattr(user, "__name__", type(user).__name__)
        self.machine = Machine(num_envs, MachineConfig(reveal_persona=reveal_persona, max_cycles=max_cycles, **chosen))
        self.single_observation_space = self.single_action_space = Unicode()
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.log_dir, self.log_as, self.autoreset = log_dir, log_as, autoreset
        self.render_mode = None
        self.personas: list[Persona] = [None] * num_envs  # type: ignore[list-item]
        self.seeds = [0] * num_envs
        self._generators: list[Any] = [None] * num_envs
        self._begun = False

    def reset(  # type: ignore[override]
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[tuple[str, ...], dict[str, Any]]:
        """Begin an episode in every home.

        Args:
            seed: One for each home; a number s means s, s + 1, …, as in Gymnasium.
            options: ``{"reset_mask": bool array}`` resets only those homes.
        """
        if unknown := set(options or {}) - {"reset_mask"}:
            raise ValueError(f"reset options {sorted(unknown)} are unknown to the vector view; it takes reset_mask")
        mask = (options or {}).get("reset_mask", np.ones(self.num_envs, bool))
        seeds = list(seed) if isinstance(seed, Sequence) else [None if seed is None else seed + i for i in range(self.num_envs)]
        if len(mask) != self.num_envs or len(seeds) != self.num_envs:
            raise ValueError(f"{len(seeds)} seeds and a mask of {len(mask)} for {self.num_envs} homes: give one for each home")
        for i in np.flatnonzero(mask).tolist():
            self._begin(i, seeds[i])
        self._begun = True
        return tuple(self.machine.observations()), self._info()

    def _begin(self, i: int, seed: int | None) -> None:
        if seed is not None or self._generators[i] is None:
            self._generators[i], _ = seeding.np_random(seed)  # one a home, as in the single view
        self.seeds[i] = seed = int(self._generators[i].integers(2**31)) if seed is None else int(seed)
        self.personas[i] = persona = self.sources[i].persona(seed)
        log = None
        if self.log_dir is not None:
            user = {"name": self.user_name, "options": self.user_options}
            log = episode_log(self.log_dir, self.log_as, persona, seed, self.machine.config, user)
        self.machine.begin(i, persona, log, seed)
        self.machine.first_turn(i, self.users.reset(i, persona, seed))

    def step(  # type: ignore[override]
        self, actions: Sequence[str]
    ) -> tuple[tuple[str, ...], NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Say something (or ``""``) in every home.

        Homes that ended at the step before are reset instead: their action is ignored and their reward is 0. With
        ``autoreset=False`` they stay as they are.
        """
        machine = self.machine
        if not self._begun:
            raise error.ResetNeeded("call reset() before step()")
        if len(actions) != self.num_envs:
            raise ValueError(f"{len(actions)} actions for {self.num_envs} homes")
        for i, action in enumerate(actions):
            if not isinstance(action, str):
                raise TypeError(f"actions[{i}] is no text but {type(action).__name__}: {action!r:.80}")
        active = machine.active.copy()
        everyone = bool(active.all())
        machine.assistant_turn(actions)
        turns = self.users.act(machine.said, None if everyone else active)
        for i, fault in turns.faults.items():
            fault.add_note(f"in home {i}")
            raise fault
        machine.user_turn(turns)
        terminated, truncated = machine.terminated.copy(), machine.truncated.copy()
        if not everyone and self.autoreset:
            for i in np.flatnonzero(~active).tolist():
                self._begin(i, None)
        return tuple(machine.observations()), machine.rewards.copy(), terminated, truncated, self._info()

    def _info(self) -> dict[str, Any]:
        machine = self.machine
        info: dict[str, Any] = {"tick": machine.tick.copy(), "day": machine.tick // TICKS_PER_DAY,
                                "marks": machine.marks.copy()}
        if not machine.feedback.full:
            info["_marks"] = np.array([machine.tells(i) for i in range(self.num_envs)])
            info["marks"][~info["_marks"]] = 0
        if machine.ratings:
            reaction, there = np.full(self.num_envs, None, object), np.zeros(self.num_envs, bool)
            for i, rating in machine.ratings.items():
                reaction[i], there[i] = rating.reaction, True
            info["reaction"], info["_reaction"] = reaction, there
        return info

    def rate(self, i: int, text: str) -> Rating:
        """How the resident of home i would rate this text now; nothing is delivered and nothing changes."""
        self.machine.require_full("rate")
        return self.users.rate(i, text)

    def explain(self, i: int, text: str) -> Explanation:
        """Why the resident of home i would rate this text now as it would."""
        return explanation(self.machine, i, self.users, i, text)

    def what_if(self, i: int, text: str, **changes: Any) -> WhatIf:
        """How the resident of home i would rate another decision; changes as in `ProPerSimEnv.what_if`."""
        return counterfactual(self.machine, i, self.users, i, text, **changes)

    def best_moment(self, i: int, text: str, *, within_minutes: float = 120) -> WhatIf:
        """The best moment for a text in home i, as in `ProPerSimEnv.best_moment`."""
        return best_moment(self.machine, i, self.users, i, text, within_minutes=within_minutes)

    def get_state(self, i: int) -> dict[str, Any]:
        """State of home i, in the form of `ProPerSimEnv.get_state`."""
        if not self._begun:
            raise error.ResetNeeded("there is no state yet: call reset() before get_state()")
        return {"seed": self.seeds[i], "machine": self.machine.get_state(i), "user": self.users.get_state(i),
                "persona": self.personas[i].to_dict()}

    def set_state(self, i: int, state: Mapping[str, Any]) -> None:
        """Go on in home i from a state that this or the single view gave."""
        self.personas[i] = persona = Persona(state["persona"], self.sources[i].setting)
        self.seeds[i] = state["seed"]
        self.machine.begin(i, persona, seed=state["seed"])
        self.machine.set_state(i, state["machine"])
        self.users.reset(i, persona, state["seed"])
        self.users.set_state(i, state["user"])

    def close_extras(self, **kwargs: Any) -> None:
        """Close the logs."""
        for log in self.machine.logs:
            if log is not None:
                log.close()
