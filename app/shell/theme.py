"""Colours, type, icons and the small pieces every page is built from.

The look lives in ``static/*.css`` (tokens, base, icons, frame; a page's own file beside them); here are the Python
ends of it; fields, menus and dialogs are in ``components.controls``. No Tailwind and no Quasar buttons: plain elements
with our classes. Sizes and colours are the CSS variables of ``tokens.css`` (``var(--ink2)``, ``var(--p-high)`` …), so
light and dark come by themselves; charts read them in the browser with ``getComputedStyle`` and listen to the window
event ``corral-theme``.
"""

import secrets
from collections.abc import Callable
from typing import Any

from nicegui import context, ui
from nicegui.elements.mixins.text_element import TextElement

from app.i18n import N_, T

COOKIE = 'corral_theme'
THEMES = {'system': N_('Follow the system'), 'light': N_('Light'), 'dark': N_('Dark')}
KEPT_PROMISES = 20  # buttons in toasts that were not pressed, per page
PRIORITIES = {1: N_('Low'), 5: N_('Normal'), 10: N_('High'), 15: N_('Realtime')}


def level(priority: int) -> str:
    """The CSS class of a priority 0–15: p-low, p-normal, p-high or p-real."""
    return 'p-low' if priority < 4 else 'p-normal' if priority < 8 else 'p-high' if priority < 13 else 'p-real'


class text(TextElement):
    """Plain text in any tag: ``T(theme.text(tag='h1'), 'Queue')``, ``theme.text(job.model, 'mono')``."""

    def __init__(self, content: str = '', classes: str = '', *, tag: str = 'span') -> None:
        super().__init__(tag=tag, text=content)
        self.classes(classes)


def box(classes: str = '', *, tag: str = 'div') -> ui.element:
    """Any element as a container: ``with theme.box('card'):``."""
    return ui.element(tag).classes(classes)


def icon(name: str, classes: str = '') -> ui.element:
    """A line icon of ``static/icons.css``, hidden from screen readers."""
    return ui.element('i').classes(f'icon icon-{name} {classes}').props('aria-hidden=true')


def button(
    msgid: str, on_click: Callable[..., Any] | None = None, *, kind: str = '', icon_name: str = ''
) -> ui.element:
    """A button with a text. ``kind``: '' (plain), 'primary', 'ghost' or 'danger'."""
    element = ui.element('button').classes(f'btn {kind}').props('type=button')
    with element:
        if icon_name:
            icon(icon_name, 'small')
        T(text(), msgid)
    return element if on_click is None else element.on('click', on_click)


def icon_button(
    name: str, msgid: str, on_click: Callable[..., Any] | None = None, *, kind: str = 'ghost'
) -> ui.element:
    """A square button with an icon; its text is its tooltip and its name for screen readers."""
    element = ui.element('button').classes(f'btn square {kind}').props('type=button')
    with element:
        icon(name)
    T(T(element, msgid, prop='aria-label'), msgid, prop='data-tip')
    return element if on_click is None else element.on('click', on_click)


def empty(icon_name: str, title: str, explanation: str, *, whole: bool = False) -> ui.element:
    """What an empty place shows (msgids): what will appear here, and how. Put a button inside with ``with``.

    ``whole``: it is all there is on the page, and its title the page's.
    """
    with ui.element('div').classes('empty') as element:
        icon(icon_name, 'large')
        T(text(tag='h1' if whole else 'h2'), title)
        T(text(tag='p'), explanation)
    return element


def skeleton(height_px: int = 14, width: str = '100%') -> ui.element:
    """A grey bar where something is about to appear; several, one below the other, in ``theme.box('skeletons')``."""
    return ui.element('div').classes('skeleton').style(f'height:{height_px}px;width:{width}').props('aria-hidden=true')


def toast(message: str, *, bad: bool = False, action: tuple[str, Callable[[], Any]] | None = None) -> None:
    """A short message at the bottom, already translated: ``theme.toast(speech().tr('Copied.'))``.

    ``action`` is a button in it, a text and what it does: ``theme.toast(said.tr('Deleted.'), action=(said.tr('Undo'),
    undelete))``. Such a toast stays for 8 s, one that is ``bad`` for 6 s.
    """
    buttons = [{'label': action[0], 'token': _promise(action[1])}] if action else []
    ui.notify(
        message,
        position='bottom',
        timeout=8000 if action else 6000 if bad else 2600,
        classes='toast-bad' if bad else 'toast',
        html=False,
        actions=buttons,
    )


def _promise(callback: Callable[[], Any]) -> str:
    """A word by which the browser asks for ``callback``, once; see ``components/hotkeys.js``."""
    promises = context.client.storage.setdefault('promises', {})
    token = secrets.token_hex(8)
    promises[token] = callback
    while len(promises) > KEPT_PROMISES:
        del promises[next(iter(promises))]
    return token


def redeem(token: str) -> Any:
    """Do what a toast's button promised; a second press, or one that comes too late, does nothing."""
    callback = context.client.storage.get('promises', {}).pop(token, None)
    return callback() if callback is not None else None


def badge(msgid: str, kind: str = '', **values: object) -> text:
    """A small state: ``kind`` is '' (quiet), 'ok', 'bad', 'warn' or 'run'."""
    return T(text(classes=f'chip soft is-{kind or "quiet"}'), msgid, None, **values)


class progress(ui.element):
    """A bar that fills: ``share`` from 0 to 1, None while nobody knows how far it is; ``show`` changes it."""

    def __init__(self, msgid: str, share: float | None = None) -> None:
        super().__init__('div')
        self.classes('progress').props('role=progressbar aria-valuemin=0 aria-valuemax=100')
        T(self, msgid, prop='aria-label')
        with self:
            self._bar = ui.element('i')
        self.show(share)

    def show(self, share: float | None) -> None:
        """So far it is."""
        if share is None:
            self.props.pop('aria-valuenow', None)
            self.classes(add='endless')
        else:
            percent = round(100 * min(1.0, max(0.0, share)), 1)
            self.props['aria-valuenow'] = f'{percent:g}'
            self.classes(remove='endless')
            self._bar.style(f'width:{percent:g}%')
        self.update()


def page(title: str) -> tuple[ui.element, ui.element]:
    """A page inside the frame: its top bar, with the title (a msgid) in it, and its scrolling body."""
    with box('page'):
        with box('page-bar', tag='header') as bar:
            T(text(tag='h1'), title)
        body = box('page-body')
    return bar, body


def current(cookie: str) -> str:
    """The theme a cookie asks for."""
    return cookie if cookie in THEMES else 'system'
