"""The waiting jobs: a priority heap for each model, and one order over all of them."""

import heapq
import itertools
from collections.abc import Callable, Iterator
from typing import NamedTuple

from broker.job import Job


class Key(NamedTuple):
    """The order of the queue: higher priority first, then first come, first served."""

    minus_priority: int
    order: int


def key_of(job: Job) -> Key:
    """Where ``job`` belongs."""
    return Key(-job.priority, job.order)


class PriorityHeap:
    """Job ids in order. Push, pop and remove cost O(log n); removal is lazy, so dead entries are swept now and then."""

    def __init__(self) -> None:
        self._entries: list[tuple[Key, str]] = []
        self._alive: dict[str, Key] = {}

    def __len__(self) -> int:
        return len(self._alive)

    def push(self, job_id: str, key: Key) -> None:
        """Add a job, or move it to another key."""
        self._alive[job_id] = key
        heapq.heappush(self._entries, (key, job_id))

    def remove(self, job_id: str) -> None:
        """Take a job out, wherever it stands."""
        del self._alive[job_id]
        if len(self._entries) > 64 and len(self._entries) > 2 * len(self._alive):
            self._entries = [(key, alive) for alive, key in self._alive.items()]
            heapq.heapify(self._entries)

    def first(self) -> tuple[Key, str] | None:
        """The next job, left where it is."""
        while self._entries:
            key, job_id = self._entries[0]
            if self._alive.get(job_id) == key:
                return key, job_id
            heapq.heappop(self._entries)
        return None

    def in_order(self) -> Iterator[tuple[Key, str]]:
        """All jobs from the first on. The first k cost O(k log k), however many wait; nothing is copied."""
        frontier = [(*self._entries[0], 0)] if self._entries else []
        seen: Key | None = None
        while frontier:
            key, job_id, at = heapq.heappop(frontier)
            if self._alive.get(job_id) == key and key != seen:  # a job moved there and back has two equal entries
                seen = key
                yield key, job_id
            for child in (2 * at + 1, 2 * at + 2):
                if child < len(self._entries):
                    heapq.heappush(frontier, (*self._entries[child], child))


class Waiting:
    """All jobs that could start now if a worker were free, one heap per model."""

    def __init__(self) -> None:
        self._heaps: dict[str, PriorityHeap] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, job: Job) -> None:
        """Put ``job`` at the place that its priority and order give it."""
        self._heaps.setdefault(job.model, PriorityHeap()).push(job.job_id, key_of(job))
        self._count += 1

    def remove(self, job: Job) -> None:
        """Take ``job`` out."""
        heap = self._heaps[job.model]
        heap.remove(job.job_id)
        self._count -= 1
        if not heap:
            del self._heaps[job.model]

    def best(self, can_run: Callable[[str], bool]) -> str | None:
        """The id of the first job whose model ``can_run`` accepts. Costs one look per model."""
        heads = [head for model, heap in self._heaps.items() if can_run(model) and (head := heap.first())]
        return min(heads)[1] if heads else None

    def in_order(self, models: Callable[[str], bool]) -> Iterator[str]:
        """The ids of the jobs of these models in the order in which they will start."""
        heaps = [heap.in_order() for model, heap in self._heaps.items() if models(model)]
        return (job_id for _, job_id in heapq.merge(*heaps))

    def models(self) -> list[str]:
        """The models somebody waits for."""
        return list(self._heaps)

    def ahead_of(self, job: Job, models: Callable[[str], bool], at_most: int) -> int:
        """How many jobs of these models start before ``job``; counting ends at ``at_most``."""
        order = itertools.islice(self.in_order(lambda model: model == job.model or models(model)), at_most)
        return next((place for place, job_id in enumerate(order) if job_id == job.job_id), at_most)
