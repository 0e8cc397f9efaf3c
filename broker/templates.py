"""The text of an answer, and putting such texts into the body of a job that comes after it."""

import re
from collections.abc import Sequence

import msgspec

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"(?:\s*+:)?', re.DOTALL)  # of JSON; with a colon it is a name, not a value
_GAP = re.compile(rb'\{\{([1-9]\d{0,2})\}\}')


class TooLarge(Exception):
    """What comes out would be larger than it may be."""


class _Message(msgspec.Struct):
    content: str = ''


class _Chat(msgspec.Struct):
    message: _Message


class _Generate(msgspec.Struct):
    response: str


_chat = msgspec.json.Decoder(_Chat)
_generate = msgspec.json.Decoder(_Generate)


def text_of(kind: str, lines: Sequence[bytes]) -> str:
    """What an answer says: a chat's or a generation's text without its thinking, else the JSON as it came."""
    if kind == 'chat':
        return ''.join(_said(line) for line in lines)
    if kind == 'generate':
        return ''.join(_generated(line) for line in lines)
    return b'\n'.join(lines).decode('utf-8', 'replace')


def fill(body: bytes, answers: Sequence[str], max_bytes: int) -> bytes:
    """``body`` with ``{{1}}`` in its texts replaced by the first answer, and so on; raises ``TooLarge``.

    Only the inside of JSON strings that are values changes, and an answer is put in as text, whatever is in it: so it
    cannot add a field, end a string or ask for another answer. ``{{3}}`` stays as it is where there are but two.
    """
    inside = [_escaped(answer) for answer in answers]
    parts: list[bytes] = []
    done, size = 0, len(body)
    for string in _STRING.finditer(body):
        if string[0].endswith(b':'):
            continue
        for gap in _GAP.finditer(body, *string.span()):
            number = int(gap[1])
            if number > len(inside):
                continue
            size += len(inside[number - 1]) - len(gap[0])
            if size > max_bytes:
                raise TooLarge
            parts += (body[done : gap.start()], inside[number - 1])
            done = gap.end()
    parts.append(body[done:])
    return b''.join(parts)


def _escaped(text: str) -> bytes:
    return msgspec.json.encode(text)[1:-1]


def _said(line: bytes) -> str:
    try:
        return _chat.decode(line).message.content
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ''


def _generated(line: bytes) -> str:
    try:
        return _generate.decode(line).response
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ''
