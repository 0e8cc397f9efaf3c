"""Chatting with the demo engine in a browser: answers, drafts, what may not be sent, names, keys, settings, widths."""

import re

import pytest
import pytest_asyncio
from playwright.async_api import expect

from tests import browser
from tests.app.visitor import product, visitors
from workers.engines import demo_text

pytestmark = [*browser.MARKS, pytest.mark.whole]

# notes how long the answer is whenever the page changes
WATCH = """() => {
  window.lengths = new Set();
  const note = () => lengths.add(document.querySelector('.msg.answer .prose')?.textContent.length ?? 0);
  new MutationObserver(note).observe(document.body, {subtree: true, childList: true, characterData: true});
}"""


@pytest.fixture(scope='module')
def demo_desk(tmp_path_factory):
    """At a speed where an answer takes some two seconds."""
    flags = ('--engine', 'demo', '--workers', '2', '--slots', '2')
    with product(tmp_path_factory.mktemp('demo'), *flags, toml='[worker]\ndemo_chars_per_s = 600\n') as desk:
        yield desk


@pytest_asyncio.fixture(loop_scope='session')
async def person(tabs):
    async with visitors(tabs) as open_desk:
        yield open_desk


@pytest.mark.parametrize('lang', ['en', 'zh'])
async def test_an_answer_grows_and_is_what_the_engine_sent(demo_desk, person, lang):
    someone = await person(demo_desk, lang=lang, **(browser.LIVELY if lang == 'zh' else {}))
    await someone.page.evaluate(WATCH)
    await someone.ask()
    await someone.addressed()
    sent = demo_text.answer(someone.question)
    assert await someone.ended() == sent
    assert await someone.page.evaluate('lengths.size') > 2, 'it came in pieces'
    assert (await someone.stored())[:2] == ('completed', sent)
    await expect(someone.page).to_have_title(f'{someone.question} · Corral')
    await expect(someone.answers.last.locator('table')).to_be_visible()
    await expect(someone.page.locator('.conv.on')).to_contain_text(someone.question)


async def test_a_second_tab_and_one_that_was_cut_off_see_the_same(demo_desk, person):
    someone, other = await person(demo_desk), await person(demo_desk, lang='zh')
    await someone.ask()
    await other.go('/chat/' + await someone.addressed())
    await someone.page.context.set_offline(True)
    await other.begun(100)
    await someone.page.context.set_offline(False)
    sent = demo_text.answer(someone.question)
    assert await other.ended() == sent
    assert await someone.ended() == sent


async def test_a_draft_survives_other_pages_other_conversations_a_reload_and_another_language(demo_desk, person):
    someone = await person(demo_desk)
    await someone.ask('first')
    first = await someone.addressed()
    await someone.ended()
    await someone.box.fill('a draft\nof two lines')
    await someone.page.locator('.rail a[href="/queue"]').click()
    await expect(someone.page.get_by_role('heading', name=someone.say('Queue'))).to_be_visible()
    await someone.page.locator('.rail a[href="/chat"]').click()
    await expect(someone.box).to_have_value('')
    await someone.box.fill('another one')
    await someone.page.locator(f'.conv[data-conversation="{first}"] a').click()
    await expect(someone.box).to_have_value('a draft\nof two lines')
    await someone.speak('zh')
    await someone.page.reload()
    await expect(someone.box).to_have_value('a draft\nof two lines')
    await someone.page.get_by_role('link', name=someone.say('New conversation')).first.click()
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
    assert (await someone.stored('user'))[1] == 'half \ufffd done'
    text = ('"\\\n\x01🐎' + 'x' * 3990) * 99 + '.' * 3000
    assert 398_000 < len(text.encode()) < 400_000
    await someone.box.evaluate(put, text)
    await someone.box.press('Enter')
    await expect(someone.answers).to_have_count(2)
    await someone.ended()
    assert (await someone.stored('user'))[1] == text


async def test_a_conversation_is_renamed_deleted_and_brought_back_for_everybody(demo_desk, person):
    someone, other = await person(demo_desk), await person(demo_desk, lang='zh')
    await someone.ask('to be renamed')
    id_ = await someone.addressed()
    rows = [each.page.locator(f'.conv[data-conversation="{id_}"]') for each in (someone, other)]
    await someone.page.locator('.page-bar').get_by_role('button', name=someone.say('Rename')).click()
    await someone.page.keyboard.type('Renamed <b>here</b>')
    await someone.page.keyboard.press('Enter')
    for row in rows:
        await expect(row).to_contain_text('Renamed <b>here</b>')
    await someone.ended()
    await rows[1].locator('a').dblclick()
    await other.page.keyboard.type('going away')
    await other.page.keyboard.press('Enter')
    await expect(someone.page.locator('.page-bar h1')).to_contain_text('going away')
    for each, row in ((someone, rows[0]), (other, rows[1])):
        await row.hover()
        await row.get_by_role('button', name=each.say('More')).click()
        await each.item('Delete').click()
        for shown in rows:
            await expect(shown).to_have_count(0)
        await each.button('Undo').click()
        await expect(rows[1]).to_be_visible()
    await expect(someone.page).to_have_url(re.compile(id_))
    await expect(someone.page.locator('.bubble')).to_have_text('to be renamed')
    await someone.page.get_by_label(someone.say('Search conversations')).fill('nothing is called so')
    await expect(someone.page.locator('.convs-none')).to_contain_text('nothing is called so')
    await someone.page.get_by_label(someone.say('Search conversations')).fill('GOING')
    await expect(someone.page.locator('.found')).to_have_count(1)


@pytest.mark.parametrize('lang', ['en', 'zh'])
async def test_an_unknown_conversation_says_so_and_offers_a_new_one_with_examples(demo_desk, person, lang):
    someone = await person(demo_desk, lang=lang, path='/chat/0123456789abcdef')
    unknown = someone.page.get_by_role('heading', name=someone.say('This conversation is not here'))
    await expect(unknown).to_be_visible()
    await someone.page.locator('.empty').get_by_role('link', name=someone.say('New conversation')).click()
    welcome = someone.page.get_by_role('heading', name=someone.say('What would you like to know?'))
    await expect(welcome).to_be_visible()
    await someone.button('Compare tea and coffee in a table.').click()
    await expect(someone.box).to_have_value(someone.say('Compare tea and coffee in a table.'))
    await expect(someone.box).to_be_focused()
    await someone.box.press('Enter')
    await someone.addressed()
    await someone.page.go_back()
    await expect(unknown).to_be_visible()
    await someone.page.go_forward()
    await expect(someone.answers).to_have_count(1)


async def test_priority_and_model_are_remembered_in_either_language_and_reached_by_keys(demo_desk, person):
    someone = await person(demo_desk)
    radio = someone.page.get_by_role('radio', name='High')
    await someone.page.get_by_role('radio', name='Normal').focus()
    await someone.page.keyboard.press('ArrowRight')
    await expect(radio).to_be_checked()
    await expect(radio).to_be_focused()
    await someone.speak('zh')
    await someone.page.reload()
    await expect(someone.page.get_by_role('radio', name='高')).to_be_checked()
    await someone.ask('urgent')
    await someone.ended()
    await expect(someone.page.locator('.inspector')).to_contain_text('高')
    await someone.page.locator('.composer-model').press('Enter')
    await expect(someone.page.get_by_role('menuitemradio', name='demo')).to_be_focused()


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


PROMPT = {'en': ('/transl', 'Translate into French; keep the tone and the formatting:\n\nHi'),
          'zh': ('/翻译', '翻译成French，保持语气和格式：\n\nHi')}  # fmt: skip
# how far the colours of a text and of what is behind it are from each other, of 255
CONTRAST = """(toast) => {
  const light = (colour) => colour.match(/\\d+/g).slice(0, 3).reduce((sum, part) => sum + Number(part) / 3, 0);
  const words = toast.querySelector('.q-notification__message');
  return Math.abs(light(getComputedStyle(words).color) - light(getComputedStyle(toast).backgroundColor));
}"""


@pytest.mark.parametrize('lang', ['en', 'zh'])
async def test_settings_presets_prompts_and_a_suggested_question(demo_desk, person, lang):
    night = {'color_scheme': 'dark'} if lang == 'en' else {}
    someone = await person(demo_desk, lang=lang, **night)
    page, panel, tune = someone.page, someone.page.locator('.side-sheet'), someone.button('Model settings')
    await tune.click()
    warmth = panel.get_by_label(someone.say('Temperature'))
    await warmth.fill('9')
    wrong = someone.say('A number from {low} to {high}.', low=0, high=2)
    await expect(panel.locator('.control-error')).to_have_text(wrong)
    await expect(someone.button('Apply', panel)).to_be_disabled()
    await warmth.fill('0.5')
    await panel.get_by_label(someone.say('Context length')).fill('4096')
    await expect(panel.locator('.options-note')).to_be_visible()
    await someone.button('Save as a preset…', panel).click()
    await panel.get_by_label(someone.say('Name of the preset')).fill('简短')
    await page.keyboard.press('Enter')
    await someone.button('New conversations begin with this preset', panel).click()
    await someone.button('Apply', panel).click()
    await expect(panel).to_be_hidden()
    await expect(tune).to_have_class(re.compile(r'\bon\b'))
    toast = page.locator('.q-notification', has_text=someone.say('Applied from the next answer on.'))
    assert await toast.evaluate(CONTRAST) > 150, 'it can be read'
    await page.reload()
    await tune.click()
    await expect(warmth).to_have_value('0.5')
    await someone.button('Delete this preset', panel).click()
    await expect(panel.locator('select option')).to_have_count(1)
    await page.keyboard.press('Escape')
    asked, filled = PROMPT[lang]
    await someone.box.press_sequentially(asked)
    await someone.box.press('Enter')
    await page.keyboard.type('French')
    await someone.box.press('Tab')
    await page.keyboard.type('Hi')
    await expect(someone.box).to_have_value(filled)
    await someone.box.fill('')
    await page.locator('.composer-more').click()
    await someone.item('Suggest a question').click()
    question = someone.say('How does a queue decide who goes first when everybody is in a hurry?')
    await expect(someone.box).to_have_value(question)
