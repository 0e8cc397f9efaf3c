"""Ollama's own lines: read them, and put them together to the one object that ``"stream": false`` asks for. Pure."""

import re
from datetime import UTC, datetime
from typing import Any

import msgspec

Fields = dict[str, msgspec.Raw]
LOADED = ('load', 'unload')  # why a request without a prompt was done


class Function(msgspec.Struct):
    """What a model wants called; ``arguments`` is a JSON object as it was written."""

    name: str = ''
    arguments: msgspec.Raw = msgspec.Raw(b'{}')
    index: int = 0


class ToolCall(msgspec.Struct):
    """One call."""

    function: Function
    id: str = ''


class Message(msgspec.Struct):
    """The message of a chat line."""

    content: str | None = None
    thinking: str | None = None
    tool_calls: list[ToolCall] | None = None


class Logprob(msgspec.Struct):
    """How probable a token was, and what else could have stood there."""

    token: str = ''
    logprob: float = 0.0
    bytes: list[int] | None = None
    top_logprobs: list[dict[str, Any]] | None = None


class Line(msgspec.Struct):
    """One line of an answer."""

    message: Message | None = None  # chat
    response: str = ''  # generate
    thinking: str | None = None
    tool_calls: list[ToolCall] | None = None
    done: bool = False
    done_reason: str | None = None
    prompt_eval_count: float | None = None  # absent when zero
    eval_count: float | None = None
    logprobs: list[Logprob] | None = None

    @property
    def said(self) -> Message:
        """What is new in it, wherever it stands."""
        return self.message or Message(self.response, self.thinking, self.tool_calls)


_decode = msgspec.json.Decoder(Line).decode
_fields = msgspec.json.Decoder(Fields).decode


def read(line: bytes) -> Line:
    """What a line says; nothing where an engine wrote it in a shape of its own."""
    try:
        return _decode(line)
    except (msgspec.MsgspecError, UnicodeError):
        return Line()


def only_loads(line: bytes) -> bool:
    """Whether a model was just loaded or unloaded: then this is the whole answer."""
    found = read(line)
    return found.done and found.done_reason in LOADED


def whole(lines: list[bytes], kind: str) -> bytes:
    """The answer in one object: the last line, with all that the others said. Other values stay as they were."""
    last = _fields(lines[-1])
    if len(lines) == 1:
        return lines[0]
    said = [read(line).said for line in lines]
    content = ''.join(each.content or '' for each in said)
    thinking = ''.join(each.thinking or '' for each in said)
    calls = [call for line in lines if b'"tool_calls"' in line for call in _raw_calls(line, kind)]
    with_odds = [line for line in lines if b'"logprobs"' in line]
    probabilities = [item for line in with_odds for item in _raw_list(_fields(line).get('logprobs'))]
    spoken: Fields = {'content' if kind == 'chat' else 'response': _raw(content)}
    spoken |= {'thinking': _raw(thinking)} if thinking else {}
    spoken |= {'tool_calls': _raw(calls)} if calls else {}
    if kind == 'chat':
        message = _fields(bytes(last.get('message', b'{}')))
        spoken = {'message': _raw({**{'role': _raw('assistant')}, **message, **spoken})}
    if probabilities:
        spoken['logprobs'] = _raw(probabilities)
    return _escaped(msgspec.json.encode(_in_place(last, spoken)))


def beat(kind: str, model: str) -> bytes:
    """A line that says nothing yet; all clients take it."""
    now = datetime.now(UTC).strftime('%Y-%m-%dT%H:%M:%S.%f000Z')
    empty: dict[str, Any] = {'message': {'role': 'assistant', 'content': ''}} if kind == 'chat' else {'response': ''}
    return msgspec.json.encode({'model': model, 'created_at': now, **empty, 'done': False})


def _in_place(last: Fields, spoken: Fields) -> Fields:
    """``last`` with ``spoken`` in it, in the order in which Ollama writes its keys."""
    found: Fields = {}
    for key, value in last.items():
        found[key] = spoken.pop(key, value)
        if key in ('response', 'message') and 'thinking' in spoken:
            found['thinking'] = spoken.pop('thinking')
        if key == 'done_reason':
            found |= spoken
            spoken = {}
    return found | spoken


def _raw_calls(line: bytes, kind: str) -> list[msgspec.Raw]:
    found = _fields(line)
    if kind == 'chat':
        found = _fields(bytes(found.get('message', b'{}')))
    return _raw_list(found.get('tool_calls'))


def _raw_list(value: msgspec.Raw | None) -> list[msgspec.Raw]:
    if value is None or bytes(value) == b'null':
        return []
    return msgspec.json.decode(value, type=list[msgspec.Raw])


def _raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


def _escaped(data: bytes) -> bytes:
    """As Go writes JSON. These characters only ever stand in strings."""
    return _SPECIAL.sub(lambda found: _AS_GO[found[0]], data)


_AS_GO = {
    b'<': rb'\u003c',
    b'>': rb'\u003e',
    b'&': rb'\u0026',
    '\u2028'.encode(): rb'\u2028',
    '\u2029'.encode(): rb'\u2029',
}
_SPECIAL = re.compile(b'|'.join(_AS_GO))
