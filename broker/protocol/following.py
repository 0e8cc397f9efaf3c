"""To know what there is, and to keep up with it."""

from broker import facts
from broker.errand import Errand
from broker.job import Job
from broker.protocol.control import PauseInfo
from broker.protocol.envelope import VERSION, Count, Reply, Request
from broker.protocol.staff import WorkerInfo


class FactsAfter(Request, frozen=True, kw_only=True):
    """The facts after ``seq``, oldest first, at most ``limit``."""

    seq: Count
    limit: Count = 1000


class GetSnapshot(Request, frozen=True, kw_only=True):
    """A page of the jobs that are not final, those behind ``after_order`` in order of arrival, and all workers."""

    after_order: Count = 0


class Ping(Request, frozen=True, kw_only=True):
    """Are you there?"""


class Facts(Reply, frozen=True, kw_only=True):
    """Facts in order; ``head`` is the newest seq there is."""

    facts: tuple[facts.AnyFact, ...]
    head: int


class Snapshot(Reply, frozen=True, kw_only=True):
    """What is alive at ``seq``; ``more`` when another page of jobs follows. Later facts may be applied on top."""

    seq: int
    jobs: tuple[Job, ...]
    workers: tuple[WorkerInfo, ...]
    pauses: tuple[PauseInfo, ...] = ()
    more: bool = False
    errands: tuple[Errand, ...] = ()  # those that go on, and those that ended lately


class Pong(Reply, frozen=True, kw_only=True):
    """Yes."""

    version: int = VERSION
    boot: str = ''  # changes with every start of the broker
    seq: int = 0


SNAPSHOT_PAGE = 2_000
