"""The live queue as one custom element: what runs, the lanes of what waits, what ended lately."""

from collections.abc import Callable
from typing import Any

from nicegui import ui

from app import i18n
from app.components import queue_words
from app.components.live_element import hold

State = dict[str, Any]
Ids = list[str] | None  # None: all that the filter lets through


class QueueBoard(ui.element, component='queue_board.js', esm={'corral-queue': 'queue'}):
    """Shows a ``State`` (see ``app.jobs.queue_view``); ``show`` sends only the difference to the one before.

    What the user wants comes back by the names of the arguments: ``look(windows)``, ``choose(filter)``, ``stop(ids)``,
    ``prioritise(ids, priority)``, ``pause(scope, name, drain)`` and ``resume(scope, name)``.
    """

    def __init__(
        self,
        state: State,
        *,
        look: Callable[[State], Any],
        choose: Callable[[State], Any],
        stop: Callable[[Ids], Any],
        prioritise: Callable[[Ids, int], Any],
        pause: Callable[[str, str, bool], Any],
        resume: Callable[[str, str], Any],
    ) -> None:
        super().__init__()
        hold(self, {**state, 'version': 0})
        _labels(self)
        self.on('look', lambda event: look(event.args))
        self.on('filter', lambda event: choose(event.args))
        self.on('stop', lambda event: stop(event.args))
        self.on('priority', lambda event: prioritise(event.args[0], int(event.args[1])))
        self.on('pause', lambda event: pause(*event.args))
        self.on('resume', lambda event: resume(*event.args[:2]))
        self.on('gap', self.update)

    @property
    def state(self) -> State:
        """What is shown."""
        return self._props['state']

    def show(self, state: State) -> None:
        """Show ``state``; costs nothing when nothing but the time differs."""
        before = self.state
        patch = {key: value for key, value in state.items() if key not in ('rows', 'now') and value != before[key]}
        rows = {job_id: row for job_id, row in state['rows'].items() if row != before['rows'].get(job_id)}
        if not patch and not rows:
            return
        version = before['version'] + 1
        hold(self, {**state, 'version': version})
        self.run_method('patch', {**patch, 'rows': rows, 'now': state['now'], 'version': version})

    def settle(self, ids: list[str]) -> None:
        """A wish for these jobs was refused: their buttons work again."""
        self.run_method('settle', ids)


def _labels(board: QueueBoard) -> None:
    i18n.labels(
        board,
        running='Running',
        waiting='Waiting',
        finished='Ended lately',
        all_of_them='All of them',
        state='State',
        state_all='All',
        state_running='Running',
        state_waiting='Waiting',
        state_delayed='Delayed',
        state_blocked='Held back',
        state_ended='Ended lately',
        search='Search in the queue',
        model='Model',
        user='User',
        worker='Worker',
        all_models='All models',
        all_users='All users',
        clear='Clear the filter',
        none_match='Nothing in the queue matches this filter.',
        slots_busy='{busy} of {slots} slots busy',
        reading='reading …',
        loading='loading the model …',
        stop='Stop',
        stopping='Stopping…',
        more='and {n} more',
        fewer='Show fewer',
        lanes='Lanes by priority',
        part_paused='partly paused',
        priority='Priority',
        change='Change the priority',
        exact='Exactly, 0–15',
        set='Set',
        waited='Waited',
        pick='Choose',
        more_about='More about',
        open_job='Open the job',
        open_chat='Open the conversation',
        open_batch='Open the batch',
        copy_id='Copy its id',
        lane_up='One lane up',
        lane_down='One lane down',
        cancel_job='Cancel the job',
        keys='Keys: ↑ ↓ go along, Space chooses, Alt+↑ ↓ changes the lane, Enter opens, Delete cancels. '
        'Rows can be dragged to another lane, too.',
        selection='What is chosen',
        n_picked='{n} chosen',
        pick_all='Choose all {n}',
        unpick='Choose nothing',
        cancel_them='Cancel them',
        cancel_n='Cancel {n} jobs?',
        cancel_why='They will not run, and those who wait for them are told so. This cannot be undone.',
        summary='{running} running, {waiting} waiting',
        pause='Pause',
        resume='Resume',
        pause_all='Pause everything',
        drain_all='Drain: pause, and tell when the last run has ended',
        what_is_paused='What is paused',
        paused_all='The queue is paused: what runs goes on, nothing new starts.',
        paused_lane='Priority {name} is paused.',
        paused_priority='Priority {name} is paused.',
        paused_model='The model {name} is paused.',
        paused_user='The jobs of {name} are paused.',
        paused_worker='The worker {name} is paused.',
        draining='Waiting for what still runs.',
        drain='Drain',
        drain_why='Tells you when the last run of it has ended',
        **queue_words.WORDS,
    )
