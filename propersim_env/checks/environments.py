"""Does an environment pass the checkers of Gymnasium and PettingZoo? Text spaces are known to both; their hints are not."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from typing import Any

import gymnasium as gym

from propersim_env.checks.findings import Finding, problem_text
from propersim_env.names import import_object
from propersim_env.two_agent import env as aec_env
from propersim_env.two_agent import parallel_env, raw_env

CYCLES = 60
EXPECTED = (
    "Observation is not a NumPy array",
    "Observation space for each agent probably should be gymnasium.spaces.box or gymnasium.spaces.discrete",
    "Action space for each agent probably should be gymnasium.spaces.box or gymnasium.spaces.discrete",
)
"""Hints that take spaces for arrays: our observations and actions are text on purpose."""


def check_environment(spec: str | Callable[..., Any] = "env", **options: Any) -> Iterator[Finding]:
    """Check an environment with the public checkers.

    Args:
        spec: ``"env"`` for all views of ProPerSim; a Gymnasium id; an import path or a callable that makes an environment.
        options: Of the environment, e.g. ``persona="p07"``.

    Yields:
        Findings; hints that only apply to arrays are left out.
    """
    if spec == "env":
        options = {"days": 1, **options}
        yield from _gymnasium(lambda: gym.make("ProPerSim-v0", **options))
        yield from _pettingzoo(
            lambda: aec_env(**options, max_cycles=CYCLES), lambda: parallel_env(**options, max_cycles=CYCLES),
            lambda: raw_env(**options, max_cycles=CYCLES),
        )
        return
    try:
        make = _factory(spec, options)
        made = make()
    except (Exception, SystemExit) as error:
        yield Finding("error", "can be built", problem_text(error), "nothing can be checked without it",
                      "give 'env', a registered id such as ProPerSim-v0, or module:factory")
        return
    yield Finding("ok", "can be built", f"{made}")
    if hasattr(made, "possible_agents") and hasattr(made, "agent_iter"):
        yield from _pettingzoo(make, None, make)
    else:
        yield from _gymnasium(make)


def _factory(spec: str | Callable[..., Any], options: dict[str, Any]) -> Callable[[], Any]:
    if callable(spec):
        return lambda: spec(**options)
    if ":" in spec:
        target = import_object(spec)
        return lambda: target(**options)
    return lambda: gym.make(spec, **options)


def _tried(check: str, run: Callable[[], Any]) -> Iterator[Finding]:
    """Run one checker; its prints are dropped, its unexpected warnings become findings."""
    with warnings.catch_warnings(record=True) as caught, redirect_stdout(io.StringIO()):
        warnings.simplefilter("always")
        try:
            run()
        except Exception as error:
            yield Finding("error", check, problem_text(error), "other libraries rely on what this checker demands",
                          "run it alone to see the traceback")
            return
    hints = {str(w.message).replace("\x1b[33m", "").replace("\x1b[0m", "").removeprefix("WARN: ") for w in caught}
    kept = sorted(h for h in hints if not any(part in h for part in EXPECTED))
    for hint in kept:
        yield Finding("warning", check, hint, "a hint of the checker", "see its documentation")
    if not kept:
        yield Finding("ok", check, "passed" + (f" ({len(hints)} hints for arrays left out)" if hints else ""))


def _gymnasium(make: Callable[[], Any]) -> Iterator[Finding]:
    from gymnasium.utils.env_checker import check_env

    def run() -> None:
        made = make()
        try:
            check_env(made.unwrapped, skip_render_check=True)
        finally:
            made.close()

    yield from _tried("gymnasium check_env", run)


def _pettingzoo(make: Callable[[], Any], parallel: Callable[[], Any] | None, raw: Callable[[], Any]) -> Iterator[Finding]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its tests import games that announce their deprecation
            from pettingzoo.test import (  # type: ignore[import-untyped]
                api_test,
                parallel_api_test,
                parallel_seed_test,
                seed_test,
            )
    except ImportError as error:
        yield Finding("warning", "pettingzoo tests", f"not run: {problem_text(error)}", "its tests import its games",
                      'pip install "pettingzoo[classic]"')
        return
    yield from _tried("pettingzoo api_test", lambda: api_test(make(), num_cycles=CYCLES))
    yield from _tried("pettingzoo seed_test", lambda: seed_test(raw, num_cycles=CYCLES))
    if parallel is not None:
        yield from _tried("pettingzoo parallel_api_test", lambda: parallel_api_test(parallel(), num_cycles=CYCLES))
        yield from _tried("pettingzoo parallel_seed_test", lambda: parallel_seed_test(parallel, num_cycles=CYCLES))
