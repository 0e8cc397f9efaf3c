"""What this desk is set to, and what one may change here."""

import json
from typing import Any
from urllib.parse import quote, unquote

from nicegui import context, ui

from app import i18n
from app.components import controls
from app.components.notifier import NotifySwitch
from app.components.shortcut_list import ShortcutList
from app.i18n import N_, T, speech
from app.pages import settings_about, settings_queue
from app.parts import Parts
from app.shell import theme
from app.visit import visit

DEFAULTS = 'corral_defaults'  # of this browser: the model and the priority that a new conversation begins with
KEYS = 'corral_keys'
SECTIONS = {
    'look': N_('Appearance'),
    'new': N_('New conversations'),
    'notify': N_('Notifications'),
    'limits': N_('Limits'),
    'keep': N_('Retention'),
    'engines': N_('Engines'),
    'keys': N_('Shortcuts'),
    'start': N_('Start-up settings'),
    'about': N_('About and diagnostics'),
}


def create(parts: Parts) -> None:
    """Build the page."""
    with theme.box('page settings'):
        with theme.box('page-bar', tag='header'):
            T(theme.text(tag='h1'), 'Settings')
        with theme.box('page-body settings-body'):
            with T(theme.box('settings-nav', tag='nav'), 'Parts of this page', prop='aria-label'):
                for name, title in SECTIONS.items():
                    T(theme.text(tag='a').props(f'href=#{name}'), title)
            with theme.box('settings-parts'):
                with section('look', N_('Kept in this browser.')):
                    _look()
                with section('new', N_('Kept in this browser. The settings of a conversation come first.')):
                    _new(parts)
                with section('notify', N_('Kept in this browser.')):
                    NotifySwitch()
                queue = settings_queue.Queue(parts)
                with section('limits', N_('For everybody, in force at once, kept over a restart.')):
                    queue.limits()
                with section('keep', N_('How long the queue remembers what has ended, with questions and answers.')):
                    queue.retention()
                with section('engines', N_('Where answers come from now.')):
                    settings_about.engines(parts)
                with section('keys', ''):
                    _keys()
                with section(
                    'start', N_('They are read when Corral starts. Change them where they come from, then restart.')
                ):
                    settings_about.launched(parts, queue)
                with section('about', ''):
                    settings_about.about(parts, queue)


def section(name: str, explanation: str) -> ui.element:
    """A card with a title; fill it with ``with``."""
    with theme.box('settings-part', tag='section').props(f'id={name} aria-labelledby={name}-title'):
        with theme.box('settings-head'):
            T(theme.text(tag='h2').props(f'id={name}-title'), SECTIONS[name])
            if explanation:
                T(theme.text(tag='p', classes='quiet'), explanation)
        return theme.box('settings-card')


def _look() -> None:
    state, said = visit(), speech()
    language = controls.segments(
        'Language', list(i18n.LANGUAGES.values()), i18n.LANGUAGES[said.code], on_change=_speak, bare=False
    )

    def paint(value: str) -> None:
        state.theme = theme.current(str(value))
        ui.run_javascript(f'corral.setTheme({state.theme!r})')

    controls.segments('Theme', theme.THEMES, state.theme, on_change=paint, bare=False)
    said.on_switch(language, lambda: language.set(i18n.LANGUAGES[said.code]))


def _speak(name: str) -> None:
    code = next((code for code, each in i18n.LANGUAGES.items() if each == name), '')
    speech().switch(code)


def _new(parts: Parts) -> None:
    state = visit().state
    chosen: dict[str, Any] = state.setdefault('defaults', _read(context.client.request.cookies.get(DEFAULTS, '')))

    def keep(name: str, value: Any) -> None:
        chosen.pop(name, None)
        if value not in ('', None):
            chosen[name] = value
        cookie = f'{DEFAULTS}={quote(json.dumps(chosen))}; path=/; max-age=31536000; samesite=strict'
        ui.run_javascript(f'document.cookie = {json.dumps(cookie)}')

    names = {model.name: model.name for model in parts.board.models()}
    if chosen.get('model'):
        names.setdefault(chosen['model'], chosen['model'])
    options = {'': N_('The one picked last'), **names}
    model = controls.select('Model', options, chosen.get('model', ''), on_change=lambda value: keep('model', value))
    model.classes('settings-short')
    levels = {'': N_('The one picked last'), **theme.PRIORITIES}
    controls.select(
        'Priority', levels, chosen.get('priority', ''), on_change=lambda value: keep('priority', value)
    ).classes('settings-short')


def _read(cookie: str) -> dict[str, Any]:
    try:
        found = json.loads(unquote(cookie))
    except ValueError:
        return {}
    if not isinstance(found, dict):
        return {}
    chosen = {'model': found.get('model'), 'priority': found.get('priority')}
    sound = isinstance(chosen['model'], str) and len(chosen['model']) < 300
    return ({'model': chosen['model']} if sound else {}) | (
        {'priority': chosen['priority']} if chosen['priority'] in theme.PRIORITIES else {}
    )


def _keys() -> None:
    on = context.client.request.cookies.get(KEYS, '') != 'off'
    controls.switch(
        'Single-letter shortcuts',
        visit().state.setdefault('keys', on),
        on_change=_set_keys,
        hint='When off, only those with Ctrl, ⌘ or Alt work. Single letters never act while you write.',
    )
    ShortcutList()


def _set_keys(value: Any) -> None:
    visit().state['keys'] = bool(value)
    ui.run_javascript(f'corral.setKeys({"true" if value else "false"})')
