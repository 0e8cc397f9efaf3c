"""Connections without end: those beyond what the desk can keep hear it, and those that ask nothing go."""

import asyncio
import socket

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route
from uvicorn.server import ServerState

from app import connections
from broker import child
from tests.app.test_guard import guarded, serving
from tests.conftest import PATIENCE_S


def opened(port):
    return socket.create_connection(('127.0.0.1', port), timeout=PATIENCE_S)


def said(connection):
    """All that comes until it is closed."""
    data = b''
    while part := connection.recv(4096):
        data += part
    return data


def test_one_connection_too_many_is_told_so_and_the_others_stay():
    bounded = serving(guarded(), http=connections.bounded(2))
    with bounded as port, opened(port) as first, opened(port), opened(port) as third:
        assert said(third) == connections.FULL
        first.sendall(b'GET / HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n' % port)
        assert first.recv(4096).startswith(b'HTTP/1.1 200 OK')


def test_a_connection_that_asks_nothing_is_closed(monkeypatch):
    monkeypatch.setattr(connections, 'FIRST_BYTE_S', 0.05)
    with serving(guarded(), http=connections.bounded(10)) as port, opened(port) as idle:
        assert said(idle) == b''


@pytest.mark.parametrize(
    ('limits', 'wanted'),
    [((1024, 20_000), 20_000), ((1024, -1), 65_536), ((20_000, 20_000), 20_000), ((-1, -1), 65_536)],
)
def test_as_many_files_are_open_as_the_system_allows(monkeypatch, limits, wanted):
    resource = pytest.importorskip('resource')
    monkeypatch.setattr(resource, 'getrlimit', lambda _: limits)
    monkeypatch.setattr(resource, 'setrlimit', lambda _, new: None)
    assert child.open_files() == wanted


class Sent:
    """A transport that notes what is written at once."""

    def __init__(self):
        self.writes = []
        self.closed = False
        self._news = asyncio.Event()

    async def until(self, count):
        """Wait for so many writes."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.writes) < count:
                self._news.clear()
                await self._news.wait()

    def write(self, data):
        assert not self.closed
        if data:
            self.writes.append(data)
            self._news.set()

    def close(self):
        self.closed = True

    def is_closing(self):
        return self.closed

    def get_extra_info(self, name):
        return None


def asked(reply):
    """A transport on which somebody has asked for ``reply``, and what serves it."""
    config = uvicorn.Config(Starlette(routes=[Route('/', lambda request: reply)]), lifespan='off', log_config=None)
    config.load()
    sent, serves = Sent(), connections.bounded(10)(config, ServerState(), {})
    serves.connection_made(sent)
    serves.data_received(b'GET / HTTP/1.1\r\nHost: here\r\n\r\n')
    return sent, serves


async def test_a_reply_leaves_in_one_piece():
    sent, serves = asked(PlainTextResponse('Hello'))
    await sent.until(1)
    assert sent.writes[0].startswith(b'HTTP/1.1 200 OK') and sent.writes[0].endswith(b'\r\n\r\nHello')
    serves.connection_lost(None)


async def test_a_head_does_not_wait_for_a_body_that_comes_later():
    more = asyncio.Event()

    async def parts():
        await more.wait()
        yield b'Hello'

    sent, serves = asked(StreamingResponse(parts()))
    await sent.until(1)
    assert sent.writes[0].startswith(b'HTTP/1.1 200 OK') and sent.writes[0].endswith(b'\r\n\r\n')
    more.set()
    await sent.until(2)
    assert b'Hello' in sent.writes[1]
    serves.connection_lost(None)


async def test_a_head_leaves_before_its_connection_is_closed():
    sent = Sent()
    heads = connections.Heads(sent, asyncio.get_running_loop())
    heads.write(b'HTTP/1.1 400 Bad Request\r\n\r\n')
    assert sent.writes == []
    heads.close()
    assert sent.writes == [b'HTTP/1.1 400 Bad Request\r\n\r\n'] and sent.closed


async def test_what_is_no_head_leaves_at_once_and_in_order():
    sent = Sent()
    heads = connections.Heads(sent, asyncio.get_running_loop())
    for part in (b'HTTP/1.1 100 Continue\r\n\r\n', b'HTTP/1.1 200 OK\r\n\r\n', b'one', b'two'):
        heads.write(part)
    assert sent.writes == [b'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n', b'one', b'two']
