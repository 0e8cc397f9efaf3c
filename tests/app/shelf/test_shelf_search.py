"""The search finds what was said, in any language, and forgets what was deleted."""

import apsw
import pytest

from app.desk import Desk
from app.desk_schema import MIGRATIONS
from app.shelf.shelf_search import Search
from tests.app.shelf.test_shelf import header, opened, said

TALK = [
    said('c1', 'm1', '队列里的任务按优先级排队，模型依次回答。'),
    said('c1', 'm2', 'The **Quick** brown fox; 100% sure, a_b and "quoted" \\ words.', 'assistant', state='completed'),
    said('c2', 'm3', 'Ein Wörterbuch: naïve, ÜBER, quick wins.'),
    said('c2', 'm4', '', 'assistant', state='pending', job_id='j'),
    said('c3', 'm5', '表情 🐎 与 emoji'),
]
TITLES = {'c1': 'Waiting lines', 'c2': 'Wörter', 'c3': '什么是畜栏？'}


@pytest.fixture
async def chat(tmp_path):
    made = await opened(tmp_path)
    talk = [[each for each in TALK if each.conversation_id == name] for name in TITLES]
    await made.adopt(
        [(header(name, title=title), part) for (name, title), part in zip(TITLES.items(), talk, strict=True)]
    )
    yield made
    await made.close()


@pytest.fixture
async def search(chat, tmp_path):
    made = Search(chat, tmp_path / 'desk.db')
    yield made
    made.close()


async def hits(search, text, **options):
    """The messages that were found, and the conversations whose title was."""
    found = (await search.find(text, **options)).found
    return {hit.message for each in found for hit in each.hits} | {
        each.conversation.id for each in found if any(there for _, there in each.title)
    }


@pytest.mark.parametrize(
    ('text', 'wanted'),
    [
        ('quick', {'m2', 'm3'}),
        ('QUICK brown', {'m2'}),
        ('fox brown', {'m2'}),
        ('优先级', {'m1'}),
        ('任务按优先级排', {'m1'}),
        ('模型', {'m1'}),
        ('队', {'m1'}),
        ('答。', {'m1'}),
        ('。', {'m1'}),
        ('S.', {'m2', 'm3'}),
        ('模型 fox', set()),
        ('任务 级排队', {'m1'}),
        ('畜栏', {'c3'}),
        ('über', {'m3'}),
        ('naïve', {'m3'}),
        ('🐎', {'m5'}),
        ('%', {'m2'}),
        ('_', {'m2'}),
        ('0%', {'m2'}),
        ('a_b', {'m2'}),
        ('"quoted" \\', {'m2'}),
        ('"', {'m2'}),
        ("' OR 1=1 --", set()),
        ('NEAR(quick fox)', set()),
        ('quick*', {'m2'}),
        ('qu*ck', set()),
        ('wai', {'c1'}),
        ('', set()),
        ('  \n', set()),
        ('\x00', set()),
        ('\ud83d', set()),
        ('x' * 5000, set()),
    ],
)
async def test_words_are_found_in_any_case_order_and_length(search, text, wanted):
    assert await hits(search, text) == wanted


async def test_a_snippet_shows_the_place_with_the_words_marked(search):
    [found] = (await search.find('fox sure')).found
    assert found.title == [('Waiting lines', False)]
    [hit] = found.hits
    assert ''.join(part for part, _ in hit.snippet).startswith('The Quick brown fox; 100% sure')
    assert [part for part, there in hit.snippet if there] == ['fox', 'sure']
    [found] = (await search.find('畜栏')).found
    assert found.title == [('什么是', False), ('畜栏', True), ('？', False)]


@pytest.mark.parametrize(
    ('text', 'shown'),
    [
        ('## 概述\n\n- 这是**重点**的 needle', '概述 这是重点的 needle'),
        ('see [the docs](https://example.org/a) and `needle`', 'see the docs and needle'),
        ('```python\nneedle = a ** b\n```', 'needle = a ** b'),
        ('| a | needle |\n|---|:--:|\n| 1 | 2 |', 'a needle 1 2'),
        ('> ~~old~~ *needle* __init__ 2**3 * 4', 'old needle __init__ 2**3 * 4'),
        ('**needle** and # no heading', 'needle and # no heading'),
    ],
)
async def test_a_snippet_is_plain_text(search, chat, text, shown):
    await chat.desk.put(header('c1', title='Waiting lines'), said('c1', 'm9', text))
    [found] = (await search.find('needle')).found
    assert ''.join(part for part, _ in found.hits[0].snippet).strip() == shown


async def test_signs_that_were_looked_for_are_shown(search):
    [found] = (await search.find('**Quick**')).found
    assert ('**Quick**', True) in found.hits[0].snippet


async def test_a_long_message_is_cut_around_the_words(search, chat):
    long = '前' * 500 + '\n\n针在这里。' + 'after ' * 500
    await chat.desk.put(header('c1', title='Waiting lines'), said('c1', 'm9', long))
    [found] = (await search.find('针在')).found
    text = ''.join(part for part, _ in found.hits[0].snippet)
    assert text.startswith('…前') and text.endswith('…') and '前 针在这里。after after' in text and len(text) < 120


async def test_a_text_is_found_as_soon_as_it_is_stored_and_no_more_when_it_changes(search, chat):
    answer = said('c2', 'm4', 'Gezwitscher', 'assistant', state='completed', job_id='j')
    assert await hits(search, 'gezwit') == set()
    await chat.desk.change(answer)
    assert await hits(search, 'gezwit') == {'m4'}
    answer.content = ''
    await chat.desk.change(answer)
    assert await hits(search, 'gezwit') == set()
    answer.content = 'Stille'
    await chat.desk.change(answer)
    assert await hits(search, 'stille') == {'m4'}


async def test_what_is_deleted_is_not_found_and_leaves_no_trace_in_the_file(search, chat, tmp_path):
    await chat.adopt([(header('c9', title='gone'), [said('c9', 'm9', 'zyxwvutsrq geheimnis')])])
    await chat.delete('c9')
    assert await hits(search, 'zyxwvut') == await hits(search, 'zy') == set()
    await chat.undelete('c9')
    assert await hits(search, 'zyxwvut') == {'m9'}
    await chat.delete('c9')
    search.close()
    await chat.desk.close()
    again = await Desk.open(tmp_path / 'desk.db')
    left = await again.run(
        lambda db: db.execute("SELECT count(*) FROM searched WHERE message_id = 'm9'").fetchall()[0][0]
    )
    terms = await again.run(_terms)
    await again.close()
    assert left == 0 and 'zyx' not in terms and 'qui' in terms
    files = b''.join(path.read_bytes() for path in tmp_path.glob('desk.db*'))
    assert b'zyxwvu' not in files
    chat._desk = await Desk.open(tmp_path / 'desk.db')


def _terms(db):
    db.execute("CREATE VIRTUAL TABLE temp.terms USING fts5vocab('main', 'found', 'row')")
    return {row[0] for row in db.execute('SELECT term FROM temp.terms')}


async def test_programs_conversations_are_neither_indexed_nor_found(search, chat):
    await chat.desk.put(header('p', origin='api'), said('p', 'mp', 'quick programs'))
    assert 'mp' not in await hits(search, 'quick')
    count = "SELECT count(*) FROM searched WHERE message_id = 'mp'"
    assert await chat.desk.run(lambda db: db.execute(count).fetchall()[0][0]) == 0


async def test_so_many_conversations_and_no_more_are_found_and_it_says_so(search, chat):
    many = [(header(f'd{n}', title=f'd{n}'), [said(f'd{n}', f'n{n}', 'quick again')]) for n in range(30)]
    await chat.adopt(many)
    findings = await search.find('quick', limit=10)
    assert len(findings.found) == 10 and findings.more
    assert findings.found[0].hits[0].message == 'n29', 'the newest come first'
    assert not (await search.find('quick', limit=40)).more


async def test_characters_that_begin_very_many_words_are_found_as_well(search, chat, monkeypatch):
    monkeypatch.setattr('app.shelf.shelf_search.MOST_TRIGRAMS', 0)
    assert await hits(search, '队') == {'m1'} and await hits(search, '队 模型') == {'m1'}
    assert await hits(search, 'zq') == await hits(search, '队 zq') == set()


async def test_a_search_that_nobody_waits_for_any_more_ends(search):
    findings = await search.find('quick', wanted=lambda: False)
    assert (findings.found, findings.more) == ([], True)


async def test_what_was_said_before_there_was_an_index_is_found(tmp_path):
    path = tmp_path / 'desk.db'
    db = apsw.Connection(str(path))
    before = next(number for number, each in enumerate(MIGRATIONS) if 'fts5' in each)
    for statements in MIGRATIONS[:before]:
        db.execute(statements).fetchall()
    db.execute(f'PRAGMA user_version = {before}')
    db.execute(
        "INSERT INTO conversations (id, title, created_at, updated_at, model, priority) VALUES ('c','c',1,1,'m',5)"
    )
    db.execute(
        'INSERT INTO messages (id, conversation_id, ordinal, role, content, thinking, job_id, state, model, priority, '
        "stats, code, detail, created_at) VALUES ('m','c',1,'user','老消息也能找到','','','','m',5,'{}','','',1)"
    )
    db.close()
    chat = await opened(tmp_path)
    search = Search(chat, path)
    assert await hits(search, '也能找') == await hits(search, '找到') == {'m'}
    search.close()
    await chat.close()
