"""What stands around every page: the rail, the banner, the status bar, and the pages in between."""

import json
import logging
from collections.abc import Callable
from typing import Any

from nicegui import context, ui

from app import i18n, theme
from app.components.hotkeys import Hotkeys
from app.components.notifier import Notifier
from app.i18n import N_, T, speech
from app.parts import Parts
from app.visit import visit, watch

PLACES = {
    '/chat': ('chat', N_('Chat')),
    '/queue': ('queue', N_('Queue')),
    '/history': ('history', N_('History')),
    '/workers': ('workers', N_('Workers')),
    '/analytics': ('chart', N_('Analytics')),
    '/settings': ('settings', N_('Settings')),
}
CONNECT_COMMAND = 'ollama pull qwen3'
CLOSED_COOKIE = 'corral_closed'  # of this browser session

log = logging.getLogger(__name__)


def create(parts: Parts, routes: dict[str, Callable[..., Any]]) -> None:
    """The whole desk for one browser tab; ``routes`` maps paths to page builders, as ``ui.sub_pages`` takes them."""
    _prepare(context.client)
    with theme.box('desk'):
        T(theme.text(tag='a', classes='skip').props('href=#content'), 'Skip to the content')
        _rail(parts)
        _Banner(parts)
        with theme.box('content').props('id=content tabindex=-1'):
            _Pages(routes)
        _status(parts)
    Hotkeys()
    Notifier(parts)


def _prepare(client: Any) -> None:
    said, state = speech(), visit()
    state.theme = theme.current(client.request.cookies.get(theme.COOKIE, ''))
    client.page.language = said.tag
    client.page.dark = {'light': False, 'dark': True}.get(state.theme)
    with client:
        ui.on_exception(_apologise)


def _apologise(error: Exception) -> None:
    theme.toast(speech().tr('That did not work: something is wrong on our side. The details are in the log.'), bad=True)


class _Pages(ui.sub_pages):
    def _render_404(self) -> None:
        with (
            theme.box('page'),
            theme.empty('compass', 'There is no such page', 'The address may be old or mistyped.'),
            theme.text(tag='a', classes='btn primary').props('href=/chat'),
        ):
            T(theme.text(), 'Go to the chat')

    def _render_error(self, _: Exception) -> None:
        log.exception('a page failed to build: %s', self._router.current_path, extra={'action': 'build page'})
        with theme.box('page'):
            theme.empty(
                'warn', 'This page could not be shown', 'The details are in the log. Reloading the page may help.'
            )


# The rail


def _rail(parts: Parts) -> None:
    router = context.client.sub_pages_router
    links: dict[str, ui.element] = {}
    with T(theme.box('rail', tag='nav'), 'Main', prop='aria-label'):
        theme.text('栏', 'mark').props('aria-hidden=true')
        for path, (icon, name) in PLACES.items():
            link = ui.element('a').props(f'href={path}').classes('tip-right')
            links[path] = T(T(link, name, prop='aria-label'), name, prop='data-tip')
            with link:
                theme.icon(icon)
                T(theme.text(), name)
                if path == '/queue':
                    count = theme.text(classes='count').props('aria-hidden=true')

    def mark(path: str) -> None:
        for place, link in links.items():
            here = path.partition('?')[0] == place or path.startswith(f'{place}/')
            if here:
                link.props['aria-current'] = 'page'
                ui.page_title(f'{speech().tr(PLACES[place][1])} · Corral')
            else:
                link.props.pop('aria-current', None)
            link.update()

    def recount() -> None:
        waiting = parts.board.counts().waiting
        count.set_text('' if not waiting else str(waiting) if waiting < 100 else '99+')

    router.on_path_changed(mark)
    speech().on_switch(count, lambda: mark(router.current_path))
    watch(parts.board.on_queue, recount)
    mark(router.current_path)
    recount()


# The banner


class _Banner:
    """One strip above the page for the one thing that matters most now."""

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
        with theme.box('banner bad').props('role=alert'):
            theme.icon('unplugged')
            url = self._parts.settings.ollama_url
            T(
                theme.text(classes='say'),
                'Ollama at {url} does not answer. Jobs wait until it is back; this starts it:',
                url=url,
            )
            command('ollama serve')

    def _stand_in(self) -> None:
        with theme.box('banner bad').props('role=alert'):
            theme.icon('unplugged')
            url = self._parts.settings.ollama_url
            T(
                theme.text(classes='say'),
                'Ollama at {url} no longer answers. Its jobs wait, and the demo gives canned answers. This starts it:',
                url=url,
            )
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


# The status bar


def _status(parts: Parts) -> None:
    with T(theme.box('status', tag='footer'), 'Status', prop='aria-label'):
        _figures(parts)
        theme.box('grow')
        _engine(parts)
        _language()
        _theme()


def _figures(parts: Parts) -> None:
    board = parts.board
    with theme.box(tag='span').props('role=status'):
        dot = theme.box('dot', tag='span')
        queue = theme.text(classes='words')
    workers = theme.text(classes='wide')
    running, waiting, speed = theme.text(), theme.text(), theme.text(classes='wide')

    def refresh() -> None:
        said, counts, alive = speech(), board.counts(), board.broker_alive
        paused = alive and ('all', '') in board.pauses
        dot.classes(replace=f'dot {"warn" if paused else "ok" if alive else "bad"}')
        state = said.tr('Queue running') if alive else said.tr('Queue unreachable')
        queue.set_text(said.tr('Queue paused') if paused else state)
        workers.set_text(said.trn('{n} worker', '{n} workers', counts.workers))
        running.set_text(said.trn('{n} running', '{n} running', counts.running))
        waiting.set_text(said.trn('{n} waiting', '{n} waiting', counts.waiting))
        rate = round(counts.tokens_per_s)
        speed.set_text(said.tr('{n} tokens/s', n=said.number(rate)) if counts.running and rate else '')

    _keep(board, dot, refresh)


def _engine(parts: Parts) -> None:
    board = parts.board
    with T(theme.text(tag='button', classes='engine').props('type=button'), 'About the engine', prop='aria-label'):
        name = theme.text(classes='clip')
        with ui.menu().props('anchor="top right" self="bottom right" :offset="[0, 6]"'):
            explanation = theme.box('explain')

    def refresh() -> None:
        said, engine, models = speech(), board.engine(), board.models()
        shown = {'': said.tr('no engine'), 'demo': said.tr('Demo engine')}.get(
            engine.kind, f'{engine.kind.capitalize()} {engine.version}'.strip()
        )
        gone = engine.problem == 'unreachable' and engine.kind != 'demo'
        name.set_text(said.tr('{engine}: unreachable', engine=shown) if gone else shown)
        explanation.clear()
        with explanation:
            _explain(parts, engine.kind, engine.problem, len(models))

    _keep(board, name, refresh, queue=False)


def _explain(parts: Parts, kind: str, problem: str, models: int) -> None:
    said, url = speech(), parts.settings.ollama_url
    if kind == 'demo':
        theme.text(said.tr('Answers come from a built-in engine that only plays a part. It needs no model and no GPU.'))
        theme.text(said.tr('When Ollama answers at {url}, its models take over by themselves:', url=url))
        theme.text(CONNECT_COMMAND, tag='code')
    elif not kind:
        theme.text(said.tr('No worker is connected. Jobs wait until one is back.'))
    elif problem == 'unreachable':
        theme.text(said.tr('Ollama at {url} does not answer. Jobs wait until it is back; this starts it:', url=url))
        theme.text('ollama serve', tag='code')
    else:
        theme.text(said.tr('Answers come from Ollama at {url}.', url=url))
        theme.text(said.trn('{n} model can be picked.', '{n} models can be picked.', models))
    theme.text(f'Corral {parts.settings.version}', 'faint')


def _language() -> None:
    said = speech()
    button = theme.text(tag='button').props('type=button')
    with button:
        theme.icon('globe')
        name = theme.text()

    def refresh() -> None:
        other = _other_language()
        name.set_text(i18n.LANGUAGES[other])
        button.props['lang'] = i18n.TAGS[other]
        button.props['aria-label'] = said.tr('Language: {name}', name=i18n.LANGUAGES[other])
        button.update()

    button.on('click', lambda: said.switch(_other_language()))
    said.on_switch(button, refresh)
    refresh()


def _other_language() -> str:
    codes = list(i18n.LANGUAGES)
    return codes[(codes.index(speech().code) + 1) % len(codes)]


def _theme() -> None:
    state = visit()
    button = theme.text(tag='button').props('type=button')
    icons = {'system': 'system', 'light': 'sun', 'dark': 'moon'}
    with button:
        icon = theme.icon('system')
        name = theme.text(classes='words')

    def refresh() -> None:
        title = speech().tr(theme.THEMES[state.theme])
        icon.classes(replace=f'icon icon-{icons[state.theme]}')
        name.set_text(title)
        button.props['aria-label'] = speech().tr('Theme: {name}', name=title)
        button.update()

    def turn() -> None:
        order = list(theme.THEMES)
        state.theme = order[(order.index(state.theme) + 1) % len(order)]
        ui.run_javascript(f'corral.setTheme({state.theme!r})')
        refresh()

    button.on('click', turn)
    speech().on_switch(button, refresh)
    refresh()


def _keep(board: Any, element: ui.element, refresh: Callable[[], None], *, queue: bool = True) -> None:
    if queue:
        watch(board.on_queue, refresh)
    watch(board.on_workers, refresh)
    speech().on_switch(element, refresh)
    refresh()
