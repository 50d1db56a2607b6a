"""The Gymnasium view: the assistant alone. The machine of one home with a user agent bound to it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium as gym

from propersim_env.clock import TICKS_PER_DAY
from propersim_env.episode import EpisodeSource, episode_log
from propersim_env.machine import Machine, MachineConfig, RewardKind
from propersim_env.messages import Rating
from propersim_env.persona import Persona
from propersim_env.protocols import UserBatch
from propersim_env.registry import Specification, make_users
from propersim_env.rendering import Scene, render
from propersim_env.spaces import Unicode
from propersim_env.variants import settle
from propersim_env.what_if import Explanation, WhatIf, best_moment, counterfactual, explanation


class ProPerSimEnv(gym.Env[str, str]):
    """A resident lives through timed days; at each waking tick (2.5 minutes) the action is a text, or ``""`` for silence.

    - **Observation**: text; weekday, date, time, what the resident is doing and where, what was answered last.
    - **Action**: any string.
    - **Reward**: the resident's rating of the action, 0..4; or with ``reward="utility"`` (rating - 2) / 2 where something
      was said and 0 elsewhere. NaN when the user failed to rate (``info["failure"]`` says how).
    - **End**: the horizon truncates; a resident who dismisses the assistant for good terminates.
    - **info**: ``tick`` (absolute), ``day``, ``marks`` (0/1 by dimension), ``reaction``, ``reasons``, ``failure``; marks and
      reasons are empty where the feedback keeps them back.

    Args:
        persona: Bundled id, path of a persona file, dictionary, ``"bundled"`` or ``"sampled"`` (a new one each episode).
        user: Who plays the resident: registered name, import path, class or object.
        user_options: Options of that user, e.g. ``{"noise": 0.0}``.
        days: Horizon; 14 by default.
        setting: Name of a bundled setting or path of a folder.
        reward: ``"rating"`` (default) or ``"utility"``.
        reveal_persona: Put the persona into every observation (an ablation).
        max_cycles: Truncate after so many decisions.
        log_dir: Write an event log of every episode into this folder.
        log_as: The assistant's name in the log.
        render_mode: ``"ansi"``, ``"human"`` (prints to the terminal) or ``"rgb_array"``.
        feedback: What the assistant is told: ``"full"`` (default), ``"delivered"``, ``"reactions"`` or ``"sampled:SHARE"``;
            see `propersim_env.feedback.Feedback`. All but the first need ``reward="utility"``.
        variant: Name of a variant of the simulation (``propersim variants`` lists them); options that are given go before
            what it sets.

    Example:
        >>> import gymnasium as gym, propersim_env
        >>> env = gym.make("ProPerSim-v0", persona="p01", days=1)
        >>> observation, info = env.reset(seed=0)
        >>> observation, reward, terminated, truncated, info = env.step("")
        >>> 0 <= reward <= 4
        True
    """

    metadata = {"render_modes": ["ansi", "human", "rgb_array"], "render_fps": 4}  # noqa: RUF012 (gymnasium's own form)

    def __init__(
        self,
        persona: str | Mapping[str, Any] | Persona = "p01",
        user: Specification = "simulated",
        user_options: Mapping[str, Any] | None = None,
        days: int | None = None,
        setting: str = "house",
        reward: RewardKind | None = None,
        reveal_persona: bool = False,
        max_cycles: int | None = None,
        log_dir: str | Path | None = None,
        log_as: str = "assistant",
        render_mode: str | None = None,
        feedback: str | None = None,
        variant: str | None = None,
    ) -> None:
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise ValueError(f"render_mode={render_mode!r}: choose one of {self.metadata['render_modes']}, or None")
        self.source = EpisodeSource(persona, setting)
        chosen, self.user_options = settle(variant, user_options, days=days, reward=reward, feedback=feedback)
        self.users: UserBatch = make_users(user, 1, **self.user_options)
        self.user_name = user if isinstance(user, str) else getattr(user, "__name__", type(user).__name__)
        self.machine = Machine(1, MachineConfig(reveal_persona=reveal_persona, max_cycles=max_cycles, **chosen))
        self.observation_space = Unicode()
        self.action_space = Unicode()
        self.render_mode = render_mode
        self.log_dir, self.log_as = log_dir, log_as
        self.persona: Persona | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Begin an episode at the first waking tick.

        Args:
            seed: Seed of the episode: resident's days, needs and noise follow from it. Without one, the next in line.
            options: ``{"persona": …}`` replaces the persona from now on.
        """
        super().reset(seed=seed)
        if options and "persona" in options:
            self.source = EpisodeSource(options["persona"], self.source.setting)
        self.episode_seed = int(self.np_random.integers(2**31)) if seed is None else seed
        self.persona = self.source.persona(self.episode_seed)
        log = None
        if self.log_dir is not None:
            user = {"name": self.user_name, "options": self.user_options}
            log = episode_log(self.log_dir, self.log_as, self.persona, self.episode_seed, self.machine.config, user)
        self.machine.begin(0, self.persona, log, self.episode_seed)
        self.machine.first_turn(0, self.users.reset(0, self.persona, self.episode_seed))
        if self.render_mode == "human":
            self.render()
        return self.machine.observation(0), self._info()

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Say something (or ``""``), have it rated, and go on to the next waking tick."""
        machine = self.machine
        if self.persona is None or not machine.active[0]:
            state = "has not begun" if self.persona is None else "is over"
            raise gym.error.ResetNeeded(f"the episode {state}: call reset() before step()")
        if not isinstance(action, str):
            raise TypeError(f"an action is a text ('' for silence), got {type(action).__name__}: {action!r:.80}")
        machine.assistant_turn((action,))
        turns = self.users.act(machine.said)
        if turns.faults:
            raise turns.faults[0]
        machine.user_turn(turns)
        if self.render_mode == "human":
            self.render()
        return (machine.observation(0), float(machine.rewards[0]), bool(machine.terminated[0]),
                bool(machine.truncated[0]), self._info())

    def _info(self) -> dict[str, Any]:
        machine = self.machine
        tick, marks = int(machine.tick[0]), int(machine.marks[0])
        rating, told = machine.ratings.get(0), machine.tells(0)
        return {
            "tick": tick, "day": tick // TICKS_PER_DAY,
            "marks": {"preference": marks & 1, "timing": marks >> 1 & 1, "frequency": marks >> 2 & 1,
                      "communication": marks >> 3 & 1} if told else {},
            "reaction": rating.reaction if rating else "none", "reasons": dict(rating.reasons) if rating and told else {},
            "failure": machine.failures.get(0, ""),
        }

    def rate(self, text: str) -> Rating:
        """How the resident would rate this text (``""``: silence) now; nothing is delivered and nothing changes."""
        self.machine.require_full("rate")
        return self.users.rate(0, text)

    def explain(self, text: str) -> Explanation:
        """Why the resident would rate this text (``""``: silence) now as it would. Privileged, as `rate` and `what_if`."""
        return explanation(self.machine, 0, self.users, 0, text)

    def what_if(
        self, text: str, *, minutes_later: float = 0, shorter: bool = False, topic: str = "", tone: str = "",
        instead: str | None = None, noise: str | int = "same",
    ) -> WhatIf:
        """How the resident would rate another decision than to say this text now; nothing is delivered, nothing changes.

        Exact: the rating is the one that a branch of this environment would get. It is privileged information, for studies
        and for learning from logs: an assistant that is compared with others must not ask while it acts.

        Args:
            text: The base case; ``""`` is silence.
            minutes_later: After so many waking minutes of silence (rounded up to ticks of 2.5), over the night if need be.
            shorter: A shorter text: the longest prefix of whole sentences within the resident's limit, else the shortest
                text of the catalogue on the same topic.
            topic: A text of the catalogue on this topic, the nearest in meaning, in the tone that is heard in `text` if there
                is one; ``"other"`` takes the most welcome of the other topics.
            tone: A text of the catalogue in this tone and on the topic that is heard in `text` (or on `topic`), the nearest in
                meaning; ``"other"`` takes the best liked of the other tones.
            instead: This text (``""``: silence).
            noise: ``"same"`` (of that moment), ``"none"``, ``"fresh"``, or n for the n-th fresh draw.

        Raises:
            TypeError: The user cannot explain itself.
            ValueError: Two changes of the text at once, an unknown topic or tone, no such text, or a moment after the end.

        Example:
            >>> env = ProPerSimEnv(persona="p01", days=1)
            >>> observation, info = env.reset(seed=0)
            >>> env.what_if("Ginger tea with honey before you record?", minutes_later=20).waited
            8
        """
        return counterfactual(self.machine, 0, self.users, 0, text, minutes_later=minutes_later, shorter=shorter, topic=topic,
                              tone=tone, instead=instead, noise=noise)

    def best_moment(self, text: str, *, within_minutes: float = 120) -> WhatIf:
        """The earliest of the next waking minutes at which this text would be rated best, if nothing is said until then."""
        return best_moment(self.machine, 0, self.users, 0, text, within_minutes=within_minutes)

    def render(self) -> Any:
        """Draw the moment: text (``ansi``), text on the terminal (``human``), or the floor plan (``rgb_array``)."""
        if self.render_mode is None:
            gym.logger.warn('render() needs a render_mode: gym.make(…, render_mode="ansi", "human" or "rgb_array")')
            return None
        return render(Scene.of(self.machine, 0, self.users), self.render_mode)

    def get_state(self) -> dict[str, Any]:
        """Everything needed to go on exactly from here, as JSON values (a started log is not part of it)."""
        if self.persona is None:
            raise gym.error.ResetNeeded("there is no state yet: call reset() before get_state()")
        return {"seed": self.episode_seed, "machine": self.machine.get_state(0), "user": self.users.get_state(0),
                "persona": self.persona.to_dict()}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on from what `get_state` gave, in this or another environment. A log being written ends here."""
        self.persona = Persona(state["persona"], self.source.setting)
        self.episode_seed = state["seed"]
        self.machine.begin(0, self.persona, seed=self.episode_seed)
        self.machine.set_state(0, state["machine"])
        self.users.reset(0, self.persona, self.episode_seed)
        self.users.set_state(0, state["user"])

    def close(self) -> None:
        """Close the log; an episode that has not ended can be resumed."""
        log = self.machine.logs[0]
        if log is not None:
            log.close()
