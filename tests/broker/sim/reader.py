"""A client that watches answers: lines as they are published, and asks for those that it missed."""

from broker import protocol
from tests.broker.sim.history import line
from tests.broker.sim.violation import Violation


class Reader:
    """What one client has of one answer; I11 from its side."""

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        self.epoch = 0
        self.lines: list[bytes] = []
        self.ended = False
        self.missed = False  # it has to ask
        self.served = 0  # gaps that were filled

    def published(self, epoch: int, index: int, lines: tuple[bytes, ...]) -> None:
        """Lines came on PUB; some may be missing before them."""
        if epoch < self.epoch or self.ended:
            return
        if epoch == self.epoch and index > len(self.lines):
            self.missed = True
            return
        if epoch > self.epoch and index > 0:
            self.missed = True
            return
        self._take(epoch, index, lines)

    def read(self, reply: protocol.Lines, *, completed: bool) -> None:
        """The answer to ``Read``. What is stored of a job that did not complete may be less than was told of it: a
        broker that crashed had the lines in memory, and the worker that could give them again is gone, too.
        """
        if reply.epoch < self.epoch or self.ended:
            return
        before = len(self.lines)
        if reply.epoch > self.epoch and reply.index > 0:
            raise Violation('I11', f'{self.job_id}: asked for another epoch, and got {reply.index} as the first line')
        self._take(reply.epoch, reply.index, reply.lines)
        self.served += self.missed and len(self.lines) > before
        self.missed = reply.index + len(reply.lines) < reply.total
        self.ended = reply.ended and not self.missed
        if self.ended and completed and len(self.lines) != reply.total:
            raise Violation('I11', f'{self.job_id}: {len(self.lines)} lines were told, {reply.total} are stored')

    def _take(self, epoch: int, index: int, lines: tuple[bytes, ...]) -> None:
        if epoch > self.epoch:
            self.epoch, self.lines = epoch, []
        if index > len(self.lines):
            raise Violation('I11', f'{self.job_id}: line {index} follows {len(self.lines)}')
        self.lines += lines[len(self.lines) - index :]
        if self.lines != [line(self.job_id, epoch, number) for number in range(len(self.lines))]:
            raise Violation('I11', f'{self.job_id}/{epoch} reads {self.lines}')
