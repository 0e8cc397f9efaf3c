"""Who used how much, and how models, workers and priorities did."""

from collections.abc import Callable
from typing import Any

from analytics import answers
from app.charts.part import Part, Round, section
from app.components.figure_table import FigureTable
from app.components.live_chart import LiveChart
from app.i18n import N_

MOST_USERS = 10
MEASURES: dict[str, Callable[[answers.Usage], float]] = {
    'jobs': lambda line: line.jobs,
    'tokens': lambda line: line.prompt_tokens + line.output_tokens,
    'gpu': lambda line: line.gpu_s,
}
GROUP_COLUMNS = [
    ('count', N_('Jobs')),
    ('share', N_('Success rate')),
    ('time', N_('Median response')),
    ('time', N_('Response of 95%')),
    ('time', N_('Mean wait')),
    ('time', N_('Wait of 95%')),
    ('time', N_('First token')),
    ('count', N_('Tokens')),
    ('factor', N_('Tokens/s')),
    ('time', N_('GPU time')),
]


def create() -> list[Part]:
    """Build the section."""
    with section(N_('Use')):
        share = LiveChart(
            'ranks',
            'count',
            file='users',
            share=True,
            choices=list(MEASURES),
            on_choice=lambda choice: again(),
            series=[{'id': 'used', 'colour': '--accent'}],
            title=N_('Share per user'),
            name=N_('User'),
            used=N_('Used'),
            choice_jobs=N_('Jobs'),
            choice_tokens=N_('Tokens'),
            choice_gpu=N_('GPU time'),
        ).classes('third beside-ledger')
        ledger = _ledger()
        tables = [
            (_table('models', N_('By model'), N_('Model')), 'model'),
            (_table('workers', N_('By worker'), N_('Worker')), 'worker'),
            (_table('users', N_('By user'), N_('User')), 'user'),
            (_table('priorities', N_('By priority'), N_('Priority')), 'priority'),
        ]
    made = Part(share, lambda round_: _show_share(share, round_))

    def again() -> None:
        made.stale = True
        share.on_seen()

    parts = [made]
    for table, dimension in tables:
        parts.append(_part(table, dimension))
    return [*parts, Part(ledger, lambda round_: _show_ledger(ledger, round_))]


def _part(table: FigureTable, dimension: str) -> Part:
    return Part(table, lambda round_: _show_groups(table, round_, dimension))


def _table(file: str, title: str, first: str) -> FigureTable:
    columns = [('text', first), *GROUP_COLUMNS]
    return FigureTable(file=file, title=title, columns=columns, bar=1).classes('whole')


async def _show_share(chart: LiveChart, round_: Round) -> None:
    lines = await round_.ask('usage')
    measure = MEASURES[chart.choice]
    chart.measure('time' if chart.choice == 'gpu' else 'count')
    ranked = sorted(((measure(line), user_of(round_, line.user)) for line in lines), reverse=True)
    if not any(value for value, _ in ranked):
        chart.show_empty()
        return
    first, rest = ranked[:MOST_USERS], ranked[MOST_USERS:]
    if rest:
        first.append((sum(value for value, _ in rest), round_.said.tr('{n} others', n=len(rest))))
    chart.show(names=[name for _, name in first], series={'used': [round(value, 1) for value, _ in first]})


async def _show_groups(table: FigureTable, round_: Round, dimension: str) -> None:
    found = await round_.ask('groups', dimension=dimension)
    if dimension == 'worker':
        found = [group for group in found if group.name]  # the others never started
    names = [user_of(round_, group.name) if dimension == 'user' else group.name or '–' for group in found]
    table.show_rows([[name, *group_cells(group)] for name, group in zip(names, found, strict=True)])


def group_cells(group: Any) -> list[Any]:
    """The figures of one group, as the tables' columns have them."""
    return [
        group.total,
        group.success_rate,
        group.p50_response_s,
        group.p95_response_s,
        group.mean_wait_s,
        group.p95_wait_s,
        group.mean_first_token_s,
        group.output_tokens,
        group.tokens_per_s,
        group.gpu_s,
    ]


def _ledger() -> FigureTable:
    return FigureTable(
        file='ledger',
        title=N_('Ledger'),
        hint=N_('Who used how much of which model'),
        bar=7,
        columns=[
            ('text', N_('User')),
            ('text', N_('Model')),
            ('count', N_('Jobs')),
            ('count', N_('Completed')),
            ('count', N_('Tokens read')),
            ('count', N_('Tokens written')),
            ('time', N_('Run time')),
            ('time', N_('GPU time')),
            ('factor', N_('Energy, Wh')),
        ],
    ).classes('two-thirds ledger')


async def _show_ledger(table: FigureTable, round_: Round) -> None:
    lines = await round_.ask('usage', models=True)
    rows = [
        [
            user_of(round_, line.user), line.model, line.jobs, line.completed, line.prompt_tokens, line.output_tokens,
            line.run_s, line.gpu_s, line.energy_wh,
        ]
        for line in lines
    ]  # fmt: skip
    total = [sum(row[n] for row in rows) for n in range(2, 9)]
    table.show_rows(rows, total=['', '', *total] if rows else None)


def user_of(round_: Round, name: str) -> str:
    """A user's name as it is shown."""
    return name or round_.said.tr('(no name)')
