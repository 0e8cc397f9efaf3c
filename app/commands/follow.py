"""One job from now until its end: every line once and in order, and what happens to it on the way."""

import asyncio
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, NamedTuple

from app.commands.command import CommandError, Exit, Here
from broker import facts, protocol
from broker.job import FINAL, Job

if TYPE_CHECKING:
    from broker.client import BrokerClient


SILENCE_S = 2.5  # the broker gives a pulse every second


class Began(NamedTuple):
    """A worker has it. What came before of its answer, if anything, counts no more."""

    epoch: int
    worker: str


class Waits(NamedTuple):
    """Where it stands."""

    place: protocol.Place


class Lines(NamedTuple):
    """Lines of its answer."""

    lines: tuple[bytes, ...]


class Back(NamedTuple):
    """It went back into the queue."""

    fact: facts.JobRequeued


class Ended(NamedTuple):
    """It is over, and all its lines were given."""

    job: Job


News = Began | Waits | Lines | Back | Ended


async def follow(here: Here, broker: 'BrokerClient', job_id: str) -> AsyncGenerator[News, None]:
    """News about a job, the last of which is ``Ended``. Refused with ``not_found`` where there is no such job.

    Raises ``CommandError`` when Corral is stopped meanwhile.
    """
    seq = (await broker.ping()).seq
    job = (await broker.get(job_id)).job
    reader = _Reader(broker, job_id)
    if job.epoch:
        reader.epoch = job.epoch
        yield Began(job.epoch, job.worker)
        if lines := await reader.rest():
            yield Lines(lines)
    if job.state in FINAL:
        yield Ended(job)
        return
    async for item in heard(here, broker, seq):
        async for news in _of(item, reader):
            yield news
        if isinstance(item, protocol.FactOut) and _is_about(item.fact, job_id, facts.JobEnded):
            yield Ended((await broker.get(job_id)).job)
            return


async def heard(here: Here, broker: 'BrokerClient', after_seq: int) -> AsyncGenerator[protocol.AnyPublished, None]:
    """What the broker publishes from ``after_seq`` on. Raises ``CommandError`` when Corral is stopped meanwhile."""
    pid = here.corral().pid
    feed = aiter(broker.feed(after_seq))
    coming = asyncio.ensure_future(anext(feed))
    try:
        while True:
            while not (await asyncio.wait((coming,), timeout=SILENCE_S))[0]:
                check(here, pid)
            item = coming.result()
            coming = asyncio.ensure_future(anext(feed))
            yield item
    finally:
        coming.cancel()
        await asyncio.gather(coming, return_exceptions=True)


def check(here: Here, pid: int) -> None:
    """Raise ``CommandError`` when the Corral that was there is not any more."""
    found = here.corral_or_none()
    if found is None or found.pid != pid:
        raise CommandError('Corral was stopped. What is in the queue goes on when it runs again.', Exit.NO_CORRAL)


async def _of(item: protocol.AnyPublished, reader: '_Reader') -> AsyncGenerator[News, None]:
    """What this says about the reader's job."""
    match item:
        case protocol.Standing():
            for place in item.places:
                if place.job_id == reader.job_id:
                    yield Waits(place)
        case protocol.TokensOut():
            async for news in _of_tokens(reader, item):
                yield news
        case protocol.FactOut(fact=fact) if _is_about(fact, reader.job_id, facts.JobFact):
            async for news in _of_fact(reader, fact):
                yield news


def _is_about(fact: facts.AnyFact, job_id: str, kind: type[facts.JobFact]) -> bool:
    return isinstance(fact, kind) and fact.job_id == job_id


async def _of_fact(reader: '_Reader', fact: facts.AnyFact) -> AsyncGenerator[News, None]:
    if isinstance(fact, facts.JobRequeued):
        yield Back(fact)
    elif isinstance(fact, facts.JobStarted | facts.JobEnded):
        if fact.epoch and reader.begins(fact.epoch):
            yield Began(fact.epoch, fact.worker)
        if isinstance(fact, facts.JobEnded) and (lines := await reader.rest()):
            yield Lines(lines)


async def _of_tokens(reader: '_Reader', tokens: protocol.TokensOut) -> AsyncGenerator[News, None]:
    if tokens.job_id != reader.job_id or tokens.epoch < reader.epoch:
        return
    if reader.begins(tokens.epoch):
        yield Began(tokens.epoch, '')
    if lines := await reader.take(tokens):
        yield Lines(lines)


class _Reader:
    """Keeps count of the lines that were given, and asks for those that were not heard."""

    def __init__(self, broker: 'BrokerClient', job_id: str) -> None:
        self.epoch = 0
        self._given = 0
        self._broker = broker
        self.job_id = job_id

    def begins(self, epoch: int) -> bool:
        """Whether this is a new run; it is then the one that counts."""
        if epoch <= self.epoch:
            return False
        self.epoch, self._given = epoch, 0
        return True

    async def take(self, tokens: protocol.TokensOut) -> tuple[bytes, ...]:
        """What is new in these."""
        if tokens.index > self._given:
            return await self.rest()
        fresh = tokens.lines[self._given - tokens.index :]
        self._given += len(fresh)
        return fresh

    async def rest(self) -> tuple[bytes, ...]:
        """All that the broker has beyond what was given."""
        if not self.epoch:
            return ()
        part = await self._broker.read_all(self.job_id, self.epoch, self._given)
        if part.epoch != self.epoch:
            return ()  # it has begun again meanwhile, and that is told next
        self._given = part.index + len(part.lines)
        return part.lines
