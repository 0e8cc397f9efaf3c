"""What the queue may forget, and when: jobs that ended, by state, age and number, and old facts.

Pure: it says what may go, a store does it, one small portion a turn, so that nobody waits for it.
"""

import math
import re
from typing import NamedTuple

from broker.job import FINAL, Job, State
from broker.limits import UNITS_S

GRACE_S = 60.0  # a job that has just ended stays that long, so that whoever waits for its answer can read it
ROWS = 200  # looked at in one turn
BYTES = 4_000_000  # of bodies and answers that go in one turn, unless a single job has more
PAGES = 500  # of the file given back in one turn
PAUSE_S = 0.05  # between two portions
ROUND_S = 60.0  # from the end of one round to the next
_PERIOD = re.compile(r'(\d+(?:\.\d+)?) ?(s|min|h|d)')
FORM = "'30 d', '12 h' or '45 min'; '0' is as soon as possible, empty is for ever"


def parse(text: str) -> float:
    """A period as people write it, in seconds; infinity when it is empty. Raises ``ValueError``."""
    text = ' '.join(text.split())
    if text in ('', '0'):
        return 0.0 if text else math.inf
    found = _PERIOD.fullmatch(text)
    if found is None:
        raise ValueError(f'a period is written like {FORM}')
    return float(found[1]) * UNITS_S[found[2]]


class Keep(NamedTuple):
    """How long what is kept, in seconds from the job's end or the fact; infinity is for ever."""

    completed_s: float = math.inf
    cancelled_s: float = math.inf
    dead_s: float = math.inf
    facts_s: float = math.inf
    jobs: int = 0  # so many jobs that ended, the newest ones; 0: as many as there are
    at_least_s: float = GRACE_S  # no job goes before, whatever the others say

    def ended_before(self, state: State, now: float) -> float:
        """Jobs that came to this end before that time may go; minus infinity when none may."""
        kept_s = {State.COMPLETED: self.completed_s, State.CANCELLED: self.cancelled_s, State.DEAD: self.dead_s}
        return now - max(kept_s[state], self.at_least_s)


class Place(NamedTuple):
    """Where the next portion goes on: behind the job that ended then and has this row."""

    ended_at: float = 0.0
    row: int = 0


class OldJobs(NamedTuple):
    """Jobs that ended before a time, oldest first: those in ``state``, or in any, as long as there are more than
    ``keep`` jobs that ended.

    Those of a batch that is open stay, and those that a job which is not final names in ``after``.
    """

    before: float
    state: State | None = None
    keep: int = 0
    after: Place = Place()


class OldFacts(NamedTuple):
    """Facts from before a time, oldest first. The newest of all stays: it holds the number."""

    before: float


class FreePages(NamedTuple):
    """What was deleted and still takes room in the file."""


Portion = OldJobs | OldFacts | FreePages


class Pruned(NamedTuple):
    """What became of one portion: rows (or pages) looked at and gone, and whether and where there is more."""

    looked_at: int = 0
    gone: int = 0
    more: bool = False
    after: Place = Place()


class Sweep:
    """Goes through everything that may go, portion by portion, round after round. ``due_at``: when the next is due."""

    def __init__(self, keep: Keep) -> None:
        self._keep = keep
        self._left: list[Portion] = []
        self._gone = 0
        self.due_at = 0.0

    def portion(self, now: float) -> Portion:
        """What to prune next."""
        if not self._left:
            self._left = self._round(now)
        return self._left[0]

    def did(self, pruned: Pruned, now: float) -> int:
        """That is done. Returns how many jobs and facts went in this round when it was the round's last portion."""
        portion = self._left[0]
        if not isinstance(portion, FreePages):
            self._gone += pruned.gone
        if not pruned.more:
            del self._left[0]
        elif isinstance(portion, OldJobs):
            self._left[0] = portion._replace(after=pruned.after)
        self.due_at = now + (PAUSE_S if self._left else ROUND_S)
        if self._left:
            return 0
        gone, self._gone = self._gone, 0
        return gone

    def failed(self, now: float) -> None:
        """That could not be done: begin again later."""
        self._left = []
        self.due_at = now + ROUND_S

    def _round(self, now: float) -> list[Portion]:
        keep = self._keep
        ages = ((keep.ended_before(state, now), state) for state in sorted(FINAL))
        portions: list[Portion] = [OldJobs(before, state) for before, state in ages if before > -math.inf]
        if keep.jobs:
            portions.append(OldJobs(now - keep.at_least_s, keep=keep.jobs))
        if keep.facts_s < math.inf:
            portions.append(OldFacts(now - keep.facts_s))
        return [*portions, FreePages()]


class Needed:
    """The jobs that others, which are not final yet, name in ``after``."""

    def __init__(self) -> None:
        self._by_job: dict[str, tuple[str, ...]] = {}
        self._count: dict[str, int] = {}

    def __contains__(self, job_id: object) -> bool:
        return job_id in self._count

    def note(self, job: Job) -> None:
        """A job is new or has changed."""
        if not job.terms.after:
            return
        for name in self._by_job.pop(job.job_id, ()):
            self._count[name] -= 1
            if not self._count[name]:
                del self._count[name]
        if job.state not in FINAL:
            self._by_job[job.job_id] = job.terms.after
            for name in job.terms.after:
                self._count[name] = self._count.get(name, 0) + 1
