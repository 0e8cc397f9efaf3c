"""HTTP/1.1 to an engine with little between a job and its socket: a request is one write, a reply is read as it comes.

A general client is ready for any event loop, for redirects, cookies and logins, and sends the head before the body:
that costs half a millisecond before each first token. Errors are httpx's, as where that is used.
"""

import asyncio
import base64
import socket
from collections import deque
from collections.abc import AsyncIterator, Mapping

import httptools
import httpx

KEPT, KEPT_S = 20, 5.0  # connections between two requests, and for how long
CONNECT_S = 5.0
_NEXT_ADDRESS_S = 0.25  # then another address of the same name is tried, too
_MAX_HEAD_BYTES = 100 * 1024
_MAX_UNREAD_BYTES = 256 * 1024  # of a reply; then its sender has to wait
_NO_ANSWER = 'the server ended the connection without an answer'
_CUT = 'the server ended the connection before the end of the answer'
_UNASKED = 'the server said something that it was not asked for'


class Wire:
    """POST requests to the server of ``address``, an ``http://`` URL. It reads no proxy settings."""

    def __init__(self, address: str, headers: Mapping[str, str]) -> None:
        url = httpx.URL(address)
        self._place = (url.raw_host.decode('ascii'), url.port or 80)
        told = {'Host': url.netloc.decode('ascii'), **headers}
        if url.username or url.password:
            login = base64.b64encode(f'{url.username}:{url.password}'.encode())
            told['Authorization'] = f'Basic {login.decode("ascii")}'
        self._headers = ''.join(f'{name}: {value}\r\n' for name, value in told.items()).encode('latin-1')
        self._idle: list[tuple[float, _Connection]] = []
        self._open: set[_Connection] = set()

    async def post(self, target: bytes, body: bytes) -> 'Reply':
        """The reply once its head is there; ``target`` is the path as a URL has it. To be closed in any case.

        Raises ``httpx.ConnectError`` or ``httpx.ConnectTimeout`` where there is no connection to be had, and
        ``httpx.ReadError`` or ``httpx.RemoteProtocolError`` when it is lost, which reading the reply may raise, too.
        """
        connection = self._kept() or await self._connected()
        try:
            head = b'POST %b HTTP/1.1\r\n%bContent-Length: %d\r\n\r\n' % (target, self._headers, len(body))
            connection.send(head + body)
            status, headers = await connection.head()
        except BaseException:
            connection.close()
            raise
        return Reply(self, connection, status, headers)

    async def aclose(self) -> None:
        """Close all connections."""
        for connection in list(self._open):
            connection.close()
        self._idle.clear()
        await asyncio.sleep(0)  # which closes the sockets

    def release(self, connection: '_Connection') -> None:
        """A reply is over: its connection may serve another request, or is closed."""
        if not connection.fit:
            connection.close()
            return
        self._idle.append((asyncio.get_running_loop().time(), connection))
        if len(self._idle) > KEPT:
            self._idle.pop(0)[1].close()

    def _kept(self) -> '_Connection | None':
        now = asyncio.get_running_loop().time()
        while self._idle:
            since, connection = self._idle.pop()
            if connection.fit and now - since < KEPT_S:
                return connection
            connection.close()
        return None

    async def _connected(self) -> '_Connection':
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_S):
                _, connection = await loop.create_connection(
                    lambda: _Connection(self._open), *self._place, happy_eyeballs_delay=_NEXT_ADDRESS_S
                )
        except TimeoutError:
            raise httpx.ConnectTimeout(f'no connection within {CONNECT_S:g} s') from None
        except socket.gaierror as error:
            raise httpx.ConnectError(str(error)) from None
        except OSError:
            raise httpx.ConnectError('All connection attempts failed') from None
        return connection


class Reply:
    """A reply: its ``status_code`` and ``headers`` (names in small letters), then its bytes, to be read once."""

    def __init__(self, wire: Wire, connection: '_Connection', status_code: int, headers: dict[str, str]) -> None:
        self._wire = wire
        self._connection: _Connection | None = connection
        self.status_code = status_code
        self.headers = headers

    async def aiter_raw(self) -> AsyncIterator[bytes]:
        """The body as it comes."""
        while self._connection is not None and (part := await self._connection.part()) is not None:
            yield part
        await self.aclose()

    def aiter_bytes(self) -> AsyncIterator[bytes]:
        """The same; unpacked where somebody on the way has packed it although nobody asked for that."""
        if self.headers.get('content-encoding', 'identity') == 'identity':
            return self.aiter_raw()
        return httpx.Response(self.status_code, headers=self.headers, content=self.aiter_raw()).aiter_bytes()

    async def aclose(self) -> None:
        """Let go of the connection: after a reply that was read to its end it serves the next request."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._wire.release(connection)


class _Connection(asyncio.Protocol):
    """One connection: a request, its reply, the next request. ``among`` holds it while it is open."""

    def __init__(self, among: 'set[_Connection]') -> None:
        self._among = among
        self._parser = httptools.HttpResponseParser(self)
        self._news: asyncio.Future[None] | None = None
        self._lost: httpx.TransportError | None = None
        self._paused = False
        self._begin()
        self._whole = True  # nothing was asked yet

    @property
    def fit(self) -> bool:
        """Whether it can take a request: the last reply was read to its end, and nobody has closed it."""
        return self._whole and not self._parts and self._lost is None and not self._transport.is_closing()

    def send(self, request: bytes) -> None:
        """Send a request, head and body."""
        self._begin()
        self._transport.write(request)

    async def head(self) -> tuple[int, dict[str, str]]:
        """The status and the headers of the reply."""
        while not self._has_head:
            await self._wait()
        return self._status, self._headers

    async def part(self) -> bytes | None:
        """The next bytes of the reply; None at its end."""
        while not self._parts:
            if self._whole:
                return None
            await self._wait()
        part = self._parts.popleft()
        self._unread -= len(part)
        if self._paused and self._unread <= _MAX_UNREAD_BYTES:
            self._paused = False
            self._transport.resume_reading()
        return part

    def close(self) -> None:
        """Close it at once."""
        self._transport.abort()

    def _begin(self) -> None:
        self._status = 0
        self._headers: dict[str, str] = {}
        self._head_bytes = 0
        self._has_head = self._whole = False
        self._parts = deque[bytes]()
        self._unread = 0

    async def _wait(self) -> None:
        if self._lost is not None:
            raise self._lost
        self._news = asyncio.get_running_loop().create_future()
        await self._news

    def _tell(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    def _lose(self, why: httpx.TransportError) -> None:
        """There is no more to come; what has come may still be read."""
        self._lost = self._lost or why
        self._transport.abort()
        self._tell()

    # for the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._among.add(self)

    def data_received(self, data: bytes) -> None:
        """More of the reply."""
        if self._whole:
            self._lose(httpx.RemoteProtocolError(_UNASKED))
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._lose(httpx.RemoteProtocolError(f'this is no HTTP: {error}'))
            return
        if self._unread > _MAX_UNREAD_BYTES and not self._paused:
            self._paused = True
            self._transport.pause_reading()
        self._tell()

    def eof_received(self) -> None:
        """The server has said all it wanted: which is a whole reply where that does not tell its length."""
        told = 'content-length' in self._headers or 'transfer-encoding' in self._headers
        self._whole = self._whole or (self._has_head and not told)
        self._lose(httpx.RemoteProtocolError(_CUT if self._has_head else _NO_ANSWER))

    def connection_lost(self, error: Exception | None) -> None:
        """It is closed."""
        self._among.discard(self)
        self._lose(httpx.ReadError(str(error or _CUT)))

    # for the parser

    def on_message_begin(self) -> None:
        """A head begins; after a whole reply there must be none."""
        if self._whole:
            self._lose(httpx.RemoteProtocolError(_UNASKED))

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        self._head_bytes += len(name) + len(value)
        if self._head_bytes > _MAX_HEAD_BYTES:
            self._lose(httpx.RemoteProtocolError(f'the head of the answer has more than {_MAX_HEAD_BYTES} bytes'))
        elif not self._has_head:  # what follows a body is of no interest
            key, text = name.decode('latin-1').lower(), value.decode('latin-1')
            self._headers[key] = f'{self._headers[key]}, {text}' if key in self._headers else text

    def on_headers_complete(self) -> None:
        """The head is there, unless it only announces another one (1xx)."""
        status = self._parser.get_status_code()
        if status < 200:
            self._headers = {}
        elif not self._whole:
            self._status, self._has_head = status, True

    def on_body(self, data: bytes) -> None:
        """Some bytes."""
        if not self._whole:
            self._parts.append(data)
            self._unread += len(data)

    def on_message_complete(self) -> None:
        """The reply is whole."""
        if self._has_head and not self._whole:
            self._whole = True
            if not self._parser.should_keep_alive():
                self._lose(httpx.RemoteProtocolError(_NO_ANSWER))
