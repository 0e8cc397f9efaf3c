"""Answers to requests of kind 'raw': any POST that carries a model, passed to the engine and back as it is.

An answer's lines are JSON objects of ours. The first tells the status and those headers that belong to the content;
each other one has the next bytes of the body in base64, as they came, so that nothing is lost and a stream streams::

    {"status":200,"headers":{"content-type":"application/json"}}
    {"b64":"eyJyZXN1bHRzIjpb"}
    {"b64":"XX0="}

A status other than 2xx is an answer, too, unless it is worth another try (502, 503, 504, a crashed runner): then the
run fails, as those of other kinds do. An answer without a body has only the first line. All lines are there when the
run has finished; nothing marks the last one.
"""

import binascii
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

import msgspec

from broker import facts
from workers.engines import meter
from workers.engines.failure import EngineFailure

HEADERS = ('content-type', 'content-encoding', 'content-disposition', 'retry-after')  # the ones that are passed on
_PART_BYTES = 256 * 1024  # of the body in one line, at most
_WHOLE_BYTES = 4 * 1024 * 1024  # of a reply that is read for its counts
_TAIL_BYTES = 64 * 1024  # of a stream, which has them at its end

_NOT_PLAIN = 'the path of a raw request begins with one / and has no .., //, \\, #, space or control character'
_BAD = ('..', '//', '/./', '#')
_PLAIN = re.compile(r'[!-\[\]-~]+')  # ASCII that can be seen, without the backslash
# What changes the server for everybody, and no answer of a model.
_ADMIN = ('/api/pull', '/api/push', '/api/create', '/api/copy', '/api/delete', '/api/blobs', '/api/signout')


def check(path: str, *, allow_admin: bool = False) -> None:
    """Raise ``EngineFailure`` for a path that no job may post to, however it is escaped."""
    where, seen = path.partition('?')[0], ''
    if not _is_plain(path):
        raise EngineFailure('bad_request', _NOT_PLAIN)
    while where != seen:
        if not _is_plain(where):
            raise EngineFailure('bad_request', _NOT_PLAIN)
        if not allow_admin and any(f'{where.lower()}/'.startswith(f'{admin}/') for admin in _ADMIN):
            text = f'{where} changes the server for all; it is open only where the worker has allow_admin'
            raise EngineFailure('bad_request', text)
        where, seen = unquote(where), where


def head(status: int, headers: Mapping[str, str]) -> bytes:
    """The first line of an answer."""
    return msgspec.json.encode({'status': status, 'headers': {k: headers[k] for k in HEADERS if k in headers}})


def lines(data: bytes) -> Iterator[bytes]:
    """The next bytes of the body as lines."""
    for start in range(0, len(data), _PART_BYTES):
        part = binascii.b2a_base64(data[start : start + _PART_BYTES], newline=False)
        yield b'{"b64":"%s"}' % part


class _Line(msgspec.Struct):
    status: int = 0
    headers: dict[str, str] = {}
    b64: bytes = b''


_decode = msgspec.json.Decoder(_Line).decode


class RawMeter:
    """Reads along as ``Meter`` does; what a reply cost is in its counts, where it has any that we know."""

    done = False  # only the end of the connection tells

    def __init__(self) -> None:
        self._status = 0
        self._keep = _TAIL_BYTES
        self._data = bytearray()
        self._whole = False
        self._first_s = self._last_s = 0.0
        self._cost = _Cost()

    @property
    def good(self) -> bool:
        """Whether a model was at work, as its counts tell; other answers show that the server lives, no more."""
        return 200 <= self._status < 300 and (self._cost.prompt > 0 or self._cost.output > 0)

    @property
    def usage(self) -> facts.Usage:
        """What is known so far."""
        cost = self._cost
        return facts.Usage(
            prompt_tokens=cost.prompt,
            output_tokens=cost.output,
            load_s=cost.load_s,
            prompt_s=cost.prompt_s,
            decode_s=cost.decode_s,
            first_token_s=self._first_s or self._last_s,
            total_s=self._last_s,
            done_reason=cost.reason,
        )

    def read(self, line: bytes, after_s: float) -> None:
        """The next line came, ``after_s`` seconds after the request had left."""
        part = _decode(line)
        self._last_s = after_s
        if part.status:
            self._status = part.status
            kind = part.headers.get('content-type', '').partition(';')[0].strip().lower()
            self._whole = kind.endswith('json') and 'ndjson' not in kind
            self._keep = _WHOLE_BYTES if self._whole else _TAIL_BYTES
            return
        self._first_s = self._first_s or after_s
        self._data += part.b64
        if not self._whole:
            del self._data[: -self._keep]
        elif len(self._data) > self._keep:
            self._data, self._keep = bytearray(), 0  # too long to look for counts in it

    def end(self) -> None:
        """The answer is whole."""
        for text in [bytes(self._data)] if self._whole else bytes(self._data).splitlines():
            self._cost.add(text.removeprefix(b'data:').strip())


class _Counts(msgspec.Struct):
    """The words for tokens in OpenAI's, Anthropic's and other APIs."""

    prompt_tokens: float | None = None
    completion_tokens: float | None = None
    input_tokens: float | None = None
    output_tokens: float | None = None


class _Inner(msgspec.Struct):
    usage: _Counts | None = None


class _Reply(msgspec.Struct):
    usage: _Counts | None = None
    response: Any = None  # an object in events of OpenAI's responses, a text in Ollama's
    done_reason: str | None = None
    load_duration: float | None = None
    prompt_eval_count: float | None = None
    prompt_eval_duration: float | None = None
    eval_count: float | None = None
    eval_duration: float | None = None


class _Cost(msgspec.Struct):
    prompt: int = 0
    output: int = 0
    load_s: float = 0.0
    prompt_s: float = 0.0
    decode_s: float = 0.0
    reason: str = ''

    def add(self, text: bytes) -> None:
        """Take what is in one JSON object, where it is one."""
        try:
            reply = msgspec.json.decode(text, type=_Reply)
            inner = msgspec.convert(reply.response, _Inner) if isinstance(reply.response, dict) else _Inner()
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return
        for usage in (reply.usage, inner.usage):
            if usage is not None:
                self.prompt = max(self.prompt, meter.count(usage.prompt_tokens), meter.count(usage.input_tokens))
                self.output = max(self.output, meter.count(usage.completion_tokens), meter.count(usage.output_tokens))
        self.prompt = max(self.prompt, meter.count(reply.prompt_eval_count))
        self.output = max(self.output, meter.count(reply.eval_count))
        self.load_s = max(self.load_s, meter.seconds(reply.load_duration))
        self.prompt_s = max(self.prompt_s, meter.seconds(reply.prompt_eval_duration))
        self.decode_s = max(self.decode_s, meter.seconds(reply.eval_duration))
        self.reason = (reply.done_reason or self.reason)[:100]


def _is_plain(path: str) -> bool:
    return path.startswith('/') and _PLAIN.fullmatch(path) is not None and not any(bad in path for bad in _BAD)
