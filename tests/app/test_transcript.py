"""What the transcript sends to the browser, and what a browser gets that shows it anew."""

import contextlib
import json

import pytest
from nicegui import ui
from nicegui.testing import user_simulation

from app.components.transcript import Transcript

WAITING = {
    'id': 'a1', 'role': 'assistant', 'text': '', 'thinking': '', 'state': 'waiting', 'job': 'j1', 'ahead': 2,
    'epoch': 0, 'tokens': 0, 'rate': 0.0,
}  # fmt: skip
QUESTION = {'id': 'u1', 'role': 'user', 'text': 'Why?', 'thinking': '', 'state': '', 'job': '', 'epoch': 0}
HINTS = ('start_worker', 'start_engine', 'pull_model', 'group', 'failing')  # of protocol.Place
RUNNING = WAITING | {'state': 'running', 'ahead': None, 'epoch': 1}


@pytest.fixture
async def shown(monkeypatch):
    """A function that puts a transcript on a page; ``sent`` has what its browser is told from then on."""
    async with contextlib.AsyncExitStack() as stack:

        async def show(*messages):
            wishes = []
            made = []

            def root():
                made.append(
                    Transcript(
                        messages,
                        on_stop=lambda *args: wishes.append(('stop', *args)),
                        on_retry=lambda *args: wishes.append(('retry', *args)),
                        on_priority=lambda *args: wishes.append(('priority', *args)),
                        on_other=lambda *args: wishes.append(('other', *args)),
                    )
                )
                with made[-1]:
                    ui.label('Nothing yet')

            user = await stack.enter_async_context(user_simulation(root=root))
            await user.open('/')
            [transcript] = made
            sent = []
            monkeypatch.setattr(transcript, 'run_method', lambda name, *args: sent.append((name, *args)))
            monkeypatch.setattr(transcript, 'update', lambda: sent.append(('update',)))
            transcript.wishes = wishes
            return transcript, sent

        yield show


def held(transcript):
    """What a browser would get that shows it anew."""
    return json.loads(json.dumps(transcript.props['state']))['messages']


async def test_nothing_is_sent_when_nothing_differs(shown):
    transcript, sent = await shown(QUESTION, WAITING)
    transcript.show([dict(QUESTION), dict(WAITING)])
    transcript.show_one(dict(WAITING))
    assert sent == []


async def test_only_the_field_that_changed_is_sent(shown):
    transcript, sent = await shown(QUESTION, WAITING)
    transcript.show_one(WAITING | {'ahead': 1})
    [(name, patch)] = sent
    assert name == 'patch' and patch['messages'] == {'a1': {'ahead': 1}} and patch['version'] == 1
    assert 'order' not in patch
    assert held(transcript) == [QUESTION, WAITING | {'ahead': 1}]


async def test_of_a_growing_text_only_the_growth_is_sent(shown):
    transcript, sent = await shown(RUNNING | {'text': '你好😀'})
    transcript.show_one(RUNNING | {'text': '你好😀，世界', 'thinking': 'hm'})
    [(_, patch)] = sent
    grown = patch['messages']['a1']['grown']
    assert grown == [(1, 'text', 4, '，世界'), (1, 'thinking', 0, 'hm')], 'offsets count as browsers do'
    assert held(transcript)[0]['text'] == '你好😀，世界'


async def test_what_is_sent_grows_with_the_answer_and_not_with_its_square(shown):
    transcript, sent = await shown(RUNNING)
    sizes = []
    for length in (4_000, 32_000):
        sent.clear()
        transcript.show_one(RUNNING | {'text': ''})
        for end in range(20, length + 1, 20):
            transcript.show_one(RUNNING | {'text': 'x' * end, 'tokens': end // 4})
        sizes.append(len(json.dumps(sent)) / length)
    assert sizes[1] < sizes[0] * 1.1


async def test_a_new_epoch_replaces_the_text(shown):
    transcript, sent = await shown(RUNNING | {'text': 'Half an'})
    transcript.show_one(RUNNING | {'text': 'Half an answer', 'epoch': 2})
    [(_, patch)] = sent
    assert patch['messages']['a1'] == {'text': 'Half an answer', 'epoch': 2}


async def test_an_answer_that_is_complete_is_not_sent_again(shown):
    transcript, sent = await shown(RUNNING | {'text': 'All of it'})
    transcript.show_one(RUNNING | {'text': 'All of it', 'epoch': 0, 'state': 'completed'})
    [(_, patch)] = sent
    assert patch['messages']['a1'] == {'epoch': 0, 'state': 'completed'}


async def test_a_text_that_became_another_one_is_sent_whole(shown):
    transcript, sent = await shown(RUNNING | {'text': 'an answer'})
    transcript.show_one(RUNNING | {'text': ''})
    assert sent[0][1]['messages']['a1'] == {'text': ''}


async def test_new_and_removed_messages_are_sent_with_the_order(shown):
    transcript, sent = await shown(QUESTION, WAITING)
    more = QUESTION | {'id': 'u2'}
    transcript.show([WAITING, more])
    [(_, patch)] = sent
    assert patch['order'] == ['a1', 'u2']
    assert patch['messages'] == {'u2': more}
    assert held(transcript) == [WAITING, more]
    transcript.show_one(RUNNING)
    transcript.show_one(WAITING | {'id': 'a2'})
    assert sent[2][1]['order'] == ['a1', 'u2', 'a2']
    assert held(transcript) == [RUNNING, more, WAITING | {'id': 'a2'}]
    assert [message['id'] for message in transcript.messages] == ['a1', 'u2', 'a2']


async def test_a_browser_that_missed_something_gets_everything(shown):
    transcript, sent = await shown(QUESTION)
    transcript.show_one(QUESTION | {'text': 'Why not?'})
    sent.clear()
    for listener in [each for each in transcript._event_listeners.values() if each.type in ('ready', 'gap')]:
        transcript._handle_event({'listener_id': listener.id, 'args': 1 if listener.type == 'ready' else None})
    assert sent == [('update',)], 'a browser of this version needs nothing'
    for listener in [each for each in transcript._event_listeners.values() if each.type == 'ready']:
        transcript._handle_event({'listener_id': listener.id, 'args': 0})
    assert sent == [('update',), ('update',)]
    assert held(transcript)[0]['text'] == 'Why not?'


async def test_wishes_reach_the_page(shown):
    transcript, _ = await shown(QUESTION)
    wishes = {'stop': 'j1', 'retry': 'a1', 'priority': ['j1', 10], 'other': ['j1', 'quick']}
    for listener in list(transcript._event_listeners.values()):
        if listener.type in wishes:
            transcript._handle_event({'listener_id': listener.id, 'args': wishes[listener.type]})
    assert sorted(transcript.wishes) == [
        ('other', 'j1', 'quick'),
        ('priority', 'j1', 10),
        ('retry', 'a1'),
        ('stop', 'j1'),
    ]


async def test_every_code_has_its_words(shown):
    transcript, _ = await shown()
    labels = transcript.props['labels']
    codes = [name.removeprefix('fail_') for name in labels if name.startswith('fail_')]
    known = {'unreachable', 'model_not_found', 'poison', 'predecessor', 'deadline', 'body_too_large', 'breaker_open'}
    assert known | {'other'} <= set(codes)
    refused = {'queue_full', 'queue_full_for', 'conflict', 'unknown_job', 'body_too_large', 'disk_full', 'other'}
    assert all(labels[f'unsent_{code}'] for code in refused)
    assert all(labels[f'{what}_{hint}'] for what in ('no', 'help') for hint in HINTS)
    assert all(labels[f'do_{code}'] for code in codes)
