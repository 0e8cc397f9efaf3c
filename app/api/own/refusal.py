"""How our own API says no: one shape, a status that fits, one sentence that says what to do."""

from collections.abc import Mapping
from typing import Any

import msgspec
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from app.api.trouble import AWAY, OVERLOAD, TOO_LONG, Trouble

ROOMS = (
    'jobs', 'errors', 'batches', 'schedules', 'dead', 'workers', 'errands', 'pauses', 'models', 'stats', 'replay',
    'facts', 'machines', 'webhooks',
)  # fmt: skip
_STATUS = {
    'bad_json': 400,
    'forbidden': 403,
    'address_refused': 403,
    'not_found': 404,
    'wrong_method': 405,
    'conflict': 409,
    'final': 409,
    'not_waiting': 409,
    'not_dead': 409,
    'too_many': 409,
    'not_listening': 409,
    'bad_batch': 409,
    TOO_LONG: 413,
    'unsupported': 415,
    'invalid': 422,
    'circle': 422,
    'unknown_job': 422,
    'queue_full': 429,
    'unavailable': 503,
    'disk_full': 507,
}
_MEANING = {
    400: 'The body is no JSON.',
    403: 'Refused: a foreign page or host name, or an address that is not allowed.',
    404: 'There is no such thing.',
    405: 'This path does not take that method.',
    409: 'It contradicts what is there.',
    413: 'The request is too large.',
    415: 'The body is compressed or no text.',
    422: 'A value is missing or not allowed.',
    429: 'The queue is full; `Retry-After` says when to try again.',
    503: 'The queue, or the statistics, cannot be reached now.',
    507: 'The disk is full.',
}


class ErrorDetail(BaseModel):
    """What is wrong. ``code`` is for programs, ``message`` one sentence for people."""

    code: str = Field(examples=['not_found'])
    message: str = Field(examples=['There is no such job.'])
    param: str | None = Field(default=None, description='What in the request is wrong, like `jobs.3.model`.')
    retry_after_s: float | None = Field(default=None, description='When another try is worth it, seconds.')


class Error(BaseModel):
    """The shape of every refusal."""

    model_config = ConfigDict(json_schema_extra={'examples': [{'error': {'code': 'not_found', 'message': 'No.'}}]})

    error: ErrorDetail


def shape(failure: Trouble) -> dict[str, Any]:
    """The object that stands behind ``error``."""
    said: dict[str, Any] = {'code': code_of(failure), 'message': _sentence(failure.detail)}
    if failure.param:
        said['param'] = failure.param
    if 'Retry-After' in (headers := failure.headers()):
        said['retry_after_s'] = float(headers['Retry-After'])
    return said


def refusal(failure: Trouble, headers: Mapping[str, str] | None = None) -> Response:
    """The reply."""
    told = {name: value for name, value in failure.headers().items() if name == 'Retry-After'} | dict(headers or {})
    return Response(
        msgspec.json.encode({'error': shape(failure)}), status_of(failure), told, media_type='application/json'
    )


def code_of(failure: Trouble) -> str:
    """The code as this API has it: what the queue finds wrong in a request is ``invalid``."""
    return 'invalid' if failure.code == 'bad_request' else failure.code


def status_of(failure: Trouble) -> int:
    """The status that fits."""
    known = _STATUS.get(code_of(failure))
    if known is not None:
        return known
    return 503 if failure.code in AWAY | OVERLOAD else failure.status


def of_validation(error: RequestValidationError) -> Trouble:
    """The first thing that was wrong with a request."""
    first = error.errors()[0]
    if first['type'] == 'json_invalid':
        return Trouble('bad_json', f'The body is no JSON: {first.get("ctx", {}).get("error", "it cannot be read")}.')
    named = [part for part in first['loc'] if part not in ('body', 'query', 'path', 'header')]
    what = str(first['msg']).removeprefix('Value error, ')
    if 'priority' in named[:-1]:  # what follows only tells which of its types did not fit
        named = named[: named.index('priority') + 1]
        what = 'Input should be a whole number from 0 to 15, or a name like high, normal or low'
    elif first['type'] in ('model_attributes_type', 'model_type'):
        what = 'Input should be a JSON object'
    where = '.'.join(map(_shown, named))
    return Trouble('invalid', f'{what} ({where})' if where else what, param=where or None)


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Refusals of a route for its description; some can come from everywhere."""
    retry = {'Retry-After': {'description': 'Seconds until another try is worth it.', 'schema': {'type': 'integer'}}}
    return {
        status: {'model': Error, 'description': _MEANING[status], **({'headers': retry} if status in RETRIED else {})}
        for status in sorted({403, 413, 422, 503, *statuses})
    }


RETRIED = (429, 503, 507)


def _shown(part: object) -> str:
    text = str(part)
    return ''.join(c for c in text[:60] if c.isprintable())


def _sentence(text: str) -> str:
    text = text[:1].upper() + text[1:]
    return text if text.endswith(('.', '!', '?')) else f'{text}.'
