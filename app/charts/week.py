"""A week of the queue, told as one page: what was done, by whom, how long it took, and what went wrong. Pure."""

import dataclasses
import datetime
import itertools
import re
from typing import Any, Self

from analytics import answers
from app.i18n import N_, Speech
from app.jobs.reasons import REASONS, WAITS

Report = dict[str, Any]
SHOWN = 12  # rows of a table; the rest is one line


@dataclasses.dataclass(frozen=True)
class Week:
    """An ISO week of the calendar, from Monday 0:00 to Monday 0:00 on the clock of this machine."""

    year: int
    number: int

    @classmethod
    def read(cls, text: str) -> Self | None:
        """'2026-W47'; None when that is no week."""
        found = re.fullmatch(r'([0-9]{4})-W([0-9]{2})', text)
        if found is None:
            return None
        try:
            week = cls(int(found[1]), int(found[2]))
            return week if 1971 <= week.year <= 2500 and week.monday else None
        except ValueError:
            return None

    @classmethod
    def of(cls, at: float) -> Self:
        """The week that a moment is in."""
        year, number, _ = datetime.datetime.fromtimestamp(at).isocalendar()
        return cls(year, number)

    def __str__(self) -> str:
        return f'{self.year}-W{self.number:02}'

    @property
    def monday(self) -> datetime.date:
        """Its first day."""
        return datetime.date.fromisocalendar(self.year, self.number, 1)

    @property
    def since(self) -> float:
        """Its first moment, in unix seconds."""
        return _midnight(self.monday)

    @property
    def until(self) -> float:
        """The first moment after it."""
        return _midnight(self.monday + datetime.timedelta(7))

    def days(self) -> list[tuple[datetime.date, float, float]]:
        """Its days with their first moments and those after them; one of them may have 23 or 25 hours."""
        dates = [self.monday + datetime.timedelta(n) for n in range(8)]
        return [(day, _midnight(day), _midnight(after)) for day, after in itertools.pairwise(dates)]

    def moved(self, weeks: int) -> Self:
        """So many weeks later, or earlier."""
        year, number, _ = (self.monday + datetime.timedelta(7 * weeks)).isocalendar()
        return type(self)(year, number)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Answers:
    """What the statistics say about a week; ``before`` is the week before it, or nothing where it was not recorded."""

    now: answers.Summary
    before: answers.Summary
    days: list[answers.Summary]
    usage: list[answers.Usage]  # by user
    models: list[answers.Group]
    waits: answers.Waits
    failures: list[answers.Failure]
    hours: list[answers.Hour]
    eta: answers.Eta


def report(said: Speech, week: Week, found: Answers, now: float) -> Report:
    """The page, in words: everything that ``WeekReport`` shows."""
    return {
        'title': said.tr('Week {number}, {year}', number=week.number, year=week.year),
        'period': said.tr('{first} – {last}', first=said.day(week.since), last=said.day(week.until - 1)),
        'running': said.tr('This week is not over yet.') if week.since <= now < week.until else '',
        'previous': f'/analytics/week?week={week.moved(-1)}',
        'next': f'/analytics/week?week={week.moved(1)}' if week.until <= now else '',
        'empty': not found.now.total,
        'lead': _lead(said, found),
        'tiles': _tiles(said, found),
        'days': _days(said, week, found),
        'users': _users(said, found),
        'models': _models(said, found),
        'waits': _waits(said, found.waits),
        'heat': _heat(said, found.hours),
        'failures': _failures(said, found.failures),
        'eta': _eta(said, found.eta),
        'made': said.tr('Made {day}, {time}, by Corral.', day=said.day(now), time=said.clock(now)),
    }


def change(said: Speech, now: float | None, before: float | None, *, points: bool = False) -> str:
    """How much more or less, as '+12%', '−3%' or '+1.5 pp'; '' where that says nothing."""
    if now is None or before is None or (not points and before <= 0):
        return ''
    by = now - before if points else now / before - 1
    if abs(by) < 0.0005:
        return '±0'
    sign = '+' if by > 0 else '−'
    if points:
        return said.tr('{sign}{n} pp', sign=sign, n=said.number(abs(by) * 100, 1))
    if by > 9:
        return said.tr('{n} times', n=said.number(now / before, 0))
    return sign + said.percent(abs(by), 0 if abs(by) >= 0.1 else 1)


def tone(now: float | None, before: float | None, better: int) -> str:
    """'good' or 'bad' for a change; ``better`` is 1 where more is better, −1 where less is, 0 where neither."""
    if now is None or before is None or not better or abs(now - before) <= 0.02 * abs(before):
        return ''
    return 'good' if (now > before) == (better > 0) else 'bad'


def _lead(said: Speech, found: Answers) -> list[str]:
    now, before = found.now, found.before
    lines = []
    if not before.total:
        lines.append(said.trn('{n} job ended.', '{n} jobs ended.', now.total))
    else:
        by = now.total / before.total - 1
        how = N_('{n} jobs ended, {by} more than in the week before.') if by >= 0.005 else (
            N_('{n} jobs ended, {by} fewer than in the week before.') if by <= -0.005
            else N_('{n} jobs ended, about as many as in the week before.')
        )  # fmt: skip
        shown = {'by': said.percent(abs(by), 0)} if abs(by) >= 0.005 else {}
        lines.append(said.tr(how, n=said.number(now.total), **shown))
    if now.success_rate is not None:
        lines.append(
            said.tr('{rate} of them that were not cancelled went well.', rate=said.percent(now.success_rate, 1))
        )
    if now.p50_wait_s is not None and now.p95_wait_s is not None:
        half, most = said.seconds(now.p50_wait_s), said.seconds(now.p95_wait_s)
        lines.append(
            said.tr('Half of the jobs waited {half} at most, one in twenty more than {most}.', half=half, most=most)
        )
    if any(hour.total for hour in found.hours):
        top = max(found.hours, key=lambda hour: hour.total)
        lines.append(
            said.tr(
                'The busiest hour was {day}, {first}–{last}, with {n} jobs.',
                day=said.weekday(top.weekday),
                first=f'{top.hour:02}:00',
                last=f'{top.hour + 1:02}:00',
                n=said.number(top.total),
            )
        )
    return lines


def _tiles(said: Speech, found: Answers) -> list[dict[str, str]]:
    now, before = found.now, found.before

    def time_of(value: float | None) -> str:
        return '–' if value is None else said.seconds(value)

    def tile(title: str, figure: str, a: float | None, b: float | None, better: int, *, points: bool = False) -> Report:
        return {
            'title': said.tr(title),
            'figure': figure,
            'change': change(said, a, b, points=points),
            'tone': tone(a, b, better),
        }

    rate, old = now.success_rate, before.success_rate
    return [
        tile(N_('Jobs ended'), said.number(now.total), now.total, before.total, 0),
        tile(N_('Success rate'), '–' if rate is None else said.percent(rate, 1), rate, old, 1, points=True),
        tile(N_('Median wait'), time_of(now.p50_wait_s), now.p50_wait_s, before.p50_wait_s, -1),
        tile(N_('Wait of 95%'), time_of(now.p95_wait_s), now.p95_wait_s, before.p95_wait_s, -1),
        tile(N_('Median response'), time_of(now.p50_response_s), now.p50_response_s, before.p50_response_s, -1),
        tile(N_('Tokens written'), said.compact(now.output_tokens), now.output_tokens, before.output_tokens, 0),
        tile(N_('Tokens/s'), '–' if now.tokens_per_s is None else said.number(now.tokens_per_s, 1), now.tokens_per_s,
             before.tokens_per_s, 1),
        tile(N_('GPU time'), time_of(now.gpu_s or None), now.gpu_s, before.gpu_s, 0),
    ]  # fmt: skip


def _days(said: Speech, week: Week, found: Answers) -> Report:
    top = max((day.total for day in found.days), default=0) or 1
    return {
        'title': said.tr('Day by day'),
        'rows': [
            {
                'name': said.weekday(n),
                'text': said.number(day.total),
                'good': (day.completed + day.cancelled) / top,
                'bad': day.failed / top,
                'note': said.tr('{n} failed', n=said.number(day.failed)) if day.failed else '',
            }
            for n, day in enumerate(found.days)
        ],
    }


def _users(said: Speech, found: Answers) -> Report:
    lines = sorted(found.usage, key=lambda line: (-line.gpu_s, -line.jobs))
    whole = sum(line.gpu_s for line in lines) or None
    tokens = sum(line.output_tokens for line in lines) or None
    rows = []
    for line in lines[:SHOWN]:
        part = line.gpu_s / whole if whole else line.output_tokens / tokens if tokens else 0.0
        cells = [
            line.user or said.tr('(no name)'),
            said.number(line.jobs),
            said.compact(line.prompt_tokens + line.output_tokens),
            said.seconds(line.gpu_s),
            _percent(said, part),
        ]
        rows.append({'cells': cells, 'part': part})
    heads = [N_('User'), N_('Jobs'), N_('Tokens'), N_('GPU time'), N_('Share')]
    return _table(said, N_('Who used how much'), heads, rows, len(lines))


def _models(said: Speech, found: Answers) -> Report:
    rows = []
    whole = found.now.total or 1
    for group in found.models[:SHOWN]:
        cells = [
            group.name,
            said.number(group.total),
            '–' if group.success_rate is None else said.percent(group.success_rate, 1),
            '–' if group.p50_response_s is None else said.seconds(group.p50_response_s),
            '–' if group.p95_wait_s is None else said.seconds(group.p95_wait_s),
            said.compact(group.output_tokens),
            '–' if group.tokens_per_s is None else said.number(group.tokens_per_s, 1),
        ]
        rows.append({'cells': cells, 'part': group.total / whole})
    heads = [
        N_('Model'),
        N_('Jobs'),
        N_('Success rate'),
        N_('Median response'),
        N_('Wait of 95%'),
        N_('Tokens'),
        N_('Tokens/s'),
    ]
    return _table(said, N_('By model'), heads, rows, len(found.models))


def _waits(said: Speech, waits: answers.Waits) -> Report:
    parts = [(text, getattr(waits, name)) for name, text in WAITS.items()]
    whole = sum(value for _, value in parts) or 1.0
    shown = [(text, value) for text, value in parts if value / whole >= 0.0005]
    return {
        'title': said.tr('Where the time went'),
        'hint': said.tr('All the time that jobs spent here, from question to answer.'),
        'parts': [
            {
                'name': said.tr(text),
                'part': value / whole,
                'text': _percent(said, value / whole),
                'time': said.seconds(value),
            }
            for text, value in shown
        ],
    }


def _heat(said: Speech, hours: list[answers.Hour]) -> Report:
    top = max((hour.total for hour in hours), default=0) or 1
    return {
        'title': said.tr('Load by hour'),
        'days': [said.weekday(n, short=True) for n in range(7)],
        'cells': [{'part': hour.total / top, 'n': said.number(hour.total)} for hour in hours],
    }


def _failures(said: Speech, failures: list[answers.Failure]) -> Report:
    rows = [
        {
            'cells': [
                said.tr(REASONS.get(line.code, REASONS['other'])),
                said.number(line.died),
                said.number(line.retried),
            ],
            'part': 0.0,
            'sub': line.code,
        }
        for line in failures[:SHOWN]
    ]
    heads = [N_('Reason'), N_('Jobs failed'), N_('Tried again')]
    made = _table(said, N_('What went wrong'), heads, rows, len(failures))
    return {**made, 'none': said.tr('Nothing failed this week.')}


def _eta(said: Speech, eta: answers.Eta) -> Report:
    told = eta.told or 1
    made: Report = {
        'title': said.tr('How honest the predictions were'),
        'text': said.tr('No wait was predicted this week.'),
    }
    made['parts'] = []
    if eta.told and eta.hit_rate is not None:
        made['text'] = said.tr(
            '{n} starts were predicted; {rate} fell into the interval that was told.',
            n=said.number(eta.told),
            rate=said.percent(eta.hit_rate, 0),
        )
        made['parts'] = [
            {'name': said.tr(name), 'part': n / told, 'text': said.percent(n / told, 0), 'tone': kind}
            for name, n, kind in (
                (N_('sooner than told'), eta.early, 'early'),
                (N_('as told'), eta.hits, 'held'),
                (N_('later than told'), eta.late, 'late'),
            )
        ]
    return made


def _table(said: Speech, title: str, heads: list[str], rows: list[Report], known: int) -> Report:
    more = known - len(rows)
    return {
        'title': said.tr(title),
        'heads': [said.tr(head) for head in heads],
        'rows': rows,
        'more': said.trn('and {n} more', 'and {n} more', more) if more > 0 else '',
    }


def _percent(said: Speech, part: float) -> str:
    return said.percent(part, 0 if part >= 0.1 else 1)


def _midnight(day: datetime.date) -> float:
    return datetime.datetime.combine(day, datetime.time()).timestamp()
