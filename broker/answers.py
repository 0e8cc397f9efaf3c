"""The last long answer that somebody reads a page at a time: it is unpacked once, not for each page. Pure."""

from collections.abc import Callable

from broker import intake, protocol
from broker.job import Job

KEPT_S = 5.0  # after the last page that was asked for


class Answers:
    """Answers of jobs that have ended, which do not change any more. ``load`` gives the lines of one by its id."""

    def __init__(self, load: Callable[[str], list[bytes]]) -> None:
        self._load = load
        self._order = 0  # of the job
        self._lines: list[bytes] = []
        self._until = 0.0

    def page(self, request: protocol.Read, job: Job, now: float) -> protocol.Lines:
        """The part that ``request`` asks for."""
        lines = self._lines if job.order == self._order else self._load(job.job_id)
        page = intake.page_of(request, job.epoch, lines, ended=True)
        if len(page.lines) < len(lines):
            self._order, self._lines, self._until = job.order, lines, now + KEPT_S
        return page

    def forget(self, now: float) -> None:
        """Let go what nobody has asked for lately."""
        if self._order and now > self._until:
            self._order, self._lines = 0, []
