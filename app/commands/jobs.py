"""Commands about jobs: list, status, result, cancel, priority, retry."""

import sys
import time
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from app.commands import answers, overview, telling
from app.commands.command import CommandError, Exit, Here, command, usage
from app.commands.moments import shown
from app.commands.terminal import clean
from app.commands.views import JOB_COLUMNS, fact_dict, fact_text, job_dict, job_fields, job_row
from broker import errors, protocol
from broker.job import FINAL, MAX_PRIORITY, MIN_PRIORITY, Job, State

if TYPE_CHECKING:
    from broker.client import BrokerClient

PAGE = 200
LAST = 'last'  # the newest job, instead of an id

app = typer.Typer()

JobId = Annotated[str, typer.Argument(metavar='ID', help='The job; "last" is the newest one.', show_default=False)]
JobIds = Annotated[list[str], typer.Argument(metavar='ID…', help='The jobs; "last" is the newest one.')]
States = Annotated[
    list[State] | None, typer.Option('--state', '-s', help='Only jobs in this state; may be given more than once.')
]
Model = Annotated[str, typer.Option('--model', '-m', help='Only jobs of this model.', show_default=False)]
User = Annotated[str, typer.Option('--user', '-u', help='Only jobs of this user.', show_default=False)]
Parent = Annotated[str, typer.Option('--parent', help='Only jobs of this batch.', show_default=False)]


@command(app, 'list')
async def list_jobs(
    here: Here,
    broker: 'BrokerClient',
    *,
    state: States = None,
    model: Model = '',
    user: User = '',
    parent: Parent = '',
    limit: Annotated[int, typer.Option('--limit', '-n', min=1, max=100_000, help='So many at most.')] = 20,
) -> None:
    """Jobs, newest first."""
    wanted = protocol.FindJobs(states=tuple(state or ()), model=model, user=user, parent=parent)
    found, more = await newest(here, broker, wanted, limit)
    if here.out.as_json:
        here.out.document([job_dict(job) for job in found])
        return
    now = time.time()
    here.out.table(JOB_COLUMNS, [job_row(job, now) for job in found], empty='No jobs.')
    if more and here.out.on_terminal:
        here.out.note(f'There are more: --limit {limit * 5} shows them.')


@command(app, 'status')
async def status(
    here: Here,
    broker: 'BrokerClient',
    job_id: Annotated[str, typer.Argument(metavar='ID', help='A job; without one, the whole.')] = '',
) -> None:
    """How a job stands, with its history; without an id how the whole does."""
    if not job_id:
        await overview.show(here, broker)
        return
    found = await broker.get(await job_id_of(broker, job_id))
    history = await broker.history(found.job.job_id)
    if here.out.as_json:
        ahead = found.ahead if found.ahead >= 0 else None
        here.out.document(job_dict(found.job) | {'ahead': ahead, 'history': [fact_dict(fact) for fact in history]})
        return
    now = time.time()
    here.out.fields(job_fields(found.job, found.ahead, now))
    print()
    for fact in history:
        here.out.say(f'{shown(fact.at, now)}  {fact_text(fact)}')
        if trace := getattr(fact, 'trace', ''):
            here.out.text(clean(trace))


@command(app, 'result')
async def result(
    here: Here,
    broker: 'BrokerClient',
    job_id: JobId,
    raw: Annotated[bool, typer.Option('--raw', help='The engine’s own lines, as they came.')] = False,
    wait: Annotated[bool, typer.Option('--wait', '-w', help='Wait for the end of the job first.')] = False,
) -> int:
    """The answer of a job. Where it is not complete: what there is of it, and exit code 1."""
    job_id = await job_id_of(broker, job_id)
    if wait:
        await telling.ended(here, broker, job_id)
    job = (await broker.get(job_id)).job
    lines = (await broker.read_all(job_id, job.epoch)).lines
    if raw and not sys.stdout.isatty():
        sys.stdout.buffer.write(b''.join(line + b'\n' for line in lines))
        sys.stdout.buffer.flush()
    elif raw:
        for line in lines:
            here.out.text(clean(line.decode(errors='replace')))
    else:
        telling.answer(here, job, lines)
    return telling.verdict(here, job, answers.status(lines) if job.kind == 'raw' else 0)


@command(app, 'cancel')
async def cancel(
    here: Here,
    broker: 'BrokerClient',
    job_ids: JobIds,
    waiting: Annotated[bool, typer.Option('--waiting', help='Only while it waits; what runs goes on.')] = False,
) -> int:
    """Stop jobs, whether they wait or run."""

    async def stop(job_id: str) -> str:
        await broker.cancel(job_id, waiting=waiting)
        return 'cancelled' if (await broker.get(job_id)).job.state in FINAL else 'told to stop'

    return await _each(here, broker, job_ids, stop)


@command(app, 'priority')
async def priority(
    here: Here,
    broker: 'BrokerClient',
    job_id: JobId,
    level: Annotated[
        int, typer.Argument(metavar='N', min=MIN_PRIORITY, max=MAX_PRIORITY, help='0 to 15; higher goes first.')
    ],
) -> int:
    """Move a job that waits to another priority."""

    async def move(job_id: str) -> str:
        await broker.set_priority(job_id, level)
        return f'priority {level}'

    return await _each(here, broker, [job_id], move)


@command(app, 'retry')
async def retry(here: Here, broker: 'BrokerClient', job_ids: JobIds) -> int:
    """Do jobs that failed for good again, as new jobs. Asked twice, it is done once."""
    return await replay(here, broker, job_ids)


async def replay(here: Here, broker: 'BrokerClient', job_ids: list[str]) -> int:
    """Replay each job once; returns the exit code."""
    from broker.client import replay_id

    async def again(job_id: str) -> str:
        accepted = await broker.replay(job_id, replay_id(job_id))
        return f'{"was queued before" if accepted.duplicate else "queued"} as {accepted.job_id}'

    return await _each(here, broker, job_ids, again)


async def newest(here: Here, broker: 'BrokerClient', wanted: protocol.FindJobs, limit: int) -> tuple[list[Job], bool]:
    """The newest jobs that match, and whether there may be more."""
    found: list[Job] = []
    more = True
    with here.out.progress('Reading jobs', limit) as progress:
        while more and len(found) < limit:
            before = found[-1].order if found else 0
            page = await broker.find(
                msgspec.structs.replace(wanted, before_order=before, limit=min(PAGE, limit - len(found)))
            )
            found += page.jobs
            more = page.more and bool(page.jobs)
            progress.reach(len(found))
    return found, more


async def job_id_of(broker: 'BrokerClient', text: str) -> str:
    """The id that is meant. Raises ``CommandError``."""
    if text == LAST:
        newest = (await broker.find(protocol.FindJobs(limit=1))).jobs
        if not newest:
            raise CommandError('There is no job yet.')
        return newest[0].job_id
    return id_in(text, 'job')


def id_in(text: str, what: str) -> str:
    """The id of a job or a batch. Raises ``CommandError``."""
    job_id = text.strip().lower().replace('-', '')
    if len(job_id) != 32 or not set(job_id) <= set('0123456789abcdef'):
        raise usage(f'{text} is no {what} id: that is 32 hexadecimal digits, or "{LAST}" for the newest {what}.')
    return job_id


async def _each(here: Here, broker: 'BrokerClient', job_ids: list[str], deed: telling.Deed) -> int:
    """Do it with each job; one that is refused stops no other."""
    told, code = [], Exit.OK
    for job_id in [await job_id_of(broker, text) for text in job_ids]:
        try:
            told.append({'job_id': job_id, 'ok': True, 'result': await deed(job_id)})
            here.out.say(f'{job_id}  {told[-1]["result"]}')
        except errors.Refused as refused:
            from app.commands import reach

            code = Exit.FAILED
            told.append({'job_id': job_id, 'ok': False, 'code': refused.code, 'result': reach.words(refused)})
            here.out.note(f'{job_id}  {told[-1]["result"]}')
    if here.out.as_json:
        here.out.document(told)
    return code
