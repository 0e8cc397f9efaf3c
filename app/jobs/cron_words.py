"""Cron lines in words, and what is wrong with one that cannot be read. Pure."""

import zoneinfo
from datetime import UTC, datetime, timedelta

from babel import dates
from cronsim import CronSim, CronSimError

from app.i18n import N_, TAGS, Speech

FIELDS = (N_('minute'), N_('hour'), N_('day'), N_('month'), N_('weekday'))
_TAKES = ('0-59', '0-23', '1-31, L', '1-12, JAN-DEC', '0-7, SUN-SAT, 5L, 1#2')
_DAYS = {'SUN': 0, 'MON': 1, 'TUE': 2, 'WED': 3, 'THU': 4, 'FRI': 5, 'SAT': 6}


def problem(cron: str, zone: str, said: Speech) -> tuple[str, str]:
    """The form's field that is wrong, 'cron' or 'timezone', and why; two empty texts for a line that can be read."""
    fields = cron.split()
    if len(fields) != len(FIELDS):
        why = said.tr(
            'A cron line has five fields: minute, hour, day, month, weekday. This one has {n}.', n=len(fields)
        )
        return 'cron', why
    for place, (value, name, takes) in enumerate(zip(fields, FIELDS, _TAKES, strict=True)):
        line = ' '.join(value if at == place else '*' for at in range(len(FIELDS)))
        if not _reads(line):
            why = said.tr(
                'The {field} “{value}” cannot be read; it takes {takes}.', field=said.tr(name), value=value, takes=takes
            )
            return 'cron', why
    if not _reads(cron):
        return 'cron', said.tr('That day never comes.')
    try:
        zoneinfo.ZoneInfo(zone)
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        return 'timezone', said.tr(
            '“{zone}” is no time zone; write one like UTC, Europe/Berlin or Asia/Shanghai.', zone=zone
        )
    return '', ''


def next_runs(cron: str, zone: str, count: int, now: float) -> list[float]:
    """The next ``count`` times (unix seconds) of a line without a problem."""
    ticks = CronSim(cron, datetime.fromtimestamp(now, zoneinfo.ZoneInfo(zone)))
    return [tick.timestamp() for tick, _ in zip(ticks, range(count), strict=False)]


def words(cron: str, said: Speech) -> str:
    """What a cron line means, where a short sentence says it; else ''."""
    fields = cron.split()
    if len(fields) != len(FIELDS) or not _reads(cron):
        return ''
    minute, hour, day, month, weekday = fields
    if (day, month, weekday) == ('*', '*', '*') and (often := _often(minute, hour, said)):
        return often
    at = _times(minute, hour, said)
    return _on_days(day, month, weekday, at, said) if at else ''


def _on_days(day: str, month: str, weekday: str, at: str, said: Speech) -> str:
    """At certain times of certain days."""
    if (day, month) == ('*', '*'):
        return said.tr('every day at {time}', time=at) if weekday == '*' else _on_weekdays(weekday, at, said)
    if weekday != '*' or not (day.isdigit() or day.upper() == 'L'):
        return ''
    if month == '*':
        last = day.upper() == 'L'
        return (
            said.tr('on the last day of each month at {time}', time=at)
            if last
            else said.tr('on day {day} of each month at {time}', day=day, time=at)
        )
    if not month.isdigit() or not day.isdigit():
        return ''
    date = dates.format_skeleton('MMMd', datetime(2024, int(month), int(day)), locale=_locale(said))
    return said.tr('every year on {date} at {time}', date=date, time=at)


def _often(minute: str, hour: str, said: Speech) -> str:
    """Several times a day."""
    if (minute, hour) == ('*', '*') or (minute, hour) == ('*/1', '*'):
        return said.tr('every minute')
    if minute.startswith('*/') and hour == '*':
        return said.tr('every {n} minutes', n=minute[2:])
    if minute.isdigit() and hour == '*':
        return said.tr('every hour at minute {minute}', minute=int(minute))
    if minute.isdigit() and hour.startswith('*/'):
        return said.tr('every {n} hours at minute {minute}', n=hour[2:], minute=int(minute))
    return ''


def _times(minute: str, hour: str, said: Speech) -> str:
    hours = hour.split(',')
    if not minute.isdigit() or not all(each.isdigit() for each in hours) or len(hours) > 4:
        return ''
    return _list([f'{int(each):02d}:{int(minute):02d}' for each in hours], said)


def _on_weekdays(weekday: str, at: str, said: Speech) -> str:
    days = _numbers(weekday.upper())
    if not days:
        return ''
    if days == {1, 2, 3, 4, 5}:
        return said.tr('Monday to Friday at {time}', time=at)
    if days == {0, 6}:
        return said.tr('at weekends at {time}', time=at)
    shown = [
        said.weekday(day, short=len(days) > 1 or said.code == 'zh') for day in sorted((day - 1) % 7 for day in days)
    ]
    return said.tr('every {days} at {time}', days=_list(shown, said), time=at)


def _numbers(weekday: str) -> set[int]:
    found: set[int] = set()
    for part in weekday.split(','):
        ends = [_DAYS.get(end, int(end) if end.isdigit() else -1) for end in part.split('-')]
        if len(ends) > 2 or any(not 0 <= end <= 7 for end in ends):
            return set()
        found |= {day % 7 for day in range(ends[0], ends[-1] + 1)}
    return found


def _list(texts: list[str], said: Speech) -> str:
    return said.tr(', ').join(texts)


def _reads(cron: str) -> bool:
    try:
        ticks = CronSim(cron, datetime.now(UTC) - timedelta(days=1))
        return next(ticks, None) is not None
    except CronSimError:
        return False


def _locale(said: Speech) -> str:
    return TAGS[said.code].replace('-', '_')
