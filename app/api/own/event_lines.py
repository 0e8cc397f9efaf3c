"""Lines of answers as server-sent events, written once for all who follow the same job."""

from collections import OrderedDict
from collections.abc import Sequence

from app.tap import Portion

MOST_LINES = 500  # written in one go; meanwhile nobody else is served
MOST_BYTES = 4 * 1024 * 1024  # of what was written lately and is kept


class EventLines:
    """Each event has as its id ``epoch-index``: the run, and how many of its lines are known with this one."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._written: OrderedDict[tuple[str, int, int, int], bytes] = OrderedDict()
        self._bytes = 0

    def of(self, job_id: str, epoch: int, portion: Portion) -> bytes:
        """The events of these lines."""
        key = (job_id, epoch, portion.first, len(portion.lines))
        written = self._written.get(key)
        if written is not None:
            self._written.move_to_end(key)
            return written
        written = self._written[key] = events(epoch, portion.first, portion.lines)
        self._bytes += len(written)
        while self._bytes > self._most_bytes:
            self._bytes -= len(self._written.popitem(last=False)[1])
        return written


def events(epoch: int, index: int, lines: Sequence[bytes]) -> bytes:
    """Lines ``index`` … of a run, each as an event."""
    return b''.join(
        b'id: %d-%d\nevent: line\ndata: %b\n\n' % (epoch, number, b'\ndata: '.join(line.splitlines()))
        for number, line in enumerate(lines, index + 1)
    )
