"""A table that does not come to its end is no table, and that is said in one sentence."""

import contextlib
import socket
import threading
from types import SimpleNamespace

import pytest

from app.commands import tables
from app.commands.command import CommandError

BEGUN = b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nseq,\r\n'


@pytest.fixture
def broken_desk():
    """One that ends in the middle of its answer."""
    with socket.create_server(('127.0.0.1', 0)) as server:
        server.settimeout(40)  # where nobody comes, the test has failed already

        def answer():
            with contextlib.suppress(TimeoutError), server.accept()[0] as peer:
                peer.recv(65_536)
                peer.sendall(BEGUN)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield SimpleNamespace(corral=lambda: SimpleNamespace(url=f'http://127.0.0.1:{server.getsockname()[1]}'))
        thread.join()


def test_a_desk_that_breaks_off_is_told_of_and_not_blamed_on_the_disk(broken_desk, tmp_path):
    with pytest.raises(CommandError, match='broke off before the table was complete'):
        tables.export(broken_desk, 'starts', 'csv', 0.0, tmp_path / 'starts.csv')
