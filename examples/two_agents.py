"""Both parts of the dialogue: the PettingZoo environment with a simulated user and an assistant.

The environment itself knows nothing of how a resident behaves: whoever plays ``user_0`` lives the day and rates. Here it is
the simulated user; a language model, a person or a recorded log could play it in the same way.

Run it: ``python examples/two_agents.py``.
"""

from __future__ import annotations

import propersim_env
from propersim_env.clock import time_text


def main() -> None:
    """Play one day of one resident with an assistant that speaks six times a day, and print what was said."""
    env = propersim_env.env(persona="p05", days=1)
    env.reset(seed=0)
    home = env.unwrapped
    user, assistant = propersim_env.make_user("simulated"), propersim_env.make_assistant("fixed-rate", per_day=6)
    assistant.reset(seed=0)
    first, said, heard, ratings = True, "", "", []
    for agent in env.agent_iter():
        observation, reward, terminated, truncated, info = env.last()
        if terminated or truncated:
            env.step(None)
        elif agent == "user_0":
            heard = observation["text"]
            if heard:
                print(f"{time_text(home.machine.tick[0])}  {home.machine.activities[0].text}\n       {heard}")
            env.step(user.reset(home.persona, home.episode_seed) if first else user.act(heard))
            first = False
        else:  # the reward of the assistant's last text, or silence, arrives with its next turn
            ratings.append(reward)
            if said:
                print(f"       {reward:.0f} of 4, {info['reaction']}: {' '.join(info['reasons'].values())}\n")
            said = assistant.act(observation["text"])
            env.step(said)
    print(f"{len(ratings) - 1} waking ticks, mean rating {sum(ratings) / (len(ratings) - 1):.2f}, silence included")


if __name__ == "__main__":
    main()
