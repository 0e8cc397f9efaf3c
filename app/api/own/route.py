"""A route of our own API: whatever goes wrong in it is said in our shape, and nothing of the inside gets out."""

import logging
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
from fastapi import APIRouter
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from analytics import errors as analytics_errors
from app.api import bodies, trouble
from app.api.own.outbox import OutboxError
from app.api.own.refusal import of_validation, refusal
from app.api.reply import OUR_FAULT
from app.api.trouble import TOO_LONG, Trouble
from broker import errors

_BODIES = (b'content-type', b'content-encoding')

log = logging.getLogger(__name__)


class OwnRoute(APIRoute):
    """Reads every body as JSON, whatever its type says, as curl sends one without a header."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler with a net below it."""
        handler = super().get_route_handler()

        async def caught(request: Request) -> Response:
            try:
                asked = _as_json(request)
                _check_text(await asked.body())
                return await handler(asked)
            except Trouble as failure:
                return refusal(failure)
            except RequestValidationError as error:
                return refusal(of_validation(error))
            except Exception as error:
                return refusal(_meant(error))

        return caught


def router(tag: str) -> APIRouter:
    """An empty router of our own API."""
    return APIRouter(tags=[tag], route_class=OwnRoute)


def _as_json(request: Request) -> Request:
    bodies.plain(request)
    kept = [(name, value) for name, value in request.scope['headers'] if name not in _BODIES]
    scope = {**request.scope, 'headers': [*kept, (b'content-type', b'application/json')]}
    return Request(scope, request.receive)


def _check_text(body: bytes) -> None:
    """Refuse half a surrogate pair: Python's decoder lets it in, and nothing can write it down afterwards."""
    if b'\\u' not in body:
        return
    try:
        msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise Trouble('bad_json', 'the body is no JSON, or has half a character (\\ud800 to \\udfff alone)') from None


def _meant(error: Exception) -> Trouble:
    """What went wrong, without what only we should see."""
    match error:
        case errors.BrokerError():
            return trouble.of_broker(error)
        case analytics_errors.AnalyticsError():
            return Trouble('unavailable', str(error), retry_after_s=5.0)
        case OutboxError():
            return Trouble('disk_full' if error.full else 'unavailable', str(error), retry_after_s=30.0)
        case HTTPException(status_code=413):
            return Trouble(TOO_LONG, str(error.detail))
        case HTTPException() | ClientDisconnect():
            return Trouble('bad_json', 'the body is no JSON that can be read')
    log.error('a call failed', exc_info=error, extra={'action': 'call'})
    return Trouble('desk_error', OUR_FAULT)
