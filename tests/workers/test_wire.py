"""HTTP by hand has to take whatever a server may say, and to know when a connection can be used again."""

import asyncio
import contextlib
import gzip
import socket

import httpx
import pytest

from workers.engines.wire import KEPT, Wire, _Connection

OK = b'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'


class Server:
    """Gives each request the next of ``replies``; one that ends with None is followed by the end of the connection."""

    def __init__(self, *replies):
        self.replies = list(replies)
        self.requests = []
        self.connections = 0
        self.asked = asyncio.Event()
        self.closed = asyncio.Event()  # by the client
        self._writers = []

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._connected, '127.0.0.1', 0)
        self.url = f'http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}'
        self.wire = Wire(self.url, {'Content-Type': 'application/json'})
        return self

    async def __aexit__(self, *_):
        await self.wire.aclose()
        self._server.close()
        for writer in self._writers:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _connected(self, reader, writer):
        self.connections += 1
        self._writers.append(writer)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b'\r\n\r\n')
                length = int(head.lower().partition(b'content-length: ')[2].partition(b'\r\n')[0])
                self.requests.append(head + await reader.readexactly(length))
                self.asked.set()
                reply = self.replies.pop(0)
                for part in reply if isinstance(reply, tuple) else (reply,):
                    if part is None:
                        writer.close()
                        return
                    writer.write(part)
                    await writer.drain()
        self.closed.set()


async def asked(wire, body=b'{}'):
    """The status, the headers and the body of the reply."""
    reply = await wire.post(b'/api/chat', body)
    try:
        return reply.status_code, reply.headers, b''.join([part async for part in reply.aiter_bytes()])
    finally:
        await reply.aclose()


@pytest.mark.parametrize(
    ('reply', 'body'),
    [
        (OK, b'ok'),
        (b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n', b'ok'),
        (b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Trailer: t\r\n\r\n', b'ok'),
        (b'HTTP/1.1 100 Continue\r\nX-Early: 1\r\n\r\n' + OK, b'ok'),
        (b'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n', b''),
        (b'HTTP/1.1 204 No Content\r\n\r\n', b''),
    ],
)
async def test_a_whole_reply_leaves_the_connection_for_the_next_request(reply, body):
    async with asyncio.timeout(30), Server(reply, OK) as server:
        status, headers, found = await asked(server.wire)
        assert (status, found) == (204 if b' 204 ' in reply else 200, body)
        assert not {'x-early', 'x-trailer'} & headers.keys()
        assert (await asked(server.wire))[2] == b'ok'
        assert server.connections == 1


@pytest.mark.parametrize(
    'reply',
    [
        (b'HTTP/1.1 200 OK\r\n\r\nok', None),  # its end is the end of the connection
        (b'HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok',),
        (b'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok',),
        (OK + b'HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx',),  # more than was asked for
        (OK + b'what is this',),
    ],
)
async def test_a_reply_that_ends_its_connection_is_whole_and_the_next_request_has_a_new_one(reply):
    async with asyncio.timeout(30), Server(reply, OK) as server:
        assert (await asked(server.wire))[2] == b'ok'
        assert (await asked(server.wire))[2] == b'ok'
        assert server.connections == 2


async def test_what_comes_unasked_between_two_requests_costs_the_connection_alone():
    async with asyncio.timeout(30), Server(OK, OK) as server:
        await asked(server.wire)
        (writer,) = server._writers
        writer.write(OK)
        await server.closed.wait()
        assert (await asked(server.wire))[2] == b'ok'
        assert server.connections == 2


@pytest.mark.parametrize(
    ('reply', 'kind'),
    [
        ((None,), httpx.RemoteProtocolError),
        ((b'HTTP/1.1 200 OK\r\nContent-', None), httpx.RemoteProtocolError),
        ((b'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok', None), httpx.RemoteProtocolError),
        ((b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n', None), httpx.RemoteProtocolError),
        ((b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n',), httpx.RemoteProtocolError),
        (
            (b'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n',),
            httpx.RemoteProtocolError,
        ),
        ((b'SSH-2.0-OpenSSH\r\n',), httpx.RemoteProtocolError),
        ((b'HTTP/1.1 200 OK\r\n' + b'X-A: %b\r\n' % (b'a' * 1000) * 200,), httpx.RemoteProtocolError),
    ],
)
async def test_a_reply_that_breaks_off_or_is_no_http_is_told_as_that(reply, kind):
    async with asyncio.timeout(30), Server(reply, OK) as server:
        with pytest.raises(kind) as caught:
            await asked(server.wire)
        assert str(caught.value)
        assert (await asked(server.wire))[2] == b'ok'
        assert server.connections == 2


async def test_what_had_come_before_a_cut_is_given_first():
    reply = (b'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok', None)
    async with asyncio.timeout(30), Server(reply) as server:
        parts, answer = [], await server.wire.post(b'/', b'')
        with pytest.raises(httpx.RemoteProtocolError):
            async for part in answer.aiter_raw():
                parts.append(part)
        await answer.aclose()
        assert b''.join(parts) == b'ok'


async def test_a_request_is_one_line_its_headers_and_its_body():
    async with asyncio.timeout(30), Server(OK) as server:
        await asked(server.wire, b'{"a":1}')
        place = server.url.removeprefix('http://').encode()
        assert server.requests == [
            b'POST /api/chat HTTP/1.1\r\nHost: %b\r\nContent-Type: application/json\r\nContent-Length: 7\r\n\r\n{"a":1}'
            % place
        ]


async def test_the_login_of_an_address_goes_along():
    async with asyncio.timeout(30), Server(OK) as server:
        wire = Wire(server.url.replace('//', '//me:se%20cret@'), {})
        await asked(wire)
        await wire.aclose()
        assert b'\r\nAuthorization: Basic bWU6c2UgY3JldA==\r\n' in server.requests[0]
        assert b'\r\nHost: 127.0.0.1:' in server.requests[0]


async def test_a_packed_reply_is_unpacked_although_none_was_asked_for():
    packed = gzip.compress(b'{"done":true}')
    head = b'HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n' % len(packed)
    async with asyncio.timeout(30), Server(head + packed, OK) as server:
        assert (await asked(server.wire))[2] == b'{"done":true}'
        await asked(server.wire)
        assert server.connections == 1


async def test_who_stops_reading_closes_the_connection_at_once():
    reply = b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n'
    async with asyncio.timeout(30), Server(reply) as server:
        answer = await server.wire.post(b'/', b'')
        assert await anext(answer.aiter_raw()) == b'ok'
        await answer.aclose()
        await server.closed.wait()


async def test_a_cancelled_request_closes_its_connection():
    async with asyncio.timeout(30), Server(b'') as server:
        asking = asyncio.create_task(server.wire.post(b'/', b''))
        await server.asked.wait()
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await server.closed.wait()


class Pipe(asyncio.Transport):
    """A connection without a network."""

    def __init__(self):
        super().__init__()
        self.reads = True
        self.closed = False

    def write(self, data):
        self.written = data

    def pause_reading(self):
        self.reads = False

    def resume_reading(self):
        self.reads = True

    def is_closing(self):
        return self.closed

    def abort(self):
        self.closed = True


async def test_a_reply_that_nobody_reads_makes_its_sender_wait():
    pipe, connection = Pipe(), _Connection(set())
    connection.connection_made(pipe)
    connection.send(b'POST / HTTP/1.1\r\n\r\n')
    connection.data_received(b'HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n')
    assert (await connection.head())[0] == 200
    for _ in range(10):
        connection.data_received(bytes(100_000))
    assert not pipe.reads
    sizes = []
    while (part := await connection.part()) is not None:
        sizes.append(len(part))
        assert pipe.reads == (sum(sizes) >= 1_000_000 - 256 * 1024)
    assert sum(sizes) == 1_000_000
    assert connection.fit and pipe.reads and not pipe.closed


async def test_no_more_connections_are_kept_than_are_of_use():
    count = KEPT + 3
    async with asyncio.timeout(30), Server(*[OK] * 2 * count) as server:
        replies = [await server.wire.post(b'/', b'') for _ in range(count)]
        for reply in replies:
            assert [part async for part in reply.aiter_raw()] == [b'ok']
        assert server.connections == count
        assert len(server.wire._idle) == KEPT
        await asked(server.wire)
        assert server.connections == count


async def test_nobody_there_and_no_such_name_are_told_apart_from_a_lost_connection(monkeypatch):
    with socket.socket() as unused:  # bound but not listening
        unused.bind(('127.0.0.1', 0))
        with pytest.raises(httpx.ConnectError, match='All connection attempts failed'):
            await Wire(f'http://127.0.0.1:{unused.getsockname()[1]}', {}).post(b'/', b'')

    def unknown(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, 'Name or service not known')

    monkeypatch.setattr(socket, 'getaddrinfo', unknown)
    with pytest.raises(httpx.ConnectError, match='Name or service not known'):
        await Wire('http://nobody.invalid', {}).post(b'/', b'')
