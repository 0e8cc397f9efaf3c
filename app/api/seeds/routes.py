"""Routes of the four: each says no in the shape of its own contract, and nothing of the inside gets out."""

import logging
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from app.api import bodies, caller, trouble
from app.api.reply import OUR_FAULT
from app.api.trouble import Trouble
from app.desk import DeskError
from broker import errors
from broker.client import new_job_id

Refusal = Callable[[Trouble], Response]
_MEANINGS = {
    400: 'Something in the request is wrong.',
    403: 'Not through this door.',
    404: 'There is no such thing.',
    413: 'The request is too large.',
    415: 'The body is compressed.',
    429: 'Too much waits; `Retry-After` says when to try again.',
    500: 'It could not be queued.',
    503: 'The queue is full or away; `Retry-After` says when to try again.',
}

log = logging.getLogger(__name__)


class SeedRoute(APIRoute):
    """A route that says no in the shape of its contract."""

    refusal: Refusal

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler with a net below it."""
        handler = super().get_route_handler()
        refusal = type(self).refusal

        async def caught(request: Request) -> Response:
            reply = await answered(lambda: handler(request), refusal)
            reply.headers.setdefault('X-Request-Id', caller.request_id_of(request, new_job_id()))
            return reply

        return caught


async def answered(answer: Callable[[], Coroutine[Any, Any, Response]], refusal: Refusal) -> Response:
    """The reply, or the refusal that fits what went wrong."""
    try:
        return await answer()
    except Trouble as failure:
        return refusal(failure)
    except errors.BrokerError as error:
        return refusal(trouble.of_broker(error))
    except DeskError as error:
        log.exception('a call failed', extra={'action': 'call'})
        return refusal(Trouble('disk_full' if 'full' in str(error) else 'desk_error', str(error)))
    except Exception:
        log.exception('a call failed', extra={'action': 'call'})
        return refusal(Trouble('desk_error', OUR_FAULT))


def router(tag: str, refusal: Refusal) -> APIRouter:
    """An empty router of one contract."""
    route = type('Route', (SeedRoute,), {'refusal': staticmethod(refusal)})
    said: dict[int | str, dict[str, Any]] = {status: {'description': text} for status, text in _MEANINGS.items()}
    return APIRouter(tags=[tag], route_class=route, responses=said)


async def fields(request: Request) -> dict[str, Any]:
    """The JSON object that was sent. Raises ``Trouble``."""
    body = await bodies.read(request)
    bodies.fields(body)  # it says what is wrong
    return decoded(body)


def decoded(body: bytes) -> dict[str, Any]:
    """A body that is known to be an object. Raises ``Trouble``."""
    try:
        found: dict[str, Any] = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise Trouble('bad_request', f'the body is no JSON that can be read: {error}') from None
    return found


def string(found: dict[str, Any], name: str, *, most: int = 0) -> str:
    """A field that has to be a string; '' where it is absent or null. Raises ``Trouble``."""
    value = found.get(name)
    if value is None:
        return ''
    if not isinstance(value, str):
        raise Trouble('bad_request', f'{name} must be a string', param=name)
    if most and len(value) > most:
        raise Trouble('bad_request', f'{name} may have {most} characters', param=name)
    return value


def mapping(found: dict[str, Any], name: str) -> dict[str, Any]:
    """A field that has to be an object; empty where it is absent or null. Raises ``Trouble``."""
    value = found.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Trouble('bad_request', f'{name} must be an object', param=name)
    return value


def whole_number(request: Request, name: str, default: int, least: int, most: int) -> int:
    """A number in the query, within bounds. Raises ``Trouble``."""
    text = request.query_params.get(name, '').strip()
    if not text:
        return default
    digits = text.removeprefix('-')
    if not (digits.isascii() and digits.isdigit() and len(digits) < 16):
        raise Trouble('bad_request', f'{name} must be a whole number, not "{text[:40]}"', param=name)
    return max(least, min(most, int(text)))


def answer(value: object, status: int = 200, failure: Trouble | None = None) -> Response:
    """JSON, with what ``failure`` has to say in headers."""
    headers = failure.headers() if failure is not None else None
    return Response(msgspec.json.encode(value), status, headers, media_type='application/json')
