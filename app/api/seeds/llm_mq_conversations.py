"""llm-message-queue's conversations: begun, read, listed, and put into another state."""

import time
from typing import Any

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from app.api.seeds import llm_mq_form, routes, words
from app.api.seeds.calls import Seeds
from app.api.seeds.llm_mq_form import conversation_of, envelope
from app.api.seeds.talks import Talks, new_conversation, notes_of
from app.api.trouble import Trouble
from app.messages import Conversation

STATES = ('active', 'inactive', 'completed', 'archived')
PAGE, MAX_PAGE = 20, 100


class Conversations:
    """All of them."""

    def __init__(self, seeds: Seeds, talks: Talks) -> None:
        self._seeds = seeds
        self._talks = talks

    async def create(self, request: Request) -> Response:
        """``POST /api/v1/conversations``."""
        asked = await routes.fields(request)
        user = routes.string(asked, 'user_id', most=300).strip()
        if not user:
            raise Trouble('bad_request', 'user_id is required', param='user_id')
        conversation = _changed(new_conversation(user), asked)
        await self._seeds.desk.put(conversation)
        told = conversation_of(conversation, 0)
        return envelope(told, 'Conversation created successfully', 201, conversation_id=conversation.id, **told)

    async def get(self, conversation_id: str) -> Response:
        """``GET /api/v1/conversations/:id``, with its messages."""
        conversation = await self._find(conversation_id)
        messages = await self._talks.messages(conversation.id)
        told = conversation_of(conversation, len(messages))
        told['messages'] = [
            {
                'id': message.job_id or message.id,
                'role': message.role,
                'content': message.content,
                'status': message.state or 'completed',
                'created_at': words.rfc3339(message.created_at),
            }
            for message in messages
        ]
        return envelope(told, conversation_id=conversation.id, **told)

    async def list(self, request: Request) -> Response:
        """``GET /api/v1/conversations``."""
        return await self._list(request, request.query_params.get('user_id', ''))

    async def of_user(self, request: Request, user_id: str) -> Response:
        """``GET /api/v1/users/:id/conversations``."""
        return await self._list(request, user_id)

    async def change(self, request: Request, conversation_id: str) -> Response:
        """``PUT /api/v1/conversations/:id`` and ``…/state``."""
        asked = await routes.fields(request)
        conversation = await self._find(conversation_id)
        if request.url.path.endswith('/state') and not routes.string(asked, 'state'):
            raise Trouble('bad_request', f'state must be one of {", ".join(STATES)}', param='state')
        changed = _changed(conversation, asked)
        changed.updated_at = time.time()
        await self._seeds.desk.put(changed)
        told = {
            'id': changed.id,
            'state': changed.state,
            'title': changed.title,
            'updated_at': words.rfc3339(changed.updated_at),
        }
        return envelope(told, 'Conversation updated successfully', status='updated')

    async def _list(self, request: Request, user: str) -> Response:
        size = routes.whole_number(request, 'page_size', PAGE, 1, MAX_PAGE)
        page = routes.whole_number(request, 'page', 1, 1, 1_000_000)
        state, order = request.query_params.get('state', ''), request.query_params.get('order', '')
        if state and state not in STATES:
            raise Trouble('bad_request', f'state must be one of {", ".join(STATES)}', param='state')
        found, total = await self._seeds.desk.conversations_of_programs(
            user=user, state=state, limit=size, offset=(page - 1) * size, newest_first=order != 'asc'
        )
        told = [conversation_of(conversation, count) for conversation, count in found]
        pagination = llm_mq_form.pages(page, size, total)
        return envelope({'conversations': told, 'pagination': pagination}, conversations=told)

    async def _find(self, conversation_id: str) -> Conversation:
        found = await self._talks.find(conversation_id)
        if found is None:
            raise Trouble('not_found', 'Conversation not found', param='conversation')
        return found


def add(paths: APIRouter, conversations: Conversations) -> None:
    """Its paths."""
    for path, handler, method, summary in (
        ('/api/v1/conversations', conversations.list, 'GET', 'The conversations of programs'),
        ('/api/v1/conversations/{conversation_id}', conversations.get, 'GET', 'One with its messages'),
        ('/api/v1/conversations/{conversation_id}', conversations.change, 'PUT', 'Change a conversation'),
        ('/api/v1/conversations/{conversation_id}/state', conversations.change, 'PUT', 'Close or open it again'),
        ('/api/v1/users/{user_id}/conversations', conversations.of_user, 'GET', 'Those of one user'),
    ):
        paths.add_api_route(path, handler, methods=[method], summary=summary)
    paths.add_api_route(
        '/api/v1/conversations', conversations.create, methods=['POST'], status_code=201, summary='A new conversation'
    )


def _changed(conversation: Conversation, asked: dict[str, Any]) -> Conversation:
    changed = msgspec.structs.replace(conversation)
    if state := routes.string(asked, 'state'):
        if state not in STATES:
            raise Trouble('bad_request', f'state must be one of {", ".join(STATES)}', param='state')
        changed.state = state
    changed.title = ' '.join(routes.string(asked, 'title').split())[:200] or conversation.title
    if asked.get('priority') not in (None, ''):
        priority = words.of_level(asked['priority'])
        if priority is None:
            raise Trouble('bad_request', 'priority must be realtime, high, normal or low', param='priority')
        changed.priority = priority
    notes = notes_of(conversation.notes)
    if 'context' in asked:
        notes['context'] = routes.string(asked, 'context')
    if metadata := routes.mapping(asked, 'metadata'):
        notes['metadata'] = {**(notes.get('metadata') or {}), **metadata}
    changed.notes = msgspec.json.encode(notes).decode() if notes else ''
    return changed
