"""Limits and retention: what the broker goes by now, changed while it runs."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nicegui import background_tasks

from app.components import controls
from app.i18n import N_, speech
from app.jobs import refusals
from app.parts import Parts
from app.shell import theme
from broker import errors, protocol

MB = 1_000_000
_FINE = ''  # nothing is wrong
_RATE = N_('Written like “10 per min burst 3”; empty is no limit.')
_PERIOD = N_('Written like “30 d”, “12 h” or “45 min”; “0” is a minute, empty is for ever.')


@dataclass(frozen=True, kw_only=True)
class Field:
    """One setting of the broker; ``unit`` is a msgid, ``scale`` one of its units, ``wrong`` what it has to be."""

    name: str
    label: str
    hint: str = ''
    kind: str = 'text'
    unit: str = ''
    scale: int = 1
    wrong: str = ''


LIMITS = (
    Field(name='rate', label=N_('Rate of starts, all together'), hint=_RATE),
    Field(name='user_rate', label=N_('Rate of starts, one user'), hint=_RATE),
    Field(
        name='model_rates',
        label=N_('Rate of starts, by model'),
        hint=N_('One model a line, like “qwen3:8b = 2 per min”.'),
        kind='area',
    ),
    Field(name='running', label=N_('At the same time, all together'), hint=N_('0 is no limit.'), kind='number'),
    Field(name='user_running', label=N_('At the same time, one user'), hint=N_('0 is no limit.'), kind='number'),
    Field(
        name='max_waiting',
        label=N_('Jobs that may wait'),
        hint=N_('More are refused.'),
        kind='number',
        wrong=N_('a whole number from 1 up.'),
    ),
    Field(
        name='max_waiting_per_user',
        label=N_('Jobs of one user that may wait'),
        hint=N_('0 is no limit.'),
        kind='number',
    ),
    Field(
        name='max_waiting_bytes',
        label=N_('Size of all that waits'),
        hint=N_('More is refused; 0 is no limit.'),
        wrong=N_('0, or at least 4.2 MB: the largest job must find room.'),
        kind='number',
        unit=N_('MB'),
        scale=MB,
    ),
    Field(
        name='max_answer_bytes',
        label=N_('Longest answer'),
        hint=N_('A longer one ends its job as failed.'),
        wrong=N_('at least 0.001 MB.'),
        kind='number',
        unit=N_('MB'),
        scale=MB,
    ),
    Field(
        name='retry_base_s',
        label=N_('First pause before a retry'),
        hint=N_('It doubles each time.'),
        kind='number',
        unit=N_('s'),
    ),
    Field(name='retry_max_s', label=N_('Longest pause before a retry'), kind='number', unit=N_('s')),
)
RETENTION = (
    Field(name='keep_completed', label=N_('Completed jobs'), hint=_PERIOD),
    Field(name='keep_cancelled', label=N_('Cancelled jobs'), hint=_PERIOD),
    Field(name='keep_dead', label=N_('Failed jobs'), hint=_PERIOD),
    Field(
        name='keep_jobs',
        label=N_('Most ended jobs to keep'),
        hint=N_('The newest stay; 0 is no limit.'),
        kind='number',
    ),
    Field(name='keep_facts', label=N_('Facts for the statistics'), hint=_PERIOD),
)


class Queue:
    """The broker's settings on this page. ``told`` is what the broker said last; ``on_told`` callbacks hear of it."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.told: protocol.Settings | None = None
        self.on_told: list[Callable[[], Any]] = []
        self._rows: dict[str, _Row] = {}
        self._place = theme.box('settings-none')
        background_tasks.create(self._ask(), name='ask the settings', context=self._place)

    def limits(self) -> None:
        """The fields of the limits."""
        self._fields(LIMITS)

    def retention(self) -> None:
        """The fields of the retention."""
        self._fields(RETENTION)

    def _fields(self, fields: tuple[Field, ...]) -> None:
        with theme.box('settings-grid'):
            for field in fields:
                self._rows[field.name] = _Row(field, self._change, self._reset)

    async def _ask(self) -> None:
        try:
            self._take(await self._parts.broker.settings())
        except errors.BrokerError as error:
            theme.toast(refusals.why(error, speech()), bad=True)

    def _take(self, told: protocol.Settings) -> None:
        if self._place.is_deleted:
            return
        self.told = told
        values, configured = json.loads(told.values), json.loads(told.configured)
        for name, row in self._rows.items():
            row.show(values.get(name), configured.get(name), name in told.changed)
        for call in self.on_told:
            call()

    async def _change(self, row: '_Row', value: Any) -> None:
        if row.field in RETENTION and not await controls.confirm(
            'Change how long this is kept?',
            'What is older goes for good within a minute, with questions and answers.',
            yes='Change',
            danger=True,
        ):
            row.back()
            return
        await self._set(row, json.dumps({row.field.name: value}).encode())

    async def _reset(self, row: '_Row') -> None:
        await self._set(row, b'{}', (row.field.name,))

    async def _set(self, row: '_Row', values: bytes, reset: tuple[str, ...] = ()) -> None:
        try:
            told = await self._parts.broker.set_settings(values, reset)
        except errors.Refused as refused:
            row.fail(refused)
        except errors.BrokerError as error:
            theme.toast(refusals.why(error, speech()), bad=True)
            row.back()
        else:
            self._take(told)
            theme.toast(speech().tr('Changed. It is in force now.'))


class _Row:
    """A field with what was configured below it, where that is another value."""

    def __init__(self, field: Field, change: Callable[['_Row', Any], Any], reset: Callable[['_Row'], Any]) -> None:
        self.field, self._change = field, change
        self._value: Any = None
        self._configured: Any = None
        with theme.box('settings-row'):
            if field.kind == 'area':
                self._control = controls.area(field.label, '', on_change=self._entered, hint=field.hint, rows=2)
            else:
                limits = {'min': 0} if field.kind == 'number' else {'maxlength': 60}
                self._control = controls.field(
                    field.label, '', kind=field.kind, hint=field.hint, on_change=self._entered, **limits
                )
                if field.unit:
                    self._unit()
                    speech().on_switch(self._control, self._unit)
            self._control.enable(False)
            with theme.box('settings-was') as self._was:
                self._said = theme.text(classes='faint')
                theme.button('Reset', lambda: reset(self), kind='ghost')
        self._was.set_visibility(False)
        speech().on_switch(self._said, self._say)

    def _unit(self) -> None:
        self._control._props['unit'] = speech().tr(self.field.unit)
        self._control.update()

    def show(self, value: Any, configured: Any, changed: bool) -> None:
        """Show what is in force, and what the start said where that differs."""
        self._value, self._configured = value, configured
        self._control.enable()
        self._control.fail(_FINE)
        self.back()
        self._was.set_visibility(changed and shown(self.field, value) != shown(self.field, configured))
        self._say()

    def back(self) -> None:
        """Show what is in force."""
        text = shown(self.field, self._value)
        if self._control.value != text:
            self._control.set(text)
        else:
            self._control.update()

    def fail(self, refused: errors.Refused) -> None:
        """Say what was wrong, in the words of the page."""
        if refused.code != 'invalid':
            theme.toast(refusals.why(refused, speech()), bad=True)
        number = N_('a number from 0 up.') if self.field.unit else N_('a whole number from 0 up.')
        wrong = self.field.wrong or (number if self.field.kind == 'number' else self.field.hint)
        self._control.fail(N_('That cannot be: {hint}'), hint=speech().tr(wrong))

    def _say(self) -> None:
        text = shown(self.field, self._configured)
        said = speech()
        self._said.set_text(
            said.tr('Changed here; the start said: {value}', value=text if text not in ('', None) else '—')
        )

    def _entered(self, value: Any) -> Any:
        try:
            wanted = read(self.field, value)
        except ValueError:
            self.fail(errors.Refused('invalid', ''))
            return None
        return None if wanted == self._value else self._change(self, wanted)


def shown(field: Field, value: Any) -> Any:
    """A setting as it stands in its field."""
    if field.kind == 'area':
        return '\n'.join(f'{model} = {rate}' for model, rate in (value or {}).items())
    if field.kind == 'number' and isinstance(value, int | float):
        scaled = value / field.scale
        return int(scaled) if scaled == int(scaled) else scaled
    return '' if value is None else value


def read(field: Field, value: Any) -> Any:
    """What stands in a field as the setting. Raises ``ValueError``."""
    if field.kind == 'area':
        lines = [line.partition('=') for line in str(value or '').splitlines() if line.strip()]
        if not all(equals and model.strip() for model, equals, _ in lines):
            raise ValueError
        return {model.strip(): rate.strip() for model, _, rate in lines}
    if field.kind == 'number':
        if not isinstance(value, int | float) or isinstance(value, bool) or value < 0:
            raise ValueError
        scaled = value * field.scale
        return int(scaled) if scaled == int(scaled) else scaled
    text = str(value or '').strip()
    if field.hint == _PERIOD and text and not text[0].isdigit():
        raise ValueError  # nobody is asked whether to delete by it
    return text
