"""How honest the predicted waits are: ``python -m tests.bench.bench_eta [seeds]``.

Plays shifts of mixed work (``tests.broker.shift``) through the broker's core and prints, for each: how many of the
starts that were foretold fell into the interval that was told first, how many came before and behind it, how wide it
was beside the wait, and for what part of their waits jobs were said to start any moment. Nine of ten is the promise;
ends with 1 where fewer than 85 or more than 97 of a hundred hold, or more than a tenth of the time was any moment.
"""

import random
import statistics
import sys
import time

from tests.broker.shift import SHIFTS, Shift, Told, share


def main(seeds: int) -> int:
    """Measure and judge."""
    wrong = 0
    print('shift     starts   held  before  behind  width p50  wait p50  width/wait  “any moment”')
    for name, shift in SHIFTS.items():
        told: list[Told] = []
        began = time.perf_counter()
        for seed in range(seeds):
            machines, jobs = shift(random.Random(seed))
            told += Shift(machines).play(jobs)
        held = share(told, lambda each: each.held)
        before = share(told, lambda each: each.at < each.earliest_at)
        width, wait = (statistics.median(values) for values in ([t.width_s for t in told], [t.waited_s for t in told]))
        soon = sum(each.soon_s for each in told) / sum(each.waited_s for each in told)
        print(
            f'{name:9}{len(told):7}{held:7.1%}{before:8.1%}{1 - held - before:8.1%}{width:9.1f} s{wait:8.1f} s'
            f'{sum(t.width_s for t in told) / sum(t.waited_s for t in told):12.2f}{soon:14.1%}'
            f'   ({time.perf_counter() - began:.0f} s)',
            flush=True,
        )
        wrong += not 0.85 <= held <= 0.97 or soon > 0.1
    return int(wrong > 0)


if __name__ == '__main__':
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 3))
