"""A reader of one job's lines, as the engine wrote them: what it has still to be given, and how the job ended.

Pure: the board puts things in, its reader takes them out. Lines come in order and without a gap.
"""

from collections.abc import Callable

from app.listeners import Unsubscribe
from broker import facts


class Tap:
    """What is there for the reader of ``job_id``. ``wake`` is called, at once, whenever there is more."""

    def __init__(self, job_id: str, wake: Callable[[], object]) -> None:
        self.job_id = job_id
        self.ended: facts.JobEnded | None = None  # the answer is complete; what ``take`` returns then is its rest
        self.lost = False  # the queue does not know the job any more
        self.restarted = ''  # why the job began anew after lines had been taken; what follows is not given here
        self.position: int | None = None  # jobs that went first when it was queued; None until that is known
        self.close: Unsubscribe = lambda: None  # set by the board: no more of this
        self._wake = wake
        self._lines: list[bytes] = []
        self._epoch = 0
        self._index = 0  # of the next line of this epoch
        self._early: list[tuple[int, list[bytes]]] = []
        self._taken = False

    def take(self) -> list[bytes]:
        """All lines that came since the last time."""
        lines, self._lines = self._lines, []
        self._taken = self._taken or bool(lines)
        return lines

    @property
    def incomplete(self) -> bool:
        """Whether the job has ended with lines that nobody can give any more."""
        return self.ended is not None and self._index < self.ended.lines

    @property
    def epoch(self) -> int:
        """The run that the lines of the last ``take`` are of."""
        return self._epoch

    def start_at(self, epoch: int, index: int) -> None:
        """The reader has what is before line ``index`` of this run. To be said before anything is given."""
        self._epoch, self._index = epoch, index

    # for the board

    def give(self, epoch: int, index: int, lines: list[bytes]) -> None:
        """Lines ``index`` … of a run. Those it has are skipped; behind a gap they wait for what is missing."""
        if epoch < self._epoch or self.restarted:
            return
        if epoch > self._epoch:
            self.begin_again('worker_lost')
            if self.restarted:
                return
            self._epoch = epoch
        self._early.append((index, lines))
        self._early.sort(key=lambda part: part[0])
        before = self._index
        while self._early and self._early[0][0] <= self._index:
            first, part = self._early.pop(0)
            new = part[self._index - first :]
            self._lines += new
            self._index += len(new)
        if self._index > before:
            self._wake()

    def begin_again(self, why: str) -> None:
        """The run is over without an answer; another one will begin with line 0."""
        if self._taken:  # what is left of the old run is still given, nothing of the new one
            self.restarted = self.restarted or why
            self._wake()
        else:
            self._lines, self._early, self._index = [], [], 0

    def end(self, fact: facts.JobEnded) -> None:
        """The job has ended, and all its lines were given."""
        self.ended = fact
        self._wake()

    def lose(self) -> None:
        """The job is not in the queue any more, and nobody knows how it ended."""
        self.lost = True
        self._wake()

    def poke(self) -> None:
        """Something else about the job changed."""
        self._wake()
