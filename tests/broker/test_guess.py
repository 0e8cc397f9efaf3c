"""``priority: auto``: which rule speaks for which text, and that no body can upset it."""

import json
import time

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from broker.guess import Guess, Rule, text_of
from broker.job import DEFAULT_PRIORITY

PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # on a busy machine


def chat(text):
    messages = [{'role': 'system', 'content': 'urgent'}, {'role': 'user', 'content': text}]
    return msgspec.json.encode({'messages': messages})


@pytest.mark.parametrize(
    ('text', 'guessed'),
    [
        ('Please answer ASAP!', (10, 'urgent')),
        ('这件事很紧急', (10, 'urgent')),
        ('麻烦马上处理一下', (10, 'urgent')),
        ('请urgent处理', (10, 'urgent')),
        ('He spoke insurgently of urgentness', (5, '')),
        ('Is it right nowhere?', (5, '')),
        ('不急，有空再说', (3, 'no hurry')),
        ('This is not urgent.', (3, 'no hurry')),
        ('x' * 20_000, (3, 'very long')),
        ('x' * 500_000 + ' urgent', (10, 'urgent')),
        ('Why is the sky blue?', (5, '')),
        ('', (5, '')),
    ],
)
def test_the_first_rule_that_fits_speaks(text, guessed):
    assert Guess().priority_of(chat(text)) == guessed


def test_own_rules_take_the_place_of_the_default_ones():
    rules = (Rule('tiny', 12, max_chars=5), Rule('report', 1, ('report',), min_chars=10), Rule('Übung', 2, ('übung',)))
    guess = Guess(rules)
    assert guess.priority_of(chat('hi')) == (12, 'tiny')
    assert guess.priority_of(chat('a report')) == (5, '')
    assert guess.priority_of(chat('a longer report')) == (1, 'report')
    assert guess.priority_of(chat('eine ÜBUNG bitte')) == (2, 'Übung')
    assert guess.priority_of(chat('it is urgent')) == (5, '')


def test_a_word_that_begins_like_a_longer_one_is_still_found():
    guess = Guess([Rule('r', 9, ('right now', 'right', 'now'))])
    assert guess.priority_of(chat('right nowhere'))[0] == 9
    assert guess.priority_of(chat('rightnow bright_now knows'))[0] == DEFAULT_PRIORITY


@pytest.mark.parametrize(
    ('body', 'text'),
    [
        (b'{"prompt": "p"}', 'p'),
        (b'{"input": ["a", "b"]}', 'a\nb'),
        (b'{"messages": [{"role": "user", "content": [{"type": "text", "text": "t"}, {"image": 1}, 7]}]}', 't\n'),
        (b'{"messages": [{"role": "user", "content": "first"}, {"role": "user", "content": "last"}]}', 'last'),
        (b'{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}', 'q'),
        (b'{"messages": [{"role": "user", "content": "q"}, 3, {"role": 4}, null]}', 'q'),
        (b'{"messages": 3, "prompt": "p"}', 'p'),
        (b'{"prompt": {"a": 1}}', ''),
        (b'[1, 2]', ''),
        (b'\xff\xfe', ''),
        (b'{', ''),
    ],
)
def test_the_text_is_the_last_question(body, text):
    assert text_of(body) == text


@pytest.mark.parametrize(
    'body',
    [
        b'{"messages": ' + b'[' * 2_000_000,
        b'{"messages": [' + b'[],' * 1_300_000 + b'1]}',
        b'{"messages": [{"role": "user", "content": ' + b'{"a":' * 1_000_000,
        b'{"prompt": "' + b'x' * 4_000_000 + b'"}',
    ],
    ids=['deep', 'wide', 'deep inside', 'long'],
)
def test_a_hostile_body_of_megabytes_costs_little(body):
    began = time.process_time()
    priority, _ = Guess().priority_of(body)
    assert priority in (3, 5)
    assert time.process_time() - began < 2.0  # 0.1 s where this was written


ANY_JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(['role', 'content', 'text']), inner),
    max_leaves=8,
)


@PATIENT
@given(st.dictionaries(st.sampled_from(['messages', 'prompt', 'input']), ANY_JSON))
def test_any_json_gets_a_priority(body):
    priority, rule = Guess().priority_of(json.dumps(body).encode())
    assert (priority == 5) == (rule == '')
