"""One strip above the page for the one thing that matters most now."""

import json
from collections.abc import Callable

from nicegui import context, ui

from app.i18n import N_, T, speech
from app.parts import Parts
from app.shell import theme
from app.visit import watch

CONNECT_COMMAND = 'ollama pull qwen3'
CLOSED_COOKIE = 'corral_closed'  # of this browser session


class Banner:
    """Made once per page; it shows at most one strip."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._shown: tuple[str, ...] | None = None
        self._closed = {context.client.request.cookies.get(CLOSED_COOKIE, '')} & {'demo'}
        self._strips: dict[str, Callable[[], None]] = {
            'broker_silent': self._broker_silent,
            'no_worker': self._no_worker,
            'no_model': self._no_model,
            'engine_problem': self._engine_problem,
            'demo': self._demo,
            'stand_in': self._stand_in,
        }
        self._place = theme.box('banner-place').props('aria-live=polite')
        watch(parts.board.on_workers, self._refresh)
        speech().on_switch(self._place, lambda: self._refresh(again=True))
        self._refresh()

    def _refresh(self, *, again: bool = False) -> None:
        kind = self._kind()
        if kind == self._shown and not again:
            return
        self._shown = kind
        self._place.clear()
        if kind[0] and kind[0] not in self._closed:
            with self._place:
                self._strips[kind[0]]()

    def _kind(self) -> tuple[str, ...]:
        board = self._parts.board
        engine = board.engine()
        if not board.broker_alive:
            return ('broker_silent',)
        if not engine.kind:
            return ('no_worker',)
        if engine.problem == 'no_models':
            return ('no_model',)
        if engine.kind == 'demo':
            return ('stand_in',) if engine.problem else ('demo',)
        if engine.problem:
            return ('engine_problem',)
        return ('no_model',) if not board.models() else ('',)

    def _broker_silent(self) -> None:
        with theme.box('banner bad').props('role=alert'):
            theme.icon('unplugged')
            T(
                theme.text(classes='say'),
                'The queue does not answer. It is being restarted; nothing that was sent is lost.',
            )

    def _no_worker(self) -> None:
        with theme.box('banner'):
            theme.icon('unplugged')
            T(theme.text(classes='say'), 'No worker is connected. Jobs wait until one is back.')

    def _no_model(self) -> None:
        with theme.box('banner'):
            theme.icon('info')
            T(theme.text(classes='say'), 'Ollama has no model yet. This gets one:')
            command(CONNECT_COMMAND)

    def _engine_problem(self) -> None:
        self._ollama_away(N_('Ollama at {url} does not answer. Jobs wait until it is back; this starts it:'))

    def _stand_in(self) -> None:
        self._ollama_away(
            N_('Ollama at {url} no longer answers. Its jobs wait, and the demo gives canned answers. This starts it:')
        )

    def _ollama_away(self, sentence: str) -> None:
        with theme.box('banner bad').props('role=alert'):
            theme.icon('unplugged')
            T(theme.text(classes='say'), sentence, url=self._parts.settings.ollama_url)
            command('ollama serve')

    def _demo(self) -> None:
        with theme.box('banner'):
            theme.icon('info')
            T(
                theme.text(classes='say'),
                'This is the built-in demo; its answers are canned. With Ollama installed, this brings a real model:',
            )
            command(CONNECT_COMMAND)
            theme.icon_button('close', 'Close this notice', self._close, kind='ghost').classes('tip-left')

    def _close(self) -> None:
        if self._shown:
            self._closed.add(self._shown[0])
            self._place.clear()
            ui.run_javascript(f'document.cookie = "{CLOSED_COOKIE}={self._shown[0]}; path=/; samesite=strict"')


def command(line: str) -> None:
    """A command to copy."""
    theme.text(line, tag='code')
    theme.icon_button('copy', 'Copy').on(
        'click',
        lambda: theme.toast(speech().tr('Copied.')),
        js_handler=f'async () => {{ if (await corral.copy({json.dumps(line)})) emit(); }}',
    )
