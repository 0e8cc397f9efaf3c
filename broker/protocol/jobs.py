"""Jobs come, are moved, stopped, done again and deleted."""

from broker.job import DEFAULT_PRIORITY
from broker.protocol.envelope import Quota, Refused, Reply, Request

KINDS = ('chat', 'generate', 'embed', 'raw')


class Submit(Request, frozen=True, kw_only=True):
    """Please queue this job. The sender makes the id (uuid7 hex), so sending it twice makes one job.

    With ``after`` the job waits until those jobs are completed; ``{{1}}`` in its texts is the answer of the first of
    them, ``{{2}}`` of the second, and so on.
    """

    job_id: str
    kind: str
    model: str
    body: bytes  # the JSON object for the engine, as the client wrote it
    path: str = ''  # only for kind 'raw': where on the engine to post the body, e.g. /v1/rerank
    priority: int = DEFAULT_PRIORITY  # AUTO_PRIORITY: by the rules of the settings
    user: str = ''
    conversation_id: str = ''
    parent: str = ''  # an open batch
    after: tuple[str, ...] = ()
    max_failures: int = 3
    retry_base_s: float = 0.0  # back-off before the first retry; 0 is as the settings say
    retry_max_s: float = 0.0
    idempotency_key: str = ''  # the same key with the same request is the same job; with another one it is refused
    attach: bool = False  # where the same request of this user is alive, and came with this too, be that job
    due_at: float = 0.0  # not before this time (unix seconds)
    deadline_at: float = 0.0  # not started by then, it is dead
    replay_of: str = ''
    schedule: str = ''


class SubmitMany(Request, frozen=True, kw_only=True):
    """Several jobs at once; they may be ``after`` each other in any order, but not in a circle."""

    jobs: tuple[Submit, ...]


class Cancel(Request, frozen=True, kw_only=True):
    """Stop this job, whether it waits or runs. With ``release`` only when no other caller waits for it.

    With ``waiting`` only while no worker has it; otherwise it is refused with 'not_waiting', and the run goes on.
    """

    job_id: str
    release: bool = False
    waiting: bool = False


class SetPriority(Request, frozen=True, kw_only=True):
    """Move a waiting job to another priority."""

    job_id: str
    priority: int


class Replay(Request, frozen=True, kw_only=True):
    """Do a dead job again, as a new job with this id and clean counters. Sending it twice makes one job."""

    job_id: str
    new_job_id: str


class Purge(Request, frozen=True, kw_only=True):
    """Delete dead jobs with their bodies and answers: this one, or without an id all that ended before ``before``."""

    job_id: str = ''
    before: float = 0.0


class Accepted(Reply, frozen=True, kw_only=True):
    """The job is on disk. ``duplicate`` when it was there before. ``quota`` is None where nothing is limited."""

    job_id: str
    duplicate: bool = False
    quota: Quota | None = None


class Submitted(Reply, frozen=True, kw_only=True):
    """What became of each job of a ``SubmitMany``, in its order."""

    results: tuple[Accepted | Refused, ...]


class Purged(Reply, frozen=True, kw_only=True):
    """So many jobs are gone; ``more`` of those meant are still there, for only so many go at once."""

    count: int
    more: bool = False
