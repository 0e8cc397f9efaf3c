"""What a client sent: its bytes, and the JSON object in them."""

import re

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from app.api.trouble import TOO_LONG, Trouble
from broker import protocol

_BYTE = re.compile(r'\(byte (\d+)\)')


async def read(request: Request) -> bytes:
    """The whole body, as much as a job may have. Raises ``Trouble``."""
    plain(request)
    try:
        body = await request.body()
    except HTTPException as error:  # the guard counts what comes
        raise Trouble(TOO_LONG, str(error.detail)) from None
    except ClientDisconnect:  # nobody will read this
        raise Trouble('bad_request', 'the request broke off') from None
    if len(body) > protocol.MAX_BODY_BYTES:
        raise Trouble(TOO_LONG, f'A request may have {protocol.MAX_BODY_BYTES // 1024 // 1024} MB at most.')
    return body


def plain(request: Request) -> None:
    """Raise ``Trouble`` for a body that is compressed, in whatever way."""
    encoding = request.headers.get('content-encoding', 'identity').strip().lower()
    if encoding not in ('', 'identity'):
        what = f'A body with Content-Encoding {encoding[:40]} is not read here'
        raise Trouble('unsupported', f'{what}: only identity is taken, so send it uncompressed.')


def fields(body: bytes, into: str = 'api.Request') -> dict[str, msgspec.Raw]:
    """The top level of the JSON object in ``body``: values as they were written, keys in small letters, as Go has them.

    Raises ``Trouble`` in the words of Ollama's own decoder.
    """
    if not body.strip():
        raise Trouble('bad_request', 'missing request body')
    try:
        found = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except msgspec.ValidationError:
        raise Trouble('bad_request', f'json: cannot unmarshal {_kind(body)} into Go value of type {into}') from None
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise Trouble('bad_request', _malformed(body, error)) from None
    return {key.lower(): value for key, value in found.items()}


def text(found: dict[str, msgspec.Raw], name: str, into: str = 'api.Request') -> str:
    """A field that must be a string; '' where it is absent or null. Raises ``Trouble``."""
    raw = bytes(found.get(name, b'')).strip()
    if not raw or raw == b'null':
        return ''
    try:
        return msgspec.json.decode(raw, type=str)
    except (msgspec.MsgspecError, UnicodeError):
        struct = into.rpartition('.')[2]
        detail = f'json: cannot unmarshal {_kind(raw)} into Go struct field {struct}.{name} of type string'
        raise Trouble('bad_request', detail, param=name) from None


def _kind(raw: bytes) -> str:
    """What Go calls the value that begins so."""
    names = {b'{': 'object', b'[': 'array', b'"': 'string', b't': 'bool', b'f': 'bool', b'n': 'null'}
    return names.get(raw.strip()[:1], 'number')


def _malformed(body: bytes, error: Exception) -> str:
    if isinstance(error, RecursionError):
        return 'exceeded max depth'
    if isinstance(error, UnicodeError):
        return 'the request is not UTF-8'
    if 'truncated' in str(error):
        return 'unexpected EOF'
    place = _BYTE.search(str(error))
    if place is None:
        return str(error)
    at = int(place[1])
    character = body[at : at + 1].decode('latin-1')
    shown = character if character.isprintable() and character.isascii() else f'\\x{ord(character or " "):02x}'
    return f"invalid character '{shown}' at byte {at} of the request"
