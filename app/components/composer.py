"""Where a message is written: text, model, priority, and the button that sends or stops."""

from collections.abc import Callable
from typing import Any

from nicegui import ui

from app import i18n

State = dict[str, Any]


class Composer(ui.element, component='composer.js', esm={'corral-writing': 'writing'}):
    """Writes for one conversation at a time ('' is a new one); drafts and the last picks stay in the browser.

    ``show`` changes parts of its state: ``conversation``, ``models`` (see ``chat_details.pickable``), ``model`` and
    ``priority`` of the conversation, ``alive`` ('' or 'running' or 'stopping'), ``blocked`` ('' or 'broker' or
    'model' or 'gone'), whether one has to ``choose`` between two answers first, ``next`` (``{id, text, model,
    files}``, what is sent next) and whether it is ``held``, ``prompts`` (``{id, name, text}``), ``suggesting``
    (``{ahead}`` while a question is being thought of). ``on_send`` gets ``{key, nonce, text, model, priority, files,
    beside}`` and has to be answered by ``accept`` or ``refuse``; ``on_next(what, id, value)`` is 'send', 'edit',
    'move' or 'drop'; ``on_suggest(begin, model, key)``.
    """

    def __init__(
        self,
        state: State,
        *,
        on_send: Callable[[dict[str, Any]], Any],
        on_stop: Callable[[], Any],
        on_next: Callable[..., Any],
        on_suggest: Callable[..., Any],
        on_book: Callable[[], Any],
        on_options: Callable[[], Any],
    ) -> None:
        super().__init__()
        self._props['state'] = state
        _labels(self)
        self._nonce, self._parts = '', []  # of a message on its way: one socket message may hold only 1 MB
        self.on('part', lambda event: self._take(str(event.args[0]), str(event.args[1])))
        self.on('send', lambda event: on_send({**event.args, 'text': self._whole(str(event.args['nonce']))}))
        self.on('stop', on_stop)
        self.on('next', lambda event: on_next(*event.args))
        self.on('suggest', lambda event: on_suggest(*event.args) if isinstance(event.args, list) else on_suggest(False))
        self.on('book', on_book)
        self.on('options', on_options)

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

    def offer(self, text: str) -> None:
        """Put a text in unless something was written meanwhile; then it is only shown."""
        self.run_method('offer', text)

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
        send_next='Send next',
        send_now='Send now',
        next='Will be sent next, as soon as the answer is complete',
        next_held='Waiting, because the last answer was not completed',
        sooner='Sooner',
        later='Later',
        edit_next='Edit this message',
        remove_next='Do not send this message',
        save='Save',
        cancel='Cancel',
        only_files='Attached files',
        extras='More',
        files='Attached files',
        attach='Attach pictures or text files',
        remove_file='Remove {name}',
        pasted='Pasted picture',
        bringing='A file is still on its way up; send the message in a moment.',
        blind='{model} cannot see pictures. Pick a model that can, or remove them.',
        suggest='Suggest a question',
        suggesting='A question is being thought of…',
        suggesting_waits='A question is being thought of: {n} ahead of it',
        prompts='Prompts',
        no_prompt='No prompt is called that.',
        book='Edit the prompts…',
        compare='Compare with another model',
        no_compare='Do not compare',
        against='beside',
        options='Model settings…',
        file_kind='{name} is neither a picture nor a text. Attach PNG, JPEG, WebP or GIF pictures, or text files.',
        file_picture='{name} cannot be read as a picture. Save it as PNG or JPEG and attach it again.',
        file_empty='{name} is empty.',
        file_large='{name} is too large: at most {limit} can be attached.',
        file_lost='{name} did not get here. Check the connection and attach it again.',
        file_unstored='{name} could not be stored: the disk may be full.',
        file_room=(
            '{name} does not fit: the files that are attached here have reached their total. Delete conversations '
            'with files, or raise max_attachments_bytes.'
        ),
        too_many='At most {limit} files can be attached to a message.',
        drop='Drop pictures or text files here to attach them.',
        choose='Keep one of the two answers first; the next message goes on from it.',
        busy='Two models can be compared once the answer on its way is complete.',
        broker='The queue does not answer at the moment. Your text stays here; send it when the queue is back.',
        gone='This conversation was deleted.',
        too_long='This message is {size} long and at most {limit} can be sent. Shorten it, or send it in parts.',
        size_of='{size} of {limit}',
        bytes='{n} bytes',
        kilobytes='{n} kB',
    )
