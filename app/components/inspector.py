"""What there is to know about the answer on the page: its job, who goes first, where the time went, the workers."""

from typing import Any

from nicegui import ui

from app import i18n
from app.components import failures

State = dict[str, Any]


class Inspector(ui.element, component='inspector.js'):
    """Shows a ``State``, see ``app.pages.chat_details.details``."""

    def __init__(self, state: State) -> None:
        super().__init__()
        self._props['state'] = state
        _labels(self)

    def show(self, state: State) -> None:
        """Show ``state``; costs nothing when nothing but the time differs."""
        before: State = self._props['state']
        if {**state, 'now': 0} == {**before, 'now': 0}:
            return
        with self._props.suspend_updates():
            self._props['state'] = state  # what a browser gets that shows it anew
        self.run_method('show', state)


def _labels(element: Inspector) -> None:
    i18n.labels(
        element,
        job='This answer',
        state='State',
        sending='Being sent',
        waiting_state='Waiting',
        blocked='Waits for other jobs',
        after_one='after another job',
        after_many='after {n} other jobs',
        delayed='Tries again soon',
        running_state='Being written',
        cancelling='Being stopped',
        completed='Completed',
        cancelled='Stopped',
        dead='Failed',
        unsent='Not sent',
        place='Place',
        nth='{n} of {total}',
        no_worker='no worker has the model',
        no_start_worker='no machine is connected',
        no_start_engine='no engine answers',
        no_pull_model='no machine has this model',
        no_group='no machine of its group has this model',
        no_failing='the machines that have this model are out of order',
        limited='held back by a limit',
        paused='paused',
        again='Next try',
        in_time='in {time}',
        priority='Priority',
        auto='Auto',
        by_rule='{priority} · rule: {rule}',
        rule_urgent='urgent',
        rule_no_hurry='no hurry',
        rule_very_long='very long',
        low='Low',
        normal='Normal',
        high='High',
        realtime='Realtime',
        model='Model',
        batch='Batch',
        schedule='Schedule',
        attempts='Attempts',
        story='What happened',
        attempt='Attempt {n}',
        goes_on='goes on',
        ended_worker_lost='The worker was lost.',
        ended_handed_back='The worker was shut down and handed it back.',
        ended_completed='Completed',
        ended_cancelled='Stopped',
        said='What the engine said',
        trace='For the operator: stack trace',
        lost='{n}, a worker was lost',
        worker='Worker',
        elapsed='Running for',
        waited_for='Waiting for',
        speed='Speed',
        rate='{n} tokens/s',
        tokens='Tokens',
        first='Jobs in front',
        mine='This answer',
        untitled='Job',
        times='Where the time went',
        times_last='Where the time went in the last answer',
        waited='In the queue',
        read='Reading',
        wrote='Writing',
        workers='Workers',
        slots='{busy} of {slots} busy',
        problem='cannot work now',
        problem_breaker_open='out of order',
        hint='While an answer is being made, you see here where it stands. Afterwards you see where the time went.',
        ms='{n} ms',
        s='{n} s',
        m='{m} min {s} s',
        h='{h} h {m} min',
        **failures.FAILURES,
    )
