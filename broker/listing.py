"""Long look-ups in short steps: a list of jobs is made a little in every turn, so that no job waits for it.

Pure: the shell says when there is time for a step, and brings the clock. Nothing here needs an index: the store is read
in the order of arrival, a range at a time, and the range is made as wide as a step may last.
"""

import heapq
from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple, Protocol

import msgspec

from broker import intake, protocol
from broker.actions import Peer
from broker.job import Job
from broker.needle import MOST_EXCERPT_BYTES, Needle, excerpt

STEP_S = 0.003  # what one step may take: jobs wait no longer than that for somebody's look into the past
STEP_BYTES = 300_000  # of questions, read for their beginnings, are about as much
RANGE = 500  # places looked at in one go, at first
MOST_AT_ONCE = 50_000
MOST_SORTED = 250_000  # jobs that are put into another order than that of their arrival: the newest
MOST_PAGE = 500  # jobs in one reply
PATIENCE_S = 0.4  # then the reply says how far it has come, and who asks goes on
KEPT = 6  # lists at the same time
KEPT_S = 300.0
_Key = str | int | float
_Match = tuple[_Key, int]  # what it is sorted by, and its place
_Wanted = protocol.FindJobs | protocol.ListJobs


class Shelf(Protocol):
    """What both stores can tell about the past, a range at a time."""

    def ends(self) -> tuple[int, int]: ...

    def scan(self, wanted: _Wanted, above: int, below: int) -> Sequence[_Match]: ...

    def mentions(self, order: int, wanted: protocol.ListJobs, needle: Needle) -> bool: ...

    def at(self, orders: Sequence[int]) -> list[Job]: ...

    def body(self, job_id: str) -> bytes: ...


def sort_of(wanted: _Wanted) -> str:
    """What the jobs are sorted by: those that are looked for by their texts come as they are found."""
    by_row = isinstance(wanted, protocol.ListJobs) and not wanted.text and wanted.sort in protocol.SORTS
    return wanted.sort if by_row else 'queued'  # type: ignore[union-attr]


def words(job: Job) -> tuple[str, ...]:
    """What can be found of a job itself."""
    return job.job_id, job.model, job.user, job.worker, job.code, job.detail, job.conversation_id, job.parent


class Listing:
    """The places of all jobs that match, found step by step: ``complete`` when all were looked at."""

    def __init__(self, wanted: _Wanted, ends: tuple[int, int]) -> None:
        lowest, highest = ends
        text = wanted.text if isinstance(wanted, protocol.ListJobs) else ''
        sort = sort_of(wanted)
        self.wanted = wanted
        self.total = 0
        self.looked = 0  # jobs whose texts were read
        self.complete = False
        self.cut = False  # there are more than are put in order
        self.asked_at = 0.0
        self._up = wanted.oldest_first and sort == 'queued'
        self._above, self._below = lowest - 1, highest + 1
        self._range = RANGE
        self._needle = Needle(text) if text else None
        self._by = '' if sort == 'queued' else sort
        self._down = not wanted.oldest_first
        self._runs: list[list[_Match]] = []
        self._merged: Iterator[_Match] | None = None
        self._left: list[_Match] = []  # found, but their texts are not read yet
        self._found = array('q')

    def step(self, shelf: Shelf, clock: Callable[[], float], *, until: int, look: int = 0, whole: bool = False) -> None:
        """Go on for ``STEP_S``, at most until it is ``enough``."""
        end = clock() + STEP_S
        while not self.enough(until, look, whole) and (now := clock()) < end:
            if self._merged is not None:
                self._found.extend(order for _, order in islice(self._merged, 100))
            elif self._left:
                self._read(shelf)
            elif not self.complete:
                self._scan(shelf, clock, now)

    def enough(self, until: int, look: int = 0, whole: bool = False) -> bool:
        """Whether the rows before ``until`` are known (``whole``: and how many there are), or ``look`` texts read."""
        if self._needle is not None and look and self.looked >= look:
            return True
        if self._by:
            return self.complete and len(self._found) >= min(until, self.total)
        return self.complete or (len(self._found) >= until and not whole)

    def page(self, offset: int, limit: int) -> list[int]:
        """The places of these rows."""
        return self._found[offset : offset + limit].tolist()

    def _scan(self, shelf: Shelf, clock: Callable[[], float], now: float) -> None:
        if self._up:
            above, below = self._above, min(self._above + 1 + self._range, self._below)
            self._above = below - 1
        else:
            above, below = max(self._above, self._below - 1 - self._range), self._below
            self._below = above + 1
        found = shelf.scan(self.wanted, above, below)
        took_s = max(clock() - now, 1e-6)
        self._range = max(RANGE // 10, min(MOST_AT_ONCE, int(self._range * min(2.0, STEP_S / 2 / took_s))))
        if self._needle is not None:
            self._left = list(reversed(found))
        else:
            self._take(found)
        self._end()

    def _read(self, shelf: Shelf) -> None:
        assert self._needle is not None and isinstance(self.wanted, protocol.ListJobs)
        match = self._left.pop()
        self.looked += 1
        if shelf.mentions(match[1], self.wanted, self._needle):
            self._take([match])
        self._end()

    def _take(self, found: Sequence[_Match]) -> None:
        if not self._by:
            self._found.extend(order for _, order in found)
        elif found:
            room = MOST_SORTED - self.total
            run = [(key, order if self._down else -order) for key, order in found[:room]]
            self._runs.append(sorted(run, reverse=self._down))
            found = found[:room]
        self.total += len(found)

    def _end(self) -> None:
        over = self._below - self._above <= 1
        if self._by and self.total >= MOST_SORTED and not over:
            self.cut = over = True
        if self._left or not over or self.complete:
            return
        self.complete = True
        if self._by:
            merged = heapq.merge(*self._runs, reverse=self._down)
            self._merged = ((key, abs(order)) for key, order in merged)


class Answer(NamedTuple):
    """A reply that is ready, and for whom."""

    peer: Peer
    reply: protocol.Reply


class _Asked:
    """One question: first its rows are found, then what they say is read, both a step at a time."""

    def __init__(self, wanted: _Wanted, listing: Listing, now: float) -> None:
        self._wanted = wanted
        self._listing = listing
        self._since = now
        self._page: protocol.JobList | None = None
        self._excerpts: list[str] = []

    def step(self, shelf: Shelf, clock: Callable[[], float]) -> protocol.Reply | None:
        """Go on for a step; the reply once there is one."""
        wanted, listing = self._wanted, self._listing
        if self._page is None:
            until = _until(wanted)
            look, whole = (wanted.look, wanted.whole) if isinstance(wanted, protocol.ListJobs) else (0, False)
            listing.step(shelf, clock, until=until, look=look, whole=whole)
            patient = isinstance(wanted, protocol.FindJobs) or clock() < self._since + PATIENCE_S
            if patient and not listing.enough(until, look, whole):
                return None
            if isinstance(wanted, protocol.FindJobs):
                return _jobs(wanted, listing, shelf)
            self._page = _page(wanted, listing, shelf)
        read = 0
        while len(self._excerpts) < len(self._page.jobs):
            if read > STEP_BYTES:
                return None
            job = self._page.jobs[len(self._excerpts)]
            self._excerpts.append(_excerpt(job, shelf))
            read += job.body_bytes if job.body_bytes <= MOST_EXCERPT_BYTES else 0
        return msgspec.structs.replace(self._page, excerpts=tuple(self._excerpts))


class Listings:
    """The look-ups that are under way, and the lists that may be asked for more of their rows."""

    def __init__(self) -> None:
        self._kept: OrderedDict[bytes, Listing] = OrderedDict()
        self._waiting: dict[tuple[Peer, int], _Asked] = {}

    @property
    def busy(self) -> bool:
        """Whether somebody waits for a list."""
        return bool(self._waiting)

    def ask(self, peer: Peer, wanted: _Wanted, shelf: Shelf, now: float) -> None:
        """Somebody wants jobs; the answer comes from ``step``. Asked again it is the same question."""
        if (peer, wanted.rid) in self._waiting:
            return
        if isinstance(wanted, protocol.FindJobs):
            listing = Listing(wanted, _ends_of(wanted, shelf))
        else:
            wanted, listing = self._list(wanted, shelf)
        listing.asked_at = now
        self._waiting[peer, wanted.rid] = _Asked(wanted, listing, now)

    def step(self, shelf: Shelf, clock: Callable[[], float]) -> list[Answer]:
        """One step for whoever has waited longest; the answers that are ready."""
        for (peer, rid), asked in list(self._waiting.items()):
            del self._waiting[peer, rid]
            reply = asked.step(shelf, clock)
            if reply is not None:
                return [Answer(peer, reply)]
            self._waiting[peer, rid] = asked  # the next step is for somebody else
            return []
        return []

    def _list(self, wanted: protocol.ListJobs, shelf: Shelf) -> tuple[protocol.ListJobs, Listing]:
        lowest, highest = shelf.ends()
        until = wanted.until_order or highest
        wanted = msgspec.structs.replace(wanted, until_order=until)
        key = protocol.encode(msgspec.structs.replace(wanted, rid=0, offset=0, limit=0, look=0, whole=False))
        if key not in self._kept:
            self._kept[key] = Listing(wanted, (lowest, min(until, highest)))
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return wanted, self._kept[key]

    def forget(self, now: float) -> None:
        """Lists that nobody has asked about for a while take no more room."""
        for key in [key for key, listing in self._kept.items() if listing.asked_at < now - KEPT_S]:
            del self._kept[key]


def _ends_of(wanted: protocol.FindJobs, shelf: Shelf) -> tuple[int, int]:
    lowest, highest = shelf.ends()
    top = min(highest, wanted.before_order - 1) if wanted.before_order else highest
    return max(lowest, wanted.after_order + 1), top


def _until(wanted: _Wanted) -> int:
    if isinstance(wanted, protocol.ListJobs):
        return wanted.offset + min(wanted.limit, MOST_PAGE)
    return max(1, min(wanted.limit, protocol.SNAPSHOT_PAGE)) + 1


def _jobs(wanted: protocol.FindJobs, listing: Listing, shelf: Shelf) -> protocol.Jobs:
    orders = listing.page(0, _until(wanted))
    jobs = intake.that_fit(shelf.at(orders[: _until(wanted) - 1]))
    return protocol.Jobs(rid=wanted.rid, jobs=jobs, more=len(orders) > len(jobs))


def _page(wanted: protocol.ListJobs, listing: Listing, shelf: Shelf) -> protocol.JobList:
    """All but the excerpts."""
    orders = listing.page(wanted.offset, min(wanted.limit, MOST_PAGE))
    return protocol.JobList(
        rid=wanted.rid,
        jobs=intake.that_fit(shelf.at(orders)),
        excerpts=(),
        total=listing.total,
        complete=listing.complete,
        looked=listing.looked,
        until_order=wanted.until_order,
        cut=listing.cut,
    )


def _excerpt(job: Job, shelf: Shelf) -> str:
    """What has none is not even read: a page of requests with pictures would hold up the queue."""
    return excerpt(shelf.body(job.job_id)) if job.body_bytes <= MOST_EXCERPT_BYTES else ''
