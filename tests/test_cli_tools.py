"""The commands play, personas and check, as a newcomer meets them."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from propersim_env.checks import check_assistant, check_environment, check_user
from propersim_env.cli import main
from propersim_env.cli.personas import incoherences
from propersim_env.messages import Activity, Rating, UserTurn
from propersim_env.persona import load_persona, persona_from_dict
from propersim_env.setting import load_setting

Type = Callable[[str], None]


@pytest.fixture
def types(monkeypatch: pytest.MonkeyPatch) -> Type:
    """Type some lines on standard input."""
    return lambda text: monkeypatch.setattr("sys.stdin", io.StringIO(text))


def persona_file(folder: Path, **changes: Any) -> Path:
    """The file of p01 with some preferences changed."""
    data = load_persona("p01").to_dict()
    data["preferences"].update(changes)
    path = folder / "mine.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


# --- play ------------------------------------------------------------------------------------------------------------


def test_a_day_as_the_assistant(types: Type, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    types("?\nn\nHow about a cup of tea?\nwhy\n3\n\nu 10:30\nuntil 25:00\nu 9:00\nsay why\n9999\n")
    assert main(["play", "--persona", "p01", "--seed", "1", "--out", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "You are the assistant of Zuleica Monteiro" in shown
    assert "stay silent until the resident does something else" in shown
    assert "of 4   preference" in shown
    assert "write u HH:MM" in shown
    assert "it is 10:30 already" in shown
    assert "The end." in shown
    assert "delivered    2 in 1 day" in shown
    assert "the oracle earns" in shown
    assert len(list(tmp_path.glob("events-you-*.jsonl"))) == 1


def test_leaving_early_scores_what_was_played(types: Type, capsys: pytest.CaptureFixture[str]) -> None:
    types("How about a cup of tea?\nq\n")
    assert main(["play", "--json"]) == 0
    printed = capsys.readouterr()
    summary = json.loads(printed.out)
    assert summary["complete"] is False
    assert summary["delivered"] == len(summary["ratings"]) == 1
    assert summary["oracle"] is None
    assert {need["state"] for need in summary["needs"]} <= {"not reached", "served"}
    assert "You are the assistant" in printed.err


def test_a_day_as_the_resident(types: Type, capsys: pytest.CaptureFixture[str]) -> None:
    types("all\na\njust right\n" * 60)
    assert main(["play", "--as", "user", "--persona", "p20", "--assistant", "oracle"]) == 0
    shown = capsys.readouterr().out
    assert "the assistant says:" in shown
    assert "mean rating  4.00 of 4" in shown


def test_a_resident_who_leaves_gets_an_error_and_the_score_so_far(types: Type, capsys: pytest.CaptureFixture[str]) -> None:
    types("all\na\n\n")
    assert main(["play", "--as", "user", "--assistant", "always"]) == 1
    printed = capsys.readouterr()
    assert "input ended" in printed.err
    assert "delivered    1 in 1 day" in printed.out


def test_two_days_with_an_assistant_that_learns(types: Type, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "learner.py"
    file.write_text(
        "class Learner:\n"
        "    def reset(self, seed): self.days = 0\n"
        "    def act(self, observation): return f'day {self.days}' if ' 12:00.' in observation else ''\n"
        "    def learn(self, events): self.days += len(events) > 300\n"
    )
    types("none\nd\n\n" * 2)
    assert main(["play", "--as", "user", "--days", "2", "--assistant", f"{file}:Learner"]) == 0
    shown = capsys.readouterr().out
    assert "says: day 0" in shown
    assert "says: day 1" in shown


def test_a_kept_game_is_not_overwritten(types: Type, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for expected in (0, 2):
        types("q\n")
        assert main(["play", "--out", str(tmp_path)]) == expected
    assert "choose another folder" in capsys.readouterr().err


# --- personas --------------------------------------------------------------------------------------------------------


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["personas", "list", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert len(rows) == 32
    assert {len(row["traits"]) for row in rows} == {5}
    assert len({row["traits"] for row in rows}) == 32  # the factorial
    assert main(["personas", "list", "p01,p20"]) == 0
    assert "p20" in capsys.readouterr().out


def test_show(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["personas", "show", "p01", "--seed", "2"]) == 0
    shown = capsys.readouterr().out
    for part in ("Zuleica Monteiro", "rubric: Timing", "a simulated day: Thursday", "wants", "> "):
        assert part in shown
    assert main(["personas", "show", "p01", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["persona"] == load_persona("p01").to_dict()


def test_samples_are_valid_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["personas", "sample", "3", "--seed", "5", "--out", str(tmp_path / "people")]) == 0
    files = sorted(map(str, (tmp_path / "people").glob("*.json")))
    assert len(files) == 3
    capsys.readouterr()
    assert main(["personas", "check", *files, "--json"]) == 0
    assert all(result["ok"] for result in json.loads(capsys.readouterr().out))
    assert main(["personas", "sample", "3", "--seed", "5", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == [json.loads(Path(file).read_text(encoding="utf-8")) for file in files]


def test_the_bundled_personas_are_coherent() -> None:
    house = load_setting()
    found = [f"{name}: {text}" for name in house.persona_files() for text in incoherences(load_persona(name, house))]
    assert not found


def test_incoherence_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = load_persona("p01").to_dict()
    night = {**data["preferences"]["wants"][0], "id": "at_night", "from": "03:00", "to": "03:30"}
    laundry = {**data["preferences"]["wants"][0], "id": "asleep", "activities": ["sleep"]}
    timing = data["preferences"]["timing"]
    timing["unwanted"] = [{**timing["wanted"][0], "label": "clash"}]
    path = persona_file(tmp_path, wants=[night, laundry, *data["preferences"]["wants"][2:]], timing=timing)
    assert main(["personas", "check", str(path)]) == 0
    printed = capsys.readouterr()
    assert "ok:" in printed.out
    for part in ("'at_night' (03:00-03:30) lies outside", "overlaps unwanted", "'at_night': ", "'asleep': "):
        assert part in printed.err


def test_a_file_that_cannot_be_used_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = persona_file(tmp_path, topics={"gardning": 1.0})
    assert main(["personas", "check", str(path), str(tmp_path / "none.json")]) == 1
    printed = capsys.readouterr()
    assert "did you mean 'gardening'" in printed.err
    assert "no such file" in printed.err
    assert "0 of 2 files can be used" in printed.out


# --- check -----------------------------------------------------------------------------------------------------------


class Good:
    """Counts its decisions, remembers them, and can be restored."""

    def reset(self, seed: int) -> None:
        self.n = seed % 60

    def act(self, observation: str) -> str:
        self.n += 1
        return "How about a glass of water?" if self.n % 90 == 0 else ""

    def learn(self, events: list[dict[str, Any]]) -> None:
        self.last = [e for e in events if e["rating"] is not None]

    def get_state(self) -> dict[str, Any]:
        return {"n": self.n}

    def set_state(self, state: dict[str, Any]) -> None:
        self.n = state["n"]


class Forgetful(Good):
    """Its state lacks what decides."""

    def set_state(self, state: dict[str, Any]) -> None:
        self.n = 0


class Shared(Good):
    """Keeps its state in the class."""

    n = 0

    def reset(self, seed: int) -> None:
        Shared.n = 0

    def act(self, observation: str) -> str:
        Shared.n += 1
        return "Tea?" if Shared.n % 20 == 0 else ""


class Unseeded(Good):
    """Goes on where another episode stopped."""

    count = 0

    def reset(self, seed: int) -> None:
        Unseeded.count += 1
        self.n = Unseeded.count


class Fragile(Good):
    """Relies on the form of an observation."""

    def act(self, observation: str) -> str:
        return observation.split(", ")[1][:0]


class NoSeed(Good):
    """Takes no seed."""

    def reset(self) -> None:  # type: ignore[override]
        self.n = 0


class Numpyish(Good):
    """Its state is no JSON."""

    def get_state(self) -> dict[str, Any]:
        return {"n": {self.n}}


class Full(Good):
    """Has every optional member."""

    @staticmethod
    def act_together(assistants: Sequence[Any], observations: Sequence[str]) -> list[str]:
        return [assistant.act(observation) for assistant, observation in zip(assistants, observations, strict=True)]

    def alternatives(self) -> Sequence[str]:
        return ["", "A cup of tea?"]

    def learn(self, events: Sequence[Mapping[str, Any]]) -> None:
        assert all("alternatives" in event for event in events)

    def notes(self) -> dict[str, Any]:
        return {"loss": 0.5}

    def keep(self, folder: Path) -> None:
        assert not folder.exists()


class Mixes(Full):
    """Gives the first home what was meant for the second."""

    @staticmethod
    def act_together(assistants: Sequence[Any], observations: Sequence[str]) -> list[str]:
        return [f"For {i}?" for i, _ in enumerate(assistants)]


class Offers(Full):
    """Offers one text in place of several."""

    def alternatives(self) -> Any:
        return "A cup of tea?"


class Notes(Full):
    """Notes what is no JSON."""

    def notes(self) -> dict[str, Any]:
        return {"loss": float("nan")}


class Homeless(Full):
    """Takes no folder."""

    def keep(self) -> None:  # type: ignore[override]
        pass


@pytest.mark.parametrize(
    ("assistant", "level", "check"),
    [
        (Forgetful, "error", "get_state() holds everything"),
        (Shared, "error", "decides by its observations alone"),
        (Unseeded, "error", "is deterministic for a seed"),
        (Fragile, "warning", "survives odd observations"),
        (NoSeed, "error", "reset(seed) works"),
        (Numpyish, "error", "get_state() gives JSON values"),
        (Mixes, "error", "act_together() decides as act() does"),
        (Offers, "error", "alternatives() gives texts"),
        (Notes, "error", "notes() gives JSON values"),
        (Homeless, "error", "keep(folder) works"),
        (lambda observation: None, "error", "act() returns a text"),
        (lambda observation: 1 / 0, "error", "act(observation) works"),
    ],
)
def test_what_is_wrong_with_an_assistant_is_found_and_taught(assistant: Any, level: str, check: str) -> None:
    finding = next(f for f in check_assistant(assistant, personas=[load_persona("p20")], days=1) if f.check == check)
    assert finding.level == level
    assert finding.found and finding.why and finding.remedy


def test_a_good_assistant_passes() -> None:
    findings = list(check_assistant(Good, personas=[load_persona("p20")]))
    assert not [f for f in findings if f.level in ("warning", "error")]
    assert any(f.check == "rate and utility" and "wants" in f.found for f in findings)


def test_optional_members_are_checked() -> None:
    found = {f.check: f for f in check_assistant(Full, personas=[load_persona("p20")], days=2)}
    for check in ("act_together() decides as act() does", "notes() gives JSON values", "keep(folder) works"):
        assert found[check].level == "ok"
    assert not found["alternatives() gives texts"].found.startswith("0 ")


def test_check_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.py"
    file.write_text("def quiet(observation):\n    return ''\n\ndef broken(observation):\n    return 3\n")
    assert main(["check", f"{file}:quiet", "--quick"]) == 0
    assert "ready: 0 errors" in capsys.readouterr().out
    assert main(["check", f"{file}:broken", "--quick", "--json"]) == 1
    result = json.loads(capsys.readouterr().out)
    assert result["as"] == "assistant"
    assert result["findings"][-1]["found"].startswith("int 3 at tick")
    assert main(["check", "orcale"]) == 1
    assert "did you mean 'oracle'" in capsys.readouterr().out
    assert main(["check", "oracle", "--quick"]) == 0
    assert "knows the resident" in capsys.readouterr().out


def test_the_simulated_user_passes() -> None:
    findings = list(check_user("simulated"))
    assert not [f for f in findings if f.level in ("warning", "error")]


class Stuck:
    """A user that does several things wrong."""

    deterministic = True
    calls = 0

    def reset(self, persona: Any, seed: int) -> UserTurn:
        return UserTurn(None, Activity("sitting", "kitchen"), 1150)

    def act(self, heard: str) -> Any:
        Stuck.calls += 1
        return UserTurn(None, Activity("sitting", "kitchen"), 1152 if heard else 1150)


class Deaf(Stuck):
    """Raises at what it does not understand."""

    def act(self, heard: str) -> Any:
        if not heard.isascii():
            raise ValueError("what?")
        self.tick = getattr(self, "tick", 0) + 1
        return UserTurn(Rating(15), Activity("sitting", "kitchen"), self.tick)

    def reset(self, persona: Any, seed: int) -> UserTurn:
        return UserTurn(None, Activity("sitting", "kitchen"), 0)


def test_what_is_wrong_with_a_user_is_found_and_taught() -> None:
    errors = {f.check for f in check_user(Stuck) if f.level == "error"}
    assert {"ticks move forward", "ratings are there"} <= errors
    last = list(check_user(Deaf))[-1]
    assert last.level == "error"
    assert "ValueError: what?" in last.found


def test_a_user_is_recognised_by_its_signature(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "user.py"
    file.write_text(
        "from propersim_env.messages import *\n"
        "class User:\n"
        "    def reset(self, persona, seed):\n"
        "        self.tick = 0\n"
        "        return UserTurn(None, Activity('x', 'kitchen'), 0)\n"
        "    def act(self, heard):\n"
        "        self.tick += 1\n"
        "        return UserTurn(Rating(15), Activity('x', 'kitchen'), self.tick)\n"
    )
    assert main(["check", f"{file}:User"]) == 0
    shown = capsys.readouterr().out
    assert "as a user" in shown
    assert "deterministic" in shown


def test_our_environments_pass_the_public_checkers() -> None:
    pytest.importorskip("pygame", reason="the tests of PettingZoo import its games")
    findings = list(check_environment("env"))
    assert [f.level for f in findings] == ["ok"] * 5


def test_an_unknown_environment_is_an_error() -> None:
    assert [f.level for f in check_environment("NoSuchThing-v3")] == ["error"]


def test_my_own_persona_can_be_played_with(types: Type, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = load_persona("p01").to_dict()
    data.update(id="mine", name="Someone Else")
    assert persona_from_dict(data, load_setting()).id == "mine"
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    types("q\n")
    assert main(["play", "--persona", str(path)]) == 0
    assert "Someone Else" in capsys.readouterr().out
