"""The door for clients of OpenAI's API: requests become Ollama's own, answers become OpenAI's."""

import functools
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from app.api import bodies, caller, openai_calls, openai_limits, openai_refusal
from app.api import openai_request as asked_for
from app.api.reply import Form, Reply
from app.api.trouble import Trouble
from app.api.work import Doors, Order, Work
from app.views import ModelView
from broker.client import new_job_id
from broker.job import DEFAULT_PRIORITY

log = logging.getLogger(__name__)

Answer = Callable[[Request], Awaitable[Response]]


def router(doors: Doors) -> APIRouter:
    """The paths of OpenAI's API where the answer follows its request at once."""
    routes = APIRouter(tags=['OpenAI'])
    for path, summary in (
        ('/v1/chat/completions', 'The next message of a chat'),
        ('/v1/completions', 'What follows a prompt'),
        ('/v1/embeddings', 'Embeddings of one or many texts'),
    ):
        routes.add_api_route(path, _door(doors, path), methods=['POST'], summary=summary, name=path)

    @routes.get('/v1/models', summary='The models that some machine has')
    async def models() -> Response:
        return json({'object': 'list', 'data': [_model(model) for model in doors.board.models()]})

    @routes.get('/v1/models/{name:path}', summary='One model')
    async def model(name: str) -> Response:
        found = doors.board.model(doors.board.name_of(name))
        if found is None:
            return openai_refusal.refusal(no_such_model(name))
        return json(_model(found) | {'id': name})

    return routes


def json(value: object) -> Response:
    """A reply with this in it."""
    return Response(msgspec.json.encode(value), media_type='application/json')


def saying_no(answer: Answer) -> Answer:
    """A handler whose ``Trouble`` is told in the words of this API."""

    @functools.wraps(answer)
    async def call(request: Request) -> Response:
        try:
            return await answer(request)
        except Trouble as failure:
            reply = openai_refusal.refusal(failure)
            reply.headers['X-Request-Id'] = caller.request_id_of(request, new_job_id())
            return reply

    return call


def announced(doors: Doors, model: str) -> str:
    """The name of the model that a client means. Raises ``Trouble``."""
    try:
        return doors.model(model)
    except Trouble as failure:
        raise (no_such_model(model) if failure.code == 'model_not_found' else failure) from None


def priority_of(request: Request, tier: str | None) -> int:
    """By the header, else by the tier. Raises ``Trouble``."""
    by_tier = asked_for.tier_priority(tier)
    return caller.priority_of(request, DEFAULT_PRIORITY if by_tier is None else by_tier)


def orders(doors: Doors, request: Request, call: openai_calls.Call) -> list[Order]:
    """A job for each body of the call. Raises ``Trouble``."""
    model = announced(doors, call.asked.model or '')
    key = caller.key_of(request)
    return [
        Order(
            kind=call.kind,
            model=model,
            body=msgspec.json.encode({'model': model, **native}),
            priority=priority_of(request, call.asked.service_tier),
            user=caller.user_of(request, call.asked.caller),
            idempotency_key=f'{key}#{choice}' if key and choice else key,
        )
        for choice, native in enumerate(call.natives)
    ]


def reply(request: Request, work: Work, form: Form, *, stream: bool) -> Reply:
    """The answer that ``form`` makes of ``work``."""
    if (count := request.headers.get('x-stainless-retry-count', '0')) != '0':
        log.info('the client tries again (%s)', count[:10], extra={'action': 'resend', 'job_id': work.jobs[0]})
    return Reply(
        work,
        form,
        stream=stream,
        request_id=caller.request_id_of(request, work.jobs[0]),
        patience_s=caller.patience_of(request),
        also=openai_limits.of_work,
    )


def _door(doors: Doors, path: str) -> Answer:
    @saying_no
    async def call(request: Request) -> Response:
        found = openai_calls.read(path, await bodies.read(request))
        work = Work(doors, orders(doors, request, found))
        form = found.form(**found.told(work.jobs[0], int(time.time())))
        return reply(request, work, form, stream=found.stream)

    return call


def _model(model: ModelView) -> dict[str, Any]:
    return {'id': model.name, 'object': 'model', 'created': _seconds(model.modified_at), 'owned_by': 'library'}


def _seconds(modified_at: str) -> int:
    try:
        return int(datetime.fromisoformat(modified_at).timestamp())
    except ValueError:
        return 0


def no_such_model(name: str) -> Trouble:
    """That nobody has this model."""
    detail = f"The model '{name[:300]}' does not exist: none of the machines has it."
    return Trouble('model_not_found', detail, param='model')
