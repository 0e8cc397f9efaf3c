"""How llm-message-queue speaks: one envelope around everything, with the flat keys of its other versions beside it."""

import time
from typing import Any

from starlette.responses import Response

from app.api.seeds import routes, words
from app.api.seeds.calls import Seen
from app.api.seeds.talks import notes_of
from app.api.trouble import OVERLOAD, TIMED_OUT, Trouble
from app.messages import Conversation, Exchange

CODES = {
    'empty': 1001,
    'body_too_large': 1002,
    'priority': 1003,
    'message': 1004,
    'conversation': 1005,
    'user_id': 1006,
    'queue_full': 1007,
    'too_long_wait': 1007,
    'busy': 1007,
    'no_backend': 1008,
    'rate_limited': 1009,
    'broker_away': 2003,
    'disk_full': 2007,
}
_TITLES = {
    400: 'Invalid request parameters',
    403: 'Forbidden',
    404: 'Not found',
    405: 'Method not allowed',
    408: 'Request timeout',
    409: 'Conflict',
    413: 'Request too large',
    415: 'Unsupported media type',
    429: 'Too many requests',
    503: 'Service unavailable',
}


def envelope(data: Any, message: str = 'success', status: int = 200, /, **flat: Any) -> Response:
    """A reply; ``flat`` are the keys that other versions have beside ``data``."""
    told = {'code': status, 'message': message, 'data': data, 'timestamp': words.rfc3339(time.time()), **flat}
    return routes.answer(told, status)


def refusal(failure: Trouble) -> Response:
    """The envelope of an error, which has ``error`` in it for those who read nothing else."""
    status = status_of(failure)
    told = {
        'code': status,
        'message': _TITLES.get(status, 'Internal server error'),
        'error': failure.detail,
        'details': _details(failure),
        'timestamp': words.rfc3339(time.time()),
    }
    return routes.answer(told, status, failure)


def status_of(failure: Trouble) -> int:
    """The status that fits here."""
    if _is_of_one_user(failure):
        return 429
    known = {'final': 409, 'not_waiting': 409, 'not_dead': 409, 'conflict': 409, 'wrong_method': 405}
    return 408 if failure.code in TIMED_OUT else known.get(failure.code, failure.status)


def message_of(seen: Seen, exchange: Exchange | None, question: str, text: str = '') -> dict[str, Any]:
    """A message, which is a job, with its answer when there is one."""
    notes = notes_of(exchange[1].notes) if exchange is not None else {}
    named = words.level(seen.priority)
    told: dict[str, Any] = {
        'id': seen.name,
        'conversation_id': seen.conversation_id,
        'user_id': seen.user,
        'content': exchange[0].content if exchange is not None else question,
        'priority': named,
        'status': words.message_status(seen.state, seen.code),
        'queue_name': f'{named}_priority',
        'retry_count': seen.failures,
        'max_retries': max(0, seen.max_failures - 1),
        'timeout': f'{notes.get("timeout_s", 0):g}s',
        'created_at': words.rfc3339(seen.queued_at),
        'updated_at': words.rfc3339(seen.ended_at or seen.started_at or seen.queued_at),
        'scheduled_at': words.rfc3339(seen.started_at),
        'completed_at': words.rfc3339(seen.ended_at),
        'metadata': notes.get('metadata') or {},
        'progress': words.progress(seen.state, seen.tokens),
        'queue_position': seen.ahead,
    }
    if text:
        told['response'] = text
    if seen.failure:
        told['error'] = seen.failure
    return told


def conversation_of(conversation: Conversation, count: int) -> dict[str, Any]:
    """A conversation."""
    notes = notes_of(conversation.notes)
    touched = words.rfc3339(conversation.updated_at)
    return {
        'id': conversation.id,
        'user_id': conversation.user,
        'title': conversation.title,
        'context': notes.get('context') or '',
        'status': conversation.state,
        'state': conversation.state,
        'priority': words.level(conversation.priority),
        'message_count': count,
        'created_at': words.rfc3339(conversation.created_at),
        'updated_at': touched,
        'last_active_at': touched,
        'last_activity': touched,
        'metadata': notes.get('metadata') or {},
    }


def pages(page: int, page_size: int, total: int) -> dict[str, int]:
    """Where a page is among all."""
    return {'page': page, 'page_size': page_size, 'total': total, 'total_pages': -(-total // page_size)}


def _details(failure: Trouble) -> dict[str, Any]:
    told: dict[str, Any] = {'reason': failure.detail}
    if failure.param:
        told['field'] = failure.param
    code = CODES['rate_limited'] if _is_of_one_user(failure) else CODES.get(failure.code)
    if code is None and failure.param is not None:
        code = CODES['empty'] if failure.param == 'content' else CODES.get(failure.param)
    return told | ({'code': code} if code is not None else {})


def _is_of_one_user(failure: Trouble) -> bool:
    """Whether it is the limit of one user that was reached, and not that of the whole queue."""
    return failure.code in OVERLOAD and 'of your jobs' in failure.detail
