"""The workers page in a browser: two people, in two languages, in front of one machine."""

import asyncio
import contextlib

import pytest
from playwright.async_api import expect

from tests import browser
from tests.standin import Library, Script, StandIn

pytestmark = [*browser.MARKS, pytest.mark.whole]
GB = 10**9


@contextlib.asynccontextmanager
async def visitor(chromium, url, language, wrong, **size):
    """A page of the desk in this language; what goes wrong in it is in ``wrong``."""
    context = await chromium.new_context(viewport={'width': 1280, 'height': 800} | size)
    await context.add_cookies([{'name': 'corral_lang', 'value': language, 'url': url}])
    page = await context.new_page()
    await browser.listen(page, wrong)
    await page.goto(f'{url}/workers')
    yield page
    await context.close()


async def test_two_people_pull_load_pause_and_remove_and_see_the_same(corral, chromium):
    wrong: list[str] = []
    async with StandIn(faults=False) as ollama:
        ollama.models = {'qwen3:latest': Script(), '<b>x</b>:1': Script()}
        ollama.library['tiny:1b'] = Library(parts=(GB, 20), steps=400, pause_s=0.05)
        ollama.library['full:1b'] = Library(error='write: no space left on device')
        desk = await asyncio.to_thread(corral, '--engine', 'ollama', '--ollama-url', ollama.url, '--slots', '2')
        async with (
            visitor(chromium, desk.url, 'en', wrong) as one,
            visitor(chromium, desk.url, 'zh', wrong, width=390) as other,
        ):
            worker = one.locator('.worker')
            await expect(worker).to_contain_text('Ready')
            await expect(worker).to_contain_text('2 free')
            await expect(one.locator('.model b').last).to_have_text('<b>x</b>:1')
            await expect(other.locator('.meter').first).to_have_attribute('aria-label', 'CPU')

            await pull(one, 'tiny:1b')
            await expect(one.get_by_role('progressbar')).to_have_attribute('aria-label', 'Pulling tiny:1b')
            await expect(other.get_by_role('progressbar')).to_have_attribute('aria-label', '正在拉取 tiny:1b')
            await other.reload()
            await expect(other.locator('.errand')).to_contain_text('/ 1 GB')
            await other.get_by_role('button', name='停止拉取 tiny:1b').click()
            await expect(one.locator('.errand')).to_contain_text('tiny:1b: stopped.')
            ollama.library['tiny:1b'] = Library(parts=(GB, 20), steps=2)
            await pull(one, 'tiny:1b')
            await expect(one.locator('.errand.done')).to_contain_text('can be used now')
            await expect(other.locator('.model')).to_have_count(3)
            await pull(one, 'full:1b')
            await expect(other.get_by_role('alert')).to_contain_text('磁盘已满')

            await one.get_by_role('button', name='Load: tiny:1b').click()
            await expect(one.locator('.model.resident')).to_contain_text('on the GPU')
            await one.get_by_role('button', name='Actions for tiny:1b').click()
            await one.get_by_role('menuitem', name='Remove…').click()
            await one.get_by_role('alertdialog').get_by_role('button', name='Remove', exact=True).click()
            await expect(other.locator('.model')).to_have_count(2)
            assert ('/api/delete', 'tiny:1b') in ollama.admin

            await one.get_by_role('button', name='Actions for').first.click()
            await one.get_by_role('menuitem', name='Pause').click()
            await expect(other.locator('.worker')).to_contain_text('已暂停')
            await other.get_by_role('button', name='恢复', exact=True).click()
            await expect(worker).to_contain_text('Ready')
            assert await other.evaluate('document.querySelector(".page-body").scrollWidth') <= 390

            await one.get_by_role('button', name='Actions for').first.click()
            await one.get_by_role('menuitem', name='Let it go…').click()
            await one.get_by_role('button', name='Let it go', exact=True).click()
            await expect(one.get_by_role('heading', name='No worker is connected')).to_be_visible()
            await expect(other.locator('.machine-gone')).to_contain_text('已关闭')
            await one.get_by_role('button', name='Add a machine').click()
            await expect(one.get_by_role('dialog')).to_contain_text('worker --data-dir')
    assert wrong == []


async def pull(page, model):
    """Ask for it in the dialog."""
    await page.locator('.models-head').get_by_role('button', name='Pull a model').click()
    await page.get_by_label('Name in the library').fill(model)
    await page.keyboard.press('Enter')
    await expect(page.get_by_role('dialog')).to_have_count(0)
