"""The queue as it is now: what runs, what waits in which lane, what ended lately."""

import asyncio
from collections.abc import Awaitable

import msgspec
from nicegui import context

from app.components.queue_board import Ids, QueueBoard
from app.i18n import N_, T, speech
from app.jobs import bulk, refusals
from app.jobs.lineup import PRIORITIES
from app.jobs.queue_view import Filter, QueueView
from app.parts import Parts
from app.shell import theme
from app.visit import visit, watch
from broker import errors


def create(parts: Parts) -> None:
    """Build what stands under the tab."""
    view = QueueView(parts, Filter.of(context.client.sub_pages_router.current_path))
    live = _Live(parts, view)
    board = live.board = QueueBoard(
        view.state(),
        look=live.look,
        choose=live.choose,
        stop=live.stop,
        prioritise=live.prioritise,
        pause=live.pause,
        resume=live.resume,
    )
    with (
        board,
        theme.empty(
            'queue',
            'Nothing waits and nothing runs',
            'Every question goes through this queue. Ask one, and you see here what runs, who is next and why.',
        ),
        theme.text(tag='a', classes='btn primary').props('href=/chat'),
    ):
        T(theme.text(), 'Go to the chat')
    watch(parts.board.on_queue, live.refresh)
    watch(parts.board.on_workers, live.refresh)
    watch(parts.openings.on_news, live.name)
    _follow_address(live)


class _Live:
    """One open page: what it is asked for, and what it asks of the queue."""

    board: QueueBoard

    def __init__(self, parts: Parts, view: QueueView) -> None:
        self._parts = parts
        self._view = view
        self._drains = set(parts.board.drains)

    def refresh(self) -> None:
        self.board.show(self._view.state())
        board = self._parts.board
        over, self._drains = (self._drains - board.drains) & board.pauses, set(board.drains)
        lanes_go_on = any(scope == 'priority' for scope, _ in board.drains)  # a lane is several priorities
        if any(scope != 'priority' or not lanes_go_on for scope, _ in over):
            theme.toast(speech().tr('Drained: nothing of it runs any more.'))

    def name(self) -> None:
        """The first words of more jobs are known: nothing else is worked out anew, unless they are searched."""
        if self._view.filter.text:
            self.refresh()
        else:
            self.board.show(self._view.named(self.board.state))

    def look(self, windows: dict[str, list[int]]) -> None:
        self._view.look(windows)
        self.refresh()

    def choose(self, fields: dict[str, str]) -> None:
        self._view.choose(msgspec.convert(fields, Filter))
        self.refresh()

    def goto(self, address: str) -> None:
        """Somebody went to this page with another filter in the address."""
        chosen = Filter.of(address)
        if address.partition('?')[0] == '/queue' and chosen != self._view.filter and not self.board.is_deleted:
            self._view.choose(chosen)
            self.refresh()

    async def stop(self, ids: Ids) -> None:
        wanted = self._view.ids() if ids is None else ids
        outcome = await bulk.each(self._parts.broker.cancel, wanted)
        self._settle(wanted, outcome)
        if done := outcome.done:
            one = len(wanted) == 1
            theme.toast(
                speech().tr('Cancelled.') if one else speech().trn('{n} job cancelled.', '{n} jobs cancelled.', done)
            )

    async def prioritise(self, ids: Ids, priority: int) -> None:
        wanted = self._view.ids() if ids is None else ids
        outcome = await bulk.each(bulk.deed(self._parts.broker, 'move', priority), wanted)
        self._settle(wanted, outcome)
        if done := outcome.done:
            one = len(wanted) == 1
            theme.toast(
                speech().tr('Priority changed.') if one else speech().trn('{n} job moved.', '{n} jobs moved.', done)
            )

    async def pause(self, scope: str, name: str, drain: bool) -> None:
        ask = self._parts.broker.drain if drain else self._parts.broker.pause
        said = N_('Nothing new starts until you resume.') if scope == 'all' else N_('Paused.')
        await _control([ask(*what) for what in _scopes(scope, name)], said)

    async def resume(self, scope: str, name: str) -> None:
        asked = [self._parts.broker.resume(*what) for what in _scopes(scope, name) if what in self._parts.board.pauses]
        await _control(asked, N_('The queue goes on.') if scope == 'all' else N_('Resumed.'))

    def _settle(self, wanted: list[str], outcome: bulk.Outcome) -> None:
        if outcome.trouble is None:
            return
        self.board.settle(wanted)
        said, left = speech(), len(wanted) - outcome.done
        why = refusals.why(outcome.trouble, said)
        missed = said.trn('{n} job was left as it is: {why}', '{n} jobs were left as they are: {why}', left, why=why)
        theme.toast(why if len(wanted) == 1 else missed, bad=True)


def _scopes(scope: str, name: str) -> list[tuple[str, str]]:
    """What the broker calls it: a lane is all its priorities."""
    if scope == 'lane':
        return [('priority', str(value)) for value in PRIORITIES[name]]
    return [(scope, name)]


async def _control(wishes: list[Awaitable[None]], done: str) -> None:
    try:
        await asyncio.gather(*wishes)
    except errors.BrokerError as error:
        theme.toast(refusals.why(error, speech()), bad=True)
    else:
        theme.toast(speech().tr(done))


def _follow_address(live: _Live) -> None:
    """A link to this page with another filter changes what is shown; the router keeps its listeners for ever."""
    state = visit().state
    if 'queue live' not in state:
        context.client.sub_pages_router.on_path_changed(lambda path: state['queue live'].goto(path))  # noqa: PLW0108  it changes
    state['queue live'] = live
