"""What models and users write cannot steer a terminal."""

import json

import pytest

from app.commands import terminal

HOSTILE = [
    ('\x1b[31mred\x1b[0m', 'red'),
    ('a\x1b[2J\x1b[Hb', 'ab'),
    ('\x1b]0;title\x07text', 'text'),
    ('\x1b]8;;https://evil.example\x1b\\link\x1b]8;;\x1b\\', 'link'),
    ('\x1b]52;c;cm0gLXJm\x07copy', 'copy'),
    ('\x9b31mred', 'red'),
    ('\x9d0;title\x9ctext', 'text'),
    ('\x1bP1$r0m\x1b\\x', 'x'),
    ('\x1b(0lqk\x1b(B', 'lqk'),
    ('\x1bcreset', 'reset'),
    ('over\rwrite', 'overwrite'),
    ('a\x08b\x07c\x00d\x7fe', 'abcde'),
    ('\u202egnp.exe', 'gnp.exe'),
    ('\ud800', ''),
    ('\x1b', ''),
    ('a\r\nb\tc\n', 'a\nb\tc\n'),
    ('中文 👩‍💻 é', '中文 👩‍💻 é'),
    ('\x1b]0;never ends\nthe next line', '0;never ends\nthe next line'),
]


@pytest.mark.parametrize(('text', 'clean'), HOSTILE)
def test_what_would_steer_a_terminal_is_taken_out(text, clean):
    assert terminal.clean(text) == clean


@pytest.mark.parametrize(('text', 'clean'), HOSTILE)
@pytest.mark.parametrize('size', [1, 2, 5])
def test_it_is_so_however_the_text_is_cut(text, clean, size):
    stream = terminal.Stream()
    pieces = [stream.feed(text[start : start + size]) for start in range(0, len(text), size)]
    assert ''.join([*pieces, stream.end()]) == clean


def test_a_sequence_without_an_end_does_not_hold_back_the_text_for_ever():
    stream = terminal.Stream()
    printed = stream.feed('before \x1b]0;') + ''.join(stream.feed('x' * 100) for _ in range(100))
    assert printed.startswith('before ')
    assert len(printed) + len(stream.end()) >= 10_000


def test_text_without_sequences_is_never_held_back():
    stream = terminal.Stream()
    assert [stream.feed(piece) for piece in ('a', ' b[', '31m')] == ['a', ' b[', '31m']


def test_a_cell_is_one_line():
    assert terminal.clean_line(' a\n\x1b[1mb\t c ') == 'a b c'


def test_json_keeps_its_meaning_and_obeys_nobody():
    text = '\x1b]0;t\x07\x9b31m\u202e中'
    written = terminal.escape_json(json.dumps(text, ensure_ascii=False))
    assert json.loads(written) == text
    assert terminal.clean(written) == written
