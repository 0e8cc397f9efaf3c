"""One reply to one call: it says its head as late as it can, so that a failure still has a status of its own."""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Protocol

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.api import presence
from app.api.trouble import Trouble
from app.api.work import Work

OUR_FAULT = 'Something is wrong on our side; the details are in the log of the desk.'

log = logging.getLogger(__name__)


class Form(Protocol):
    """How a contract writes an answer. One object serves one call and may keep what it has said."""

    def head(self, lines: list[bytes]) -> tuple[int, dict[str, str]]:
        """The status and the headers of a stream that begins with these lines; there may be none yet."""

    def part(self, place: int, lines: list[bytes]) -> bytes:
        """The next lines of job ``place``."""

    def is_whole(self, lines: list[bytes]) -> bool:
        """Whether an answer that begins with these lines has to come in one piece although a stream was asked for."""

    def beat(self, work: Work) -> bytes:
        """Something that says nothing, for clients that would give up on a silent line; b'' where there is no such."""

    def end(self) -> bytes:
        """What follows the last line."""

    def broken(self, failure: Trouble) -> bytes | None:
        """How a stream says that it failed; None where it just breaks off."""

    def whole_head(self) -> dict[str, str]:
        """The headers of an answer in one piece."""

    def whole(self, answers: list[list[bytes]]) -> bytes:
        """All in one piece."""

    def refusal(self, failure: Trouble) -> Response:
        """The reply that says no."""


class Reply(Response):
    """Queues the jobs of ``work`` and answers in ``form``; when the client goes away they are cancelled."""

    def __init__(
        self,
        work: Work,
        form: Form,
        *,
        stream: bool,
        request_id: str,
        patience_s: float = 0.0,
        also: Callable[[Work], dict[str, str]] = lambda _: {},
    ) -> None:
        super().__init__()
        self._also = also  # more headers that the contract has for an answer
        self._work = work
        self._form = form
        self._stream = stream
        self._request_id = request_id
        self._patience_s = patience_s
        self._begun = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        answering = asyncio.create_task(self._answer(scope, receive, send), name='answer')
        leaving = asyncio.create_task(presence.left(receive), name='client')
        try:
            await asyncio.wait((answering, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            finished = answering.done()
            answering.cancel()
            leaving.cancel()
            self._work.close()
        if finished:
            answering.result()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._work.submit()
            await (self._in_parts(send) if self._stream else self._in_one_piece(send))
        except Trouble as failure:
            await self._fail(failure, scope, receive, send)
        except Exception:
            log.exception('a call failed', extra={'action': 'call', 'job_id': self._work.jobs[0]})
            await self._fail(Trouble('desk_error', OUR_FAULT), scope, receive, send)

    async def _in_parts(self, send: Send) -> None:
        async with contextlib.aclosing(self._work.lines()) as parts:
            async for place, lines in parts:
                if not self._begun and lines and self._form.is_whole(lines):
                    await self._send_whole(send, [lines])
                    return
                data = self._form.part(place, lines) if lines else self._form.beat(self._work)
                if lines or data:
                    await self._begin_stream(send, lines)
                    await send({'type': 'http.response.body', 'body': data, 'more_body': True})
        await self._begin_stream(send, [])  # a job may end well without a single line
        await send({'type': 'http.response.body', 'body': self._form.end()})

    async def _begin_stream(self, send: Send, lines: list[bytes]) -> None:
        if not self._begun:
            status, headers = self._form.head(lines)
            await self._begin(send, status, headers | {'Cache-Control': 'no-cache', 'X-Accel-Buffering': 'no'})

    async def _in_one_piece(self, send: Send) -> None:
        await self._send_whole(send, await self._work.answers(self._patience_s))

    async def _send_whole(self, send: Send, answers: list[list[bytes]]) -> None:
        data = self._form.whole(answers)
        await self._begin(send, 200, self._form.whole_head() | {'Content-Length': str(len(data))})
        await send({'type': 'http.response.body', 'body': data})

    async def _begin(self, send: Send, status: int, headers: dict[str, str]) -> None:
        told = headers | self._work.headers() | self._also(self._work) | {'X-Request-Id': self._request_id}
        raw = [(name.lower().encode('latin-1'), value.encode('latin-1')) for name, value in told.items()]
        self._begun = True
        await send({'type': 'http.response.start', 'status': status, 'headers': raw})

    async def _fail(self, failure: Trouble, scope: Scope, receive: Receive, send: Send) -> None:
        if self._begun:
            if (said := self._form.broken(failure)) is not None:
                await send({'type': 'http.response.body', 'body': said})
            return  # a server that is not told of an end breaks the connection off
        reply = self._form.refusal(failure)
        reply.headers.update({**self._work.headers(), 'X-Request-Id': self._request_id})
        await reply(scope, receive, send)
