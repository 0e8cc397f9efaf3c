"""Presets and prompts are kept under their names, over a restart, and every page hears of a change."""

from app.chats.chat_options import Options
from app.chats.presets import BUILT_IN, MOST_NAME, Presets


async def test_a_preset_is_saved_named_changed_made_the_default_and_deleted(desk):
    presets, heard = await Presets.open(desk), []
    presets.on_change(lambda: heard.append(1))
    assert presets.default() == Options()
    assert await presets.save('  Kurz   und gut ', Options(temperature=0.1)) == 'Kurz und gut'
    await presets.save('简短', Options(system='简短回答'))
    await presets.set_default('Kurz und gut')
    await presets.save('Kurz und gut', Options(temperature=0.2))
    await presets.set_default('简短')
    again = await Presets.open(desk)
    assert [(each.name, each.default) for each in again.all()] == [('Kurz und gut', False), ('简短', True)]
    assert again.default() == Options(system='简短回答', preset='简短')
    assert again.all()[0].options == Options(temperature=0.2, preset='Kurz und gut')
    await again.delete('简短')
    assert (await Presets.open(desk)).default() == Options()
    assert len(heard) == 6
    assert await presets.save('   ', Options()) == ''
    assert len(await presets.save('x' * 100, Options())) == MOST_NAME


async def test_own_prompts_come_before_the_built_in_ones_in_the_language_of_the_page(desk):
    presets = await Presets.open(desk)
    assert next(iter(presets.prompts('zh'))).name == '总结'
    assert await presets.save_prompt('', 'Greet', 'Say hello to {{name}}')
    assert not await presets.save_prompt('', ' ', 'x') and not await presets.save_prompt('', 'x', ' ')
    again = await Presets.open(desk)
    first = again.prompts('en')[0]
    assert (first.name, first.text, len(again.prompts('en'))) == ('Greet', 'Say hello to {{name}}', 1 + len(BUILT_IN))
    await again.save_prompt(first.id, 'Greet', 'Hi {{name}}')
    assert [each.text for each in again.prompts('en')][:1] == ['Hi {{name}}']
    await again.delete_prompt(first.id)
    assert len((await Presets.open(desk)).prompts('en')) == len(BUILT_IN)
