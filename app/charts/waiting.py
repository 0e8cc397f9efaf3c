"""How long it took and why, how full the machines were, and whether what was predicted came true."""

from analytics import answers
from app.charts.part import Part, Round, rounded, section
from app.charts.work import steps
from app.components.live_chart import LiveChart
from app.i18n import N_, Speech
from app.jobs.reasons import WAITS

MOST_MODELS = 6
NOBODY_WAITED = N_('No job had to wait in this time.')
RUN = ('load_s', 'prompt_s', 'decode_s', 'other_s')


def create() -> list[Part]:
    """Build the section."""
    with section(N_('How long it took')):
        wait = _spread('wait', N_('Wait'), N_('From queued to the last start'), '--p-high', NOBODY_WAITED)
        response = _spread('response', N_('Response time'), N_('From queued to completed'), '--run')
        first = _spread('first_token', N_('Time to first token'), N_('From the request to the engine'), '--c4')
        why, speed = _why(), _speed()
    with section(N_('Queue and predictions')):
        depth, slots, held, how = _depth(), _slots(), _held(), _how()
    return [
        Part(wait, lambda round_: _show_spread(wait, round_, 'wait')),
        Part(response, lambda round_: _show_spread(response, round_, 'response')),
        Part(first, lambda round_: _show_spread(first, round_, 'first_token')),
        Part(why, lambda round_: _show_why(why, round_)),
        Part(speed, lambda round_: _show_speed(speed, round_)),
        Part(depth, lambda round_: _show_depth(depth, round_)),
        Part(slots, lambda round_: _show_slots(slots, round_)),
        Part(held, lambda round_: _show_held(held, round_)),
        Part(how, lambda round_: _show_how(how, round_)),
    ]


def _spread(file: str, title: str, hint: str, colour: str, empty: str = '') -> LiveChart:
    return LiveChart(
        'steps',
        'time',
        file=file,
        series=[
            {'id': 'p50', 'type': 'line', 'colour': colour, 'area': 0.1},
            {'id': 'p95', 'type': 'line', 'colour': colour, 'thin': True},
        ],
        title=title,
        hint=hint,
        p50=N_('Half within'),
        p95=N_('95% within'),
        **({'empty': empty} if empty else {}),
    ).classes('third')


async def _show_spread(chart: LiveChart, round_: Round, measure: str) -> None:
    await steps(
        chart,
        round_,
        lambda window: round_.ask('spread', window, step_s=round_.now.step_s),
        {
            'p50': lambda point: getattr(point, f'p50_{measure}_s'),
            'p95': lambda point: getattr(point, f'p95_{measure}_s'),
        },
        idle=measure == 'wait',
    )


def _speed() -> LiveChart:
    return LiveChart(
        'steps', 'speed', file='speed', title=N_('Tokens/s by model'), hint=N_('While an answer is written')
    )


async def _show_speed(chart: LiveChart, round_: Round) -> None:
    found: list[answers.ModelPoint] = await round_.ask('model_speed', step_s=round_.now.step_s)
    timed = [point for point in found if point.tokens_per_s is not None]
    if not timed:
        chart.show_empty()
        return
    points = await round_.ask('per_minute', step_s=round_.now.step_s)
    at = [point.at for point in points]
    weight: dict[str, int] = {}
    for point in timed:
        weight[point.model] = weight.get(point.model, 0) + point.completed
    models = sorted(weight, key=lambda model: -weight[model])[:MOST_MODELS]
    values = {(point.model, point.at): point.tokens_per_s for point in timed}
    series = {f'm{n}': rounded([values.get((model, when)) for when in at], 2) for n, model in enumerate(models)}
    called = {f'm{n}': model for n, model in enumerate(models)}
    chart.show(at=at, step_s=round_.now.step_s, span_s=round_.now.span_s, series=series, called=called)


def _depth() -> LiveChart:
    return LiveChart(
        'steps',
        'factor',
        file='queue',
        series=[
            {'id': 'waiting', 'type': 'line', 'colour': '--p-high', 'area': 0.14},
            {'id': 'most', 'type': 'line', 'colour': '--p-high', 'thin': True},
        ],
        title=N_('Length of the queue'),
        hint=N_('Jobs that waited for a slot'),
        waiting=N_('On average'),
        most=N_('At most'),
        empty=N_('Nothing waited in this time.'),
    )


async def _show_depth(chart: LiveChart, round_: Round) -> None:
    await steps(
        chart,
        round_,
        lambda window: round_.ask('queue_depth', window, step_s=round_.now.step_s),
        {'waiting': lambda point: point.waiting, 'most': lambda point: point.most},
    )


def _slots() -> LiveChart:
    return LiveChart(
        'steps',
        'factor',
        file='slots',
        series=[
            {'id': 'busy', 'type': 'line', 'colour': '--run', 'area': 0.16},
            {'id': 'slots', 'type': 'line', 'colour': '--ink3', 'thin': True},
        ],
        title=N_('Slots'),
        hint=N_('How many jobs ran at once, and how many could have'),
        busy=N_('Busy'),
        slots=N_('There'),
        empty=N_('No worker was there in this time.'),
    )


async def _show_slots(chart: LiveChart, round_: Round) -> None:
    await steps(
        chart,
        round_,
        lambda window: round_.ask('saturation', window, step_s=round_.now.step_s),
        {'busy': lambda point: point.busy, 'slots': lambda point: point.slots},
    )


def _why() -> LiveChart:
    return LiveChart(
        'ranks',
        'time',
        file='time',
        share=True,
        series=[{'id': 'wait', 'colour': '--p-high'}, {'id': 'run', 'colour': '--run'}],
        title=N_('Where the time went'),
        hint=N_('All jobs together, from question to answer'),
        wait=N_('Before the start'),
        run=N_('Afterwards'),
    )


async def _show_why(chart: LiveChart, round_: Round) -> None:
    found = await round_.ask('waits')
    known = [(name, text, getattr(found, name)) for name, text in WAITS.items() if getattr(found, name) > 0]
    if not known:
        chart.show_empty()
        return
    chart.show(
        names=[round_.said.tr(text) for _, text, _ in known],
        series={
            'wait': rounded([0.0 if name in RUN else value for name, _, value in known], 1),
            'run': rounded([value if name in RUN else 0.0 for name, _, value in known], 1),
        },
    )


def _held() -> LiveChart:
    return LiveChart(
        'steps',
        'share',
        file='predictions',
        series=[{'id': 'rate', 'type': 'line', 'colour': '--ok', 'area': 0.08}],
        title=N_('Predictions that held'),
        hint=N_('Jobs that started inside the interval that they were told'),
        rate=N_('Held'),
        empty=N_('No wait was told in this time.'),
    )


async def _show_held(chart: LiveChart, round_: Round) -> None:
    async def points(window):  # type: ignore[no-untyped-def]
        return (await round_.ask('eta', window, step_s=round_.now.step_s)).points

    await steps(chart, round_, points, {'rate': lambda point: point.hit_rate}, idle=False)


def _how() -> LiveChart:
    return LiveChart(
        'bins',
        'count',
        file='prediction-errors',
        series=[{'id': 'starts', 'colour': '--c6'}],
        title=N_('How far predictions were off'),
        hint=N_('The start, against the middle of the interval; at least so much early or late'),
        starts=N_('Starts'),
        name=N_('Start'),
        empty=N_('No wait was told in this time.'),
    )


async def _show_how(chart: LiveChart, round_: Round) -> None:
    found = await round_.ask('misses')
    if not any(found.starts):
        chart.show_empty()
        return
    tones = ['--run' if edge < 0 else '--p-high' for edge in found.edges_s]
    tones.insert(len(tones) // 2, '--ok')
    chart.show(names=_bins(round_.said, found.edges_s), series={'starts': found.starts}, tones=tones)


def _bins(said: Speech, edges_s: tuple[float, ...]) -> list[str]:
    """What the bins between these edges are called."""
    names = [said.tr('{time} early', time=said.seconds(-edge)) for edge in edges_s if edge < 0]
    names.append(said.tr('as told'))
    return [*names, *(said.tr('{time} late', time=said.seconds(edge)) for edge in edges_s if edge > 0)]
