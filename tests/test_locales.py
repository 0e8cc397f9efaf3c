"""The catalogues and the source agree: every text is there in both languages, and none is left over."""

import ast
import functools
import string
from collections.abc import Iterator
from pathlib import Path

import pytest
from babel.messages import pofile
from babel.messages.catalog import Message

ROOT = Path(__file__).resolve().parent.parent
LANGUAGES = ('en', 'zh')
# where the msgids stand in the arguments of the functions that take literal ones
PLACES = {
    'T': (1,),
    'N_': (0,),
    'button': (0,),
    'icon_button': (1,),
    'empty': (1, 2),
    'page': (0,),
    'badge': (0,),
    'progress': (0,),
    'field': (0,),
    'area': (0,),
    'select': (0,),
    'picker': (0,),
    'switch': (0,),
    'segments': (0,),
    'item': (0,),
    'confirm': (0, 1),
    'Dialog': (0,),
    'fail': (0,),
    'Panes': (),
    'Told': (0,),
}
KEYWORDS = ('hint', 'placeholder', 'yes', 'list', 'inspector')  # whose values are msgids in those, too
Msgid = str | tuple[str, str]


def test_every_text_of_the_source_is_in_both_catalogues():
    for language in LANGUAGES:
        missing = {msgid: place for msgid, place in used().items() if msgid not in catalogue(language)}
        assert not missing, f'locales/{language} lacks {missing}'


def test_no_catalogue_has_a_text_that_the_source_does_not_use():
    for language in LANGUAGES:
        assert not set(catalogue(language)) - set(used()), f'unused in locales/{language}'


@pytest.mark.parametrize('language', LANGUAGES)
def test_every_text_is_translated_and_has_the_same_placeholders(language):
    for msgid, message in catalogue(language).items():
        ids = (msgid,) if isinstance(msgid, str) else msgid
        strings = (message.string,) if isinstance(message.string, str) else message.string
        assert strings and all(strings), f'{language}: {msgid!r} has no translation'
        assert not message.fuzzy, f'{language}: {msgid!r} is fuzzy'
        wanted = set().union(*map(placeholders, ids))
        for text in strings:
            if isinstance(msgid, str):
                assert placeholders(text) == wanted, f'{language}: {msgid!r} → {text!r}'
            else:  # "one job" may leave the number out
                assert placeholders(text) | {'n'} == wanted | {'n'}, f'{language}: {msgid!r} → {text!r}'


def test_english_says_what_its_msgids_say():
    for msgid, message in catalogue('en').items():
        assert message.string == msgid, f'the English text of {msgid!r} belongs in the source'


def test_no_text_is_in_two_catalogues():
    for language in LANGUAGES:
        seen: dict[Msgid, str] = {}
        for path, message in entries(language):
            assert message.id not in seen, f'{message.id!r} is in {seen[message.id]} and {path.name}'
            seen[message.id] = path.name


def test_chinese_uses_its_own_punctuation():
    for msgid, message in catalogue('zh').items():
        for text in (message.string,) if isinstance(message.string, str) else message.string:
            if any('\u4e00' <= c <= '\u9fff' for c in text):
                assert not any(mark in text for mark in (', ', '. ', '? ', '! ', '; ')), f'{msgid!r} → {text!r}'
                assert not text.endswith(('.', '?', '!', ':')), f'{msgid!r} → {text!r}'


@functools.cache
def used() -> dict[Msgid, str]:
    """Every msgid in the source, with one place where it stands."""
    found: dict[Msgid, str] = {}
    for path in sorted((ROOT / 'app').rglob('*.py')):
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            if isinstance(node, ast.Call):
                for msgid in msgids(node):
                    found.setdefault(msgid, f'{path.relative_to(ROOT)}:{node.lineno}')
    return found


def msgids(call: ast.Call) -> Iterator[Msgid]:
    """The literal msgids among a call's arguments."""
    name, owner = name_of(call.func)
    if name in ('tr', 'trn'):
        first = 0 if owner not in ('', 'i18n') else 1  # as a method it knows its language
        if name == 'tr':
            yield from literals(call.args[first : first + 1])
        elif len(call.args) > first + 1:
            one, many = (list(literals([arg])) for arg in call.args[first : first + 2])
            yield from zip(one, many, strict=True)
    elif name == 'labels' and owner in ('', 'i18n'):
        yield from literals([keyword.value for keyword in call.keywords if keyword.arg])
    elif name in PLACES and (owner in ('', 'i18n', 'theme', 'controls') or name == 'fail'):
        yield from literals([call.args[place] for place in PLACES[name] if place < len(call.args)])
        yield from literals([keyword.value for keyword in call.keywords if keyword.arg in KEYWORDS])


def name_of(function: ast.expr) -> tuple[str, str]:
    if isinstance(function, ast.Attribute):
        return function.attr, function.value.id if isinstance(function.value, ast.Name) else '…'
    return (function.id, '') if isinstance(function, ast.Name) else ('', '')


def literals(nodes: list[ast.expr]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.IfExp):
            yield from literals([node.body, node.orelse])


def entries(language: str) -> list[tuple[Path, Message]]:
    found = []
    for path in sorted((ROOT / 'locales' / language).glob('*.po')):
        with path.open('rb') as file:
            found += [(path, message) for message in pofile.read_po(file, abort_invalid=True) if message.id]
    return found


@functools.cache
def catalogue(language: str) -> dict[Msgid, Message]:
    return {message.id: message for _, message in entries(language)}


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}
