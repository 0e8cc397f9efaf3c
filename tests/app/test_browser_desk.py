"""What every page has around it, in a browser: the palette, the shortcuts, the panes, notifications; and axe-core."""

import contextlib
import re
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, Page, expect

from tests import axe, browser, outline, screenshots
from tests.conftest import starter

pytestmark = [*browser.MARKS, pytest.mark.whole]

PAGES = ('/chat', '/queue', '/history', '/workers', '/analytics', '/settings', '/jobs/{job}', '/no/such/page')
WORDS = {
    'en': {'queue': 'queue', 'title': 'Queue · Corral', 'sheet': 'Keyboard shortcuts', 'find': 'Find anything',
           'pause': 'pause the', 'paused': 'Queue paused', 'resume': 'resume the', 'runs': 'Queue running'},
    'zh': {'queue': '队列', 'title': '队列 · Corral', 'sheet': '键盘快捷键', 'find': '查找',
           'pause': '暂停队列', 'paused': '队列已暂停', 'resume': '恢复队列', 'runs': '队列正常'},
}  # fmt: skip
# a page that is out of sight, allowed to notify, in a browser that notes what it is asked to show
HIDDEN = """
window.shown = [];
window.Notification = class {
  static permission = "granted";
  constructor(title, options) { shown.push([title, options.body]); }
};
Object.defineProperty(document, "hidden", { get: () => window.away ?? false });
document.cookie = "corral_notify=on; path=/";
"""
TELL = """async (answer) => {
  const parts = Object.values(mounted_app.$refs).flat();
  await parts.find((part) => part?.tell && part.labels?.ready).tell(answer);
  return shown.length;
}"""


@pytest.fixture(scope='module')
def desk(tmp_path_factory):
    with starter(tmp_path_factory.mktemp('desk')) as start:
        yield start('--engine', 'demo')


@contextlib.asynccontextmanager
async def visiting(chromium: Browser, url: str, lang: str = 'en', script: str = '') -> AsyncIterator[Page]:
    """A page that must end without an error in its console."""
    context = await chromium.new_context(viewport={'width': 1440, 'height': 900}, reduced_motion='reduce')
    await context.add_cookies([{'name': 'corral_lang', 'value': lang, 'url': url}])
    page = await context.new_page()
    page.set_default_timeout(15_000)
    if script:
        await page.add_init_script(script)
    wrong: list[str] = []
    await browser.listen(page, wrong)
    yield page
    await context.close()
    assert not [text for text in wrong if 'status of 404' not in text]


async def ask(page: Page, url: str, question: str) -> str:
    """Begin a conversation; its address."""
    await page.goto(f'{url}/chat')
    await page.locator('.composer textarea').fill(question)
    await page.locator('.composer textarea').press('Enter')
    await page.wait_for_url('**/chat/*')
    return page.url


@pytest.mark.parametrize('lang', ['en', 'zh'])
async def test_everything_is_reached_by_keys(desk, chromium: Browser, lang: str):
    words = WORDS[lang]
    async with visiting(chromium, desk.url, lang) as page:
        conversation = await ask(page, desk.url, f'第三季度的销售报告 quarterly {lang}')
        box, palette = page.locator('.composer textarea'), page.locator('dialog.palette')
        await box.focus()
        await page.keyboard.press('Control+k')
        await expect(page.get_by_role('combobox', name=words['find'])).to_be_focused()
        await page.keyboard.press('Escape')
        await expect(box).to_be_focused()

        await page.keyboard.press('Control+k')
        await page.keyboard.type(words['queue'])
        await expect(palette.locator('[aria-selected=true]')).to_have_attribute('id', 'palette-0')
        await page.keyboard.press('Enter')
        await expect(page).to_have_url(f'{desk.url}/queue')
        await expect(page).to_have_title(words['title'])
        await expect(page.locator('#content')).to_be_focused()

        await page.keyboard.press('Control+k')
        await page.keyboard.type(f'季度的销售 {lang}')  # from the middle of a title
        await expect(palette.get_by_role('option')).to_have_count(1)
        await page.keyboard.press('Enter')
        await expect(page).to_have_url(conversation)
        await page.go_back()
        await expect(page).to_have_title(words['title'])

        await act_by_keys(page, words, lang)
        await page.keyboard.press('?')
        sheet = page.get_by_role('dialog', name=words['sheet'])
        await expect(sheet).to_be_visible()
        await page.keyboard.press('Escape')
        await expect(sheet).to_be_hidden()
        await page.keyboard.press('g')
        await page.keyboard.press('h')
        await expect(page).to_have_url(f'{desk.url}/history')
        await page.keyboard.press('Alt+1')
        await expect(page).to_have_url(f'{desk.url}/chat')
        await expect(box).to_be_focused()
        await page.keyboard.type('g q?')  # while writing they are letters
        await expect(box).to_have_value('g q?')
        await expect(page).to_have_url(f'{desk.url}/chat')
        await page.keyboard.press('Control+k')
        await page.keyboard.type('dmo')  # a model, by some of its letters: a new conversation with it
        await expect(palette.get_by_role('option')).to_have_text(re.compile('^demo'))
        await page.keyboard.press('Enter')
        await expect(palette).to_be_hidden()
        await expect(box).to_be_focused()


async def act_by_keys(page: Page, words: dict[str, str], lang: str) -> None:
    """Actions are done, and the list is gone through, without a mouse."""
    palette = page.locator('dialog.palette')
    for name, told in (('pause', 'paused'), ('resume', 'runs')):
        await page.keyboard.press('Control+k')
        await page.keyboard.type(words[name])
        await expect(palette.get_by_role('option')).to_have_count(1)
        await page.keyboard.press('Enter')
        await expect(page.locator('.status')).to_contain_text(words[told])

    await page.keyboard.press('Control+k')
    mine = palette.get_by_role('option').filter(has_text=f'quarterly {lang}')
    await expect(mine).to_contain_text(re.compile(r'\d\d:\d\d|yesterday|昨天'))  # no date for what is of today
    await page.keyboard.press('ArrowUp')  # from the first to the last
    await expect(palette.locator('[aria-selected=true]')).to_be_in_viewport()
    await page.keyboard.press('ArrowDown')
    await expect(palette.locator('[aria-selected=true]')).to_have_attribute('id', 'palette-0')
    await page.keyboard.press('Escape')
    await expect(palette).to_be_hidden()


async def test_panes_are_dragged_pushed_folded_and_found_as_they_were(desk, chromium: Browser):
    async with visiting(chromium, desk.url) as page:
        await page.goto(f'{desk.url}/chat')
        pane, edge = page.locator('.pane-list'), page.get_by_role('separator').first
        await expect(edge).to_have_attribute('aria-valuenow', '280')
        place = await edge.bounding_box()
        assert place
        await page.mouse.move(place['x'] + 4, 400)
        await page.mouse.down()
        await page.mouse.move(place['x'] + 64, 400, steps=3)
        await page.mouse.up()
        await expect(edge).to_have_attribute('aria-valuenow', '340')
        await edge.press('ArrowLeft')
        await expect(pane).to_have_css('width', '324px')
        await page.reload()
        await expect(pane).to_have_css('width', '324px')
        await edge.press('Enter')
        await expect(pane).to_be_hidden()
        await page.locator('body').press(']')
        await expect(page.locator('.pane-inspector')).to_be_hidden()


async def test_an_action_of_the_palette_is_found_by_its_name_in_either_language(desk, chromium: Browser):
    async with visiting(chromium, desk.url) as page:
        await page.goto(f'{desk.url}/settings')
        await page.keyboard.press('Control+k')
        await page.keyboard.type('切换语言')  # by its name in the other language
        await page.keyboard.press('Enter')
        await expect(page.locator('html')).to_have_attribute('lang', 'zh-CN')
        await page.keyboard.press('Control+k')
        await page.keyboard.type('dark')
        await page.keyboard.press('Enter')
        await expect(page.locator('html')).to_have_attribute('data-theme', 'dark')


async def test_a_long_answer_is_told_to_who_looked_away_and_to_nobody_else(desk, chromium: Browser):
    async with visiting(chromium, desk.url, script=HIDDEN) as page:
        await ask(page, desk.url, 'A short one')
        answer = {'id': 'j1', 'title': '第三季度', 'conversation': 'c1', 'failed': False}
        assert await page.evaluate(TELL, answer) == 0, 'the page is in sight'
        await page.evaluate('window.away = true')
        assert await page.evaluate(TELL, answer) == 1
        assert await page.evaluate('shown[0]') == ['第三季度', 'The answer is ready.']


@pytest.mark.parametrize('path', PAGES)
async def test_axe_finds_nothing_grave_and_every_page_is_built_alike(desk, chromium: Browser, path: str):
    """In English and light, and, switched in place, in Chinese and dark; from a phone to a wall."""
    async with visiting(chromium, desk.url) as page:
        if '{job}' in path:
            await ask(page, desk.url, 'What is a corral?')
            path = path.format(job=await a_job(page, desk.url))
        await page.goto(desk.url + path)
        await page.wait_for_function(screenshots.SETTLED)
        found = await axe.faults(page)
        await page.get_by_role('button', name='Language: 中文').click()
        await expect(page.locator('html')).to_have_attribute('lang', 'zh-CN')
        await page.evaluate('corral.setTheme("dark")')
        found += await axe.faults(page, axe.WORDS_AND_COLOURS)
        if path == '/settings':
            await page.keyboard.press('Control+k')
            await expect(page.locator('.palette-item').first).to_be_visible()
            found += await axe.faults(page)
            await page.keyboard.press('Escape')
        found += await outline.faults(page, path)
        assert not found, '\n'.join(found)


async def a_job(page: Page, url: str) -> str:
    """The id of some job."""
    answer = await page.request.get(f'{url}/api/jobs?limit=1')
    return (await answer.json())['jobs'][0]['id']
