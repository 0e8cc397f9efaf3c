"""The door for what no other door knows: any POST with a model in it is queued, and passed to the engine as it is.

Ollama grows new endpoints; who speaks one of them waits in the same queue as all others.
"""

import binascii

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from app.api import caller, openai_refusal
from app.api.ollama_refusal import refusal
from app.api.reply import Reply
from app.api.trouble import Trouble
from app.api.work import Doors, Order, Work


class _Line(msgspec.Struct):
    """The first line of a raw answer has the status and the headers, each other one the next bytes."""

    status: int = 0
    headers: dict[str, str] = {}
    b64: str = ''


_decode = msgspec.json.Decoder(_Line).decode


def queued(doors: Doors, request: Request, body: bytes, model: str) -> Reply:
    """The reply of the engine that has ``model`` to this very request."""
    query = f'?{request.url.query}' if request.url.query else ''
    order = Order(
        kind='raw',
        model=model,
        body=body,
        priority=caller.priority_of(request),
        user=caller.user_of(request),
        idempotency_key=caller.key_of(request),
        path=request.url.path + query,
    )
    work = Work(doors, [order])
    request_id = caller.request_id_of(request, work.jobs[0])
    return Reply(work, RawForm(request.url.path), stream=True, request_id=request_id)


class RawForm:
    """The engine's own status, headers and bytes."""

    def __init__(self, path: str) -> None:
        self._refusal = openai_refusal.refusal if path.startswith('/v1/') else refusal

    def head(self, lines: list[bytes]) -> tuple[int, dict[str, str]]:
        """As the engine said it."""
        first = _decode(lines[0]) if lines else _Line()
        return first.status or 200, first.headers

    def part(self, place: int, lines: list[bytes]) -> bytes:
        """The next bytes."""
        return b''.join(binascii.a2b_base64(_decode(line).b64) for line in lines)

    def is_whole(self, lines: list[bytes]) -> bool:
        """Bytes go out as they come."""
        return False

    def beat(self, work: Work) -> bytes:
        """Nothing: nobody knows what this client would take for silence."""
        return b''

    def end(self) -> bytes:
        """The engine has said all."""
        return b''

    def broken(self, failure: Trouble) -> bytes | None:
        """Only a broken connection says in every format that something is missing."""
        return None

    def whole_head(self) -> dict[str, str]:
        """Never asked for: raw answers always stream."""
        return {}

    def whole(self, answers: list[list[bytes]]) -> bytes:
        """All bytes."""
        return self.part(0, answers[0])

    def refusal(self, failure: Trouble) -> Response:
        """In the shape of the corner that the path lies in."""
        return self._refusal(failure)
