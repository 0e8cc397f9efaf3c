"""What the chat page works out before it shows it: the models to pick, where an answer stands, where its time went."""

from types import SimpleNamespace

import pytest

from app.board import Board
from app.chats import chat
from app.jobs import attempts
from app.messages import Message, Stats
from app.pages import chat_details as page
from app.views import ModelView
from broker import protocol
from tests.app import news


def test_models_that_cannot_chat_are_not_offered():
    models = [
        model('demo', engine='demo', capabilities=('completion',)),
        model('nomic-embed-text:latest', capabilities=('embedding',)),
        model('old:latest', capabilities=()),
        model('qwen3:8b', parameter_size='8.2B', quantization='Q4_K_M', capabilities=('completion', 'tools')),
    ]
    assert page.pickable(models) == [
        {'name': 'demo', 'size': '', 'demo': True, 'sees': False},
        {'name': 'old:latest', 'size': '', 'demo': False, 'sees': None},
        {'name': 'qwen3:8b', 'size': '8.2B Q4_K_M', 'demo': False, 'sees': False},
    ]


@pytest.mark.parametrize(
    ('view', 'seconds'),
    [
        ({'waited': 1.2, 'first': 0.4, 'ran': 4.3}, [1.2, 0.4, 3.9]),
        ({'waited': 0.0, 'first': 0.0, 'ran': 2.0}, [0.0, 0.0, 2.0]),
        ({'waited': 3.0, 'first': 9.0, 'ran': 1.0}, [3.0, 1.0, 0.0]),
    ],
)
def test_the_time_of_an_answer_is_shared_out_whole(view, seconds):
    parts = page.times(view, last=False)['parts']
    assert [part['seconds'] for part in parts] == seconds
    assert [part['name'] for part in parts] == ['waited', 'read', 'wrote']


def test_a_waiting_answer_is_shown_among_the_jobs_in_front():
    desk = Desk(['a', 'b', 'mine', 'after'])
    shown = page.details(desk.parts, [desk.view('mine')])
    assert shown['job']['state'] == 'waiting'
    assert shown['job']['ahead'] == 2
    assert shown['total'] == 4
    assert [(row['place'], row['title'], row['mine']) for row in shown['ahead']] == [
        (1, 'about a', False),
        (2, 'about b', False),
        (3, 'about mine', True),
    ]
    assert shown['times'] is None


def test_the_next_one_needs_no_list_of_those_in_front():
    desk = Desk(['mine', 'after'])
    assert page.details(desk.parts, [desk.view('mine')])['ahead'] == []


def test_while_one_answer_waits_the_times_are_those_of_the_one_before():
    desk = Desk(['mine'])
    done = desk.service.view(
        Message(id='1', conversation_id='c', role='assistant', job_id='old', state='completed', stats=Stats(ran_s=2.0))
    )
    shown = page.details(desk.parts, [done, desk.view('mine')])
    assert shown['job']['state'] == 'waiting'
    assert shown['times']['last'] is True
    alone = page.details(desk.parts, [done])
    assert alone['job']['state'] == 'completed'
    assert alone['times']['last'] is False


def test_without_an_answer_only_the_workers_are_shown():
    shown = page.details(Desk([]).parts, [])
    assert shown['job'] is None and shown['times'] is None and shown['ahead'] == []


def test_the_inspector_says_where_a_job_comes_from_and_which_rule_spoke():
    desk = Desk([])
    reports = news.News(5)
    origin = {'parent': 'b1', 'schedule': 'nightly', 'priority': 10, 'priority_rule': 'urgent', 'blocked_by': 2}
    desk.board.apply(reports.queued('mine', **origin))
    job = page.details(desk.parts, [desk.view('mine')])['job']
    assert (job['state'], job['after'], job['priority'], job['rule']) == ('blocked', 2, 10, 'urgent')
    assert (job['batch'], job['schedule']) == ('b1', 'nightly')


def test_the_inspector_lists_the_attempts_of_a_job_that_did_not_succeed_at_once():
    desk = Desk(['mine'])
    once = attempts.Attempt(number=1, worker='w:1', started_at=1.0, outcome='completed')
    failed = attempts.Attempt(number=1, worker='w:1', started_at=1.0, outcome='dead', code='busy', trace='…')
    for past, shown in ((once, []), (failed, [('dead', 'busy', '…')])):
        told = page.details(desk.parts, [desk.view('mine')], attempts.Past(attempts=[past], rule='no hurry'))
        assert [(each['outcome'], each['code'], each['trace']) for each in told['attempts']] == shown
        assert told['job']['rule'] == 'no hurry'


class Desk:
    """A board on which these jobs wait in this order, and the chat service's view of it."""

    def __init__(self, waiting):
        self.board = Board()
        reports = news.News()
        for job_id in waiting:
            self.board.apply(reports.queued(job_id, conversation_id=job_id))
        places = tuple(protocol.Place(job_id=each, ahead=ahead, reason='ahead') for ahead, each in enumerate(waiting))
        self.board.apply(protocol.Standing(waiting=len(waiting), places=places))
        self.service = chat.ChatService(SimpleNamespace(max_attachments_bytes=10**9), None, self.board, None)
        self.parts = SimpleNamespace(board=self.board, title_of=lambda conversation: f'about {conversation}')

    def view(self, job_id):
        return self.service.view(
            Message(id=f'm-{job_id}', conversation_id=job_id, role='assistant', job_id=job_id, state='pending')
        )


def model(name, *, engine='ollama', parameter_size='', quantization='', capabilities):
    return ModelView(
        name=name,
        engine=engine,
        size_bytes=1,
        parameter_size=parameter_size,
        quantization=quantization,
        capabilities=capabilities,
        slots=1,
    )
