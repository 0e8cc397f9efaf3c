"""The door for clients of llm-message-queue: its three contracts under ``/api/v1`` as one. Here its messages."""

import re
import time
from typing import Any

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from app.api import caller
from app.api.seeds import calls, llm_mq_form, routes, words
from app.api.seeds.calls import MAX_GIVEN, Seeds, Seen
from app.api.seeds.llm_mq_form import envelope, message_of
from app.api.seeds.talks import Asked, Talks, new_conversation, notes_of
from app.api.trouble import Trouble
from app.messages import Conversation, Exchange, Message
from broker.job import State

MAX_RETRIES = 3
PAGE, MAX_PAGE = 20, 100
STATUSES = ('pending', 'processing', 'completed', 'failed', 'timeout')
_SOON = (
    ('realtime', re.compile(r'\b(immediate(ly)?|emergency|asap|right now)\b', re.IGNORECASE)),
    ('high', re.compile(r'\b(urgent(ly)?|important|priority|critical|soon)\b', re.IGNORECASE)),
)
_DURATION = re.compile(r'(\d+(?:\.\d+)?)(ms|s|m|h)')
_UNITS_S = {'ms': 0.001, 's': 1.0, 'm': 60.0, 'h': 3600.0}


class Messages:
    """Messages: each is a question of a conversation, and a job."""

    def __init__(self, seeds: Seeds, talks: Talks) -> None:
        self._seeds = seeds
        self._talks = talks

    async def submit(self, request: Request) -> Response:
        """``POST /api/v1/messages``: into the conversation that is named, which begins if there is none."""
        asked = await routes.fields(request)
        if not (user := _user(asked)):
            raise Trouble('bad_request', 'user_id is required', param='user_id')
        named = routes.string(asked, 'conversation_id', most=200)
        conversation = await self._talks.find(named) if named else None
        if conversation is None:
            conversation = new_conversation(user, conversation_id=named)
        return await self._ask(request, asked, conversation, user)

    async def add(self, request: Request, conversation_id: str) -> Response:
        """``POST /api/v1/conversations/:id/messages``."""
        asked = await routes.fields(request)
        conversation = await self._talks.find(conversation_id)
        if conversation is None:
            raise Trouble('not_found', 'Conversation not found', param='conversation')
        return await self._ask(request, asked, conversation, _user(asked) or conversation.user)

    async def get(self, message_id: str) -> Response:
        """``GET /api/v1/messages/:id``."""
        seen = await self._seen(message_id)
        exchange = await self._talks.exchange(seen.job_id)
        question = '' if exchange else calls.question_of(await self._seeds.body(seen.job_id))
        text = await self._seeds.text(seen.job_id) if seen.final and not seen.failure else ''
        told = message_of(seen, exchange, question, text)
        return envelope(told, id=seen.name, message_id=seen.name, conversation_id=seen.conversation_id)

    async def list(self, request: Request) -> Response:
        """``GET /api/v1/messages``: what was sent through this door, a page at a time."""
        page, size = _page(request)
        query = request.query_params
        status, level = query.get('status', ''), query.get('priority', '')
        if status and status not in STATUSES:
            raise Trouble('bad_request', f'status must be one of {", ".join(STATUSES)}', param='status')
        if level and words.of_level(level) is None:
            raise Trouble('bad_request', 'priority must be realtime, high, normal or low', param='priority')
        found = await self._seeds.desk.exchanges(
            user=query.get('user_id', ''), conversation_id=query.get('conversation_id', '')
        )
        users: dict[str, str] = {}  # by conversation
        told = [each for exchange in found if (each := await self._listed(exchange, users)) is not None]
        told = [each for each in told if not status or each['status'] == status]
        told = [each for each in told if not level or words.of_level(each['priority']) == words.of_level(level)]
        _sort(told, query.get('sort', ''), query.get('order', ''))
        part = told[(page - 1) * size : page * size]
        pagination = llm_mq_form.pages(page, size, len(told))
        return envelope({'messages': part, 'pagination': pagination}, messages=part)

    async def set_status(self, request: Request, message_id: str) -> Response:
        """``PUT /api/v1/messages/:id/status``: the queue knows best, but one may give up what has not ended."""
        asked = await routes.fields(request)
        wanted = routes.string(asked, 'status')
        if wanted not in STATUSES:
            raise Trouble('bad_request', f'status must be one of {", ".join(STATUSES)}', param='status')
        seen = await self._seen(message_id)
        now = words.message_status(seen.state, seen.code)
        if wanted != now:
            if wanted not in ('failed', 'timeout') or seen.final:
                raise Trouble('conflict', f'the queue itself says what becomes of a message: it is {now}')
            await self._seeds.cancel(seen.job_id)
        await self._keep(seen, routes.mapping(asked, 'metadata'))
        data = {'id': seen.name, 'status': wanted, 'updated_at': words.rfc3339(time.time())}
        return envelope(data, 'Message status updated successfully')

    async def delete(self, message_id: str) -> Response:
        """``DELETE /api/v1/messages/:id``: it is stopped if it has not ended, and leaves its conversation."""
        seen = await self._seen(message_id)
        exchange = await self._talks.exchange(seen.job_id)
        if not seen.final:
            await self._seeds.cancel(seen.job_id)
        if exchange is not None:
            await self._seeds.desk.drop_exchange(exchange)
        elif seen.final:
            raise Trouble('final', 'the message has ended and belongs to no conversation here; nothing to delete')
        return envelope(None, 'Message deleted successfully')

    async def _ask(self, request: Request, asked: dict[str, Any], conversation: Conversation, user: str) -> Response:
        content = routes.string(asked, 'content')
        if not content.strip():
            raise Trouble('bad_request', 'content cannot be empty', param='content')
        metadata = routes.mapping(asked, 'metadata')
        priority, why = priority_of(asked, metadata, content)
        timeout_s, given = _timeout_s(asked), routes.string(asked, 'id', most=MAX_GIVEN)
        notes = {'id': given, 'metadata': metadata | ({'priority_reason': why} if why else {}), 'timeout_s': timeout_s}
        question = Asked(
            text=content,
            model=self._seeds.model(routes.string(asked, 'model')),
            priority=caller.priority_of(request, priority),
            user=caller.user_of(request, user),
            given=given,
            notes=msgspec.json.encode(notes).decode(),
            max_failures=1 + MAX_RETRIES,
            deadline_at=time.time() + timeout_s if timeout_s else 0.0,
        )
        job_id = await self._talks.ask(conversation, question)
        seen = await self._seeds.seen(job_id)
        wait_s = max(0.0, seen.starts_at - time.time()) if seen.starts_at else 0.0
        return envelope(
            message_of(seen, await self._talks.exchange(job_id), content),
            'Message accepted',
            202,
            id=seen.name,
            message_id=seen.name,
            conversation_id=conversation.id,
            priority=words.level(seen.priority),
            queue_time=words.rfc3339(seen.queued_at),
            estimated_wait=round(wait_s * 1e9),
        )

    async def _listed(self, exchange: Exchange, users: dict[str, str]) -> dict[str, Any] | None:
        """A message of the list: what has ended is told from the desk, anything else from the queue."""
        answer = exchange[1]
        if answer.state == 'pending':
            try:
                seen = await self._seeds.seen(answer.job_id)
            except Trouble as failure:
                if failure.code != 'not_found':
                    raise
                return None
            return message_of(seen, exchange, '')
        if answer.conversation_id not in users:
            conversation = await self._seeds.desk.conversation(answer.conversation_id)
            users[answer.conversation_id] = conversation.user if conversation is not None else ''
        return message_of(_stored(answer, users[answer.conversation_id]), exchange, '', answer.content)

    async def _seen(self, message_id: str) -> Seen:
        try:
            return await self._seeds.seen(message_id)
        except Trouble as failure:
            missing = Trouble('not_found', 'Message not found', param='message')
            raise (missing if failure.code == 'not_found' else failure) from None

    async def _keep(self, seen: Seen, metadata: dict[str, Any]) -> None:
        exchange = await self._talks.exchange(seen.job_id) if metadata else None
        if exchange is not None:
            answer = exchange[1]
            notes = notes_of(answer.notes)
            notes['metadata'] = {**(notes.get('metadata') or {}), **metadata}
            answer.notes = msgspec.json.encode(notes).decode()
            await self._seeds.desk.change(answer, only_job=seen.job_id)


def add(paths: APIRouter, messages: Messages) -> None:
    """Its paths."""
    paths.add_api_route(
        '/api/v1/messages', messages.submit, methods=['POST'], status_code=202, summary='Send a message'
    )
    paths.add_api_route('/api/v1/messages', messages.list, methods=['GET'], summary='What was sent')
    paths.add_api_route(
        '/api/v1/messages/{message_id:path}/status', messages.set_status, methods=['PUT'], summary='Give a message up'
    )
    paths.add_api_route('/api/v1/messages/{message_id:path}', messages.get, methods=['GET'], summary='One message')
    paths.add_api_route(
        '/api/v1/messages/{message_id:path}', messages.delete, methods=['DELETE'], summary='Delete a message'
    )
    paths.add_api_route(
        '/api/v1/conversations/{conversation_id}/messages', messages.add, methods=['POST'], status_code=202,
        summary='The next message of a conversation',
    )  # fmt: skip


def priority_of(asked: dict[str, Any], metadata: dict[str, Any], content: str) -> tuple[int, str]:
    """The priority and who chose it: the sender, the sender's note, or words in the text that sound urgent.

    >>> priority_of({}, {}, 'I need this ASAP')
    (15, 'content_keywords')
    """
    value = asked.get('priority')
    named = words.of_level(value)
    if value not in (None, '', 0) and named is None:
        raise Trouble('bad_request', 'priority must be realtime, high, normal or low, or 1 to 4', param='priority')
    if named not in (None, words.NORMAL):
        return named or 0, ''
    if (by_note := words.of_level(metadata.get('user_priority'))) is not None:
        return by_note, 'user_override'
    level = next((level for level, pattern in _SOON if pattern.search(content)), '')
    return (words.of_level(level) or 0, 'content_keywords') if level else (words.NORMAL, '')


def _stored(answer: Message, user: str) -> Seen:
    """A message that the desk keeps, however long ago the queue forgot it."""
    return Seen(
        job_id=answer.job_id,
        name=notes_of(answer.notes).get('id') or answer.job_id,
        kind='chat',
        model=answer.model,
        priority=answer.priority,
        user=user,
        conversation_id=answer.conversation_id,
        state=State(answer.state),
        queued_at=answer.created_at,
        started_at=0.0,
        ended_at=answer.created_at,
        due_at=0.0,
        worker='',
        code=answer.code,
        detail=answer.detail,
        failures=0,
        max_failures=1 + MAX_RETRIES,
        ahead=None,
        starts_at=0.0,
        tokens=0,
    )


def _user(asked: dict[str, Any]) -> str:
    return routes.string(asked, 'user_id', most=300).strip()


def _page(request: Request) -> tuple[int, int]:
    size = routes.whole_number(
        request, 'page_size', routes.whole_number(request, 'limit', PAGE, 1, MAX_PAGE), 1, MAX_PAGE
    )
    first = routes.whole_number(request, 'offset', 0, 0, 1_000_000) // size + 1
    return routes.whole_number(request, 'page', first, 1, 1_000_000), size


def _sort(told: list[dict[str, Any]], by: str, order: str) -> None:
    if by not in ('', 'created_at', 'updated_at', 'priority'):
        raise Trouble('bad_request', 'sort must be created_at, updated_at or priority', param='sort')
    if order not in ('', 'asc', 'desc'):
        raise Trouble('bad_request', 'order must be asc or desc', param='order')
    key = by or 'created_at'

    def place(message: dict[str, Any]) -> Any:
        return words.of_level(message[key]) if key == 'priority' else message[key] or ''

    told.sort(key=place, reverse=order != 'asc')


def _timeout_s(asked: dict[str, Any]) -> float:
    """How long it may wait for its start: ``"30s"``, or nanoseconds as Go has them; 0 without."""
    value = asked.get('timeout')
    if value in (None, '', 0):
        return 0.0
    if isinstance(value, str) and (found := _DURATION.fullmatch(value.strip())):
        seconds = float(found[1]) * _UNITS_S[found[2]]
    elif isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e18:
        seconds = value / 1e9
    else:
        raise Trouble('bad_request', 'timeout must be a duration like 30s, or nanoseconds', param='timeout')
    return min(seconds, 1e8)
