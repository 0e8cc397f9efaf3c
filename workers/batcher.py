"""When the lines of a run leave, and in what portions. Pure: time is an argument."""

from collections.abc import Iterator, Sequence

from broker import protocol

JOIN_S = 0.025  # lines that come faster than this travel together


class Batcher:
    """Decides for one run when its pending lines are due: the first at once, later ones joined for ``join_s``.

    A line that comes after a pause does not wait either, so only fast streams are joined. Times are in seconds on
    any clock that does not jump.
    """

    def __init__(self, *, join_s: float = JOIN_S, max_bytes: int = protocol.MAX_BATCH_BYTES) -> None:
        self._join_s = join_s
        self._max_bytes = max_bytes
        self._pending_bytes = 0
        self._pending = False
        self._not_before = float('-inf')

    def add(self, size: int) -> None:
        """A line of ``size`` bytes is waiting."""
        self._pending = True
        self._pending_bytes += size

    def due_at(self, now: float) -> float | None:
        """When the waiting lines should leave (``now`` or earlier means at once); None when nothing waits."""
        if not self._pending:
            return None
        return now if self._pending_bytes >= self._max_bytes else max(self._not_before, now)

    def sent(self, now: float) -> None:
        """All waiting lines left."""
        self._pending = False
        self._pending_bytes = 0
        self._not_before = now + self._join_s


def portions(
    lines: Sequence[bytes], start: int, max_bytes: int = protocol.MAX_BATCH_BYTES
) -> Iterator[tuple[int, tuple[bytes, ...]]]:
    """``lines[start:]`` cut into ``(index, lines)`` of at most ``max_bytes``; a longer line travels alone."""
    first, size = start, 0
    for index in range(start, len(lines)):
        length = len(lines[index])
        if index > first and size + length > max_bytes:
            yield first, tuple(lines[first:index])
            first, size = index, 0
        size += length
    if first < len(lines):
        yield first, tuple(lines[first:])
