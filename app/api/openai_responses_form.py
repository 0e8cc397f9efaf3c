"""How OpenAI's API writes responses: Ollama's lines turned into its events and its object. Pure but for the clock.

The same lines always make the same events with the same numbers, so a stream can be taken up again at any of them.
"""

import time
from collections.abc import Iterable
from typing import Any

import msgspec
from starlette.responses import Response

from app.api import native, openai_refusal
from app.api.openai_form import STREAM, WHOLE
from app.api.trouble import OVERLOAD, Trouble
from app.api.work import Work

Event = tuple[str, dict[str, Any]]  # its type, and what it has besides type and number
_PREFIXES = {'reasoning': 'rs', 'message': 'msg', 'function_call': 'fc'}  # of the ids of items
_encode = msgspec.json.Encoder().encode


class ResponseForm:
    """Events and objects of ``/v1/responses``. ``shown`` is what an answer repeats of its request.

    Events up to number ``starting_after`` are not said. ``ended_at`` is unix seconds, 0 for now.
    """

    def __init__(
        self,
        shown: dict[str, Any],
        *,
        job_id: str,
        created: float,
        choices: int = 1,
        tier: str | None = None,
        starting_after: int = -1,
        ended_at: float = 0.0,
    ) -> None:
        self.work: Work | None = None  # whose job it is, where that may turn out to be another one
        self._shown = shown
        self._job_id = job_id
        self._created = created
        self._starting_after = starting_after
        self._ended_at = ended_at
        self._number = 0  # of the next event
        self._made: Output | None = None
        self._last = native.Line()
        self._began = self._runs = False

    # a stream

    def head(self, lines: list[bytes]) -> tuple[int, dict[str, str]]:
        """Server-sent events."""
        return 200, {'Content-Type': STREAM}

    def part(self, place: int, lines: list[bytes]) -> bytes:
        """The events that these lines make."""
        return self._said([*self._opening(), *self._heard(lines)])

    def is_whole(self, lines: list[bytes]) -> bool:
        """Never: a stream stays one."""
        return False

    def beat(self, work: Work) -> bytes:
        """That it waits; once that is known, a comment, which all clients skip."""
        if not self._began:
            return self._said(self._waiting())
        job = work.view()
        if job is None or not job.waits or job.ahead is None:
            return b': working\n\n'
        return f': queue position={job.ahead}\n\n'.encode()

    def end(self) -> bytes:
        """What is not finished yet, and the whole object."""
        cut = self._last.done_reason == 'length'
        events = [*self._opening(), *self.output.close('incomplete' if cut else 'completed')]
        name = 'incomplete' if cut else 'completed'
        return self._said([*events, (f'response.{name}', {'response': self.document(name)})])

    def broken(self, failure: Trouble) -> bytes:
        """The object with the error in it."""
        status = 'cancelled' if failure.code == 'cancelled' else 'failed'
        events = [*self._opening(), *self.output.close('incomplete')]
        return self._said([*events, ('response.failed', {'response': self.document(status, failure)})])

    # in one piece

    def whole_head(self) -> dict[str, str]:
        """One JSON object."""
        return {'Content-Type': WHOLE}

    def whole(self, answers: list[list[bytes]]) -> bytes:
        """The object of an answer that is complete."""
        return _encode(self.ended(answers[0]))

    def refusal(self, failure: Trouble) -> Response:
        """The status and the error."""
        return openai_refusal.refusal(failure)

    def ended(self, lines: list[bytes]) -> dict[str, Any]:
        """The object of an answer that has these lines and no more."""
        self._heard(lines)
        name = 'incomplete' if self._last.done_reason == 'length' else 'completed'
        self.output.close(name)
        return self.document(name)

    def partial(self, lines: list[bytes], status: str, failure: Trouble | None = None) -> dict[str, Any]:
        """The object of an answer that has these lines so far, or for good where ``failure`` says why."""
        self._heard(lines)
        if failure is not None or status == 'cancelled':
            self.output.close('incomplete')
        return self.document(status, failure)

    def document(self, status: str, failure: Trouble | None = None) -> dict[str, Any]:
        """The object as it is now."""
        over = status not in ('queued', 'in_progress')
        failed = failure is not None and status == 'failed'
        return {
            'id': f'resp_{self._name}',
            'object': 'response',
            'created_at': self._created,
            'status': status,
            'completed_at': int(self._ended_at or time.time()) if status == 'completed' else None,
            'error': error(failure) if failed and failure is not None else None,
            'incomplete_details': {'reason': 'max_output_tokens'} if status == 'incomplete' else None,
            **self._shown,
            'output': self.output.items(),
            'usage': usage(self._last) if over and self._last.done else None,
        }

    @property
    def _name(self) -> str:
        return self.work.jobs[0] if self.work is not None else self._job_id

    @property
    def output(self) -> 'Output':
        """The items as far as they are known."""
        if self._made is None:  # only now is it known which job it is
            self._made = Output(self._name)
        return self._made

    def _waiting(self) -> list[Event]:
        if self._began:
            return []
        self._began = True
        return [(f'response.{name}', {'response': self.document('queued')}) for name in ('created', 'queued')]

    def _opening(self) -> list[Event]:
        events = self._waiting()
        if not self._runs:
            self._runs = True
            events.append(('response.in_progress', {'response': self.document('in_progress')}))
        return events

    def _heard(self, lines: Iterable[bytes]) -> list[Event]:
        events: list[Event] = []
        for line in lines:
            self._last = native.read(line)
            events += self.output.heard(self._last)
        return events

    def _said(self, events: list[Event]) -> bytes:
        data = b''
        for name, more in events:
            if self._number > self._starting_after:
                told = _encode({'type': name, 'sequence_number': self._number, **more})
                data += b'event: ' + name.encode() + b'\ndata: ' + told + b'\n\n'
            self._number += 1
        return data


class Output:
    """The items of an answer, as its lines make them: what was thought, what is said, what is called.

    Their ids are made from the name of the job.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._items: list[dict[str, Any]] = []
        self._open = ''  # the type of the last one while it grows
        self._text = ''
        self._odds: list[dict[str, Any]] = []

    def items(self) -> list[dict[str, Any]]:
        """All of them as they are now."""
        if self._open:
            self._grown()
        return [dict(item) for item in self._items]

    def messages(self) -> list[dict[str, Any]]:
        """The message of Ollama's own API that says the same."""
        said: dict[str, Any] = {'role': 'assistant', 'content': ''}
        for item in self.items():
            match item['type']:
                case 'reasoning':
                    said['thinking'] = said.get('thinking', '') + item['summary'][0]['text']
                case 'message':
                    said['content'] += item['content'][0]['text']
                case _:
                    called = {'name': item['name'], 'arguments': msgspec.Raw(item['arguments'].encode())}
                    said.setdefault('tool_calls', []).append({'id': item['call_id'], 'function': called})
        return [said]

    def heard(self, line: native.Line) -> list[Event]:
        """The events that one more line makes."""
        said = line.said
        events: list[Event] = []
        if said.thinking:
            events += self._switch('reasoning')
            self._text += said.thinking
            events.append(self._event('reasoning_summary_text.delta', summary_index=0, delta=said.thinking))
        odds = [_logprob(item) for item in line.logprobs or ()]
        if said.content or odds:
            events += self._switch('message')
            self._text += said.content or ''
            self._odds += odds
            events.append(self._event('output_text.delta', content_index=0, delta=said.content or '', logprobs=odds))
        for call in said.tool_calls or ():
            events += self._call(call)
        return events

    def close(self, status: str = 'completed') -> list[Event]:
        """Nothing more comes. An answer without any word has an empty message."""
        events = [] if self._items else self._switch('message')
        return events + self._finish(status)

    def _switch(self, kind: str) -> list[Event]:
        if self._open == kind:
            return []
        events = self._finish()
        self._open, self._text, self._odds = kind, '', []
        if kind == 'reasoning':
            self._begin(kind, summary=[])
            part = self._event('reasoning_summary_part.added', summary_index=0, part=_thought(''))
        else:
            self._begin(kind, role='assistant', content=[])
            part = self._event('content_part.added', content_index=0, part=_spoken('', []))
        return [*events, self._item_event('added'), part]

    def _finish(self, status: str = 'completed') -> list[Event]:
        if not self._open:
            return []
        kind = self._open
        self._grown()
        self._items[-1]['status'] = status
        if kind == 'reasoning':
            part = _thought(self._text)
            events = [
                self._event('reasoning_summary_text.done', summary_index=0, text=self._text),
                self._event('reasoning_summary_part.done', summary_index=0, part=part),
            ]
        else:
            part = _spoken(self._text, self._odds)
            events = [
                self._event('output_text.done', content_index=0, text=self._text, logprobs=self._odds),
                self._event('content_part.done', content_index=0, part=part),
            ]
        self._open = ''
        return [*events, self._item_event('done')]

    def _grown(self) -> None:
        if self._open == 'reasoning':
            self._items[-1]['summary'] = [_thought(self._text)]
        else:
            self._items[-1]['content'] = [_spoken(self._text, self._odds)]

    def _call(self, call: native.ToolCall) -> list[Event]:
        events = self._finish()
        arguments = bytes(call.function.arguments).decode()
        call_id = call.id or f'call_{self._name[-12:]}_{len(self._items)}'
        self._begin('function_call', call_id=call_id, name=call.function.name, arguments='')
        events += [self._item_event('added'), self._event('function_call_arguments.delta', delta=arguments)]
        self._items[-1] |= {'arguments': arguments, 'status': 'completed'}
        events += [self._event('function_call_arguments.done', arguments=arguments), self._item_event('done')]
        return events

    def _event(self, name: str, **more: Any) -> Event:
        place = len(self._items) - 1
        return f'response.{name}', {'item_id': self._items[-1]['id'], 'output_index': place, **more}

    def _item_event(self, name: str) -> Event:
        place = len(self._items) - 1
        return f'response.output_item.{name}', {'output_index': place, 'item': dict(self._items[-1])}

    def _begin(self, kind: str, **more: Any) -> None:
        name = f'{_PREFIXES[kind]}_{self._name}_{len(self._items)}'
        self._items.append({'id': name, 'type': kind, 'status': 'in_progress', **more})


def error(failure: Trouble) -> dict[str, Any]:
    """Why there is no answer, in one of the few codes that clients take."""
    if failure.code in OVERLOAD or failure.status == 429:
        code = 'rate_limit_exceeded'
    else:
        code = 'invalid_prompt' if failure.status == 400 else 'server_error'
    return {'code': code, 'message': failure.detail}


def usage(last: native.Line) -> dict[str, Any]:
    """What the answer cost, by its last line. What came from a cache and what was only thought is not known."""
    asked, said = int(last.prompt_eval_count or 0), int(last.eval_count or 0)
    return {
        'input_tokens': asked,
        'input_tokens_details': {'cached_tokens': 0, 'cache_write_tokens': 0},
        'output_tokens': said,
        'output_tokens_details': {'reasoning_tokens': 0},
        'total_tokens': asked + said,
    }


def _thought(text: str) -> dict[str, Any]:
    return {'type': 'summary_text', 'text': text}


def _spoken(text: str, odds: list[dict[str, Any]]) -> dict[str, Any]:
    return {'type': 'output_text', 'text': text, 'annotations': [], 'logprobs': list(odds)}


def _logprob(item: native.Logprob) -> dict[str, Any]:
    others = [
        {'token': each.get('token', ''), 'logprob': each.get('logprob', 0.0), 'bytes': each.get('bytes') or []}
        for each in item.top_logprobs or ()
    ]
    return {'token': item.token, 'logprob': item.logprob, 'bytes': item.bytes or [], 'top_logprobs': others}
