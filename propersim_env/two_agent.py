"""The two-agent view (PettingZoo): ``user_0`` and ``assistant_0`` take turns in one home.

The environment has no user behaviour of its own: whoever plays ``user_0`` lives the day and rates. In each cycle the user acts
first (see `propersim_env.messages.UserTurn`), then the assistant. The cycle in which the user reports the horizon, or
dismisses the assistant, is the last; the assistant's action in it is ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces
from pettingzoo import AECEnv, ParallelEnv
from pettingzoo.utils import wrappers
from pettingzoo.utils.conversions import aec_to_parallel

from propersim_env.clock import TICKS_PER_DAY, moment_text
from propersim_env.episode import EpisodeSource, episode_log
from propersim_env.machine import Machine, MachineConfig, RewardKind
from propersim_env.messages import ASSISTANT, REACTIONS, USER, Activity, UserTurn, gather
from propersim_env.persona import Persona
from propersim_env.rendering import Scene, render
from propersim_env.seeding import derive
from propersim_env.spaces import Unicode
from propersim_env.variants import settle
from propersim_env.what_if import Explanation, WhatIf, best_moment, counterfactual, explanation

LONGEST_SKIP = 2 * TICKS_PER_DAY
"""Ticks that a user can skip with one action, asleep or away."""


class TwoAgentEnv(AECEnv[str, dict[str, Any], Any]):
    """One home as an AEC environment.

    Both observe ``{"time": text, "text": text}``.

    - ``user_0`` sees the time of its last moment and, as ``text``, what the assistant said there. It acts with a `UserTurn`,
      or its form as a member of the action space (`UserTurn.to_action`).
    - ``assistant_0`` sees, as ``text``, the observation of the Gymnasium view, and acts with a text.
    - The assistant's reward is the rating; the user's reward is 0.

    Args:
        persona, setting, days, reward, reveal_persona, log_dir, log_as, render_mode, feedback: As in
            `propersim_env.single_agent.ProPerSimEnv`.
        variant: The same, as far as it is the environment's; give its options of the user to the user agent
            (`propersim_env.variants.settle` tells them).
        max_cycles: Truncate in this cycle (>= 2). The first cycle rates nothing, so this is one more than the number of
            decisions that are rated.
        log_user: Name and options of the user, for the log.
    """

    metadata = {  # noqa: RUF012 (PettingZoo's own form)
        "name": "propersim_v0", "render_modes": ["ansi", "human", "rgb_array"], "is_parallelizable": True,
        "render_fps": 4,
    }

    def __init__(
        self,
        persona: str | Mapping[str, Any] | Persona = "p01",
        setting: str = "house",
        days: int | None = None,
        reward: RewardKind | None = None,
        reveal_persona: bool = False,
        max_cycles: int | None = None,
        log_dir: str | Path | None = None,
        log_as: str = "assistant",
        log_user: Mapping[str, Any] | None = None,
        render_mode: str | None = None,
        feedback: str | None = None,
        variant: str | None = None,
    ) -> None:
        super().__init__()
        self.source = EpisodeSource(persona, setting)
        if max_cycles is not None and max_cycles < 2:
            raise ValueError(f"max_cycles={max_cycles}: at least 2, because the first cycle rates nothing")
        decisions = None if max_cycles is None else max_cycles - 1
        chosen, _ = settle(variant, days=days, reward=reward, feedback=feedback)
        self.machine = Machine(1, MachineConfig(reveal_persona=reveal_persona, max_cycles=decisions, **chosen))
        self.possible_agents = [USER, ASSISTANT]
        self.render_mode = render_mode
        self.log_dir, self.log_as = log_dir, log_as
        self.log_user = dict(log_user or {"name": "simulated", "options": {}})
        text = Unicode()
        self.observation_spaces = {agent: spaces.Dict({"time": text, "text": text}) for agent in self.possible_agents}
        self.action_spaces = {
            USER: spaces.Dict({
                "activity": text, "room": text, "object": text,
                "skip": spaces.Discrete(LONGEST_SKIP + 1),
                "rated": spaces.Discrete(2), "marks": spaces.MultiBinary(4),
                "reaction": spaces.Discrete(len(REACTIONS)), "notes": text,
            }),
            ASSISTANT: Unicode(),
        }
        self._next_seed: int | None = None

    def observation_space(self, agent: str) -> spaces.Space[Any]:
        """The observation space of an agent, the same object each time."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> spaces.Space[Any]:
        """The action space of an agent, the same object each time."""
        return self.action_spaces[agent]

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        """Begin an episode; the user acts first. The user agent must be reset with `episode_seed` and `persona`."""
        if seed is not None:
            self.episode_seed = seed
        elif self._next_seed is not None:
            self.episode_seed = self._next_seed
        else:
            self.episode_seed = int(np.random.SeedSequence().generate_state(1)[0])
        self._next_seed = derive(self.episode_seed, "next episode")
        if options and "persona" in options:
            self.source = EpisodeSource(options["persona"], self.source.setting)
        self.persona = self.source.persona(self.episode_seed)
        log = None
        if self.log_dir is not None:
            log = episode_log(self.log_dir, self.log_as, self.persona, self.episode_seed, self.machine.config,
                              self.log_user)
        self.machine.begin(0, self.persona, log, self.episode_seed)
        self.agents = list(self.possible_agents)
        self.agent_selection = USER
        self.rewards = dict.fromkeys(self.agents, 0.0)
        self._cumulative_rewards = dict.fromkeys(self.agents, 0.0)
        self.terminations = dict.fromkeys(self.agents, False)
        self.truncations = dict.fromkeys(self.agents, False)
        self.infos: dict[str, dict[str, Any]] = {agent: {} for agent in self.agents}
        self._first, self._over = True, False
        self._activities = [Activity("", "")]

    def observe(self, agent: str) -> dict[str, str]:
        """What an agent sees now."""
        text = self.machine.said[0] if agent == USER else self.machine.observation(0)
        return {"time": moment_text(int(self.machine.tick[0])), "text": text}

    def step(self, action: Any) -> None:
        """The selected agent acts: a `UserTurn` (or its action) for the user, a text for the assistant."""
        if self.terminations[self.agent_selection] or self.truncations[self.agent_selection]:
            self._was_dead_step(action)
            return
        agent = self.agent_selection
        self._cumulative_rewards[agent] = 0.0
        self.rewards = dict.fromkeys(self.agents, 0.0)
        if agent == USER:
            now = int(self.machine.tick[0])
            self._user_acts(action if isinstance(action, UserTurn) else UserTurn.from_action(action, now))
            self.agent_selection = ASSISTANT
        else:
            self._assistant_acts(action)
            self.agent_selection = USER
        self._accumulate_rewards()
        if self.render_mode == "human":
            self.render()

    def _user_acts(self, turn: UserTurn) -> None:
        machine = self.machine
        now = int(machine.tick[0])
        earliest = now if self._first else now + 1
        if turn.tick < earliest or turn.tick > machine.horizon + TICKS_PER_DAY:
            tick = min(max(turn.tick, earliest), machine.horizon)
            turn = UserTurn(turn.rating, turn.activity, tick, turn.dismiss, turn.failure, turn.diary)
        turns = gather([turn], self._activities)
        if self._first:
            machine.first_turn(0, turn)
            self._first = False
            return
        machine.user_turn(turns)
        self.rewards[ASSISTANT] = float(machine.rewards[0])
        self._over = not machine.active[0]
        self._terminated = bool(machine.terminated[0])
        rating = turn.rating
        self.infos[ASSISTANT] = {} if rating is None else {"reaction": rating.reaction}
        if rating is not None and machine.tells(0):
            self.infos[ASSISTANT] |= {"marks": rating.as_dict(), "reasons": dict(rating.reasons)}

    def _assistant_acts(self, action: Any) -> None:
        if not isinstance(action, str):
            raise TypeError(f"assistant_0 acts with a text ('' for silence), got {type(action).__name__}: {action!r:.80}")
        if self._over:
            ended = self.terminations if self._terminated else self.truncations
            ended.update(dict.fromkeys(self.agents, True))
        else:
            self.machine.assistant_turn((action,))

    def explain(self, user: Any, text: str) -> Explanation:
        """Why `user`, the agent that plays ``user_0`` here, would rate this text at its present moment as it would."""
        return explanation(self.machine, 0, user, text)

    def what_if(self, user: Any, text: str, **changes: Any) -> WhatIf:
        """How that user would rate another decision; changes as in `propersim_env.single_agent.ProPerSimEnv.what_if`."""
        return counterfactual(self.machine, 0, user, text, **changes)

    def best_moment(self, user: Any, text: str, *, within_minutes: float = 120) -> WhatIf:
        """The best moment for a text with that user, as in `propersim_env.single_agent.ProPerSimEnv.best_moment`."""
        return best_moment(self.machine, 0, user, text, within_minutes=within_minutes)

    def render(self) -> Any:
        """Draw the moment in the render mode that was chosen."""
        if self.render_mode is None:
            return None
        return render(Scene.of(self.machine, 0, None), self.render_mode)

    def get_state(self) -> dict[str, Any]:
        """Everything needed to go on exactly from here, as JSON values (a started log is not part of it)."""
        return {
            "seed": self.episode_seed, "persona": self.persona.to_dict(), "machine": self.machine.get_state(0),
            "selection": self.agent_selection, "first": self._first, "over": self._over,
            "agents": list(self.agents), "rewards": dict(self.rewards), "cumulative": dict(self._cumulative_rewards),
            "terminations": dict(self.terminations), "truncations": dict(self.truncations),
            "infos": {agent: dict(info) for agent, info in self.infos.items()},
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what `get_state` gave. A log being written ends here."""
        self.episode_seed = state["seed"]
        self.persona = Persona(state["persona"], self.source.setting)
        self.machine.begin(0, self.persona, seed=self.episode_seed)
        self.machine.set_state(0, state["machine"])
        self.agents, self.agent_selection = list(state["agents"]), state["selection"]
        self._first, self._over = state["first"], state["over"]
        self._terminated = bool(self.machine.terminated[0])
        self.rewards, self._cumulative_rewards = dict(state["rewards"]), dict(state["cumulative"])
        self.terminations, self.truncations = dict(state["terminations"]), dict(state["truncations"])
        self.infos = {agent: dict(info) for agent, info in state["infos"].items()}
        self._activities = [Activity("", "")]

    def close(self) -> None:
        """Close the log; an episode that has not ended can be resumed."""
        log = self.machine.logs[0]
        if log is not None:
            log.close()


def raw_env(**kwargs: Any) -> TwoAgentEnv:
    """The AEC environment without wrappers. Options as in `TwoAgentEnv`."""
    return TwoAgentEnv(**kwargs)


def env(**kwargs: Any) -> AECEnv[str, dict[str, Any], Any]:
    """The AEC environment, guarded by PettingZoo's order-enforcing wrapper. Options as in `TwoAgentEnv`."""
    return wrappers.OrderEnforcingWrapper(TwoAgentEnv(**kwargs))


def parallel_env(**kwargs: Any) -> ParallelEnv[str, dict[str, Any], Any]:
    """The parallel environment: both agents act at once, on what they saw at the end of the cycle before.

    The assistant therefore answers to the moment it saw one tick ago. Given the same actions, the trajectory is that of
    the AEC environment. For learning assistants use the Gymnasium view, which is not delayed.
    """
    return aec_to_parallel(TwoAgentEnv(**kwargs))
