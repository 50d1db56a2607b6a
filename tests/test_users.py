"""The users that are not simulated: a person at a terminal, and a recorded episode."""

from __future__ import annotations

import io
import json
from pathlib import Path

import gymnasium as gym
import pytest

import propersim_env  # noqa: F401  (registers the environments)
from propersim_env.agents.users.human import HumanUser, InputEnded, parse_marks, printable
from propersim_env.agents.users.replay import NOT_IN_LOG, ReplayUser
from propersim_env.log import LogError, read_episode
from propersim_env.messages import Rating
from propersim_env.persona import load_persona
from propersim_env.registry import make_assistant, make_user

TEXT = "How about a cup of tea and a riddle?"


def person(answers: str) -> tuple[HumanUser, io.StringIO]:
    screen = io.StringIO()
    return HumanUser(source=io.StringIO(answers), target=screen), screen


# --- a person --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "marks"),
    [("all", 15), ("none", 0), ("p", 1), ("pt", 3), ("c, f", 12), ("PTFC", 15), ("pp", 1), ("", None), ("px", None)],
)
def test_marks_are_typed_as_letters(answer: str, marks: int | None) -> None:
    assert parse_marks(answer) == marks


def test_a_person_rates_what_is_said() -> None:
    user, screen = person("pt\na\nI was thirsty\n")
    first = user.reset(load_persona("p01"), 0)
    turn = user.act(TEXT)
    assert first.rating is None
    assert turn.tick == first.tick + 1
    assert turn.rating == Rating(3, "accept", {"overall": "I was thirsty"}, turn.rating.terms if turn.rating else {})
    assert turn.rating and turn.rating.terms["by"] == "person"
    assert TEXT in screen.getvalue()


def test_an_empty_answer_is_asked_again_and_never_a_rating() -> None:
    user, screen = person("\n?\nxyz\nnone\n\nd\n\n")
    user.reset(load_persona("p01"), 0)
    turn = user.act(TEXT)
    assert turn.rating and (turn.rating.total, turn.rating.reaction) == (0, "dismiss")
    assert screen.getvalue().count("marks?") == 4


def test_silence_is_not_asked_but_rated_by_the_simulated_user() -> None:
    user, screen = person("")
    simulated = make_user("simulated")
    user.reset(load_persona("p01"), 0)
    simulated.reset(load_persona("p01"), 0)
    for _ in range(500):
        turn, other = user.act(""), simulated.act("")
        assert turn.rating and other.rating
        assert turn.rating.marks == other.rating.marks
        assert turn.rating.terms["by"] == "simulated"
        assert (turn.tick, turn.activity, turn.diary) == (other.tick, other.activity, other.diary)
    assert "marks?" not in screen.getvalue()


def test_the_end_of_input_is_an_error_and_no_rating() -> None:
    user, _ = person("all\n")
    user.reset(load_persona("p01"), 0)
    with pytest.raises(InputEnded, match="input ended"):
        user.act(TEXT)


def test_a_person_can_dismiss_the_assistant_for_good() -> None:
    user, _ = person("none\nx\n\n")
    env = gym.make("ProPerSimLive-v0", persona="p01", days=1, user=user).unwrapped
    env.reset(seed=0)
    _, reward, terminated, _, _ = env.step(TEXT)
    assert (reward, terminated) == (0.0, True)


def test_what_is_shown_cannot_steer_the_terminal() -> None:
    assert printable("a\x1b[2Jb\ud800\nc") == "a�[2Jb�\nc"
    user, screen = person("none\ni\n\n")
    user.reset(load_persona("p01"), 0)
    user.act("\x1b]0;owned\x07 \ud800")
    assert "\x1b]0" not in screen.getvalue()


def test_a_need_that_the_person_says_was_met_is_served() -> None:
    user, _ = person("all\na\n\n" * 40)
    user.reset(load_persona("p01"), 0)
    oracle = make_assistant("oracle")
    oracle.reset(0)
    oracle.bind(user.resident)  # type: ignore[attr-defined]
    served: list[int] = []
    for _ in range(350):
        rating = user.act(oracle.act("")).rating
        assert rating
        served += rating.terms.get("serves", [])
    assert served


def test_a_persons_episode_can_be_branched() -> None:
    user, _ = person("all\na\n\n" * 4)
    user.reset(load_persona("p01"), 0)
    user.act(TEXT)
    state = json.loads(json.dumps(user.get_state()))
    ahead = [user.act("").tick for _ in range(20)]
    other, _ = person("")
    other.reset(load_persona("p01"), 0)
    other.set_state(state)
    assert [other.act("").tick for _ in range(20)] == ahead


# --- a recording -----------------------------------------------------------------------------------------------------

Step = tuple[str, int, float, str]


def episode(folder: Path, user: str = "simulated", every: int = 45, days: int = 2, **options: str) -> list[Step]:
    """Observation, tick, reward and reaction of each decision of an assistant that speaks at every so manieth tick."""
    env = gym.make("ProPerSim-v0", persona="p07", days=days, log_dir=folder, user=user, user_options=options).unwrapped
    observation, info = env.reset(seed=3)
    steps: list[Step] = []
    over = False
    while not over:
        text = f"{TEXT} \ud800" if len(steps) % every == every - 1 else ""
        seen, tick = observation, info["tick"]
        observation, reward, terminated, truncated, info = env.step(text)
        steps.append((seen, tick, reward, info["reaction"]))
        over = terminated or truncated
    return steps


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Step]]:
    folder = tmp_path_factory.mktemp("recording")
    steps = episode(folder)
    return next(folder.glob("events-*.jsonl")), steps


def test_a_replay_is_the_same_episode(recording: tuple[Path, list[Step]], tmp_path: Path) -> None:
    log, steps = recording
    assert episode(tmp_path, "replay", log=str(log)) == steps
    again = read_episode(next(tmp_path.glob("events-*.jsonl")))
    assert again.events == read_episode(log).events


def test_what_the_log_does_not_have_is_never_scored(recording: tuple[Path, list[Step]]) -> None:
    log, steps = recording
    user = ReplayUser(str(log))
    user.reset(load_persona("p07"), 3)
    other = user.act("Something that was not said then")
    assert other.rating is None
    assert other.failure == NOT_IN_LOG
    assert user.act("").rating == Rating(user.decisions[1].marks or 0)
    for _ in range(42):
        user.act("")
    assert user.act("").failure == NOT_IN_LOG  # a text was said there
    assert user.position == 45 < len(steps)


def test_a_differing_assistant_gets_nan_and_a_failure(recording: tuple[Path, list[Step]], tmp_path: Path) -> None:
    log, _ = recording
    steps = episode(tmp_path, "replay", every=44, log=str(log))
    assert any(reward != reward for _, _, reward, _ in steps)
    written = read_episode(next(tmp_path.glob("events-*.jsonl")))
    assert {e["failure"] for e in written.said() if e["marks"] is None} == {NOT_IN_LOG}


def test_a_replay_is_of_the_persona_in_the_log(recording: tuple[Path, list[Step]]) -> None:
    with pytest.raises(ValueError, match="is of persona 'p07'"):
        ReplayUser(str(recording[0])).reset(load_persona("p08"), 3)


def test_a_replay_ends_with_its_log(recording: tuple[Path, list[Step]], tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="days=2"):
        episode(tmp_path, "replay", days=3, log=str(recording[0]))


def test_a_dismissal_is_replayed(tmp_path: Path) -> None:
    user, _ = person("none\nx\n\n")
    env = gym.make("ProPerSimLive-v0", persona="p07", user=user, log_dir=tmp_path).unwrapped
    env.reset(seed=0)
    env.step("")
    env.step(TEXT)
    replay = ReplayUser(str(next(tmp_path.glob("events-*.jsonl"))))
    replay.reset(load_persona("p07"), 0)
    replay.act("")
    last = replay.act(TEXT)
    assert last.dismiss
    assert last.rating and last.rating.terms["by"] == "person"


def test_a_replay_can_be_branched(recording: tuple[Path, list[Step]]) -> None:
    one, other = ReplayUser(str(recording[0])), ReplayUser(str(recording[0]))
    for user in (one, other):
        user.reset(load_persona("p07"), 3)
    for _ in range(10):
        one.act("")
    other.set_state(json.loads(json.dumps(one.get_state())))
    assert other.act("") == one.act("")


def test_logs_that_cannot_be_replayed_are_refused(recording: tuple[Path, list[Step]], tmp_path: Path) -> None:
    torn = tmp_path / "torn.jsonl"
    torn.write_bytes(recording[0].read_bytes()[:-200])
    with pytest.raises(LogError, match="truncated"):
        ReplayUser(str(torn))
    with pytest.raises(ValueError, match="is no file"):
        ReplayUser(str(tmp_path / "none.jsonl"))
    env = gym.make("ProPerSim-v0", days=1, user_options={"follow_through": True}, max_cycles=3, log_dir=tmp_path).unwrapped
    env.reset(seed=0)
    for _ in range(3):
        env.step("")
    with pytest.raises(ValueError, match="follow_through"):
        ReplayUser(str(next(tmp_path.glob("events-*.jsonl"))))
