"""When will it start? Played through with the order that dispatches, so what is told is what would happen.

How long each job takes is not known, only how long those like it took. So the starts are played through in many
scenarios at once, in each of which every job takes a time of its own from those; what is told is where most of them
put its start. Nothing is left to chance: which job takes long in which scenario is a matter of its number, so the same
queue is always told the same.
"""

import functools
import heapq
import math
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from operator import mul
from statistics import NormalDist
from typing import NamedTuple

from broker.backend import Backend
from broker.durations import STRATA, Durations, Strata, Traits
from broker.order import Lane
from broker.playback import Playback

EARLIEST, LIKELY, LATEST = 1, STRATA // 2, STRATA - 2  # of the starts in all scenarios, in order
SHUFFLES = 251  # ways to deal the parts of what may happen out to the scenarios
FREE: Strata = (0.0,) * STRATA


class Slot(NamedTuple):
    """A worker's place for one job: the models it can run, what is loaded there, and when it is free.

    The slots of one backend share it; it is changed on the way, so it is a copy. ``free_s`` is from now, in each
    scenario.
    """

    models: frozenset[str]
    backend: Backend
    free_s: Strata = FREE


class Start(NamedTuple):
    """When a job will start, seconds from now: most likely, and the interval for nine of ten."""

    job_id: str
    likely_s: float
    earliest_s: float
    latest_s: float
    load_s: float = 0.0  # what has to be loaded then takes so long


Kind = Callable[[str], tuple[Traits, int]]  # of a job id: what is known about the job, and its number


class Forecast:
    """The starts to come on these slots."""

    def __init__(self, playback: Playback, slots: list[Slot], durations: Durations, kind: Kind) -> None:
        self._playback = playback
        self._durations = durations
        self._kind = kind
        self._slots = slots
        self._free_s = [sum(slot.free_s) / STRATA for slot in slots]
        self._free = [(free_s, number) for number, free_s in enumerate(self._free_s)]
        heapq.heapify(self._free)
        self._scenarios = _Scenarios(slots)

    def starts(self) -> Iterator[Start]:
        """Job after job. Each costs O(log slots) in every scenario, and a look at each lane."""
        while self._free:
            free_s, number = self._free[0]
            slot = self._slots[number]
            turn = self._playback.next(slot.models.__contains__, partial(_is_warm, slot), free_s)
            if turn is None:  # nothing is left that this one could run
                heapq.heappop(self._free)
                continue
            lane = self._playback.lane(turn)
            load_s = 0.0 if _is_warm(slot, lane) else self._durations.load_s(lane.model)
            slot.backend.runs(lane.model, lane.options, ())
            traits, order = self._kind(turn.job_id)
            takes = self._durations.of(traits)
            self._free_s[number] = free_s + load_s + takes.mean_s
            heapq.heapreplace(self._free, (self._free_s[number], number))
            lengths = map(mul, shuffled(takes.strata(), order), _factors(round(takes.doubt, 1)))
            starts = self._scenarios.start(lane.model, lengths, load_s)
            yield Start(turn.job_id, starts[LIKELY], starts[EARLIEST], starts[LATEST], load_s)

    def answer_s(self, model: str) -> tuple[float, float]:
        """When one more job of this model would start behind those asked for, and be done; infinity for never."""
        able = [number for number, slot in enumerate(self._slots) if model in slot.models]
        if not able:
            return math.inf, math.inf
        slot = self._slots[min(able, key=self._free_s.__getitem__)]
        load_s = 0.0 if slot.backend.has(model, '') else self._durations.load_s(model)
        start_s = self._scenarios.next_s(model)
        return start_s, start_s + load_s + self._durations.mean_s(model)


class _Scenarios:
    """When slots are free in each scenario; those that can run the same models stand together."""

    def __init__(self, slots: list[Slot]) -> None:
        self._heaps: dict[frozenset[str], list[list[float]]] = {}
        for slot in slots:
            heaps = self._heaps.setdefault(slot.models, [[] for _ in range(STRATA)])
            for heap, free_s in zip(heaps, slot.free_s, strict=True):
                heap.append(free_s)
        for heaps in self._heaps.values():
            for heap in heaps:
                heapq.heapify(heap)

    def start(self, model: str, lengths: Iterable[float], load_s: float) -> list[float]:
        """A job of this model takes the first free slot in each: when that is, in order."""
        able = [heaps for models, heaps in self._heaps.items() if model in models]
        starts = []
        if len(able) == 1:
            for heap, length_s in zip(able[0], lengths, strict=True):
                start_s = heap[0]
                heapq.heapreplace(heap, start_s + load_s + length_s)
                starts.append(start_s)
        else:
            for heaps, length_s in zip(zip(*able, strict=True), lengths, strict=True):
                heap = min(heaps)
                start_s = heap[0]
                heapq.heapreplace(heap, start_s + load_s + length_s)
                starts.append(start_s)
        starts.sort()
        return starts

    def next_s(self, model: str) -> float:
        """When one more would most likely start."""
        able = [heaps for models, heaps in self._heaps.items() if model in models]
        starts: list[float] = sorted(min(heap[0] for heap in heaps) for heaps in zip(*able, strict=True))
        return starts[LIKELY]


def shuffled(strata: Strata, order: int) -> Strata:
    """What a job of this number takes, or has left, in each scenario."""
    return tuple([strata[part] for part in _shuffle(order % SHUFFLES)])


@functools.cache
def _shuffle(number: int) -> tuple[int, ...]:
    """Always the same for a number, and unlike the others (Fisher and Yates, fed by a linear congruential sequence)."""
    parts, state = list(range(STRATA)), number * 2654435761 + 12345
    for at in range(STRATA - 1, 0, -1):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        other = (state >> 33) % (at + 1)
        parts[at], parts[other] = parts[other], parts[at]
    return tuple(parts)


@functools.cache
def _factors(doubt: float) -> Strata:
    """What all jobs take longer or shorter than was thought, in each scenario."""
    bell = NormalDist()
    return tuple(math.exp(doubt * bell.inv_cdf((part + 0.5) / STRATA)) for part in _shuffle(SHUFFLES))


def _is_warm(slot: Slot, lane: Lane) -> bool:
    return lane.model in slot.models and slot.backend.has(lane.model, lane.options)
