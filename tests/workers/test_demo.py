"""What only the demo does: be canned and honest about it, in the language of the question, safely."""

import asyncio
import html
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from tests.workers.benches import collect, text_of
from workers.engines import demo_text
from workers.engines.demo import DemoEngine


def asked(content: str, **options: object) -> bytes:
    messages = [{'role': 'user', 'content': content}]
    return json.dumps({'model': 'demo', 'messages': messages, 'options': options}).encode()


async def say(content: str, **options: object) -> str:
    options.setdefault('demo', {'chars_per_s': 1e6})
    lines, _, failure = await collect(DemoEngine(), 'chat', 'demo', asked(content, **options))
    assert failure is None
    return text_of(lines)


@pytest.mark.parametrize(
    ('question', 'honest'), [('What is Python?', 'canned'), ('什么是 Python？', '演示'), ('  \n你好\nhello', '演示')]
)
async def test_the_answer_is_honest_and_in_the_language_of_the_question(question, honest):
    answer = await say(question)
    assert honest in answer
    assert demo_text.is_cjk(answer) == demo_text.is_cjk(question)
    assert '```bash\nollama pull qwen3\n```' in answer
    shown = MarkdownIt().enable('table').render(answer)
    assert '<table>' in shown and 'language-python' in shown and '<ol>' in shown


async def test_the_same_question_gets_the_same_answer():
    assert await say('Why?') == await say('Why?') != await say('Why not?')


async def test_only_the_last_question_counts():
    messages = [
        {'role': 'user', 'content': '你好'},
        {'role': 'assistant', 'content': '您好！'},
        {'role': 'user', 'content': 'And now in English'},
    ]
    body = json.dumps({'model': 'demo', 'messages': messages, 'options': {'demo': {'chars_per_s': 1e6}}}).encode()
    lines, _, _ = await collect(DemoEngine(), 'chat', 'demo', body)
    assert '> And now in English\n' in text_of(lines)


async def test_it_goes_on_where_its_answer_ended():
    whole = demo_text.answer('Why?')
    messages = [{'role': 'user', 'content': 'Why?'}, {'role': 'assistant', 'content': whole[:200]}]
    body = json.dumps({'model': 'demo', 'messages': messages, 'options': {'demo': {'chars_per_s': 1e6}}}).encode()
    lines, _, _ = await collect(DemoEngine(), 'chat', 'demo', body)
    assert whole[:200] + text_of(lines) == whole


async def test_it_thinks_calls_tools_and_answers_in_json_where_it_is_asked_to():
    call = {'function': {'name': 'look', 'arguments': {'at': 'it'}}}
    request = json.loads(asked('为什么', demo={'chars_per_s': 1e6, 'tool_calls': [call]}))
    body = json.dumps(request | {'think': True, 'format': 'json'}).encode()
    lines, _, _ = await collect(DemoEngine(), 'chat', 'demo', body)
    said = [json.loads(line)['message'] for line in lines]
    assert ''.join(each.get('thinking', '') for each in said) == demo_text.thoughts('为什么')
    assert [each['tool_calls'] for each in said if 'tool_calls' in each] == [[call]]
    assert json.loads(text_of(lines)) == {'demo': True, 'question': '为什么'}
    quiet, _, _ = await collect(DemoEngine(), 'chat', 'demo', asked('Why?', demo={'chars_per_s': 1e6}))
    assert all(b'thinking' not in line for line in quiet)


@pytest.mark.parametrize(
    'question',
    [
        '<script>alert(1)</script>',
        '![x](https://evil.example/?q=1) [a](javascript:alert(1)) <https://evil.example>',
        '# head **bold** `code` | cell | ~~no~~',
        '1. one',
        '- a ``` b',
        '&lt;b&gt; \\*x\\*',
        'a\x00\x1b[31m\u202eb',
    ],
)
async def test_the_question_is_quoted_as_plain_text(question):
    answer = await say(question)
    quote = answer.partition('\n> ')[2].partition('\n')[0]
    shown = MarkdownIt('gfm-like', {'linkify': False}).render(f'> {quote}')
    inner = shown.removeprefix('<blockquote>\n<p>').removesuffix('</p>\n</blockquote>\n')
    assert '<' not in inner
    assert html.unescape(inner) == ''.join(c if c.isprintable() else ' ' for c in question)


async def test_a_long_question_is_cut_in_the_quote():
    answer = await say('word ' * 1000 + '\nsecond line')
    assert len(answer) < 3000 and '…' in answer and 'second line' not in answer


@given(st.text())
def test_pieces_join_to_the_text(text):
    assert ''.join(demo_text.pieces(text)) == text


async def test_it_speaks_at_the_speed_it_is_told(monkeypatch):
    slept: list[float] = []
    sleep = asyncio.sleep

    async def count(seconds: float) -> None:
        slept.append(seconds)
        await sleep(0)

    monkeypatch.setattr('workers.engines.demo.asyncio.sleep', count)
    loop_time = asyncio.get_running_loop().time()
    monkeypatch.setattr(asyncio.get_running_loop(), 'time', lambda: loop_time + sum(slept))
    await say('x', demo={'text': 'abcd ' * 200, 'chars_per_s': 100})
    assert 9.5 < sum(slept) <= 10.0


async def test_text_and_length_can_be_scripted():
    assert await say('x', demo={'text': 'ab', 'length': 5, 'chars_per_s': 1e6}) == 'ababa'
    assert len(await say('x', demo={'length': 10_000, 'chars_per_s': 1e7})) == 10_000
    assert await say('x', demo={'text': ''}) == ''


@pytest.mark.parametrize(
    'script',
    [{'chars_per_s': 0}, {'chars_per_s': 'fast'}, {'nope': 1}, {'fail': {'code': ''}}, {'length': -1}, 'x', [1]],
)
async def test_a_wrong_script_is_a_bad_request(script):
    _, _, failure = await collect(DemoEngine(), 'chat', 'demo', asked('x', demo=script))
    assert failure.code == 'bad_request' and failure.detail.startswith('options.demo')


async def test_a_failure_can_be_scripted():
    script = {'chars_per_s': 1e6, 'fail': {'after': 2, 'code': 'busy', 'detail': 'full', 'retryable': True}}
    lines, _, failure = await collect(DemoEngine(), 'chat', 'demo', asked('x', demo=script))
    assert len(lines) == 2
    assert (failure.code, failure.detail, failure.retryable) == ('busy', 'full', True)


@pytest.mark.parametrize('messages', ['hi', [1], [{'role': 'user'}, 'x']])
async def test_messages_that_are_none_are_a_bad_request(messages):
    body = json.dumps({'model': 'demo', 'messages': messages}).encode()
    _, _, failure = await collect(DemoEngine(), 'chat', 'demo', body)
    assert failure.code == 'bad_request'
