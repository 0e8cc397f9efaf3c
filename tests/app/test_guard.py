"""Raw bytes against a real server: what a hostile page could make a browser send must be refused."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from app.guard import CSP, Guard

Ask = Callable[..., tuple[int, str]]
LIMIT = 3 * 1024 * 1024
EVIL = 'http://evil.example'


async def body_size(request: Request) -> PlainTextResponse:
    return PlainTextResponse(str(len(await request.body())))


async def hello(socket: WebSocket) -> None:
    await socket.accept()
    await socket.close()


def guarded(**options: object) -> Guard:
    methods = ['GET', 'POST', 'DELETE']
    routes = [
        Route('/', body_size, methods=methods),
        Route('/upload', body_size, methods=methods),
        Route('/_nicegui_ws/socket.io/', body_size, methods=methods),
        WebSocketRoute('/_nicegui_ws/socket.io/', hello),
    ]
    return Guard(Starlette(routes=routes), **options)


@contextlib.contextmanager
def serving(guard: Guard, **more: object) -> Iterator[int]:
    with socket.create_server(('127.0.0.1', 0)) as listening:
        guard.port = listening.getsockname()[1]
        options = {'log_config': None, 'lifespan': 'off', 'timeout_graceful_shutdown': 1, **more}
        server = uvicorn.Server(uvicorn.Config(guard, **options))
        thread = threading.Thread(target=server.run, kwargs={'sockets': [listening]})
        thread.start()
        try:
            yield guard.port
        finally:
            server.should_exit = True
            thread.join(10)
            assert not thread.is_alive()


@pytest.fixture(scope='module')
def port() -> Iterator[int]:
    with serving(guarded(hosts=('desk.lan',), max_bytes=LIMIT, uploads={'/upload': LIMIT + 1})) as port:
        yield port


@pytest.fixture
def ask(port: int) -> Ask:
    """A function that sends one raw request to a guarded server; returns the status and the whole answer."""

    def send(
        host: str = '127.0.0.1:PORT', *, origin: str = '', path: str = '/', method: str = 'GET', ws: bool = False
    ) -> tuple[int, str]:
        lines = [f'{method} {path} HTTP/1.1', f'Host: {host}', f'Connection: {"Upgrade" if ws else "close"}']
        lines += [f'Origin: {origin}'] if origin else []
        lines += ['Upgrade: websocket', 'Sec-WebSocket-Version: 13'] if ws else []
        lines += ['Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=='] if ws else []
        return raw(port, '\r\n'.join([*lines, '', '']).replace('PORT', str(port)).encode())

    return send


def raw(port: int, data: bytes) -> tuple[int, str]:
    with socket.create_connection(('127.0.0.1', port), timeout=45) as connection:
        connection.sendall(data)
        answer = b''
        while chunk := connection.recv(65536):
            answer += chunk
            if answer.startswith(b'HTTP/1.1 101') or b'connection: close' not in answer.lower():
                break
    text = answer.decode('latin-1')
    return int(text.split(' ', 2)[1]), text


@pytest.mark.parametrize('host', ['127.0.0.1:PORT', 'localhost:PORT', 'LOCALHOST', '[::1]:PORT', 'desk.lan:PORT'])
def test_our_own_names_are_answered(ask: Ask, host: str):
    assert (ask(host))[0] == 200


@pytest.mark.parametrize('ws', [False, True])
@pytest.mark.parametrize(
    'host',
    ['evil.example', 'evil.example:PORT', '127.0.0.1.evil.example', 'localhost:1', '10.0.0.1:PORT', ''],
)
def test_a_foreign_host_name_is_refused_with_one_sentence(ask: Ask, host: str, ws: bool):
    status, answer = ask(host, ws=ws, path='/_nicegui_ws/socket.io/' if ws else '/')
    assert status == 403
    assert 'does not answer to the host name' in answer and answer.count('\r\n\r\n') == 1


def test_two_host_headers_are_refused(ask: Ask):
    assert (ask('127.0.0.1:PORT\r\nHost: evil.example'))[0] in (400, 403)


def test_a_websocket_of_another_site_is_refused(ask: Ask):
    path = '/_nicegui_ws/socket.io/'
    assert (ask(path=path, ws=True))[0] == 101
    assert (ask(path=path, ws=True, origin='http://127.0.0.1:PORT'))[0] == 101
    status, answer = ask(path=path, ws=True, origin=EVIL)
    assert status == 403 and 'comes from another site' in answer


@pytest.mark.parametrize('origin', [EVIL, 'null', 'http://127.0.0.1:1', 'http://localhost:PORT', 'http://[', 'x'])
def test_what_another_site_sends_is_refused_where_it_could_do_something(ask: Ask, origin: str):
    assert (ask(origin=origin, method='POST'))[0] == 403
    assert (ask(origin=origin, method='DELETE'))[0] == 403
    assert (ask(origin=origin, path='/_nicegui_ws/socket.io/'))[0] == 403  # polling, where CORS would be open


def test_reading_a_page_from_a_link_on_another_site_works(ask: Ask):
    assert (ask(origin=EVIL))[0] == 200


def test_a_page_elsewhere_cannot_have_files_made_by_drawing_them_in(ask: Ask):
    for path in ('/desk/jobs/file', '/shelf/all.zip'):
        statuses = {
            site: ask('127.0.0.1:PORT\r\nSec-Fetch-Site: ' + site, path=path)[0]
            for site in ('cross-site', 'same-origin', 'none')
        }
        assert statuses == {'cross-site': 403, 'same-origin': 404, 'none': 404}
    assert ask('127.0.0.1:PORT\r\nSec-Fetch-Site: cross-site')[0] == 200, 'a link to a page works'


def test_our_own_posts_work(ask: Ask):
    assert (ask(method='POST', origin='http://127.0.0.1:PORT'))[0] == 200
    assert (ask(method='POST'))[0] == 200  # programs send no Origin


def test_every_answer_carries_the_security_headers(ask: Ask):
    for status, answer in (ask(), ask('evil.example'), ask('evil.example', ws=True)):
        assert f'content-security-policy: {CSP}' in answer, status
        assert 'x-content-type-options: nosniff' in answer and 'referrer-policy: no-referrer' in answer


def test_a_request_that_is_too_large_is_refused_before_it_is_read(port: int):
    status, answer = raw(port, head(port, f'Content-Length: {LIMIT + 1}'))
    assert status == 413 and 'A request may have 3 MB at most.' in answer


def test_a_body_that_does_not_say_its_size_ends_at_the_limit(port: int):
    start = head(port, 'Transfer-Encoding: chunked')
    small = raw(port, start + b'%x\r\n' % LIMIT + b'x' * LIMIT + b'\r\n0\r\n\r\n')
    assert small[0] == 200 and small[1].endswith(str(LIMIT))
    large = raw(port, start + b'%x\r\n' % (LIMIT + 1) + b'x' * (LIMIT + 1) + b'\r\n0\r\n\r\n')
    assert large[0] == 413 and 'A request may have 3 MB at most.' in large[1]


def test_a_path_for_uploads_has_a_limit_of_its_own(port: int):
    for size, status in ((LIMIT + 1, 200), (LIMIT + 2, 413)):
        asked = head(port, f'Content-Length: {size}').replace(b' / ', b' /upload ', 1)
        assert raw(port, asked + b'x' * (size if status == 200 else 0))[0] == status


def test_on_every_address_the_address_itself_is_a_name_but_a_foreign_name_is_not():
    with serving(guarded(address='0.0.0.0')) as port:
        assert raw(port, b'GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n')[0] == 403
        assert raw(port, b'GET / HTTP/1.1\r\nHost: 10.9.8.7\r\nConnection: close\r\n\r\n')[0] == 403
        assert raw(port, b'GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n')[0] == 200


def head(port: int, *more: str) -> bytes:
    return '\r\n'.join(['POST / HTTP/1.1', f'Host: 127.0.0.1:{port}', 'Connection: close', *more, '', '']).encode()
