"""Answers as texts, and texts put into the bodies of later jobs: nothing but the inside of a string ever changes."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from broker.templates import TooLarge, fill, text_of

PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # on a busy machine


def test_the_text_of_a_chat_is_what_was_said_without_the_thinking():
    lines = [
        b'{"message": {"role": "assistant", "content": "", "thinking": "hm"}, "done": false}',
        '{"message": {"content": "你"}, "done": false}'.encode(),
        b'{"message": {"content": "\\n!"}}',
        b'{"message": {"content": ""}, "done": true, "eval_count": 2}',
    ]
    assert text_of('chat', lines) == '你\n!'


def test_the_text_of_a_generation_is_its_response():
    assert text_of('generate', [b'{"response": "a"}', b'{"response": "b", "done": true}']) == 'ab'


@pytest.mark.parametrize('kind', ['embed', 'raw'])
def test_other_answers_are_their_json(kind):
    assert text_of(kind, [b'{"embeddings": [[1, 2]]}', b'\xff']) == '{"embeddings": [[1, 2]]}\n\ufffd'


@pytest.mark.parametrize(
    'line', [b'', b'7', b'{"message": 1}', b'{"message": {"content": [1]}}', b'\xff', b'[' * 10_000]
)
@pytest.mark.parametrize('kind', ['chat', 'generate'])
def test_a_line_that_says_nothing_is_passed_over(kind, line):
    good = {'chat': b'{"message": {"content": "a"}}', 'generate': b'{"response": "a"}'}[kind]
    assert text_of(kind, [line, good, line]) == 'a'


def test_answers_are_put_where_their_number_stands():
    body = b'{"prompt": "Compare {{1}} with {{2}}, {{1}}!", "n": 7, "deep": [{"a": "{{2}}"}]}'
    filled = json.loads(fill(body, ['"A"\n', '乙'], 1000))
    assert filled == {'prompt': 'Compare "A"\n with 乙, "A"\n!', 'n': 7, 'deep': [{'a': '乙'}]}


def test_what_is_no_answer_of_ours_stays_as_it_is():
    body = rb'{"{{1}}" : 1, "a": "{{0}} {{01}} {{ 1 }} {{3}} {{9999}} \u007b{1}} {{1}", "b\"{{1}}": 2}'
    assert fill(body, ['x', 'y'], 1000) == body


def test_an_answer_cannot_ask_for_another_answer_or_leave_its_string():
    filled = fill(b'{"a": "{{1}}", "b": 1}', ['{{2}}", "b": 2, "c": "\\', 'secret'], 1000)
    assert json.loads(filled) == {'a': '{{2}}", "b": 2, "c": "\\', 'b': 1}


def test_a_body_that_would_grow_too_large_is_refused_before_it_is_built():
    body = b'{"a": "%s"}' % (b'{{1}}' * 700_000)
    with pytest.raises(TooLarge):
        fill(body, ['x' * 30_000_000], 4_000_000)
    assert len(fill(b'{"a":"{{1}}"}', ['x' * 10], 18)) == 18
    with pytest.raises(TooLarge):
        fill(b'{"a":"{{1}}"}', ['x' * 11], 18)


TEXTS = st.text(st.characters(exclude_categories=['Cs'], exclude_characters='\0') | st.sampled_from('{}12"\\'))
VALUES = st.recursive(
    st.none() | st.integers() | TEXTS | st.sampled_from(['{{1}}', 'a {{2}} b', '{{{1}}}']),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=10,
)


def _filled(value, answers):
    """The plain way: walk through the values."""
    match value:
        case str():
            parts = value.replace('{{1}}', '\0').split('\0')
            return answers[0].join(part.replace('{{2}}', answers[1]) for part in parts)
        case list():
            return [_filled(each, answers) for each in value]
        case dict():
            return {name: _filled(each, answers) for name, each in value.items()}
    return value


@PATIENT
@given(st.dictionaries(TEXTS, VALUES, max_size=3), TEXTS, TEXTS, st.booleans())
def test_filling_is_the_same_as_walking_through_the_values(body, one, two, ascii_only):
    data = json.dumps(body, ensure_ascii=ascii_only).encode()
    assert json.loads(fill(data, [one, two], 10**6)) == _filled(body, [one, two])
