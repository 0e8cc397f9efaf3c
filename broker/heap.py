"""A priority heap whose entries can be taken out and listed in order."""

import heapq
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

KeyT = TypeVar('KeyT', bound=Any)  # anything that can be compared with its like


class PriorityHeap(Generic[KeyT]):
    """Names in the order of their keys. Push and remove cost O(log n); removal is lazy, with a sweep now and then."""

    def __init__(self) -> None:
        self._entries: list[tuple[KeyT, str]] = []
        self._alive: dict[str, KeyT] = {}

    def __len__(self) -> int:
        return len(self._alive)

    def __contains__(self, name: str) -> bool:
        return name in self._alive

    def push(self, name: str, key: KeyT) -> None:
        """Add ``name``, or move it to another key."""
        if self._alive.get(name) != key:
            self._alive[name] = key
            heapq.heappush(self._entries, (key, name))
            self._sweep()

    def remove(self, name: str) -> None:
        """Take ``name`` out, wherever it stands."""
        del self._alive[name]
        self._sweep()

    def peek(self) -> tuple[KeyT, str]:
        """``first`` of a heap that is not empty."""
        found = self.first()
        assert found is not None
        return found

    def first(self) -> tuple[KeyT, str] | None:
        """The smallest key and its name, left where they are."""
        while self._entries:
            key, name = self._entries[0]
            if self._alive.get(name) == key:
                return key, name
            heapq.heappop(self._entries)
        return None

    def in_order(self) -> Iterator[tuple[KeyT, str]]:
        """All from the first on. The first k cost O(k log k), however many there are; nothing is copied."""
        frontier = [(*self._entries[0], 0)] if self._entries else []
        seen: set[str] = set()
        while frontier:
            key, name, at = heapq.heappop(frontier)
            if name not in seen and self._alive.get(name) == key:
                seen.add(name)
                yield key, name
            for child in (2 * at + 1, 2 * at + 2):
                if child < len(self._entries):
                    heapq.heappush(frontier, (*self._entries[child], child))

    def _sweep(self) -> None:
        if len(self._entries) > 2 * len(self._alive) + 64:
            self._entries = [(key, name) for name, key in self._alive.items()]
            heapq.heapify(self._entries)
