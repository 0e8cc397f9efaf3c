"""What the palette finds, what pages offer it, and what a toast's button does."""

from types import SimpleNamespace

import pytest
from nicegui import ui
from nicegui.testing import user_simulation

from app.board import Board
from app.components.notifier import LONG_S, worth_telling
from app.parts import Parts
from app.shell import actions, palette, shortcuts, theme
from app.shell.frame import PLACES, place_of
from broker.job import State
from tests.app import news as n
from tests.app.news import News

TITLES = {'c1': '第三季度销售报告', 'c2': 'Quarterly report, third draft', 'c3': 'Ｒｅｐｏｒｔ in full width'}


class Chats:
    """Conversations by id, the newest first."""

    def conversations(self) -> list[SimpleNamespace]:
        return [SimpleNamespace(id=id_, title=title, updated_at=n.T0) for id_, title in TITLES.items()]

    def active(self) -> dict[str, str]:
        return {'c2': 'running'}

    def title_of(self, conversation_id: str) -> str | None:
        return TITLES.get(conversation_id)


@pytest.fixture
def parts() -> Parts:
    return Parts(settings=None, board=Board(clock=lambda: n.T0), broker=None, chat=Chats())


def names(parts: Parts, text: str) -> list[str]:
    return [item['name'] for item in palette.find(parts, text)]


@pytest.mark.parametrize(
    ('text', 'found'),
    [
        ('季度销售', ['c1']),
        ('report', ['c3', 'c2']),
        ('REPORT third', ['c2']),
        ('ｒｅｐｏｒｔ', ['c3', 'c2']),
        ('季报', []),
        ('rprt', []),  # letters are left out in short names only, not in titles
        ('', ['c1', 'c2', 'c3']),
    ],
)
def test_a_conversation_is_found_by_any_part_of_its_title(parts: Parts, text: str, found: list[str]):
    assert names(parts, text) == [TITLES[each] for each in found]


def test_a_model_is_found_by_some_of_its_letters(parts: Parts):
    parts.board.apply(News().joined(models=(n.model('qwen3:8b'), n.model('llama3.3'))))
    assert names(parts, 'qwn') == ['qwen3:8b']
    assert names(parts, 'lama') == ['llama3.3']


def test_a_job_is_found_by_the_beginning_of_its_id_and_a_whole_id_always_leads_to_its_page(parts: Parts):
    parts.board.apply(News().queued('0abc' + '1' * 28, conversation_id='c1'))
    (item,) = palette.find(parts, '0ABC')
    assert (item['name'], item['href']) == (TITLES['c1'], '/jobs/0abc' + '1' * 28)
    assert item['when'] == parts.board.waiting()[0].queued_at, 'the browser says it as a time or a day'
    assert palette.find(parts, 'f' * 32)[0]['href'] == '/jobs/' + 'f' * 32
    assert not palette.find(parts, 'f' * 31)


def test_a_job_without_a_title_is_called_by_its_first_words_once_they_are_known(parts: Parts):
    wanted: list[str] = []
    parts.openings.want = wanted.extend  # nobody answers here
    parts.board.apply(News().queued(job_id := 'abcd' * 8))
    found = palette.find(parts, 'abcd')
    assert (found[0]['name'], wanted) == (job_id, [job_id])
    assert not palette.named(parts, found)
    parts.openings._known[job_id] = 'Why is the sky blue?'
    assert palette.named(parts, found) and found[0]['name'] == 'Why is the sky blue?'
    assert not palette.named(parts, found), 'nothing is new'
    assert names(parts, 'abcd') == ['Why is the sky blue?']


def test_an_address_belongs_to_its_place_in_the_rail():
    assert [place_of(path) for path in ('/chat/abc', '/queue?state=waiting', '/jobs/1', '/chatter', '/')] == [
        '/chat', '/queue', '/queue', '', '',
    ]  # fmt: skip


def test_every_shortcut_has_keys_of_its_own_and_every_place_has_one():
    keys = [key for line in shortcuts.TABLE for key in line.keys]
    assert len(keys) == len(set(keys))
    assert {line.action.removeprefix('go ') for line in shortcuts.TABLE if line.group == shortcuts.GO} == set(PLACES)
    assert {line.group for line in shortcuts.TABLE} == set(shortcuts.GROUPS)


async def test_what_a_page_offers_ends_with_the_page():
    done: list[str] = []
    async with user_simulation(root=lambda: None) as user:
        await user.open('/')
        with user:
            with ui.column() as page:
                actions.offer('Export', lambda: done.append('export'))
                actions.offer('Never', lambda: None, shown=lambda: False)
            (action,) = actions.offered().values()
            action.run()
            page.clear()
            assert (done, actions.offered()) == (['export'], {})


async def test_the_button_of_a_toast_works_once():
    undone: list[int] = []
    async with user_simulation(root=lambda: None) as user:
        await user.open('/')
        with user:
            for number in range(theme.KEPT_PROMISES + 1):
                theme.toast('Deleted.', action=('Undo', lambda number=number: undone.append(number)))
            tokens = list(user.client.storage['promises'])
            for token in (tokens[-1], tokens[-1], 'made up'):
                theme.redeem(token)
            assert undone == [theme.KEPT_PROMISES] and len(tokens) == theme.KEPT_PROMISES


@pytest.mark.parametrize(
    ('fields', 'worth'),
    [
        ({}, True),
        ({'state': State.DEAD}, True),
        ({'state': State.CANCELLED}, False),
        ({'conversation_id': ''}, False),
        ({'ran_s': LONG_S / 2 - 1}, False),
    ],
)
def test_only_long_answers_of_conversations_are_worth_a_notification(fields: dict[str, object], worth: bool):
    usual = {'conversation_id': 'c1', 'state': State.COMPLETED, 'waited_s': LONG_S / 2, 'ran_s': LONG_S / 2}
    assert worth_telling(SimpleNamespace(**{**usual, **fields})) is worth


def test_what_was_said_is_listed_once_with_the_words_around_it():
    def found(id_: str, *snippet: tuple[str, bool]) -> SimpleNamespace:
        hits = [SimpleNamespace(snippet=list(snippet))] if snippet else []
        return SimpleNamespace(conversation=SimpleNamespace(id=id_, title=TITLES[id_]), hits=hits)

    results = [found('c1', ('销售', True)), found('c2', ('so the ', False), ('sales', True)), found('c3')]
    (item,) = palette.said(results, [{'href': '/chat/c1'}])
    assert (item['name'], item['note'], item['href']) == (TITLES['c2'], 'so the sales', '/chat/c2')
