"""``/ws`` of ollama-queue: the whole list of tasks, on connecting and whenever something changed."""

import asyncio
import contextlib
import logging

import msgspec
from starlette.websockets import WebSocket, WebSocketDisconnect

from app.api.seeds.calls import Seeds
from app.api.seeds.tasks import Tasks, Wanted
from app.api.trouble import Trouble
from broker import errors

PACE_S = 0.5  # the list is long: twice a second is enough
LISTED = 200  # newest tasks

log = logging.getLogger(__name__)


class TaskFeed:
    """One list for all who are connected."""

    def __init__(self, seeds: Seeds, tasks: Tasks) -> None:
        self._seeds = seeds
        self._tasks = tasks
        self._made: tuple[int, bytes] = (-1, b'')

    async def serve(self, socket: WebSocket) -> None:
        """Until its client goes away; what that says is not listened to."""
        await socket.accept()
        sending = asyncio.create_task(self._send(socket), name='tasks')
        leaving = asyncio.create_task(_left(socket), name='reader')
        try:
            await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sending, leaving):
                task.cancel()
            failure, _ = await asyncio.gather(sending, leaving, return_exceptions=True)
            if isinstance(failure, Exception):
                log.error('the list of tasks cannot be sent', exc_info=failure, extra={'action': 'tasks'})

    async def _send(self, socket: WebSocket) -> None:
        news = asyncio.Event()
        unsubscribe = self._seeds.doors.board.on_queue(news.set)
        told = b''
        try:
            while True:
                news.clear()
                with contextlib.suppress(Trouble, errors.BrokerError):  # the queue is away: the list stays as it was
                    if (made := await self._list()) != told:
                        await socket.send_text(made.decode())
                        told = made
                await asyncio.sleep(PACE_S)
                await news.wait()
        except (WebSocketDisconnect, RuntimeError):  # it left while something was being sent
            return
        finally:
            unsubscribe()

    async def _list(self) -> bytes:
        version = self._seeds.doors.board.queue_version
        if self._made[0] != version:
            self._made = version, msgspec.json.encode(await self._tasks.list(Wanted(limit=LISTED)))
        return self._made[1]


async def _left(socket: WebSocket) -> None:
    while (await socket.receive())['type'] != 'websocket.disconnect':
        pass
