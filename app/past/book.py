"""The past, read from the queue a part at a time: a page of a list, its length, all of it."""

import time
from collections.abc import AsyncIterator

import msgspec

from app.parts import Parts
from app.past.query import Query
from broker import protocol
from broker.job import Job

PAGE = 500
PATIENCE_S = 6.0  # for one answer to a browser; it asks again
COUNT_S = 0.7  # likewise, while it is only counted


def wanted(parts: Parts, query: Query, now: float) -> protocol.ListJobs:
    """What the queue is asked for: a text is also looked for in the titles of conversations, which it does not know."""
    text = query.text.lower()
    named = (
        [each.id for each in parts.chat.conversations() if text in each.title.lower()] if text and parts.chat else []
    )
    return query.wanted(now, tuple(named[:1000]))


async def part(parts: Parts, asked: protocol.ListJobs) -> protocol.JobList:
    """These rows, as soon as they are known, or what is known after a while. Raises ``errors.BrokerError``."""
    until = time.monotonic() + (COUNT_S if asked.whole else PATIENCE_S)
    while True:
        found = await parts.broker.list_jobs(asked)
        asked = msgspec.structs.replace(asked, until_order=found.until_order)
        enough = len(found.jobs) >= asked.limit and not asked.whole
        searched = bool(asked.text and asked.look) and found.looked >= asked.look
        if found.complete or enough or searched or time.monotonic() > until:
            return found


async def everything(parts: Parts, asked: protocol.ListJobs) -> AsyncIterator[tuple[Job, str]]:
    """All jobs of a list, with the beginnings of what they ask, a page in memory at a time."""
    asked = msgspec.structs.replace(asked, offset=0, limit=PAGE, look=0)
    while True:
        found = await parts.broker.list_jobs(asked)
        asked = msgspec.structs.replace(asked, until_order=found.until_order)
        if not found.complete and found.total < asked.offset + PAGE:
            continue  # it looks still
        for job, excerpt in zip(found.jobs, found.excerpts, strict=True):
            yield job, excerpt
        asked = msgspec.structs.replace(asked, offset=asked.offset + PAGE)
        if found.complete and asked.offset >= found.total:
            return
