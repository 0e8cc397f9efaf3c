"""The command palette: everything of the desk by a few letters."""

from collections.abc import Callable
from typing import Any

from nicegui import ui

from app import desk, i18n
from app.i18n import speech
from app.parts import Parts
from app.shell import actions, palette, theme
from app.visit import watch

SHORTEST_SAID = 2  # letters that are looked for in what was said


class Palette(ui.element, component='palette.js'):
    """One per page. ``places`` are {path: (icon, msgid)}; ``commands`` are offered wherever one is.

    What is fixed is in the browser and found at once; titles, models and jobs are asked for as one types.
    """

    def __init__(self, parts: Parts, places: dict[str, tuple[str, str]], commands: dict[str, actions.Action]) -> None:
        super().__init__()
        self._parts, self._places, self._commands = parts, places, commands
        self._running: dict[str, Callable[[], Any]] = {}
        self._asked = 0
        self._found: list[palette.Item] = []
        _labels(self)
        speech().on_switch(self, self._say)
        self._say()
        self.on('ask', lambda event: self._ask(int(event.args[0]), str(event.args[1])[:200]))
        self.on('run', lambda event: self._run(str(event.args)))
        watch(parts.openings.on_news, self._name)

    def _say(self) -> None:
        """The fixed lines in the language of the page, to be found by their names in the others as well."""
        self._props['fixed'] = self._fixed()
        self.update()

    def _fixed(self) -> list[palette.Item]:
        said = speech()
        places = [
            {'kind': 'page', 'icon': icon, 'href': path, **_names(said, name)}
            for path, (icon, name) in self._places.items()
        ]
        offers = {**{str(number): action for number, action in actions.offered().items()}, **self._commands}
        shown = {name: action for name, action in offers.items() if action.shown()}
        self._running = {name: action.run for name, action in shown.items()}
        commands = [
            {'kind': 'action', 'icon': action.icon, 'run': name, **_names(said, action.name)}
            for name, action in shown.items()
        ]
        return [*commands, *places]

    async def _ask(self, nth: int, text: str) -> None:
        self._asked = nth
        found = self._found = palette.find(self._parts, text)
        answer: dict[str, Any] = {'nth': nth, 'found': found}
        if not text:
            answer['fixed'] = self._fixed()  # as it is opened: what the page offers now
        self.run_method('answer', answer)
        if len(text) < SHORTEST_SAID or self._parts.search is None:
            return
        try:
            said = await self._parts.search.find(
                text, limit=palette.SHOWN, wanted=lambda: nth == self._asked and not self.is_deleted
            )
        except desk.DeskError:
            return  # the rest was found; the log of the search tells
        if nth == self._asked and not self.is_deleted and (more := palette.said(said.found, found)):
            self._found = [*found, *more]
            self.run_method('answer', {'nth': nth, 'found': self._found})

    def _name(self) -> None:
        if palette.named(self._parts, self._found):
            self.run_method('answer', {'nth': self._asked, 'found': self._found})

    def _run(self, name: str) -> Any:
        run = self._running.get(name)
        return run() if run is not None else None


def _names(said: i18n.Speech, msgid: str) -> palette.Item:
    others = [i18n.tr(code, msgid) for code in i18n.LANGUAGES if code != said.code]
    return {'name': said.tr(msgid), 'also': palette.folded(' '.join(others))}


def button(classes: str = '') -> ui.element:
    """A button that opens the palette."""
    return (
        theme.icon_button('search', 'Find anything (Ctrl K)', kind='')
        .classes(f'find {classes}')
        .on('click', js_handler='() => dispatchEvent(new CustomEvent("corral-palette"))')
    )


def _labels(element: Palette) -> None:
    i18n.labels(
        element,
        title='Find anything',
        placeholder='Where to, or what to do?',
        action='Actions',
        page='Pages',
        conversation='Conversations',
        recent='Latest conversations',
        said='Said in conversations',
        model='Start a conversation with a model',
        job='Jobs',
        none='Nothing is called “{text}”. Titles, models, pages, actions and the ids of jobs can be found here.',
        count='{n} found',
        move='choose',
        open='open',
        leave='close',
        enter='Enter',
        escape='Esc',
    )
