"""``stats``: figures from the jobs that the queue still keeps."""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from app.commands import jobs, moments
from app.commands.command import Here, command, usage
from app.commands.moments import took
from broker import protocol
from broker.job import FINAL, Job, State

if TYPE_CHECKING:
    from broker.client import BrokerClient

app = typer.Typer()
COLUMNS = (
    '',
    'jobs',
    'completed',
    'failed',
    'cancelled',
    'success',
    'wait p50',
    'wait p95',
    'run p50',
    'run p95',
    'tokens',
    'tokens/s',
)


@command(app, 'stats')
async def stats(
    here: Here,
    broker: 'BrokerClient',
    since: Annotated[str, typer.Option('--since', metavar='LENGTH', help='Jobs queued in this time.')] = '24h',
    model: jobs.Model = '',
    user: jobs.User = '',
) -> None:
    """How the queue did lately: success, waits, running times and speed, in all and by model, priority and user.

    It counts the jobs that are still kept, and of these the ones queued in the time asked for; the analytics page
    of the desk goes back further.
    """
    try:
        length_s = moments.length_s(since)
    except ValueError as error:
        raise usage(f'--since {since} is not allowed: {error}.') from None
    now = time.time()
    found = await _since(here, broker, protocol.FindJobs(model=model, user=user), now - length_s)
    groups = {
        'model': _by(found, lambda job: job.model),
        'priority': _by(found, lambda job: str(job.priority)),
        'user': _by(found, lambda job: job.user),
    }
    if here.out.as_json:
        here.out.document(
            {'since': moments.iso(now - length_s), 'until': moments.iso(now), 'all': figures(found)}
            | {name: {key: figures(part) for key, part in parts.items()} for name, parts in groups.items()}
        )
        return
    if not found:
        here.out.note(f'No job was queued in the last {took(length_s)}.')
        return
    rows = [_row('all', figures(found))]
    for name, parts in groups.items():
        rows += [_row(f'{name} {key or "–"}', figures(part)) for key, part in parts.items()]
    here.out.table(COLUMNS, rows, empty='')
    per_minute = sum(job.state is State.COMPLETED for job in found) / (length_s / 60) if length_s else 0.0
    here.out.say(f'{per_minute:.2f} completed per minute over the last {took(length_s)}.')


def figures(found: Sequence[Job]) -> dict[str, Any]:
    """The figures of some jobs; None where there is nothing to measure."""
    ended = [job for job in found if job.state in FINAL]
    completed = [job for job in ended if job.state is State.COMPLETED]
    dead = sum(job.state is State.DEAD for job in ended)
    waits = [job.started_at - job.queued_at for job in found if job.started_at]
    runs = [job.ended_at - job.started_at for job in completed if job.started_at]
    tokens = sum(job.usage.output_tokens for job in found)
    decode_s = sum(job.usage.decode_s for job in found)
    return {
        'jobs': len(found),
        'alive': len(found) - len(ended),
        'completed': len(completed),
        'dead': dead,
        'cancelled': sum(job.state is State.CANCELLED for job in ended),
        'success_rate': round(len(completed) / (len(completed) + dead), 4) if completed or dead else None,
        'wait_p50_s': quantile(waits, 0.5),
        'wait_p95_s': quantile(waits, 0.95),
        'run_p50_s': quantile(runs, 0.5),
        'run_p95_s': quantile(runs, 0.95),
        'run_mean_s': round(sum(runs) / len(runs), 3) if runs else None,
        'output_tokens': tokens,
        'tokens_per_s': round(tokens / decode_s, 1) if decode_s else None,
    }


def quantile(values: Iterable[float], share: float) -> float | None:
    """The value below which this share of the values lies, between neighbours where it falls between them."""
    ordered = sorted(values)
    if not ordered:
        return None
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return round(ordered[low] + (ordered[high] - ordered[low]) * (place - low), 3)


async def _since(here: Here, broker: 'BrokerClient', wanted: protocol.FindJobs, after: float) -> list[Job]:
    found: list[Job] = []
    more = True
    with here.out.progress('Reading jobs', None) as progress:
        while more:
            before = found[-1].order if found else 0
            page = await broker.find(msgspec.structs.replace(wanted, before_order=before, limit=jobs.PAGE))
            found += page.jobs
            more = page.more and bool(page.jobs) and page.jobs[-1].queued_at >= after
            progress.reach(len(found))
    return [job for job in found if job.queued_at >= after]


def _by(found: Iterable[Job], key: Callable[[Job], str]) -> dict[str, list[Job]]:
    parts: dict[str, list[Job]] = {}
    for job in found:
        parts.setdefault(key(job), []).append(job)
    return dict(sorted(parts.items(), key=lambda part: -len(part[1])))


def _row(name: str, figure: dict[str, Any]) -> tuple[object, ...]:
    def length(key: str) -> str:
        return took(figure[key]) if figure[key] is not None else ''

    rate = figure['success_rate']
    return (
        name,
        str(figure['jobs']),
        str(figure['completed']),
        str(figure['dead']),
        str(figure['cancelled']),
        f'{rate:.0%}' if rate is not None else '',
        *map(length, ('wait_p50_s', 'wait_p95_s', 'run_p50_s', 'run_p95_s')),
        str(figure['output_tokens']),
        figure['tokens_per_s'] or '',
    )
