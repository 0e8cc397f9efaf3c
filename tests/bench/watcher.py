"""A browser tab without a browser: it opens a page of the desk, keeps its socket, and counts what comes.

It does what the page's own script does on the wire (engine.io and socket.io over one websocket), and draws nothing.
"""

import asyncio
import contextlib
import json
import re
import uuid
from typing import Any, Self

import httpx
from websockets.asyncio.client import ClientConnection, connect

_ELEMENTS = re.compile(r'parseElements\(String\.raw`(.*?)`\)', re.DOTALL)
_CLIENT = re.compile(r"'client_id': '([^']+)'")


class Watcher:
    """One open tab. ``received`` counts the bytes that came over the socket, ``letters`` the messages."""

    def __init__(self, client_id: str, elements: dict[str, Any], socket: ClientConnection) -> None:
        self.client_id = client_id
        self.elements = elements
        self.received = 0
        self.letters = 0
        self.text = ''  # all of what came, where it is kept
        self.keep = False
        self.heard = asyncio.Event()
        self._socket = socket
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def open(cls, url: str, path: str = '/chat') -> Self:
        """Open a page, and its socket."""
        async with httpx.AsyncClient(timeout=60) as client:
            page = (await client.get(url + path, headers={'accept': 'text/html', 'accept-language': 'en'})).text
        client_id = _CLIENT.search(page)[1]
        elements = json.loads(_ELEMENTS.search(page)[1].replace('&#96;', '`').replace('&lt;', '<').replace('&gt;', '>')
                              .replace('&#36;', '$').replace('&amp;', '&'))  # fmt: skip
        query = (
            f'client_id={client_id}&next_message_id=0&implicit_handshake=true&document_id={uuid.uuid4()}'
            f'&tab_id={uuid.uuid4()}&EIO=4&transport=websocket'
        )
        address = url.replace('http://', 'ws://') + f'/_nicegui_ws/socket.io/?{query}'
        socket = await connect(address, max_size=None, compression=None, origin=url, open_timeout=60)
        await socket.recv()  # engine.io: open
        await socket.send('40')
        watcher = cls(client_id, elements, socket)
        return watcher

    async def emit(self, component: str, kind: str, *args: Any) -> None:
        """What the browser sends for an event of the element of this kind."""
        for number, element in self.elements.items():
            if component in str(element.get('component') or element.get('tag')):
                for event in element.get('events', ()):
                    if event['type'] == kind:
                        letter = {
                            'id': int(number),
                            'client_id': self.client_id,
                            'listener_id': event['listener_id'],
                            'args': [json.dumps(each) for each in args],
                        }
                        await self._socket.send('42' + json.dumps(['event', letter]))
                        return
        raise LookupError(f'no {component} with {kind}')

    async def close(self) -> None:
        """Leave the page."""
        self._reading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._reading
        await self._socket.close()

    async def _read(self) -> None:
        async for letter in self._socket:
            self.received += len(letter)
            self.letters += 1
            if self.keep:
                self.text += str(letter)
            self.heard.set()
            if letter == '2':  # ping
                await self._socket.send('3')
