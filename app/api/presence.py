"""Whether the client of a call is still there."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive

Found = TypeVar('Found')


async def left(receive: Receive) -> None:
    """Return when the client has closed the connection. To be asked when its body has been read."""
    while (await receive())['type'] != 'http.disconnect':
        pass


async def while_there(request: Request, work: Coroutine[Any, Any, Found]) -> Found:
    """What ``work`` gives. When the client leaves first it is cancelled, and ``ClientDisconnect`` raised."""
    working = asyncio.create_task(work, name='work for a client')
    leaving = asyncio.create_task(left(request.receive), name='client')
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect()
        return working.result()
    finally:
        working.cancel()
        leaving.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)
