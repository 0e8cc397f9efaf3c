"""What can be done with the jobs that are ticked in the history, or with all that are listed."""

import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from app.components import controls
from app.i18n import N_, T, speech
from app.jobs import bulk, refusals
from app.parts import Parts
from app.past import book
from app.past.query import Query
from app.shell import theme
from broker import errors
from broker.job import State

_DONE: dict[str, Callable[[int], str]] = {
    'cancel': lambda n: speech().trn('{n} job was cancelled.', '{n} jobs were cancelled.', n),
    'replay': lambda n: speech().trn('{n} job is done again.', '{n} jobs are done again.', n),
    'move': lambda n: speech().trn('{n} job was moved.', '{n} jobs were moved.', n),
    'purge': lambda n: speech().trn('{n} job was deleted.', '{n} jobs were deleted.', n),
}
_ASK = {
    'cancel': (
        N_('Cancel these jobs ({n})?'),
        N_('Those that run are stopped; what they have said so far is kept.'),
        N_('Cancel them'),
    ),
    'replay': (
        N_('Do these failed jobs again ({n})?'),
        N_('Each becomes a new job with the same question; the failed ones stay.'),
        N_('Do them again'),
    ),
    'purge': (
        N_('Delete these failed jobs for good ({n})?'),
        N_('Their questions and answers are gone then; nothing brings them back.'),
        N_('Delete them'),
    ),
}


class Bulk:
    """A bar that appears while something is ticked."""

    def __init__(
        self, parts: Parts, query: Callable[[], Query], count: Callable[[], int], on_done: Callable[[], Any]
    ) -> None:
        self._parts, self._query, self._count, self._on_done = parts, query, count, on_done
        self._chosen: dict[str, str] = {}
        self._all = False
        self._busy = False
        self._bar = T(
            theme.box('history-bulk').props('role=toolbar'), 'With the jobs that are ticked', prop='aria-label'
        )
        with self._bar:
            self._said = theme.text(classes='history-bulk-said').props('role=status')
            self._whole = theme.button('Take all that are listed', self._choose_all, kind='ghost')
            theme.box('grow')
            self._cancel = theme.button('Cancel', lambda: self._ask('cancel'), icon_name='stop')
            self._replay = theme.button('Do again', lambda: self._ask('replay'), icon_name='retry')
            self._move = theme.button('Priority', icon_name='down')
            with self._move, controls.menu(right=True):
                for value, name in theme.PRIORITIES.items():
                    controls.item(name, lambda value=value: self._do('move', value))
            self._purge = theme.button('Delete', lambda: self._ask('purge'), kind='danger', icon_name='trash')
        speech().on_switch(self._bar, self.say)
        self.say()

    def choose(self, chosen: dict[str, str]) -> None:
        """These are ticked: ids with their states."""
        self._chosen, self._all = chosen, False
        self.say()

    def say(self) -> None:
        """Show what is ticked, and what can be done with it."""
        self._bar.set_visibility(bool(self._chosen) or self._busy)
        count = self._count() if self._all else len(self._chosen)
        said = speech()
        self._said.set_text(said.trn('{n} job ticked', '{n} jobs ticked', count))
        self._whole.set_visibility(not self._all and self._count() > len(self._chosen))
        buttons = {'cancel': self._cancel, 'replay': self._replay, 'move': self._move, 'purge': self._purge}
        for name, button in buttons.items():
            button.set_visibility(self._all or self._meant(name) > 0)

    def _meant(self, name: str) -> int:
        return sum(State(state) in bulk.FOR[name] for state in self._chosen.values())

    def _choose_all(self) -> None:
        self._all = True
        self.say()

    async def _ask(self, name: str) -> None:
        title, explanation, yes = _ASK[name]
        count = await self._how_many(name)
        if count is None:
            return
        if not count:
            theme.toast(speech().tr('None of these jobs is in a state for that.'), bad=True)
        elif await controls.confirm(title, explanation, yes=yes, danger=name != 'replay', n=speech().number(count)):
            await self._do(name)

    async def _how_many(self, name: str) -> int | None:
        """How many are meant; None when the queue does not say."""
        if not self._all:
            return self._meant(name)
        try:
            return sum([1 async for _ in self._ids(name)])
        except errors.BrokerError as error:
            theme.toast(refusals.why(error, speech()), bad=True)
            return None

    async def _do(self, name: str, priority: int = 5) -> None:
        self._busy = True
        try:
            outcome = await bulk.each(bulk.deed(self._parts.broker, name, priority), self._ids(name))
        except errors.BrokerError as error:
            theme.toast(refusals.why(error, speech()), bad=True)
            return
        finally:
            self._busy = False
        said = speech()
        told = [_DONE[name](outcome.done)]
        if refused := outcome.refused.total():
            told.append(said.trn('{n} was refused.', '{n} were refused.', refused))
            code = outcome.refused.most_common(1)[0][0]
            told.append(refusals.why(errors.Refused(code, ''), said))
        elif outcome.trouble is not None:
            told.append(refusals.why(outcome.trouble, said))
        theme.toast(('' if said.code == 'zh' else ' ').join(told), bad=outcome.trouble is not None)
        self._on_done()

    async def _ids(self, name: str) -> AsyncIterator[str]:
        if not self._all:
            for job_id, state in list(self._chosen.items()):
                if State(state) in bulk.FOR[name]:
                    yield job_id
            return
        asked = book.wanted(self._parts, self._query(), time.time())
        async for job, _ in book.everything(self._parts, asked):
            if job.state in bulk.FOR[name]:
                yield job.job_id
