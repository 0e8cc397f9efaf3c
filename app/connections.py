"""How many connections the desk keeps at once: so many that they never take the files that it works with."""

import asyncio
from typing import Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol

from app.api import corner

FILES_OF_OURS = 400  # databases, logs, sockets to the queue, and what is on its way in when there are enough
AT_ONCE = 50  # asyncio takes in so many in one go, each of them a file, before it looks at the first
WAITING = 2048  # in the system's own queue
FIRST_BYTE_S = 60.0  # a connection that asks nothing for so long is closed
CUT = 'The body is shorter than its headers say; send all of it before you close the connection.'


def _head(media_type: bytes, text: bytes) -> bytes:
    return b'Content-Type: %b\r\nContent-Length: %d\r\nConnection: close\r\n' % (media_type, len(text))


_TEXT = b'The desk has as many connections as it can keep. Close some, then try again.\n'
FULL = b'HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\n%b\r\n%b' % (
    _head(b'text/plain; charset=utf-8', _TEXT),
    _TEXT,
)


def bounded(most: int) -> type[asyncio.Protocol]:
    """Uvicorn's own protocol, which says no to a connection beyond ``most``, and to one that never asks anything."""

    class Bounded(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
        full = False

        def connection_made(self, transport: Any) -> None:
            if len(self.connections) >= most:
                self.full = True
                transport.write(FULL)
                transport.close()
                return
            super().connection_made(Heads(transport, self.loop))
            self.timeout_keep_alive_task = self.loop.call_later(FIRST_BYTE_S, self.timeout_keep_alive_handler)

        def data_received(self, data: bytes) -> None:
            if not self.full:
                super().data_received(data)

        def eof_received(self) -> None:
            """Who closes its side in the middle of a body may still read why nothing comes of it.

            After a whole request it counts as gone, as for Ollama: nobody can tell this from a client that has left.
            """
            asked = None if self.full else self.cycle
            if asked is not None and asked.more_body and not asked.response_started:
                media_type, text = corner.refusal(asked.scope['path'], 400, CUT)
                self.transport.write(b'HTTP/1.1 400 Bad Request\r\n%b\r\n%b' % (_head(media_type, text), text))
                self.transport.push()

        def connection_lost(self, exc: Exception | None) -> None:
            if not self.full:
                super().connection_lost(exc)

    return Bounded


class Heads:
    """A transport on which the head of a reply leaves together with what follows it in the same turn of the loop.

    Alone it would wake the client before there is anything to read.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._head = b''

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send ``data``; a head in the next turn, where nothing follows it."""
        if self._head:
            data, self._head = self._head + data, b''
        elif data.startswith(b'HTTP/1.1 '):
            self._head = data
            self._loop.call_soon(self.push)
            return
        self._transport.write(data)

    def push(self) -> None:
        """A head that waits leaves now."""
        if self._head:
            data, self._head = self._head, b''
            self._transport.write(data)

    def close(self) -> None:
        """Close the connection once all is sent."""
        self.push()
        self._transport.close()
