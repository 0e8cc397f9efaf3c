"""A conversation as one custom element: its messages, and the answer that is just being written."""

import time
from collections.abc import Callable, Sequence
from typing import Any

from nicegui import ui

from app import i18n
from app.i18n import N_

View = dict[str, Any]
TEXTS = ('text', 'thinking')


class Transcript(
    ui.element,
    component='transcript.js',
    esm={'corral-message': 'message', 'corral-marked': 'vendor/marked', 'corral-highlight': 'vendor/highlight'},
):
    """Shows messages as ``ChatService.view`` gives them; only what changed is sent, of a growing text its growth.

    ``on_stop(job_id)``, ``on_retry(message_id)`` and ``on_priority(job_id, priority)`` are what the user wants done.
    What is put inside with ``with`` stands there while there are no messages. It fills a flex column and scrolls.
    """

    def __init__(
        self,
        messages: Sequence[View] = (),
        *,
        on_stop: Callable[[str], Any],
        on_retry: Callable[[str], Any],
        on_priority: Callable[[str, int], Any],
    ) -> None:
        super().__init__()
        self._shown = {message['id']: message for message in messages}
        self._props['state'] = {'messages': list(messages), 'version': 0, 'now': time.time()}
        _labels(self)
        self.on('stop', lambda event: on_stop(str(event.args)))
        self.on('retry', lambda event: on_retry(str(event.args)))
        self.on('priority', lambda event: on_priority(str(event.args[0]), int(event.args[1])))
        self.on('gap', self._send_all)
        self.on('ready', lambda event: None if event.args == self.version else self._send_all())

    @property
    def version(self) -> int:
        """Rises with every patch; a browser that has another one gets everything again."""
        return int(self._props['state']['version'])

    @property
    def messages(self) -> list[View]:
        """What is shown now."""
        return list(self._shown.values())

    def show(self, messages: Sequence[View]) -> None:
        """Show these, in this order; costs nothing when nothing differs."""
        before, self._shown = self._shown, {message['id']: message for message in messages}
        changes = {id_: change for id_, message in self._shown.items() if (change := _change(before.get(id_), message))}
        order = list(self._shown)
        moved = order != list(before)
        if not changes and not moved:
            return
        state = self._props['state']
        with self._props.suspend_updates():  # the truth for a browser that shows it anew; what runs gets the patch
            if moved:
                state['messages'] = list(messages)
            else:
                for place, id_ in enumerate(order):
                    if id_ in changes:
                        state['messages'][place] = self._shown[id_]
        self._patch({'messages': changes, **({'order': order} if moved else {})})

    def show_one(self, message: View) -> None:
        """Show the new state of one message: the one that is being answered. An unknown one comes last."""
        before = self._shown.get(message['id'])
        if before is None:
            self.show([*self._shown.values(), message])
            return
        change = _change(before, message)
        if not change:
            return
        place = list(self._shown).index(message['id'])
        self._shown[message['id']] = message
        with self._props.suspend_updates():
            self._props['state']['messages'][place] = message
        self._patch({'messages': {message['id']: change}})

    def release(self, message_id: str) -> None:
        """A wish for this message was refused: its buttons work again."""
        self.run_method('release', message_id)

    def _patch(self, patch: dict[str, Any]) -> None:
        state = self._props['state']
        with self._props.suspend_updates():
            state['version'] += 1
            state['now'] = time.time()
        self.run_method('patch', {**patch, 'version': state['version'], 'now': state['now']})

    def _send_all(self) -> None:
        with self._props.suspend_updates():
            self._props['state']['now'] = time.time()
        self.update()


def _change(before: View | None, after: View) -> dict[str, Any]:
    """The fields that differ; of a text that only grew in the same epoch, ``grown``: epoch, field, offset, delta."""
    if before is None:
        return dict(after)
    change = {key: value for key, value in after.items() if key not in before or value != before[key]}
    grown = []
    for field in TEXTS:
        if field in change and 'epoch' not in change and after[field].startswith(before[field]):
            delta = change.pop(field)[len(before[field]) :]
            grown.append((after['epoch'], field, _units(before[field]), delta))
    return change | {'grown': grown} if grown else change


def _units(text: str) -> int:
    """The length of a text as browsers count it, in UTF-16 units."""
    return len(text) if text.isascii() else len(text.encode('utf-16-le', 'surrogatepass')) // 2


def _labels(transcript: Transcript) -> None:
    i18n.labels(
        transcript,
        conversation='Messages',
        you='You',
        answer='Answer',
        jump='Jump to the latest',
        thinking='Thinking…',
        thought='Thoughts',
        picture='Picture, not loaded',
        copy='Copy',
        copied='Copied',
        copy_by_hand='Press Ctrl + C',
        retry='Retry',
        details='Details',
        priority='Priority',
        change='Change the priority',
        low='Low',
        normal='Normal',
        high='High',
        realtime='Realtime',
        cancel='Cancel',
        cancelling='Cancelling…',
        stop='Stop',
        stopping='Stopping…',
        stopped='Stopped.',
        answering='The answer has begun.',
        answered='The answer is complete.',
        sending='Sending…',
        queued='Waiting in the queue',
        next='You are next',
        n_ahead='{n} ahead of you',
        many_ahead='At least {n} ahead of you',
        no_worker='No machine has the model {model} right now.',
        soon='any moment now',
        within='within about {time}',
        between='about {from} to {to}',
        limited='A limit holds it back until another job has ended.',
        limited_for='A limit holds it back; it starts in {time} at the earliest.',
        paused='Paused. It goes on when the pause ends.',
        until_one='It waits until one does; pick another model or cancel.',
        waiting_for='{model} · {time}',
        reading='{model} reads the question…',
        later='Tries again in {time}.',
        any_moment='Tries again any moment.',
        failed_once='Failed once. Tries again in {time}.',
        failed_often='Failed {n} times. Tries again in {time}.',
        lost_waiting='The worker was lost; another one takes over.',
        lost_running='The worker was lost; another one started again.',
        handed_back='The worker was shut down; another one takes over.',
        again='Try {n}.',
        truncated='The model stopped here without saying that it was done.',
        length='The answer ends here because it reached the limit of length.',
        silent='The model gave no answer.',
        waited='waited {time}',
        first='first token {time}',
        rate='{n} tokens/s',
        one_token='{n} token',
        many_tokens='{n} tokens',
        s='{n} s',
        m='{m} min {s} s',
        h='{h} h {m} min',
        **_FAILURES,
    )


# What is said when an answer failed, what to do about it, and what is said when a message could not be sent, by code.
_FAILURES = {
    'fail_unreachable': N_('Ollama could not be reached.'),
    'do_unreachable': N_('Start Ollama, then retry.'),
    'fail_busy': N_('Ollama was too busy to take this on.'),
    'do_busy': N_('Retry in a moment.'),
    'fail_runner_crashed': N_('The model crashed while it was at work.'),
    'do_runner_crashed': N_('Retry; if it happens again, pick a smaller model.'),
    'fail_first_token_timeout': N_('The model did not begin to answer in time.'),
    'do_first_token_timeout': N_('It may still be loading. Retry, or pick a smaller model.'),
    'fail_idle_timeout': N_('The model fell silent in the middle of its answer.'),
    'do_idle_timeout': N_('What came until then is above. Retry to get the whole answer.'),
    'fail_total_timeout': N_('The answer took longer than is allowed.'),
    'do_total_timeout': N_('Ask for a shorter answer, or pick a faster model.'),
    'fail_model_not_found': N_('Ollama does not have the model {model}.'),
    'do_model_not_found': N_('Pick another model, or get this one with: ollama pull {model}'),
    'fail_bad_request': N_('The model could not take this question.'),
    'do_bad_request': N_('Change the question or pick another model; the details say why.'),
    'fail_refused': N_('Ollama refused this question.'),
    'do_refused': N_('Change the question or pick another model; the details say why.'),
    'fail_engine_error': N_('Ollama reported an error.'),
    'do_engine_error': N_('Retry; the details say what happened.'),
    'fail_connection_lost': N_('The connection to Ollama broke off.'),
    'do_connection_lost': N_('Retry; if it happens again, restart Ollama.'),
    'fail_garbage': N_('Ollama sent something that could not be understood.'),
    'do_garbage': N_('Retry; if it happens again, update Ollama.'),
    'fail_line_too_long': N_('Ollama sent a piece of the answer that was too large.'),
    'do_line_too_long': N_('Retry; if it happens again, update Ollama.'),
    'fail_answer_too_large': N_('The answer became too large.'),
    'do_answer_too_large': N_('Ask for less at once.'),
    'fail_poison': N_('Every worker that took this on was lost.'),
    'fail_deadline': N_('It could not start before its deadline.'),
    'do_deadline': N_('Ask again, or give it more time.'),
    'do_poison': N_('This question seems to bring workers down. Change it or pick another model before you retry.'),
    'fail_worker_error': N_('Something went wrong in the worker.'),
    'do_worker_error': N_('Retry; its log has the details.'),
    'fail_no_slot': N_('The worker had no room for this.'),
    'do_no_slot': N_('Retry in a moment.'),
    'fail_other': N_('The answer failed.'),
    'do_other': N_('Retry; the details say what happened.'),
    'unsent_queue_full': N_(
        'It did not reach the queue: the queue is full. Wait until some jobs have ended, then retry.'
    ),
    'unsent_disk_full': N_('It did not reach the queue: the disk is full. Free some space, then retry.'),
    'unsent_body_too_large': N_('It did not reach the queue: the conversation has become too long. Begin a new one.'),
    'unsent_unreachable': N_(
        'It did not reach the queue: the queue does not answer. It is being restarted; retry in a moment.'
    ),
    'unsent_broker_away': N_(
        'It did not reach the queue: the queue does not answer. It is being restarted; retry in a moment.'
    ),
    'unsent_interrupted': N_('It did not reach the queue: the desk was closed before. Retry to send it now.'),
    'unsent_bad_request': N_(
        'It did not reach the queue: the queue did not accept it. Change the question or pick another model.'
    ),
    'unsent_other': N_('It did not reach the queue. Retry in a moment.'),
}
