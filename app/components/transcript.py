"""A conversation as one custom element: its messages, and the answer that is just being written."""

import time
from collections.abc import Callable, Sequence
from typing import Any

from nicegui import ui

from app import i18n
from app.components import failures

View = dict[str, Any]
TEXTS = ('text', 'thinking')


class Transcript(
    ui.element,
    component='transcript.js',
    esm={
        'corral-message': 'message',
        'corral-marked': 'vendor/marked',
        'corral-highlight': 'vendor/highlight',
        'corral-katex': 'vendor/katex',
    },
):
    """Shows messages as ``ChatService.view`` gives them; only what changed is sent, of a growing text its growth.

    ``on_stop(job_id)``, ``on_retry(message_id)``, ``on_priority(job_id, priority)`` and ``on_other(job_id, model)``
    (let that model answer instead) are what the user wants done, and ``on_wish(name, message_id, …)``: 'turn' with so
    many steps to another version, 'edit' with the new text, 'again' with another model, 'goon' and 'keep'.
    What is put inside with ``with`` stands there while there are no messages. It fills a flex column and scrolls.
    """

    def __init__(
        self,
        messages: Sequence[View] = (),
        *,
        on_stop: Callable[[str], Any],
        on_retry: Callable[[str], Any],
        on_priority: Callable[[str, int], Any],
        on_other: Callable[[str, str], Any],
        on_wish: Callable[..., Any] = lambda *_: None,
    ) -> None:
        super().__init__()
        self._shown = {message['id']: message for message in messages}
        self._props['state'] = {'messages': list(messages), 'version': 0, 'now': time.time()}
        self._props['models'] = []
        _labels(self)
        self.on('wish', lambda event: on_wish(*event.args))
        self.on('stop', lambda event: on_stop(str(event.args)))
        self.on('retry', lambda event: on_retry(str(event.args)))
        self.on('priority', lambda event: on_priority(str(event.args[0]), int(event.args[1])))
        self.on('other', lambda event: on_other(str(event.args[0]), str(event.args[1])))
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

    def offer(self, models: list[str]) -> None:
        """The models that could answer again."""
        if models != self._props['models']:
            self._props['models'] = models
            self.update()

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
        anew='Regenerate',
        anew_with='Regenerate with another model',
        goon='Continue',
        keep='Go on with this one',
        edit='Edit',
        edit_why='The old question and its answers stay, as another version.',
        send='Send',
        more='Show all',
        less='Show less',
        versions='Versions',
        version_before='The version before',
        version_after='The next version',
        files='Attached files',
        bytes='{n} bytes',
        kilobytes='{n} kB',
        tool='Calls a tool:',
        thought_for='Thought for {time}',
        details='Details',
        priority='Priority',
        change='Change the priority',
        auto='Auto',
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
        next_why='It starts as soon as a machine that has {model} is free.',
        n_ahead='{n} ahead of you',
        many_ahead='At least {n} ahead of you',
        no_worker='No machine has the model {model} right now.',
        until_one='It waits until one does; pick another model or cancel.',
        **failures.WAITS_FOR,
        after_one='Starts after another job has been completed',
        after_many='Starts after {n} other jobs have been completed',
        will_load='then a {time} model load',
        other_now='{model} could start now — use it instead',
        other_in='{model} would start in about {time} — use it instead',
        changing='Changing to {model}…',
        soon='any moment now',
        within='within about {time}',
        between='about {from} to {to}',
        limited='A limit holds it back until another job has ended.',
        limited_for='A limit holds it back; it starts in {time} at the earliest.',
        paused='Paused. It goes on when the pause ends.',
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
        loaded='model loaded in {time}',
        first='first token {time}',
        rate='{n} tokens/s',
        one_token='{n} token',
        many_tokens='{n} tokens',
        s='{n} s',
        m='{m} min {s} s',
        h='{h} h {m} min',
        **failures.FAILURES,
        **failures.UNSENT,
    )
