"""What an address asks of the statistics."""

from urllib.parse import parse_qsl, urlsplit

import pytest

from app.charts.question import MAX_STEPS, RANGES, Question, step_of

NOW = 1_800_000_000.0


def test_an_address_says_what_it_asks_and_nothing_more():
    asked = Question().over('7d').filtered(model='qwen3:8b', user='陈晓 & co').comparing(True)
    path, _, query = asked.address().partition('?')
    assert path == '/analytics' and 'range=7d' in query and 'compare=1' in query and 'worker' not in query
    assert Question().address() == '/analytics'


@pytest.mark.parametrize('asked', [
    Question(),
    Question().over('15m').filtered(priority='10', kind='chat', worker='w:1'),
    Question().between(1_700_000_040.0, 1_700_400_000.0).comparing(True),
])  # fmt: skip
def test_what_is_asked_comes_back_from_its_address(asked):
    assert Question.read(dict(parse_qsl(urlsplit(asked.address()).query))) == asked


@pytest.mark.parametrize('query', [
    {'range': 'for ever'}, {'priority': '16'}, {'priority': '-1'}, {'priority': '５'}, {'from': 'x', 'to': 'y'},
    {'from': '2026-01-02T00:00Z', 'to': '2026-01-01T00:00Z'}, {'from': '1000-01-01', 'to': '2000-01-01'},
    {'from': '2000-01-01T00:00Z'}, {'compare': 'yes'},
])  # fmt: skip
def test_what_is_wrong_in_an_address_is_left_out(query):
    assert Question.read(query) == Question()


def test_every_range_has_enough_steps_to_see_something_and_few_enough_to_draw():
    for name, (_, span_s) in RANGES.items():
        window = Question().over(name).window(NOW)
        assert window.until == NOW and window.span_s == span_s
        assert 15 <= span_s / window.step_s <= MAX_STEPS, name
    assert step_of(3600 * 24 * 4000) == 7 * 86_400


def test_the_time_before_is_as_long_and_ends_where_the_other_begins():
    window = Question().over('1h').window(NOW)
    assert window.before() == (NOW - 7200, NOW - 3600, window.step_s)


def test_a_time_of_which_most_is_missing_is_nothing_to_compare_with():
    window = Question().over('1h').window(NOW)
    known = {None: True, NOW - 9000: True, window.since: True, window.since + 300: True, window.since + 600: False}
    assert {first_at: window.recorded(first_at) for first_at in known} == known


def test_nonsense_from_a_browser_changes_nothing():
    asked = Question()
    assert asked.between(float('nan'), 5.0) == asked == asked.between(0.0, 1e12) == asked.over('x')
    assert asked.filtered(secret='1', priority='99') == asked
