"""Pictures of a moment: three modes, any text, and the same picture from a restored state."""

import importlib.util
import io
import sys
from dataclasses import replace
from itertools import combinations

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

import propersim_env
from propersim_env.machine import Machine, MachineConfig
from propersim_env.messages import Activity, Rating, UserTurn, gather
from propersim_env.rendering import Scene, clean, render

needs_pillow = pytest.mark.skipif(importlib.util.find_spec("PIL") is None, reason="Pillow is not installed")

EGGS = Activity("whisking eggs", "kitchen", "stove")
LIKED = Rating(13, "accept", {"preference": "Just what I want now.", "timing": "I was in the middle of something."})


def live(persona, said, rating, activity=EGGS, failure=""):
    """The machine of one home in which one thing was said and rated."""
    machine = Machine(1, MachineConfig(days=2))
    machine.begin(0, persona)
    machine.first_turn(0, UserTurn(None, Activity("waking up", "bedroom", "bed"), 168))
    machine.assistant_turn([said])
    machine.user_turn(gather([UserTurn(rating, activity, 170, failure=failure)], [Activity("waking up", "bedroom", "bed")]))
    return machine


def scene_of(persona, said="How about some paprika?", rating=LIKED, **options):
    return Scene.of(live(persona, said, rating, **options), 0)


def test_the_panel_tells_who_does_what_where_and_how_it_was_rated(p01):
    text = render(scene_of(p01), "ansi")
    for part in ("Thursday 13 February 2025", "07:05", p01.name, "whisking eggs", "Kitchen · stove", "07:00  “How about some",
                 "3 of 4, accepted", "✗ timing", "✓ frequency", "Just what I want now."):
        assert part in text


def test_before_the_first_decision_nothing_is_said_or_rated(p01):
    machine = Machine(1, MachineConfig())
    machine.begin(0, p01)
    machine.first_turn(0, UserTurn(None, EGGS, 170))
    scene = Scene.of(machine, 0)
    assert (scene.said_tick, scene.rating) == (None, None)
    assert "has not been asked" in render(scene, "ansi")


def test_an_old_rating_is_not_shown_beside_a_new_text(p01):
    machine = live(p01, "How about some paprika?", LIKED)
    machine.assistant_turn(["Or chives?"])
    scene = Scene.of(machine, 0)
    assert (scene.said, scene.rating, scene.verdict) == ("Or chives?", None, "not rated yet")


def test_silence_shows_its_marks(p01):
    env = gym.make("ProPerSim-v0", persona=p01, days=1, render_mode="ansi")
    env.reset(seed=0)
    env.step("")
    text = env.render()
    assert "stays silent" in text and "of 4" in text and "preference" in text


def test_a_failed_rating_and_a_dismissal_are_shown(p01):
    scene = scene_of(p01, rating=None, failure="timeout")
    assert scene.rating is None
    assert "No rating: timeout." in render(scene, "ansi")
    assert "dismissed for good" in render(replace(scene, ended="dismissed"), "ansi")


def test_human_prints_the_panel(p01, capsys):
    assert render(scene_of(p01), "human") is None
    assert capsys.readouterr().out == render(scene_of(p01), "ansi") + "\n"


def test_human_prints_to_a_terminal_that_knows_ascii_only(p01, monkeypatch):
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", out)
    render(scene_of(p01, said="早上好"), "human")
    printed = out.buffer.getvalue().decode("ascii")
    assert "@ stove" in printed and "+ frequency" in printed and "???" in printed


@needs_pillow
def test_an_image_has_the_promised_form(p01):
    scene = scene_of(p01)
    image = render(scene, "rgb_array")
    assert image.shape == (720, 960, 3) and image.dtype == np.uint8 and image.flags.writeable
    assert np.array_equal(image, render(scene, "rgb_array"))


@needs_pillow
def test_different_moments_give_different_images(p01):
    scene = scene_of(p01)
    others = [
        replace(scene, tick=171), replace(scene, activity=Activity("whisking eggs", "kitchen", "oven")),
        replace(scene, activity=Activity("whisking eggs", "garden")),
        replace(scene, activity=Activity("frying eggs", "kitchen", "stove")),
        replace(scene, said="Or chives?"), replace(scene, said=""), replace(scene, rating=Rating(0, "dismiss")),
        replace(scene, rating=None), replace(scene, persona="Ada"), replace(scene, setting=None),
    ]
    images = [render(s, "rgb_array") for s in [scene, *others]]
    for a, b in combinations(images, 2):
        assert not np.array_equal(a, b)


@needs_pillow
def test_every_object_of_the_house_has_its_place(setting, p01):
    from propersim_env.rendering.layout import overlap, plan_of, within

    plan = plan_of(setting)
    boxes = [label.box for label in (*plan.names.values(), *plan.labels.values())]
    assert set(plan.names) == {room.id for room in setting.rooms}
    assert len(plan.labels) >= len(plan.marks) - 1
    assert all(overlap(a, b) == 0 for a, b in combinations(boxes, 2))
    assert all(within(label.box, plan.rooms[room], 0) for (room, _), label in plan.labels.items())
    for room in setting.rooms:
        for thing in room.objects:
            text = render(scene_of(p01, activity=Activity("here", room.id, thing)), "ansi")
            assert sum("●" in line[:58] for line in text.splitlines()) == 1


HOSTILE = {
    "control characters": "\x1b[2J\x1b]0;title\x07\x00\x08\x9b31m",
    "rich markup": "[bold red]hey[/] [/nothing] [link=x]",
    "lone surrogates": "\ud800\udfff",
    "directions": "\u202eevil\u2066\u200f",
    "lines": "a\nb\r\nc\td\u2028e",
    "piled accents": "a" + "\u0301" * 500,
    "another script": "早上好!Доброе утро 👩‍🍳 שלום नमस्ते",
    "long": "word " * 20_000,
    "one word": "x" * 100_000,
    "blank": " " * 100_000,
}


@needs_pillow
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_any_text_is_shown_safely_wherever_it_comes_from(p01, text):
    rating = Rating(5, "ignore", {"preference": text, "timing": text})
    for activity in (Activity(text, "kitchen", "stove"), Activity(text, text, text), Activity("", "", "")):
        scene = replace(scene_of(p01, said=text, rating=rating, activity=activity, failure=""), failure=text, persona=text)
        check_panel(render(scene, "ansi"))
        assert render(scene, "rgb_array").shape == (720, 960, 3)


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(), max_size=400), st.text(st.characters(), max_size=100))
def test_no_text_breaks_the_frame(said, doing):
    check_panel(render(Scene(None, "Ada", 170, Activity(doing, ""), said, 169), "ansi"))


def check_panel(text):
    lines = text.split("\n")
    assert len(lines) <= 40
    assert all(cell_len(line) == 80 for line in lines)
    assert all(c.isprintable() for line in lines for c in line)
    assert all((line[0] + line[-1]) in ("┌┐", "├┤", "└┘", "││") for line in lines)


def test_clean_keeps_plain_text_and_its_limit():
    assert clean("  plain \n text ", 50) == "plain text"
    assert clean("x" * 60, 50) == "x" * 49 + "…"
    assert clean("\x00", 5) == "�"


def test_without_pillow_one_line_says_what_to_install(p01, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ImportError, match=r'^rendering "rgb_array" needs Pillow: pip install "propersim\[plot\]"$'):
        render(scene_of(p01), "rgb_array")
    assert render(scene_of(p01), "ansi")


def test_an_unknown_mode_is_refused(p01):
    with pytest.raises(ValueError, match=r"'svg'.*'ansi', 'human', 'rgb_array'"):
        render(scene_of(p01), "svg")


@pytest.mark.parametrize("mode", ["ansi", pytest.param("rgb_array", marks=needs_pillow)])
def test_both_views_draw_every_moment_of_a_morning(mode):
    env = gym.make("ProPerSim-v0", persona="p02", days=1, render_mode=mode)
    env.reset(seed=1)
    frames = []
    for text in ("", "Put on some quiet jazz.", "", ""):
        env.step(text)
        frames.append(np.asarray(env.render()))
    assert all(not np.array_equal(a, b) for a, b in combinations(frames, 2))

    two = propersim_env.env(persona="p02", days=1, render_mode=mode)
    two.reset(seed=1)
    two.step(UserTurn(None, EGGS, 170))
    two.step("Put on some quiet jazz.")
    waiting = two.render()
    two.step(UserTurn(LIKED, EGGS, 171))
    assert not np.array_equal(np.asarray(waiting), np.asarray(two.render()))


def test_a_restored_state_gives_the_same_picture():
    env, other = (gym.make("ProPerSim-v0", persona="p02", days=1, render_mode="ansi").unwrapped for _ in range(2))
    env.reset(seed=3)
    env.step("Put on some quiet jazz.")
    other.reset(seed=4)
    other.set_state(env.get_state())
    assert other.render() == env.render()


def test_a_state_restored_before_the_rating_goes_on_the_same():
    views = []
    for _ in range(2):
        views.append(view := propersim_env.raw_env(persona="p02", days=1, render_mode="ansi"))
        view.reset(seed=3)
    views[0].step(UserTurn(None, EGGS, 170))
    views[0].step("Or chives?")
    views[1].set_state(views[0].get_state())
    assert views[1].render() == views[0].render()
    for view in views:
        view.step(UserTurn(LIKED, EGGS, 171))
    assert views[1].render() == views[0].render()
    assert views[1].observe("assistant_0") == views[0].observe("assistant_0")
