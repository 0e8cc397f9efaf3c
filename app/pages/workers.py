"""The machines, what they run now, and what they could run."""

import contextlib
import shlex
import time
from collections.abc import Awaitable
from typing import Any

from app import machines
from app.components.machine_board import MachineBoard
from app.i18n import N_, speech
from app.jobs import refusals
from app.parts import Parts
from app.shell import actions, theme
from app.visit import watch
from broker import errand, errors, network
from broker.client import new_job_id

LISTEN = 'python3 run.py --listen 0.0.0.0:8090'
JOIN = 'python3 run.py worker --join {place} --key {token} --name {name}'
LOCAL = 'python3 run.py worker --data-dir {data_dir}'


def create(parts: Parts) -> None:
    """Build the page."""
    bar, body = theme.page('Workers')
    with bar:
        figures = theme.text(classes='faint workers-figures')
        theme.box('grow')
        add = theme.button('Add a machine', lambda: _ask_join(parts, board), kind='primary', icon_name='workers')
    with body, theme.box('column'):
        board = MachineBoard(_state(parts), on_act=lambda action, what: _act(parts, board, action, what))
        with (
            board,
            theme.empty(
                'workers',
                'No worker is connected',
                'A worker brings the models of its machine to this queue. Start one, and you see here what it does.',
            ),
        ):
            theme.button('Add a machine', lambda: _ask_join(parts, board), kind='primary')

    def follow() -> None:
        board.show(_state(parts))
        figures.set_text(_figures(parts))
        add.set_visibility(bool(parts.board.workers()))  # else it is in the middle of the page

    actions.offer('Pull a model', board.open_pull, icon='plus')
    actions.offer('Add a machine', lambda: _ask_join(parts, board), icon='workers')
    follow()
    speech().on_switch(figures, follow)
    for subscribe in (parts.board.on_queue, parts.board.on_workers, parts.board.on_staff, parts.openings.on_news):
        watch(subscribe, follow)


def offer(parts: Parts) -> machines.State:
    """What the dialog "Add a machine" begins with: the place where others join, or how to let them."""
    listen = parts.settings.listen
    return {
        'local': LOCAL.format(data_dir=shlex.quote(str(parts.settings.data_dir))),
        'example': '' if listen else LISTEN,
        'place': network.reached(listen) if listen else '',
    }


async def _ask_join(parts: Parts, board: MachineBoard) -> None:
    """Open the dialog, with the machines that may join already."""
    known: list[str] = []
    if parts.settings.listen:
        with contextlib.suppress(errors.BrokerError):  # the commands are shown all the same
            known = [machine.name for machine in await parts.broker.machines()]
    board.open_join(offer(parts) | {'known': known})


async def _unjoin(parts: Parts, board: MachineBoard, name: str) -> None:
    """Let the workers of this machine join no more."""
    await parts.broker.remove_machine(name)
    await _ask_join(parts, board)


async def _join(parts: Parts, board: MachineBoard, name: str) -> None:
    """Show the command for one machine more; the key in it is shown this once."""
    made = await parts.broker.add_machine(name)
    place = network.reached(made.listen)
    command = JOIN.format(place=place, token=made.token, name=shlex.quote(name))
    board.open_join({'place': place, 'command': command})


def _state(parts: Parts) -> machines.State:
    return machines.state_of(parts.board, parts.name_of, time.time())


def _figures(parts: Parts) -> str:
    said, workers = speech(), parts.board.workers()
    if not workers:
        return ''
    hosts = len({worker.host for worker in workers})
    busy, slots = sum(worker.busy for worker in workers), sum(worker.slots for worker in workers)
    return ' · '.join(
        (
            said.trn('{n} machine', '{n} machines', hosts),
            said.trn('{n} worker', '{n} workers', len(workers)),
            said.tr('{busy} of {slots} slots busy', busy=said.number(busy), slots=said.number(slots)),
        )
    )


async def _act(parts: Parts, board: MachineBoard, action: str, what: dict[str, Any]) -> None:
    """Do what was clicked. Each of these is harmless to repeat."""
    broker, worker = parts.broker, str(what.get('worker', ''))
    wishes: dict[str, tuple[Any, str]] = {
        'pause': (lambda: broker.pause('worker', worker), N_('Nothing new starts there until you resume.')),
        'resume': (lambda: broker.resume('worker', worker), N_('It gets jobs again.')),
        'drain': (lambda: broker.drain('worker', worker), N_('Nothing new starts there. Watch it become idle.')),
        'retire': (lambda: broker.retire(worker), N_('It leaves when its jobs are done.')),
        'errand': (lambda: broker.run_errand(worker, _order(what)), ''),
        'join': (lambda: _join(parts, board, str(what.get('name', ''))), ''),
        'unjoin': (lambda: _unjoin(parts, board, str(what.get('name', ''))), N_('It may join no more.')),
        'stop': (lambda: broker.cancel_errand(str(what.get('errand', ''))), ''),
    }
    if action in wishes:
        wish, done = wishes[action]
        await _do(wish(), done)
    if key := str(what.get('key', '')):
        board.settle(key)


def _order(what: dict[str, Any]) -> errand.Order:
    keep_s = errand.FOR_EVER if what.get('keep') == errand.FOR_EVER else 0.0
    return errand.Order(
        errand_id=new_job_id(), action=str(what.get('action', '')), model=str(what.get('model', '')), keep_s=keep_s
    )


async def _do(wish: Awaitable[object], done: str) -> None:
    said = speech()
    try:
        await wish
    except errors.Refused as refused:
        known = {
            'not_found': N_('That worker is not there any more.'),
            'too_many': N_('That worker is busy with its models. Wait until some of that has ended.'),
            'bad_request': N_('That name cannot be used. Check it and try again.'),
            'conflict': N_('That name is taken by another machine. Choose another one.'),
        }
        theme.toast(said.tr(known[refused.code]) if refused.code in known else refusals.why(refused, said), bad=True)
    except errors.BrokerError as error:
        theme.toast(refusals.why(error, said), bad=True)
    else:
        if done:
            theme.toast(said.tr(done))
