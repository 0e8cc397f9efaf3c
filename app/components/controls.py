"""What people fill in, pick from, open and confirm: the controls of every page, in the look of ``base.css``.

All texts are msgids. A field's value belongs to the browser while it is written: no redraw of the page takes it away.
``on_change(value)`` is called when it is settled (Enter or leaving it; with ``live=True`` 200 ms after the last key)::

    name = controls.field('Name', preset.name, on_change=rename, hint='Shown in the list of presets.')
    name.fail('That name is taken.')            # a sentence below it, '' takes it away
    controls.select('Model', ['qwen3:8b', 'llama3'], 'llama3', on_change=pick)       # a list is shown as it is
    controls.select('Priority', theme.PRIORITIES, 5, on_change=pick)                 # {value: msgid}
    controls.picker('User', names, query.user, on_change=show)                       # type-ahead, and free text
    controls.switch('Tell me when a long answer is ready', on, on_change=keep)
    controls.segments('State', {'all': N_('All'), 'dead': N_('Failed')}, 'all', on_change=show)  # a few, all in sight

    with theme.icon_button('more', 'More'), controls.menu():
        controls.item('Rename', rename, icon_name='pencil')
        controls.item('Delete', remove, icon_name='trash', kind='danger')

    if await controls.confirm('Delete this schedule?', 'Jobs that were made already go on.', yes='Delete', danger=True):
        …
    with controls.Dialog('Add a machine') as dialog:    # dialog.open(), dialog.close()
        …
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Self

from nicegui import context, ui

from app import i18n
from app.i18n import T, speech
from app.shell import theme

Options = Mapping[Any, str] | Iterable[str]
OnChange = Callable[[Any], Any]


class Control(ui.element, component='control.js'):
    """One labelled control; made by the functions below."""

    def __init__(self, kind: str, label: str, value: Any, on_change: OnChange | None, **settings: Any) -> None:
        super().__init__()
        self._props.update(kind=kind, value=value, error='', enabled=True, **settings)
        self._texts = {'label': label} | {key: settings[key] for key in ('hint', 'placeholder') if settings.get(key)}
        self._options: Options = ()
        speech().on_switch(self, self._say)
        self._say()
        self.on('change', lambda event: self._take(event.args, on_change))

    @property
    def value(self) -> Any:
        """What it was set to last."""
        return self._props['value']

    def set(self, value: Any) -> None:
        """Show another value; ``on_change`` is not called."""
        if value != self._props['value']:
            self._props['value'] = value
            self.update()

    def offer(self, options: Options) -> 'Control':
        """What can be picked: {value: msgid}, or names that are shown as they are."""
        self._options = options if isinstance(options, Mapping) else list(options)
        self._say()
        return self

    def fail(self, msgid: str, **values: object) -> None:
        """Say below it what is wrong with its value; '' when nothing is."""
        self._props['error'] = speech().tr(msgid, **values) if msgid else ''
        self.update()

    def enable(self, on: bool = True) -> 'Control':
        """Let it be used, or not."""
        if on != self._props['enabled']:
            self._props['enabled'] = on
            self.update()
        return self

    def _say(self) -> None:
        said = speech()
        self._props.update({name: said.tr(msgid) for name, msgid in self._texts.items()})
        if isinstance(self._options, Mapping):
            pairs = [(value, said.tr(msgid)) for value, msgid in self._options.items()]
        else:
            pairs = [(name, name) for name in self._options]
        self._props['options'] = [{'value': value, 'name': name} for value, name in pairs]
        self.update()

    def _take(self, value: Any, on_change: OnChange | None) -> Any:
        with self._props.suspend_updates():
            self._props['value'] = value  # the browser shows it already
        self._props['error'] = ''
        return on_change(value) if on_change is not None else None


class Picker(Control, component='picker.js'):
    """One of the names that are known, or any other that is written; made by ``picker``."""

    def __init__(self, label: str, value: str, on_change: OnChange | None, **settings: Any) -> None:
        super().__init__('picker', label, value, on_change, **settings)
        i18n.labels(self, clear='Clear', none='None is called so. Enter looks for it all the same.', count='{n} found')


def field(
    label: str,
    value: str | float | None = '',
    *,
    on_change: OnChange | None = None,
    kind: str = 'text',
    hint: str = '',
    placeholder: str = '',
    unit: str = '',
    live: bool = False,
    bare: bool = False,
    **limits: float,
) -> Control:
    """One line. ``kind`` is 'text', 'number' (its value a number or None), 'password' or 'search'; ``bare`` hides the
    label from the eye. ``limits`` are ``min``, ``max`` and ``step`` of a number, ``maxlength`` of a text.
    """
    settings = {'hint': hint, 'placeholder': placeholder, 'unit': unit, 'live': live, 'bare': bare, 'limits': limits}
    return Control(kind, label, value, on_change, **settings)


def area(
    label: str,
    value: str = '',
    *,
    on_change: OnChange | None = None,
    hint: str = '',
    placeholder: str = '',
    live: bool = False,
    bare: bool = False,
    rows: int = 3,
) -> Control:
    """Several lines; it grows with what is written, up to 40 % of the window."""
    settings = {'hint': hint, 'placeholder': placeholder, 'live': live, 'bare': bare, 'limits': {'rows': rows}}
    return Control('area', label, value, on_change, **settings)


def select(
    label: str,
    options: Options,
    value: Any = '',
    *,
    on_change: OnChange | None = None,
    hint: str = '',
    bare: bool = False,
) -> Control:
    """One of several, as the browser lets one pick."""
    return Control('select', label, value, on_change, hint=hint, bare=bare).offer(options)


def picker(
    label: str, names: Iterable[str], value: str = '', *, on_change: OnChange | None = None, **limits: float
) -> Control:
    """A field that suggests these names while one types; another may be written all the same. Its label is in it."""
    return Picker(label, value, on_change, placeholder=label, limits=limits).offer(names)


def switch(label: str, value: bool = False, *, on_change: OnChange | None = None, hint: str = '') -> Control:
    """On or off, in force at once."""
    return Control('switch', label, value, on_change, hint=hint)


def segments(
    label: str, options: Options, value: Any, *, on_change: OnChange | None = None, bare: bool = True, hint: str = ''
) -> Control:
    """One of a few, all in sight; also for the tabs of a page."""
    return Control('segments', label, value, on_change, bare=bare, hint=hint).offer(options)


def menu(*, right: bool = False, up: bool = False) -> ui.menu:
    """A menu of the button it is made in, opened by it, to be filled with ``item``; ``right`` aligns it so."""
    side, edge, hand = 'top' if up else 'bottom', 'bottom' if up else 'top', 'right' if right else 'left'
    found = ui.menu().props(f'role=menu anchor="{side} {hand}" self="{edge} {hand}" :offset="[0, 4]"')
    if found.parent_slot is not None:
        found.parent_slot.parent.props['aria-haspopup'] = 'menu'
    return found


def item(
    msgid: str,
    on_click: Callable[..., Any] | None = None,
    *,
    icon_name: str = '',
    kind: str = '',
    checked: bool = False,
) -> ui.element:
    """A line of a ``menu``, which it closes. ``kind`` may be 'danger'."""
    around = context.slot.parent
    owner = next(each for each in (around, *around.ancestors()) if isinstance(each, ui.menu))
    element = ui.element('button').classes(f'menu-item {kind}').props('type=button role=menuitem')
    if checked:
        element.props['aria-checked'] = 'true'
        element.props['role'] = 'menuitemradio'
    with element:
        if icon_name:
            theme.icon(icon_name, 'small')
        T(theme.text(classes='grow'), msgid)
    element.on('click', on_click, js_handler=f'(...args) => {{ getElement({owner.id}).hide(); emit(...args); }}')
    return element


class Dialog(ui.dialog):
    """A window over the page, closed with Escape, its cross, or ``close()``; fill it with ``with``."""

    def __init__(self, title: str, *, wide: bool = False) -> None:
        super().__init__()
        self._body: ui.element | None = None
        self.props['aria-labelledby'] = f'dialog-{self.id}'
        with self, theme.box(f'dialog {"wide" if wide else ""}'):
            with theme.box('dialog-head'):
                T(theme.text(tag='h2').props(f'id=dialog-{self.id}'), title)
                theme.icon_button('close', 'Close', self.close).classes('tip-left')
            body = theme.box('dialog-body')
        self._body = body

    def __enter__(self) -> Self:
        if self._body is None:
            return super().__enter__()
        self._body.__enter__()
        return self

    def __exit__(self, *told: Any) -> None:
        if self._body is None:
            super().__exit__(*told)
        else:
            self._body.__exit__(*told)


async def confirm(title: str, explanation: str = '', *, yes: str, danger: bool = False, **values: object) -> bool:
    """Ask before something that cannot be undone; whether the answer was yes. ``values`` fill in both texts."""
    with ui.dialog() as dialog, theme.box('dialog').props(f'id=ask-{dialog.id}'):
        dialog.props['role'] = 'alertdialog'
        dialog.props['aria-labelledby'] = f'ask-title-{dialog.id}'
        T(theme.text(tag='h2').props(f'id=ask-title-{dialog.id}'), title, None, **values)
        if explanation:
            T(theme.text(tag='p', classes='quiet'), explanation, None, **values)
        with theme.box('dialog-foot'):
            theme.button('Cancel', lambda: dialog.submit(False))
            theme.button(yes, lambda: dialog.submit(True), kind='primary danger' if danger else 'primary').props(
                'autofocus'
            )
    try:
        return bool(await dialog)
    finally:
        dialog.delete()
