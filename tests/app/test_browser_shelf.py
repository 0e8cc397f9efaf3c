"""The conversation list in a browser: hundreds of rows, folders, pins, the search that leads to a message, files."""

import asyncio
import json
import re
import time

import pytest
import pytest_asyncio
from playwright.async_api import expect

from app.desk import Desk
from app.messages import Conversation, Message
from tests import browser
from tests.app.visitor import TAGS, product

pytestmark = [*browser.MARKS, pytest.mark.whole]

MANY = 400
WORDS = {
    'en': {
        'search': 'Search conversations',
        'more': 'More',
        'pin': 'Pin',
        'pinned': 'Pinned',
        'move': 'Move to a folder',
        'name': 'Name of the folder',
        'archive': 'Move to the archive',
        'undo': 'Undo',
        'bring': 'Import conversations…',
        'done': 'Imported: 1.',
        'markdown': 'Export as Markdown',
        'json': 'Export as JSON',
        'none': 'Nothing was found for “zzz',
        'remove_folder': 'Remove the folder',
        'no_json': 'This is no JSON file.',
    },
    'zh': {
        'search': '搜索对话',
        'more': '更多',
        'pin': '置顶',
        'pinned': '置顶',
        'move': '移到文件夹',
        'name': '文件夹名称',
        'archive': '归档',
        'undo': '撤销',
        'bring': '导入对话…',
        'done': '已导入 1 个对话',
        'markdown': '导出为 Markdown',
        'json': '导出为 JSON',
        'none': '没有找到“zzz',
        'remove_folder': '移除文件夹',
        'no_json': '这不是 JSON 文件',
    },
}


def name(kind, number):
    return f'{kind}{number:031x}'


async def seed(path):
    """So many conversations; the last one is long, and has a needle in the middle and one on a branch."""
    now = time.time()
    whole = [talk(number, now - 3600.0 * number) for number in range(MANY)]
    last = whole[-1][0].id
    for place in range(1, 60):
        content = '一根银针在草堆里' if place == 29 else f'hay {place}\n\n' * 3
        whole[-1][1].append(
            said(last, name('b', place), content, name('b', place - 1) if place > 1 else name('a', MANY - 1))
        )
    whole[-1][1].append(said(last, name('d', 1), 'eine goldene Nadel', name('b', 58)))
    whole[-1][1].append(said(last, name('d', 2), 'hay again', name('b', 58)))
    desk = await Desk.open(path)
    await desk.put_all(whole)
    await desk.close()


def talk(number, at):
    title = f'<b>话题</b> {number}'
    header = Conversation(id=name('c', number), title=title, created_at=at, updated_at=at, model='demo', priority=5)
    return header, [said(header.id, name('a', number), 'hay', 'root', role='user')]


def said(conversation, id_, content, parent, role='assistant'):
    state = 'completed' if role == 'assistant' else ''
    return Message(
        id=id_, conversation_id=conversation, role=role, content=content, parent=parent, state=state, created_at=1.0
    )


@pytest.fixture(scope='module')
def desk(tmp_path_factory):
    folder = tmp_path_factory.mktemp('shelf')
    (folder / 'data').mkdir(mode=0o700)
    asyncio.run(seed(folder / 'data' / 'desk.db'))
    with product(folder, '--engine', 'demo') as running:
        yield running


class List:
    """The list, and what one does with it."""

    def __init__(self, page, lang):
        self.page, self.words = page, WORDS[lang]
        self.rows = page.locator('.conv')
        self.search = page.get_by_label(self.words['search'])

    def row(self, number):
        return self.page.locator(f'.conv[data-conversation="{name("c", number)}"]')

    async def choose(self, place, item):
        """An item of the menu of a row, a folder or the whole list."""
        await place.hover()
        await place.get_by_role('button', name=self.words['more']).click()
        await self.page.get_by_role('menuitem', name=self.words[item], exact=True).click()


@pytest_asyncio.fixture(loop_scope='session')
async def opened(tabs, desk):
    taken, wrong = [], []

    async def open_list(lang, **motion):
        taken.append(await tabs.take(locale=TAGS[lang], viewport={'width': 1280, 'height': 800}, **motion))
        page = taken[-1].page
        await page.goto(f'{desk.url}/chat')
        await expect(page.locator('.conv').first).to_be_visible()
        return List(page, lang)

    yield open_list
    for tab in taken:
        wrong += await tab.give_back(desk.url)
    assert [text for text in wrong if '400 (Bad Request)' not in text] == []


@pytest.mark.parametrize('lang', ['en', 'zh'])
async def test_hundreds_of_rows_are_scrolled_by_keys_and_a_search_leads_to_the_message(opened, lang):
    shown = await opened(lang)
    page, words = shown.page, shown.words
    # only what is in sight is drawn
    assert await shown.rows.count() < 60
    await expect(shown.rows.first).to_have_attribute('aria-setsize', str(MANY))
    await expect(shown.row(0)).to_contain_text('<b>话题</b> 0')
    await shown.row(0).locator('a').focus()
    await page.keyboard.press('End')
    await expect(shown.row(MANY - 1).locator('a')).to_be_focused()
    await expect(shown.row(MANY - 1)).to_be_in_viewport()
    assert await shown.rows.count() < 60
    await page.keyboard.press('PageUp')
    await page.keyboard.press('Home')
    await expect(shown.row(0).locator('a')).to_be_focused()
    # the search leads to the message
    await shown.search.fill('银针')
    await expect(page.locator('.found mark')).to_have_text('银针')
    await page.locator('.found-hit').click()
    await page.wait_for_url(re.compile(f'{name("c", MANY - 1)}#m-{name("b", 29)}$'))
    await expect(page.locator(f'[data-message="{name("b", 29)}"]')).to_be_in_viewport()
    await expect(page.locator('.sought')).to_contain_text('银针')
    await shown.search.fill('GOLDENE nadel')
    await expect(page.locator('.found-hit mark').first).to_have_text('goldene')
    await page.locator('.found-hit').click()
    await expect(page.locator(f'[data-message="{name("d", 1)}"]')).to_be_in_viewport()
    await shown.search.fill('zzz')
    await expect(page.locator('.convs-none')).to_contain_text(words['none'])
    await shown.search.press('Escape')
    await expect(shown.row(MANY - 1)).to_be_in_viewport()


@pytest.mark.parametrize('lang', ['en', 'zh'])
async def test_conversations_are_pinned_put_into_folders_and_away_and_back(opened, lang):
    shown = await opened(lang, **(browser.LIVELY if lang == 'en' else {}))
    page, words = shown.page, shown.words
    await shown.choose(shown.row(3), 'pin')
    await expect(page.locator('.convs-day').first).to_have_text(words['pinned'])
    await expect(shown.rows.first).to_have_attribute('data-conversation', name('c', 3))
    await shown.choose(shown.row(4), 'move')
    await page.get_by_label(words['name']).fill('<i>Folder</i>')
    await page.keyboard.press('Enter')
    folder = page.locator('.folder')
    await expect(folder).to_contain_text('<i>Folder</i>1')
    await expect(shown.row(4)).to_have_count(0)
    await shown.row(5).drag_to(folder)
    await expect(folder).to_contain_text('<i>Folder</i>2')
    await shown.choose(shown.row(6), 'archive')
    await expect(shown.row(6)).to_have_count(0)
    await page.get_by_role('button', name=words['undo']).click()
    await expect(shown.row(6)).to_be_visible()
    await folder.locator('.folder-name').click()
    await expect(page.locator('.convs-bar h2')).to_have_text('<i>Folder</i>')
    await expect(shown.rows).to_have_count(2)
    await page.reload()
    await expect(folder).to_contain_text('<i>Folder</i>2')
    await shown.choose(folder, 'remove_folder')
    await expect(shown.row(4)).to_be_visible()
    await shown.row(3).hover()
    await shown.row(3).get_by_role('button').first.click()
    await expect(page.locator('.convs-day').first).not_to_have_text(words['pinned'])


@pytest.mark.parametrize('lang', ['en', 'zh'])
async def test_files_are_downloaded_and_taken_in(opened, lang, tmp_path):
    shown = await opened(lang)
    page, words = shown.page, shown.words
    async with page.expect_download() as download:
        await shown.choose(shown.row(2), 'markdown')
    saved = await (await download.value).path()
    assert (
        saved.read_text().startswith('# <b>话题</b> 2\n')
        and (await download.value).suggested_filename == 'b 话题 b 2.md'
    )
    async with page.expect_download() as download:
        await shown.choose(shown.row(2), 'json')
    saved = json.loads(await asyncio.to_thread((await (await download.value).path()).read_text))
    assert 'b 话题' in (await download.value).suggested_filename and '<b>话题</b> 2' in json.dumps(
        saved, ensure_ascii=False
    )
    file = tmp_path / 'conversations.json'
    talk = {'uuid': f'u-{lang}', 'sender': 'human', 'text': f'imported {lang}', 'created_at': '2024-01-15T10:30:00Z'}
    taken = {
        'uuid': f'c-{lang}',
        'name': f'From afar {lang}',
        'created_at': '2024-01-15T10:30:00Z',
        'chat_messages': [talk],
    }
    for content, told in ((json.dumps([taken]), words['done']), ('no JSON', words['no_json'])):
        file.write_text(content)
        async with page.expect_file_chooser() as chooser:
            await shown.choose(page.locator('.convs-bar'), 'bring')
        await (await chooser.value).set_files(file)
        await expect(page.locator('.q-notification', has_text=told)).to_be_visible()
    await shown.search.fill(f'From afar {lang}')
    await expect(page.locator('.found')).to_have_count(1)
