"""Cron lines in words, in both languages, and what is wrong with those that cannot be read."""

import pytest

from app.i18n import Speech
from app.jobs import cron_words

EN, ZH = Speech('en'), Speech('zh')


@pytest.mark.parametrize(
    ('cron', 'english', 'chinese'),
    [
        ('* * * * *', 'every minute', '每分钟'),
        ('*/5 * * * *', 'every 5 minutes', '每 5 分钟'),
        ('15 * * * *', 'every hour at minute 15', '每小时的第 15 分'),
        ('0 */6 * * *', 'every 6 hours at minute 0', '每 6 小时的第 0 分'),
        ('5 7,19 * * *', 'every day at 07:05, 19:05', '每天 07:05、19:05'),
        ('0 7 * * 1-5', 'Monday to Friday at 07:00', '周一至周五 07:00'),
        ('0 7 * * MON-FRI', 'Monday to Friday at 07:00', '周一至周五 07:00'),
        ('0 7 * * 6,0', 'at weekends at 07:00', '周末 07:00'),
        ('0 9 * * 7', 'every Sunday at 09:00', '每周日 09:00'),
        ('0 9 * * 1,3', 'every Mon, Wed at 09:00', '每周一、周三 09:00'),
        ('30 18 L * *', 'on the last day of each month at 18:30', '每月最后一天 18:30'),
        ('0 9 15 * *', 'on day 15 of each month at 09:00', '每月 15 日 09:00'),
        ('0 9 1 5 *', 'every year on May 1 at 09:00', '每年5月1日 09:00'),
        ('0 9 1-7 * 1', '', ''),
        ('*/7 3-5 * * *', '', ''),
        ('nonsense', '', ''),
    ],
)
def test_a_line_that_is_simple_is_said_in_words(cron: str, english: str, chinese: str):
    assert (cron_words.words(cron, EN), cron_words.words(cron, ZH)) == (english, chinese)


@pytest.mark.parametrize(
    ('cron', 'zone', 'field', 'part'),
    [
        ('0 7 * * 1-5', 'Asia/Shanghai', '', ''),
        ('0 7 * *', 'UTC', 'cron', 'This one has 4.'),
        ('61 * * * *', 'UTC', 'cron', 'The minute “61” cannot be read; it takes 0-59.'),
        ('0 7 * * foo', 'UTC', 'cron', 'The weekday “foo”'),
        ('0 0 30 2 *', 'UTC', 'cron', 'That day never comes.'),
        ('0 7 * * *', 'Mars/Base', 'timezone', '“Mars/Base” is no time zone'),
        ('0 7 * * *', '../etc', 'timezone', 'is no time zone'),
    ],
)
def test_what_is_wrong_is_said_of_its_field(cron: str, zone: str, field: str, part: str):
    found, why = cron_words.problem(cron, zone, EN)
    assert found == field and part in why


def test_the_next_runs_are_in_the_zone_of_the_schedule():
    noon = 1_795_000_000.0 // 86_400 * 86_400 + 43_200
    first, second = cron_words.next_runs('0 7 * * *', 'Asia/Shanghai', 2, noon)
    assert (first % 86_400, second - first) == (23 * 3600, 86_400)
