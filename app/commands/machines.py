"""``machines``: the machines of the network whose workers may join."""

import shlex
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.commands.command import CommandError, Here, command
from app.commands.moments import iso, shown
from broker import errors, network

if TYPE_CHECKING:
    from broker.client import BrokerClient

app = typer.Typer(help='Machines of the network whose workers may join: list, add, remove.')
JOIN = 'python3 run.py worker --join {place} --key {token} --name {name}'

Name = Annotated[str, typer.Argument(metavar='NAME', help='The name of the machine.')]


@command(app, 'list')
async def listed(here: Here, broker: 'BrokerClient') -> None:
    """The machines that may join."""
    found = await broker.machines()
    if here.out.as_json:
        here.out.document([{'name': each.name, 'added_at': iso(each.added_at)} for each in found])
    else:
        here.out.table(
            ('machine', 'since'),
            [(m.name, shown(m.added_at, time.time())) for m in found],
            empty='No machine may join.',
        )


@command(app, 'add')
async def add(here: Here, broker: 'BrokerClient', name: Name) -> None:
    """Let one more join: prints the command for it, with a key that is shown only this once."""
    made = await _asked(broker.add_machine(name))
    place = network.reached(made.listen)
    line = JOIN.format(place=place, token=made.token, name=shlex.quote(name))
    if here.out.as_json:
        here.out.document({'name': name, 'place': place, 'key': made.token, 'command': line})
        return
    here.out.note('Run this on that machine, in a folder with Corral in it. The key is shown only now.')
    here.out.text(line)


@command(app, 'remove')
async def remove(here: Here, broker: 'BrokerClient', name: Name) -> None:
    """Let it join no more. Its workers that are connected end at once, and their jobs go to others."""
    await _asked(broker.remove_machine(name))
    here.out.say(f'{name} may join no more.')


async def _asked(wish: Any) -> Any:
    try:
        return await wish
    except errors.Refused as refused:
        raise CommandError(f'{refused.detail[:1].upper()}{refused.detail[1:]}.') from None
