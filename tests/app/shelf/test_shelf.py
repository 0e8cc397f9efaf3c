"""The shelf: where conversations stand, and what a list of them shows however many there are."""

from types import SimpleNamespace

import pytest

from app.board import Board
from app.chats.chat import ChatService
from app.messages import Conversation, Message
from app.shelf.shelf import ALL, ARCHIVE, MOST_FOLDERS, Folder, Placement, Shelf, ShelfError

DAYS = [1000.0, 900.0, 400.0]  # when today, yesterday and the last seven days began


async def opened(folder):
    """The chats of a data directory, without a queue."""
    return await ChatService.open(SimpleNamespace(data_dir=folder, max_attachments_bytes=10**9), None, Board())


def header(name, **fields):
    return Conversation(
        **{'id': name, 'title': name, 'created_at': 1.0, 'updated_at': 1.0, 'model': 'm', 'priority': 5, **fields}
    )


def said(conversation, name, content, role='user', **fields):
    return Message(id=name, conversation_id=conversation, role=role, content=content, created_at=2.0, **fields)


@pytest.fixture
async def chat(tmp_path):
    made = await opened(tmp_path)
    ages = {'now': 1001.0, 'noon': 1000.0, 'eve': 950.0, 'monday': 500.0, 'may': 10.0}
    await made.adopt([(header(name, updated_at=at), []) for name, at in ages.items()])
    yield made
    await made.close()


@pytest.fixture
async def shelf(chat):
    return await Shelf.open(chat)


def ids(shelf, scope=ALL):
    return [each.id for each in shelf.rows(scope, 0, 100)]


async def test_a_list_is_divided_by_days_and_what_is_pinned_stands_on_top(shelf):
    assert ids(shelf) == ['now', 'noon', 'eve', 'monday', 'may']
    assert shelf.sections(ALL, DAYS) == [['today', 2], ['yesterday', 1], ['week', 1], ['earlier', 1]]
    await shelf.pin('may', True)
    await shelf.pin('eve', True)
    assert ids(shelf) == ['eve', 'may', 'now', 'noon', 'monday']
    assert shelf.sections(ALL, DAYS) == [['pinned', 2], ['today', 2], ['week', 1]]
    assert (shelf.position(ALL, 'monday'), shelf.position(ALL, 'nobody')) == (4, -1)
    await shelf.pin('may', False)
    assert ids(shelf)[-1] == 'may'


async def test_a_list_gives_only_the_rows_that_are_asked_for(shelf):
    assert [each.id for each in shelf.rows(ALL, 1, 2)] == ['noon', 'eve']
    assert shelf.rows(ALL, 99, 5) == [] and shelf.rows('no such list', 0, 5) == [] and shelf.count(ALL) == 5


async def test_a_folder_takes_a_conversation_off_the_list_unless_it_is_pinned(shelf):
    folder = await shelf.add_folder('  Work   and\nplay ')
    assert folder.name == 'Work and play'
    assert await shelf.add_folder('WORK AND PLAY') == folder and await shelf.add_folder(' ') is None
    await shelf.move('noon', folder.id)
    await shelf.move('eve', folder.id)
    await shelf.pin('eve', True)
    assert ids(shelf) == ['eve', 'now', 'monday', 'may'] and ids(shelf, folder.id) == ['eve', 'noon']
    assert shelf.folders() == [(folder, 2)]
    with pytest.raises(ShelfError, match='gone'):
        await shelf.move('now', 'no such folder')


async def test_a_folder_that_goes_leaves_its_conversations_and_can_come_back(shelf):
    folder, other = await shelf.add_folder('one'), await shelf.add_folder('two')
    for name in ('noon', 'eve'):
        await shelf.move(name, folder.id)
    await shelf.drop_folder(folder.id)
    assert len(ids(shelf)) == 5 and shelf.folder(folder.id) is None
    await shelf.move('eve', other.id)
    await shelf.restore_folder(folder.id)
    assert (ids(shelf, folder.id), ids(shelf, other.id)) == (['noon'], ['eve'])
    await shelf.rename_folder(folder.id, 'TWO')
    await shelf.rename_folder(folder.id, '')
    assert shelf.folder(folder.id).name == 'one'
    await shelf.rename_folder(folder.id, 'three')
    assert [each.name for each, _ in shelf.folders()] == ['three', 'two']


async def test_folders_are_bounded(shelf):
    shelf._folders = {str(number): Folder(str(number), f'f{number}', 0.0) for number in range(MOST_FOLDERS)}
    with pytest.raises(ShelfError, match='too_many_folders'):
        await shelf.add_folder('one more')


async def test_what_was_put_away_is_in_the_archive_alone(shelf):
    folder = await shelf.add_folder('one')
    await shelf.move('noon', folder.id)
    await shelf.pin('noon', True)
    await shelf.archive('noon', True)
    assert (ids(shelf, ARCHIVE), ids(shelf, folder.id)) == (['noon'], []) and 'noon' not in ids(shelf)
    await shelf.archive('noon', False)
    assert shelf.place_of('noon') == Placement(folder.id, 0.0, 0.0)


async def test_places_outlive_a_restart_and_go_with_their_conversation(tmp_path):
    chat = await opened(tmp_path)
    await chat.adopt([(header('a'), []), (header('b'), [])])
    shelf = await Shelf.open(chat)
    folder = await shelf.add_folder('kept')
    for name in 'ab':
        await shelf.move(name, folder.id)
        await shelf.pin(name, True)
    await chat.delete('b')
    assert ids(shelf, folder.id) == ['a']
    await chat.close()
    again = await opened(tmp_path)
    shelf = await Shelf.open(again)
    assert shelf.folder(folder.id) == folder and ids(shelf, folder.id) == ['a'] and shelf.place_of('a').pinned_at
    assert shelf.place_of('b') == Placement()
    await again.close()


async def test_a_conversation_whose_folder_is_missing_is_in_the_list(shelf, chat):
    await shelf.place({'noon': Placement('no such folder', 0.0, 0.0)})
    assert 'noon' not in ids(shelf)
    assert 'noon' in ids(await Shelf.open(chat))


async def test_lists_hear_of_what_changes_once_each(shelf, chat):
    told = []
    stop = shelf.on_change(lambda: told.append(ids(shelf)))
    await chat.rename('may', 'spring')
    await shelf.pin('may', True)
    stop()
    await shelf.pin('may', False)
    assert [order[0] for order in told] == ['now', 'may']
    shelf.close()
    assert len(chat._changed) == 0
