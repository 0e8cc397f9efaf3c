"""``cron``: jobs that are made again and again."""

import time
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from app.commands import moments, request
from app.commands.bulk import Kind
from app.commands.command import CommandError, Exit, Here, command
from broker import protocol

if TYPE_CHECKING:
    from broker.client import BrokerClient

app = typer.Typer(no_args_is_help=True, help='Schedules: jobs that are made again and again.')
COLUMNS = ('id', 'name', 'cron', 'zone', 'model', 'kind', 'prio', 'next', 'state')
Named = Annotated[str, typer.Argument(metavar='NAME', help='Its name or id.', show_default=False)]


class Missed(StrEnum):
    """What happens when its time passed while Corral was off."""

    SKIP = 'skip'
    ONCE = 'once'


@command(app, 'add')
async def add(
    here: Here,
    broker: 'BrokerClient',
    *,
    name: Annotated[str, typer.Argument(help='What to call it.', show_default=False)],
    cron: Annotated[str, typer.Argument(help='When, like "0 9 * * 1-5".', show_default=False)],
    prompt: Annotated[
        str, typer.Argument(metavar='PROMPT', help='What to ask; without it, stdin.', show_default=False)
    ] = '',
    model: Annotated[
        str, typer.Option('--model', '-m', help='Which model; not needed where there is one.', show_default=False)
    ] = '',
    kind: Annotated[Kind, typer.Option('--kind', '-k', help='What the job is.')] = Kind.CHAT,
    system: Annotated[str, typer.Option('--system', help='The system prompt.', show_default=False)] = '',
    timezone: Annotated[
        str, typer.Option('--timezone', help='An IANA name; by default that of this machine.', show_default=False)
    ] = '',
    priority: Annotated[
        str, typer.Option('--priority', '-p', metavar='0-15|auto', help='Higher goes first; low, normal, high too.')
    ] = '5',
    user: Annotated[str, typer.Option('--user', '-u', help='For whom.', show_default=False)] = '',
    missed: Annotated[Missed, typer.Option('--missed', help='What happens to times while Corral was off.')] = (
        Missed.SKIP
    ),
    off: Annotated[bool, typer.Option('--disabled', help='Do not begin yet.')] = False,
) -> None:
    """Make a job by a schedule, from now on. The same name again replaces the schedule."""
    text, _ = request.prompt(prompt, [])
    model = await request.model_for(broker, model, kind)
    known = [each.schedule for each in await _all(broker) if each.schedule.name == name]
    schedule = protocol.Schedule(
        schedule_id=known[0].schedule_id if known else _new_id(),
        name=name,
        cron=cron,
        kind=str(kind),
        model=model,
        body=_body(kind, model, text, system),
        timezone=timezone or moments.zone(),
        enabled=not off,
        missed=str(missed),
        priority=request.priority(priority),
        user=user,
    )
    await broker.set_schedule(schedule)
    await _tell(here, broker, schedule.schedule_id, 'replaced' if known else 'added')


@command(app, 'list')
async def list_schedules(here: Here, broker: 'BrokerClient') -> None:
    """All schedules and when they are due next."""
    found = await _all(broker)
    if here.out.as_json:
        here.out.document([_dict(each) for each in found])
        return
    now = time.time()
    here.out.table(COLUMNS, [_row(each, now) for each in found], empty='No schedules.')


@command(app, 'enable')
async def enable(here: Here, broker: 'BrokerClient', name: Named) -> None:
    """Let a schedule make jobs again."""
    await _switch(here, broker, name, on=True)


@command(app, 'disable')
async def disable(here: Here, broker: 'BrokerClient', name: Named) -> None:
    """Let a schedule make no jobs until it is enabled; those it has made go on."""
    await _switch(here, broker, name, on=False)


@command(app, 'remove')
async def remove(here: Here, broker: 'BrokerClient', name: Named) -> None:
    """Remove a schedule; the jobs it has made go on."""
    found = await _named(broker, name)
    await broker.remove_schedule(found.schedule.schedule_id)
    if here.out.as_json:
        here.out.document({'id': found.schedule.schedule_id, 'removed': True})
    else:
        here.out.say(f'Schedule {name} is removed.')


@command(app, 'next')
async def show_next(
    here: Here,
    broker: 'BrokerClient',
    name: Annotated[str, typer.Argument(metavar='NAME', help='One schedule; without it, all.')] = '',
    count: Annotated[int, typer.Option('--count', '-n', min=1, max=100, help='So many times.')] = 5,
) -> None:
    """When schedules are due next, in local time."""
    found = [await _named(broker, name, count)] if name else await _all(broker, count)
    runs = [(at, each.schedule) for each in found for at in each.next_runs if each.schedule.enabled]
    due = sorted(runs, key=lambda run: (run[0], run[1].name))[:count]
    if here.out.as_json:
        here.out.document([{'at': moments.iso(at), 'id': each.schedule_id, 'name': each.name} for at, each in due])
        return
    now = time.time()
    rows = [(_local(at), f'in {moments.took(at - now)}', each.name, each.model) for at, each in due]
    here.out.table(('at', 'in', 'name', 'model'), rows, empty='Nothing is due.')


async def _switch(here: Here, broker: 'BrokerClient', name: str, *, on: bool) -> None:
    found = await _named(broker, name)
    schedule = msgspec.structs.replace(found.schedule, enabled=on)
    await broker.set_schedule(schedule)
    await _tell(here, broker, schedule.schedule_id, 'enabled' if on else 'disabled')


async def _tell(here: Here, broker: 'BrokerClient', schedule_id: str, what: str) -> None:
    found = await _named(broker, schedule_id)
    if here.out.as_json:
        here.out.document(_dict(found))
        return
    due = f'; it is due at {_local(found.next_runs[0])}' if found.next_runs and found.schedule.enabled else ''
    here.out.say(f'Schedule {found.schedule.name} is {what}{due}.')


async def _all(broker: 'BrokerClient', runs: int = 3) -> list[protocol.ScheduleInfo]:
    found: list[protocol.ScheduleInfo] = []
    more = True
    while more:
        after_id = found[-1].schedule.schedule_id if found else ''
        page = await broker.schedules(after_id=after_id, runs=runs)
        found += page.schedules
        more = page.more
    return found


async def _named(broker: 'BrokerClient', name: str, runs: int = 3) -> protocol.ScheduleInfo:
    everything = await _all(broker, runs)
    found = [each for each in everything if each.schedule.schedule_id == name] or [
        each for each in everything if each.schedule.name == name
    ]
    if len(found) == 1:
        return found[0]
    if not found:
        raise CommandError(f'There is no schedule called {name}; "cron list" shows all.')
    raise CommandError(f'Several schedules are called {name}; name one by its id.', Exit.USAGE)


def _body(kind: str, model: str, text: str, system: str) -> bytes:
    said = [{'role': 'system', 'content': system}] if system else []
    by_kind: dict[str, dict[str, Any]] = {
        'chat': {'messages': [*said, {'role': 'user', 'content': text}], 'stream': True},
        'generate': {'prompt': text, 'stream': True} | ({'system': system} if system else {}),
        'embed': {'input': [text]},
    }
    return msgspec.json.encode({'model': model, **by_kind[kind]})


def _new_id() -> str:
    from broker.client import new_job_id

    return new_job_id()


def _local(at: float) -> str:
    return time.strftime('%Y-%m-%d %H:%M', time.localtime(at))


def _row(found: protocol.ScheduleInfo, now: float) -> tuple[object, ...]:
    each = found.schedule
    due = moments.shown(found.next_runs[0], now) if found.next_runs and each.enabled else ''
    state = 'enabled' if each.enabled else 'disabled'
    return (each.schedule_id, each.name, each.cron, each.timezone, each.model, each.kind, each.priority, due, state)


def _dict(found: protocol.ScheduleInfo) -> dict[str, Any]:
    each = msgspec.structs.asdict(found.schedule)
    body = msgspec.json.decode(each.pop('body'))
    each['id'] = each.pop('schedule_id')
    each['last_tick'] = moments.iso(found.schedule.last_tick)
    return each | {'body': body, 'next_runs': [moments.iso(at) for at in found.next_runs]}
