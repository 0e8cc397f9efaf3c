"""What was done, how it ended, and how long it took."""

from collections.abc import Callable

from app.charts.part import Part, Round, rounded, section
from app.charts.question import Question, Window
from app.components.live_chart import LiveChart, Values
from app.i18n import N_
from app.jobs.reasons import REASONS
from app.past.query import SPANS_S, Query

MOST_REASONS = 8


def create() -> list[Part]:
    """Build the section."""
    with section(N_('Work')):
        outcomes, success, heat, failures = _outcomes(), _success(), _heat(), _failures()
    return [
        Part(outcomes, lambda round_: _show_outcomes(outcomes, round_)),
        Part(success, lambda round_: _show_success(success, round_)),
        Part(failures, lambda round_: _show_failures(failures, round_)),
        Part(heat, lambda round_: _show_heat(heat, round_)),
    ]


async def steps(
    chart: LiveChart,
    round_: Round,
    ask: Callable[[Window], object],
    series: dict[str, Callable[..., float | None]],
    *,
    idle: bool = True,
) -> None:
    """Show series over time, from the answers of ``ask``, the first of them beside that of the period before.

    ``idle``: nothing but zeros is the same as nothing, and what the card has to say then says more.
    """
    points = await ask(round_.now)  # type: ignore[misc]
    data = {'at': [point.at for point in points], 'step_s': round_.now.step_s, 'span_s': round_.now.span_s}
    shown = {name: rounded([value(point) for point in points]) for name, value in series.items()}
    if not any(value if idle else value is not None for values in shown.values() for value in values):
        chart.show_empty()
        return
    if round_.compares:
        old = await ask(round_.before)  # type: ignore[misc]
        name, value = next(iter(series.items()))
        data['before'] = {name: _fitted(rounded([value(point) for point in old]), len(points))}
    chart.show(**data, series=shown)


def _fitted(values: Values, length: int) -> Values:
    """Two ranges of the same length can touch a different number of steps; the last ones lie above each other."""
    return [None] * (length - len(values)) + values[max(0, len(values) - length) :]


def _outcomes() -> LiveChart:
    return LiveChart(
        'steps',
        'rate',
        file='throughput',
        series=[
            {'id': 'completed', 'type': 'bar', 'colour': '--accent'},
            {'id': 'failed', 'type': 'bar', 'colour': '--bad'},
            {'id': 'cancelled', 'type': 'bar', 'colour': '--line2'},
            {'id': 'all', 'type': 'line', 'colour': '--ink3'},  # of the period before only
        ],
        title=N_('Jobs per minute'),
        completed=N_('Completed'),
        failed=N_('Failed'),
        cancelled=N_('Cancelled'),
        all=N_('All jobs'),
    ).classes('two-thirds')


async def _show_outcomes(chart: LiveChart, round_: Round) -> None:
    points = await round_.ask('per_minute', step_s=round_.now.step_s)
    names = ('completed', 'failed', 'cancelled')
    data = {'at': [point.at for point in points], 'step_s': round_.now.step_s, 'span_s': round_.now.span_s}
    if round_.compares:
        old = await round_.ask('per_minute', round_.before, step_s=round_.now.step_s)
        sums = rounded([sum(getattr(point, name) for name in names) for point in old])
        data['before'] = {'all': _fitted(sums, len(points))}
    chart.show(**data, series={name: rounded([getattr(point, name) for point in points]) for name in names})


def _success() -> LiveChart:
    line = {'id': 'rate', 'type': 'line', 'colour': '--ok', 'area': 0.08}
    return LiveChart(
        'steps', 'share', file='success', series=[line], title=N_('Success rate'), rate=N_('Success rate'),
        hint=N_('Completed jobs among those that were not cancelled'),
    ).classes('third')  # fmt: skip


async def _show_success(chart: LiveChart, round_: Round) -> None:
    await steps(
        chart,
        round_,
        lambda window: round_.ask('per_minute', window, step_s=round_.now.step_s),
        {'rate': lambda point: point.completed / decided if (decided := point.completed + point.failed) else None},
        idle=False,
    )


def _failures() -> LiveChart:
    return LiveChart(
        'ranks',
        'count',
        file='failures',
        series=[{'id': 'died', 'colour': '--bad'}, {'id': 'retried', 'colour': '--c3'}],
        title=N_('Why attempts failed'),
        hint=N_('A click leads to the jobs'),
        name=N_('Reason'),
        died=N_('Jobs failed'),
        retried=N_('Tried again'),
        empty=N_('Nothing failed in this time.'),
    ).classes('third')


async def _show_failures(chart: LiveChart, round_: Round) -> None:
    found = await round_.ask('failures')
    if not found:
        chart.show_empty()
        return
    first = found[:MOST_REASONS]
    chart.show(
        names=[round_.said.tr(REASONS.get(line.code, REASONS['other'])) for line in first],
        series={'died': [line.died for line in first], 'retried': [line.retried for line in first]},
        links=[_jobs(round_.question, line.code) for line in first],
    )


def _jobs(question: Question, code: str) -> str:
    """The address of the jobs that failed so, within what the history can narrow as the page does."""
    asked = Query(
        states=('dead',),
        code=code,
        span=question.range if question.range in SPANS_S else '',
        user=question.user,
        model=question.model,
        worker=question.worker,
        kinds=(question.kind,) if question.kind else (),
    )
    return asked.address()


def _heat() -> LiveChart:
    return LiveChart(
        'heat',
        'count',
        file='hours',
        title=N_('Load by hour and weekday'),
        hint=N_('Jobs that ended'),
        value=N_('Jobs'),
    ).classes('two-thirds')


async def _show_heat(chart: LiveChart, round_: Round) -> None:
    hours = await round_.ask('by_hour_of_week', zone=round_.zone)
    if not any(hour.total for hour in hours):
        chart.show_empty()
        return
    chart.show(cells=[[hour.weekday + 1, hour.hour, hour.total] for hour in hours])
