"""Users and assistants by registered name, import path, class or function.

Third-party packages add names with the entry-point groups ``propersim.users`` and ``propersim.assistants``.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import entry_points
from typing import Any

import numpy as np
from numpy.typing import NDArray

from propersim_env.messages import ALL_MARKS, REACTIONS, Activity, Rating, UserTurn, UserTurns, gather
from propersim_env.names import import_object, near_matches
from propersim_env.persona import Persona
from propersim_env.protocols import AgentTimeout, Assistant, UserAgent, UserBatch
from propersim_env.what_if import Explanation, WhatIf, capability

USERS: dict[str, str] = {
    "simulated": "propersim_env.agents.users.simulated:SimulatedUser",
    "hybrid": "propersim_env.agents.users.hybrid:HybridUser",
    "human": "propersim_env.agents.users.human:HumanUser",
    "replay": "propersim_env.agents.users.replay:ReplayUser",
}
ASSISTANTS: dict[str, str] = {
    "silent": "propersim_env.agents.assistants.scripted:Silent",
    "always": "propersim_env.agents.assistants.scripted:Always",
    "random": "propersim_env.agents.assistants.scripted:Random",
    "fixed-rate": "propersim_env.agents.assistants.scripted:FixedRate",
    "rate-matched": "propersim_env.agents.assistants.scripted:RateMatched",
    "schedule": "propersim_env.agents.assistants.oracles:BestSchedule",
    "oracle": "propersim_env.agents.assistants.oracles:Oracle",
    "expected-oracle": "propersim_env.agents.assistants.oracles:ExpectedOracle",
    "timing-oracle": "propersim_env.agents.assistants.oracles:TimingOracle",
    "content-oracle": "propersim_env.agents.assistants.oracles:ContentOracle",
    "proper": "propersim_env.agents.assistants.proper.assistant:ProPerAssistant",
    "llm": "propersim_env.agents.assistants.llm:LLMAssistant",
    "linucb": "propersim_env.baselines.linucb:LinUCB",
    "linear-thompson": "propersim_env.baselines.thompson:LinearThompson",
    "thompson-pooled": "propersim_env.baselines.thompson:Thompson",
    "deep-rl": "propersim_env.baselines.deep_rl:DeepRL",
}
Specification = str | type | Callable[..., Any] | object


def _entries(group: str, builtin: Mapping[str, str]) -> dict[str, str]:
    return {**{e.name: e.value for e in entry_points(group=group)}, **builtin}


def user_names() -> dict[str, str]:
    """Registered users: name to import path."""
    return _entries("propersim.users", USERS)


def assistant_names() -> dict[str, str]:
    """Registered assistants: name to import path."""
    return _entries("propersim.assistants", ASSISTANTS)


def _resolve(what: str, spec: Specification, names: Mapping[str, str]) -> Any:
    if not isinstance(spec, str):
        return spec
    if spec in names:
        return import_object(names[spec])
    if ":" in spec:
        return import_object(spec)
    raise ValueError(
        f"unknown {what} {spec!r}: {near_matches(spec, names)}; or an import path such as my_package.module:Name "
        f"or folder/file.py:Name"
    )


def _build(what: str, spec: Specification, target: Any, options: Mapping[str, Any]) -> Any:
    try:
        inspect.signature(target).bind(**options)
    except TypeError as error:
        accepted = [p for p in inspect.signature(target).parameters if p != "self"]
        raise ValueError(f"{what} {spec!r} cannot take the options {dict(options)}: {error}; it accepts: "
                         f"{', '.join(accepted) or 'none'}") from error
    return target(**options)


class FunctionAssistant:
    """An assistant made of a plain function ``observation -> text``."""

    def __init__(self, function: Callable[[str], str]) -> None:
        self.function = function

    def reset(self, seed: int) -> None:
        """Nothing to reset: a function has no state of its own."""

    def act(self, observation: str) -> str:
        """Ask the function."""
        return self.function(observation)


def make_assistant(spec: Specification, **options: Any) -> Assistant:
    """Build an assistant.

    Args:
        spec: Registered name, import path ``"module:Name"`` or ``"file.py:Name"``, class, plain function of one
            argument, or an assistant, which is returned as it is.
        options: Keyword arguments of the class.

    Raises:
        ValueError: Unknown name (near matches are listed) or options it does not take.
        TypeError: What was named is no assistant.

    Example:
        >>> make_assistant(lambda observation: "").act("…")
        ''
    """
    target = _resolve("assistant", spec, assistant_names())
    if isinstance(target, type):
        target = _build("assistant", spec, target, options)
    elif options:
        raise ValueError(f"assistant {spec!r} is not a class and takes no options, got {sorted(options)}")
    if hasattr(target, "act"):
        if not hasattr(target, "reset"):
            raise TypeError(f"assistant {spec!r} has act() but no reset(seed): add one, even if it does nothing")
        return target  # type: ignore[no-any-return]
    if callable(target):
        return FunctionAssistant(target)
    raise TypeError(f"{spec!r} is no assistant: it needs act(observation) -> str, or must be a function of one argument")


def check_rating(rating: Any) -> Rating:
    """The rating, if it is one that the machine can take.

    Raises:
        TypeError, ValueError: Naming what is wrong with it.
    """
    if not isinstance(rating, Rating):
        raise TypeError(f"a user must rate with a Rating, got {type(rating).__name__}: {rating!r:.80}")
    if not 0 <= rating.marks <= ALL_MARKS:
        raise ValueError(f"marks={rating.marks} is no bit mask of four marks, 0..15")
    if rating.reaction not in REACTIONS:
        raise ValueError(f"reaction={rating.reaction!r}: choose one of {', '.join(REACTIONS)}")
    return rating


def check_turn(turn: Any, earliest: int) -> UserTurn:
    """The turn, if it is one that the machine can take.

    Raises:
        TypeError, ValueError: Naming what is wrong with it.
    """
    if not isinstance(turn, UserTurn):
        raise TypeError(f"a user must return a UserTurn, got {type(turn).__name__}: {turn!r:.80}")
    if turn.tick < earliest:
        raise ValueError(f"the turn is at tick {turn.tick}; time must go on, at least to tick {earliest}")
    rating = turn.rating
    if rating is not None:
        check_rating(rating)
        json.dumps([dict(rating.reasons), dict(rating.terms)], allow_nan=False)  # what the log will have to write
    return turn


class UserList:
    """Several single users as one batch, for users that cannot be vectorised."""

    def __init__(self, users: Sequence[UserAgent]) -> None:
        self.users = list(users)
        self._turns: list[UserTurn] = [UserTurn(None, Activity("", ""), 0)] * len(self.users)
        self._activities = [Activity("", "")] * len(self.users)

    def reset(self, i: int, persona: Persona, seed: int) -> UserTurn:
        """Begin an episode in home i."""
        self._turns[i] = turn = check_turn(self.users[i].reset(persona, seed), 0)
        self._activities[i] = turn.activity
        return turn

    def act(self, heard: Sequence[str], active: NDArray[np.bool_] | None = None) -> UserTurns:
        """One turn in each active home; a user that fails does not stop the others."""
        faults: dict[int, BaseException] = {}
        for i, user in enumerate(self.users):
            if active is None or active[i]:
                try:
                    self._turns[i] = check_turn(user.act(heard[i]), self._turns[i].tick + 1)
                except (Exception, SystemExit, AgentTimeout) as error:
                    faults[i] = error
        turns = gather(self._turns, self._activities)
        turns.faults = faults
        return turns

    def rate(self, i: int, text: str) -> Rating:
        """Judge a candidate in home i."""
        rate = getattr(self.users[i], "rate", None)
        if rate is None:
            raise TypeError(f"{type(self.users[i]).__name__} cannot rate candidates that were not delivered")
        rating: Rating = rate(text)
        return rating

    def explain(self, i: int, text: str) -> Explanation:
        """Why home i would rate a candidate as it would."""
        explained: Explanation = capability(self.users[i], "explain")(text)
        return explained

    def what_if(self, i: int, text: str, **changes: Any) -> WhatIf:
        """How home i would rate a changed decision."""
        answer: WhatIf = capability(self.users[i], "what_if")(text, **changes)
        return answer

    def best_moment(self, i: int, text: str, **limits: Any) -> WhatIf:
        """The best moment for a text in home i."""
        answer: WhatIf = capability(self.users[i], "best_moment")(text, **limits)
        return answer

    def resident(self, i: int) -> Any:
        """Privileged access to the resident of home i, for oracles."""
        resident = getattr(self.users[i], "resident", None)
        if resident is None:
            raise TypeError(f"{type(self.users[i]).__name__} has no resident(): oracles cannot be bound to it")
        return resident()

    def get_state(self, i: int) -> dict[str, Any]:
        """State of home i."""
        user = self.users[i]
        if not hasattr(user, "get_state"):
            raise TypeError(f"{type(user).__name__} has no get_state(): it cannot be branched")
        state: dict[str, Any] = user.get_state()
        return state

    def set_state(self, i: int, state: Mapping[str, Any]) -> None:
        """Restore home i."""
        self.users[i].set_state(state)  # type: ignore[attr-defined]


def make_user(spec: Specification = "simulated", **options: Any) -> UserAgent:
    """Build one user agent: by registered name, import path, class, or an object, which is returned as it is."""
    target = _resolve("user", spec, user_names())
    if isinstance(target, type):
        target = _build("user", spec, target, options)
    if not (hasattr(target, "act") and hasattr(target, "reset")):
        raise TypeError(f"{spec!r} is no user: it needs reset(persona, seed) and act(heard), both returning a UserTurn")
    return target  # type: ignore[no-any-return]


def make_users(spec: Specification = "simulated", n: int = 1, **options: Any) -> UserBatch:
    """Build users for n homes: vectorised where the class has a ``batch(n, **options)``, else n single ones."""
    target = _resolve("user", spec, user_names())
    if hasattr(target, "batch"):
        _build_check = inspect.signature(target)
        try:
            _build_check.bind(**options)
        except TypeError as error:
            accepted = ", ".join(_build_check.parameters)
            raise ValueError(f"user {spec!r} cannot take the options {options}: {error}; it accepts: {accepted}") from error
        batch: UserBatch = target.batch(n, **options)
        return batch
    if not isinstance(target, type) and n > 1:
        raise ValueError(f"one user object cannot live in {n} homes: pass its class or import path")
    return UserList([make_user(target, **options) for _ in range(n)])
