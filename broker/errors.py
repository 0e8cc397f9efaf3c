"""What the broker's client and store can raise. Failures of jobs are values, not these."""

KEPT_FREE_BYTES = 32 * 1024 * 1024  # of the queue's disk: with less new jobs are refused, so that running ones fit
DISK_FULL = (
    f'the disk of the queue is full: {KEPT_FREE_BYTES >> 20} MB are kept free for what runs; make room, then try again'
)


class BrokerError(Exception):
    """Something is wrong with the queue."""

    def __init__(self, message: str = '') -> None:
        super().__init__(message or (self.__doc__ or '').strip())


class BrokerUnreachable(BrokerError):
    """The broker does not answer."""


class Refused(BrokerError):
    """The broker said no.

    ``code`` is one of: bad_request, body_too_large, queue_full, disk_full, too_many, conflict, bad_batch, unknown_job,
    circle, not_found, not_waiting, not_dead, final. ``limit`` is how many may wait, where that many do.
    """

    def __init__(self, code: str, detail: str, retry_after_s: float = 0.0, *, limit: int = 0) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.retry_after_s = retry_after_s
        self.limit = limit


class StoreError(BrokerError):
    """The queue's database cannot be used."""


class NewerSchema(StoreError):
    """The queue's database was written by a newer Corral."""


class OtherSchema(StoreError):
    """The queue's database is not one that a released Corral wrote."""


class StoreFull(StoreError):
    """The disk is full; nothing was written."""
