import pytest

from app import i18n


@pytest.mark.parametrize(
    ('cookie', 'accept', 'language'),
    [
        ('', '', 'en'),
        ('', 'zh-CN,zh;q=0.9,en;q=0.8', 'zh'),
        ('', 'de-DE,de;q=0.9,zh;q=0.4,en;q=0.8', 'en'),
        ('', 'zh-TW', 'zh'),
        ('', 'en;q=0.1, ZH', 'zh'),
        ('', 'zh;q=broken, en;q=0.2', 'en'),
        ('zh', 'en', 'zh'),
        ('en', 'zh', 'en'),
        ('<script>', 'fr', 'en'),
    ],
)
def test_the_first_language_is_the_chosen_one_else_the_browsers(cookie: str, accept: str, language: str):
    assert i18n.choose(cookie, accept) == language


def test_texts_are_translated_and_filled_in():
    assert i18n.tr('zh', 'Queue') == '队列' and i18n.tr('en', 'Queue') == 'Queue'
    assert i18n.tr('zh', '{n} tokens/s', n=5) == '5 词元/秒'
    assert i18n.tr('zh', 'not in any catalogue') == 'not in any catalogue'


def test_values_are_never_formats_themselves():
    assert i18n.tr('en', '{n} tokens/s', n='{n}{0}') == '{n}{0} tokens/s'


def test_plurals_follow_the_language():
    one, many = '{n} worker', '{n} workers'
    assert [i18n.trn('en', one, many, n) for n in (0, 1, 1200)] == ['0 workers', '1 worker', '1,200 workers']
    assert i18n.trn('zh', one, many, 1) == '1 个工作进程'


@pytest.mark.parametrize(
    ('value', 'english', 'chinese'),
    [
        (0.0, '0 s', '0 秒'),
        (0.0004, '< 1 ms', '< 1 毫秒'),
        (0.04, '40 ms', '40 毫秒'),
        (0.099, '99 ms', '99 毫秒'),
        (0.0996, '0.1 s', '0.1 秒'),
        (None, '—', '—'),
        (float('nan'), '—', '—'),
        (0.44, '0.4 s', '0.4 秒'),
        (9.96, '10 s', '10 秒'),
        (59.7, '1 min', '1 分'),
        (250, '4 min 10 s', '4 分 10 秒'),
        (3900, '1 h 5 min', '1 小时 5 分'),
        (-3, '0 s', '0 秒'),
    ],
)
def test_durations_have_two_units_at_most(value: float | None, english: str, chinese: str):
    assert (i18n.seconds('en', value), i18n.seconds('zh', value)) == (english, chinese)


def test_numbers_and_dates_are_written_as_the_language_does():
    english, chinese = i18n.Speech('en'), i18n.Speech('zh')
    assert english.number(1234.56, 1) == '1,234.6' and english.percent(0.987, 1) == '98.7%'
    at = 1_795_000_000.0
    assert chinese.day(at).startswith('2026年') and english.day(at).endswith(', 2026')
    assert len(english.clock(at)) == 5
