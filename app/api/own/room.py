"""What all routes of our own API share: the doors' board and broker, the facts as they pass, the statistics."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Any

from starlette.requests import Request

from app.api import caller
from app.api.own import egress
from app.api.own.answer_pages import AnswerPages
from app.api.own.bulletin import Bulletin
from app.api.own.dispatch import Dispatch
from app.api.own.event_lines import EventLines
from app.api.own.meters import Meters
from app.api.own.outbox import Outbox, OutboxError
from app.api.own.post import Poster
from app.api.own.wanted import Ask, JobRequest
from app.api.trouble import Trouble
from app.api.work import Doors
from app.board import Board
from app.settings import AppSettings
from broker import facts, protocol
from broker.client import BrokerClient, new_job_id
from broker.job import FINAL

log = logging.getLogger(__name__)


class Room:
    """One for each process."""

    def __init__(self, doors: Doors) -> None:
        self.doors = doors
        self.bulletin = Bulletin()
        self.meters = Meters(doors.board)
        self.event_lines = EventLines()
        self.pages = AnswerPages()
        self.analytics: Any = None  # analytics.ledger.Ledger
        self.webhooks: Dispatch | None = None

    @contextlib.asynccontextmanager
    async def open(self, settings: AppSettings, analytics: Any) -> AsyncIterator[None]:
        """The parts that only a whole desk has: the statistics, and webhooks."""
        self.analytics = analytics
        self.meters.version = settings.version
        self.meters.recorded = analytics.last_seq
        self.webhooks = await self._webhooks(settings)
        try:
            yield
        finally:
            if self.webhooks is not None:
                await self.webhooks.close()
            self.webhooks = self.analytics = None

    async def _webhooks(self, settings: AppSettings) -> Dispatch | None:
        """Webhooks at work; None where their file cannot be used: the desk is there without them."""
        networks = egress.networks(settings.webhook_networks)
        try:
            dispatch = Dispatch(
                await Outbox.open(settings.data_dir / 'webhooks.db'),
                Poster(networks, timeout_s=settings.webhook_timeout_s),
                self.broker,
                self.bulletin,
                base_s=settings.webhook_retry_base_s,
                count=lambda outcome: self.meters.deliveries.labels(outcome).inc(),
            )
            await dispatch.start()
        except OutboxError as error:
            log.error('no webhooks: %s', error, extra={'action': 'webhooks'})
            return None
        return dispatch

    @property
    def board(self) -> Board:
        """The read model."""
        return self.doors.board

    @property
    def broker(self) -> BrokerClient:
        """The way to the queue. Raises ``Trouble`` while there is none."""
        return self.doors.broker

    def hear(self, fact: facts.AnyFact) -> None:
        """A fact happened."""
        self.bulletin.push(fact)
        self.meters.learn(fact)

    def model(self, asked: Ask) -> str:
        """The model as it was announced, or as it was asked for where nobody has it yet: the job waits for it."""
        named = asked.model_meant()
        if not named.isprintable() or named != named.strip() or len(named) > 300:
            raise Trouble('invalid', 'this cannot be the name of a model', param='model')
        return self.board.name_of(named) or named

    def order(self, asked: JobRequest, request: Request, now: float) -> protocol.Submit:
        """What the queue takes for this request. Raises ``Trouble``."""
        return asked.submit(asked.id or new_job_id(), self.model(asked), caller.user_of(request, asked.user), now)

    async def ended(self, job_id: str, wait_s: float) -> protocol.JobState:
        """The job when it has ended, or as it stands after so many seconds. Raises as ``BrokerClient.get``."""
        news = asyncio.Event()
        tap = self.board.tap(job_id, news.set)
        try:
            state = await self.broker.get(job_id)
            if state.job.state in FINAL or not wait_s:
                return state
            try:
                async with asyncio.timeout(wait_s):
                    while tap.ended is None and not tap.lost:
                        tap.take()  # only the end counts here
                        news.clear()
                        await news.wait()
            except TimeoutError:
                pass
            return await self.broker.get(job_id)
        finally:
            tap.close()
