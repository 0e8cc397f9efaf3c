"""The stand-in's server: its routes, how many run at once, and what it has seen."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, Self

from tests.standin import words
from tests.standin.connection import Connection
from tests.standin.script import VERSION, Library, Reply, Script
from tests.standin.shelf import Shelf
from tests.standin.speech import Served, Speech, pass_on

_METHODS: dict[str, tuple[str, ...]] = {
    '/': ('GET', 'HEAD'),
    '/api/version': ('GET', 'HEAD'),
    '/api/tags': ('GET', 'HEAD'),
    '/api/ps': ('GET',),
    '/api/show': ('POST',),
    '/api/chat': ('POST',),
    '/api/generate': ('POST',),
    '/api/embed': ('POST',),
    '/api/pull': ('POST',),
    '/api/push': ('POST',),
    '/api/create': ('POST',),
    '/api/copy': ('POST',),
    '/api/delete': ('DELETE',),
    '/control/state': ('GET',),
    '/control/library': ('POST',),
    '/control/models': ('POST',),
    '/control/pace': ('POST',),
    '/control/replies': ('POST',),
}


class StandIn(Shelf):
    """The server, and the models that it has. All attributes may be read and changed while it runs."""

    def __init__(self, *, port: int = 0, faults: bool = True, version: str = VERSION, parallel: int = 0) -> None:
        super().__init__(faults=faults, version=version)
        self.port = port
        self.parallel = parallel  # 0: without a limit
        self.replies: dict[str, Reply] = {}
        self.served: list[Served] = []
        self.in_flight = 0
        self.most_in_flight = 0
        self.connections_made = 0
        self.queued = 0  # requests that wait for a place
        self.most_queued = 0
        self._running: dict[str, int] = {}
        self._lines: dict[str, list[object]] = {}
        self._connections: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Condition()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f'http://127.0.0.1:{self.port}'

    @property
    def closes_seen(self) -> int:
        """How many inference requests were left by their client before the end."""
        return sum(served.closed_at > 0 for served in self.served)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, '127.0.0.1', self.port, limit=1 << 26)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def until(self, condition: Callable[[Self], bool], timeout_s: float = 40) -> None:
        """Wait until ``condition`` holds; it is looked at whenever something happens here."""
        async with asyncio.timeout(timeout_s), self._changed:
            await self._changed.wait_for(lambda: condition(self))

    def state(self) -> dict[str, Any]:
        """What ``GET /control/state`` tells."""
        return {
            'in_flight': self.in_flight,
            'most_in_flight': self.most_in_flight,
            'closes_seen': self.closes_seen,
            'served': [
                {
                    'path': served.path,
                    'headers': served.headers,
                    'body': served.body.decode(errors='replace'),
                    'lines': [line.decode(errors='replace') for line in served.lines],
                    'closed': served.closed_at > 0,
                    'over': served.over,
                }
                for served in self.served
            ],
        }

    # HTTP by hand

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        self.connections_made += 1
        connection = Connection(reader, writer)
        try:
            while (request := await connection.read_request()) is not None:
                await self._route(connection, *request)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._connections.discard(task)
            with contextlib.suppress(ConnectionError):
                writer.close()

    async def _route(
        self, connection: Connection, method: str, path: str, headers: dict[str, str], body: bytes
    ) -> None:
        whole, path = path, path.partition('?')[0]
        if method == 'POST' and (path in ('/api/chat', '/api/generate', '/api/embed') or path in self.replies):
            await self._infer(connection, path if path not in self.replies else whole, headers, body)
        elif method == 'POST' and path in ('/api/pull', '/api/push', '/api/create'):
            await self._change(connection, path, body)
        elif path == '/' and method in ('GET', 'HEAD'):
            connection.reply(200, b'Ollama is running', 'text/plain; charset=utf-8', head=method == 'HEAD')
        elif (reply := await self._meta(method, path, body)) is not None:
            connection.json(*reply, head=method == 'HEAD')
        else:
            known = path in _METHODS and method not in _METHODS[path]
            text = b'405 method not allowed' if known else b'404 page not found'
            connection.reply(405 if known else 404, text, 'text/plain')
        await connection.drain()

    async def _meta(  # noqa: PLR0911 - one return per route reads best
        self, method: str, path: str, body: bytes
    ) -> tuple[int, object] | None:
        if method not in _METHODS.get(path, ()):
            return None
        match path:
            case '/api/version':
                return 200, {'version': self.version}
            case '/api/tags':
                await asyncio.sleep(self.slow_tags_s)
                return 200, self.tags()
            case '/api/ps':
                return (200, self.resident()) if self.knows_ps else None
            case '/api/show':
                return self.shown(body)
            case '/api/delete' | '/api/copy':
                return self.moved(path, body)
            case _:
                return 200, self._controlled(path, body)

    def _controlled(self, path: str, body: bytes) -> dict[str, Any]:
        if path == '/control/state':
            return self.state()
        for name, given in json.loads(body).items():
            match path:
                case '/control/library':
                    self.library[name] = Library(**given)
                case '/control/models':
                    self.models[name] = Script(**given)
                case '/control/pace':
                    self.models[name].chars_per_s = given
                case _:
                    chunks = tuple(chunk.encode('latin-1') for chunk in given.pop('chunks', ('{}',)))
                    self.replies[name] = Reply(chunks=chunks, **given)
        return {}

    # what changes the models

    async def _change(self, connection: Connection, path: str, body: bytes) -> None:
        request, problem = words.decoded(body)
        asked = str(request.get('model') or request.get('name') or '')
        name = words.full_name(asked)
        entry = self.library.get(name)
        if problem is None and not asked:
            problem = 400, {'error': 'model is required'}
        elif problem is None and path == '/api/pull' and entry is not None and entry.status:
            problem = entry.status, {'error': entry.error}
        elif problem is None and path == '/api/push' and self.installed(asked) is None:
            problem = 404, {'error': f"model '{asked}' not found"}
        if problem is not None:
            connection.json(*problem)
            return
        self.admin.append((path, asked))
        lines = self.pulling(name, entry) if path == '/api/pull' else self.making(path, name)
        stream, last = request.get('stream') is not False, {}
        if stream:
            connection.start_stream()
        async for last in lines:
            if last.get('fault'):
                await connection.reset()
                raise ConnectionResetError
            if stream:
                connection.chunk(json.dumps(last, separators=(',', ':')).encode() + b'\n')
                await connection.drain()
        if stream:
            connection.end_stream()
        else:
            connection.json(500 if 'error' in last else 200, last)
        await self._tell()

    # inference

    async def _infer(self, connection: Connection, path: str, headers: dict[str, str], body: bytes) -> None:
        served = Served(path, headers, body)
        self.served.append(served)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        await self._tell()
        generating = asyncio.ensure_future(self._generate(connection, served))
        leaving = asyncio.ensure_future(connection.closed_by_client())
        try:
            await asyncio.wait((generating, leaving), return_when=asyncio.FIRST_COMPLETED)
            if not generating.done():  # the client is gone
                served.closed_at = time.monotonic()
                await self._tell()
                script = self.models.get(self.installed(words.model_of(body)) or '')
                if script is None or not script.deaf:
                    generating.cancel()
            await asyncio.wait((generating,))
        finally:
            for task in (generating, leaving):
                task.cancel()
            await asyncio.gather(generating, leaving, return_exceptions=True)
            served.over = True
            self.in_flight -= 1
            await self._tell()
        if served.closed_at:
            raise ConnectionResetError
        generating.result()

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _generate(self, connection: Connection, served: Served) -> None:
        path = served.path.partition('?')[0]
        if path in self.replies:
            await pass_on(connection, self.replies[path])
            return
        request, problem = words.decoded(served.body)
        if problem is None:
            problem = self.refusal(served.path, request)
        if problem is not None:
            connection.json(*problem)
            return
        name = self.installed(str(request['model']))
        assert name is not None
        asked = time.perf_counter_ns()
        self.load(name, request)
        async with self._place(name):
            await self._run(connection, served, request, name, asked)

    @contextlib.asynccontextmanager
    async def _place(self, name: str) -> AsyncIterator[None]:
        """Wait for a place among those that run at once; whoever came first goes first."""
        self.queued += 1
        self.most_queued = max(self.most_queued, self.queued if self._full(name) else 0)
        mine = object()
        line = self._lines.setdefault(name, [])
        line.append(mine)
        try:
            async with self._changed:
                await self._changed.wait_for(lambda: line[0] is mine and not self._full(name))
        finally:
            line.remove(mine)
            self.queued -= 1
        self._running[name] = self._running.get(name, 0) + 1
        await self._tell()
        try:
            yield
        finally:
            self._running[name] -= 1
            await self._tell()

    def _full(self, name: str) -> bool:
        return 0 < self.parallel <= self._running.get(name, 0)

    async def _run(
        self, connection: Connection, served: Served, request: dict[str, Any], name: str, asked: int
    ) -> None:
        script = self.models[name]
        if served.path == '/api/embed':
            await asyncio.sleep(script.first_token_s)
            reply = words.embedding(request, asked)
            served.lines.append(json.dumps(reply, separators=(',', ':')).encode())
            connection.json(200, reply)
            return
        reason = words.load_only(served.path, request)
        if reason:
            if reason == 'unload':
                self.loaded.pop(name, None)
            connection.json(200, words.chunk(served.path, request, '') | {'done': True, 'done_reason': reason})
            return
        await Speech(connection, served, request, script, asked).run()
