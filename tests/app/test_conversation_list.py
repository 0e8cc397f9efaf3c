"""The list of conversations sends what changed in the rows that a browser shows; a page that is left keeps nothing."""

import asyncio
import contextlib
from types import SimpleNamespace

import pytest
from nicegui import context
from nicegui.testing import user_simulation

from app.board import Board
from app.components.conversation_list import MOST_ROWS, WINDOW, ConversationList
from app.listeners import Listeners
from app.pages import chat as chat_page
from app.parts import Parts
from app.shelf.shelf import ARCHIVE, MOST_FOLDERS, Folder, Shelf
from app.shelf.shelf_search import Search
from app.shell import frame
from tests.app.chats.chatting import Setup
from tests.app.shelf.test_shelf import header, opened, said

MANY = 1000


@pytest.fixture
async def parts(tmp_path):
    chat = await opened(tmp_path)
    talks = [
        (header(f'c{n}', title=f'talk {n}', updated_at=5000.0 - n), [said(f'c{n}', f'm{n}', f'needle {n}')])
        for n in range(MANY)
    ]
    await chat.adopt(talks)
    search = Search(chat, tmp_path / 'desk.db')
    yield Parts(settings=None, board=Board(), broker=None, chat=chat, shelf=await Shelf.open(chat), search=search)
    search.close()
    await chat.close()


class Shown:
    """The list on a page; ``sent`` has what went to the browser."""

    def __init__(self, parts):
        self.wishes, self.sent = [], []
        on = {name: lambda *args, name=name: self.wishes.append((name, *args)) for name in ('new', 'rename', 'delete')}
        self.list = ConversationList(
            parts, on_new=on['new'], on_rename=on['rename'], on_delete=on['delete'], on_undelete=on['delete']
        )
        self.list.run_method = lambda name, *args: self.sent.append((name, *args))

    async def wish(self, name, args):
        """What the browser sends."""
        [listener] = [each for each in self.list._event_listeners.values() if each.type == name]
        result = listener.handler(SimpleNamespace(args=args))
        if result is not None:
            await result

    def take(self):
        sent, self.sent[:] = list(self.sent), []
        return sent


@contextlib.asynccontextmanager
async def listed(parts):
    async with user_simulation(root=lambda: None) as user:
        await user.open('/')
        with user:
            yield Shown(parts)


async def test_a_browser_gets_the_rows_around_those_that_it_shows(parts):
    async with listed(parts) as shown:
        assert [row['id'] for row in shown.list.rows] == [f'c{n}' for n in range(WINDOW)]
        assert shown.list.state['total'] == MANY
        await shown.wish('look', {'scope': '', 'first': 500, 'count': 100, 'days': [4900.5, 4800.5, 4700.5]})
        [(_, patch)] = shown.take()
        assert [row['id'] for row in patch['rows']] == [f'c{n}' for n in range(500, 600)]
        assert patch['sections'] == [['today', 100], ['yesterday', 100], ['week', 100], ['earlier', 700]]
        await shown.wish('look', {'scope': '', 'first': 10**9, 'count': 10**9, 'days': []})
        assert len(shown.list.rows) <= MOST_ROWS and shown.list.rows[-1]['id'] == f'c{MANY - 1}'


async def test_only_what_changed_in_sight_is_sent(parts):
    async with listed(parts) as shown:
        await parts.chat.rename('c3', 'Renamed')
        [(_, patch)] = shown.take()
        assert [row['title'] for row in patch['changed']] == ['Renamed'] and 'rows' not in patch
        await parts.chat.rename(f'c{MANY - 1}', 'out of sight')
        shown.list.refresh()
        shown.list.refresh_states()
        assert shown.take() == []
        shown.list.activate('c5')
        [(_, patch)] = shown.take()
        assert patch == {'active': 'c5', 'at': 5, 'version': patch['version']}


async def test_places_and_folders_are_changed_as_wished(parts):
    async with listed(parts) as shown:
        await shown.wish('place', ['pin', 'c9', True])
        assert shown.list.rows[0]['id'] == 'c9' and shown.list.rows[0]['pinned']
        await shown.wish('folder', ['add', 'c9', 'Work'])
        [(folder, count)] = parts.shelf.folders()
        assert (folder.name, count) == ('Work', 1)
        await shown.wish('look', {'scope': folder.id, 'first': 0, 'count': 50, 'days': [3.0, 2.0, 1.0]})
        assert [row['id'] for row in shown.list.rows] == ['c9'] and shown.list.state['name'] == 'Work'
        await shown.wish('folder', ['rename', folder.id, 'Play'])
        assert shown.list.state['name'] == 'Play'
        await shown.wish('folder', ['remove', folder.id])
        assert shown.list.state['scope'] == '' and shown.list.state['total'] == MANY
        await shown.wish('folder', ['restore', folder.id])
        await shown.wish('place', ['archive', 'c9', True])
        await shown.wish('place', ['pin', 'nobody', True])
        assert shown.list.state['archived'] == 1 == parts.shelf.count(ARCHIVE)


async def test_a_wish_that_cannot_be_granted_is_explained(parts, monkeypatch):
    told = []
    monkeypatch.setattr('app.shell.theme.toast', lambda text, bad=False: told.append(text))
    async with listed(parts) as shown:
        await shown.wish('place', ['move', 'c1', 'no such folder'])
        parts.shelf._folders = {str(n): Folder(str(n), f'f{n}', 0.0) for n in range(MOST_FOLDERS)}
        await shown.wish('folder', ['add', '', 'one more'])
    assert told == [
        'This folder is no longer there.',
        'There are 200 folders already; remove one that is no longer needed.',
    ]


async def test_a_search_is_answered_once_and_the_last_one_counts(parts):
    async with listed(parts) as shown:
        await shown.wish('search', {'text': 'needle 77', 'limit': 40})
        [(name, told)] = shown.take()
        assert name == 'show' and told['found'][0]['hits'][0]['text'][0] == ('needle', True)
        assert {each['id'] for each in told['found']} >= {'c77', 'c770'}
        first = asyncio.create_task(shown.wish('search', {'text': 'talk 5', 'limit': 5}))
        await asyncio.sleep(0)
        await shown.wish('search', {'text': 'talk 6', 'limit': 5})
        await first
        assert [told['text'] for _, told in shown.take()] == ['talk 6']


async def test_a_page_that_is_left_keeps_nothing_of_it(tmp_path):
    setup = Setup(tmp_path)
    await setup.open()
    talk = await setup.service.send(None, 'What is it?', 'demo', 5)
    shelf = await Shelf.open(setup.service)
    parts = Parts(settings=setup.settings, board=setup.board, broker=setup.broker, chat=setup.service, shelf=shelf)
    routes = {'/chat': lambda: chat_page.create(parts), '/queue': lambda: None}
    listeners = [
        each
        for part in (setup.board, shelf, setup.service)
        for each in vars(part).values()
        if isinstance(each, Listeners)
    ]
    async with user_simulation(root=lambda: frame.create(parts, routes)) as user:
        await user.open('/queue')

        async def visited():
            with user:
                client = context.client
                await client.sub_pages_router._handle_open(f'/chat/{talk.id}')
                await client.sub_pages_router._handle_open('/queue')
            return len(client.elements), sum(map(len, listeners)), len(setup.board._by_job)

        counts = [await visited() for _ in range(12)]
    assert counts[2:] == [counts[1]] * 10
    await setup.service.close()
