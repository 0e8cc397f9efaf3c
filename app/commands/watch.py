"""``watch``: the queue on the screen, live; where there is no screen, every step as a line."""

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.commands import follow
from app.commands.command import Here, command
from app.commands.moments import shown, took
from app.commands.output import rich_table
from app.commands.terminal import clean_line
from app.commands.views import counted, fact_dict, fact_text, pause_text, why_waiting
from broker import facts, protocol
from broker.job import State

if TYPE_CHECKING:
    from app.board import Board
    from app.views import JobView
    from broker.client import BrokerClient

app = typer.Typer()
EVERY_S = 0.5
COLUMNS = ('id', 'state', 'model', 'prio', 'user', 'since', 'what')


@command(app, 'watch')
async def watch(
    here: Here,
    broker: 'BrokerClient',
    limit: Annotated[int, typer.Option('--limit', '-n', min=1, max=1000, help='So many jobs that wait.')] = 20,
) -> None:
    """The queue, live, until Ctrl-C. In a pipe, or as JSON, each step of each job as a line."""
    if here.out.as_json or not here.out.on_terminal:
        await _tell(here, broker)
    else:
        await _show(here, broker, limit)


def row(job: 'JobView', now: float) -> list[str]:
    """A job that waits or runs, in a table with ``COLUMNS``."""
    if job.held:
        what = f'{job.worker}, {counted(job.tokens, "token", "tokens")}, {job.tokens_per_s:.0f}/s'
        since = took(now - job.started_at)
    else:
        what = _why(job, now)
        since = took(now - job.queued_at)
    cells = (job.job_id, job.state, job.model, job.priority, job.user, since, what)
    return [clean_line(str(cell)) for cell in cells]


def _why(job: 'JobView', now: float) -> str:
    if job.state is State.DELAYED:
        return f'not before {shown(job.due_at, now)}'
    if job.state is State.BLOCKED:
        return f'after {counted(job.after, "other", "others")}'
    return why_waiting(job, now)


async def _tell(here: Here, broker: 'BrokerClient') -> None:
    """Every fact from now on."""
    seq = (await broker.ping()).seq
    here.out.note('Watching; Ctrl-C ends it.')
    async for item in follow.heard(here, broker, seq):
        if not isinstance(item, protocol.FactOut):
            continue
        if here.out.as_json:
            here.out.line(fact_dict(item.fact))
        else:
            here.out.say(f'{shown(item.fact.at, time.time())}  {_subject(item.fact)}  {fact_text(item.fact)}')


def _subject(fact: facts.AnyFact) -> str:
    for name in ('job_id', 'worker', 'batch_id', 'schedule_id', 'scope'):
        if found := getattr(fact, name, ''):
            return str(found)
    return ''


async def _show(here: Here, broker: 'BrokerClient', limit: int) -> None:
    from rich.console import Console
    from rich.live import Live

    from app.board import Board
    from app.feed import Feed

    logging.getLogger('app.feed').addHandler(logging.NullHandler())  # the screen says it, too
    board = Board()
    pid = here.corral().pid
    feeding = asyncio.create_task(Feed(broker, board, lambda fact: None).run(), name='feed')
    try:
        with Live(console=Console(highlight=False), auto_refresh=False, screen=True) as live:
            while True:
                live.update(picture(board, time.time(), limit), refresh=True)
                await asyncio.sleep(EVERY_S)
                follow.check(here, pid)
    finally:
        feeding.cancel()
        await asyncio.gather(feeding, return_exceptions=True)


def picture(board: 'Board', now: float, limit: int) -> Any:
    """What is on the screen."""
    from rich.console import Group
    from rich.text import Text

    counts = board.counts()
    head = (
        f'{counts.waiting} waiting, {counts.running} running on {counted(counts.workers, "worker", "workers")} with '
        f'{counted(counts.slots, "slot", "slots")}, {counts.tokens_per_s:.0f} tokens/s'
    )
    pauses = [protocol.PauseInfo(scope=scope, name=name) for scope, name in sorted(board.pauses)]
    parts = [Text(head, style='bold')]
    if pauses:
        parts.append(Text(clean_line(f'paused: {", ".join(map(pause_text, pauses))}'), style='yellow'))
    if not board.broker_alive:
        parts.append(Text('The queue does not answer at the moment.', style='red'))
    jobs = [*board.running(), *board.waiting(limit)]
    table = rich_table(COLUMNS, [row(job, now) for job in jobs])
    left = counts.waiting - limit
    tail = [Text(f'… and {left} more wait', style='dim')] if left > 0 else []
    return Group(*parts, table, *tail)
