"""The chat page of the running product, in a browser: everything that a person would do, and what may go wrong."""

import asyncio
import contextlib
import json
import re
import subprocess
import sys
from pathlib import Path

import apsw
import httpx
import pytest
import pytest_asyncio
from playwright.async_api import expect

from tests import browser, conftest
from workers.engines import demo_text

pytestmark = [*browser.MARKS, pytest.mark.whole]

LONG = ''.join(f'{n}. 第 {n} 句 with `code {n}`, **bold** and 🐎.\n' for n in range(1, 41))
WORDS = {
    'en': {'copy': 'Copy', 'stop': 'Stop', 'send': 'Send', 'question': 'What is a corral?'},
    'zh': {'copy': '复制', 'stop': '停止', 'send': '发送', 'question': '什么是畜栏？'},
}
SLOW = 30  # characters each second: an answer takes most of a minute
TAGS = {'en': 'en-US', 'zh': 'zh-CN'}

# notes how long the answer is whenever the page changes
WATCH = """() => {
  window.lengths = new Set();
  const note = () => lengths.add(document.querySelector('.msg.answer .prose')?.textContent.length ?? 0);
  new MutationObserver(note).observe(document.body, {subtree: true, childList: true, characterData: true});
}"""


@contextlib.contextmanager
def product(folder: Path, *flags: str, toml: str):
    """The product, running for as long as the block."""
    folder.mkdir(exist_ok=True)
    (folder / 'corral.toml').write_text(toml)
    command = [sys.executable, str(conftest.ROOT / 'run.py'), '--no-browser', '--port', '0']
    with (folder / 'stderr').open('w') as errors:
        process = subprocess.Popen(
            [*command, '--data-dir', str(folder / 'data'), *flags],
            cwd=folder,
            env=conftest.clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    desk = conftest.Corral(process, folder / 'data', folder / 'stderr')
    try:
        desk.wait_ready()
        yield desk
    finally:
        desk.stop()
        desk._reader.join(5) if desk._reader.is_alive() else None
        process.stdout.close()


@pytest.fixture(scope='module')
def demo_desk(tmp_path_factory):
    """On the demo engine, at a speed where an answer takes some two seconds."""
    folder = tmp_path_factory.mktemp('demo')
    flags = ('--engine', 'demo', '--workers', '2', '--slots', '2')
    with product(folder, *flags, toml='[worker]\ndemo_chars_per_s = 600\n') as desk:
        yield desk


@pytest.fixture(scope='module')
def ollama():
    """The stand-in for Ollama, as a process of its own."""
    process = subprocess.Popen(
        [sys.executable, '-m', 'tests.standin', '--port', '0', '--faults'],
        cwd=conftest.ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    url = json.loads(process.stdout.readline())['url']
    teach(url, 'long:latest', text=LONG, chars_per_s=900)
    teach(url, 'slow:latest', text=LONG, chars_per_s=SLOW)
    yield url
    process.stdin.close()
    process.wait(40)
    process.stdout.close()


def teach(url, model, **script):
    """Give the stand-in a model that does what the script says."""
    httpx.post(f'{url}/control/models', json={model: script}).raise_for_status()


@pytest.fixture
def hurry(ollama):
    """A function that lets ``slow:latest`` finish at once; until then its answers are in the midst of it."""

    def pace(chars_per_s=0):
        httpx.post(f'{ollama}/control/pace', json={'slow:latest': chars_per_s}).raise_for_status()

    pace(SLOW)
    yield pace
    pace()


@pytest.fixture(scope='module')
def ollama_desk(tmp_path_factory, ollama):
    """On the stand-in for Ollama."""
    flags = ('--engine', 'ollama', '--ollama-url', ollama, '--workers', '2', '--slots', '1')
    with product(tmp_path_factory.mktemp('ollama'), *flags, toml='') as desk:
        yield desk


@pytest_asyncio.fixture(loop_scope='session')
async def person(chromium):
    """A function that opens the desk as somebody with a browser of their own; no page may log an error."""
    contexts, wrong = [], []

    async def open_desk(desk, *, lang='en', path='/chat', **options):
        context = await chromium.new_context(
            locale=TAGS[lang], viewport={'width': 1440, 'height': 900}, permissions=['clipboard-read'], **options
        )
        contexts.append(context)
        visitor = Person(await context.new_page(), desk, lang)
        browser.listen(visitor.page, wrong)
        await visitor.go(path)
        return visitor

    yield open_desk
    for context in contexts:
        await context.close()
    assert wrong == []


class Person:
    """Somebody at the desk."""

    def __init__(self, page, desk, lang):
        self.page, self.desk, self.words = page, desk, WORDS[lang]
        self.box = page.locator('.composer textarea')
        self.answers = page.locator('.msg.answer')

    async def go(self, path):
        await self.page.goto(self.desk.url + path)
        await expect(self.box).to_be_editable()

    async def ask(self, question=None):
        await self.box.fill(question or self.words['question'])
        await self.box.press('Enter')

    async def begun(self, length=20):
        """Wait until so much of the last answer is there, and return what is there."""
        prose = self.answers.last.locator('.prose')
        await expect(prose).to_have_text(re.compile(f'.{{{length}}}', re.DOTALL))
        return await prose.inner_text()

    async def ended(self):
        """Wait for the end of the last answer, and return its text as the copy button gives it."""
        answer = self.answers.last
        await expect(answer.locator('.meta-do')).to_be_visible()
        await answer.locator('.meta').get_by_role('button', name=self.words['copy']).click()
        return await self.page.evaluate('navigator.clipboard.readText()')

    @property
    def conversation(self):
        """The id in the address."""
        return self.page.url.rpartition('/')[2]

    async def addressed(self):
        """Wait until the conversation has its address."""
        await self.page.wait_for_url(re.compile('/chat/[0-9a-f]{32}$'))
        return self.conversation

    def stored(self, role='assistant'):
        """The last message of a role in ``desk.db``: state, content, starts, losses."""
        connection = apsw.Connection(str(self.desk.data_dir / 'desk.db'), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            row = connection.execute(
                'SELECT state, content, stats FROM messages WHERE conversation_id = ? AND role = ? '
                'ORDER BY ordinal DESC LIMIT 1',
                (self.conversation, role),
            ).fetchone()
        finally:
            connection.close()
        stats = json.loads(row[2])
        return row[0], row[1], stats.get('starts', 0), stats.get('losses', 0)


@pytest.mark.parametrize('lang', ['en', 'zh'])
async def test_an_answer_of_the_demo_grows_and_is_what_the_engine_sent(demo_desk, person, lang):
    someone = await person(demo_desk, lang=lang)
    await someone.page.evaluate(WATCH)
    await someone.ask()
    await someone.addressed()
    sent = demo_text.answer(someone.words['question'])
    assert await someone.ended() == sent
    assert await someone.page.evaluate('lengths.size') > 5, 'it came in a few pieces'
    assert someone.stored()[:2] == ('completed', sent)
    await expect(someone.page).to_have_title(f'{someone.words["question"]} · Corral')
    await expect(someone.answers.last.locator('table')).to_be_visible()
    await expect(someone.page.locator('.conv.on')).to_contain_text(someone.words['question'])


@pytest.mark.parametrize('lang', ['en', 'zh'])
async def test_an_answer_of_ollama_grows_and_is_what_the_engine_sent(ollama_desk, person, hurry, lang):
    someone = await person(ollama_desk, lang=lang)
    await pick(someone, 'slow:latest')
    await someone.ask()
    before = await someone.begun(10)
    assert len(await someone.begun(len(before) + 40)) < len(LONG) * 0.8, 'it came in one piece'
    await someone.addressed()
    hurry()
    assert await someone.ended() == LONG
    assert someone.stored()[:2] == ('completed', LONG)


async def test_stop_stops_and_keeps_what_was_written(ollama_desk, person, hurry):
    someone = await person(ollama_desk)
    await pick(someone, 'slow:latest')
    await someone.ask()
    await someone.begun(60)
    await someone.page.locator('.composer-send', has_text='Stop').click()
    await expect(someone.answers.last).to_contain_text('Stopped.')
    await expect(someone.page.locator('.composer-send', has_text='Send')).to_be_visible()
    await someone.addressed()
    kept = await someone.ended()
    assert 40 < len(kept) < len(LONG) and LONG.startswith(kept)
    assert someone.stored()[:2] == ('cancelled', kept)


async def test_ten_reloads_in_one_answer_lose_and_repeat_nothing(ollama_desk, person, hurry):
    someone = await person(ollama_desk)
    await pick(someone, 'slow:latest')
    await someone.ask()
    await someone.addressed()
    for _ in range(10):
        await someone.page.reload()
        await expect(someone.answers).to_have_count(1)
    await expect(someone.page.locator('.composer-send')).to_have_text('Stop')  # all of them were in mid-answer
    hurry()
    assert await someone.ended() == LONG
    assert someone.stored()[:3] == ('completed', LONG, 1)


async def test_a_second_tab_and_one_that_was_cut_off_see_the_same(demo_desk, person):
    someone, other = await person(demo_desk), await person(demo_desk, lang='zh')
    await someone.ask()
    await other.go('/chat/' + await someone.addressed())
    await someone.page.context.set_offline(True)
    await other.begun(100)
    await someone.page.context.set_offline(False)
    sent = demo_text.answer(someone.words['question'])
    assert await other.ended() == sent
    assert await someone.ended() == sent


async def test_a_draft_survives_other_pages_other_conversations_and_a_reload(demo_desk, person):
    someone = await person(demo_desk)
    await someone.ask('first')
    first = await someone.addressed()
    await someone.ended()
    await someone.box.fill('a draft\nof two lines')
    await someone.page.locator('.rail a[href="/queue"]').click()
    await expect(someone.page.get_by_role('heading', name='Queue')).to_be_visible()
    await someone.page.locator('.rail a[href="/chat"]').click()
    await expect(someone.box).to_have_value('')
    await someone.box.fill('another one')
    await someone.page.locator(f'.conv[data-conversation="{first}"] a').click()
    await expect(someone.box).to_have_value('a draft\nof two lines')
    await someone.page.reload()
    await expect(someone.box).to_have_value('a draft\nof two lines')
    await someone.page.get_by_role('link', name='New conversation').first.click()
    await expect(someone.box).to_have_value('another one')


async def test_too_long_a_message_nothing_and_half_a_word_are_not_sent(demo_desk, person):
    someone = await person(demo_desk, lang='zh')
    await someone.box.evaluate(
        "(box) => { box.value = '长'.repeat(350_000); box.dispatchEvent(new Event('input', {bubbles: true})) }"
    )
    await expect(someone.page.locator('.composer-notice')).to_contain_text('1,050 kB，最多可以发送 400 kB')
    await someone.box.press('Enter')
    assert len(await someone.box.input_value()) == 350_000
    await expect(someone.page.locator('.msg')).to_have_count(0)
    await someone.box.fill('   \n ')
    await someone.box.press('Enter')
    await expect(someone.page.locator('.msg')).to_have_count(0)
    await someone.box.fill('')
    await enter_while_composing(someone)


async def enter_while_composing(someone):
    """It picks a word, and does not send."""
    await someone.box.focus()
    session = await someone.page.context.new_cdp_session(someone.page)
    await session.send('Input.imeSetComposition', {'text': 'ni hao', 'selectionStart': 6, 'selectionEnd': 6})
    await session.send('Input.dispatchKeyEvent', {'type': 'rawKeyDown', 'key': 'Enter', 'windowsVirtualKeyCode': 229})
    composing = "new KeyboardEvent('keydown', {key: 'Enter', isComposing: true, bubbles: true, cancelable: true})"
    await someone.box.evaluate(f'(box) => box.dispatchEvent({composing})')
    await session.send('Input.insertText', {'text': '你好'})
    await expect(someone.box).to_have_value('你好')
    await expect(someone.page.locator('.msg')).to_have_count(0)
    await someone.box.press('Shift+Enter')
    await someone.box.type('世界')
    await expect(someone.box).to_have_value('你好\n世界')
    await someone.box.press('Enter')
    await expect(someone.page.locator('.bubble')).to_have_text('你好\n世界')


async def test_half_an_emoji_and_a_message_just_below_the_limit_arrive_whatever_is_in_them(demo_desk, person):
    someone = await person(demo_desk)
    put = "(box, text) => { box.value = text; box.dispatchEvent(new Event('input', {bubbles: true})) }"
    half = "box => { box.value = 'half \\ud83d done'; box.dispatchEvent(new Event('input', {bubbles: true})) }"
    await someone.box.evaluate(half)
    await someone.box.press('Enter')
    await someone.addressed()
    await someone.ended()
    assert someone.stored('user')[1] == 'half \ufffd done'
    text = '"\\\n\x01🐎' * 49_990 + '.'
    assert len(text.encode()) > 399_000
    await someone.box.evaluate(put, text)
    await someone.box.press('Enter')
    await expect(someone.answers).to_have_count(2)
    await someone.ended()
    assert someone.stored('user')[1] == text


async def test_switching_the_language_keeps_the_draft_and_the_stream(ollama_desk, person, hurry):
    someone = await person(ollama_desk)
    await pick(someone, 'slow:latest')
    await someone.ask()
    await someone.addressed()
    await someone.box.fill('a draft')
    await someone.begun(60)
    await someone.page.get_by_role('button', name=re.compile('Language')).click()
    await expect(someone.page.locator('.composer-send')).to_have_text('随后发送')
    await expect(someone.page.locator('.composer-stop')).to_have_attribute('aria-label', '停止')
    hurry()
    someone.words = WORDS['zh'] | {'question': someone.words['question']}
    assert await someone.ended() == LONG
    await expect(someone.box).to_have_value('a draft')
    await expect(someone.page).to_have_title(f'{someone.words["question"]} · Corral')


async def test_a_conversation_is_renamed_deleted_and_brought_back(demo_desk, person):
    someone, other = await person(demo_desk), await person(demo_desk)
    await someone.ask('to be renamed')
    id_ = await someone.addressed()
    row = f'.conv[data-conversation="{id_}"]'
    await someone.page.locator('.page-bar').get_by_role('button', name='Rename').click()
    await someone.page.keyboard.type('Renamed <b>here</b>')
    await someone.page.keyboard.press('Enter')
    for each in (someone, other):
        await expect(each.page.locator(row)).to_contain_text('Renamed <b>here</b>')
    await someone.ended()
    await other.page.locator(f'{row} a').dblclick()
    await other.page.keyboard.type('going away')
    await other.page.keyboard.press('Enter')
    await expect(someone.page.locator('.page-bar h1')).to_contain_text('going away')
    await someone.page.locator(row).hover()
    await someone.page.locator(row).get_by_role('button', name='More:').click()
    await someone.page.get_by_role('menuitem', name='Delete').click()
    await expect(someone.page).to_have_url(re.compile('/chat$'))
    for each in (someone, other):
        await expect(each.page.locator(row)).to_have_count(0)
    await someone.page.get_by_role('button', name='Undo').click()
    await expect(someone.page).to_have_url(re.compile(id_))
    await expect(someone.page.locator('.bubble')).to_have_text('to be renamed')
    await expect(other.page.locator(row)).to_be_visible()
    await someone.page.get_by_label('Search conversations').fill('nothing is called so')
    await expect(someone.page.locator('.convs-none')).to_contain_text('nothing is called so')
    await someone.page.get_by_label('Search conversations').fill('GOING')
    await expect(someone.page.locator('.found')).to_have_count(1)


async def test_an_unknown_conversation_says_so_and_offers_a_new_one(demo_desk, person):
    someone = await person(demo_desk, path='/chat/0123456789abcdef')
    await expect(someone.page.get_by_role('heading', name='This conversation is not here')).to_be_visible()
    await someone.page.locator('.empty').get_by_role('link', name='New conversation').click()
    await expect(someone.page.get_by_role('heading', name='What would you like to know?')).to_be_visible()
    await someone.page.get_by_role('button', name='Compare tea and coffee in a table.').click()
    await expect(someone.box).to_have_value('Compare tea and coffee in a table.')
    await expect(someone.box).to_be_focused()
    await someone.box.press('Enter')
    await someone.addressed()
    await someone.page.go_back()
    await expect(someone.page.get_by_role('heading', name='This conversation is not here')).to_be_visible()


async def test_priority_and_model_are_remembered_and_reached_by_keys(demo_desk, person):
    someone = await person(demo_desk)
    await someone.page.get_by_role('radio', name='Normal').focus()
    await someone.page.keyboard.press('ArrowRight')
    await expect(someone.page.get_by_role('radio', name='High')).to_be_checked()
    await expect(someone.page.get_by_role('radio', name='High')).to_be_focused()
    await someone.page.reload()
    await expect(someone.page.get_by_role('radio', name='High')).to_be_checked()
    await someone.ask('urgent')
    await someone.ended()
    await expect(someone.page.locator('.inspector')).to_contain_text('High')
    await someone.page.locator('.composer-model').press('Enter')
    await expect(someone.page.get_by_role('menuitemradio', name='demo')).to_be_focused()


async def test_a_failed_answer_says_why_and_can_be_tried_again(ollama_desk, person, ollama):
    someone = await person(ollama_desk)
    await pick(someone, 'error-mid:latest')
    await someone.ask()
    await expect(someone.answers.last.locator('.trouble')).to_be_visible()
    await someone.addressed()
    assert someone.stored()[0] == 'dead'
    teach(ollama, 'error-mid:latest', text=LONG)
    await someone.answers.last.get_by_role('button', name='Retry').click()
    await expect(someone.answers.last.locator('.trouble')).to_have_count(0)
    assert await someone.ended() == LONG


async def test_a_killed_worker_is_told_and_its_answer_completes(ollama_desk, person, hurry):
    someone = await person(ollama_desk)
    await pick(someone, 'slow:latest')
    await someone.ask()
    await someone.addressed()
    await someone.begun(30)
    name = (await someone.page.locator('.inspector .kv').inner_text()).partition('Worker')[2].split()[0]
    old = ollama_desk.kill(f'worker-{name.rpartition(":")[2]}')
    await expect(someone.answers.last).to_contain_text('The worker was lost')
    hurry()
    assert await someone.ended() == LONG
    assert someone.stored() == ('completed', LONG, 2, 1)
    await asyncio.to_thread(ollama_desk.wait_restarted, f'worker-{name.rpartition(":")[2]}', old)


async def test_a_killed_broker_comes_back_and_the_answer_completes_without_a_second_run(ollama_desk, person, hurry):
    someone = await person(ollama_desk)
    await pick(someone, 'slow:latest')
    await someone.ask()
    await someone.addressed()
    await someone.begun(30)
    old = ollama_desk.kill('broker')
    await asyncio.to_thread(ollama_desk.wait_restarted, 'broker', old)
    hurry()
    assert await someone.ended() == LONG
    assert someone.stored() == ('completed', LONG, 1, 0)


async def test_the_page_fits_every_width(demo_desk, person):
    someone = await person(demo_desk, lang='zh')
    sheet = someone.page.locator('.pane-list')
    for width in (390, 768, 1440):
        await someone.page.set_viewport_size({'width': width, 'height': 800})
        await expect(sheet).to_be_visible(visible=width > 900)
        assert await someone.page.evaluate('document.documentElement.scrollWidth') <= width
        if width < 900:
            await someone.page.get_by_role('button', name='对话列表').click()
            await expect(sheet).to_be_visible()
            await someone.page.keyboard.press('Escape')
            await expect(sheet).to_be_hidden()
        box = await someone.page.locator('.composer').bounding_box()
        assert box['x'] >= 0 and box['x'] + box['width'] <= width
        assert (await someone.box.bounding_box())['height'] < 60, 'an empty message is one line'


async def test_days_and_times_of_the_list_follow_the_local_clock(demo_desk, person):
    someone = await person(demo_desk, timezone_id='Asia/Shanghai')
    times = await someone.page.evaluate(
        """async () => {
            const entry = performance.getEntriesByType('resource').find(({name}) => name.includes('conversation_list'));
            const {groupOf, shortTime} = await import(entry.name);
            const now = new Date(2026, 10, 22, 0, 5).getTime(), labels = {now: 'now', minutes: '{n} min'};
            const at = [[22, 0, 5], [21, 23, 30], [21, 0, 0], [20, 23, 59], [16, 0, 0], [15, 23, 59], [-300, 0, 0]];
            return at.map(([day, hour, minute]) => new Date(2026, 10, day, hour, minute).getTime())
                .map((time) => [groupOf(time, now), shortTime(time, now, 'en-US', labels)]);
        }"""
    )
    assert times == [
        ['today', 'now'],
        ['yesterday', '35 min'],
        ['yesterday', '00:00'],
        ['week', 'Fri'],
        ['week', 'Mon'],
        ['earlier', 'Nov 15'],
        ['earlier', 'Jan 4'],
    ]


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


async def test_files_waiting_messages_versions_and_a_comparison(ollama_desk, person, ollama):
    someone = await person(ollama_desk)
    page, bubbles = someone.page, someone.page.locator('.bubble')
    teach(ollama, 'brief:latest', text='One two three, $x^2$ and\n\n$$\\frac{1}{2}$$', chars_per_s=25)
    await page.reload()
    await pick(someone, 'brief:latest')
    await someone.box.evaluate(PASTE)
    await expect(page.locator('.composer-notice')).to_contain_text('tool.bin is neither a picture nor a text')
    await expect(page.locator('.attached li:not(.busy)')).to_have_count(2)
    await someone.ask('one')
    await expect(page.locator('.files img')).to_have_js_property('naturalWidth', 1600)
    await expect(page.locator('.files')).to_contain_text('data.csv')
    await someone.ask('two')
    await page.locator('.next').get_by_role('button', name='Edit this message').click()
    await page.locator('.next textarea').fill('second')
    await page.locator('.next textarea').press('Enter')
    await expect(bubbles.last).to_have_text('second')
    await expect(page.locator('.next')).to_have_count(0)
    await someone.ended()
    await expect(someone.answers.last.locator('.katex')).to_have_count(2)
    teach(ollama, 'brief:latest', text=LONG, chars_per_s=30)
    await someone.answers.last.get_by_role('button', name='Regenerate', exact=True).click()
    await expect(someone.answers.last).to_contain_text('句')
    await page.locator('.composer-send', has_text='Stop').click()
    await expect(someone.answers.last).to_contain_text('Stopped.')
    teach(ollama, 'brief:latest', text=' and so on', chars_per_s=400)
    await expect(someone.answers.last.locator('.turns')).to_contain_text('2/2')
    await someone.answers.last.get_by_role('button', name='Continue').click()
    await expect(someone.answers.last).to_contain_text('and so on')
    await someone.answers.last.get_by_role('button', name='The version before').click()
    await expect(someone.answers.last.locator('.turns')).to_contain_text('1/2')
    await page.locator('.msg.user').first.hover()
    await page.locator('.msg.user').first.get_by_role('button', name='Edit').click()
    await page.locator('.edit textarea').fill('anew')
    await page.locator('.edit textarea').press('Enter')
    await expect(bubbles).to_have_text(['anew'])
    await page.reload()
    await expect(page.locator('.msg.user .turns')).to_contain_text('2/2')
    await expect(bubbles).to_have_text(['anew'])
    await someone.ended()
    await page.locator('.composer-more').click()
    await page.get_by_role('menuitem', name='Compare with another model').click()
    await page.locator('.composer-beside select').select_option('long:latest')
    await someone.ask('which?')
    await expect(page.locator('.pair .msg')).to_have_count(2)
    first, second = await page.evaluate(SIDES)
    assert first['right'] <= second['left'] and first['top'] == second['top'], 'side by side'
    await page.locator('.pair .keep').nth(1).click(timeout=15_000)
    await expect(page.locator('.pair')).to_have_count(0)
    await expect(someone.answers.last).to_contain_text('long:latest')


async def test_settings_presets_prompts_and_a_suggested_question(demo_desk, person):
    someone = await person(demo_desk, lang='zh')
    page, panel = someone.page, someone.page.locator('.side-sheet')
    await page.get_by_role('button', name='模型设置').click()
    await panel.get_by_label('温度').fill('9')
    await expect(panel.locator('.control-error')).to_have_text('请填 0 到 2 之间的数。')
    await expect(panel.get_by_role('button', name='应用')).to_be_disabled()
    await panel.get_by_label('温度').fill('0.5')
    await panel.get_by_label('上下文长度').fill('4096')
    await expect(panel.locator('.options-note')).to_contain_text('重新加载模型')
    await panel.get_by_role('button', name='存为预设').click()
    await panel.get_by_label('预设名称').fill('简短')
    await page.keyboard.press('Enter')
    await panel.get_by_role('button', name='新对话默认使用这个预设').click()
    await panel.get_by_role('button', name='应用').click()
    await expect(panel).to_be_hidden()
    await page.reload()
    await page.get_by_role('button', name='模型设置').click()
    await expect(panel.get_by_label('温度')).to_have_value('0.5')
    await panel.get_by_role('button', name='删除这个预设').click()
    await expect(panel.locator('select option')).to_have_count(1)
    await page.keyboard.press('Escape')
    await someone.box.press_sequentially('/翻译')
    await someone.box.press('Enter')
    await page.keyboard.type('法语')
    await someone.box.press('Tab')
    await page.keyboard.type('你好')
    await expect(someone.box).to_have_value('翻译成法语，保持语气和格式：\n\n你好')
    await someone.box.fill('')
    await page.locator('.composer-more').click()
    await page.get_by_role('menuitem', name='帮我想一个问题').click()
    await expect(someone.box).to_have_value('大家都着急的时候，队列怎么决定谁先来？')


async def pick(someone, model):
    """Pick a model by its name."""
    await someone.page.locator('.composer-model').click()
    await someone.page.get_by_label('Search models' if someone.words is WORDS['en'] else '搜索模型').fill(model)
    await someone.page.get_by_role('menuitemradio', name=model).click()
