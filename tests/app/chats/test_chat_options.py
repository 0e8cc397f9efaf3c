"""What is sent to the model: options out of a form, the shown branch, files, and no more than a request can hold."""

import base64
import json

import pytest

from app.chats import chat_options, chat_request
from app.chats.chat_options import Options
from app.messages import Extras, File, Message
from broker import protocol


def test_a_form_becomes_options_and_options_a_form():
    form = {
        'system': ' Be brief. ',
        'temperature': '0,7',
        'top_p': '0',
        'top_k': '40',
        'num_ctx': '8192',
        'seed': '0',
        'stop': 'END\n\n  two',
        'think': 'off',
        'format': 'json',
        'keep_alive': '10m',
        'preset': 'Mine',
    }
    options, wrong = chat_options.check(form)
    assert wrong == {}
    assert options == Options(
        system='Be brief.',
        temperature=0.7,
        top_p=0.0,
        top_k=40,
        num_ctx=8192,
        seed=0,
        stop=('END', '  two'),
        think='off',
        format='json',
        keep_alive='10m',
        preset='Mine',
    )
    assert chat_options.check(chat_options.form(options)) == (options, {})
    assert chat_options.read(chat_options.stored(options)) == options
    assert chat_options.read('{broken') == chat_options.read('') == Options()
    assert chat_options.count(options) == 10


@pytest.mark.parametrize(
    ('field', 'text', 'kind'),
    [
        ('temperature', 'warm', 'number'),
        ('temperature', '2.1', 'number'),
        ('top_p', 'nan', 'number'),
        ('top_k', '3.5', 'whole'),
        ('num_ctx', '100', 'whole'),
        ('num_ctx', '9' * 400, 'whole'),
        ('num_predict', '0', 'whole'),
        ('seed', '-1', 'whole'),
        ('stop', '\n'.join('abcdefghi'), 'stop'),
        ('stop', 'x' * 101, 'stop'),
        ('keep_alive', 'soon', 'keep_alive'),
        ('keep_alive', '10 minutes', 'keep_alive'),
        ('system', 'x' * 100_001, 'system'),
    ],
)
def test_what_cannot_be_is_named_by_its_field(field, text, kind):
    options, wrong = chat_options.check({field: text})
    assert wrong == {field: kind}
    assert options == Options()


@pytest.mark.parametrize(('text', 'sent'), [('10m', '10m'), ('-1', -1), ('0', 0), ('30', 30), ('1.5h', '1.5h')])
def test_the_time_a_model_stays_loaded_is_sent_as_ollama_reads_it(text, sent):
    assert chat_options.request(Options(keep_alive=text)) == {'keep_alive': sent}


def test_the_request_has_the_system_prompt_the_options_and_what_was_said():
    said = [Message(id='q', conversation_id='c', role='user', content='Hi')]
    options = Options(system='Be brief.', temperature=0.0, num_ctx=4096, stop=('END',), think='on', format='json')
    assert asked(said, options) == {
        'model': 'm',
        'messages': [{'role': 'system', 'content': 'Be brief.'}, {'role': 'user', 'content': 'Hi'}],
        'stream': True,
        'options': {'temperature': 0.0, 'num_ctx': 4096, 'stop': ['END']},
        'think': True,
        'format': 'json',
    }


def test_an_answer_that_goes_on_comes_last():
    said = [Message(id='q', conversation_id='c', role='user', content='Count')]
    body = asked(said, Options(), extras=Extras(kept='one, two'))
    assert body['messages'][-1] == {'role': 'assistant', 'content': 'one, two'}


def test_texts_are_quoted_whatever_they_hold_and_pictures_go_along():
    text = File(id='t', name='notes.md', media_type='text/plain', size=9)
    picture = File(id='p', name='a.png', media_type='image/png', size=4)
    said = [Message(id='q', conversation_id='c', role='user', content='Look', extras=Extras(files=(text, picture)))]
    message = asked(said, Options(), files={'t': b'```\nx\n```\n', 'p': b'\x89PNG'})['messages'][0]
    assert message['content'] == 'Look\n\nnotes.md:\n````\n```\nx\n```\n````'
    assert [base64.b64decode(each) for each in message['images']] == [b'\x89PNG']


def test_the_pictures_of_the_oldest_questions_are_left_out_where_not_all_fit():
    size = 1_400_000
    said = [
        Message(
            id=f'q{n}',
            conversation_id='c',
            role='user',
            content=f'{n}',
            extras=Extras(files=(File(id=f'p{n}', name='', media_type='image/png', size=size),)),
        )
        for n in range(4)
    ]
    files = {f'p{n}': bytes(size) for n in range(4)}
    body = chat_request.body(Message(id='a', conversation_id='c', role='assistant', model='m'), said, Options(), files)
    assert len(body) <= protocol.MAX_BODY_BYTES
    assert ['images' in each for each in json.loads(body)['messages']] == [False, False, True, True]


@pytest.mark.parametrize(
    ('text', 'question'),
    [
        ('“Why is the sky blue?”\nBecause', 'Why is the sky blue?'),
        ('\n\n**为什么天是蓝的？**', '为什么天是蓝的？'),
        (' \n ', ''),
    ],
)
def test_a_suggestion_is_the_first_line_without_its_marks(text, question):
    assert chat_request.question_in(text) == question


def test_the_demo_is_told_what_to_suggest_and_others_are_asked_in_the_language_of_the_page():
    said = [Message(id='q', conversation_id='c', role='user', content='你好' * 2000)]
    real = json.loads(chat_request.suggestion('m', said, 'zh', canned=False))
    assert '中文' in real['messages'][-1]['content'] and 'demo' not in real['options']
    assert len(real['messages'][0]['content']) == chat_request.MOST_SAID_CHARS
    assert '队列' in json.loads(chat_request.suggestion('demo', [], 'zh', canned=True))['options']['demo']['text']


def asked(said, options, *, files=None, extras=None):
    answer = Message(id='a', conversation_id='c', role='assistant', model='m', extras=extras or Extras())
    return json.loads(chat_request.body(answer, said, options, files or {}))
