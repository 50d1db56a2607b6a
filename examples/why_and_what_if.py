"""Why was that rated so, and what if? An explanation of a rating, part by part, and counterfactuals of it.

``explain`` says what the margin of each mark adds up from. ``what_if`` rates a changed decision exactly as a branch of the
environment would: later, shorter, in another tone, on another topic, with other noise. Nothing is delivered. Both know the
resident, so they are for studies and for learning from logs; an assistant that is compared with others must not ask.

Run it: ``python examples/why_and_what_if.py``. A decision in a log is explained by the command ``propersim explain``.
"""

from __future__ import annotations

import propersim_env
from propersim_env.clock import tick_of, time_text

MOMENT = tick_of("12:30")
TEXT = "Let your neck go soft and roll your shoulders back ten times, my dear; the booth can wait."


def main() -> None:
    """Explain one text at one moment, ask what if, and count how often chance would have decided otherwise."""
    env = propersim_env.ProPerSimEnv(persona="p01", days=1)
    env.reset(seed=0)
    while env.machine.tick[0] < MOMENT:
        env.step("")
    print(env.explain(TEXT))

    print("\nwhat if it came 20 minutes later?")
    print(env.what_if(TEXT, minutes_later=20))
    print("\nwhat if it came 20 minutes later, in a formal tone?")
    print(env.what_if(TEXT, minutes_later=20, tone="formal"))

    best = env.best_moment(TEXT, within_minutes=180)
    print(f"\nbest moment: {time_text(best.tick)}, {best.rating.total} of 4")

    fresh = [env.what_if(TEXT, noise=n).rating.total for n in range(1, 51)]
    print(f"rated 50 times with fresh noise: {sum(fresh) / len(fresh):.2f} of 4 on average, from {min(fresh)} to {max(fresh)}")


if __name__ == "__main__":
    main()
