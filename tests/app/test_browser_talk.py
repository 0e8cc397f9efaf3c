"""Chatting with models of Ollama in a browser, by its stand-in: what runs is stopped, left, cut off, and goes on."""

import asyncio
import re

import pytest
import pytest_asyncio
from playwright.async_api import expect

from tests import browser
from tests.app.visitor import pace, product, standin, teach, visitors

pytestmark = [*browser.MARKS, pytest.mark.whole]

LONG = ''.join(f'{n}. 第 {n} 句 with `code {n}`, **bold** and 🐎.\n' for n in range(1, 41))
SLOW = 15  # characters each second: an answer takes two minutes, or until it is hurried
FORMULAS = '\nOne two three, $x^2$ and\n\n$$\\frac{1}{2}$$'


@pytest.fixture(scope='module')
def ollama():
    with standin() as url:
        teach(url, 'long:latest', text=LONG, chars_per_s=900)
        teach(url, 'slow:latest', text=LONG, chars_per_s=SLOW)
        teach(url, 'brief:latest', text='')
        yield url


@pytest.fixture
def hurry(ollama):
    """A function that lets ``slow:latest`` finish at once; until then its answers are in the midst of it."""
    pace(ollama, 'slow:latest', SLOW)
    yield lambda: pace(ollama, 'slow:latest', 0)
    pace(ollama, 'slow:latest', 0)


@pytest.fixture(scope='module')
def ollama_desk(tmp_path_factory, ollama):
    flags = ('--engine', 'ollama', '--ollama-url', ollama, '--workers', '2', '--slots', '1')
    with product(tmp_path_factory.mktemp('ollama'), *flags) as desk:
        yield desk


@pytest_asyncio.fixture(loop_scope='session')
async def person(tabs):
    async with visitors(tabs) as open_desk:
        yield open_desk


async def test_reloads_in_one_answer_lose_and_repeat_nothing_in_either_language(ollama_desk, person, hurry):
    someone = await person(ollama_desk)
    await someone.pick('slow:latest')
    await someone.ask()
    await someone.addressed()
    for lang in ('zh', 'en', 'zh', 'en', 'zh', 'zh'):
        await someone.speak(lang)
        await someone.page.reload()
        await expect(someone.answers).to_have_count(1)
    await expect(someone.send).to_have_text(someone.say('Stop'))  # all of them were in mid-answer
    hurry()
    assert await someone.ended() == LONG
    assert (await someone.stored())[:3] == ('completed', LONG, 1)


async def test_switching_the_language_keeps_the_draft_and_the_stream(ollama_desk, person, hurry):
    someone = await person(ollama_desk)
    await someone.pick('slow:latest')
    await someone.ask()
    await someone.addressed()
    await someone.box.fill('a draft')
    await someone.begun(30)
    await someone.page.get_by_role('button', name=re.compile('Language')).click()
    await expect(someone.send).to_have_text('随后发送')
    await expect(someone.page.locator('.composer-stop')).to_have_attribute('aria-label', '停止')
    hurry()
    someone.lang = 'zh'
    assert await someone.ended() == LONG
    await expect(someone.box).to_have_value('a draft')
    await expect(someone.page).to_have_title(f'{someone.question} · Corral')


@pytest.mark.parametrize('lang', ['en', 'zh'])
async def test_a_failed_answer_says_why_and_can_be_tried_again(ollama_desk, person, ollama, lang):
    teach(ollama, 'error-mid:latest', fault='error', error='unexpected EOF')
    someone = await person(ollama_desk, lang=lang)
    await someone.pick('error-mid:latest')
    await someone.ask()
    trouble = someone.answers.last.locator('.trouble')
    await expect(trouble).to_be_visible()
    await someone.addressed()
    assert (await someone.stored())[0] == 'dead'
    teach(ollama, 'error-mid:latest', text=LONG)
    await someone.button('Retry', someone.answers.last).click()
    await expect(trouble).to_have_count(0)
    assert await someone.ended() == LONG


async def test_a_killed_worker_is_told_and_its_answer_completes(ollama_desk, person, hurry):
    someone = await person(ollama_desk, lang='zh', **browser.LIVELY)
    await someone.pick('slow:latest')
    await someone.ask()
    await someone.addressed()
    await someone.begun(30)
    figures = await someone.page.locator('.inspector .kv').inner_text()
    name = figures.partition(someone.say('Worker'))[2].split()[0]
    old = ollama_desk.kill(f'worker-{name.rpartition(":")[2]}')
    told = someone.say('The worker was lost; another one started again.')
    await expect(someone.answers.last).to_contain_text(told)
    hurry()
    assert await someone.ended() == LONG
    assert await someone.stored() == ('completed', LONG, 2, 1)
    await asyncio.to_thread(ollama_desk.wait_restarted, f'worker-{name.rpartition(":")[2]}', old)


async def test_a_killed_broker_comes_back_and_the_answer_completes_without_a_second_run(ollama_desk, person, hurry):
    someone = await person(ollama_desk)
    await someone.pick('slow:latest')
    await someone.ask()
    await someone.addressed()
    await someone.begun(30)
    old = ollama_desk.kill('broker')
    await asyncio.to_thread(ollama_desk.wait_restarted, 'broker', old)
    hurry()
    assert await someone.ended() == LONG
    assert await someone.stored() == ('completed', LONG, 1, 0)


SIDES = "[...document.querySelectorAll('.pair .msg')].map((each) => each.getBoundingClientRect().toJSON())"
PASTE = """async (box) => {
    const canvas = new OffscreenCanvas(1800, 900), pen = canvas.getContext('2d');
    pen.fillRect(0, 0, 900, 900);
    const picture = await canvas.convertToBlob({type: 'image/webp'}), files = new DataTransfer();
    const text = ['a,b\\n1,2\\n'], binary = [new Uint8Array([1, 0, 2])];
    files.items.add(new File([picture], 'shot.webp', {type: 'image/webp'}));
    files.items.add(new File(text, 'data.csv', {type: 'text/csv'}));
    files.items.add(new File(binary, 'tool.bin'));
    box.dispatchEvent(new ClipboardEvent('paste', {clipboardData: files, bubbles: true, cancelable: true}));
}"""
DRAG = """(box, [event, size]) => {
    const files = new DataTransfer();
    files.items.add(new File(['x'.repeat(size)], 'large.txt', {type: 'text/plain'}));
    box.closest('.pane-middle').dispatchEvent(new DragEvent(event, {dataTransfer: files, bubbles: true, cancelable: true}));
}"""  # noqa: E501


@pytest.mark.timeout(300)
@pytest.mark.parametrize('lang', ['en', 'zh'])
async def test_files_waiting_messages_versions_and_a_comparison(ollama_desk, person, ollama, lang):
    teach(ollama, 'brief:latest', text=LONG + FORMULAS, chars_per_s=SLOW)
    someone = await person(ollama_desk, lang=lang)
    await someone.pick('brief:latest')
    await attach(someone)
    await let_wait(someone)
    pace(ollama, 'brief:latest', 0)
    bubbles = someone.page.locator('.bubble')
    await expect(bubbles).to_have_text(['one', 'second', 'four'])
    await someone.ended()
    await expect(someone.answers.last.locator('.katex')).to_have_count(2)
    await stop_and_go_on(someone, ollama)
    await look_at_versions(someone)
    await send_what_waits_now(someone, ollama)
    await compare(someone)


async def attach(someone):
    """By paste and by drop; what cannot be attached is named."""
    page, notice = someone.page, someone.page.locator('.composer-notice')
    await someone.box.evaluate(PASTE)
    kind = '{name} is neither a picture nor a text. Attach PNG, JPEG, WebP or GIF pictures, or text files.'
    await expect(notice).to_have_text(someone.say(kind, name='tool.bin'))
    await expect(page.locator('.attached li:not(.busy)')).to_have_count(2)
    await someone.box.evaluate(DRAG, ['dragover', 1])
    await expect(notice).to_have_text(someone.say('Drop pictures or text files here to attach them.'))
    await someone.box.evaluate(DRAG, ['drop', 200_001])
    await expect(notice).to_contain_text('large.txt')
    await expect(page.locator('.attached li')).to_have_count(2)
    await someone.ask('one')
    await expect(page.locator('.files img')).to_have_js_property('naturalWidth', 1600)
    await expect(page.locator('.files')).to_contain_text('data.csv')


async def let_wait(someone):
    """Three messages while an answer is written: one goes before another, one is dropped, one is said otherwise."""
    lines = someone.page.locator('.next li')
    for number, text in enumerate(('two', 'three', 'four'), 1):
        await expect(someone.box).to_have_value('')
        await someone.ask(text)
        await expect(lines).to_have_count(number)
    await someone.button('Sooner', lines.nth(2)).click()
    await expect(lines.nth(1)).to_contain_text('four')
    await someone.button('Do not send this message', lines.nth(2)).click()
    await expect(lines).to_have_count(2)
    await someone.button('Edit this message', lines.first).click()
    await lines.locator('textarea').fill('second')
    await lines.locator('textarea').press('Enter')
    await expect(lines.first).to_contain_text('second')


async def stop_and_go_on(someone, ollama):
    """What was written before a stop stays; a message that waits goes once the answer has been continued."""
    teach(ollama, 'brief:latest', text=LONG, chars_per_s=SLOW)
    await someone.button('Regenerate', someone.answers.last).click()
    await expect(someone.send).to_have_text(someone.say('Stop'))
    await expect(someone.answers.last).to_contain_text('句')
    await someone.ask('later')
    await expect(someone.page.locator('.next li')).to_have_count(1)
    await someone.send.get_by_text(someone.say('Stop'), exact=True).click()
    await expect(someone.answers.last).to_contain_text(someone.say('Stopped.'))
    kept = await someone.ended()
    assert 0 < len(kept) < len(LONG) and LONG.startswith(kept)
    assert (await someone.stored())[:2] == ('cancelled', kept)
    held = someone.say('Waiting, because the last answer was not completed')
    await expect(someone.page.locator('.next-head')).to_contain_text(held)
    teach(ollama, 'brief:latest', text=' and so on')
    await someone.button('Continue', someone.answers.last).click()
    await expect(someone.page.locator('.bubble').last).to_have_text('later')
    await expect(someone.page.locator('.next')).to_have_count(0)
    await someone.ended()
    await expect(someone.answers.nth(2)).to_contain_text('and so on')


async def look_at_versions(someone):
    """The answer that was there before; and the first question asked in other words, with what followed it gone."""
    bubbles, answer = someone.page.locator('.bubble'), someone.answers.nth(2)
    first = someone.page.locator('.msg.user').first
    await expect(answer.locator('.turns')).to_contain_text('2/2')
    await someone.button('The version before', answer).click()
    await expect(answer.locator('.turns')).to_contain_text('1/2')
    await expect(bubbles).to_have_text(['one', 'second', 'four'])
    await first.hover()
    await someone.button('Edit', first).click()
    await someone.page.locator('.edit textarea').fill('anew')
    await someone.page.locator('.edit textarea').press('Enter')
    await expect(bubbles).to_have_text(['anew'])
    await someone.ended()
    await someone.page.reload()
    await expect(first.locator('.turns')).to_contain_text('2/2')
    await expect(bubbles).to_have_text(['anew'])


async def send_what_waits_now(someone, ollama):
    """A message that is held back by a stop goes at a click, without the answer being continued."""
    teach(ollama, 'brief:latest', text=LONG, chars_per_s=SLOW)
    await someone.ask('first')
    await expect(someone.answers.last).to_contain_text('句')
    await someone.ask('held')
    lines = someone.page.locator('.next li')
    await expect(lines).to_have_count(1)
    await someone.send.get_by_text(someone.say('Stop'), exact=True).click()
    await expect(someone.answers.last).to_contain_text(someone.say('Stopped.'))
    teach(ollama, 'brief:latest', text='at last')
    await someone.button('Send now').click()
    await expect(lines).to_have_count(0)
    await expect(someone.page.locator('.bubble')).to_have_text(['anew', 'first', 'held'])
    await expect(someone.answers).to_have_count(3)
    assert await someone.ended() == 'at last'


async def compare(someone):
    """Two models side by side; one answer has to be kept before the next message."""
    page = someone.page
    await page.locator('.composer-more').click()
    await someone.item('Compare with another model').click()
    await page.locator('.composer-beside select').select_option('long:latest')
    await someone.ask('which?')
    await expect(page.locator('.pair .msg')).to_have_count(2)
    first, second = await page.evaluate(SIDES)
    assert first['right'] <= second['left'] and first['top'] == second['top'], 'side by side'
    await someone.box.fill('next')
    choose = 'Keep one of the two answers first; the next message goes on from it.'
    await expect(page.locator('.composer-notice')).to_have_text(someone.say(choose))
    await page.locator('.pair .keep').nth(1).click()
    await expect(page.locator('.pair')).to_have_count(0)
    await expect(page.locator('.composer-notice')).to_have_count(0)
    await expect(someone.answers.last).to_contain_text('long:latest')
