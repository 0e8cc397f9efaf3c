"""Connections without end: those beyond what the desk can keep hear it, and those that ask nothing go."""

import socket

import pytest

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
