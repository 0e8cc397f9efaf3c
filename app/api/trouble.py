"""What can go wrong with a call, in words that belong to no contract yet; each door says it in its own way."""

import math
import re

from broker import errors, facts

TOO_LONG = 'body_too_large'
OVERLOAD = {'queue_full', 'busy', 'too_long_wait'}  # worth another try in a while
AWAY = {'broker_away', 'no_backend', 'unreachable', 'connection_lost', 'disk_full'}
TIMED_OUT = {'first_token_timeout', 'idle_timeout', 'total_timeout', 'deadline'}
RETRY_AFTER_S = 5.0
_STATUS = {
    'bad_request': 400,
    'missing_required_parameter': 400,
    'unauthorized': 401,
    'refused': 403,
    'forbidden': 403,
    'model_not_found': 404,
    'not_found': 404,
    'unknown_url': 404,
    'wrong_method': 405,
    TOO_LONG: 413,
    'unsupported': 415,
    'conflict': 422,  # 409 would make clients try again
    'cancelled': 499,
    'storage_full': 507,
}
_REFUSED = re.compile('refused_(4[0-9]{2})')  # what the engine itself answered


class Trouble(Exception):
    """A call fails. ``code`` is for programs, ``detail`` one sentence for people, ``param`` what was wrong in it.

    ``limit`` is how many jobs may wait, where that many do.
    """

    def __init__(
        self, code: str, detail: str, *, retry_after_s: float = 0.0, param: str | None = None, limit: int = 0
    ) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.param = param
        self.limit = limit
        self._retry_after_s = retry_after_s or (RETRY_AFTER_S if code in OVERLOAD | AWAY else 0.0)

    @property
    def retry_after_s(self) -> int:
        """When to try again, in the range that clients honour; 0 where that is not said."""
        return min(60, max(1, math.ceil(self._retry_after_s))) if self._retry_after_s else 0

    @property
    def status(self) -> int:
        """The HTTP status that fits, where a contract has no other wish."""
        if self.code in OVERLOAD | AWAY:
            return 503
        if found := _REFUSED.fullmatch(self.code):
            return int(found[1])
        return _STATUS.get(self.code, 504 if self.code in TIMED_OUT else 500)

    def headers(self) -> dict[str, str]:
        """``Retry-After`` in the range that clients honour; and that another try is of no use, where that is so."""
        if self.retry_after_s:
            return {'Retry-After': str(self.retry_after_s)}
        return {'x-should-retry': 'false'} if self.status >= 500 else {}


def of_broker(error: errors.BrokerError) -> Trouble:
    """What the broker's no, or its silence, means for a call."""
    if isinstance(error, errors.Refused):
        return Trouble(error.code, error.detail, retry_after_s=error.retry_after_s, limit=error.limit)
    return Trouble('broker_away', 'The queue does not answer at the moment; try again soon.')


def of_code(code: str, detail: str) -> Trouble:
    """Why a job died, by the code and the detail of its end."""
    return Trouble('unauthorized' if code == 'refused_401' else code, detail or code)


def of_end(fact: facts.JobEnded) -> Trouble | None:
    """Why a job ended without an answer; None when it did not."""
    if isinstance(fact, facts.JobDied):
        return of_code(fact.code, fact.detail)
    return Trouble('cancelled', 'request canceled') if isinstance(fact, facts.JobCancelled) else None
