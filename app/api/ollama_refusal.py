"""How Ollama says no."""

from collections.abc import Mapping

import msgspec
from starlette.responses import PlainTextResponse, Response

from app.api.trouble import Trouble

BUSY = 'server busy, please try again.  maximum pending requests exceeded'  # clients look for these very words
ADMIN = 'this desk does not let programs change its models; do that with Ollama itself, on the machine that runs it'


def refusal(failure: Trouble) -> Response:
    """``{"error": …}`` with the status that fits. A queue that is full is told as Ollama tells it."""
    text = BUSY if failure.code == 'queue_full' else failure.detail
    return answer({'error': text}, failure.status, failure.headers())


def answer(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """JSON as Ollama sends it."""
    return Response(msgspec.json.encode(value), status, headers, media_type='application/json; charset=utf-8')


def unknown_path() -> Response:
    """What Ollama's router says to a path that it does not have."""
    return PlainTextResponse('404 page not found', 404)


def wrong_method() -> Response:
    """And to a method that a path does not have."""
    return PlainTextResponse('405 method not allowed', 405)
