"""The frame and the queue page of the running product, in a browser."""

import os
import re
import signal

import pytest
from playwright.async_api import expect

from tests import browser
from tests.conftest import starter

pytestmark = [*browser.MARKS, pytest.mark.whole]


@pytest.fixture(scope='module')
def desk(tmp_path_factory):
    with starter(tmp_path_factory.mktemp('frame')) as start:
        yield start('--engine', 'demo')


async def test_language_and_theme_switch_in_place_and_are_remembered(desk, chromium):
    async with browser.visiting(chromium, color_scheme='light') as page:
        await page.goto(f'{desk.url}/queue')
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
    async with browser.visiting(chromium, locale='zh-CN', color_scheme='dark') as page:
        await page.goto(f'{desk.url}/queue')
        await expect(page.get_by_role('heading', name='队列')).to_be_visible()
        await expect(page.locator('html')).to_have_attribute('data-theme', 'dark')


async def test_the_page_says_when_the_broker_is_gone_and_when_it_is_back(desk, chromium):
    async with browser.visiting(chromium) as page:
        await page.goto(f'{desk.url}/queue')
        await expect(page.locator('.banner')).to_contain_text('This is the built-in demo')
        os.kill(desk.pid('broker'), signal.SIGSTOP)
        try:
            await expect(page.locator('.banner')).to_contain_text('The queue does not answer')
            health = await page.request.get(f'{desk.url}/health')
            assert (health.status, (await health.json())['waiting_for']) == (503, 'broker')
        finally:
            os.kill(desk.pid('broker'), signal.SIGCONT)
        await expect(page.locator('.banner')).to_contain_text('This is the built-in demo')
        await expect(page.locator('.status')).to_contain_text('Queue running')


async def test_every_place_fits_a_phone_and_can_be_reached_by_keyboard(desk, chromium):
    async with browser.visiting(chromium, viewport={'width': 390, 'height': 800}) as page:
        for place, name in (('/chat', 'Chat'), ('/queue', 'Queue'), ('/analytics', 'Analytics')):
            await page.goto(desk.url + place)
            current = page.locator('.rail a[aria-current=page]')
            await expect(current).to_have_accessible_name(name)
            box = await page.locator('.rail').bounding_box()
            assert box and box['y'] > 700, 'the rail is at the bottom'
            assert await page.evaluate('document.documentElement.scrollWidth') <= 390
        await page.keyboard.press('Tab')
        await expect(page.locator('.skip')).to_be_focused()
        await page.keyboard.press('Tab')
        await page.keyboard.press('Tab')
        await page.keyboard.press('Enter')
        await expect(page).to_have_url(re.compile('/queue$'))
        await page.goto(f'{desk.url}/no/such/page')
        await expect(page.get_by_role('heading', name='There is no such page')).to_be_visible()
        await page.get_by_role('link', name='Go to the chat').click()
        await expect(page).to_have_url(re.compile('/chat'))
