"""How OpenAI's API says no."""

from typing import Any

import msgspec
from starlette.responses import Response

from app.api import openai_limits
from app.api.trouble import OVERLOAD, Trouble

_CODES = {
    'bad_request': None,
    'unauthorized': 'invalid_api_key',
    'forbidden': 'permission_denied',
    'refused': 'permission_denied',
    'interrupted': 'server_error',
}
_CONTEXT = ('context length', 'context window', 'longer than the context')


def refusal(failure: Trouble) -> Response:
    """``{"error": {…}}`` with the status that fits; a queue that is full is the rate limit of this API."""
    status = 429 if failure.code in OVERLOAD - {'busy'} else failure.status
    data = msgspec.json.encode({'error': error(failure)})
    return Response(data, status, failure.headers() | openai_limits.of_refusal(failure), media_type='application/json')


def error(failure: Trouble) -> dict[str, Any]:
    """The object that tells of a failure, in a reply or in the middle of a stream."""
    code = _CODES.get(failure.code, failure.code)
    if failure.status == 400 and any(words in failure.detail for words in _CONTEXT):
        code = 'context_length_exceeded'
    if failure.code in OVERLOAD - {'busy'} or failure.status == 429:
        kind = 'rate_limit_exceeded'
    else:
        kind = 'invalid_request_error' if failure.status < 500 else 'server_error'
    return {'message': failure.detail, 'type': kind, 'param': failure.param, 'code': code}
