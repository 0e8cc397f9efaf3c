"""The doors of the four in front of a real broker; a test speaks for the worker."""

import asyncio
import contextlib
import functools
import json
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
from fastapi import FastAPI

from analytics.ledger import Ledger
from app.api.entrance import Entrance
from app.board import Board
from app.desk import Desk
from app.feed import Feed
from broker import facts, protocol
from broker.client import BrokerClient
from tests.app.api.door import Call
from tests.broker.test_server import Broker, HandWorker, ipc

MODELS = ('m:latest', 'qwen3:latest')


@functools.cache
def entrance_with(**settings: str) -> tuple[Board, FastAPI, Entrance]:
    """All doors, made once: that takes longer than most tests here."""
    board, app = Board(), FastAPI()
    entrance = Entrance(
        board, heartbeat_s=60, version='1.2.3', default_model=settings.pop('default_model', ''), model_aliases=settings
    )
    entrance.add(app)
    return board, app, entrance


class Yard:
    """Everything behind the doors: ``await yard.get('/api/tasks')``, ``run = await yard.run()``, ``run.say('Hi')``."""

    def __init__(self, broker: Broker, folder: Path, *, with_figures: bool = False, **settings: str) -> None:
        self.board, self.app, self._entrance = entrance_with(**settings)
        self.board.__init__()  # it knows nothing yet
        self.folder = folder
        self._broker = broker
        self._with_figures = with_figures
        self._stack = contextlib.AsyncExitStack()
        self._calls: list[Call] = []

    async def __aenter__(self) -> Self:
        stack = self._stack
        self.worker = HandWorker(self._broker.endpoints)
        stack.callback(self.worker.close)
        await self.ready()
        self.broker = await stack.enter_async_context(BrokerClient(self._broker.endpoints.for_peers()))
        self.desk = await Desk.open(self.folder / 'desk.db')
        stack.push_async_callback(self.desk.close)
        self.ledger = None
        if self._with_figures:
            self.ledger = await Ledger.open(self.folder / 'analytics.duckdb', self.broker.facts_after)
            stack.push_async_callback(self.ledger.close)
        push = self.ledger.push if self.ledger is not None else lambda _: None
        feed = Feed(self.broker, self.board, push)
        feeding = asyncio.create_task(feed.run())
        stack.push_async_callback(_end, feeding)
        await stack.enter_async_context(self._entrance.open_to(self.broker, self.desk, self.ledger))
        transport = httpx.ASGITransport(self.app)
        self.http = await stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url='http://desk'))
        await feed.restored.wait()
        await self.until(lambda: len(self.board.models()) == len(MODELS))
        return self

    async def __aexit__(self, *_: object) -> None:
        for call in self._calls:
            call.task.cancel()
        await asyncio.gather(*(call.task for call in self._calls), return_exceptions=True)
        await self._stack.aclose()

    async def ready(self, slots: int = 1) -> None:
        models = tuple(facts.ModelInfo(name=name, engine='ollama', capabilities=('completion',)) for name in MODELS)
        await self.worker.say(
            protocol.Ready(
                worker='w', session='s', host='h', pid=1, engine='ollama', engine_version='0.33.0', slots=slots,
                models=models,
            )
        )  # fmt: skip

    async def get(self, path: str, **params: Any) -> Any:
        """The JSON of a reply that went well."""
        answer = await self.http.get(path, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def post(self, path: str, body: Any = None, status: int = 200, **headers: str) -> Any:
        answer = await self.http.post(path, json=body, headers=headers)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def refused(self, method: str, path: str, status: int, body: Any = None) -> Any:
        content = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        answer = await self.http.request(method, path, content=content)
        assert answer.status_code == status, answer.text
        return answer.json()

    def stream(self, path: str) -> Call:
        """A call whose bytes are looked at while they come."""
        self._calls.append(Call(self.app, 'GET', path, b'', {}))
        return self._calls[-1]

    async def run(self) -> 'Run':
        """The next job that the worker is given."""
        return Run(self, await self.worker.hears(protocol.Assign))

    async def answer(self, *texts: str) -> 'Run':
        """The worker takes the next job and says this."""
        run = await self.run()
        await run.say(*texts)
        await run.end()
        return run

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait for something on the board."""
        async with asyncio.timeout(40):
            while not condition():
                news = asyncio.Event()
                unsubscribe = self.board.on_queue(news.set), self.board.on_workers(news.set)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(news.wait(), 0.01)  # what is not told is looked at anew
                for each in unsubscribe:
                    each()

    async def held(self, job_id: str) -> None:
        """Wait until the desk knows that a worker has the job."""
        await self.until(lambda: (job := self.board.job(job_id)) is not None and job.held)

    async def ended(self, job_id: str) -> None:
        """Wait until the desk has all of a job."""
        await self.until(lambda: (job := self.board.job(job_id)) is not None and job.complete)


class Run:
    """A job that the worker has."""

    def __init__(self, yard: Yard, assign: protocol.Assign) -> None:
        self._yard = yard
        self._of = {'job_id': assign.job_id, 'epoch': assign.epoch}
        self.job_id, self.kind = assign.job_id, assign.kind
        self.body = json.loads(assign.body)
        self._lines = 0

    async def say(self, *texts: str) -> None:
        await self.line(*({'message': {'role': 'assistant', 'content': text}, 'done': False} for text in texts))

    async def line(self, *lines: dict[str, Any]) -> None:
        raw = tuple(json.dumps({'model': self.body['model'], **line}).encode() for line in lines)
        await self._yard.worker.say(protocol.Tokens(**self._of, index=self._lines, lines=raw))
        self._lines += len(raw)

    async def end(self) -> None:
        await self._settled(protocol.Finished(**self._of, lines=self._lines, usage=facts.Usage()))

    async def fail(self, detail: str, *, code: str = 'engine_error') -> None:
        await self._settled(protocol.Failed(**self._of, code=code, detail=detail, retryable=False))

    async def stopped(self) -> None:
        await self._yard.worker.hears(protocol.Stop)
        await self._settled(protocol.Stopped(**self._of))

    async def _settled(self, message: protocol.FromWorker) -> None:
        await self._yard.worker.say(message)
        await self._yard.worker.hears(protocol.Settled)
        await self._yard.ended(self.job_id)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    made = Broker(tmp_path, ipc(tmp_path))
    made.start()
    yield made
    made.stop()


@pytest.fixture
async def yard(broker: Broker, tmp_path: Path) -> AsyncIterator[Yard]:
    async with Yard(broker, tmp_path) as made:
        yield made


async def _end(task: 'asyncio.Task[None]') -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
