"""The same wish for many jobs: some at a time, and what was refused is counted, not raised."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from broker import errors

TOGETHER = 50  # wishes under way at once


async def each(wish: Callable[[str], Awaitable[object]], ids: Iterable[str]) -> tuple[int, errors.BrokerError | None]:
    """Ask this for each job; for how many it was done, and why not for the first that was refused.

    A queue that is full or silent is not asked further: what is left stays as it is.
    """
    left = iter(ids)
    done, trouble = 0, []

    async def ask_on() -> None:
        nonlocal done
        for job_id in left:
            try:
                await wish(job_id)
                done += 1
            except errors.BrokerError as error:
                trouble.append(error)
                if not isinstance(error, errors.Refused) or error.code in ('queue_full', 'disk_full'):
                    return

    await asyncio.gather(*(ask_on() for _ in range(TOGETHER)))
    return done, trouble[0] if trouble else None
