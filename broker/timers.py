"""When to look at something again: a heap of times, with one timer in force for each kind and name."""

import heapq
import math
from collections.abc import Iterator

SPARE = 1_000  # timers that are off and still in the heap


class Timers:
    """Whoever is woken early looks, and sets the next timer itself."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, str, str]] = []
        self._armed: dict[tuple[str, str], float] = {}

    def __len__(self) -> int:
        return len(self._heap)

    def at(self, when: float, kind: str, name: str) -> None:
        """Look at it then, or when an earlier timer of its kind and name goes off."""
        if when < self._armed.get((kind, name), math.inf):
            self._armed[kind, name] = when
            heapq.heappush(self._heap, (when, kind, name))

    def off(self, kind: str, name: str) -> None:
        """Nobody needs to look any more. Its place in the heap goes when there are many such."""
        if self._armed.pop((kind, name), None) is not None and len(self._heap) > 2 * len(self._armed) + SPARE:
            self._heap = [(when, *each) for each, when in self._armed.items()]
            heapq.heapify(self._heap)

    def first(self) -> float:
        """When the next one goes off; infinity when there is none."""
        return self._heap[0][0] if self._heap else math.inf

    def due(self, now: float) -> Iterator[tuple[str, str]]:
        """Kind and name of what goes off until ``now``; timers set meanwhile included."""
        while self._heap and self._heap[0][0] <= now:
            when, kind, name = heapq.heappop(self._heap)
            if self._armed.get((kind, name)) == when:  # otherwise an earlier one took its place
                del self._armed[kind, name]
                yield kind, name
