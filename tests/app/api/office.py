"""The doors in this process, in front of a queue with the demo engine: a desk that can be ended and begun again.

``async with Office(queue, folder) as office``: ``office.client`` is the official one, ``office.broker`` the queue's.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Self, TypeVar

import openai
from fastapi import FastAPI
from httpx2 import ASGITransport, AsyncClient

from app.api.entrance import Entrance
from app.board import Board
from app.desk import Desk
from app.feed import Feed
from broker.client import BrokerClient
from broker.endpoints import Endpoints
from tests.conftest import PATIENCE_S

Found = TypeVar('Found')
USER = 'somebody'
BATCH_ENDED = {'completed', 'failed', 'expired', 'cancelled'}


class Office:
    """A desk on the queue whose data directory is ``queue``; its own data is in ``folder``."""

    def __init__(self, queue: Path, folder: Path, *, user: str = USER, **settings: Any) -> None:
        self.folder = folder
        self.app = FastAPI()
        self.board = Board()
        self.entrance = Entrance(self.board, heartbeat_s=60, data_dir=folder, **settings)
        self.entrance.add(self.app)
        self._queue = queue
        self._user = user
        self._stack = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        enter = self._stack.enter_async_context
        endpoints = Endpoints.model_validate_json((self._queue / 'run' / 'endpoints.json').read_bytes())
        self.broker = await enter(BrokerClient(endpoints))
        feed = Feed(self.broker, self.board, lambda fact: None)
        task = asyncio.create_task(feed.run())
        self._stack.push_async_callback(_end, task)
        async with asyncio.timeout(PATIENCE_S):
            await feed.restored.wait()
        self.desk = await Desk.open(self.folder / 'desk.db')
        self._stack.push_async_callback(self.desk.close)
        await enter(self.entrance.open_to(self.broker, self.desk))
        self.http = await enter(AsyncClient(transport=ASGITransport(self.app), base_url='http://desk', timeout=20))
        self.client = openai.AsyncOpenAI(
            base_url='http://desk/v1',
            api_key='none',
            max_retries=0,
            http_client=self.http,
            default_headers={'X-Queue-User': self._user},
            _strict_response_validation=True,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def batch(self, lines: bytes, endpoint: str = '/v1/chat/completions', **more: Any) -> Any:
        """A new batch of these lines."""
        file = await self.client.files.create(file=('lines.jsonl', lines), purpose='batch')
        return await self.client.batches.create(
            input_file_id=file.id, endpoint=endpoint, completion_window='24h', **more
        )

    async def batch_when(self, name: str, *states: str) -> Any:
        """A batch when it has come to one of these states."""

        async def found() -> Any:
            batch = await self.client.batches.retrieve(name)
            return batch if batch.status in states else None

        return await until(found)

    async def no_batch_runs(self) -> bool:
        """Whether every batch has ended."""
        return all([batch.status in BATCH_ENDED async for batch in self.client.batches.list()])

    async def content(self, file_id: str | None) -> bytes:
        """The bytes of a file; none where there is no file."""
        return (await self.client.files.content(file_id)).content if file_id else b''


async def until(look: Callable[[], Awaitable[Found]], timeout_s: float = PATIENCE_S) -> Found:
    """What ``look`` gives when that is something."""
    async with asyncio.timeout(timeout_s):
        while not (found := await look()):  # noqa: ASYNC110 - what is looked at is behind HTTP
            await asyncio.sleep(0.01)
    return found


async def _end(task: 'asyncio.Task[None]') -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
