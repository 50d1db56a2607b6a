"""Wrappers for learners: actions as numbers, observations as vectors, or both as chat messages."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, SupportsFloat, TypeVar

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from propersim_env.features import FIELDS, Features
from propersim_env.schema import DATA, read_json
from propersim_env.setting import Setting, load_setting
from propersim_env.single_agent import ProPerSimEnv
from propersim_env.spaces import Unicode

Obs = TypeVar("Obs")
CHAT = DATA / "chat.json"
ROLES = ("system", "user", "assistant")
_AROUND = " \t\r\n.!*\"'`“”‘’()[]"


class Menu:
    """The texts of a catalogue by number; 0 is silence.

    Args:
        setting: Whose catalogue.
        factored: A number stands for a topic and a tone, and its text is the one of these that was said longest ago (those not
            said yet come first, in the catalogue's order). Otherwise k stands for the catalogue's text k - 1.

    Attributes:
        labels: What each number stands for: ``"silence"``, then ids of texts, or ``"topic/tone"``, by topic and then by tone.
            Pairs of which the catalogue has no text have no number.
    """

    def __init__(self, setting: Setting, factored: bool = False) -> None:
        self.setting, self.factored = setting, factored
        self.texts = [entry.text for entry in setting.catalogue]
        groups: dict[str, list[int]] = {}
        if factored:
            groups = {f"{topic.id}/{tone.id}": [] for topic in setting.topics for tone in setting.tones}
        for place, entry in enumerate(setting.catalogue):
            groups.setdefault(f"{entry.topic}/{entry.tone}" if factored else entry.id, []).append(place)
        self._groups = {label: places for label, places in groups.items() if places}
        self.labels = ["silence", *self._groups]
        self.reset()

    def __len__(self) -> int:
        return len(self.labels)

    def reset(self) -> None:
        """Forget what was said."""
        self._queues = [deque(places) for places in self._groups.values()]

    def look(self, number: int) -> str:
        """The text that this number would say now."""
        return self.texts[self._queues[number - 1][0]] if number else ""

    def take(self, number: int) -> str:
        """The text of a number, which is said now."""
        text = self.look(number)
        if number:
            self._queues[number - 1].rotate(-1)
        return text

    def get_state(self) -> dict[str, Any]:
        """State as JSON values."""
        return {"queues": [list(queue) for queue in self._queues] if self.factored else []}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Restore what `get_state` gave."""
        self.reset()
        if self.factored:
            self._queues = [deque(places) for places in state["queues"]]


class CatalogueActions(gym.ActionWrapper[Obs, int, str]):
    """Actions are numbers: 0 is silence, k says the k-th text of the setting's catalogue.

    Args:
        env: A `ProPerSimEnv`, wrapped or not.
        factored: Numbers stand for a topic and a tone (see `Menu`): a third as many of them, and texts are not repeated
            sooner than need be.
        catalogue: Name of a setting with the texts to say, e.g. ``"house@known"``; the home's by default.

    Attributes:
        menu: Says what each number stands for.

    Example:
        >>> from propersim_env import ProPerSimEnv
        >>> env = CatalogueActions(ProPerSimEnv(days=1), factored=True)
        >>> env.action_space, env.menu.labels[1]
        (Discrete(235), 'cooking/warm')
    """

    def __init__(self, env: gym.Env[Obs, str], factored: bool = False, catalogue: str | None = None) -> None:
        super().__init__(env)
        self.menu = Menu(_setting(env, catalogue, "CatalogueActions"), factored)
        self.action_space = gym.spaces.Discrete(len(self.menu))  # type: ignore[assignment]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Obs, dict[str, Any]]:
        """Begin an episode; nothing was said yet."""
        self.menu.reset()
        return self.env.reset(seed=seed, options=options)

    def action(self, action: int) -> str:
        """The text of a number, which is said now.

        Raises:
            ValueError: There is no such number.
        """
        if not self.action_space.contains(action):
            raise ValueError(f"action {action!r} is no number of a text: choose 0 (silence) to {len(self.menu) - 1}")
        return self.menu.take(int(action))


class FeatureObservations(gym.ObservationWrapper[NDArray[np.float32], Any, str]):
    """Observations are vectors: what an assistant may know from the texts of the episode so far (`FIELDS`, `Features`).

    Args:
        env: A `ProPerSimEnv`, wrapped or not, with texts or numbers (0: silence) as actions.
        catalogue: Name of a setting whose texts are known; the home's by default.

    Attributes:
        features: Has the `names` of the numbers.

    Example:
        >>> from propersim_env import ProPerSimEnv
        >>> env = FeatureObservations(ProPerSimEnv(days=1))
        >>> observation, info = env.reset(seed=0)
        >>> observation.shape == (len(env.features.names),), env.features.names[2]
        (True, 'weekend')
    """

    def __init__(self, env: gym.Env[str, Any], catalogue: str | None = None) -> None:
        super().__init__(env)
        self.features = Features(_setting(env, catalogue, "FeatureObservations"))
        self.observation_space = gym.spaces.Box(self.features.low, self.features.high, dtype=np.float32)
        self._spoke = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Begin an episode; nothing was seen yet."""
        self.features.reset()
        self._spoke = False
        return super().reset(seed=seed, options=options)

    def step(self, action: Any) -> tuple[NDArray[np.float32], SupportsFloat, bool, bool, dict[str, Any]]:
        """Act, and note whether that was to speak."""
        self._spoke = bool(action)
        return super().step(action)

    def observation(self, observation: str) -> NDArray[np.float32]:
        """The vector of a text that comes next."""
        return self.features.read(observation, self._spoke)


class Messages(gym.spaces.Sequence):
    """Lists of chat messages: ``{"role": "system", "user" or "assistant", "content": text}``."""

    def __init__(self, seed: int | np.random.Generator | None = None) -> None:
        super().__init__(gym.spaces.Dict({"role": Unicode(), "content": Unicode()}), seed=seed)

    def sample(self, mask: Any = None, probability: Any = None) -> Any:
        """A random list, with random roles of those that there are."""
        return [{**message, "role": ROLES[int(self.np_random.integers(len(ROLES)))]} for message in super().sample()]

    def contains(self, x: Any) -> bool:
        """Whether `x` is a list of such messages."""
        return isinstance(x, list) and all(
            isinstance(message, Mapping) and set(message) == {"role", "content"} and message["role"] in ROLES
            and isinstance(message["content"], str) for message in x)


class ChatMessages(gym.ObservationWrapper[list[dict[str, str]], str, str]):
    """Observations are lists of chat messages, as chat models take them; actions are what the model answers.

    A system message says what is asked (``data/chat.json``), earlier decisions follow as far as `history` goes, and the
    observation comes last. An answer that is the word for silence (in any case, with or without a full stop, quotes or
    asterisks around it), or is empty, says nothing; any other answer is said without the white space around it.

    Args:
        env: A `ProPerSimEnv`.
        history: Number of earlier decisions that are shown, >= 0.
        system: Other words for the system message.
        silence: The word for saying nothing.

    Raises:
        ValueError: `history` is negative, or there is no word for silence.

    Example:
        >>> from propersim_env import ProPerSimEnv
        >>> env = ChatMessages(ProPerSimEnv(days=1), history=2)
        >>> messages, info = env.reset(seed=0)
        >>> messages, *rest = env.step("SILENCE")
        >>> [message["role"] for message in messages]
        ['system', 'user', 'assistant', 'user']
    """

    def __init__(
        self, env: gym.Env[str, str], history: int = 0, system: str | None = None, silence: str | None = None
    ) -> None:
        super().__init__(env)
        words = read_json(CHAT)
        self.silence = words["silence"] if silence is None else silence
        if history < 0 or not self.silence.strip(_AROUND):
            raise ValueError(f"history={history}, silence={self.silence!r}: show 0 or more decisions, and name a word")
        self.history = history
        self.system = words["system"].replace("{silence}", self.silence) if system is None else system
        self.observation_space = Messages()  # type: ignore[assignment]
        self._turns: deque[dict[str, str]] = deque(maxlen=2 * history + 1)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[list[dict[str, str]], dict[str, Any]]:
        """Begin a talk."""
        self._turns.clear()
        return super().reset(seed=seed, options=options)

    def step(self, action: str) -> tuple[list[dict[str, str]], SupportsFloat, bool, bool, dict[str, Any]]:
        """Say what the model answered, or nothing."""
        text = self.text(action) if isinstance(action, str) else action
        self._turns.append({"role": "assistant", "content": text or self.silence})
        return super().step(text)

    def text(self, answer: str) -> str:
        """What an answer says: ``""`` where it is silence."""
        bare = answer.strip(_AROUND).casefold()
        return "" if bare in ("", self.silence.strip(_AROUND).casefold()) else answer.strip()

    def observation(self, observation: str) -> list[dict[str, str]]:
        """The messages that end with this observation."""
        self._turns.append({"role": "user", "content": observation})
        return [{"role": "system", "content": self.system}, *map(dict, self._turns)]


def _setting(env: gym.Env[Any, Any], catalogue: str | None, what: str) -> Setting:
    """The setting that is named, else that of the home."""
    setting = getattr(getattr(env.unwrapped, "source", None), "setting", None)
    if not isinstance(setting, Setting):
        raise TypeError(f"{what} wraps a ProPerSim home (gym.make('ProPerSim-v0')), not {type(env.unwrapped).__name__}")
    return setting if catalogue is None else load_setting(catalogue)


def catalogue_env(
    factored: bool = False, catalogue: str | None = None, **options: Any
) -> gym.Env[NDArray[np.float32], int]:
    """A home for learners with vectors and numbers: what ``gym.make("ProPerSimCatalogue-v0")`` makes.

    Args:
        factored: Numbers stand for a topic and a tone; see `CatalogueActions`.
        catalogue: Name of a setting with the texts to say, e.g. ``"house@known"``; the home's by default.
        options: Of `ProPerSimEnv`; ``reward="utility"`` unless another is given, so that silence earns 0.

    Raises:
        ValueError: ``reveal_persona``, which no field would show.
    """
    if options.get("reveal_persona"):
        raise ValueError("reveal_persona=True: features hold nothing of the persona; use ProPerSim-v0, whose text shows it")
    env = ProPerSimEnv(**{**options, "reward": options.get("reward") or "utility"})
    return FeatureObservations(CatalogueActions(env, factored, catalogue), catalogue)


__all__ = ["FIELDS", "CatalogueActions", "ChatMessages", "FeatureObservations", "Features", "Menu", "Messages", "catalogue_env"]
