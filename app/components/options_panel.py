"""The sheet in which a conversation's system prompt, model options and presets are set."""

from collections.abc import Callable
from typing import Any

from nicegui import ui

from app import i18n
from app.chats import chat_options
from app.chats.presets import Preset

State = dict[str, Any]


class OptionsPanel(ui.element, component='options_panel.js'):
    """``show`` what is set and kept, ``open`` it.

    ``on_apply(form)`` has to be answered by ``accept`` or ``refuse``; ``on_preset(what, name, form)`` is 'save',
    'delete' or 'default'.
    """

    def __init__(self, *, on_apply: Callable[[State], Any], on_preset: Callable[[str, str, State], Any]) -> None:
        super().__init__()
        ranges = {name: list(allowed) for name, allowed in chat_options.RANGES.items()}
        self._props['state'] = {
            'form': chat_options.form(chat_options.Options()),
            'presets': [],
            'model': '',
            'ranges': ranges,
        }
        _labels(self)
        self.on('apply', lambda event: on_apply(dict(event.args)))
        self.on('preset', lambda event: on_preset(*_preset(event.args)))

    def show(self, options: chat_options.Options, presets: list[Preset], model: str) -> None:
        """What is set now, and what is kept."""
        state = {
            **self._props['state'],
            'form': chat_options.form(options),
            'presets': [
                {'name': each.name, 'default': each.default, 'form': chat_options.form(each.options)}
                for each in presets
            ],
            'model': model,
        }
        if state != self._props['state']:
            self._props['state'] = state
            self.update()

    def open(self) -> None:
        """Slide in."""
        self.run_method('open')

    def accept(self) -> None:
        """It is set: slide out."""
        self.run_method('applied')

    def refuse(self, mistakes: dict[str, str]) -> None:
        """What is wrong, by field, see ``chat_options.check``."""
        self.run_method('refuse', mistakes)


def _preset(args: Any) -> tuple[str, str, State]:
    what, name, *form = args
    return str(what), str(name), dict(form[0]) if form else {}


def _labels(panel: OptionsPanel) -> None:
    i18n.labels(
        panel,
        title='Model settings of this conversation',
        close='Close',
        preset='Preset',
        no_preset='None',
        default='default',
        make_default='New conversations begin with this preset',
        delete_preset='Delete this preset',
        keep_as='Save as a preset…',
        keep='Save',
        name='Name of the preset',
        own='as the model says',
        system='System prompt',
        system_hint='How the model should behave, e.g. “Answer briefly and name your sources.”',
        temperature='Temperature',
        temperature_why='0 is sober, 1 lively',
        top_p='Top P',
        top_p_why='Only the likeliest words that make up this share',
        top_k='Top K',
        top_k_why='Only so many of the likeliest words',
        repeat_penalty='Repeat penalty',
        repeat_penalty_why='Above 1 it repeats itself less',
        seed='Seed',
        seed_why='The same number gives the same answer',
        num_ctx='Context length',
        num_ctx_why='Tokens that the model sees; another length loads it anew',
        num_predict='Longest answer',
        num_predict_why='Tokens; then it stops and can be continued',
        reloads='With another context length the model has to be loaded anew: the next answer waits for that, '
        'and so may those of others.',
        stop='Stop texts',
        stop_why='The answer ends before one of these, one per line',
        think='Thinking',
        think_auto='As the model does',
        think_on='On',
        think_off='Off',
        format='Form of the answer',
        format_auto='Text',
        format_json='JSON',
        keep_alive='Stays loaded for',
        keep_alive_why='After the answer: 30s, 10m, 2h; 0 not at all, -1 for ever',
        clear='Clear all',
        cancel='Cancel',
        apply='Apply',
        wrong_number='A number from {low} to {high}.',
        wrong_whole='A whole number from {low} to {high}.',
        wrong_stop='At most 8 texts, one per line, of at most 100 characters each.',
        wrong_keep_alive='A time like 30s, 10m or 2h; 0 unloads the model at once, -1 keeps it loaded.',
        wrong_system='This is too long; 100 kB at most.',
    )
