"""The door for clients of ai-task-system: a prompt becomes a task of a conversation, whose history can be read."""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from app.api import bodies, caller
from app.api.seeds import calls, routes, words
from app.api.seeds.calls import Seeds
from app.api.seeds.talks import Asked, Talks, new_conversation
from app.api.trouble import AWAY, OVERLOAD, Trouble
from app.messages import Message
from broker.job import State

USUAL_MODEL = 'gemini-2.5-flash'
QUEUED = '对话请求已入队'
FAILED = '任务失败: '
TITLE = 30  # characters of the first prompt


class Prompt(BaseModel):
    """What is sent."""

    prompt: str
    model: str | None = None
    conversation_id: str | None = None


class Door:
    """One for all mounts."""

    def __init__(self, seeds: Seeds, talks: Talks) -> None:
        self._seeds = seeds
        self._talks = talks

    async def call(self, request: Request) -> Response:
        """``POST /v1/chat/completions`` of this system."""
        return await self.submit(request, await bodies.read(request))

    async def submit(self, request: Request, body: bytes) -> Response:
        """The same for a body that was read."""
        try:
            asked = Prompt.model_validate_json(body or b'null')
        except ValidationError as error:
            return _unprocessable(error)
        if not asked.prompt.strip():
            raise Trouble('bad_request', 'prompt must not be empty', param='prompt')
        user = caller.user_of(request)
        model = self._seeds.model(asked.model or '', USUAL_MODEL)
        known = await self._talks.find(asked.conversation_id) if asked.conversation_id else None
        conversation = known or new_conversation(user, title=asked.prompt[:TITLE])
        question = Asked(text=asked.prompt, model=model, priority=caller.priority_of(request), user=user)
        job_id = await self._talks.ask(conversation, question)
        told = {'task_id': job_id, 'status': 0, 'conversation_id': conversation.id, 'message': QUEUED}
        return routes.answer(told)

    async def task(self, task_id: str) -> Response:
        """``GET /v1/tasks/:id``."""
        try:
            seen = await self._seeds.seen(task_id)
        except Trouble as failure:
            raise (Trouble('not_found', 'Task not found') if failure.code == 'not_found' else failure) from None
        status = words.number(seen.state)
        told: dict[str, Any] = {
            'task_id': seen.name,
            'conversation_id': seen.conversation_id or None,
            'status': status,
            'task_type': 'TEXT',
            'prompt': calls.question_of(await self._seeds.body(seen.job_id)),
            'model': seen.model,
            'response_text': await self._seeds.text(seen.job_id) if status == 1 else None,
            'result_url': None,
            'error_msg': seen.failure or None,
            'cost_time': round(seen.ended_at - seen.queued_at, 3) if status else None,
            'created_at': words.naive(seen.queued_at),
            'updated_at': words.naive(seen.ended_at or seen.started_at or seen.queued_at),
            'progress': words.progress(seen.state, seen.tokens),
            'queue_position': seen.ahead,
        }
        return routes.answer(told)

    async def history(self, conversation_id: str) -> Response:
        """``GET /v1/conversations/:id/history``."""
        conversation = await self._talks.find(conversation_id)
        messages = await self._talks.messages(conversation.id) if conversation is not None else []
        if not messages:
            raise Trouble('not_found', 'Conversation not found')
        told = [shown for message in messages if (shown := _shown(message)) is not None]
        return routes.answer({'conversation_id': conversation_id, 'messages': told})


def is_ours(body: dict[str, Any]) -> bool:
    """Whether a body at ``/v1/chat/completions`` is for this door; OpenAI's clients always send ``messages``."""
    prompt = body.get('prompt')
    return 'messages' not in body and isinstance(prompt, str) and bool(prompt)


def refusal(failure: Trouble) -> Response:
    """``{"detail": …}``; what cannot be queued is a fault of the server there, whatever the reason."""
    status = 500 if failure.code in OVERLOAD | AWAY else 422 if failure.status == 400 else failure.status
    return routes.answer({'detail': failure.detail}, status, failure)


def router(door: Door, *, own: bool) -> APIRouter:
    """Its paths; those that it shares with others only where they are its ``own``."""
    paths = routes.router('ai-task-system', refusal)
    if own:
        paths.add_api_route('/v1/chat/completions', door.call, methods=['POST'])

        @paths.get('/docs')
        async def docs() -> Response:
            return RedirectResponse('/docs')

        @paths.get('/openapi.json')
        async def openapi() -> Response:
            return RedirectResponse('/openapi.json')

    paths.add_api_route('/v1/tasks/{task_id}', door.task, methods=['GET'], summary='A task with its answer')
    paths.add_api_route(
        '/v1/conversations/{conversation_id}/history', door.history, methods=['GET'], summary='What was said so far'
    )
    return paths


def _shown(message: Message) -> dict[str, Any] | None:
    at = words.naive(message.created_at)
    if message.role == 'user':
        return {'role': 'user', 'content': message.content, 'created_at': at}
    if message.state == 'pending':
        return None
    completed = message.state == str(State.COMPLETED)
    why = 'cancelled' if message.state == str(State.CANCELLED) else message.detail or message.code
    return {
        'role': 'assistant',
        'status': 1 if completed else 2,
        'created_at': at,
        'type': 'text',
        'content': message.content if completed else FAILED + why,
    }


def _unprocessable(error: ValidationError) -> Response:
    """As FastAPI says it."""
    told = [
        {'type': each['type'], 'loc': ['body', *each['loc']], 'msg': each['msg'], 'input': each['input']}
        for each in error.errors(include_url=False, include_context=False)
    ]
    if told and told[0]['type'] == 'json_invalid':
        told = [{**told[0], 'loc': ['body', 0], 'input': {}}]
    return routes.answer({'detail': told}, 422)
