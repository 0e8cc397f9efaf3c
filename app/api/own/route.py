"""A route of our own API: whatever goes wrong in it is said in our shape, and nothing of the inside gets out."""

import logging
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from analytics import errors as analytics_errors
from app.api import trouble
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
                return await handler(_as_json(request))
            except Trouble as failure:
                return refusal(failure)
            except RequestValidationError as error:
                return refusal(of_validation(error))
            except errors.BrokerError as error:
                return refusal(trouble.of_broker(error))
            except analytics_errors.AnalyticsError as error:
                return refusal(Trouble('unavailable', str(error), retry_after_s=5.0))
            except HTTPException as error:
                return refusal(_of_http(error))
            except ClientDisconnect:
                return refusal(Trouble('bad_json', 'the request broke off'))
            except Exception:
                log.exception('a call failed', extra={'action': 'call'})
                return refusal(Trouble('desk_error', OUR_FAULT))

        return caught


def router(tag: str) -> APIRouter:
    """An empty router of our own API."""
    return APIRouter(tags=[tag], route_class=OwnRoute)


def _as_json(request: Request) -> Request:
    encoding = request.headers.get('content-encoding', 'identity').strip().lower()
    if encoding not in ('', 'identity'):
        detail = f'a body with Content-Encoding {encoding[:40]} is not read here; send it as it is'
        raise Trouble('unsupported', detail)
    kept = [(name, value) for name, value in request.scope['headers'] if name not in _BODIES]
    scope = {**request.scope, 'headers': [*kept, (b'content-type', b'application/json')]}
    return Request(scope, request.receive)


def _of_http(error: HTTPException) -> Trouble:
    if error.status_code == 413:
        return Trouble(TOO_LONG, str(error.detail))
    return Trouble('bad_json', 'the body is no JSON that can be read')
