"""A reader of one job's lines, as the engine wrote them: what it has still to be given, and how the job ended.

Pure: the board puts things in, its reader takes them out. Lines come in order and without a gap. All readers of a job
are given the same portions, so lines that wait for many readers are in memory once.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from app.listeners import Unsubscribe
from broker import facts


class Portion(NamedTuple):
    """Some lines of a run; ``first`` is the place of the first of them."""

    first: int
    lines: Sequence[bytes]


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
        self._portions = deque[Portion]()
        self._started = 0  # so many lines of the first of them were taken
        self._epoch = 0
        self._index = 0  # of the next line of this epoch
        self._early: list[tuple[int, Sequence[bytes]]] = []
        self._taken = False

    def take(self, most: int = 0) -> list[bytes]:
        """The lines that came since the last time: all, or the first ``most``; then the rest still ``waits``."""
        lines: list[bytes] = []
        while self._portions and not (most and len(lines) >= most):
            lines += self.take_portion(most - len(lines) if most else 0).lines
        return lines

    def take_portion(self, most: int = 0) -> Portion:
        """The next lines as they were given, ``most`` at most: every reader finds the same ones. To be asked for only
        while something ``waits``.
        """
        index, lines = self._portions[0]
        start = self._started
        self._taken = True
        if most and start + most < len(lines):
            self._started = start + most
            return Portion(index + start, lines[start : self._started])
        self._started = 0
        self._portions.popleft()
        return Portion(index + start, lines[start:] if start else lines)

    @property
    def waits(self) -> bool:
        """Whether there are lines that were not taken yet."""
        return bool(self._portions)

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

    def give(self, epoch: int, index: int, lines: Sequence[bytes]) -> None:
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
            if new := part[self._index - first :] if first < self._index else part:
                self._portions.append(Portion(self._index, new))
                self._index += len(new)
        if self._index > before:
            self._wake()

    def begin_again(self, why: str) -> None:
        """The run is over without an answer; another one will begin with line 0."""
        if self._taken:  # what is left of the old run is still given, nothing of the new one
            self.restarted = self.restarted or why
            self._wake()
        else:
            self._portions.clear()
            self._started = 0
            self._early, self._index = [], 0

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
