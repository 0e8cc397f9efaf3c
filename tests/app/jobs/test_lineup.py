"""The lanes of the queue, and what one open queue page sees of them."""

import random
from pathlib import Path

import pytest

from app.board import Board
from app.jobs.lineup import LANES, Lineup, lane_of
from app.jobs.queue_view import Filter, QueueView
from app.parts import Parts
from app.settings import AppSettings
from app.views import JobView
from broker.endpoints import Endpoints
from broker.job import State
from tests.app import news as n


def job(job_id: str, **fields: object) -> JobView:
    return JobView(n.job(job_id, **fields))


def test_every_priority_has_a_lane():
    assert [lane_of(value) for value in range(16)] == ['low'] * 4 + ['normal'] * 4 + ['high'] * 5 + ['real'] * 3


@pytest.mark.parametrize('seed', range(5))
def test_the_lineup_is_in_order_whatever_happens(seed: int):
    chance, line, known = random.Random(seed), Lineup(), {}
    for step in range(400):
        job_id = str(chance.randrange(60))
        view = known.get(job_id) or job(job_id, queued_at=n.T0 + step, model=chance.choice('ab'))
        view.priority, view.state = chance.randrange(16), chance.choice(list(State))
        view.due_at = n.T0 + chance.randrange(99)
        known[job_id] = view
        line.take(view)
    fresh = Lineup()
    fresh.begin(list(known.values()))
    waiting = [view for view in known.values() if view.waits]
    for lane in LANES:
        ids = [view.job_id for view in line.jobs(lane)]
        assert ids == [view.job_id for view in fresh.jobs(lane)]
        assert sorted(ids) == sorted(view.job_id for view in waiting if lane_of(view.priority) == lane)
        front = chance.sample(ids, min(4, len(ids)))
        whole = [view.job_id for view in line.part(lane, front, 0, 100)]
        assert whole == front + [job_id for job_id in ids if job_id not in front]
        assert [view.job_id for view in line.part(lane, front, 2, 7)] == whole[2:7]
    assert len(line) == len(waiting) and line.models == fresh.models and line.states == fresh.states
    assert sum(line.models.values()) == len(waiting)


@pytest.fixture
def parts(board: Board) -> Parts:
    settings = AppSettings(data_dir=Path('x'), endpoints=Endpoints(client='c', worker='w', facts='f'), version='9')
    parts = Parts(settings=settings, board=board, broker=None)
    parts.openings.want = lambda job_ids: None  # nobody answers here
    return parts


def test_the_lane_is_in_the_order_of_the_broker_and_says_who_goes_before(board: Board, parts: Parts):
    news = n.News()
    for item in (news.joined(), *(news.queued(job_id, user=f'u{job_id}') for job_id in 'abc')):
        board.apply(item)
    board.apply(n.standing(('c', 0), ('a', 1), ('b', 2)))
    state = QueueView(parts, Filter()).state()
    assert state['windows']['normal']['ids'] == ['c', 'a', 'b']
    assert (state['rows']['c']['behind'], state['rows']['a']['behind']) == (None, ['', 'chat', 'uc'])


def test_what_cannot_run_what_has_a_time_and_what_is_held_back_come_last(board: Board, parts: Parts):
    news = n.News()
    for item in (
        news.joined(),
        news.queued('d', due_at=n.T0 + 99),
        news.queued('e', blocked_by=1),
        news.queued('s', model='nobody'),
        news.queued('a'),
    ):
        board.apply(item)
    board.apply(n.standing(('s', 0, 'no_worker'), ('a', 0)))
    view = QueueView(parts, Filter())
    assert view.state()['windows']['normal']['ids'] == ['a', 's', 'd', 'e']
    assert {name: view.state()['counts'][name] for name in ('waiting', 'delayed', 'blocked')} == {
        'waiting': 2, 'delayed': 1, 'blocked': 1,
    }  # fmt: skip


def test_ten_thousand_waiting_jobs_send_the_rows_on_the_screen(board: Board, parts: Parts):
    news = n.News()
    for number in range(10_000):
        board.apply(news.queued(f'{number:032x}', model=('m', 'x')[number % 2], user=f'u{number % 100}'))
    view = QueueView(parts, Filter())
    state = view.state()
    assert len(state['rows']) == 40 and state['lanes'][2]['total'] == 10_000
    view.look({'normal': [5_000, 5_060], 'real': [0, 0], 'high': [0, 0]})
    state = view.state()
    assert state['windows']['normal'] == {'start': 5_000, 'ids': [f'{i:032x}' for i in range(5_000, 5_060)]}
    view.choose(Filter(model='x', user='u7'))
    state = view.state()
    assert state['lanes'][2]['total'] == 100 and state['windows']['normal']['ids'][0] == f'{7:032x}'
    assert len(view.ids()) == 100
    view.choose(Filter(text='U99'))
    assert view.state()['lanes'][2]['total'] == 100


def test_an_address_is_a_filter_and_a_filter_an_address():
    chosen = Filter.of('/queue?state=waiting&model=qwen3%3A8b&user=%E6%9D%8E&x=1')
    assert chosen == Filter(state='waiting', model='qwen3:8b', user='李')
    assert Filter.of(chosen.address) == chosen
    assert Filter.of('/queue?state=nonsense') == Filter() and Filter().address == '/queue'


def test_a_text_is_looked_for_in_the_first_words_of_those_that_go_first(board: Board, parts: Parts):
    news, wanted = n.News(), []
    for number in range(2_100):
        board.apply(news.queued(f'{number:032x}'))
    parts.openings.want = wanted.extend
    parts.openings._known[f'{7:032x}'] = 'Why is the SKY blue?'
    view = QueueView(parts, Filter(text='sky'))
    assert view.ids() == [f'{7:032x}']
    assert len(wanted) == 2_000, 'not those of a hundred thousand'


def test_first_words_that_become_known_are_put_into_the_rows_that_are_shown(board: Board, parts: Parts):
    news = n.News()
    for item in (news.joined(), *(news.queued(job_id, user=f'u{job_id}') for job_id in 'abc'), news.started('c')):
        board.apply(item)
    board.apply(n.standing(('a', 0), ('b', 1)))
    view = QueueView(parts, Filter())
    before = view.state()
    assert view.named(before) == before and {row['says'] for row in before['rows'].values()} == {''}
    parts.openings._known |= {'a': 'Why is the sky blue?', 'c': 'And the sea?'}
    after = view.named(before)
    assert [after['rows'][job_id]['says'] for job_id in 'abc'] == ['Why is the sky blue?', '', 'And the sea?']
    assert after['rows']['b']['behind'] == ['Why is the sky blue?', 'chat', 'ua']
    assert after == view.state() | {'now': before['now']}
    assert before['rows']['a']['says'] == '', 'what was sent stays what it was'
