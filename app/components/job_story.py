"""One job as a custom element: its state, its time, what happened to it, what was asked and answered."""

from collections.abc import Callable
from typing import Any

from nicegui import ui

from app import i18n
from app.components import failures, queue_words

State = dict[str, Any]


class JobStory(
    ui.element,
    component='job_story.js',
    esm={
        'corral-queue': 'queue',
        'corral-message': 'message',
        'corral-marked': 'vendor/marked',
        'corral-highlight': 'vendor/highlight',
    },
):
    """Shows a ``State`` (see ``app.pages.job``). The answer is told apart: all with ``say``, its growth with ``grow``.

    ``ready()`` is called when a browser is there that has no answer yet.
    """

    def __init__(
        self,
        state: State,
        *,
        stop: Callable[[], Any],
        prioritise: Callable[[int], Any],
        replay: Callable[[], Any],
        again: Callable[[], Any],
        ready: Callable[[], Any],
    ) -> None:
        super().__init__()
        self._props['state'] = state
        _labels(self)
        self.on('stop', stop, args=[])
        self.on('priority', lambda event: prioritise(int(event.args)))
        self.on('replay', replay, args=[])
        self.on('again', again, args=[])
        self.on('ready', ready, args=[])

    def show(self, state: State) -> None:
        """Show ``state``."""
        with self._props.suspend_updates():
            self._props['state'] = state  # what a browser gets that shows it anew
        self.run_method('show', state)

    def follow(self, row: State, now: float) -> None:
        """Only where it stands has changed."""
        if row == self._props['state']['row']:
            return
        with self._props.suspend_updates():
            self._props['state'] = {**self._props['state'], 'row': row}
        self.run_method('follow', row, now)

    def say(self, epoch: int, text: str, thinking: str, raw: str, *, live: bool) -> None:
        """The whole answer so far; ``raw`` where it has no words."""
        self.run_method('say', epoch, text, thinking, raw, live)

    def grow(self, epoch: int, offset: int, text: str, *, live: bool) -> None:
        """More of the answer, from ``offset`` on."""
        self.run_method('grow', epoch, offset, text, live)


def _labels(element: JobStory) -> None:
    i18n.labels(
        element,
        **queue_words.OF_STATES,
        cancel='Cancel',
        stop='Stop',
        stopping='Stopping…',
        do_again='Run it again',
        replay='Do it again',
        change='Change the priority',
        exact='Exactly, 0–15',
        set='Set',
        copy_id='Copy its id',
        copy='Copy',
        copy_by_hand='Press Ctrl + C',
        picture='Picture, not loaded',
        open_chat='Open the conversation',
        lines='Download the raw lines',
        model='Model',
        priority='Priority',
        by_rule='{priority} · rule: {rule}',
        user='User',
        source='Source',
        worker='Worker',
        attempts='Attempts',
        of_most='{n}, at most {most} failures',
        tokens_in='Prompt',
        tokens_out='Answer',
        speed='Speed',
        path='Path',
        deadline='Not started after',
        where='Where the time went',
        total='{time} in all',
        part_queued='In the queue',
        part_blocked='Waited for other jobs',
        part_delayed='Waited for its time',
        part_backoff='Waited before the next try',
        part_run='At work',
        part_load='Loading the model',
        part_load_prompt='Loading the model, reading the prompt',
        part_prompt='Reading the prompt',
        part_write='Writing the answer',
        part_stopping='Stopping',
        happened='What happened',
        ev_submitted='Submitted',
        why_queued='It waits for its turn.',
        why_delayed='It has to wait for its time: {time}.',
        why_blocked='It has to wait for {n} other jobs.',
        ev_unblocked='The jobs before it are done',
        ev_due='Its time has come',
        ev_started='Started on {worker}',
        after_wait='after {time} of waiting',
        as_said='as predicted: {from} to {until}',
        sooner='{time} sooner than predicted: {from} to {until}',
        later='{time} later than predicted: {from} to {until}',
        resident='the model was loaded already',
        ev_retry='Attempt {n} failed',
        ev_worker_lost='The worker was lost in attempt {n}',
        ev_handed_back='The worker was shut down and handed it back',
        tries_at='It tries again at {time}.',
        ev_moved='Priority changed from {was} to {priority}',
        ev_shared='{n} callers wait for it now',
        ev_stopping='Somebody asked to stop it',
        ev_first_token='First token',
        after_start='{time} after the start',
        ev_completed='Completed',
        ev_cancelled='Cancelled',
        ev_dead='Failed for good',
        n_lines='{n} lines',
        said='What the engine said',
        trace='For the operator: stack trace',
        now_waits='It waits now',
        now_runs='It runs now',
        links='What it belongs to',
        batch='Batch',
        schedule='Schedule',
        comes_after='Comes after',
        comes_before='Comes before',
        replay_of='Does this job again',
        replayed='Was done again as',
        conversation='Conversation',
        gone='not kept any more',
        request='Request',
        options='Options',
        raw_request='The whole request as it was sent',
        cut='What follows is not shown.',
        images='{n} pictures',
        no_request='What was asked is not kept any more.',
        role_system='System',
        role_user='User',
        role_assistant='Answer',
        role_tool='Tool',
        role_prompt='Prompt',
        role_input='Input',
        result='Result',
        thinking='Thinking',
        no_result='There is no answer yet.',
        no_words='It ended without an answer.',
        incomplete_dead='Incomplete: the job failed after these words.',
        incomplete_cancelled='Incomplete: the job was cancelled after these words.',
        incomplete_truncated='Incomplete: the engine broke off without saying that it was done.',
        plain='As plain text',
        read='As Markdown',
        cancel_ask='Cancel this job?',
        cancel_why='What it has said so far is kept. This cannot be undone.',
        **queue_words.WORDS,
        **failures.FAILURES,
    )
