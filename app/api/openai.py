"""The door for clients of OpenAI's API: requests become Ollama's own, answers become OpenAI's."""

import logging
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from app.api import bodies, caller, openai_refusal, openai_shapes
from app.api import openai_request as asked_for
from app.api.openai_form import ChatForm, CompletionForm, EmbeddingForm
from app.api.reply import Form, Reply
from app.api.trouble import Trouble
from app.api.work import Doors, Order, Work
from app.views import ModelView
from broker.client import new_job_id
from broker.job import DEFAULT_PRIORITY

log = logging.getLogger(__name__)

Answer = Callable[[Doors, Request, bytes], Reply]


def router(doors: Doors) -> APIRouter:
    """The paths of OpenAI's API."""
    routes = APIRouter(tags=['OpenAI'])
    for path, answer, summary in (
        ('/v1/chat/completions', _chat, 'The next message of a chat'),
        ('/v1/completions', _completion, 'What follows a prompt'),
        ('/v1/embeddings', _embedding, 'Embeddings of one or many texts'),
    ):
        routes.add_api_route(path, _door(doors, answer), methods=['POST'], summary=summary, name=path)

    @routes.get('/v1/models', summary='The models that some machine has')
    async def models() -> Response:
        return _json({'object': 'list', 'data': [_model(model) for model in doors.board.models()]})

    @routes.get('/v1/models/{name:path}', summary='One model')
    async def model(name: str) -> Response:
        found = doors.board.model(doors.board.name_of(name))
        if found is None:
            return openai_refusal.refusal(_no_such_model(name))
        return _json(_model(found) | {'id': name})

    return routes


def _door(doors: Doors, answer: Answer) -> Callable[[Request], Awaitable[Response]]:
    async def call(request: Request) -> Response:
        try:
            return answer(doors, request, await bodies.read(request))
        except Trouble as failure:
            reply = openai_refusal.refusal(failure)
            reply.headers['X-Request-Id'] = caller.request_id_of(request, new_job_id())
            return reply

    return call


def _chat(doors: Doors, request: Request, body: bytes) -> Reply:
    asked = openai_shapes.read(body, openai_shapes.Chat)
    work = _work(doors, request, asked, 'chat', lambda: asked_for.chat(asked))
    form = ChatForm(asked.model or '', **_told(work, asked), usage=asked.includes_usage)
    return _reply(request, work, form, stream=bool(asked.stream))


def _completion(doors: Doors, request: Request, body: bytes) -> Reply:
    asked = openai_shapes.read(body, openai_shapes.Completion)
    prompts: list[str] = []

    def bodies_of() -> list[asked_for.Native]:
        made, prompts[:] = asked_for.completion(asked)
        return made

    work = _work(doors, request, asked, 'generate', bodies_of)
    said_first = prompts if asked.echo else None
    told = _told(work, asked)
    form = CompletionForm(asked.model or '', **told, usage=asked.includes_usage, prompts=said_first)
    return _reply(request, work, form, stream=bool(asked.stream))


def _embedding(doors: Doors, request: Request, body: bytes) -> Reply:
    asked = openai_shapes.read(body, openai_shapes.Embedding)
    work = _work(doors, request, asked, 'embed', lambda: [asked_for.embedding(asked)])
    form = EmbeddingForm(asked.model or '', **_told(work, asked), as_base64=asked.encoding_format == 'base64')
    return _reply(request, work, form, stream=False)


def _work(
    doors: Doors,
    request: Request,
    asked: openai_shapes.Common,
    kind: str,
    bodies_of: Callable[[], list[asked_for.Native]],
) -> Work:
    """The jobs of a request, which is checked before its model is looked for."""
    if not asked.model:
        raise Trouble('missing_required_parameter', 'you must provide a model parameter', param='model')
    by_tier = asked_for.tier_priority(asked.service_tier)
    priority = caller.priority_of(request, DEFAULT_PRIORITY if by_tier is None else by_tier)
    natives = bodies_of()
    try:
        model = doors.model(asked.model)
    except Trouble as failure:
        raise (_no_such_model(asked.model) if failure.code == 'model_not_found' else failure) from None
    user = caller.user_of(request, asked.caller)
    key = caller.key_of(request)
    orders = [
        Order(
            kind=kind,
            model=model,
            body=msgspec.json.encode({'model': model, **native}),
            priority=priority,
            user=user,
            idempotency_key=f'{key}#{choice}' if key and choice else key,
        )
        for choice, native in enumerate(natives)
    ]
    return Work(doors, orders)


def _told(work: Work, asked: openai_shapes.Common) -> dict[str, Any]:
    tier = asked.service_tier
    return {
        'job_id': work.jobs[0],
        'created': int(time.time()),
        'choices': len(work.jobs),
        'tier': asked_for.TIERS_TOLD.get(tier, tier) if tier else None,
    }


def _reply(request: Request, work: Work, form: Form, *, stream: bool) -> Reply:
    if (count := request.headers.get('x-stainless-retry-count', '0')) != '0':
        log.info('the client tries again (%s)', count[:10], extra={'action': 'resend', 'job_id': work.jobs[0]})
    return Reply(
        work,
        form,
        stream=stream,
        request_id=caller.request_id_of(request, work.jobs[0]),
        patience_s=caller.patience_of(request),
    )


def _model(model: ModelView) -> dict[str, Any]:
    return {'id': model.name, 'object': 'model', 'created': _seconds(model.modified_at), 'owned_by': 'library'}


def _seconds(modified_at: str) -> int:
    try:
        return int(datetime.fromisoformat(modified_at).timestamp())
    except ValueError:
        return 0


def _no_such_model(name: str) -> Trouble:
    detail = f"The model '{name[:300]}' does not exist: none of the machines has it."
    return Trouble('model_not_found', detail, param='model')


def _json(value: object) -> Response:
    return Response(msgspec.json.encode(value), media_type='application/json')
