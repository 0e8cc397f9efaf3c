"""What the lines of an answer say: text of a chat or a completion, vectors, or the body of a raw reply."""

import base64
from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec


class Said(NamedTuple):
    """What one line adds."""

    text: str = ''
    thinking: str = ''


class _Message(msgspec.Struct):
    content: str | None = None
    thinking: str | None = None
    tool_calls: list[Any] | None = None


class _Line(msgspec.Struct):
    message: _Message | None = None
    response: str | None = None
    thinking: str | None = None
    error: Any = None
    status: int = 0
    b64: str = ''


_decode = msgspec.json.Decoder(_Line).decode


def said(kind: str, line: bytes) -> Said:
    """What one line of an answer to a job of this kind adds. Embeddings are their line itself."""
    if kind == 'embed':
        return Said(line.decode(errors='replace'))
    try:
        found = _decode(line)
    except (msgspec.MsgspecError, UnicodeError):
        return Said()  # the engine's own garbage
    if kind == 'raw':
        return Said(base64.b64decode(found.b64).decode(errors='replace'))
    if found.message is not None:
        calls = ''.join(f'{msgspec.json.encode(call).decode()}\n' for call in found.message.tool_calls or ())
        return Said((found.message.content or '') + calls, found.message.thinking or '')
    return Said(found.response or '', found.thinking or '')


def text(kind: str, lines: Iterable[bytes]) -> str:
    """The whole answer."""
    return ''.join(said(kind, line).text for line in lines)


def thinking(kind: str, lines: Iterable[bytes]) -> str:
    """All that the model has thought aloud."""
    return ''.join(said(kind, line).thinking for line in lines)


def body(lines: Iterable[bytes]) -> bytes:
    """The bytes of a raw reply."""
    return b''.join(base64.b64decode(_decode(line).b64) for line in lines)


def status(lines: Iterable[bytes]) -> int:
    """The HTTP status of a raw reply; 0 while there is none."""
    return next((_decode(line).status for line in lines), 0)
