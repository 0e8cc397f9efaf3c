"""Where a message is written: text, model, priority, and the button that sends or stops."""

from collections.abc import Callable
from typing import Any

from nicegui import ui

from app import i18n

State = dict[str, Any]


class Composer(ui.element, component='composer.js'):
    """Writes for one conversation at a time ('' is a new one); drafts and the last picks stay in the browser.

    ``show`` changes parts of its state: ``conversation``, ``models`` (``{name, size, demo}``), ``model`` and
    ``priority`` of the conversation, ``alive`` ('' or 'running' or 'stopping'), ``blocked`` ('' or 'broker' or
    'model' or 'gone').
    ``on_send`` gets ``{key, nonce, text, model, priority}`` and has to be answered by ``accept`` or ``refuse``.
    """

    def __init__(self, state: State, *, on_send: Callable[[dict[str, Any]], Any], on_stop: Callable[[], Any]) -> None:
        super().__init__()
        self._props['state'] = state
        _labels(self)
        self._nonce, self._parts = '', []  # of a message on its way: one socket message may hold only 1 MB
        self.on('part', lambda event: self._take(str(event.args[0]), str(event.args[1])))
        self.on('send', lambda event: on_send({**event.args, 'text': self._whole(str(event.args['nonce']))}))
        self.on('stop', on_stop)

    def show(self, **changes: Any) -> None:
        """Change parts of the state."""
        state = {**self._props['state'], **changes}
        if state != self._props['state']:
            self._props['state'] = state
            self.update()

    def accept(self, nonce: str, conversation: str) -> None:
        """The message is in; from now on this composer writes for ``conversation`` (if the user did not move on)."""
        self.run_method('accepted', nonce, conversation)

    def refuse(self, nonce: str, reason: str) -> None:
        """The message was not taken; it stays where it is. ``reason`` is already translated."""
        self.run_method('refused', nonce, reason)

    def fill(self, text: str) -> None:
        """Put a text in, ready to send."""
        self.run_method('fill', text)

    def _take(self, nonce: str, part: str) -> None:
        if nonce != self._nonce:
            self._nonce, self._parts = nonce, []
        if sum(map(len, self._parts)) <= self._props['state']['limit']:  # what is longer is refused anyway
            self._parts.append(part)

    def _whole(self, nonce: str) -> str:
        text = ''.join(self._parts) if nonce == self._nonce else ''
        self._nonce, self._parts = '', []
        return text

    def focus(self) -> None:
        """Put the cursor in."""
        self.run_method('focus')


def _labels(composer: Composer) -> None:
    i18n.labels(
        composer,
        message='Message',
        placeholder='Write a message. Enter sends, Shift + Enter makes a new line.',
        placeholder_touch='Write a message',
        send='Send',
        stop='Stop',
        stopping='Stopping…',
        model='Model',
        priority='Priority',
        pick='Pick a model',
        search='Search models',
        none_found='No model is called that.',
        no_model='No model',
        not_there='{model} is not there right now. A message waits until it is; pick another model to be answered now.',
        no_model_why='There is no model to answer yet. The notice at the top says how to get one.',
        missing='not available now',
        demo='demo',
        auto='Auto',
        auto_why='The queue guesses it from what you write',
        low='Low',
        normal='Normal',
        high='High',
        realtime='Realtime',
        wait='The last answer is not over yet. Wait for its end, or stop it first.',
        broker='The queue does not answer at the moment. Your text stays here; send it when the queue is back.',
        gone='This conversation was deleted.',
        too_long='This message is {size} long and at most {limit} can be sent. Shorten it, or send it in parts.',
        size_of='{size} of {limit}',
        bytes='{n} bytes',
        kilobytes='{n} kB',
    )
