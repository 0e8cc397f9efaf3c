"""Ollama's lines put together to one object, and turned into OpenAI's words."""

import json

import pytest

from app.api import native
from app.api.openai_form import ChatForm, CompletionForm


def line(**fields: object) -> bytes:
    return json.dumps({'model': 'm', 'created_at': 't', **fields}, separators=(',', ':')).encode()


def said(text: str, **more: object) -> dict[str, object]:
    return {'message': {'role': 'assistant', 'content': text, **more}, 'done': False}


DONE = {'done': True, 'done_reason': 'stop', 'total_duration': 12345678901234567, 'eval_count': 2}
ODDS = {'token': 'a', 'logprob': -0.5, 'bytes': [97], 'top_logprobs': [{'token': 'b', 'logprob': -1.0, 'bytes': None}]}
CALL = b'{"id":"c1","function":{"index":0,"name":"f","arguments":{"z":1,"a":2.50}}}'


def test_a_chat_is_put_together_in_the_order_of_ollamas_keys():
    lines = [
        line(**said('', thinking='Hm')),
        line(**said('a<b', thinking='. '), logprobs=[ODDS]),
        line(**said('')).replace(b'"content":""', b'"content":"","tool_calls":[' + CALL + b']'),
        line(**said('!') | DONE),
    ]
    assert native.whole(lines, 'chat') == (
        b'{"model":"m","created_at":"t","message":{"role":"assistant","content":"a\\u003cb!","thinking":"Hm. ",'
        b'"tool_calls":[' + CALL + b']},"done":true,"done_reason":"stop","logprobs":[{"token":"a","logprob":-0.5,'
        b'"bytes":[97],"top_logprobs":[{"token":"b","logprob":-1.0,"bytes":null}]}],'
        b'"total_duration":12345678901234567,"eval_count":2}'
    )


def test_a_completion_keeps_its_context():
    lines = [line(response='a', thinking='x', done=False), line(response='b', context=[1, 2], **DONE)]
    assert native.whole(lines, 'generate') == (
        b'{"model":"m","created_at":"t","response":"ab","thinking":"x","context":[1,2],"done":true,'
        b'"done_reason":"stop","total_duration":12345678901234567,"eval_count":2}'
    )


def test_a_lone_line_stays_as_it_is():
    assert (
        native.whole([b'{ "done":true,  "done_reason":"load" }'], 'chat') == b'{ "done":true,  "done_reason":"load" }'
    )


@pytest.mark.parametrize('strange', [b'[]', b'{"message":7}', b'{"message":{"content":null}}', b'\xff', b''])
def test_a_line_in_another_shape_says_nothing(strange):
    assert not native.read(strange).said.content


@pytest.mark.parametrize(
    ('reason', 'told'), [('stop', 'stop'), ('length', 'length'), ('load', 'stop'), ('unload', 'stop'), ('', 'stop')]
)
def test_openai_has_few_words_for_an_end(reason, told):
    form = ChatForm('m', job_id='1', created=1, choices=1)
    choice = json.loads(form.whole([[line(**said('x') | DONE | {'done_reason': reason})]]))['choices'][0]
    assert choice['finish_reason'] == told


def test_logprobs_in_both_shapes():
    lines = [line(**said('a'), logprobs=[ODDS]), line(**said('') | DONE)]
    chat = ChatForm('m', job_id='1', created=1, choices=1)
    assert json.loads(chat.whole([lines]))['choices'][0]['logprobs'] == {'content': [ODDS], 'refusal': None}
    chunk = json.loads(chat.part(0, lines[:1]).decode().removeprefix('data: '))
    assert chunk['choices'][0]['logprobs']['content'] == [ODDS]
    texts = [line(response='a', done=False, logprobs=[ODDS, ODDS]), line(response='', **DONE)]
    completion = CompletionForm('m', job_id='1', created=1, choices=1)
    assert json.loads(completion.whole([texts]))['choices'][0]['logprobs'] == {
        'tokens': ['a', 'a'],
        'token_logprobs': [-0.5, -0.5],
        'top_logprobs': [{'b': -1.0}, {'b': -1.0}],
        'text_offset': [0, 1],
    }


def test_calls_of_one_choice_are_counted_over_its_chunks():
    form = ChatForm('m', job_id='1', created=1, choices=1)
    calling = line(**said('')).replace(b'"content":""', b'"content":"","tool_calls":[' + CALL + b']')
    chunks = [json.loads(form.part(0, [calling]).decode().removeprefix('data: ')) for _ in range(2)]
    calls = [chunk['choices'][0]['delta']['tool_calls'][0] for chunk in chunks]
    assert [call['index'] for call in calls] == [0, 1]
    assert calls[0]['function'] == {'name': 'f', 'arguments': '{"z":1,"a":2.50}'}
