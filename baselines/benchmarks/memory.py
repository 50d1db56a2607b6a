"""How fast ProPerAssistant's memory finds what matters among many records, beside what the memory bus allows, in one run.

    python -m propersim_env.baselines.benchmarks.memory [--records 100000]

Prints the seconds of one retrieval, the bytes of embeddings read in a second, and their share of the bandwidth measured on
the same array: the fastest of a sum, a product with an equal array, and a copy (numpy, one process).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from propersim_env.agents.assistants.proper.memory import Memory, Record
from propersim_env.agents.users.simulated.encoder import Encoder
from propersim_env.setting import load_setting

REPEATS = 30


def fastest(step: Callable[[], Any]) -> float:
    """Seconds of the fastest of several runs."""
    best = float("inf")
    for _ in range(REPEATS):
        start = time.perf_counter()
        step()
        best = min(best, time.perf_counter() - start)
    return best


def measure(records: int = 100_000) -> dict[str, float]:
    """Seconds of a retrieval, gigabytes a second, and the share of the measured bandwidth."""
    texts = [t.text for t in load_setting().catalogue]
    memory = Memory(Encoder.load())
    memory.extend([Record(i, "cooking a stew", texts[i % len(texts)], i % 5) for i in range(records)])
    table = np.ascontiguousarray(memory.embeddings)
    flat, other, size = table.ravel(), table.ravel().copy(), table.nbytes
    bandwidth = max(size / fastest(flat.sum), 2 * size / fastest(lambda: flat @ other), 2 * size / fastest(flat.copy))
    seconds = fastest(lambda: memory.retrieve("stirring a pot of soup", k=3))
    return {"records": records, "retrieval_seconds": seconds, "gigabytes_per_second": size / seconds / 1e9,
            "share_of_bandwidth": size / seconds / bandwidth}


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=100_000, help="how many records; default: 100000")
    for name, value in measure(parser.parse_args().records).items():
        print(f"{name}: {value:g}")


if __name__ == "__main__":
    main()
