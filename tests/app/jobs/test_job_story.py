"""What a job's page tells of its life, worked out from its facts."""

import json

from app.board import Board
from app.jobs import job_story
from broker import facts, protocol
from broker.job import State
from tests.app import news as n


def facts_of(*items):
    return [item.fact for item in items]


def test_the_time_of_a_job_is_told_without_a_gap():
    news = n.News()
    usage = facts.Usage(load_s=0.2, prompt_s=0.1, first_token_s=0.5, output_tokens=9, decode_s=0.4)
    history = facts_of(
        news.queued('a', due_at=n.T0 + 2),
        news.due('a'),
        news.started('a', predicted_from=n.T0 + 2, predicted_until=n.T0 + 9),
        news.requeued('a', 'retry', due_at=n.T0 + 60, code='busy', detail='why', trace='File x'),
        news.due('a'),
        news.started('a', epoch=2),
        news.completed('a', lines=4, epoch=2, usage=usage),
    )
    story = job_story.Story(n.job('a'), history)
    assert [(part['name'], part['attempt']) for part in story.parts] == [
        ('delayed', 0), ('queued', 0), ('run', 1), ('backoff', 1),
        ('queued', 1), ('load', 2), ('prompt', 2), ('write', 2),
    ]  # fmt: skip
    assert all(a['until'] == b['from'] for a, b in zip(story.parts, story.parts[1:], strict=False))
    assert story.parts[0]['from'] == history[0].at and story.parts[-1]['until'] == history[-1].at
    assert [event['name'] for event in story.events] == [
        'submitted', 'due', 'started', 'retry', 'due', 'started', 'first_token', 'completed',
    ]  # fmt: skip
    assert story.events[3]['trace'] == 'File x' and story.events[2]['until'] == n.T0 + 9


def test_what_goes_on_has_no_end_and_a_cancelled_job_says_so():
    news = n.News()
    begun = facts_of(news.queued('a', blocked_by=2), news.unblocked('a'), news.started('a'))
    assert job_story.Story(n.job('a'), begun).parts[-1]['until'] == 0.0
    ended = [*begun, *facts_of(news.stopping('a'), news.cancelled('a'))]
    story = job_story.Story(n.job('a'), ended)
    assert [part['name'] for part in story.parts] == ['blocked', 'queued', 'run', 'stopping']
    assert story.events[-1]['name'] == 'cancelled'


def test_a_job_whose_facts_are_forgotten_still_tells_the_outline():
    job = n.job('a', state=State.DEAD, started_at=n.T0 + 3, ended_at=n.T0 + 5, starts=3, code='busy')
    story = job_story.Story(job, [])
    assert [(part['name'], part['until'] - part['from']) for part in story.parts] == [('queued', 3.0), ('run', 2.0)]
    assert (story.events[-1]['name'], story.events[-1]['code']) == ('dead', 'busy')


def test_the_request_is_told_as_messages_and_options():
    body = {
        'messages': [
            {'role': 'system', 'content': 's'},
            {'role': 'user', 'content': '<b>你</b>', 'images': ['x', 'y']},
        ],
        'options': {'num_ctx': 8, 'stop': ['a']},
        'format': {'type': 'object'},
    }
    told = job_story.request(json.dumps(body).encode())
    assert [(each['role'], each['text'], each['images']) for each in told['messages']] == [
        ('system', 's', 0),
        ('user', '<b>你</b>', 2),
    ]
    assert told['options'] == [['format', '{"type":"object"}'], ['num_ctx', '8'], ['stop', '["a"]']]
    assert job_story.request(json.dumps({'input': ['x' * 30_000, 'y']}).encode())['messages'][0]['cut']
    for odd in (b'', b'\xff', b'[1]', b'{"messages": 3, "options": []}'):
        assert job_story.request(odd)['messages'] == []


def test_the_question_is_the_last_thing_that_a_person_asks():
    said = [
        {'role': 'user', 'content': 'Why?'},
        {'role': 'assistant', 'content': 'So.'},
        {'role': 'user', 'content': 'How?'},
    ]
    assert job_story.question(json.dumps({'messages': said}).encode()) == 'How?'
    assert job_story.question(b'{"system": "be brief", "prompt": "What?"}') == 'What?'
    assert job_story.question(b'{"messages": 3}') == ''


def test_while_a_job_runs_it_is_known_when_its_first_words_came():
    board, news = Board(clock=lambda: n.T0), n.News()
    for item in (news.joined(), news.queued('a'), news.started('a', resident=False)):
        board.apply(item, n.T0 + 1)
    view = board.job('a')
    assert (view.resident, view.answer.began_at) == (False, 0.0)
    board.apply(n.tokens('a', 0, 'Hi'), n.T0 + 4)
    board.apply(n.tokens('a', 1, ' you'), n.T0 + 5)
    assert view.answer.began_at == n.T0 + 4
    board.fill(protocol.Lines(job_id='a', epoch=1, index=0, lines=(), total=2, ended=False), n.T0 + 6)
    assert view.answer.began_at == n.T0 + 4
