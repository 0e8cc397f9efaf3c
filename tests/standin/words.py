"""What Ollama says, word by word: the JSON of its answers, and what it refuses. Pure."""

import hashlib
import json
import math
import re
import time
from datetime import UTC, datetime
from typing import Any

from tests.standin.script import Script

_INT_OPTIONS = ('num_ctx', 'num_predict', 'top_k', 'seed', 'num_keep', 'repeat_last_n')


def decoded(body: bytes) -> tuple[dict[str, Any], tuple[int, object] | None]:
    """The request in a body; or, second, status and reply of the refusal."""
    if not body.strip():
        return {}, (400, {'error': 'missing request body'})
    try:
        request = json.loads(body)
    except ValueError as error:
        text = body[:1].decode(errors='replace')
        return {}, (400, {'error': f"invalid character '{text}' looking for beginning of value: {error}"})
    if not isinstance(request, dict):
        return {}, (400, {'error': 'json: cannot unmarshal array into Go value of type api.ChatRequest'})
    return request, None


def wrong_option(request: dict[str, Any]) -> tuple[int, object] | None:
    """Status and reply to an option of the wrong type."""
    options = request.get('options')
    for name in _INT_OPTIONS:
        value = options.get(name) if isinstance(options, dict) else None
        if value is not None and not isinstance(value, int | float):
            return 500, {'error': f'option "{name}" must be of type integer'}
    return None


def model_of(body: bytes) -> str:
    """The model that a body asks for."""
    request, _ = decoded(body)
    return str(request.get('model') or '')


def load_only(path: str, request: dict[str, Any]) -> str:
    """``'load'`` or ``'unload'`` for a request that only wants that, else nothing."""
    if request.get('messages' if path == '/api/chat' else 'prompt'):
        return ''
    return 'unload' if request.get('keep_alive') == 0 else 'load'


def full_name(name: str) -> str:
    """A model's name with its tag."""
    return name if ':' in name else f'{name}:latest'


def parts(text: str) -> list[str]:
    """A text as the tokens in which it is said."""
    return re.findall(r'\s*\S{1,6}|\s+', text)


def chunk(path: str, request: dict[str, Any], text: str, kind: str = 'content') -> dict[str, Any]:
    """One line of an answer."""
    made: dict[str, Any] = {'model': request['model'], 'created_at': timestamp(datetime.now(UTC))}
    if path == '/api/chat':
        message = {'role': 'assistant', 'content': text if kind == 'content' else ''}
        made['message'] = message | ({'thinking': text} if kind == 'thinking' else {})
    else:
        made['response'] = text if kind == 'content' else ''
        if kind == 'thinking':
            made['thinking'] = text
    return made | {'done': False}


def calling(calls: list[dict[str, Any]]) -> dict[str, Any]:
    """The message that calls tools."""
    return {'role': 'assistant', 'content': '', 'tool_calls': calls}


def collected(chunks: list[dict[str, Any]]) -> dict[str, Any]:
    """The lines of an answer as the one reply without a stream."""
    last = chunks[-1]
    if 'response' in last:
        return last | {'response': ''.join(each['response'] for each in chunks)}
    return last | {'message': last['message'] | {'content': ''.join(each['message']['content'] for each in chunks)}}


def embed_input_ok(given: object) -> bool:
    """Whether it can be embedded."""
    return (
        given is None or isinstance(given, str) or (isinstance(given, list) and all(isinstance(t, str) for t in given))
    )


def embedding(request: dict[str, Any], asked: int) -> dict[str, Any]:
    """The reply of ``POST /api/embed``."""
    given = request.get('input') or []
    texts = [given] if isinstance(given, str) else given
    return {
        'model': request['model'],
        'embeddings': [_vector(text) for text in texts],
        'total_duration': time.perf_counter_ns() - asked,
        'load_duration': 1_000_000,
        'prompt_eval_count': sum(max(1, len(text) // 4) for text in texts),
    }


def _vector(text: str) -> list[float]:
    values = [byte - 127.5 for byte in hashlib.sha256(text.encode()).digest()]
    norm = math.sqrt(sum(value * value for value in values))
    return [round(value / norm, 7) for value in values]


def tag(name: str, script: Script) -> dict[str, Any]:
    """A model as ``GET /api/tags`` names it."""
    return {
        'name': name,
        'model': name,
        'modified_at': '2026-11-01T08:00:00.123456789+00:00',
        'size': script.size,
        'digest': hashlib.sha256(name.encode()).hexdigest(),
        'details': {
            'parent_model': '',
            'format': 'gguf',
            'family': 'standin',
            'families': ['standin'],
            'parameter_size': '8.2B',
            'quantization_level': 'Q4_K_M',
        },
        'capabilities': list(script.capabilities),
    }


def timestamp(at: datetime) -> str:
    """A time as Go writes it."""
    return at.strftime('%Y-%m-%dT%H:%M:%S.%f') + '789Z'
