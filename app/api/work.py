"""The jobs behind one call: queued together, followed together, and cancelled when nobody waits for them any more."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator, Coroutine, Sequence
from typing import Any

import msgspec

from app.api import trouble
from app.api.trouble import Trouble
from app.board import Board
from app.tap import Tap
from app.views import JobView
from broker import errors, facts, protocol
from broker.client import BrokerClient, new_job_id

MOST_LINES = 500  # given to a door in one go; then it is others' turn
CANCEL_TRIES = 6  # of some seconds each: as long as a broker takes to be started again

log = logging.getLogger(__name__)


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What a door wants done. ``model`` is the name as announced, ``body`` what the engine gets.

    With an ``idempotency_key`` the job outlives its call: the client may come back for the answer with the same key.
    """

    kind: str
    model: str
    body: bytes
    priority: int
    user: str
    path: str = ''
    idempotency_key: str = ''


class Doors:
    """What all doors share: the board, the broker once it is there, and work that outlives its call."""

    def __init__(self, board: Board, *, heartbeat_s: float) -> None:
        self.board = board
        self.heartbeat_s = heartbeat_s
        self._broker: BrokerClient | None = None
        self._later: set[asyncio.Task[None]] = set()

    def open(self, broker: BrokerClient) -> None:
        """From now on there is a broker."""
        self._broker = broker

    async def close(self, timeout_s: float = 1.0) -> None:
        """Let the last cancellations out."""
        if self._later:
            await asyncio.wait(self._later, timeout=timeout_s)
        for task in self._later:
            task.cancel()
        self._broker = None

    @property
    def broker(self) -> BrokerClient:
        """The way to the queue. Raises ``Trouble`` before ``open`` and after ``close``."""
        if self._broker is None:
            raise Trouble('broker_away', 'The desk is starting or stopping; try again soon.')
        return self._broker

    def later(self, work: Coroutine[Any, Any, None]) -> None:
        """Do this although the call is over."""
        task = asyncio.get_running_loop().create_task(work, name='after a call')
        self._later.add(task)
        task.add_done_callback(self._later.discard)

    def model(self, asked: str) -> str:
        """The announced name of the model that ``asked`` means. Raises ``Trouble`` where nobody has it."""
        name = self.board.name_of(asked)
        if name:
            return name
        engine = self.board.engine()
        if not self.board.broker_alive or not engine.kind or engine.problem == 'unreachable':
            raise Trouble('no_backend', 'No machine can answer at the moment; try again soon.')
        raise Trouble('model_not_found', f"model '{asked}' not found", param='model')


class Work:
    """Some jobs. ``submit`` them, read them by ``lines`` or ``answers``, and ``close`` in any case."""

    def __init__(self, doors: Doors, orders: Sequence[Order]) -> None:
        self.jobs = [new_job_id() for _ in orders]
        self.began_at = time.time()
        self.quota: protocol.Quota | None = None  # what the limits leave, once the jobs are queued
        self._doors = doors
        self._orders = orders
        self._news = asyncio.Event()
        self._taps = [doors.board.tap(job_id, self._news.set) for job_id in self.jobs]
        self._sending: list[asyncio.Task[protocol.Accepted]] = []

    async def submit(self) -> None:
        """Queue them all; returns when they are on disk. Raises ``Trouble``."""
        broker = self._doors.broker
        requests = [
            protocol.Submit(job_id=job_id, **msgspec.structs.asdict(order))
            for job_id, order in zip(self.jobs, self._orders, strict=True)
        ]
        # tasks of their own: what was begun when the caller went away has to be cancelled afterwards
        self._sending = [asyncio.create_task(broker.submit(request)) for request in requests]
        await asyncio.wait(self._sending)
        for error in [task.exception() for task in self._sending]:
            if error is not None:
                raise trouble.of_broker(error) if isinstance(error, errors.BrokerError) else error
        quotas = [quota for task in self._sending if (quota := task.result().quota) is not None]
        self.quota = min(quotas, key=lambda quota: (quota.remaining, -quota.reset_s), default=None)
        for place, task in enumerate(self._sending):
            if task.result().job_id != self.jobs[place]:
                await self._join(place, task.result().job_id)

    async def lines(self) -> AsyncGenerator[tuple[int, list[bytes]], None]:
        """Lines as they come, with the place of their job; ``(-1, [])`` whenever there was nothing for a while.

        Raises ``Trouble`` when a job fails, and when one begins anew after lines of it were given.
        """
        clock = asyncio.get_running_loop().time
        left = dict(enumerate(self._taps))
        beat_at = clock() + self._doors.heartbeat_s
        while left:
            self._news.clear()
            for place, tap in list(left.items()):
                ended, restarted = tap.ended, tap.restarted
                if lines := tap.take(MOST_LINES):
                    yield place, lines
                    beat_at = clock() + self._doors.heartbeat_s
                if tap.waits:
                    self._news.set()
                    await asyncio.sleep(0)
                    continue
                if restarted:
                    raise Trouble('interrupted', f'the answer broke off and began anew: {restarted}')
                if tap.lost:
                    raise Trouble('lost', 'the queue does not know this job any more')
                if ended is not None:
                    _check(tap)
                    del left[place]
            if left and not await self._news_until(beat_at):
                yield -1, []
                beat_at = clock() + self._doors.heartbeat_s

    async def answers(self, patience_s: float = 0.0) -> list[list[bytes]]:
        """All lines of each job once all have ended. Raises ``Trouble``, also when the wait would be too long."""
        while True:
            self._news.clear()
            over = [tap for tap in self._taps if tap.ended is not None]
            for tap in over:
                _check(tap)
            if any(tap.lost for tap in self._taps):
                raise Trouble('lost', 'the queue does not know this job any more')
            if len(over) == len(self._taps):
                return [tap.take() for tap in self._taps]
            self._refuse_if_too_long(patience_s)
            await self._news.wait()

    def close(self) -> None:
        """Nobody waits any more: what has not ended is cancelled."""
        for tap in self._taps:
            tap.close()
        for tap, sending, order in zip(self._taps, self._sending, self._orders, strict=False):
            if tap.ended is None and not order.idempotency_key:
                self._doors.later(self._cancel(tap.job_id, sending))

    def headers(self) -> dict[str, str]:
        """What a reply says about its jobs: their ids, the wait so far, and how many went first."""
        told = {'X-Queue-Job-Id': ','.join(self.jobs), 'X-Queue-Wait-Ms': str(self._waited_ms())}
        if self._taps[0].position is not None:
            told['X-Queue-Position'] = str(self._taps[0].position)
        return told

    def view(self) -> JobView | None:
        """The first job as the board sees it."""
        return self._doors.board.job(self.jobs[0])

    async def _join(self, place: int, job_id: str) -> None:
        """The call turned out to be for a job that was there before: give what it has said, and follow it."""
        board, broker = self._doors.board, self._doors.broker
        self._taps[place].close()
        self._taps[place] = tap = board.tap(job_id, self._news.set)
        self.jobs[place] = job_id
        try:
            part = await broker.read_all(job_id)
            tap.give(part.epoch, part.index, list(part.lines))
            job = board.job(job_id)
            if job is None or job.complete:  # no news of it may be on the way
                history = await broker.history(job_id)
                if ends := [fact for fact in history if isinstance(fact, facts.JobEnded)]:
                    tap.end(ends[-1])
        except errors.BrokerError as error:
            raise trouble.of_broker(error) from None

    def _waited_ms(self) -> int:
        job = self.view()
        waited_s = job.waited_s if job is not None and job.started_at else time.time() - self.began_at
        return max(0, round(waited_s * 1000))

    def _refuse_if_too_long(self, patience_s: float) -> None:
        job = self.view()
        if not patience_s or job is None or not job.waits or not job.earliest_at:
            return
        wait_s = job.earliest_at - self.began_at
        if wait_s > patience_s:
            so_long = f'this would wait {wait_s:.0f} s and the client gives up after {patience_s:.0f} s'
            raise Trouble('too_long_wait', f'{so_long}; stream it, or try later', retry_after_s=wait_s)

    async def _news_until(self, when: float) -> bool:
        try:
            async with asyncio.timeout_at(when):
                await self._news.wait()
        except TimeoutError:
            return False
        return True

    async def _cancel(self, job_id: str, sending: 'asyncio.Task[protocol.Accepted]') -> None:
        await asyncio.wait((sending,))  # a wish that overtakes its job is not known to anybody
        if isinstance(sending.exception(), errors.Refused):
            return
        log.info('nobody waits for it any more', extra={'action': 'abandon', 'job_id': job_id})
        for _ in range(CANCEL_TRIES):
            try:
                await self._doors.broker.cancel(job_id)
                return
            except errors.Refused:  # it has ended meanwhile, or never got there
                return
            except errors.BrokerUnreachable:
                continue
            except Trouble:
                return


class Followed(Work):
    """A job that was queued before, and is only read here: when nobody reads it any more it goes on."""

    def __init__(self, doors: Doors, job_id: str) -> None:
        super().__init__(doors, ())
        self.jobs = [job_id]
        self._taps = [doors.board.tap(job_id, self._news.set)]

    async def submit(self) -> None:
        """Find out what it has said. Raises ``Trouble``."""
        await self._join(0, self.jobs[0])

    async def lines(self) -> AsyncGenerator[tuple[int, list[bytes]], None]:
        """As of ``Work``, with a sign of life at once: the job is there."""
        yield -1, []
        async with contextlib.aclosing(super().lines()) as parts:
            async for part in parts:
                yield part


def _check(tap: Tap) -> None:
    """Raise ``Trouble`` unless the job of ``tap``, which has ended, ended with an answer."""
    if tap.ended is not None and (failure := trouble.of_end(tap.ended)) is not None:
        raise failure
    if tap.incomplete:
        raise Trouble('lost', 'the answer is not kept any more')
