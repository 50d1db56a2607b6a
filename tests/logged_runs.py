"""Small real runs for the tests of what is made of logs."""

import hashlib
import json

from propersim_env.evaluation.runner import RunPlan, execute, prepare
from propersim_env.evaluation.units import RunConfig
from propersim_env.persona import select_personas

AGENTS = '''
from dataclasses import replace

from propersim_env.agents.users.simulated import SimulatedUser
from propersim_env.messages import UserTurn


class Own:
    """Speaks at every 45th decision, has others rated at every 20th, and notes what it learned."""

    texts = ("Would you like a slow walk round the pond before lunch, then tea?", "Bake bread \\U0001F35E\\x00 for \\u05d4",
             "Ring your oldest friend and laugh about school for a quarter of an hour.")

    def reset(self, seed):
        self.ticks = 0

    def act(self, observation):
        self.ticks += 1
        return self.texts[self.ticks // 45 % 3] if self.ticks % 45 == 0 else ""

    def alternatives(self):
        return ["", self.texts[self.ticks // 20 % 3], "Some tea?"] if self.ticks % 20 == 0 else []

    def learn(self, events):
        self.known = len(events)

    def notes(self):
        return {"known": self.known}


class Moody:
    """Does not say what it thinks of every third text that it hears."""

    def __init__(self):
        self.user, self.heard = SimulatedUser(), 0

    def reset(self, persona, seed):
        return self.user.reset(persona, seed)

    def act(self, heard):
        turn = self.user.act(heard)
        self.heard += bool(heard)
        if heard and self.heard % 3 == 0:
            return UserTurn(None, turn.activity, turn.tick, failure="moody", diary=turn.diary)
        return turn


class Strict:
    """Lives as the simulated user does, and gives no text its mark for timing; cannot say what it did not hear."""

    def __init__(self):
        self.user = SimulatedUser()

    def reset(self, persona, seed):
        return self.user.reset(persona, seed)

    def act(self, heard):
        turn = self.user.act(heard)
        return replace(turn, rating=replace(turn.rating, marks=turn.rating.marks & ~2)) if heard else turn
'''


def make_run(folder, assistants, personas="3", days=2, **options):
    plan = RunPlan(folder, tuple(assistants), tuple(select_personas(personas)), (0,), RunConfig(days, **options))
    assert execute(plan, prepare(plan)) == []
    return folder


def seal(path):
    """Give an edited log the checksum of what it holds now."""
    data = path.read_bytes()
    body = data[: data.rstrip(b"\n").rfind(b"\n") + 1]
    end = json.loads(data[len(body) :])
    end["sha256"] = hashlib.sha256(body).hexdigest()
    path.write_bytes(body + json.dumps(end, separators=(",", ":")).encode() + b"\n")
