"""``replay``: what another order of the queue would have done with the jobs there were."""

import http.client
import json
import time
import urllib.error
import urllib.request
from typing import Annotated, Any

import typer

from app.commands import moments
from app.commands.command import CommandError, Exit, Here, command, usage
from app.commands.moments import took
from app.commands.views import counted
from broker.rehearsal import POLICIES

app = typer.Typer()
ABOUT = {
    'recorded': 'what happened',
    'fifo': 'who comes first goes first',
    'priority': 'and levels of priority',
    'fair': 'and users share',
    'affinity': 'and models stay loaded for a while',
}
COLUMNS = ('order', 'wait mean', 'p50', 'p95', 'longest', '', 'model loads', 'slots busy', 'what it is')
PATIENCE_S = 600.0
BAR = 24  # characters
MOST_USERS = 8


@command(app, 'replay')
def replay(  # noqa: PLR0917  typer makes the options from the parameters
    here: Here,
    policy: Annotated[
        list[str] | None,
        typer.Option('--policy', metavar='|'.join(POLICIES), help='May be given more than once; otherwise all.'),
    ] = None,
    since: Annotated[str, typer.Option('--since', metavar='LENGTH', help='Jobs that ended in this time.')] = '7d',
    until: Annotated[str, typer.Option('--until', metavar='LENGTH', help='Only up to so long ago.')] = '0s',
    slots: Annotated[
        list[str] | None,
        typer.Option('--slots', metavar='WORKER=N', help='As if a worker had so many slots; may be repeated.'),
    ] = None,
    resident: Annotated[
        int | None,
        typer.Option(
            '--resident', min=1, max=100, help='As if engines kept so many models in memory.', show_default=False
        ),
    ] = None,
) -> None:
    """Play the jobs of a time once more under other orders, and compare how long people waited.

    Each order adds something to the one before: fifo, priority, fair, affinity; the last is what Corral does. The
    queue's own scheduling code decides; machines and the lengths of the jobs are those that were recorded.
    """
    now = time.time()
    wish = {
        'policies': list(policy or POLICIES),
        'since': now - _length('--since', since),
        'until': now - _length('--until', until),
        'slots': dict(_slots(each) for each in slots or ()),
        'resident': resident,
    }
    if unknown := [name for name in wish['policies'] if name not in POLICIES]:
        raise usage(f'--policy {unknown[0]} is not allowed: it should be one of {", ".join(POLICIES)}.')
    if wish['since'] >= wish['until']:
        raise usage('--until is not allowed: it should be shorter ago than --since.')
    found = _asked(here, wish)
    if here.out.as_json:
        here.out.document(found)
    elif not found['jobs']:
        here.out.note('No job ended in that time.')
    else:
        _show(here, found, asked=resident is not None)


def _show(here: Here, found: dict[str, Any], *, asked: bool) -> None:
    outcomes = [found['recorded'], *found['outcomes']]
    worst = max(each['waits']['p95_s'] for each in outcomes)
    here.out.table(COLUMNS, [_row(each, worst) for each in outcomes], empty='')
    for title, part in (('level', 'by_level'), ('user', 'by_user')):
        names = list(outcomes[0][part])[:MOST_USERS]
        rows = [
            [
                name or '-',
                *(took(each[part][name]['p95_s']) for each in outcomes),
                found['recorded'][part][name]['jobs'],
            ]
            for name in names
        ]
        here.out.say('')
        here.out.table((f'wait p95 by {title}', *(each['policy'] for each in outcomes), 'jobs'), rows, empty='')
    for name in found['strangers']:
        here.out.note(f'No job ran on {name} in that time, so its slots change nothing.')
    here.out.say('')
    cut = ', the last of them' if found['cut'] else ''
    here.out.say(
        f'{counted(found["jobs"], "job", "jobs")}{cut}. '
        f'{counted(found["resident"], "model", "models")} in memory at once, as {"asked" if asked else "recorded"}. '
        'Outages and pauses of then are not played again; limits are those of now.'
    )


def _row(outcome: dict[str, Any], worst: float) -> list[object]:
    waits = outcome['waits']
    bar = '█' * round(BAR * waits['p95_s'] / worst) if worst else ''
    times = [took(waits[name]) for name in ('mean_s', 'p50_s', 'p95_s', 'longest_s')]
    return [outcome['policy'], *times, bar, outcome['loads'], f'{outcome["busy"]:.0%}', ABOUT[outcome['policy']]]


def _asked(here: Here, wish: dict[str, Any]) -> dict[str, Any]:
    """What the running desk says: it alone has the statistics open."""
    corral = here.corral()
    request = urllib.request.Request(f'{corral.url}/api/replay', json.dumps(wish).encode())
    request.add_header('Content-Type', 'application/json')
    directly = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with here.out.progress('Playing the jobs once more', None) as progress:
            progress.reach(0)
            with directly.open(request, timeout=PATIENCE_S) as answer:
                return dict(json.load(answer))
    except urllib.error.HTTPError as error:
        raise CommandError(f'The desk refused that: {_why(error)}.') from None
    except (OSError, ValueError, http.client.HTTPException):
        raise CommandError(f'The desk at {corral.url} does not answer as it should.', Exit.NO_CORRAL) from None


def _why(error: urllib.error.HTTPError) -> str:
    try:
        with error:
            return str(json.load(error)['error']['message']).rstrip('.')
    except (OSError, ValueError, LookupError, TypeError, http.client.HTTPException):
        return f'it answered with status {error.code}'


def _length(option: str, text: str) -> float:
    try:
        return moments.length_s(text)
    except ValueError as error:
        raise usage(f'{option} {text} is not allowed: {error}.') from None


def _slots(text: str) -> tuple[str, int]:
    worker, equals, number = text.rpartition('=')
    if not (worker and equals and number.isascii() and number.isdecimal() and 1 <= int(number) <= 1024):
        raise usage(f'--slots {text} is not allowed: it should be like {worker or "gpu:1"}=2.')
    return worker, int(number)
