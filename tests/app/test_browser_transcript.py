"""The transcript in a browser: texts arrive whole, hostile ones do nothing, long ones do not make it stutter."""

import asyncio
import os
import re
import subprocess
import sys
import time

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import TimeoutError, expect

from app import i18n
from tests import browser
from tests.app import hostile_markdown
from tests.conftest import ROOT, clean_environment

pytestmark = [*browser.MARKS]

ANSWER = {
    'id': 'a1', 'role': 'assistant', 'text': '', 'thinking': '', 'at': 1.7e9, 'state': 'running', 'job': 'j1',
    'model': 'demo', 'priority': 5, 'ahead': None, 'limit': 1000, 'reason': '', 'due': 0, 'queued': 1.7e9,
    'started': 1.7e9, 'tokens': 0, 'rate': 0.0, 'note': '', 'starts': 1, 'losses': 0, 'failures': 0, 'worker': '',
    'engine': '', 'waited': 1, 'first': 0.5, 'ran': 2, 'truncated': False, 'done_reason': '', 'code': '',
    'detail': '', 'epoch': 1,
}  # fmt: skip
QUESTION = ANSWER | {'id': 'u1', 'role': 'user', 'state': '', 'text': 'Why?\n  Because.', 'job': ''}
DONE = ANSWER | {'state': 'completed'}
LINE = '第一行：你好，世界！«naïve» 😀👩‍👩‍👧 1 < 2 & 3 > 2; "quotes" 和 tail.'
SHOWN = """() => { const copy = document.querySelector('[data-message=a1] .prose')?.cloneNode(true);
  copy?.querySelectorAll('br').forEach((br) => br.replaceWith('\\n')); return copy?.textContent; }"""
ELEMENT = "getElement(Number(document.querySelector('.transcript').id.slice(1)))"
FORBIDDEN = """() => {
  const tags = new Set(['SCRIPT', 'STYLE', 'IFRAME', 'IMG', 'VIDEO', 'AUDIO', 'FORM', 'INPUT', 'OBJECT', 'EMBED',
    'LINK', 'META', 'BASE', 'SVG', 'MATH', 'TEXTAREA', 'TEMPLATE', 'NOSCRIPT', 'MARQUEE']);
  const attributes = new Set(['style', 'id', 'name', 'src', 'srcset', 'srcdoc', 'poster', 'action']);
  const found = [];
  for (const el of document.querySelectorAll('.transcript-column *')) {
    if (el.closest('.katex')) {  // a formula is drawn with styles and MathML; nothing in it leads or loads anywhere
      const leads = /^(on.*|xlink:href|href|src|srcset|id|action)$/;
      if ([...el.attributes].some(({ name }) => leads.test(name))) found.push(el.outerHTML);
      continue;
    }
    if (tags.has(el.tagName.toUpperCase())) found.push(el.outerHTML);
    for (const { name, value } of el.attributes) {
      if (name.startsWith('on') || (name === 'href' && !/^(https?:|mailto:)/.test(value))) found.push(el.outerHTML);
      if (el.parentElement.closest('.prose') && attributes.has(name)) found.push(el.outerHTML);
    }
    const safe = el.target === '_blank' && el.rel === 'noopener noreferrer nofollow';
    if (el.tagName === 'A' && !safe) found.push(el.outerHTML);
  }
  return found;
}"""
FROM_END = """(() => {
  const { scrollHeight, scrollTop, clientHeight } = document.querySelector('.transcript-scroll');
  return scrollHeight - scrollTop - clientHeight;
})()"""
WATCH = """() => {
  window.pauses = []; window.drawn = 0;
  const note = (list) => list.getEntries().forEach((entry) => pauses.push(Math.round(entry.duration)));
  new PerformanceObserver(note).observe({ type: 'longtask' });
  const count = () => { drawn++; requestAnimationFrame(count); };
  count();
}"""
NO_CLIPBOARD = """() => {
  Object.defineProperty(navigator, 'clipboard', { value: undefined, configurable: true });
  document.addEventListener('copy', () => { window.copied = document.activeElement.value; });
}"""
PAINTED = 'new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done))))'


class Desk:
    """The page of ``transcript_desk`` in one browser tab."""

    def __init__(self, url, page, wrong, foreign):
        self.url = url
        self.page = page
        self.wrong = wrong
        self.foreign = foreign
        self.lang = 'en'
        self._http = httpx.AsyncClient(base_url=url, timeout=30)

    async def tell(self, place, content):
        (await self._http.post(place, json=content)).raise_for_status()

    async def speak(self, lang):
        """Use the page in this language from now on."""
        if lang != self.lang:
            self.lang = lang
            await self.page.context.add_cookies([{'name': i18n.COOKIE, 'value': lang, 'url': self.url}])
            await self.page.reload()
            await expect(self.page.get_by_text('Nothing yet')).to_be_visible()

    def say(self, msgid, **values):
        """A text of the desk."""
        return i18n.tr(self.lang, msgid, **values)

    def button(self, msgid):
        """The button of this name."""
        return self.page.get_by_role('button', name=self.say(msgid), exact=True)

    async def wishes(self):
        return (await self._http.get('/wishes')).json()

    async def shows(self, text):
        """Wait until the answer reads exactly so."""
        try:
            await self.page.wait_for_function(f'(wanted) => ({SHOWN})() === wanted', arg=text, timeout=40_000)
        except TimeoutError:
            assert await self.page.evaluate(f'({SHOWN})()') == text

    async def draws(self, whole):
        """Wait until the answer is drawn exactly so; a busy machine takes many frames for it."""
        try:
            drawn = "(wanted) => document.querySelector('.prose')?.innerHTML === wanted"
            await self.page.wait_for_function(drawn, arg=whole, timeout=40_000)
        except TimeoutError:
            assert await self.page.locator('.prose').inner_html() == whole

    async def close(self):
        await self._http.aclose()


@pytest.fixture(scope='module')
def url():
    process = subprocess.Popen(
        [sys.executable, '-m', 'tests.app.transcript_desk'],
        cwd=ROOT, env=clean_environment() | {'PYTHONPATH': os.fspath(ROOT)}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    yield f'http://127.0.0.1:{process.stdout.readline().strip()}'
    process.terminate()
    process.wait(40)
    process.stdout.close()


@pytest_asyncio.fixture(scope='module', loop_scope='session')
async def tab(url, chromium):
    context = await chromium.new_context(locale='en-US', viewport={'width': 1000, 'height': 700})
    page = await context.new_page()
    wrong, foreign = [], []
    await browser.listen(page, wrong)
    page.on('dialog', lambda dialog: wrong.append(dialog.message))
    context.on('request', lambda r: None if r.url.startswith((url, 'data:', 'blob:')) else foreign.append(r.url))
    await page.goto(url)
    desk = Desk(url, page, wrong, foreign)
    await page.wait_for_selector('.transcript', state='attached')
    yield desk
    await desk.close()
    await context.close()


@pytest_asyncio.fixture(loop_scope='session')
async def desk(tab):
    tab.wrong.clear()
    await tab.tell('/panel', {'name': 'on'})
    await tab.tell('/show', [])
    await expect(tab.page.get_by_text('Nothing yet')).to_be_visible()
    await tab.speak('en')
    return tab


async def test_a_streamed_text_arrives_byte_for_byte(desk):
    text = '\n'.join([LINE] * 30)
    await desk.tell('/show', [QUESTION, ANSWER])
    await desk.tell('/stream', {'message': ANSWER | {'text': text}, 'step': 7, 'pause_s': 0.001})
    await desk.tell('/one', DONE | {'text': text})
    await desk.shows(text)
    assert await desk.page.locator('.bubble').text_content() == 'Why?\n  Because.'
    assert desk.wrong == []


async def test_appends_that_come_twice_or_overlap_change_nothing(desk):
    await desk.tell('/show', [ANSWER | {'text': 'one two'}])
    await desk.shows('one two')
    for delta, offset in (('two', 4), ('e two thr', 2), ('one two three', 0), (' three', 7), ('', 13), (' four', 13)):
        assert await desk.page.evaluate(f"(a) => {ELEMENT}.append('a1', 1, ...a)", [delta, offset])
    await desk.shows('one two three four')


async def test_an_append_that_does_not_fit_fetches_the_truth(desk):
    await desk.tell('/show', [ANSWER | {'text': 'one two'}])
    await desk.shows('one two')
    for epoch, offset, message in ((1, 99, 'a1'), (2, 7, 'a1'), (1, 0, 'a9')):
        await desk.page.evaluate(f"{ELEMENT}.sources.get('a1').text = 'wrong'")
        assert not await desk.page.evaluate(f'(a) => {ELEMENT}.append(...a)', [message, epoch, 'x', offset])
        await desk.shows('one two')


async def test_what_was_told_while_it_was_not_on_the_page_is_there_afterwards(desk):
    await desk.tell('/show', [QUESTION, ANSWER | {'text': 'one'}])
    await desk.shows('one')
    await desk.tell('/panel', {'name': 'off'})
    await expect(desk.page.locator('.transcript')).to_have_count(0)
    await desk.tell('/one', ANSWER | {'text': 'one two'})
    await desk.tell('/one', DONE | {'text': 'one two three'})
    await desk.tell('/panel', {'name': 'on'})
    await desk.shows('one two three')
    await expect(desk.page.get_by_role('button', name='Regenerate', exact=True)).to_be_visible()
    await desk.tell('/one', DONE | {'text': 'one two three four'})
    await desk.shows('one two three four')
    await desk.page.reload()
    await desk.shows('one two three four')


async def test_a_new_epoch_starts_over(desk):
    await desk.tell('/show', [ANSWER | {'text': 'first **try'}])
    await desk.shows('first **try')
    await desk.tell('/one', ANSWER | {'epoch': 2, 'note': 'worker_lost'})
    await desk.tell('/one', ANSWER | {'epoch': 2, 'note': 'worker_lost', 'text': 'second'})
    await desk.shows('second')
    await expect(desk.page.get_by_text('The worker was lost; another one started again.')).to_be_visible()


async def test_a_stream_ends_as_the_whole_text_would(desk):
    text = (ROOT / 'tests/app/answer.md').read_text()
    await desk.tell('/show', [DONE | {'text': text}])
    await desk.page.wait_for_function("document.querySelector('.prose')?.textContent.includes('Last words')")
    await desk.page.evaluate(PAINTED)
    whole = await desk.page.locator('.prose').inner_html()
    assert await desk.page.locator('.prose .code').count() == 4
    for step in (3, 41):
        await desk.tell('/show', [])
        await desk.tell('/show', [ANSWER])
        await desk.tell('/stream', {'message': ANSWER | {'text': text}, 'step': step, 'pause_s': 0.002})
        await desk.tell('/one', DONE | {'text': text})
        await desk.page.wait_for_selector('[data-message=a1].completed')
        await desk.draws(whole)


async def test_blocks_that_are_complete_are_not_drawn_again(desk):
    await desk.tell('/show', [ANSWER | {'text': 'one\n\ntwo\n\nthree'}])
    await desk.shows('onetwothree')
    await desk.page.evaluate("document.querySelector('.prose p').kept = true")
    await desk.tell('/one', ANSWER | {'text': 'one\n\ntwo\n\nthree\n\nfour'})
    await desk.tell('/one', DONE | {'text': 'one\n\ntwo\n\nthree\n\nfour\n\nfive'})
    await desk.shows('onetwothreefourfive')
    assert await desk.page.evaluate("document.querySelector('.prose p').kept")


async def test_hostile_answers_run_nothing_and_fetch_nothing(desk):
    assert len(hostile_markdown.ALL) >= 150
    messages = [
        DONE | {'id': f'h{number}', 'text': f'before\n\n{text}\n\nafter', 'thinking': text, 'detail': text}
        for number, text in enumerate(hostile_markdown.SHORT)
    ]
    await desk.tell('/show', messages)
    drawn = "[...document.querySelectorAll('.prose')].filter((el) => el.textContent.includes('before')).length"
    await desk.page.wait_for_function(f'{drawn} === {len(messages)}')
    await desk.page.evaluate(PAINTED)
    await expect(desk.page.locator('.prose a').nth(3), 'honest links stay links').to_be_attached()
    await expect(desk.page.locator('.prose .picture').nth(3), 'pictures are named').to_be_attached()
    assert await desk.page.evaluate(FORBIDDEN) == []
    assert await desk.page.evaluate("typeof pwned === 'undefined' && document.body.offsetHeight > 100")
    assert desk.foreign == [] and desk.wrong == []


async def test_texts_made_to_be_slow_do_not_stop_the_page(desk):
    slow = []
    for number, text in enumerate(hostile_markdown.BULK):
        await desk.page.evaluate('window.start = performance.now()')
        await desk.tell('/show', [(DONE if number % 2 else ANSWER) | {'text': f'before\n\n{text}\n\nafter'}])
        await desk.page.wait_for_function("document.querySelector('.prose')?.textContent.includes('before')")
        took = await desk.page.evaluate(f'{PAINTED}.then(() => performance.now() - start)')
        slow.append((round(took), text[:12]))
    assert await desk.page.evaluate(FORBIDDEN) == []
    assert desk.foreign == [] and desk.wrong == []
    print('slowest to draw, in ms:', sorted(slow)[-5:])


async def test_hostile_answers_do_nothing_while_they_grow(desk):
    text = '\n\n'.join(payload for payload in hostile_markdown.ALL if len(payload) < 200)
    await desk.tell('/show', [ANSWER])
    await desk.tell('/stream', {'message': ANSWER | {'text': text}, 'step': 5, 'pause_s': 0.001})
    await desk.tell('/one', DONE | {'text': text})
    await desk.page.wait_for_selector('[data-message=a1].completed')
    await expect(desk.page.locator('.prose a').first).to_be_attached()
    links = "links => links.map((a) => a.getAttribute('href'))"
    for address in await desk.page.locator('.prose a').evaluate_all(links):
        assert re.match(r'https?://|mailto:', address)
    assert await desk.page.evaluate("typeof pwned === 'undefined'")
    assert desk.foreign == [] and desk.wrong == []


async def test_a_long_answer_at_full_speed_is_drawn_without_long_pauses(desk):
    text = ((ROOT / 'tests/app/answer.md').read_text() * 40)[:32_000]
    await desk.page.evaluate(WATCH)
    await desk.tell('/show', [QUESTION, ANSWER])
    await desk.tell('/stream', {'message': ANSWER | {'text': text}, 'step': 200, 'pause_s': 0.02})
    await desk.tell('/one', DONE | {'text': text})
    await desk.page.wait_for_selector('[data-message=a1].completed')
    await desk.page.evaluate(PAINTED)
    pauses, drawn = await desk.page.evaluate('[pauses, drawn]')
    print(f'8,000 tokens: {len(pauses)} pauses over 50 ms, the longest {max(pauses, default=0)} ms; {drawn} frames')
    assert await desk.page.evaluate(f"{ELEMENT}.sources.get('a1').text") == text
    await desk.page.wait_for_function(f'{FROM_END} < 50')


async def test_it_follows_the_end_until_one_scrolls_up(desk):
    text = '\n\n'.join(f'Paragraph {n}' for n in range(60))
    at_end = f'{FROM_END} < 5'
    await desk.tell('/show', [QUESTION, ANSWER | {'text': text}])
    await expect(desk.page.get_by_text('Paragraph 59')).to_be_in_viewport()
    await desk.page.wait_for_function(at_end)
    jump = desk.page.get_by_role('button', name='Jump to the latest')
    await expect(jump).to_be_hidden()
    await desk.page.mouse.move(500, 300)
    await desk.page.mouse.wheel(0, -900)
    await expect(jump).to_be_visible()
    top = await desk.page.evaluate("document.querySelector('.transcript-scroll').scrollTop")
    await desk.tell('/one', ANSWER | {'text': text + '\n\nmore\n\nand more'})
    await expect(desk.page.get_by_text('and more')).to_be_attached()
    assert abs(await desk.page.evaluate("document.querySelector('.transcript-scroll').scrollTop") - top) < 2
    await jump.click()
    await desk.page.wait_for_function(at_end)
    await expect(jump).to_be_hidden()


@pytest.mark.parametrize('lang', ['en', 'zh'])
async def test_an_answer_that_ends_early_says_why(desk, lang):
    await desk.speak(lang)
    await desk.tell('/show', [DONE | {'text': 'one', 'done_reason': 'stop'}])
    note = desk.page.locator('.msg.answer .note')
    await expect(desk.page.locator('.msg.answer')).to_contain_text('one')
    await expect(note).to_have_count(0)
    await desk.tell('/show', [DONE | {'text': 'one two', 'done_reason': 'length'}])
    await expect(note).to_have_text(desk.say('The answer ends here because it reached the limit of length.'))
    await desk.tell('/show', [DONE | {'text': 'one three', 'done_reason': 'stop', 'truncated': True}])
    await expect(note).to_have_text(desk.say('The model stopped here without saying that it was done.'))


@pytest.mark.parametrize('lang', ['en', 'zh'])
async def test_buttons_say_what_the_user_wants(desk, lang):
    await desk.speak(lang)
    before = len(await desk.wishes())
    await desk.tell('/show', [ANSWER | {'state': 'waiting', 'ahead': 2}])
    await expect(desk.page.locator('.wait-big')).to_have_text(desk.say('{n} ahead of you', n=2))
    await desk.button('Change the priority').click()
    await desk.page.get_by_role('menuitemradio', name=desk.say('High')).click()
    await desk.button('Cancel').click()
    await expect(desk.button('Cancelling…')).to_be_disabled()
    await desk.tell('/one', ANSWER)
    await desk.button('Stop').click()
    await desk.tell('/one', ANSWER | {'state': 'dead', 'code': 'model_not_found', 'detail': "model 'demo' not found"})
    what = desk.say('Ollama does not have the model {model}.', model='demo')
    await expect(desk.page.locator('.trouble-what')).to_have_text(what)
    await desk.page.get_by_text(desk.say('Details')).click()
    await expect(desk.page.get_by_text("model 'demo' not found")).to_be_visible()
    await desk.button('Retry').click()

    async def told():
        return (await desk.wishes())[before:]

    async with asyncio.timeout(40):
        while len(await told()) < 4:
            await desk.page.evaluate(PAINTED)
    assert await told() == [['priority', 'j1', 10], ['stop', 'j1'], ['stop', 'j1'], ['retry', 'a1']]


@pytest.mark.parametrize('lang', ['en', 'zh'])
async def test_a_faster_model_is_offered_and_asked_for_at_a_click(desk, lang):
    await desk.speak(lang)
    before = len(await desk.wishes())
    waiting = ANSWER | {'id': 'w1', 'state': 'waiting', 'reason': 'ahead', 'ahead': 2, 'will_load': 9.1}
    await desk.tell('/show', [waiting | {'other': 'qwen3:8b', 'other_at': time.time() + 60}])
    ahead, load = desk.say('{n} ahead of you', n=2), desk.say('then a {time} model load', time=desk.say('{n} s', n=9))
    await expect(desk.page.locator('.wait-big')).to_have_text(ahead + {'en': ', ', 'zh': '，'}[lang] + load)
    offer = desk.page.locator('.wait-other')
    later = {'en': r'qwen3:8b would start in about (55 s|1 min)', 'zh': r'qwen3:8b.*(55|1 分)'}[lang]
    await expect(offer).to_have_text(re.compile(later))
    card = await desk.page.locator('.wait').bounding_box()
    await desk.tell('/one', waiting | {'other': '', 'other_at': 0})
    await desk.tell('/one', waiting | {'other': 'qwen3:8b', 'other_at': time.time()})
    now = desk.say('{model} could start now — use it instead', model='qwen3:8b')
    await expect(offer).to_have_text(now)
    assert await desk.page.locator('.wait').bounding_box() == card, 'nothing moved'
    await offer.click()
    await expect(offer).to_have_text(desk.say('Changing to {model}…', model='qwen3:8b'))
    await expect(offer).to_be_disabled()
    await expect(desk.button('Cancel')).to_be_disabled()
    await desk.tell('/one', ANSWER | {'id': 'w1'})
    await expect(offer).to_have_count(0)
    assert (await desk.wishes())[before:] == [['other', 'j1', 'qwen3:8b']]


async def test_an_offer_appears_when_it_lasts_and_keeps_its_place_when_it_goes(desk):
    seen = await desk.page.evaluate(
        """async () => {
            const { Offer } = await import(performance.getEntriesByType('resource').find(({ name }) => name.includes('offer')).name);
            const told = (steps) => { const offer = new Offer(); return steps.map(([model, clock]) => {
                const shown = offer.see(model, 100, clock); return shown && [shown.model, shown.open]; }); };
            return [
                told([['', 0], ['a', 1], ['a', 2], ['', 2.2], ['a', 2.4], ['a', 3], ['a', 4]]),
                told([['a', 0], ['', 1], ['', 3], ['a', 3.2], ['', 4], ['', 7], ['', 9]]),
                told([['a', 0], ['b', 1], ['a', 1.5], ['b', 2], ['b', 3.6]]),
            ];
        }"""  # noqa: E501
    )
    assert seen == [
        [None, None, None, None, None, None, ['a', True]],
        [['a', True], ['a', True], ['a', True], ['a', True], ['a', True], ['a', False], ['a', False]],
        [['a', True], ['a', True], ['a', True], ['a', True], ['b', True]],
    ]


async def test_a_wait_that_nobody_can_end_says_what_would_help(desk):
    stuck = ANSWER | {'state': 'waiting', 'reason': 'no_worker', 'ahead': 0, 'model': 'big'}
    help_of = {
        'start_worker': ('No machine is connected right now.', 'start Corral again with: python3 run.py'),
        'start_engine': ('No engine answers right now', 'This starts Ollama: ollama serve'),
        'pull_model': ('No machine has the model big right now.', 'it starts by itself: ollama pull big'),
        'group': ('Only the machines of its group may run big', 'it starts by itself: ollama pull big'),
        'failing': ('The machines that have big are out of order', 'It starts as soon as one of them is back.'),
    }
    for hint, (what, todo) in help_of.items():
        await desk.tell('/show', [stuck | {'hint': hint}])
        await expect(desk.page.locator('.wait-big')).to_contain_text(what)
        await expect(desk.page.locator('.wait-why')).to_contain_text(todo)
    await desk.tell('/show', [ANSWER | {'state': 'unsent', 'code': 'queue_full', 'retry_after': 5}])
    await expect(desk.page.locator('.trouble-what')).to_contain_text('the queue is full. Retry in about 5 s.')


async def test_copying_works_without_the_clipboard_and_says_so(desk):
    await desk.page.evaluate(NO_CLIPBOARD)
    await desk.tell('/show', [DONE | {'text': 'Some **bold** text\n\n```python\nx = 1\n```'}])
    await desk.page.locator('.meta').get_by_role('button', name='Copy').click()
    await expect(desk.page.locator('.meta').get_by_role('button', name='Copied')).to_be_visible()
    assert await desk.page.evaluate('copied') == 'Some **bold** text\n\n```python\nx = 1\n```'
    await desk.page.locator('.code').get_by_role('button', name='Copy').click()
    await expect(desk.page.locator('.code').get_by_role('button', name='Copied')).to_be_visible()
    assert await desk.page.evaluate('copied') == 'x = 1'
    await desk.page.evaluate('document.execCommand = () => false')
    await desk.page.locator('.meta').get_by_role('button', name='Copied').click()
    await expect(desk.page.locator('.meta').get_by_role('button', name='Press Ctrl + C')).to_be_visible()
