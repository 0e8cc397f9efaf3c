"""Whose contract a path belongs to, for refusals that come before any door is reached."""

import msgspec

from app.api import openai_refusal
from app.api.own import refusal as own
from app.api.trouble import TOO_LONG, Trouble
from broker import protocol

MAX_BYTES = protocol.MAX_BODY_BYTES  # of a request: what a job may have
_CODES = {403: 'forbidden', 413: TOO_LONG}


def of(path: str) -> str:
    """'ollama', 'openai', 'own', or '' for what is no API."""
    if path.startswith('/v1/'):
        return 'openai'
    if not path.startswith('/api/'):
        return ''
    return 'own' if path.split('/')[2] in own.ROOMS else 'ollama'


def refusal(path: str, status: int, sentence: str) -> tuple[bytes, bytes]:
    """The media type and the body that say no at this path."""
    match of(path):
        case 'openai':
            error = openai_refusal.error(Trouble(_CODES.get(status, 'bad_request'), sentence))
            return b'application/json', msgspec.json.encode({'error': error})
        case 'own':
            return b'application/json', own.refusal(Trouble(_CODES.get(status, 'bad_request'), sentence)).body
        case 'ollama':
            return b'application/json; charset=utf-8', msgspec.json.encode({'error': sentence})
        case _:
            return b'text/plain; charset=utf-8', (sentence + '\n').encode()
