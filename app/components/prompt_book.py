"""The dialog in which prompts are written, changed and removed."""

from collections.abc import Callable
from typing import Any

import msgspec
from nicegui import ui

from app import i18n
from app.chats.presets import Prompt


class PromptBook(ui.element, component='prompt_book.js'):
    """``open`` it; ``on_save(id, name, text)`` with '' for a new one, ``on_delete(id)``."""

    def __init__(self, *, on_save: Callable[[str, str, str], Any], on_delete: Callable[[str], Any]) -> None:
        super().__init__()
        self._props['state'] = {'prompts': []}
        self.on('save', lambda event: on_save(*map(str, event.args)))
        self.on('delete', lambda event: on_delete(str(event.args)))
        i18n.labels(
            self,
            title='Prompts',
            why='Type / at the beginning of a message to pick one. {{words}} in braces are filled in with Tab.',
            close='Close',
            add='New prompt',
            edit='Edit',
            copy='Copy as a new one',
            remove='Delete',
            built_in='built in',
            name='Name',
            text='Text',
            text_why='Write {{topic}} where something is to be filled in.',
            back='Back',
            save='Save',
        )

    def show(self, prompts: list[Prompt]) -> None:
        """What there is."""
        told = [msgspec.structs.asdict(each) for each in prompts]
        if told != self._props['state']['prompts']:
            self._props['state'] = {'prompts': told}
            self.update()

    def open(self) -> None:
        """Show it."""
        self.run_method('open')
