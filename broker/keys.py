"""The same request twice: found by its idempotency key, or because it is the same and still alive."""

import hashlib
from collections import OrderedDict
from typing import NamedTuple

from broker import protocol
from broker.actions import Peer
from broker.job import Job, State

REMEMBERED = 10_000  # claims taken and given back: a repeated message is known for one


class Known(NamedTuple):
    """A job as it is found by a key."""

    job_id: str
    fingerprint: str


class Keys:
    """The idempotency keys of jobs that are alive or ended lately, and the alive jobs that may be shared.

    Keys of jobs that ended long ago are in the store; what ended lately may not be there yet.
    """

    def __init__(self) -> None:
        self._by_key: dict[tuple[str, str], Known] = {}
        self._keys: dict[str, tuple[str, str]] = {}  # by job: its user and key
        self._shared: dict[tuple[str, str], str] = {}  # user and fingerprint, to the job
        self._claims: OrderedDict[str, str] = OrderedDict()  # by the id that was to be a job: the job it became
        self._releases: OrderedDict[tuple[Peer, int], None] = OrderedDict()

    def add(self, job: Job) -> None:
        """A job is alive."""
        if job.idempotency_key:
            self._keys[job.job_id] = job.user, job.idempotency_key
            self._by_key[self._keys[job.job_id]] = Known(job.job_id, job.terms.fingerprint)
        if job.terms.attach:
            self._shared[job.user, job.terms.fingerprint] = job.job_id

    def ended(self, job: Job) -> None:
        """It is alive no more, or about to be: nobody can join it. Its key stays until ``forget``."""
        if self._shared.get((job.user, job.terms.fingerprint)) == job.job_id:
            del self._shared[job.user, job.terms.fingerprint]

    def forget(self, job_id: str) -> None:
        """It ended long ago."""
        if job_id in self._keys:
            del self._by_key[self._keys.pop(job_id)]

    def by_key(self, user: str, key: str) -> Known | None:
        """The job that this user submitted with this key."""
        return self._by_key.get((user, key))

    def to_share(self, user: str, request_print: str) -> str:
        """The alive job that a new request may become, '' when there is none."""
        return self._shared.get((user, request_print), '')

    def claimed(self, submitted_id: str) -> str:
        """The job that a request of this id has become before, '' when it has not."""
        return self._claims.get(submitted_id, '')

    def claim(self, submitted_id: str, job_id: str) -> None:
        """A request becomes this job; sent again it counts once."""
        self._claims[submitted_id] = job_id
        if len(self._claims) > REMEMBERED:
            self._claims.popitem(last=False)

    def released_before(self, peer: Peer, rid: int) -> bool:
        """Whether this very request came before: the client repeats it when the reply was lost. 0 is no number."""
        if not rid:
            return False
        known = (peer, rid) in self._releases
        self._releases[peer, rid] = None
        if len(self._releases) > REMEMBERED:
            self._releases.popitem(last=False)
        return known

    def check(self, jobs: dict[str, Job]) -> None:
        """Raise AssertionError when an alive job cannot be found by its key. For tests."""
        for job in jobs.values():
            if job.idempotency_key:
                assert self._by_key[job.user, job.idempotency_key].job_id == job.job_id
        for job_id in self._shared.values():
            assert jobs[job_id].terms.attach and jobs[job_id].state is not State.CANCELLING


def tick_id(schedule_id: str, tick: float) -> str:
    """The id of the job of this tick of a schedule: always the same, so it cannot make two. The time is first in it."""
    digest = hashlib.sha256(f'{schedule_id}\0{int(tick)}'.encode()).hexdigest()
    return f'{int(tick) * 1000:012x}7{digest[:3]}8{digest[3:18]}'


def replay_id(job_id: str) -> str:
    """The id of the job that does this one again: always the same, so that it is done again once."""
    return hashlib.sha256(f'replay {job_id}'.encode()).hexdigest()[:32]


def fingerprint(request: protocol.Submit) -> str:
    """What is asked for: kind, model, path, body byte for byte, conversation, batch and what it comes after.

    When and how urgently it is asked (priority, times, retries) is no part of it.
    """
    parts = (request.kind, request.model, request.path, request.conversation_id, request.parent, *request.after)
    digest = hashlib.sha256()
    for part in (*(part.encode('utf-8', 'surrogatepass') for part in parts), request.body):
        digest.update(len(part).to_bytes(8, 'big'))
        digest.update(part)
    return digest.hexdigest()[:32]
