"""The real core under a simulated clock, network, workers, clients and disk, all from one seed.

Chaos first: messages are dropped, doubled, delayed and overtaken; workers crash, leave or freeze beyond their lease;
the broker crashes between any two effects, and comes back with another clock; its disk fills up, what is old goes, and
people purge dead jobs or have them done again. Then everything heals, and every acknowledged job must come to its end.
``tests.broker.sim.history`` says what is looked at.

``python -m tests.broker.simulation SEED`` replays one seed and prints its history;
``python -m tests.broker.simulation --minutes 60 [--from SEED]`` goes through seeds on all processors for that long.
"""

import argparse
import itertools
import multiprocessing
import os
import sys
import time

from broker import facts
from tests.broker.sim.history import History
from tests.broker.sim.violation import Violation
from tests.broker.sim.world import World

__all__ = ['History', 'Violation', 'World', 'simulate']


def simulate(seed: int, **options: object) -> History:
    """Run one seed; raises Violation."""
    world = World(seed, **options)  # type: ignore[arg-type]
    world.run()
    return world.history


def replay(seed: int) -> None:
    """Run one seed, print its facts, and what it broke."""
    world = World(seed)
    try:
        world.run()
    finally:
        for fact in world.history.facts:
            print(facts.encode(fact).decode())


def night(minutes: float, first: int) -> int:
    """Seeds from ``first`` on, on all processors, for so long; prints those that fail. How many did."""
    began, seeds, failures = time.monotonic(), 0, 0
    said: multiprocessing.SimpleQueue[tuple[int, str] | None] = multiprocessing.SimpleQueue()
    processors = os.cpu_count() or 1
    watches = [
        multiprocessing.Process(target=_watch, args=(first + number, processors, began + minutes * 60, said))
        for number in range(processors)
    ]
    for watch in watches:
        watch.start()
    going_on = processors
    while going_on:
        told = said.get()
        if told is None:
            going_on -= 1
            continue
        seed, broken = told
        seeds += 1
        if broken:
            failures += 1
            print(f'{broken}\n  {command(seed)}', flush=True)
        if seeds % 1_000 == 0:
            print(_rate(seeds, failures, time.monotonic() - began), flush=True)
    for watch in watches:
        watch.join()
    print(_rate(seeds, failures, time.monotonic() - began))
    return failures


def command(seed: int) -> str:
    """What replays this seed."""
    return f'python -m tests.broker.simulation {seed}'


def _rate(seeds: int, failures: int, seconds: float) -> str:
    return f'{seeds} seeds, {failures} failed, {seeds / seconds:.1f} seeds/s'


def _watch(first: int, stride: int, until: float, said: 'multiprocessing.SimpleQueue[tuple[int, str] | None]') -> None:
    """Every ``stride``-th seed, until the time is over."""
    for seed in itertools.count(first, stride):
        said.put((seed, _broken(seed)))
        if time.monotonic() >= until:
            said.put(None)
            return


def _broken(seed: int) -> str:
    try:
        simulate(seed)
    except Exception as broken:  # whatever it is, the night goes on
        return f'{type(broken).__name__} {broken}'
    return ''


def _main() -> int:
    parser = argparse.ArgumentParser(prog='python -m tests.broker.simulation', description=__doc__)
    parser.add_argument('seed', nargs='?', type=int, help='replay this one')
    parser.add_argument('--minutes', type=float, help='go on for so long')
    parser.add_argument('--from', dest='first', type=int, default=1_000_000, metavar='SEED', help='begin with this one')
    asked = parser.parse_args()
    if asked.minutes is not None:
        return 1 if night(asked.minutes, asked.first) else 0
    if asked.seed is None:
        parser.error('say which SEED to replay, or for how many --minutes to go on')
    replay(asked.seed)
    return 0


if __name__ == '__main__':
    sys.exit(_main())
