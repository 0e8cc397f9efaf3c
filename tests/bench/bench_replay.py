"""How long it takes to play a synthetic week of jobs under each order, and what comes of it.

``python -m tests.bench.bench_replay [jobs]`` makes them up from a seed: users of whom some ask much more than others,
four models on three workers, days with rush hours. Beside it runs what a bare simulation of the same week needs.
"""

import heapq
import math
import random
import sys
import time

from broker import rehearsal

WEEK_S, DAY_S = 604_800.0, 86_400.0
SLOTS = {'gpu-a:1': 3, 'gpu-b:1': 3, 'gpu-c:1': 2}
MODELS = ('qwen3:8b', 'qwen3:32b', 'llama3.3:70b', 'gemma3:4b')


def week(jobs: int, seed: int = 7, busy: float = 0.6) -> list[rehearsal.Recorded]:
    """Jobs of a week that the machines can just bear; the rush hours they cannot."""
    chance = random.Random(seed)
    mean_s = WEEK_S * sum(SLOTS.values()) * busy / jobs
    moments = sorted(_moment(chance) for _ in range(jobs))
    return [_job(chance, at, mean_s) for at in moments]


def _moment(chance: random.Random) -> float:
    while True:
        at = chance.uniform(0.0, WEEK_S)
        if chance.random() < 0.35 + 0.65 * math.sin(math.pi * (at % DAY_S) / DAY_S) ** 2:
            return at


def _job(chance: random.Random, at: float, mean_s: float) -> rehearsal.Recorded:
    loads = chance.random() < 0.1
    load_s = chance.uniform(4.0, 12.0) if loads else 0.05
    return rehearsal.Recorded(
        ready_at=at,
        waited_s=0.0,
        ran_s=chance.expovariate(1 / mean_s) + load_s,
        load_s=load_s,
        model=chance.choices(MODELS, (5, 3, 1, 4))[0],
        runner='',
        worker=chance.choice(list(SLOTS)),
        user=f'user-{min(30, int(chance.paretovariate(0.8)))}',
        priority=chance.choices((1, 5, 10, 15), (2, 6, 2, 1))[0],
    )


def bare(jobs: list[rehearsal.Recorded]) -> float:
    """One line, several servers, nothing else: the mean wait."""
    free = [0.0] * sum(SLOTS.values())
    waited = 0.0
    for job in jobs:
        start = max(job.ready_at, heapq.heappop(free))
        heapq.heappush(free, start + job.ran_s)
        waited += start - job.ready_at
    return waited / len(jobs)


def main(count: int) -> None:
    """Each order once."""
    jobs = week(count)
    began = time.perf_counter()
    bare(jobs)
    print(f'{"bare":9} {time.perf_counter() - began:6.2f} s')
    whole = time.perf_counter()
    for policy in rehearsal.POLICIES:
        began = time.perf_counter()
        found = rehearsal.rehearse(jobs, policy, slots=SLOTS, resident=2)
        took_s = time.perf_counter() - began
        waits = found.waits
        print(
            f'{policy:9} {took_s:6.2f} s   wait mean {waits.mean_s:7.1f} s, p95 {waits.p95_s:7.1f} s, '
            f'high p95 {found.by_level["high"].p95_s:6.1f} s, {found.loads:6} loads, {found.busy:.0%} busy'
        )
    print(f'{count} jobs under {len(rehearsal.POLICIES)} orders: {time.perf_counter() - whole:.1f} s')


if __name__ == '__main__':
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
