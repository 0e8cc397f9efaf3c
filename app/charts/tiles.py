"""The figures on top, each with its change against the period before."""

from typing import Any

from analytics import answers
from app.charts.part import Part, Round, rounded
from app.charts.week import change, tone
from app.components.tiles import Tile, Tiles
from app.i18n import N_, Speech


def create() -> list[Part]:
    """Build the row."""
    tiles = Tiles(wait=10)
    return [Part(tiles, lambda round_: _show(tiles, round_))]


async def _show(tiles: Tiles, round_: Round) -> None:
    both = await round_.ask('compare')
    points = await round_.ask('per_minute', step_s=round_.now.step_s)
    eta = await round_.ask('eta', step_s=round_.now.step_s)
    old = await round_.ask('eta', round_.before, step_s=round_.now.step_s)
    known = not both.before.total or round_.before.recorded(await round_.book.first_end())
    tiles.show(figures(round_.said, both, points, eta, old, compares=known))


def figures(
    said: Speech,
    both: answers.Comparison,
    points: list[answers.Point],
    eta: answers.Eta,
    old: answers.Eta,
    *,
    compares: bool = True,
) -> list[Tile]:
    """All tiles, in words; without their changes where the time before was not recorded."""
    now, before = both.now, both.before

    def tile(name: str, title: str, figure: str, under: str, spark: list[float | None], **more: Any) -> Tile:
        return {
            'id': name, 'title': said.tr(title), 'figure': figure, 'unit': more.pop('unit', ''), 'under': under,
            'spark': rounded(spark), **(_change(said, **more) if more and compares else {'change': '', 'tone': ''}),
        }  # fmt: skip

    def time_of(value: float | None) -> str:
        return '–' if value is None else said.seconds(value)

    def most(value: float | None) -> str:
        return '' if value is None else said.tr('95% within {most}', most=said.seconds(value))

    ended = [point.completed + point.failed + point.cancelled for point in points]
    success = [_share(point.completed, point.completed + point.failed) for point in points]
    return [
        tile('total', N_('Jobs ended'), said.number(now.total),
             said.tr('{failed} failed, {cancelled} cancelled', failed=said.number(now.failed),
                     cancelled=said.number(now.cancelled)),
             [*ended], now=now.total, before=before.total, better=0),
        tile('success', N_('Success rate'), '–' if now.success_rate is None else said.percent(now.success_rate, 1),
             said.tr('of completed and failed jobs'), success,
             now=now.success_rate, before=before.success_rate, better=1, points=True),
        tile('wait', N_('Median wait'), time_of(now.p50_wait_s), most(now.p95_wait_s),
             [point.mean_wait_s for point in points], now=now.p50_wait_s, before=before.p50_wait_s, better=-1),
        tile('response', N_('Median response'), time_of(now.p50_response_s), most(now.p95_response_s),
             [point.mean_response_s for point in points],
             now=now.p50_response_s, before=before.p50_response_s, better=-1),
        tile('first', N_('Time to first token'), time_of(now.mean_first_token_s), most(now.p95_first_token_s),
             [point.mean_first_token_s for point in points],
             now=now.mean_first_token_s, before=before.mean_first_token_s, better=-1),
        tile('throughput', N_('Throughput'), said.number(now.per_minute, 2 if now.per_minute < 10 else 0),
             said.tr('{n} in the last 5 minutes', n=said.number(now.per_minute_now, 1)),
             [point.completed for point in points], unit=said.tr('per minute'),
             now=now.per_minute, before=before.per_minute, better=1),
        tile('tokens', N_('Tokens written'), said.compact(now.output_tokens),
             said.tr('{n} read', n=said.compact(now.prompt_tokens)), [point.output_tokens for point in points],
             now=now.output_tokens, before=before.output_tokens, better=0),
        tile('speed', N_('Speed'), '–' if now.tokens_per_s is None else said.number(now.tokens_per_s, 1),
             said.tr('while an answer is written'), [], unit=said.tr('tokens/s') if now.tokens_per_s else '',
             now=now.tokens_per_s, before=before.tokens_per_s, better=1),
        tile('gpu', N_('GPU time'), time_of(now.gpu_s or None),
             _energy(said, now.energy_wh) if now.energy_wh else
             said.trn('{n} attempt was repeated', '{n} attempts were repeated', now.retries),
             [], now=now.gpu_s, before=before.gpu_s, better=0),
        tile('eta', N_('Predictions that held'), '–' if eta.hit_rate is None else said.percent(eta.hit_rate, 0),
             said.tr('of {n} waits that were told', n=said.number(eta.told)) if eta.told else
             said.tr('no wait was told'),
             [point.hit_rate for point in eta.points], now=eta.hit_rate, before=old.hit_rate, better=1, points=True),
    ]  # fmt: skip


def _change(
    said: Speech, *, now: float | None, before: float | None, better: int, points: bool = False
) -> dict[str, str]:
    return {'change': change(said, now, before, points=points), 'tone': tone(now, before, better)}


def _energy(said: Speech, energy_wh: float) -> str:
    if energy_wh < 100:
        return said.tr('{n} Wh', n=said.number(energy_wh, 2 if energy_wh < 10 else 1))
    return said.tr('{n} kWh', n=said.number(energy_wh / 1000, 2))


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None
