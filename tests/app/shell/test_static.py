"""The style sheets: readable in light and dark, and no page's sheet reaches into another page."""

import re

import pytest

from app.shell.static_files import FOLDER, style, url

SHARED = {'tokens', 'base', 'icons', 'frame'}
CHAT = {'chat', 'talk', 'transcript', 'conversations'}  # one page in several sheets
EVERYWHERE = {'prose'}  # Markdown looks the same on every page that shows some
GROUNDS = ('bg', 'panel', 'card')
TEXTS = ('ink', 'ink2', 'ink3', 'accent', 'p-real', 'p-high', 'p-normal', 'p-low', 'run', 'ok', 'bad', 'warn')
PAIRS = [(text, ground) for text in TEXTS for ground in GROUNDS] + [
    ('accent-ink', 'accent'),
    ('accent', 'accent-soft'),
    ('ink', 'warn-soft'),
    ('ink', 'bad-soft'),
    ('ink', 'user'),
    ('ink', 'code'),
    ('bg', 'ink'),
]


@pytest.mark.parametrize('theme', ['light', 'dark'])
def test_text_has_at_least_the_contrast_of_wcag_aa(theme: str):
    colours = tokens(theme)
    faint = {pair: round(contrast(*(colours[name] for name in pair)), 2) for pair in PAIRS}
    assert not {pair: ratio for pair, ratio in faint.items() if ratio < 4.5}


def test_both_themes_have_the_same_colours():
    assert tokens('light').keys() == tokens('dark').keys()


def test_a_class_that_a_pages_sheet_defines_is_in_no_other_sheet():
    sheets = {path.stem: selectors(path.read_text(encoding='utf-8')) for path in FOLDER.glob('*.css')}
    common = {name for sheet in SHARED for selector in sheets[sheet] for name in classes(selector)}
    pages = {sheet: found for sheet, found in sheets.items() if sheet not in SHARED}
    for sheet, found in pages.items():
        own = (
            {name for selector in found for name in classes(selector)[:1] if selector.startswith('.')}
            - common
            - EVERYWHERE
        )
        for other in pages.keys() - {sheet} - (CHAT if sheet in CHAT else set()):
            taken = own & {name for selector in pages[other] for name in classes(selector)}
            assert not taken, f'{sheet}.css and {other}.css both have {taken}'


def test_a_files_address_changes_with_its_content():
    assert re.fullmatch(r'/static/base\.css\?v=[0-9a-f]{10}', url('base.css'))
    assert url('base.css').partition('?')[2] != url('tokens.css').partition('?')[2]


def test_the_sheet_that_browsers_get_has_every_sheet_once_with_the_shared_ones_first():
    sheets = [path.read_text(encoding='utf-8') for path in FOLDER.glob('*.css')]
    whole = style().decode()
    assert all(whole.count(sheet) == 1 for sheet in sheets) and whole.startswith('/* The visual language')


def tokens(theme: str) -> dict[str, str]:
    text = (FOLDER / 'tokens.css').read_text(encoding='utf-8')
    block = text.partition(f'[data-theme="{theme}"] {{')[2].partition('\n}')[0]
    return dict(re.findall(r'--([\w-]+): (#[0-9a-f]{3,6});', block))


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    digits = colour.lstrip('#')
    digits = ''.join(2 * digit for digit in digits) if len(digits) == 3 else digits
    parts = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def selectors(css: str) -> list[str]:
    css = re.sub(r'/\*.*?\*/', '', css, flags=re.DOTALL)
    return [part.strip() for group in re.findall(r'([^{}]+)\{', css) for part in group.split(',')]


def classes(selector: str) -> list[str]:
    return re.findall(r'\.([A-Za-z][\w-]*)', selector)
