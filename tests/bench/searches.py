"""The search for the best split on many scripted clusters: on seeds of which no constant knows.

    python -m tests.bench.searches [--bases 10000,20000,30000] [--count 200]

Prints for each base how many of its clusters ended at 0.97 of their best or more within six launches, and the worst.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter

from tests.domain.test_tuning import search


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bases", default="10000,20000,30000")
    parser.add_argument("--count", type=int, default=200)
    options = parser.parse_args()
    for base in map(int, options.bases.split(",")):
        begun_s = time.process_time()
        found = {seed: search(seed) for seed in range(base, base + options.count)}
        good = sum(one.share >= 0.97 for one in found.values())
        worst = sorted(found, key=lambda seed: found[seed].share)[:12]
        launches = Counter(one.launches for one in found.values())
        print(
            f"{base}: {good} of {len(found)} ({good / len(found):.1%}) at 0.97 or more; launches "
            f"{dict(sorted(launches.items()))}; least against the start "
            f"{min(one.against_start for one in found.values()):.3f}; worst "
            f"{', '.join(f'{seed} {found[seed].share:.3f}' for seed in worst)}; {time.process_time() - begun_s:.0f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
