"""Whose contract a path belongs to, for refusals that come before any door is reached."""

import msgspec

from app.api import openai_refusal
from app.api.own import refusal as own
from app.api.seeds import llm_mq_form
from app.api.trouble import TOO_LONG, Trouble
from broker import protocol

MAX_BYTES = protocol.MAX_BODY_BYTES  # of a request: what a job may have
_CODES = {403: 'forbidden', 413: TOO_LONG}


_SEEDS = {
    '/api/v1/': 'llm_mq',
    '/llm-mq/': 'llm_mq',
    '/ai-task/': 'ai_task',
    '/demo6/': 'ollama',  # these two say no in the same words as Ollama
    '/ollama-queue/': 'ollama',
    '/stream/': 'ollama',
}


def of(path: str) -> str:
    """'ollama', 'openai', 'own', 'llm_mq', 'ai_task', or '' for what is no API."""
    if path.startswith('/v1/'):
        return 'openai'
    if found := next((corner for start, corner in _SEEDS.items() if path.startswith(start)), ''):
        return found
    if not path.startswith('/api/'):
        return 'ollama' if path == '/ws' else ''
    return 'own' if path.split('/')[2] in own.ROOMS else 'ollama'


def refusal(path: str, status: int, sentence: str) -> tuple[bytes, bytes]:
    """The media type and the body that say no at this path."""
    match of(path):
        case 'openai':
            error = openai_refusal.error(Trouble(_CODES.get(status, 'bad_request'), sentence))
            return b'application/json', msgspec.json.encode({'error': error})
        case 'own':
            return b'application/json', own.refusal(Trouble(_CODES.get(status, 'bad_request'), sentence)).body
        case 'llm_mq':
            return b'application/json', llm_mq_form.refusal(Trouble(_CODES.get(status, 'bad_request'), sentence)).body
        case 'ai_task':
            return b'application/json', msgspec.json.encode({'detail': sentence})
        case 'ollama':
            return b'application/json; charset=utf-8', msgspec.json.encode({'error': sentence})
        case _:
            return b'text/plain; charset=utf-8', (sentence + '\n').encode()
