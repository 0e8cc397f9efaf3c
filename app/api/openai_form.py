"""How OpenAI's API writes answers: Ollama's lines turned into its chunks and objects. Pure."""

import base64
import struct
from collections.abc import Sequence
from typing import Any

import msgspec
from starlette.responses import Response

from app.api import native, openai_refusal
from app.api.trouble import Trouble
from app.api.work import Work

STREAM, WHOLE = 'text/event-stream; charset=utf-8', 'application/json'
DONE = b'data: [DONE]\n\n'
FINGERPRINT = 'fp_corral'
_encode = msgspec.json.Encoder().encode


class OpenAIForm:
    """What chats and completions have in common. ``created`` is unix seconds; ``tier`` is told only where asked for."""

    prefix = 'chatcmpl-'
    chunk_object = 'chat.completion.chunk'
    whole_object = 'chat.completion'

    def __init__(
        self, model: str, *, job_id: str, created: int, choices: int, usage: bool = False, tier: str | None = None
    ) -> None:
        self._head: dict[str, Any] = {
            'id': self.prefix + job_id,
            'object': self.chunk_object,
            'created': created,
            'model': model,
            'system_fingerprint': FINGERPRINT,
        } | ({'service_tier': tier} if tier else {})
        self._usage = usage
        self._counts = [(0, 0)] * choices  # tokens of the prompt and of the answer
        self._ended: set[int] = set()

    def head(self, lines: list[bytes]) -> tuple[int, dict[str, str]]:
        """Server-sent events."""
        return 200, {'Content-Type': STREAM}

    def whole_head(self) -> dict[str, str]:
        """One JSON object."""
        return {'Content-Type': WHOLE}

    def part(self, place: int, lines: list[bytes]) -> bytes:
        """The chunks that these lines make."""
        return b''.join(_event(self._chunk([choice])) for line in lines for choice in self._choices(place, line))

    def is_whole(self, lines: list[bytes]) -> bool:
        """Never: a stream stays one."""
        return False

    def beat(self, work: Work) -> bytes:
        """A comment, which all clients skip."""
        job = work.view()
        if job is None or not job.waits or job.ahead is None:
            return b': working\n\n'
        eta = f' eta={max(0.0, job.earliest_at - work.began_at):.0f}' if job.earliest_at else ''
        return f': queue position={job.ahead}{eta}\n\n'.encode()

    def end(self) -> bytes:
        """What it cost, where that was asked for, and the mark that ends a stream."""
        if not self._usage:
            return DONE
        return _event(self._chunk([]) | {'usage': usage_of(self._counts)}) + DONE

    def broken(self, failure: Trouble) -> bytes:
        """The error; a stream that breaks has no end mark."""
        return _event({'error': openai_refusal.error(failure)})

    def whole(self, answers: list[list[bytes]]) -> bytes:
        """All choices in one object."""
        choices = [
            self._whole_choice(place, [native.read(line) for line in lines]) for place, lines in enumerate(answers)
        ]
        head = self._head | {'object': self.whole_object}
        return _encode(head | {'choices': choices, 'usage': usage_of(self._counts)})

    def refusal(self, failure: Trouble) -> Response:
        """The status and the error."""
        return openai_refusal.refusal(failure)

    def _choices(self, place: int, line: bytes) -> list[dict[str, Any]]:
        raise NotImplementedError

    def _whole_choice(self, place: int, lines: list[native.Line]) -> dict[str, Any]:
        raise NotImplementedError

    def _chunk(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return self._head | {'choices': choices} | ({'usage': None} if self._usage else {})

    def _count(self, place: int, last: native.Line) -> None:
        self._counts[place] = (int(last.prompt_eval_count or 0), int(last.eval_count or 0))


class ChatForm(OpenAIForm):
    """Chunks and objects of ``/v1/chat/completions``."""

    def __init__(self, model: str, **more: Any) -> None:
        super().__init__(model, **more)
        self._calls: dict[int, int] = {}  # how many calls each choice has made

    def _choices(self, place: int, line: bytes) -> list[dict[str, Any]]:
        found = native.read(line)
        said = found.said
        delta: dict[str, Any] = {}
        if place not in self._calls:
            self._calls[place] = 0
            delta |= {'role': 'assistant', 'content': ''}
        if said.content:
            delta['content'] = said.content
        if said.thinking:
            delta['reasoning'] = said.thinking
        if said.tool_calls:
            first = self._calls[place]
            self._calls[place] += len(said.tool_calls)
            calls = (self._tool_call(place, first + at, call) for at, call in enumerate(said.tool_calls))
            delta['tool_calls'] = [{'index': first + at, **call} for at, call in enumerate(calls)]
        choices = []
        if delta or found.logprobs:
            choice = {'index': place, 'delta': delta, 'finish_reason': None}
            choices.append(choice | ({'logprobs': _chat_logprobs(found.logprobs)} if found.logprobs else {}))
        if found.done:
            self._count(place, found)
            reason = _reason(found, called=self._calls[place] > 0)
            choices.append({'index': place, 'delta': {}, 'finish_reason': reason})
        return choices

    def _whole_choice(self, place: int, lines: list[native.Line]) -> dict[str, Any]:
        said = [line.said for line in lines]
        content = ''.join(each.content or '' for each in said)
        thinking = ''.join(each.thinking or '' for each in said)
        native_calls = [call for each in said for call in each.tool_calls or ()]
        calls = [self._tool_call(place, at, call) for at, call in enumerate(native_calls)]
        message: dict[str, Any] = {'role': 'assistant', 'content': content if content or not calls else None}
        message |= {'reasoning': thinking} if thinking else {}
        message |= {'tool_calls': calls} if calls else {}
        odds = [item for line in lines for item in line.logprobs or ()]
        self._count(place, lines[-1])
        return {
            'index': place,
            'message': message,
            'logprobs': _chat_logprobs(odds) if odds else None,
            'finish_reason': _reason(lines[-1], called=bool(calls)),
        }

    def _tool_call(self, place: int, at: int, call: native.ToolCall) -> dict[str, Any]:
        name = call.id or f'call_{self._head["id"][-12:]}_{place}_{at}'
        arguments = bytes(call.function.arguments).decode()
        return {'id': name, 'type': 'function', 'function': {'name': call.function.name, 'arguments': arguments}}


class CompletionForm(OpenAIForm):
    """Chunks and objects of ``/v1/completions``. ``prompts`` are said first where an echo was asked for."""

    prefix = 'cmpl-'
    chunk_object = whole_object = 'text_completion'

    def __init__(self, model: str, *, prompts: Sequence[str] | None = None, **more: Any) -> None:
        super().__init__(model, **more)
        self._prompts = dict(enumerate(prompts or ()))

    def _choices(self, place: int, line: bytes) -> list[dict[str, Any]]:
        found = native.read(line)
        text = self._prompts.pop(place, '') + (found.said.content or '')
        reason = None
        if found.done:
            self._count(place, found)
            reason = _reason(found)
        if not text and reason is None:
            return []
        odds = _text_logprobs(found.logprobs) if found.logprobs else None
        return [{'index': place, 'text': text, 'logprobs': odds, 'finish_reason': reason}]

    def _whole_choice(self, place: int, lines: list[native.Line]) -> dict[str, Any]:
        text = self._prompts.pop(place, '') + ''.join(line.said.content or '' for line in lines)
        odds = [item for line in lines for item in line.logprobs or ()]
        self._count(place, lines[-1])
        return {
            'index': place,
            'text': text,
            'logprobs': _text_logprobs(odds) if odds else None,
            'finish_reason': _reason(lines[-1]),
        }


class EmbeddingForm(OpenAIForm):
    """The object of ``/v1/embeddings``."""

    def __init__(self, model: str, *, as_base64: bool, **more: Any) -> None:
        super().__init__(model, **more)
        self._model = model
        self._as_base64 = as_base64

    def whole(self, answers: list[list[bytes]]) -> bytes:
        """The vectors, in the encoding that was asked for."""
        found = msgspec.json.decode(answers[0][0], type=_Embedded)
        data = [
            {'object': 'embedding', 'index': index, 'embedding': _packed(vector) if self._as_base64 else vector}
            for index, vector in enumerate(found.embeddings)
        ]
        count = int(found.prompt_eval_count or 0)
        usage = {'prompt_tokens': count, 'total_tokens': count}
        return _encode({'object': 'list', 'data': data, 'model': self._model, 'usage': usage})


class _Embedded(msgspec.Struct):
    embeddings: list[list[float]]
    prompt_eval_count: float | None = None


def usage_of(counts: Sequence[tuple[int, int]]) -> dict[str, int]:
    """What a call cost; its prompt counts once, however many choices were made from it."""
    prompt, answer = max(asked for asked, _ in counts), sum(said for _, said in counts)
    return {'prompt_tokens': prompt, 'completion_tokens': answer, 'total_tokens': prompt + answer}


def _event(value: dict[str, Any]) -> bytes:
    return b'data: ' + _encode(value) + b'\n\n'


def _reason(last: native.Line, *, called: bool = False) -> str:
    if last.done_reason == 'length':
        return 'length'
    return 'tool_calls' if called else 'stop'  # Ollama has more words, for which clients have none


def _chat_logprobs(found: Sequence[native.Logprob]) -> dict[str, Any]:
    content = [
        {'token': item.token, 'logprob': item.logprob, 'bytes': item.bytes, 'top_logprobs': item.top_logprobs or []}
        for item in found
    ]
    return {'content': content, 'refusal': None}


def _text_logprobs(found: Sequence[native.Logprob]) -> dict[str, Any]:
    offsets = [0]
    for item in found:
        offsets.append(offsets[-1] + len(item.token))
    return {
        'tokens': [item.token for item in found],
        'token_logprobs': [item.logprob for item in found],
        'top_logprobs': [
            {each.get('token', ''): each.get('logprob', 0.0) for each in item.top_logprobs or ()} for item in found
        ],
        'text_offset': offsets[:-1],
    }


def _packed(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f'<{len(vector)}f', *vector)).decode()
