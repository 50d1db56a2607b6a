"""``propersim check``: does my agent honour the contract?"""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import gymnasium as gym

from propersim_env.checks.findings import Finding
from propersim_env.cli.console import OUT, add_common, key_value, print_json
from propersim_env.cli.layout import hanging
from propersim_env.names import import_object
from propersim_env.persona import select_personas
from propersim_env.registry import assistant_names, user_names

EPILOG = """\
examples:
  propersim check my_file.py:MyAssistant          your own assistant: a class, or a function observation -> text
  propersim check my_file.py:MyAssistant --quick  few decisions, for what is slow or costs money
  propersim check random:p=0.02 --days 3 --personas p03,p07,p12
  propersim check simulated                       a user agent
  propersim check my_file.py:MyUser --as user --user-option mood=2
  propersim check env                             our environments, with the checkers of Gymnasium and PettingZoo
  propersim check my_package:make_env --as env    an environment of yours, by id or by what makes it

What is checked for an assistant: it can be built, reset and asked; says texts only; survives odd observations; decides the
same for the same seed and by its observations alone; its state, where it has one, holds everything; learn() is accepted; how
fast it is; how often it speaks against what is wanted, and what that earns.

Exit status: 0 no error (warnings are allowed), 1 an error, 2 bad input.
"""
STYLES = {"warning": "yellow", "error": "bold red"}


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "check", help="check that an agent honours its contract", epilog=EPILOG,
        description="Try an assistant, a user or an environment; say what is wrong, why it matters and how to mend it.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("spec", metavar="SPEC", help="a registered name, module:Name, folder/file.py:Name, or env")
    parser.add_argument("--as", dest="part", choices=("assistant", "user", "env"),
                        help="what it is; default: found out from the name or the signature of reset()")
    parser.add_argument("--personas", help="with whom it is tried; default: three with low, middling and high rates")
    parser.add_argument("--days", type=int, default=2, help="days of the longest trial; default: 2")
    parser.add_argument("--seed", type=int, default=0, help="seed of everything; default: 0")
    parser.add_argument("--quick", action="store_true", help="few decisions; leaves out the trial of rate and utility")
    parser.add_argument("--user-option", type=key_value, action="append", default=[], metavar="KEY=VALUE",
                        help="option of a user; may be repeated")
    parser.add_argument("--setting", default="house", help="name of a setting, or path of its folder; default: house")
    add_common(parser)
    parser.set_defaults(execute=run)


def run(options: argparse.Namespace) -> int:
    """Execute the command."""
    if options.days < 1 or options.seed < 0:
        raise ValueError(f"--days {options.days} --seed {options.seed}: days must be at least 1 and the seed at least 0")
    options.interrupted = "stopped; what follows was not checked"
    part = options.part or part_of(options.spec)
    if options.user_option and part != "user":
        raise ValueError("--user-option is for users; options of an assistant follow its name, e.g. random:p=0.02")
    findings = []
    if not options.json:
        kind = {"assistant": "an assistant", "user": "a user", "env": "an environment"}[part]
        OUT.print(f"checking {options.spec} as {kind}", style="bold", soft_wrap=True)
    for finding in _findings(options, part):
        findings.append(finding)
        if not options.json:
            _show(finding)
    errors = sum(f.level == "error" for f in findings)
    if options.json:
        print_json({"spec": options.spec, "as": part, "ok": not errors, "findings": [asdict(f) for f in findings]})
    else:
        _closing(findings, errors)
    return 1 if errors else 0


def part_of(spec: str) -> str:
    """What a specification names: ``"assistant"``, ``"user"`` or ``"env"``."""
    name = spec.partition(":")[0]
    if spec == "env" or spec in gym.registry:
        return "env"
    if name in assistant_names() or name in user_names():
        return "assistant" if name in assistant_names() else "user"
    if ":" not in spec:
        return "assistant"  # whose builder lists near matches
    try:
        target = import_object(":".join(spec.split(":")[:2]))
    except Exception:
        return "assistant"  # the check says why it cannot be built
    if isinstance(target, type) and issubclass(target, gym.Env):
        return "env"
    reset = getattr(target, "reset", None)
    taken = [p for p in inspect.signature(reset).parameters if p != "self"] if callable(reset) else []
    return "user" if len(taken) == 2 else "assistant"


def _findings(options: argparse.Namespace, part: str) -> Iterator[Finding]:
    from propersim_env.checks import check_assistant, check_environment, check_user
    from propersim_env.checks.assistants import typical_personas

    personas = select_personas(options.personas, options.setting, options.seed) if options.personas else []
    if part == "env":
        more: dict[str, Any] = {"persona": personas[0]} if personas else {}
        return check_environment(options.spec, **more, **({} if options.setting == "house" else {"setting": options.setting}))
    personas = personas or typical_personas(options.setting)
    if part == "assistant":
        return check_assistant(options.spec, personas=personas, days=options.days, seed=options.seed, quick=options.quick)
    return check_user(options.spec, persona=personas[0], days=options.days, seed=options.seed,
                      options=dict(options.user_option))


def _show(finding: Finding) -> None:
    def line(text: str, style: str = "") -> None:
        OUT.print(text, style=style, soft_wrap=True)

    detail = f": {finding.found}" if finding.found else ""
    if finding.level in ("ok", "info"):
        line(hanging(f"  {finding.level:<8} ", finding.check + detail), "green" if finding.level == "ok" else "")
        return
    line(f"  {finding.level:<8} {finding.check}", STYLES[finding.level])
    for label, text in (("found", finding.found), ("why", finding.why), ("mend", finding.remedy)):
        if text:
            line(hanging(f"           {label:<6} ", text))


def _closing(findings: list[Finding], errors: int) -> None:
    warned = sum(f.level == "warning" for f in findings)
    passed = sum(f.level == "ok" for f in findings)
    counts = f"{errors} error{'s' * (errors != 1)}, {warned} warning{'s' * (warned != 1)}, {passed} passed"
    verdict = "not ready" if errors else "ready" + (", but see the warnings" if warned else "")
    OUT.print(f"{verdict}: {counts}", style="bold red" if errors else "bold green")
