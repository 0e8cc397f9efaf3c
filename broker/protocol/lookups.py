"""Jobs are looked at: one, its answer as it grows, or those that match."""

from typing import Annotated

import msgspec

from broker.job import Job, State
from broker.protocol.envelope import Count, Reply, Request

SORTS = (
    *('queued', 'started', 'ended', 'waited', 'ran', 'state', 'kind', 'model', 'user', 'priority', 'worker', 'code'),
    *('tokens', 'failures'),
)


class Read(Request, frozen=True, kw_only=True):
    """The lines of a job's answer from ``index`` on. An epoch other than the current one reads from 0."""

    job_id: str
    epoch: Count = 0
    index: Count = 0


class GetJob(Request, frozen=True, kw_only=True):
    """One job as it stands."""

    job_id: str


class GetBody(Request, frozen=True, kw_only=True):
    """What a job asks of the engine, as it was sent."""

    job_id: str


class GetExcerpts(Request, frozen=True, kw_only=True):
    """The first words of what these jobs ask, for lists that show more than a kind and an id."""

    job_ids: Annotated[tuple[str, ...], msgspec.Meta(max_length=100)]


class GetHistory(Request, frozen=True, kw_only=True):
    """All facts about one job, oldest first: every start, every failure with its reason, the end."""

    job_id: str


class FindJobs(Request, frozen=True, kw_only=True):
    """Jobs, newest first, at most ``limit`` and older than the place ``before_order`` (0: from the newest on).

    With ``oldest_first`` the other way round, those behind the place ``after_order``.
    Empty filters let everything through.
    """

    states: tuple[State, ...] = ()
    model: str = ''
    user: str = ''
    parent: str = ''
    before_order: Count = 0
    after_order: Count = 0
    oldest_first: bool = False
    limit: Count = 50


class ListJobs(Request, frozen=True, kw_only=True):
    """Rows ``offset`` … of the jobs that match, as a table that is scrolled wants them: see ``JobList``.

    ``sort`` is one of SORTS. Jobs that came after the place ``until_order`` are left out (0: as it is now; the reply
    says what that is, and the next request repeats it, so that rows keep their places). With ``text`` they come in
    order of arrival, and at most ``look`` jobs are read (0: all); the same request with a larger one goes on. With
    ``whole`` the reply waits until their number is known. Empty filters let everything through.
    """

    states: tuple[State, ...] = ()
    kinds: tuple[str, ...] = ()
    priorities: tuple[Count, ...] = ()
    model: str = ''
    user: str = ''
    parent: str = ''
    worker: str = ''
    code: str = ''
    since: float = 0.0  # queued at or after this time
    until: float = 0.0  # queued before this time; 0 is no limit
    # in what was asked or answered, the error, or a name; upper and lower case are the same
    text: Annotated[str, msgspec.Meta(max_length=500)] = ''
    conversations: Annotated[tuple[str, ...], msgspec.Meta(max_length=1_000)] = ()  # these match, too
    sort: str = 'queued'
    oldest_first: bool = False  # and other values from the smallest on
    until_order: Count = 0
    offset: Count = 0
    limit: Count = 100
    look: Count = 0
    whole: bool = False


class Lines(Reply, frozen=True, kw_only=True):
    """Part of an answer. ``total`` is how many lines the broker has of this epoch; ``ended`` when no more will come.

    A long answer comes in several replies: ask again from ``index + len(lines)``.
    """

    job_id: str
    epoch: int
    index: int
    lines: tuple[bytes, ...]
    total: int
    ended: bool


class JobState(Reply, frozen=True, kw_only=True):
    """One job. ``ahead`` counts the jobs that go first while it waits, -1 when it does not wait."""

    job: Job
    ahead: int = -1


class Body(Reply, frozen=True, kw_only=True):
    """What a job asks of the engine; empty once the queue has let go of it."""

    body: bytes


class Excerpts(Reply, frozen=True, kw_only=True):
    """In the order in which they were asked for; '' where there is no such job, or it asks nothing in words."""

    excerpts: tuple[str, ...]


class Jobs(Reply, frozen=True, kw_only=True):
    """Jobs that were found; ``more`` when older ones may match, too."""

    jobs: tuple[Job, ...]
    more: bool


class JobList(Reply, frozen=True, kw_only=True):
    """Part of a list. While it is not ``complete``, ``total`` counts those found so far: ask again to go on.

    ``looked`` counts the jobs whose texts were read; ``excerpts`` are the beginnings of what the jobs ask. With ``cut``
    only the newest were put in order: older ones match, too.
    """

    jobs: tuple[Job, ...]
    excerpts: tuple[str, ...]
    total: int
    complete: bool
    looked: int
    until_order: int
    cut: bool = False
