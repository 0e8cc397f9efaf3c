"""Conversations stay, whatever happens to the process."""

import apsw
import pytest

from app.desk import Desk, DeskError, problem_with
from app.desk_schema import MIGRATIONS
from app.messages import Conversation, Message, Stats


def header(name='c', **fields):
    return Conversation(
        **{'id': name, 'title': '标题', 'created_at': 1.0, 'updated_at': 1.0, 'model': 'm', 'priority': 5, **fields}
    )


def message(name, role='user', **fields):
    return Message(**{'id': name, 'conversation_id': 'c', 'role': role, 'created_at': 2.0, **fields})


@pytest.fixture
async def desk(tmp_path):
    opened = await Desk.open(tmp_path / 'desk.db')
    yield opened
    await opened.close()


async def test_what_was_said_is_there_after_a_restart(tmp_path):
    first = await Desk.open(tmp_path / 'desk.db')
    said = [
        message('q', content='你好 ' * 100),
        message('a', 'assistant', job_id='j', state='pending', stats=Stats(starts=2)),
    ]
    await first.put(header(), *said)
    await first.close()
    second = await Desk.open(tmp_path / 'desk.db')
    assert await second.conversations() == [header()]
    assert await second.messages('c') == said
    assert await second.open_messages() == [said[1]]
    await second.close()


async def test_messages_keep_their_order_and_conversations_come_newest_first(desk):
    for name, at in (('old', 1.0), ('new', 3.0), ('middle', 2.0)):
        await desk.put(header(name, updated_at=at))
    await desk.put(header(), message('1'), message('2'))
    await desk.put(header(updated_at=9.0), message('3'))
    assert [each.id for each in await desk.conversations()] == ['c', 'new', 'middle', 'old']
    assert [each.id for each in await desk.messages('c')] == ['1', '2', '3']


async def test_a_message_that_went_to_another_job_is_not_overwritten(desk):
    answer = message('a', 'assistant', job_id='new', state='pending')
    await desk.put(header(), answer)
    late = message('a', 'assistant', job_id='new', state='completed', content='from the old job')
    assert not await desk.change(late, only_job='old')
    assert await desk.messages('c') == [answer]
    assert await desk.change(late, only_job='new')


async def test_what_programs_keep_is_not_among_the_chats_and_is_found_by_its_job(desk):
    await desk.put(header(origin='api', user='ann', notes='{}'), message('q'), message('a', 'assistant', job_id='j'))
    await desk.put(header('d', created_at=2.0, origin='api', user='bob', state='archived'))
    await desk.put(header('e'))
    assert [each.id for each in await desk.conversations()] == ['e']
    assert await desk.conversation('e') is None and (await desk.conversation('c')).notes == '{}'
    assert [(each.id, count) for each, count in (await desk.conversations_of_programs())[0]] == [('d', 0), ('c', 2)]
    page, total = await desk.conversations_of_programs(limit=1, newest_first=False)
    assert [each.id for each, _ in page] == ['c'] and total == 2
    assert (await desk.conversations_of_programs(user='bob', state='active'))[1] == 0
    exchange = await desk.exchange('j')
    assert [each.id for each in exchange] == ['q', 'a'] and await desk.exchange('k') is None
    assert await desk.exchanges(user='ann') == [exchange] and await desk.exchanges(user='bob') == []
    assert await desk.exchanges(states=('completed',)) == []
    await desk.drop_exchange(exchange)
    assert await desk.messages('c') == []


async def test_a_failed_write_leaves_nothing_of_it(desk):
    with pytest.raises(DeskError, match='UNIQUE'):
        await desk.put(header(), message('1'), message('1'))
    assert (await desk.conversations(), await desk.messages('c')) == ([], [])


async def test_a_deleted_conversation_can_be_taken_back_until_the_next_start(tmp_path):
    desk = await Desk.open(tmp_path / 'desk.db')
    await desk.put(header(), message('1', content='secret words'))
    await desk.set_deleted('c', 5.0)
    assert await desk.conversations() == [] and await desk.open_messages() == []
    await desk.set_deleted('c', 0.0)
    assert await desk.conversations() == [header()]
    await desk.set_deleted('c', 5.0)
    await desk.close()
    again = await Desk.open(tmp_path / 'desk.db')
    assert await again.messages('c') == []
    await again.close()
    left = b''.join(path.read_bytes() for path in tmp_path.iterdir())
    assert b'secret words' not in left


async def test_a_file_from_a_newer_version_is_refused(tmp_path):
    path = tmp_path / 'desk.db'
    await (await Desk.open(path)).close()
    db = apsw.Connection(str(path))
    db.execute(f'PRAGMA user_version = {len(MIGRATIONS) + 1}')
    db.close()
    with pytest.raises(DeskError, match='newer Corral'):
        await Desk.open(path)


@pytest.mark.parametrize('content', [b'not a database at all' * 50])
def test_a_file_that_cannot_be_used_is_named(tmp_path, content):
    path = tmp_path / 'desk.db'
    assert problem_with(path) == ''
    path.write_bytes(content)
    assert 'desk.db cannot be used' in problem_with(path)
    assert 'cannot be opened' in problem_with(tmp_path / 'nowhere' / 'desk.db')
