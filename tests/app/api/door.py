"""The doors with a queue made by hand: a test says what the broker and the workers do, and looks at each byte sent.

``async with Door() as door``; ``call = door.post('/api/chat', {…})``; ``job = await door.job()``; ``door.say(…)``.
"""

import asyncio
import contextlib
import functools
import json
from collections.abc import Callable
from typing import Any, Self

from fastapi import FastAPI

from app.api.entrance import Entrance
from app.board import Board
from broker import errors, protocol
from tests.app import news as n
from tests.app.news import News
from tests.conftest import PATIENCE_S


class FakeBroker:
    """Takes jobs and remembers them; ``error`` makes it refuse, ``held`` makes it slow to say yes."""

    def __init__(self) -> None:
        self.submitted: list[protocol.Submit] = []
        self.cancelled: list[str] = []
        self.error: errors.BrokerError | None = None
        self.refusals: list[errors.Refused] = []  # one for each of the next jobs
        self.quotas: list[protocol.Quota] = []  # what the limits leave after each of the next jobs
        self.held = asyncio.Event()
        self.held.set()
        self.news = asyncio.Event()

    async def submit(self, job: protocol.Submit) -> protocol.Accepted:
        self.submitted.append(job)
        self.news.set()
        await self.held.wait()
        if self.refusals:
            raise self.refusals.pop(0)
        if self.error is not None:
            raise self.error
        return protocol.Accepted(job_id=job.job_id, quota=self.quotas.pop(0) if self.quotas else None)

    async def cancel(self, job_id: str) -> None:
        self.cancelled.append(job_id)
        self.news.set()


class Call:
    """One request, and what has been answered so far."""

    def __init__(self, app: FastAPI, method: str, path: str, body: bytes, headers: dict[str, str]) -> None:
        self.messages: list[dict[str, Any]] = []
        self._news = asyncio.Event()
        self._gone = asyncio.Event()
        self._unread = [body]
        raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        where, _, query = path.partition('?')
        scope = {
            'type': 'http', 'asgi': {'version': '3.0', 'spec_version': '2.3'}, 'http_version': '1.1', 'scheme': 'http',
            'method': method, 'path': where, 'raw_path': where.encode(), 'query_string': query.encode(),
            'root_path': '', 'headers': [(b'host', b'localhost'), *raw], 'client': ('10.0.0.9', 1), 'server': ('x', 1),
        }  # fmt: skip
        self.task = asyncio.create_task(app(scope, self._receive, self._send))

    @property
    def status(self) -> int:
        return self.messages[0]['status']

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.messages[0]['headers']}

    @property
    def body(self) -> bytes:
        return b''.join(message.get('body', b'') for message in self.messages[1:])

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    async def end(self) -> Self:
        """Wait until it is answered."""
        async with asyncio.timeout(PATIENCE_S):
            await self.task
        return self

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait for a message that makes ``condition`` true."""
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                await self._news.wait()
                self._news.clear()

    def leave(self) -> None:
        """The client closes the connection."""
        self._gone.set()

    async def _receive(self) -> dict[str, Any]:
        if self._unread:
            return {'type': 'http.request', 'body': self._unread.pop(), 'more_body': False}
        await self._gone.wait()
        return {'type': 'http.disconnect'}

    async def _send(self, message: dict[str, Any]) -> None:
        self.messages.append(message)
        self._news.set()


@functools.cache
def entrance_with(heartbeat_s: float) -> tuple[Board, FastAPI, Entrance]:
    """All doors, made once: that takes longer than most tests of them."""
    board, app = Board(), FastAPI()
    entrance = Entrance(board, heartbeat_s=heartbeat_s)
    entrance.add(app)
    return board, app, entrance


class Door:
    """All doors, with one worker that has the model ``m:latest``. One at a time: they share what took long to make."""

    def __init__(self, *, heartbeat_s: float = 60.0) -> None:
        self.board, self.app, self._entrance = entrance_with(heartbeat_s)
        self.board.__init__()  # type: ignore[misc] # it knows nothing yet
        self.news = News()
        self.broker = FakeBroker()
        self._calls: list[Call] = []
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        self.say(self.news.joined(models=(n.model('m:latest'),)))
        await self._stack.enter_async_context(self._entrance.open_to(self.broker))
        return self

    async def __aexit__(self, *_: object) -> None:
        for call in self._calls:
            call.task.cancel()
        await asyncio.gather(*(call.task for call in self._calls), return_exceptions=True)
        await self._stack.aclose()

    def say(self, *items: protocol.AnyPublished) -> None:
        """The broker publishes these."""
        for item in items:
            self.board.apply(item, self.news.now)

    def call(self, method: str, path: str, body: Any = b'', headers: dict[str, str] | None = None) -> Call:
        """Send a request; ``body`` is bytes or what JSON makes of it."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self._calls.append(Call(self.app, method, path, data, headers or {}))
        return self._calls[-1]

    def post(self, path: str, body: Any = b'', **headers: str) -> Call:
        """A POST; headers with _ for -."""
        return self.call('POST', path, body, {name.replace('_', '-'): value for name, value in headers.items()})

    async def job(self, count: int = 1) -> protocol.Submit:
        """Wait for so many jobs; the last of them, queued as far as the board knows."""
        await self.until(lambda: len(self.broker.submitted) >= count)
        job = self.broker.submitted[count - 1]
        self.say(self.news.queued(job.job_id, kind=job.kind, model=job.model, priority=job.priority, user=job.user))
        return job

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait for something at the broker."""
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                await self.broker.news.wait()
                self.broker.news.clear()

    def answer(self, job: protocol.Submit, *lines: bytes, epoch: int = 1) -> None:
        """A worker starts the job, says these lines, and is done."""
        self.say(self.news.started(job.job_id, epoch))
        self.lines(job, *lines, epoch=epoch)
        self.say(self.news.completed(job.job_id, len(lines), epoch))

    def lines(self, job: protocol.Submit, *lines: bytes, index: int = 0, epoch: int = 1) -> None:
        """The next lines of a job that runs."""
        self.say(protocol.TokensOut(job_id=job.job_id, epoch=epoch, index=index, lines=lines))
