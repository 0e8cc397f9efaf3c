"""A stand-in for Ollama 0.33: the same routes, framing, errors and status codes, with scripted speed and faults.

In a test: ``async with StandIn() as ollama: … ollama.url``. As a process: ``python -m tests.standin --port 0`` prints
``{"url": …}`` and stops when its stdin ends or on SIGTERM. What a model does is a ``Script``; add one by
``ollama.models['name:latest'] = Script(…)`` or by ``POST /control/models {"name:latest": {…}}``.
``POST /control/replies {"/v1/x": {"chunks": ["…"]}}`` is the same for replies (see below), bytes as latin-1.
``POST /control/pace {"name:latest": 0}`` sets how fast it talks, also in the midst of an answer.
``GET /control/state`` tells what happened: requests in flight, connections that clients closed, what was sent.
With ``parallel`` it runs so many requests of a model at once and lets the others wait, in their order, without a word.
Any other path answers a POST as ``ollama.replies['/v1/rerank'] = Reply(…)`` says.
It speaks HTTP by hand, so that it can reset a connection or go on generating for a client that is gone.
"""

import argparse
import asyncio
import contextlib
import hashlib
import json
import math
import os
import re
import signal
import socket
import struct
import threading
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Self

VERSION = '0.33.0'
BUSY = 'server busy, please try again.  maximum pending requests exceeded'
CRASHED = 'model runner has unexpectedly stopped, this may be due to resource limitations or an internal error'
TEXT = """\
Here is **Markdown** with `code`:

```python
def greet(name: str) -> str:
    return f'Hello, {name}! 你好，{name}！'
```

| a | b |
|---|---|
| 1 | 二 |
"""


@dataclass
class Script:
    """What a model does. ``after`` counts the chunks before a fault in mid-stream."""

    text: str = TEXT
    chars_per_s: float = 0.0  # 0 is as fast as can be
    first_token_s: float = 0.0
    status: int = 0  # answer with this status and ``error`` before anything else
    error: str = ''
    fault: str = ''  # error, garbage, reset, cut, hang or no_done, once ``after`` chunks were sent
    after: int = 3
    deaf: bool = False  # go on generating when the client has closed the connection
    done_text: str = ''  # content of the final chunk
    thinking: str = ''
    tool_calls: list[dict[str, Any]] = field(default_factory=list)  # in one chunk after the text
    capabilities: tuple[str, ...] = ('completion', 'tools')
    listed: bool = True  # whether /api/tags names it
    size: int = 5_225_388_164


@dataclass
class Library:
    """What a pull of a model gives, by its name; ``parts`` are the sizes of its layers."""

    parts: tuple[int, ...] = (1_200_000_000, 11_000, 500)
    steps: int = 8  # lines for each part
    pause_s: float = 0.0  # between two lines
    error: str = ''  # told in mid-stream, after the first part
    status: int = 0  # answered with it and ``error`` before anything else
    fault: str = ''  # reset, after the first part
    script: Script = field(default_factory=lambda: Script(chars_per_s=400))


@dataclass
class Reply:
    """An answer to a POST on a path that has no other."""

    chunks: tuple[bytes, ...] = (b'{}',)
    status: int = 200
    content_type: str = 'application/json'
    headers: dict[str, str] = field(default_factory=dict)
    pause_s: float = 0.0  # before each chunk but the first
    fault: str = ''  # reset or hang, when all chunks were sent


FAULTS = {
    'slow-first': Script(first_token_s=3.0),
    'hang': Script(fault='hang'),
    'hang-first': Script(fault='hang', after=0),
    'reset': Script(fault='reset'),
    'cut': Script(fault='cut'),
    'error-500': Script(status=500, error='failed to load model'),
    'error-503': Script(status=503, error=BUSY),
    'crash': Script(status=500, error=CRASHED),
    'error-mid': Script(fault='error', error='an error was encountered while running the model: unexpected EOF'),
    'busy-mid': Script(fault='error', error=BUSY),
    'crash-mid': Script(fault='error', error=CRASHED),
    'garbage': Script(fault='garbage'),
    'no-done': Script(fault='no_done'),
    'deaf': Script(chars_per_s=40, deaf=True),
}


def default_models(*, faults: bool) -> dict[str, Script]:
    """The models that are there at first; with ``faults`` also one for each thing that can go wrong."""
    models = {
        'qwen3:latest': Script(chars_per_s=400),
        'llama3.2:latest': Script(chars_per_s=400),
        'nomic-embed-text:latest': Script(capabilities=('embedding',)),
    }
    return models | ({f'{name}:latest': replace(script) for name, script in FAULTS.items()} if faults else {})


@dataclass
class Loaded:
    """A model in memory."""

    num_ctx: int
    keep_s: float = 300.0  # less than 0: for ever
    used_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def expires_at(self) -> datetime:
        """When it leaves memory."""
        return self.used_at + timedelta(seconds=self.keep_s if self.keep_s >= 0 else 292 * 365 * 86_400)


@dataclass
class Served:
    """One inference request, as the server saw it."""

    path: str
    headers: dict[str, str]
    body: bytes
    lines: list[bytes] = field(default_factory=list)  # sent, without the newline
    started_at: float = field(default_factory=time.monotonic)
    closed_at: float = 0.0  # when the client closed the connection before the answer was over
    over: bool = False


class StandIn:
    """The server. All attributes may be read and changed while it runs."""

    def __init__(self, *, port: int = 0, faults: bool = True, version: str = VERSION, parallel: int = 0) -> None:
        self.models = default_models(faults=faults)
        self.version = version
        self.served: list[Served] = []
        self.in_flight = 0
        self.most_in_flight = 0
        self.port = port
        self.connections_made = 0
        self.slow_tags_s = 0.0
        self.parallel = parallel  # 0: without a limit
        self.queued = 0  # requests that wait for a place
        self.most_queued = 0
        self.replies: dict[str, Reply] = {}
        self.library: dict[str, Library] = {'smollm:latest': Library(), 'gemma3:4b': Library(pause_s=0.15, steps=20)}
        self.admin: list[tuple[str, str]] = []  # path and model of what changed the models
        self._come: dict[str, int] = {}  # bytes of a model that a broken pull has left here
        self.loads: list[str] = []  # every time that a model was loaded
        self.loaded: dict[str, Loaded] = {}
        self.knows_ps = True  # old ones do not
        self.ps_asked = 0
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
        connection = _Connection(reader, writer)
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
        self, connection: '_Connection', method: str, path: str, headers: dict[str, str], body: bytes
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

    async def _meta(  # noqa: PLR0911, PLR0912 - one line per route reads best
        self, method: str, path: str, body: bytes
    ) -> tuple[int, object] | None:
        if method not in _METHODS.get(path, ()):
            return None
        if path in ('/api/delete', '/api/copy'):
            return self._moved(path, body)
        match path:
            case '/api/version':
                return 200, {'version': self.version}
            case '/api/tags':
                await asyncio.sleep(self.slow_tags_s)
                return 200, {'models': [_tag(name, s) for name, s in self.models.items() if s.listed]}
            case '/api/ps':
                self.ps_asked += 1
                now = datetime.now(UTC)
                self.loaded = {name: at for name, at in self.loaded.items() if at.expires_at > now}
                models = [_loaded(name, self.models[name], at) for name, at in self.loaded.items()]
                return (200, {'models': models}) if self.knows_ps else None
            case '/api/show':
                return self._show(body)
            case '/control/state':
                return 200, self.state()
            case '/control/library':
                for name, entry in json.loads(body).items():
                    self.library[name] = Library(**entry)
                return 200, {}
            case '/control/pace':
                for name, chars_per_s in json.loads(body).items():
                    self.models[name].chars_per_s = chars_per_s
                return 200, {}
            case '/control/replies':
                for where, reply in json.loads(body).items():
                    chunks = tuple(chunk.encode('latin-1') for chunk in reply.pop('chunks', ('{}',)))
                    self.replies[where] = Reply(chunks=chunks, **reply)
                return 200, {}
            case _:
                for name, script in json.loads(body).items():
                    self.models[name] = Script(**script)
                return 200, {}

    def _show(self, body: bytes) -> tuple[int, object]:
        request, problem = _decoded(body)
        if problem is not None:
            return problem
        asked = str(request.get('model') or request.get('name') or '')
        if not asked:
            return 400, {'error': 'model is required'}
        name = self._installed(asked)
        if name is None:
            return 404, {'error': f"model '{asked}' not found"}
        tag = _tag(name, self.models[name])
        return 200, {
            'license': 'none',
            'modelfile': f'FROM {name}',
            'parameters': 'temperature 0.7',
            'template': '{{ .Prompt }}',
            'details': tag['details'],
            'model_info': {'general.architecture': 'standin', 'standin.context_length': 4096},
            'capabilities': list(self.models[name].capabilities),
            'modified_at': tag['modified_at'],
        }

    # what changes the models

    async def _change(self, connection: '_Connection', path: str, body: bytes) -> None:
        request, problem = _decoded(body)
        asked = str(request.get('model') or request.get('name') or '')
        name = _full(asked)
        entry = self.library.get(name)
        if problem is None and not asked:
            problem = 400, {'error': 'model is required'}
        elif problem is None and path == '/api/pull' and entry is not None and entry.status:
            problem = entry.status, {'error': entry.error}
        elif problem is None and path == '/api/push' and self._installed(asked) is None:
            problem = 404, {'error': f"model '{asked}' not found"}
        if problem is not None:
            connection.json(*problem)
            return
        self.admin.append((path, asked))
        lines = self._pulling(name, entry) if path == '/api/pull' else self._making(path, name)
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

    async def _pulling(self, name: str, entry: Library | None) -> AsyncIterator[dict[str, Any]]:
        yield {'status': 'pulling manifest'}
        if entry is None:
            yield {'error': 'pull model manifest: file does not exist'}
            return
        for place, size in enumerate(entry.parts):
            digest = f'sha256:{hashlib.sha256(f"{name}{place}".encode()).hexdigest()}'
            part = {'status': f'pulling {digest[7:19]}', 'digest': digest, 'total': size}
            begun = self._come.get(digest, 0)
            for step in range(1, entry.steps + 1):
                self._come[digest] = max(begun, size * step // entry.steps)
                yield part | {'completed': self._come[digest]}
                await asyncio.sleep(entry.pause_s)
            if entry.fault:
                yield {'fault': entry.fault}
            if entry.error:
                yield {'error': entry.error}
                return
        for status in ('verifying sha256 digest', 'writing manifest'):
            yield {'status': status}
        self.models[name] = replace(entry.script, size=sum(entry.parts))
        yield {'status': 'success'}

    async def _making(self, path: str, name: str) -> AsyncIterator[dict[str, Any]]:
        if path == '/api/create':
            self.models[name] = Script(chars_per_s=400)
        yield {'status': 'writing manifest'}
        yield {'status': 'success'}

    def _moved(self, path: str, body: bytes) -> tuple[int, object]:
        request, problem = _decoded(body)
        if problem is not None:
            return problem
        asked = str(request.get('source' if path == '/api/copy' else 'model') or request.get('name') or '')
        name = self._installed(asked) if asked else None
        if name is None:
            return 404, {'error': f"model '{asked}' not found"}
        self.admin.append((path, asked))
        if path == '/api/copy':
            self.models[_full(str(request.get('destination')))] = replace(self.models[name])
        else:
            del self.models[name]
            self.loaded.pop(name, None)
        return 200, None

    def _installed(self, asked: str) -> str | None:
        name = _full(asked)
        return next((known for known in self.models if known.lower() == name.lower()), None)

    # inference

    async def _infer(self, connection: '_Connection', path: str, headers: dict[str, str], body: bytes) -> None:
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
                script = self.models.get(self._installed(_model_of(body)) or '')
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

    async def _generate(self, connection: '_Connection', served: Served) -> None:
        path = served.path.partition('?')[0]
        if path in self.replies:
            await _pass_on(connection, self.replies[path])
            return
        request, problem = _decoded(served.body)
        if problem is None:
            problem = self._refusal(served.path, request)
        if problem is not None:
            connection.json(*problem)
            return
        name = self._installed(str(request['model']))
        assert name is not None
        asked = time.perf_counter_ns()
        self._load(name, request)
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

    def _load(self, name: str, request: dict[str, Any]) -> None:
        num_ctx = int((request.get('options') or {}).get('num_ctx', 4096))
        if name not in self.loaded or self.loaded[name].num_ctx != num_ctx:
            self.loads.append(name)
            self.loaded[name] = Loaded(num_ctx)
        model = self.loaded[name]
        model.used_at = datetime.now(UTC)
        if isinstance(given := request.get('keep_alive'), int | float):
            model.keep_s = given

    async def _run(
        self, connection: '_Connection', served: Served, request: dict[str, Any], name: str, asked: int
    ) -> None:
        script = self.models[name]
        if served.path == '/api/embed':
            await asyncio.sleep(script.first_token_s)
            reply = _embedding(request, asked)
            served.lines.append(json.dumps(reply, separators=(',', ':')).encode())
            connection.json(200, reply)
            return
        reason = _load_only(served.path, request)
        if reason:
            if reason == 'unload':
                self.loaded.pop(name, None)
            connection.json(200, _chunk(served.path, request, '') | {'done': True, 'done_reason': reason})
            return
        await _Speech(connection, served, request, script, asked).run()

    def _refusal(  # noqa: PLR0911 - one return per rule reads best
        self, path: str, request: dict[str, Any]
    ) -> tuple[int, object] | None:
        asked = request.get('model')
        embed = path == '/api/embed'
        if not isinstance(asked, str | None):
            return 400, {'error': 'json: cannot unmarshal into Go struct field ChatRequest.model of type string'}
        if not asked:
            return (
                (404, {'error': "model '' not found"}) if path != '/api/chat' else (400, {'error': 'model is required'})
            )
        name = self._installed(asked)
        if name is None:
            text = f'model "{asked}" not found, try pulling it first' if embed else f"model '{asked}' not found"
            return 404, {'error': text}
        script = self.models[name]
        if script.status:
            return script.status, {'error': script.error}
        if path == '/api/generate' and _load_only(path, request) == 'unload':
            return None  # whatever the model can do
        if not embed and 'completion' not in script.capabilities:
            return 400, {'error': f'"{asked}" does not support {"chat" if path == "/api/chat" else "generate"}'}
        if embed and not _embed_input_ok(request.get('input')):
            return 400, {'error': 'invalid input type'}
        return _wrong_option(request)


class _Speech:
    """One streamed or collected answer."""

    def __init__(
        self, connection: '_Connection', served: Served, request: dict[str, Any], script: Script, asked: int
    ) -> None:
        self._connection = connection
        self._served = served
        self._request = request
        self._script = script
        self._asked = asked
        self._began = time.perf_counter_ns()
        self._stream = request.get('stream') is not False

    async def run(self) -> None:
        script, path, request = self._script, self._served.path, self._request
        await asyncio.sleep(script.first_token_s)
        first = time.perf_counter_ns()
        said = [('thinking', part) for part in _parts(script.thinking)] + [('content', p) for p in _parts(script.text)]
        limit = (request.get('options') or {}).get('num_predict', -1)
        reason = 'length' if 0 < limit < len(said) else 'stop'
        said = said[:limit] if limit > 0 else said
        if self._stream:
            self._connection.start_stream()
        for count, (kind, part) in enumerate(said):
            if script.fault and count >= script.after and await self._fail():
                return
            if script.chars_per_s:
                await asyncio.sleep(len(part) / script.chars_per_s)
            await self._say(_chunk(path, request, part, kind))
        if script.fault and await self._fail():
            return
        if script.tool_calls:
            said.append(('tool_calls', ''))
            await self._say(_chunk(path, request, '') | {'message': _calling(script.tool_calls)})
        now = time.perf_counter_ns()
        await self._say(
            _chunk(path, request, script.done_text)
            | {
                'done': True,
                'done_reason': reason,
                'total_duration': now - self._asked,
                'load_duration': 1_500_000,
                'prompt_eval_count': 11,
                'prompt_eval_duration': max(1, first - self._began),
                'eval_count': len(said),
                'eval_duration': max(1, now - first),
            }
        )
        self._finish()

    async def _say(self, chunk: dict[str, Any]) -> None:
        line = json.dumps(chunk, ensure_ascii=False, separators=(',', ':')).encode()
        self._served.lines.append(line)
        if self._stream:
            self._connection.chunk(line + b'\n')
            with contextlib.suppress(ConnectionError):
                await self._connection.drain()

    def _finish(self) -> None:
        if self._stream:
            self._connection.end_stream()
        else:
            self._connection.json(200, _collected([json.loads(line) for line in self._served.lines]))

    async def _fail(self) -> bool:
        """Do what the script wants to go wrong; whether the answer is over."""
        match self._script.fault:
            case 'hang':
                await asyncio.Event().wait()
            case 'reset':
                await self._connection.reset()
                raise ConnectionResetError
            case 'cut':  # the server process is gone: the connection just ends
                self._connection.close()
                raise ConnectionResetError
            case 'error':
                self._connection.chunk(json.dumps({'error': self._script.error}).encode() + b'\n')
                self._connection.end_stream()
            case 'garbage':
                self._connection.chunk(b'\x00\xff{not json\n')
                self._connection.end_stream()
            case 'no_done':
                self._connection.end_stream()
        return True


class _Connection:
    """One client's connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._early = b''  # of the next request, read while waiting for an end

    async def read_request(self) -> tuple[str, str, dict[str, str], bytes] | None:
        head, self._early = self._early, b''
        while not head.endswith(b'\r\n\r\n'):
            line = await self._reader.readline()
            if not line:
                return None
            head += line
        first, *rest = head.decode('latin-1').split('\r\n')
        method, path, _ = first.split(' ', 2)
        headers = {
            key.strip().lower(): value.strip() for key, _, value in (line.partition(':') for line in rest if line)
        }
        body = b''
        if headers.get('transfer-encoding') == 'chunked':
            while size := int(await self._reader.readline(), 16):
                body += await self._reader.readexactly(size)
                await self._reader.readline()
            await self._reader.readline()
        else:
            body = await self._reader.readexactly(int(headers.get('content-length', '0')))
        return method, path, headers, body

    async def closed_by_client(self) -> None:
        """Return when the other side has closed."""
        with contextlib.suppress(ConnectionError):
            self._early = await self._reader.read(1)
            if self._early:  # its next request; so it is still there
                await asyncio.Event().wait()

    def reply(self, status: int, body: bytes, content_type: str, *, head: bool = False) -> None:
        lines = [f'HTTP/1.1 {status} {_REASONS.get(status, "Status")}', f'Content-Type: {content_type}']
        lines += [f'Date: {_http_date()}', f'Content-Length: {len(body)}', '', '']
        self._writer.write('\r\n'.join(lines).encode() + (b'' if head else body))

    def json(self, status: int, value: object, *, head: bool = False) -> None:
        if value is None:
            self.reply(status, b'', 'text/plain; charset=utf-8')
            return
        body = json.dumps(value, ensure_ascii=False, separators=(',', ':')).encode()
        self.reply(status, body, 'application/json; charset=utf-8', head=head)

    def start_stream(
        self, status: int = 200, content_type: str = 'application/x-ndjson', headers: dict[str, str] | None = None
    ) -> None:
        lines = [f'HTTP/1.1 {status} {_REASONS.get(status, "Status")}', f'Content-Type: {content_type}']
        lines += [f'{key}: {value}' for key, value in (headers or {}).items()]
        lines += [f'Date: {_http_date()}', 'Transfer-Encoding: chunked', '', '']
        self._writer.write('\r\n'.join(lines).encode())

    def chunk(self, data: bytes) -> None:
        self._writer.write(b'%x\r\n%s\r\n' % (len(data), data))

    def end_stream(self) -> None:
        self._writer.write(b'0\r\n\r\n')

    async def drain(self) -> None:
        await self._writer.drain()

    def close(self) -> None:
        self._writer.close()

    async def reset(self) -> None:
        """End it with RST instead of FIN."""
        raw: socket.socket = self._writer.get_extra_info('socket')
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        self._writer.transport.abort()


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
_REASONS = {200: 'OK', 400: 'Bad Request', 404: 'Not Found', 500: 'Internal Server Error', 503: 'Service Unavailable'}
_INT_OPTIONS = ('num_ctx', 'num_predict', 'top_k', 'seed', 'num_keep', 'repeat_last_n')


def _decoded(body: bytes) -> tuple[dict[str, Any], tuple[int, object] | None]:
    if not body.strip():
        return {}, (400, {'error': 'missing request body'})
    try:
        request = json.loads(body)
    except ValueError as error:
        text = body[:1].decode(errors='replace')
        return {}, (400, {'error': f"invalid character '{text}' looking for beginning of value: {error}"})
    if not isinstance(request, dict):
        return {}, (400, {'error': 'json: cannot unmarshal array into Go value of type api.ChatRequest'})
    return request, None


def _wrong_option(request: dict[str, Any]) -> tuple[int, object] | None:
    options = request.get('options')
    for name in _INT_OPTIONS:
        value = options.get(name) if isinstance(options, dict) else None
        if value is not None and not isinstance(value, int | float):
            return 500, {'error': f'option "{name}" must be of type integer'}
    return None


async def _pass_on(connection: _Connection, reply: Reply) -> None:
    connection.start_stream(reply.status, reply.content_type, reply.headers)
    for count, part in enumerate(reply.chunks):
        await asyncio.sleep(reply.pause_s if count else 0)
        connection.chunk(part)
        await connection.drain()
    if reply.fault == 'reset':
        await connection.reset()
        raise ConnectionResetError
    if reply.fault == 'hang':
        await asyncio.Event().wait()
    connection.end_stream()


def _model_of(body: bytes) -> str:
    request, _ = _decoded(body)
    return str(request.get('model') or '')


def _load_only(path: str, request: dict[str, Any]) -> str:
    if request.get('messages' if path == '/api/chat' else 'prompt'):
        return ''
    return 'unload' if request.get('keep_alive') == 0 else 'load'


def _full(name: str) -> str:
    return name if ':' in name else f'{name}:latest'


def _parts(text: str) -> list[str]:
    return re.findall(r'\s*\S{1,6}|\s+', text)


def _chunk(path: str, request: dict[str, Any], text: str, kind: str = 'content') -> dict[str, Any]:
    chunk: dict[str, Any] = {'model': request['model'], 'created_at': _timestamp(datetime.now(UTC))}
    if path == '/api/chat':
        message = {'role': 'assistant', 'content': text if kind == 'content' else ''}
        chunk['message'] = message | ({'thinking': text} if kind == 'thinking' else {})
    else:
        chunk['response'] = text if kind == 'content' else ''
        if kind == 'thinking':
            chunk['thinking'] = text
    return chunk | {'done': False}


def _calling(calls: list[dict[str, Any]]) -> dict[str, Any]:
    return {'role': 'assistant', 'content': '', 'tool_calls': calls}


def _collected(chunks: list[dict[str, Any]]) -> dict[str, Any]:
    last = chunks[-1]
    if 'response' in last:
        return last | {'response': ''.join(chunk['response'] for chunk in chunks)}
    return last | {'message': last['message'] | {'content': ''.join(chunk['message']['content'] for chunk in chunks)}}


def _embed_input_ok(given: object) -> bool:
    return (
        given is None or isinstance(given, str) or (isinstance(given, list) and all(isinstance(t, str) for t in given))
    )


def _embedding(request: dict[str, Any], asked: int) -> dict[str, Any]:
    given = request.get('input') or []
    texts = [given] if isinstance(given, str) else given
    return {
        'model': request['model'],
        'embeddings': [_vector(text) for text in texts],
        'total_duration': time.perf_counter_ns() - asked,
        'load_duration': 1_000_000,
        'prompt_eval_count': sum(max(1, len(text) // 4) for text in texts),
    }


def _vector(text: str) -> list[float]:
    values = [byte - 127.5 for byte in hashlib.sha256(text.encode()).digest()]
    norm = math.sqrt(sum(value * value for value in values))
    return [round(value / norm, 7) for value in values]


def _tag(name: str, script: Script) -> dict[str, Any]:
    return {
        'name': name,
        'model': name,
        'modified_at': '2026-11-01T08:00:00.123456789+00:00',
        'size': script.size,
        'digest': hashlib.sha256(name.encode()).hexdigest(),
        'details': {
            'parent_model': '',
            'format': 'gguf',
            'family': 'standin',
            'families': ['standin'],
            'parameter_size': '8.2B',
            'quantization_level': 'Q4_K_M',
        },
        'capabilities': list(script.capabilities),
    }


def _loaded(name: str, script: Script, at: Loaded) -> dict[str, Any]:
    tag = _tag(name, script)
    return {key: tag[key] for key in ('name', 'model', 'size', 'digest', 'details')} | {
        'expires_at': _timestamp(at.expires_at),
        'size_vram': tag['size'],
        'context_length': at.num_ctx,
    }


def _timestamp(at: datetime) -> str:
    return at.strftime('%Y-%m-%dT%H:%M:%S.%f') + '789Z'


def _http_date() -> str:
    return datetime.now(UTC).strftime('%a, %d %b %Y %H:%M:%S GMT')


async def _main() -> None:
    parser = argparse.ArgumentParser(prog='python -m tests.standin', description='A stand-in for Ollama.')
    parser.add_argument('--port', type=int, default=0, help='0 is any free one')
    parser.add_argument('--parallel', type=int, default=0, help='how many requests of a model run at once; 0: all')
    parser.add_argument('--faults', action='store_true', help='also have a model for each thing that can go wrong')
    chosen = parser.parse_args()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    async with StandIn(port=chosen.port, faults=chosen.faults, parallel=chosen.parallel) as ollama:
        print(json.dumps({'url': ollama.url}), flush=True)
        threading.Thread(target=_watch_parent, args=(loop, stop), daemon=True).start()
        await stop.wait()


def _watch_parent(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    while os.read(0, 4096):
        pass
    with contextlib.suppress(RuntimeError):  # it has stopped already
        loop.call_soon_threadsafe(stop.set)


if __name__ == '__main__':
    asyncio.run(_main())
