"""What the limits of the queue leave to a caller, as the headers that clients of OpenAI's API read. Pure.

Tokens have no limit of their own here, so nothing is said of them.
"""

import math

from app.api.trouble import Trouble
from app.api.work import Work
from broker import protocol

LIMIT, REMAINING, RESET = (f'x-ratelimit-{what}-requests' for what in ('limit', 'remaining', 'reset'))


def of_work(work: Work) -> dict[str, str]:
    """For a call whose jobs are queued; nothing where nothing is limited."""
    return of_quota(work.quota)


def of_quota(quota: protocol.Quota | None) -> dict[str, str]:
    """The same for one job."""
    return {} if quota is None else _headers(quota.limit, quota.remaining, quota.reset_s)


def of_refusal(failure: Trouble) -> dict[str, str]:
    """For a call that found as many waiting as may wait."""
    return _headers(failure.limit, 0, failure.retry_after_s) if failure.limit else {}


def span(seconds: float) -> str:
    """A time as this API writes it: ``120ms``, ``7.66s``, ``6m0s``, ``1h0m0s``; rounded up to milliseconds."""
    millis = math.ceil(round(seconds * 1000, 3))
    if 0 < millis < 1000:
        return f'{millis}ms'
    whole, rest = divmod(millis, 1000)
    minutes, left = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    small = f'{left}.{rest:03}'.rstrip('0') if rest else str(left)
    if hours:
        return f'{hours}h{minutes}m{small}s'
    return f'{minutes}m{small}s' if minutes else f'{small}s'


def _headers(limit: int, remaining: int, reset_s: float) -> dict[str, str]:
    return {LIMIT: str(limit), REMAINING: str(remaining), RESET: span(reset_s)}
