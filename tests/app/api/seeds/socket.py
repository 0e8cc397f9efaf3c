"""A WebSocket that is spoken to without a network."""

import asyncio
from typing import Any, Self

from fastapi import FastAPI


class Socket:
    """``async with Socket(app, '/ws') as socket: await socket.text()``."""

    def __init__(self, app: FastAPI, path: str) -> None:
        self._to_app: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._from_app: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._scope = {
            'type': 'websocket', 'asgi': {'version': '3.0', 'spec_version': '2.3'}, 'http_version': '1.1',
            'scheme': 'ws', 'path': path, 'raw_path': path.encode(), 'query_string': b'', 'root_path': '',
            'headers': [(b'host', b'localhost')], 'client': ('10.0.0.9', 1), 'server': ('x', 1), 'subprotocols': [],
        }  # fmt: skip
        self._app = app

    async def __aenter__(self) -> Self:
        self._to_app.put_nowait({'type': 'websocket.connect'})
        self._task = asyncio.create_task(self._app(self._scope, self._to_app.get, self._from_app.put))
        assert (await self._hears())['type'] == 'websocket.accept'
        return self

    async def __aexit__(self, *_: object) -> None:
        self._to_app.put_nowait({'type': 'websocket.disconnect', 'code': 1000})
        async with asyncio.timeout(40):
            await self._task

    async def text(self) -> str:
        """The next message."""
        message = await self._hears()
        assert message['type'] == 'websocket.send', message
        return message['text']

    async def say(self, text: str) -> None:
        self._to_app.put_nowait({'type': 'websocket.receive', 'text': text})

    async def _hears(self) -> dict[str, Any]:
        async with asyncio.timeout(40):
            return await self._from_app.get()
