"""What the pages of schedules and of failed jobs work out, and how many wishes are asked at once."""

import json

import msgspec

from app.board import Board
from app.jobs import bulk, schedule_form
from app.jobs.dead_filter import DeadFilter
from app.pages import queue_failed
from app.parts import Parts
from broker import errors, protocol
from broker.job import State
from tests.app import news as n


def schedule(body: object, kind: str = 'chat') -> protocol.Schedule:
    return protocol.Schedule(
        schedule_id='s', name='n', cron='* * * * *', kind=kind, model='m', body=json.dumps(body).encode()
    )


def test_the_question_of_a_schedule_can_be_changed_where_a_form_could_have_made_it():
    asked = schedule_form.Form(name='n', cron='* * * * *', model='m', prompt='why?', system='be brief')
    for kind in ('chat', 'generate'):
        form = msgspec.structs.replace(asked, kind=kind)
        made = msgspec.structs.replace(schedule({}, kind), body=schedule_form.body(form))
        assert schedule_form.asked(made) == {'prompt': 'why?', 'system': 'be brief', 'simple': True}
        assert not schedule_form.changed(form, made)
        assert schedule_form.changed(msgspec.structs.replace(form, prompt='how?'), made)
    for body in ({'messages': [{'role': 'user', 'content': 'a'}] * 2}, {'input': 'x'}, [], {'messages': 'x'}):
        assert schedule_form.asked(schedule(body))['simple'] is False


def test_a_request_that_a_program_made_stays_as_it_is_whatever_else_changes():
    theirs = {'model': 'm', 'messages': [{'role': 'user', 'content': 'a'}] * 2, 'options': {'num_ctx': 9}}
    old = schedule(theirs)
    form = schedule_form.Form(id='s', name=' n2 ', cron='0  7 * * *', model='m2', kind='chat')
    made = schedule_form.schedule(form, old)
    assert json.loads(made.body) == {**theirs, 'model': 'm2'}
    assert (made.schedule_id, made.name, made.cron, made.model) == ('s', 'n2', '0 7 * * *', 'm2')
    assert schedule_form.schedule(msgspec.structs.replace(form, model='m'), old).body == old.body
    fresh = schedule_form.schedule(msgspec.structs.replace(form, id='', prompt='why?'), None)
    assert json.loads(fresh.body)['messages'] == [{'role': 'user', 'content': 'why?'}] and len(fresh.schedule_id) == 32


def test_failed_jobs_are_found_by_address_and_text():
    job = n.job('ab12', state=State.DEAD, code='busy', detail='CUDA gone', user='anna')
    chosen = DeadFilter.of('/queue/failed?code=busy&user=anna&text=cuda&x=1')
    assert chosen == DeadFilter(code='busy', user='anna', text='cuda') and chosen.match(job, '')
    assert DeadFilter(text='报告').match(job, '季度报告') and not DeadFilter(text='报告').match(job, '')
    assert not DeadFilter(code='poison').match(job, '') and not DeadFilter(model='x').match(job, '')


async def test_what_is_refused_is_counted_and_a_full_queue_is_not_asked_further():
    asked: list[str] = []

    async def wish(job_id: str) -> None:
        asked.append(job_id)
        if job_id == '3':
            raise errors.Refused('final', 'x')
        if job_id == '7':
            raise errors.Refused('queue_full', 'x')

    found = await bulk.each(wish, map(str, range(5)))
    assert (found.done, dict(found.refused), found.given_up) == (4, {'final': 1}, False)
    asked.clear()

    async def full(job_id: str) -> None:
        asked.append(job_id)
        raise errors.Refused('queue_full', 'x')

    found = await bulk.each(full, map(str, range(10_000)))
    assert found.done == 0 and len(asked) <= bulk.TOGETHER and found.given_up


class Element:
    """Notes what it is to show."""

    is_deleted = False

    def show(self, state: dict[str, object]) -> None:
        self.state = state


class Dead:
    """A queue with so many jobs that failed, and how it is asked for them."""

    def __init__(self, count: int) -> None:
        self.jobs = [
            n.job(f'{order:032x}', order=order, state=State.DEAD, code='busy') for order in range(count, 0, -1)
        ]

    async def find(self, wanted: protocol.FindJobs) -> protocol.Jobs:
        older = [job for job in self.jobs if not wanted.before_order or job.order < wanted.before_order]
        return protocol.Jobs(jobs=tuple(older[: wanted.limit]), more=len(older) > wanted.limit)

    async def excerpts(self, job_ids: tuple[str, ...]) -> tuple[str, ...]:
        return tuple('' for _ in job_ids)


async def test_the_newest_that_failed_are_read_first_older_ones_on_demand_and_few_are_sent():
    page = queue_failed._Page(Parts(settings=None, board=Board(), broker=Dead(4_300)), DeadFilter())
    page.element = Element()
    await page.load()
    state = page.element.state
    assert (state['all'], state['total'], len(state['jobs']), state['more']) == (2_000, 2_000, 100, 'yes')
    page.more_rows()
    assert len(page.element.state['jobs']) == 400
    await page.older()
    await page.older()
    state = page.element.state
    assert (state['all'], state['total'], state['more']) == (4_300, 4_300, '')
    page.choose({'code': 'other', 'model': '', 'user': '', 'text': ''})
    assert (page.element.state['total'], page.element.state['jobs']) == (0, [])


async def test_more_than_can_be_listed_are_in_the_history(monkeypatch):
    monkeypatch.setattr(queue_failed, 'MOST', queue_failed.STEP)
    page = queue_failed._Page(Parts(settings=None, board=Board(), broker=Dead(2_100)), DeadFilter())
    page.element = Element()
    await page.load()
    await page.older()
    assert (page.element.state['all'], page.element.state['more']) == (2_000, 'elsewhere')
