"""Server-sent events that are nothing but ``data:`` lines; a reader that leaves ends them and nothing else."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.api import presence

HEADERS = (
    (b'content-type', b'text/event-stream; charset=utf-8'),
    (b'cache-control', b'no-cache'),
    (b'x-accel-buffering', b'no'),
)


class EventStream(Response):
    """Sends each object as an event as soon as it comes."""

    def __init__(self, events: AsyncGenerator[object, None]) -> None:
        super().__init__()
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until there are no more events or nobody reads them."""
        sending = asyncio.create_task(self._send_all(send), name='events')
        leaving = asyncio.create_task(presence.left(receive), name='reader')
        try:
            await asyncio.wait((sending, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            finished = sending.done()
            for task in (sending, leaving):
                task.cancel()
            await asyncio.gather(sending, leaving, return_exceptions=True)
        if finished:
            sending.result()

    async def _send_all(self, send: Send) -> None:
        headers = [*HEADERS, *((name, value) for name, value in self.raw_headers if name.startswith(b'x-'))]
        await send({'type': 'http.response.start', 'status': 200, 'headers': headers})
        async with contextlib.aclosing(self._events) as events:
            async for event in events:
                data = b'data: ' + msgspec.json.encode(event) + b'\n\n'
                await send({'type': 'http.response.body', 'body': data, 'more_body': True})
        await send({'type': 'http.response.body', 'body': b''})
