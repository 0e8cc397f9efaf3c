"""Many jobs that belong together."""

import msgspec

from broker.protocol.envelope import Count, Reply, Request


class OpenBatch(Request, frozen=True, kw_only=True):
    """Begin a batch of ``total`` jobs; they are then submitted with it as ``parent``."""

    batch_id: str
    total: Count
    name: str = ''
    user: str = ''


class GetBatch(Request, frozen=True, kw_only=True):
    """How far a batch is."""

    batch_id: str


class FindBatches(Request, frozen=True, kw_only=True):
    """Batches, newest first, at most ``limit``."""

    user: str = ''
    limit: Count = 50


class CancelBatch(Request, frozen=True, kw_only=True):
    """Stop all jobs of a batch; it takes no more.

    The answer is ``Done`` when it is over. A large one takes a while, a portion at a time: then it is how far the batch
    is, and asking again, until it is done, starts nothing anew.
    """

    batch_id: str


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """A batch and how far it is. Jobs that are neither are alive or still to come."""

    batch_id: str
    total: int
    name: str = ''
    user: str = ''
    opened_at: float = 0.0
    ended_at: float = 0.0  # 0 while it goes on
    submitted: int = 0
    running: int = 0
    completed: int = 0
    dead: int = 0
    cancelled: int = 0


class Batches(Reply, frozen=True, kw_only=True):
    """Batches that were found."""

    batches: tuple[Batch, ...]
