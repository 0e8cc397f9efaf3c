"""The line at the bottom: how the queue is, what answers, the language and the look."""

from collections.abc import Callable
from typing import Any

from nicegui import ui

from app import i18n
from app.components import palette
from app.i18n import T, speech
from app.parts import Parts
from app.shell import theme
from app.shell.banner import CONNECT_COMMAND
from app.visit import visit, watch


def create(parts: Parts) -> None:
    """The whole line."""
    with T(theme.box('status', tag='footer'), 'Status', prop='aria-label'):
        _figures(parts)
        theme.box('grow')
        palette.button()
        _engine(parts)
        _language()
        _theme()


def _figures(parts: Parts) -> None:
    board = parts.board
    with theme.box(tag='span').props('role=status'):
        dot = theme.box('dot', tag='span')
        queue = theme.text(classes='words')
    workers, running = _link('/workers', 'wide'), _link('/queue?state=running')
    waiting, speed = _link('/queue?state=waiting'), _link('/analytics', 'wide')

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


def _link(path: str, classes: str = '') -> theme.text:
    return theme.text(tag='a', classes=classes).props(f'href={path}')


def _engine(parts: Parts) -> None:
    board = parts.board
    with theme.text(tag='button', classes='engine').props('type=button aria-haspopup=dialog'):
        T(theme.text(classes='sr'), 'About the engine')
        dot = theme.box('dot bad', tag='i').props('aria-hidden=true')
        name, short = theme.text(classes='clip long'), theme.text(classes='clip short')
        with ui.menu().props('anchor="top right" self="bottom right" :offset="[0, 6]"'):
            explanation = theme.box('explain')

    def refresh() -> None:
        said, engine, models = speech(), board.engine(), board.models()
        shown = {'': said.tr('no engine'), 'demo': said.tr('Demo engine')}.get(
            engine.kind, f'{engine.kind.capitalize()} {engine.version}'.strip()
        )
        gone = engine.problem == 'unreachable' and engine.kind != 'demo'
        dot.set_visibility(gone or not engine.kind)
        short.set_text(said.tr('Demo') if engine.kind == 'demo' else engine.kind.capitalize() or shown)
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

    button.on('click', switch_language)
    said.on_switch(button, refresh)
    refresh()


def switch_language() -> None:
    """Say everything in the next language."""
    speech().switch(_other_language())


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
        set_theme(order[(order.index(state.theme) + 1) % len(order)])

    state.on_theme = refresh
    button.on('click', turn)
    speech().on_switch(button, refresh)
    refresh()


def set_theme(name: str) -> None:
    """Show this page in another theme, and remember it in the browser."""
    state = visit()
    state.theme = name
    ui.run_javascript(f'corral.setTheme({name!r})')
    state.on_theme()


def _keep(board: Any, element: ui.element, refresh: Callable[[], None], *, queue: bool = True) -> None:
    if queue:
        watch(board.on_queue, refresh)
    watch(board.on_workers, refresh)
    speech().on_switch(element, refresh)
    refresh()
