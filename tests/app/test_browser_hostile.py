"""Hostile words everywhere in the running product: answers, titles, folders, names of models and users.

Nothing runs, nothing is fetched from elsewhere, nothing covers the page, and others at the desk notice nothing.
"""

import asyncio
import time

import httpx
import pytest
from playwright.async_api import expect

from app.desk import Desk
from app.messages import Conversation, Message
from tests import browser
from tests.app import hostile_markdown
from tests.app.visitor import product, standin, teach

pytestmark = [*browser.MARKS, pytest.mark.whole]

MODEL = '<img src=x onerror=pwned=1>:latest'
PAGES = ('/chat', '/queue', '/history', '/workers', '/analytics', '/settings')
PLACES = """() => [...document.querySelectorAll('*')].filter((el) => !el.closest('.katex') && (
  el.matches('iframe, object, embed, base, video, audio, meta[http-equiv], marquee, .prose dialog')
  || [...el.attributes].some(({ name, value }) => name.startsWith('on') || /pwned|evil/.test(value) && /^(href|src|style|id|name|action)$/.test(name) && !/^https?:/.test(value))
  || el.matches('main img, main script, .prose style, .convs style, main form[action]') && !el.matches('[src^="data:image/"], [src^="/"]')
)).map((el) => el.outerHTML.slice(0, 200))"""  # noqa: E501
COVERED = """(selectors) => selectors.filter((selector) => {
  const el = document.querySelector(selector), { x, y, width, height } = el.getBoundingClientRect();
  return !el.contains(document.elementFromPoint(x + width / 2, y + height / 2));
})"""
UNTOUCHED = (
    "typeof pwned === 'undefined' && document.body.offsetHeight > 100 && document.getElementById('app').className"
)


async def seed(path):
    """Every hostile name as a title and as what was said; a folder, too."""
    now, whole = time.time(), []
    for number, name in enumerate(hostile_markdown.NAMES):
        id_ = f'{number:032x}'
        said = Message(
            id=id_, conversation_id=id_, role='user', content=f'needle {name}', parent='root', created_at=now
        )
        title = name.replace('\x01', ' ')[:200]
        header = Conversation(id=id_, title=title, created_at=now, updated_at=now - number, model=MODEL, priority=5)
        whole.append((header, [said]))
    desk = await Desk.open(path)
    await desk.put_all(whole)
    await desk.run(
        lambda db: db.execute("INSERT INTO folders VALUES ('f', '<script>pwned=1</script>', 1.0)").fetchall()
    )
    await desk.close()


@pytest.fixture(scope='module')
def desk(tmp_path_factory):
    folder = tmp_path_factory.mktemp('hostile')
    (folder / 'data').mkdir(mode=0o700)
    asyncio.run(seed(folder / 'data' / 'desk.db'))
    short = '\n\n'.join(
        each for each in hostile_markdown.SHORT if not each.startswith(('~~~', '```python', '<plaintext', '<xmp'))
    )
    with standin() as ollama:
        teach(ollama, MODEL, text=short)
        teach(ollama, 'honest:latest', text='An honest answer.', chars_per_s=4000)
        flags = ('--engine', 'ollama', '--ollama-url', ollama, '--workers', '1', '--slots', '2')
        with product(folder, *flags) as running:
            yield running


async def opened(chromium, desk, wrong, foreign):
    context = await chromium.new_context(locale='en-US', viewport={'width': 1280, 'height': 800})
    page = await context.new_page()
    await browser.listen(page, wrong)
    page.on('dialog', lambda dialog: wrong.append(dialog.message))
    context.on('request', lambda r: None if r.url.startswith((desk.url, 'data:', 'blob:')) else foreign.append(r.url))
    await page.goto(f'{desk.url}/chat')
    await expect(page.locator('.composer textarea')).to_be_editable()
    return page


async def ask(page, model, question):
    await page.locator('.composer-model').click()
    await page.get_by_label('Search models').fill(model)
    await page.get_by_role('menuitemradio', name=model).click()
    await page.locator('.composer textarea').fill(question)
    await page.keyboard.press('Enter')


@pytest.mark.timeout(300)
async def test_hostile_answers_and_names_do_nothing_anywhere_and_others_notice_nothing(chromium, desk):
    wrong, foreign = [], []
    one, other = await opened(chromium, desk, wrong, foreign), await opened(chromium, desk, wrong, foreign)
    body = {'model': MODEL, 'user': '<svg onload=pwned=1>', 'messages': [{'role': 'user', 'content': 'x' * 30}]}
    async with httpx.AsyncClient(timeout=30) as client:
        (await client.post(f'{desk.url}/v1/chat/completions', json=body)).raise_for_status()

    # the other one asks while the hostile answer comes in, and is answered
    await ask(one, MODEL, 'Do your worst')
    await ask(other, 'honest:latest', 'Are you there?')
    await expect(other.locator('.msg.answer .prose')).to_have_text('An honest answer.')
    ended = one.locator('.msg.answer').get_by_role('button', name='Regenerate').first
    await expect(ended).to_be_visible(timeout=90_000)  # all of it at once is a lot to draw
    await expect(one.locator('.katex').first).to_be_attached()
    for share in (0, 0.25, 0.5, 0.75, 1):
        await one.locator('.transcript-scroll').evaluate(
            '(el, share) => { el.scrollTop = share * el.scrollHeight }', share
        )
        assert await one.evaluate(COVERED, ['.composer textarea', '.convs-bar h2', '.page-bar h1', '.rail a']) == []
    assert await one.evaluate(PLACES) == [] and await one.evaluate(UNTOUCHED) is not False

    # titles and folders in the list, and what a search shows of them
    await one.get_by_label('Search conversations').fill('needle')
    await expect(one.locator('.found').nth(20)).to_be_attached()
    assert await one.evaluate(PLACES) == []
    await one.get_by_label('Search conversations').fill('')

    # every page that shows such names
    for path in PAGES:
        await one.locator(f'.rail a[href="{path}"]').click()
        await expect(one.locator(f'.rail a[href="{path}"]')).to_have_attribute('aria-current', 'page')
        await expect(one.locator('#content .page').first).to_be_visible()
        if path in ('/history', '/workers'):
            await expect(one.locator('#content')).to_contain_text('onerror=pwned')
        assert await one.evaluate(PLACES) == [], path
        assert await one.evaluate(UNTOUCHED) is not False, path
    assert (wrong, foreign) == ([], [])
    for page in (one, other):
        await page.context.close()
