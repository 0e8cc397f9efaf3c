"""How an answer comes: at its speed, and with what goes wrong in it."""

import asyncio
import contextlib
import json
import time
from dataclasses import dataclass, field
from typing import Any

from tests.standin import words
from tests.standin.connection import Connection
from tests.standin.script import Reply, Script


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


class Speech:
    """One streamed or collected answer."""

    def __init__(
        self, connection: Connection, served: Served, request: dict[str, Any], script: Script, asked: int
    ) -> None:
        self._connection = connection
        self._served = served
        self._request = request
        self._script = script
        self._asked = asked
        self._began = time.perf_counter_ns()
        self._stream = request.get('stream') is not False

    async def run(self) -> None:
        """Say it all, or until the script wants something to go wrong."""
        script, path, request = self._script, self._served.path, self._request
        await asyncio.sleep(script.first_token_s)
        first = time.perf_counter_ns()
        said = [('thinking', part) for part in words.parts(script.thinking)] + [
            ('content', p) for p in words.parts(script.text)
        ]
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
            await self._say(words.chunk(path, request, part, kind))
        if script.fault and await self._fail():
            return
        if script.tool_calls:
            said.append(('tool_calls', ''))
            await self._say(words.chunk(path, request, '') | {'message': words.calling(script.tool_calls)})
        now = time.perf_counter_ns()
        await self._say(
            words.chunk(path, request, script.done_text)
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
            self._connection.json(200, words.collected([json.loads(line) for line in self._served.lines]))

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


async def pass_on(connection: Connection, reply: Reply) -> None:
    """Send a reply as it is scripted."""
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
