"""What every page has around it, in a browser: language, theme, palette, keys, panes, notifications; and axe-core.

One visit does much, and changes its language in place: to load a page costs more than all that is done on it.
"""

import contextlib
import os
import re
import signal
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, Page, expect

from app import i18n
from tests import axe, browser, outline, screenshots
from tests.conftest import starter

pytestmark = [*browser.MARKS, pytest.mark.whole]

# each with what only it shows
PAGES = {
    '/chat': '.chat-welcome',
    '/queue': '.queue-tabs',
    '/history': '.page.history',
    '/workers': '.machines',
    '/analytics': '.range-bar',
    '/settings': '.page.settings',
    '/jobs/{job}': '.job-state',
    '/no/such/page': '.page:not(:has(.page-bar)) .empty',
}
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
SPEAKS = (
    """(ready) => Object.values(mounted_app.$refs).flat().some((part) => part?.tell && part.labels?.ready === ready)"""
)


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


async def ask(page: Page, question: str) -> str:
    """Begin a conversation on the page of a new one; its address."""
    await page.locator('.composer textarea').fill(question)
    await page.locator('.composer textarea').press('Enter')
    await page.wait_for_url('**/chat/*')
    return page.url


async def switch_language(page: Page, lang: str) -> None:
    """In place, by the button of the status bar."""
    await page.get_by_role('button', name=re.compile('^(Language|语言)')).click()
    await expect(page.locator('html')).to_have_attribute('lang', {'en': 'en-US', 'zh': 'zh-CN'}[lang])


@pytest.mark.timeout(300)
async def test_everything_is_reached_by_keys_in_either_language(desk, chromium: Browser):
    async with visiting(chromium, desk.url) as page:
        await page.goto(f'{desk.url}/chat')
        await go_by_keys(page, desk.url, 'en')
        await page.keyboard.press('Control+k')
        await page.keyboard.type('切换语言')  # an action, by its name in the other language
        await page.keyboard.press('Enter')
        await expect(page.locator('html')).to_have_attribute('lang', 'zh-CN')
        await go_by_keys(page, desk.url, 'zh')
        await page.keyboard.press('Control+k')
        await page.keyboard.type('dark')
        await page.keyboard.press('Enter')
        await expect(page.locator('html')).to_have_attribute('data-theme', 'dark')


async def go_by_keys(page: Page, url: str, lang: str) -> None:
    """From a new conversation over all that keys lead to, to a new conversation."""
    words = WORDS[lang]
    conversation = await ask(page, f'第三季度的销售报告 quarterly {lang}')
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
    await expect(page).to_have_url(f'{url}/queue')
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
    await expect(page).to_have_url(f'{url}/history')
    await page.keyboard.press('Alt+1')
    await expect(page).to_have_url(f'{url}/chat')
    await expect(box).to_be_focused()
    await page.keyboard.type('g q?')  # while writing they are letters
    await expect(box).to_have_value('g q?')
    await expect(page).to_have_url(f'{url}/chat')
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


async def test_panes_and_notifications_in_either_language(desk, chromium: Browser):
    async with visiting(chromium, desk.url, script=HIDDEN) as page:
        await page.goto(f'{desk.url}/chat')
        await panes_are_dragged_pushed_folded_and_found_as_they_were(page)
        await a_long_answer_is_told_to_who_looked_away_and_to_nobody_else(page)


async def panes_are_dragged_pushed_folded_and_found_as_they_were(page: Page) -> None:
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
    await expect(edge).to_have_accessible_name('Width of the pane: Conversations')
    await switch_language(page, 'zh')
    await expect(edge).to_have_accessible_name('窗格宽度：对话列表')
    await page.reload()
    await expect(pane).to_have_css('width', '324px')
    await edge.press('Enter')
    await expect(pane).to_be_hidden()
    await page.locator('body').press(']')
    await expect(page.locator('.pane-inspector')).to_be_hidden()


async def a_long_answer_is_told_to_who_looked_away_and_to_nobody_else(page: Page) -> None:
    await ask(page, '简短的问题')
    answer = {'id': 'j1', 'title': '第三季度', 'conversation': 'c1', 'failed': False}
    assert await page.evaluate(TELL, answer) == 0, 'the page is in sight'
    for number, lang in enumerate(('zh', 'en'), 1):
        ready = i18n.tr(lang, 'The answer is ready.')
        if lang == 'en':
            await switch_language(page, lang)
        await page.wait_for_function(SPEAKS, arg=ready)
        await page.evaluate('window.away = true')
        assert await page.evaluate(TELL, answer | {'id': f'j{number}'}) == number
        assert await page.evaluate('shown.at(-1)') == ['第三季度', ready]
        await page.evaluate('window.away = false')


@pytest.mark.timeout(300)
async def test_axe_finds_nothing_grave_and_every_page_is_built_alike(desk, chromium: Browser):
    """In English and light, and, switched in place, in Chinese and dark; from a phone to a wall."""
    found: list[str] = []
    async with visiting(chromium, desk.url) as page:
        await page.goto(f'{desk.url}/chat')
        await ask(page, 'What is a corral?')
        job = await a_job(page, desk.url)
        for path in PAGES:
            await show(page, path, job)
            found += named(path, await axe.faults(page))
        await switch_language(page, 'zh')
        await page.evaluate('corral.setTheme("dark")')
        for path in PAGES:
            await show(page, path, job)
            found += named(path, await axe.faults(page, axe.WORDS_AND_COLOURS))
            if path == '/settings':
                await page.keyboard.press('Control+k')
                await expect(page.locator('.palette-item').first).to_be_visible()
                found += named('palette', await axe.faults(page))
                await page.keyboard.press('Escape')
                await expect(page.locator('dialog.palette')).to_be_hidden()
            found += named(path, await outline.faults(page, path))
            await page.set_viewport_size({'width': 1440, 'height': 900})
    assert not found, '\n'.join(found)


async def show(page: Page, path: str, job: str) -> None:
    """Go there as a link does, and wait until it is there."""
    await page.evaluate('path => emitEvent("sub_pages_navigate", path)', path.format(job=job))
    await expect(page.locator(PAGES[path]).first).to_be_visible()
    await page.wait_for_function(screenshots.SETTLED)


def named(path: str, faults: list[str]) -> list[str]:
    return [f'{path}: {fault}' for fault in faults]


async def a_job(page: Page, url: str) -> str:
    """The id of some job."""
    answer = await page.request.get(f'{url}/api/jobs?limit=1')
    return (await answer.json())['jobs'][0]['id']


async def test_language_and_theme_are_remembered_and_the_page_says_when_the_broker_is_gone(desk, chromium: Browser):
    async with browser.visiting(chromium, color_scheme='light') as page:
        await page.goto(f'{desk.url}/queue')
        await language_and_theme_switch_in_place_and_are_remembered(page)
        await the_broker_is_gone_and_comes_back(page, desk)
    async with browser.visiting(chromium, locale='zh-CN', color_scheme='dark') as page:
        await page.goto(f'{desk.url}/queue')
        await expect(page.get_by_role('heading', name='队列')).to_be_visible()
        await expect(page.locator('html')).to_have_attribute('data-theme', 'dark')


async def language_and_theme_switch_in_place_and_are_remembered(page: Page) -> None:
    await expect(page).to_have_title('Queue · Corral')
    await page.evaluate('window.here = true')
    await page.get_by_role('button', name='Language: 中文').click()
    await expect(page.get_by_role('heading', name='队列')).to_be_visible()
    await expect(page).to_have_title('队列 · Corral')
    await expect(page.locator('html')).to_have_attribute('lang', 'zh-CN')
    await page.wait_for_function("Quasar.lang.props.isoName === 'zh-CN'")  # its texts come in a file of their own
    await expect(page.locator('#popup')).to_contain_text('连接')  # what is said when the connection is lost
    theme = page.get_by_role('button', name='外观')
    await expect(page.locator('html')).to_have_attribute('data-theme', 'light')
    await theme.click()
    await theme.click()
    await expect(page.locator('html')).to_have_attribute('data-theme', 'dark')
    assert await page.evaluate('window.here'), 'the page was not loaded again'

    await page.add_init_script(
        'document.addEventListener("DOMContentLoaded", () => window.first = document.documentElement.dataset.theme)'
    )
    await page.reload()
    await expect(page.get_by_role('heading', name='队列')).to_be_visible()
    assert await page.evaluate('window.first') == 'dark', 'dark before the first pixel'
    background = await page.evaluate('getComputedStyle(document.body).backgroundColor')
    assert background == 'rgb(20, 20, 19)'


async def the_broker_is_gone_and_comes_back(page: Page, desk) -> None:
    """Told in the language of the page, also when that changes meanwhile."""
    banner, silent = (
        page.locator('.banner'),
        'The queue does not answer. It is being restarted; nothing that was sent is lost.',
    )
    demo = 'This is the built-in demo; its answers are canned. With Ollama installed, this brings a real model:'
    await expect(banner).to_contain_text(i18n.tr('zh', demo))
    os.kill(desk.pid('broker'), signal.SIGSTOP)
    try:
        await expect(banner).to_contain_text(i18n.tr('zh', silent))
        health = await page.request.get(f'{desk.url}/health')
        assert (health.status, (await health.json())['waiting_for']) == (503, 'broker')
        await switch_language(page, 'en')
        await expect(banner).to_contain_text(silent)
    finally:
        os.kill(desk.pid('broker'), signal.SIGCONT)
    await expect(banner).to_contain_text(demo)
    await expect(page.locator('.status')).to_contain_text('Queue running')


async def test_every_place_fits_a_phone_and_can_be_reached_by_keyboard(desk, chromium: Browser):
    async with browser.visiting(chromium, viewport={'width': 390, 'height': 800}) as page:
        await page.goto(f'{desk.url}/analytics')
        await is_at_the_bottom(page, 'Analytics')
        await page.keyboard.press('Tab')
        await expect(page.locator('.skip')).to_be_focused()
        await page.keyboard.press('Tab')
        await page.keyboard.press('Tab')
        await page.keyboard.press('Enter')
        await expect(page).to_have_url(re.compile('/queue$'))
        await is_at_the_bottom(page, 'Queue')
        await page.context.add_cookies([{'name': i18n.COOKIE, 'value': 'zh', 'url': desk.url}])
        await page.goto(f'{desk.url}/no/such/page')
        await expect(page.get_by_role('heading', name=i18n.tr('zh', 'There is no such page'))).to_be_visible()
        await page.get_by_role('link', name=i18n.tr('zh', 'Go to the chat')).click()
        await expect(page).to_have_url(re.compile('/chat'))
        await is_at_the_bottom(page, i18n.tr('zh', 'Chat'))


async def is_at_the_bottom(page: Page, name: str) -> None:
    """The rail, with this place as the one that is shown; and nothing scrolls sideways."""
    await expect(page.locator('.rail a[aria-current=page]')).to_have_accessible_name(name)
    box = await page.locator('.rail').bounding_box()
    assert box and box['y'] > 700, 'the rail is at the bottom'
    assert await page.evaluate('document.documentElement.scrollWidth') <= 390
