"""The description of all APIs for ``/openapi.json``; what the doors of other contracts take and give is added."""

import re
import warnings
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from app.api.own import doors_told

TEXT = """\
Programs use the desk through the API that they speak already, Ollama’s or OpenAI’s, or through its own under
`/api/jobs`, `/api/batches`, `/api/schedules` and so on, which can do all that the desk can. Every call that asks a
model is a job in one queue. Times are unix seconds, durations seconds.

Live facts also come over a WebSocket at `/api/facts/ws`, with `?after=` and `?fact=` as for `/api/facts/stream`.
Any other POST under `/api/` or `/v1/` whose JSON names a `model` is queued and passed to the engine as it is.
"""
_LATER = (
    'health',
    'Ollama',
    'OpenAI',
    'demo6',
    'ollama-queue',
    'llm-message-queue',
    'ai-task-system',
)  # our own come first


def describe(api: FastAPI) -> None:
    """Let ``api.openapi`` give the whole description, made when it is first asked for."""

    def openapi() -> dict[str, Any]:
        if api.openapi_schema is None:
            with warnings.catch_warnings():
                warnings.simplefilter('ignore', UserWarning)  # of operations that are named below
                made = get_openapi(title='Corral', version=api.version, description=TEXT, routes=api.routes)
            doors_told.add(made)
            made['tags'] = [{'name': name} for name in _tags(made)]
            _name(made)
            api.openapi_schema = made
        return api.openapi_schema

    api.openapi = openapi  # type: ignore[method-assign]


def _tags(made: dict[str, Any]) -> list[str]:
    """In the order in which the page shows them."""
    operations = [operation for path in made['paths'].values() for operation in path.values()]
    found = dict.fromkeys(tag for operation in operations for tag in operation.get('tags', ()))
    return sorted(found, key=lambda tag: _LATER.index(tag) if tag in _LATER else -1)


def _name(made: dict[str, Any]) -> None:
    """Each operation has a name of its own, also where one function answers several methods."""
    for path, operations in made['paths'].items():
        for method, operation in operations.items():
            words = re.sub(r'\W+', '_', path).strip('_')
            operation['operationId'] = f'{method}_{words}'
