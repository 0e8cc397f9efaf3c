"""Where Ollama's clients change models: off unless the settings allow it; then one worker does it on its engine."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from app import errand_watch
from app.api import bodies, ollama_refusal, trouble
from app.api.native import Fields
from app.api.ollama_refusal import answer
from app.api.trouble import Trouble
from app.api.work import Doors
from broker import errors
from broker.client import new_job_id
from broker.errand import Errand, Order

BLOBS = 'files of models are not taken here; create models with Ollama itself, on the machine that runs it'
LINES = 'application/x-ndjson'
_DOORS = (
    ('POST', '/api/pull', 'pull', 'Have a model fetched'),
    ('POST', '/api/push', 'push', 'Publish a model'),
    ('POST', '/api/create', 'create', 'Make a model from another one'),
    ('POST', '/api/copy', 'copy', 'Give a model one name more'),
    ('DELETE', '/api/delete', 'remove', 'Delete a model'),
)
_ASKED = {'copy': 'source'}  # the field that names the model, where it is not ``model``
_STREAMED = ('pull', 'push', 'create')
_CODES = ('model_not_found', 'bad_request', 'unreachable')  # those that have a status of their own

Handler = Callable[[Request], Awaitable[Response]]


def add(routes: APIRouter, doors: Doors, *, allowed: bool) -> None:
    """The paths that change models."""
    for method, path, action, summary in _DOORS:
        door = _door(doors, action) if allowed else _refuse(ollama_refusal.ADMIN)
        said = summary if allowed else 'Off: models are not changed through the desk'
        routes.add_api_route(path, door, methods=[method], summary=said, name=path)
    for method in ('HEAD', 'POST'):
        routes.add_api_route(
            '/api/blobs/{digest}',
            _refuse(BLOBS if allowed else ollama_refusal.ADMIN),
            methods=[method],
            summary='Off: models are not changed through the desk',
        )


def _refuse(why: str) -> Handler:
    async def off(_: Request) -> Response:
        return ollama_refusal.refusal(Trouble('forbidden', why))

    return off


def _door(doors: Doors, action: str) -> Handler:
    async def call(request: Request) -> Response:
        try:
            body = await bodies.read(request)
            found = bodies.fields(body, 'api.PullRequest')
            errand = await _begin(doors, action, _named(found, action), body)
        except Trouble as failure:
            return ollama_refusal.refusal(failure)
        if action in _STREAMED and bytes(found.get('stream', b'')).strip() != b'false':
            return await _streamed(doors, errand)
        *_, ended = [each async for each in errand_watch.news(doors.board, errand)]
        if (failure := _failure(ended)) is not None:
            return ollama_refusal.refusal(failure)
        return answer({'status': 'success'}) if action in _STREAMED else Response(status_code=200)

    return call


def _named(found: Fields, action: str) -> str:
    """The model that is meant. Raises ``Trouble``."""
    field = _ASKED.get(action, 'model')
    asked = bodies.text(found, field, 'api.PullRequest') or bodies.text(found, 'name', 'api.PullRequest')
    if not asked:
        raise Trouble('bad_request', f'{field} is required')
    return asked


async def _begin(doors: Doors, action: str, model: str, body: bytes) -> Errand:
    """Have it done by a worker that can; of several engines the first by name. Raises ``Trouble``."""
    needed = '' if action in ('pull', 'create') else doors.model(model)
    able = [
        worker
        for worker in doors.board.workers()
        if worker.problem != 'unreachable' and (not needed or any(m.name == needed for m in worker.models))
    ]
    if not able:
        raise Trouble('no_backend', 'No machine can do that at the moment; try again soon.')
    able.sort(key=lambda worker: (worker.engine == 'demo', worker.worker))
    with_body = body if action in ('create', 'copy', 'push') else b''
    order = Order(errand_id=new_job_id(), action=action, model=needed or model, body=with_body)
    try:
        return await doors.broker.run_errand(able[0].worker, order)
    except errors.BrokerError as error:
        raise trouble.of_broker(error) from None


async def _streamed(doors: Doors, errand: Errand) -> Response:
    """The news as Ollama's lines; what fails before the first of them has a status of its own."""
    news = errand_watch.news(doors.board, errand)
    first = await anext(news)
    while first.state == 'asked':
        first = await anext(news)
    if (failure := _failure(first)) is not None:
        return ollama_refusal.refusal(failure)

    async def lines() -> AsyncIterator[bytes]:
        yield _line(first)
        async for each in news:
            yield _line(each)

    return StreamingResponse(lines(), media_type=LINES)


def _line(errand: Errand) -> bytes:
    said: dict[str, Any] = {'status': errand.status or errand.action}
    if (failure := _failure(errand)) is not None:
        said = {'error': failure.detail}
    elif errand.final:
        said = {'status': 'success'}
    elif errand.digest:
        said |= {'digest': errand.digest, 'total': errand.part_total, 'completed': errand.part_completed}
    return msgspec.json.encode(said) + b'\n'


def _failure(errand: Errand) -> Trouble | None:
    if errand.state == 'cancelled':
        return Trouble('cancelled', 'request canceled')
    if errand.state != 'failed':
        return None
    code = errand.code if errand.code in _CODES else 'engine_error'
    return Trouble(code, errand.detail or errand.code)
