"""A text that is looked for in what jobs ask and answer. Pure: it gets the bytes as the store has them."""

import itertools
from collections.abc import Iterator
from typing import Any

import msgspec

MOST_BYTES = 1_000_000  # of one body or one answer that are read: a longer one must not hold up the queue
MOST_EXCERPT_BYTES = 100_000
EXCERPT_CHARS = 140
_NOT_TEXT = {'role', 'model', 'images', 'image_url', 'type', 'format', 'keep_alive', 'id', 'data'}


class _Message(msgspec.Struct, frozen=True):
    content: str = ''
    thinking: str = ''


class _Line(msgspec.Struct, frozen=True):
    message: _Message = _Message()
    response: str = ''
    thinking: str = ''


class _Asked(msgspec.Struct, frozen=True):
    role: str = ''
    content: Any = ''


class _Body(msgspec.Struct, frozen=True):
    messages: tuple[_Asked, ...] = ()
    prompt: Any = ''
    input: Any = ''


_body = msgspec.json.Decoder(_Body)
_lines = msgspec.json.Decoder(_Line)
_broken = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class Needle:
    """The text to look for; upper and lower case are the same."""

    def __init__(self, text: str) -> None:
        self.text = text.lower()
        spelled = {form for said in (text.lower(), text.upper(), text) for form in _forms(said)}
        self._spelled = tuple(spelled)

    def in_words(self, *words: str) -> bool:
        """Whether one of these has it."""
        return any(self.text in word.lower() for word in words)

    def in_body(self, body: bytes) -> bool:
        """Whether a request to an engine says it: in its texts, not in the names of its fields."""
        part = body[:MOST_BYTES].lower()
        if not any(form in part for form in self._spelled):
            return False
        if len(body) > MOST_BYTES:
            return True
        try:
            return any(self.text in text.lower() for text in _texts(msgspec.json.decode(body)))
        except _broken:
            return True

    def in_answer(self, kind: str, lines: bytes) -> bool:
        """Whether an answer says it, or the thinking before it: ``lines`` are whole lines of NDJSON."""
        if kind not in ('chat', 'generate'):
            return False
        try:
            said = _lines.decode_lines(lines)
        except _broken:
            return any(form in lines.lower() for form in self._spelled)
        return (
            self.text in ''.join([line.message.content or line.response for line in said]).lower()
            or self.text in ''.join([line.message.thinking or line.thinking for line in said]).lower()
        )


def excerpt(body: bytes) -> str:
    """The beginning of what a request asks: the last message of a person, or the prompt; '' where that is not clear."""
    if len(body) > MOST_EXCERPT_BYTES:
        return ''
    try:
        asked = _body.decode(body)
    except _broken:
        return ''
    messages = [message.content for message in asked.messages if message.role == 'user']
    said: Any = messages[-1] if messages else asked.prompt or asked.input
    words = ' '.join(itertools.islice(_texts(said), 3)) if not isinstance(said, str) else said
    return ' '.join(words[: 4 * EXCERPT_CHARS].split())[:EXCERPT_CHARS]


def _forms(text: str) -> Iterator[bytes]:
    """The text as it may stand in JSON: as it is, and with all but ASCII escaped."""
    inside = msgspec.json.encode(text)[1:-1].decode()
    yield inside.lower().encode()
    if not inside.isascii():
        yield ''.join(c if c.isascii() else _escaped(c) for c in inside).lower().encode()


def _escaped(char: str) -> str:
    units = char.encode('utf-16-be').hex()
    return ''.join(f'\\u{units[at : at + 4]}' for at in range(0, len(units), 4))


def _texts(value: Any) -> Iterator[str]:
    """All texts of a request but what is no text: roles, names, pictures."""
    left = [value]
    while left:
        match left.pop():
            case str() as text:
                yield text
            case list() as values:
                left += reversed(values)
            case dict() as fields:
                left += reversed([each for name, each in fields.items() if name not in _NOT_TEXT])
