"""The past as it is asked for, shown, acted upon and taken away."""

import io
import threading

import pytest
from starlette.datastructures import QueryParams

from app import about
from app.chats import answer
from app.commands.checkup import Finding
from app.jobs import bulk, sheets
from app.pages import history_preview, settings_queue
from app.past import rows
from app.past.query import Query
from broker import errors, protocol
from broker.client import replay_id
from broker.job import Job, State


def read(address):
    return Query.read(QueryParams(address))


def test_an_address_says_what_is_asked_and_comes_back_the_same():
    address = (
        'q=天&state=dead,completed&priority=high&kind=chat&model=qwen3:8b&user=Zoë&range=24h&sort=waited&order=asc'
    )
    query = read(address)
    assert query.states == ('completed', 'dead') and query.up and query.narrow
    assert Query.read(QueryParams(query.address().partition('?')[2])) == query
    assert query.address('/x', format='csv').startswith('/x?q=%E5%A4%A9&') and query.address().startswith('/history?')
    assert read('').address() == '/history' and not read('sort=ran').narrow
    assert query.without_filters() == Query(sort='waited', up=True)


def test_what_makes_no_sense_in_an_address_is_left_out():
    assert read(
        'state=x&kind=y&priority=9&range=5y&from=2026-99-01&to=x&sort=drop&order=up&model=' + 'm' * 999
    ) == Query(model='m' * 300)
    assert read('state=dead&state=running').states == ('running', 'dead')


def test_the_queue_is_asked_in_its_own_words():
    asked = read('state=waiting&priority=low&range=1h&q=Sky&batch=b').wanted(10_000.0, ('c1',))
    assert set(asked.states) == {State.WAITING, State.BLOCKED}
    assert read('state=delayed').wanted(1.0).states == (State.DELAYED,)
    assert asked.priorities == (0, 1, 2, 3) and asked.since == 6_400.0 and asked.parent == 'b'
    assert asked.conversations == ('c1',) and asked.text == 'Sky'
    days = read('from=2026-01-01&to=2026-01-02').wanted(1.0)
    assert days.until - days.since == 2 * 86_400
    assert read('').wanted(1.0, ('c1',)).conversations == ()


def job(number, state=State.COMPLETED, **fields):
    made = {
        'job_id': f'{number:032x}',
        'order': number,
        'kind': 'chat',
        'model': 'm',
        'priority': 5,
        'queued_at': 100.0,
    }
    return Job(**made, state=state, **fields)


def test_rows_that_are_gone_leave_gaps_so_that_no_other_moves():
    class Desk:
        def title_of(self, conversation_id):
            return f'title of {conversation_id}'

    found = protocol.JobList(
        jobs=(job(1, started_at=101.5, ended_at=103.0, conversation_id='c'),),
        excerpts=('why?',),
        total=5,
        complete=True,
        looked=0,
        until_order=9,
    )
    page = rows.page(Desk(), protocol.ListJobs(offset=2, limit=100), found)
    assert page['rows'][1:] == [rows.GONE, rows.GONE] and page['at'] == 9
    first = page['rows'][0]
    assert (first['waited'], first['ran'], first['title'], first['excerpt']) == (1.5, 1.5, 'title of c', 'why?')
    assert rows.row(job(2), '', '')['ran'] == -1


async def ids(*numbers):
    for number in numbers:
        yield f'{number:032x}'


async def test_a_refusal_stops_no_other_and_a_silent_queue_stops_all():
    seen = []

    async def do(job_id):
        seen.append(job_id)
        if int(job_id, 16) == 2:
            raise errors.Refused('final', 'it has ended')

    outcome = await bulk.each(do, ids(*range(1, 121)))
    assert (outcome.done, dict(outcome.refused), outcome.given_up, len(seen)) == (119, {'final': 1}, False, 120)

    async def silent(job_id):
        raise errors.BrokerUnreachable

    outcome = await bulk.each(silent, ids(*range(1, 121)))
    assert isinstance(outcome.trouble, errors.BrokerUnreachable) and outcome.given_up and outcome.done == 0


async def test_each_deed_does_what_its_name_says():
    told = []

    class Broker:
        def __getattr__(self, name):
            async def call(*arguments):
                told.append((name, *arguments))

            return call

    for name in bulk.FOR:
        await bulk.deed(Broker(), name, 9)('j')
    assert told == [('cancel', 'j'), ('replay', 'j', replay_id('j')), ('set_priority', 'j', 9), ('purge', 'j')]


@pytest.mark.parametrize('kind', sheets.Kind)
def test_a_sheet_has_the_columns_of_the_history_too(kind):
    file = io.StringIO()
    write, end = sheets.writer(kind, file, more=('title', 'asked'))
    write({**sheets.job_dict(job(1)), 'title': '=cmd()', 'asked': '为什么'})
    end()
    assert '为什么' in file.getvalue() and ("'=cmd()" in file.getvalue()) == (kind == 'csv')


async def test_a_preview_shows_what_a_person_asked_and_what_was_said():
    body = '{"messages":[{"role":"system","content":"Be kind"},{"role":"user","content":"a"},{"role":"assistant",'
    body += '"content":"x"},{"role":"user","content":[{"type":"text","text":"b"},{"type":"image_url"}]}]}'
    assert history_preview.asked(body.encode()) == [('system', 'Be kind'), ('user', 'b')]
    assert history_preview.asked(b'{"prompt":"p"}') == [('user', 'p')]
    for broken in (b'', b'[1]', b'{"messages":7}', b'\xff'):
        assert history_preview.asked(broken) == []
    hello = [b'{"message":{"content":"He"}}', b'{"message":{"content":"llo"}}']
    assert await history_preview.answered('chat', hello) == 'Hello'
    assert await history_preview.answered('embed', [b'{"embeddings":[[1]]}']) == ''


async def test_a_long_answer_is_put_together_beside_the_pages(monkeypatch):
    where, take = [], answer.Answer.take

    def noted(*args):
        where.append(threading.current_thread())
        return take(*args)

    monkeypatch.setattr(answer.Answer, 'take', noted)
    assert await history_preview.answered('generate', [b'{"response":"a"}', b'{"response":"b"}']) == 'ab'
    assert len(where) == 1 and threading.main_thread() not in where


FIELDS = {field.name: field for field in (*settings_queue.LIMITS, *settings_queue.RETENTION)}


@pytest.mark.parametrize(
    ('name', 'value', 'shown'),
    [
        ('rate', '10 per min', '10 per min'),
        ('max_waiting_bytes', 1_500_000, 1.5),
        ('max_answer_bytes', 32_000_000, 32),
        ('retry_base_s', 2.0, 2),
        ('model_rates', {'a:1': '2 per min', 'b': '1 per s'}, 'a:1 = 2 per min\nb = 1 per s'),
    ],
)
def test_a_setting_is_shown_for_people_and_read_back_the_same(name, value, shown):
    assert settings_queue.shown(FIELDS[name], value) == shown
    assert settings_queue.read(FIELDS[name], shown) == value


@pytest.mark.parametrize(
    ('name', 'entered'),
    [
        ('running', -1),
        ('running', None),
        ('running', True),
        ('model_rates', 'no sign'),
        ('model_rates', '= 3'),
        ('keep_dead', 'soon'),
    ],
)
def test_what_cannot_be_a_setting_is_not_sent(name, entered):
    with pytest.raises(ValueError, match=r'^$'):
        settings_queue.read(FIELDS[name], entered)


def test_the_report_has_no_home_and_nothing_of_people(monkeypatch, tmp_path):
    monkeypatch.setenv('HOME', str(tmp_path))
    told = about.About(
        '1', '3.11', 'Linux', f'{tmp_path}/data', (about.Size('queue.db', 5_000_000, 9),), 10**9, 5.0, 10**8, ()
    )
    text = about.report(told, (), [Finding('disk', 'ok', f'in {tmp_path}')])
    assert str(tmp_path) not in text and '~/data' in text and 'queue.db: 5.0 MB, schema 9' in text
