"""The SQL box as the page drives it, without a browser."""

import asyncio
import contextlib
import types

import pytest
from nicegui.testing import user_simulation

from analytics import answers, dictionary, errors, ledger
from app.charts import refusals
from app.charts.examples import EXAMPLES
from app.charts.sql_words import SENTENCES
from app.components.sql_box import SqlBox
from app.i18n import Speech, speech
from app.pages import analytics_sql as page
from tests.analytics import busy_week
from tests.analytics.made import T0, Queue


class Book:
    """Answers what is given, and knows what still runs."""

    def __init__(self) -> None:
        self.result: object = answers.Result(columns=['n'], types=['BIGINT'], rows=[(1,)], truncated=False, took_s=0.1)
        self.hangs = False
        self.running = 0

    def schema(self):
        return dictionary.tables()

    async def query(self, sql, *, limit_rows, limit_bytes, timeout_s):
        self.running += 1
        try:
            if self.hangs:
                await asyncio.Event().wait()
            if isinstance(self.result, Exception):
                raise self.result
            return self.result
        finally:
            self.running -= 1


@contextlib.asynccontextmanager
async def opened(book, sql=''):
    async with user_simulation(root=lambda: page.create(types.SimpleNamespace(analytics=book), sql)) as user:
        await user.open('/')
        [box] = user.find(kind=SqlBox).elements
        box.said = []
        box.run_method = lambda *told: box.said.append(told)
        yield user, box


def run(user, box, ticket, sql):
    with user.client:
        listener = next(each for each in box._event_listeners.values() if each.type == 'run')
        listener.handler(types.SimpleNamespace(args=[ticket, sql]))


async def said(box):
    async with asyncio.timeout(60):
        while not box.said:  # noqa: ASYNC110 – the answer comes from a task of its own
            await asyncio.sleep(0.005)
    return box.said.pop()


async def test_a_statement_is_answered_or_refused_with_its_place():
    book = Book()
    async with opened(book, 'SELECT 1') as (user, box):
        assert box.props['state']['sql'] == 'SELECT 1'
        run(user, box, 1, 'SELECT 1')
        assert (await said(box))[:2] == ('answer', 1)
        for trouble, sentence, line in (
            (errors.Refused('No such column.', 2, 7), 'No such column.', 2),
            (errors.Rebuilding(), page.REBUILDING, 0),
            (errors.Unavailable(), page.UNREADABLE, 0),
        ):
            book.result = trouble
            run(user, box, 2, 'SELECT x')
            method, ticket, told = await said(box)
            assert (method, ticket, told['message'], told['line']) == ('refuse', 2, sentence, line)
        run(user, box, 3, 'x' * (page.MOST_SQL + 1))
        assert '20,000' in (await said(box))[2]['message']


async def test_stopping_and_leaving_end_the_statement():
    book = Book()
    book.hangs = True
    async with opened(book) as (user, box):
        run(user, box, 1, 'SELECT 1')
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert book.running == 1
        with user.client:
            next(each for each in box._event_listeners.values() if each.type == 'stop').handler()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert book.running == 0
        run(user, box, 2, 'SELECT 1')
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        with user.client:
            user.client.content.clear()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert book.running == 0 and box.said == []


async def test_tables_and_examples_are_told_in_the_language_of_the_page():
    async with opened(Book()) as (user, box):
        with user.client:
            speech().switch('zh')
        state = box.props['state']
        assert state['tables'][0]['about'] == '每个已结束的任务各一行，含时间的去向。'
        assert state['examples'][0]['title'] == '本周谁用了多少'


def test_every_sentence_about_a_table_or_column_can_be_said_in_both_languages():
    told = {about for table in dictionary.tables() for about in (table.about, *(each.about for each in table.columns))}
    assert told == set(SENTENCES)


def test_what_a_browser_would_round_or_cannot_read_comes_as_text():
    rows = [(2**53 + 1, float('nan'), float('inf'), 1.5, None, True, '文')]
    result = answers.Result(columns=['x'] * 7, types=['x'] * 7, rows=rows, truncated=True, took_s=0.12345)
    assert page.plain(result)['rows'] == [['9007199254740993', 'nan', 'inf', 1.5, None, True, '文']]


@pytest.fixture(scope='module')
def story():
    return busy_week.week(T0, 200, days=2.0)


REFUSALS = {
    'DELETE FROM jobs_ended': '这里只能运行 SELECT 语句，不能更改任何内容。',
    'SELECT 1; SELECT 2': '这里一次只能运行一条语句。',
    "SELECT * FROM read_csv('/etc/passwd')": '这里不能使用函数 read_csv。',
    'SELECT * FROM nowhere': '这里没有数据表 nowhere。现有数据表：jobs_ended',
    'SELECT {model} FROM jobs_endd WHER': '处或其附近有语法错误',
    'SELECT modell FROM jobs_ended': 'FROM 中的数据表没有“modell”列。相近的名称：',
    'SELECT model, count(*) FROM jobs_ended': '“model”列必须写入 GROUP BY',
    "SELECT 'x'::INT": "无法把字符串 'x' 转换为 INT32",
}


async def test_a_refusal_is_said_in_the_language_of_the_page(tmp_path):
    """Of the real box: another version of DuckDB may word its own sentences anew."""
    book = await ledger.Ledger.open(tmp_path / 'analytics.duckdb', Queue().facts_after)
    try:
        for sql, told in REFUSALS.items():
            with pytest.raises(errors.Refused) as refused:
                await book.query(sql)
            sentence = refused.value.sentence
            assert told in refusals.in_words(Speech('zh'), sentence)
            assert refusals.in_words(Speech('en'), sentence) == sentence
    finally:
        await book.close()
    assert refusals.in_words(Speech('zh'), 'Something {else}.') == 'Something {else}.'


async def test_every_example_runs_and_finds_something(tmp_path, story, monkeypatch):
    monkeypatch.setattr('analytics.pump.FLUSH_S', 60)  # a busy machine may need it
    book = await ledger.Ledger.open(tmp_path / 'analytics.duckdb', Queue(story, limit=5000).facts_after)
    await book._pump.flush()
    try:
        for title, sql in EXAMPLES:
            result = await book.query(sql.replace('epoch(now())', str(T0)))
            assert result.rows, title
    finally:
        await book.close()
