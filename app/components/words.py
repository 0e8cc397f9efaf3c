"""The texts that every chart and table of the analytics pages has, beside its own."""

from nicegui import ui

from app import i18n
from app.i18n import N_

UNITS = {
    'millis': N_('{n} ms'),
    'seconds': N_('{n} s'),
    'minutes': N_('{n} min'),
    'hours': N_('{n} h'),
    'rate': N_('{n} per minute'),
    'speed': N_('{n} tokens/s'),
    'energy': N_('{n} kWh'),
}
MENU = {
    'more': N_('More'),
    'as_table': N_('Show as a table'),
    'as_chart': N_('Show as a chart'),
    'png': N_('Save as a picture (PNG)'),
    'csv': N_('Save the data (CSV)'),
    'previous': N_('{what}, before'),
    'time': N_('Time'),
    'weekday': N_('Weekday'),
    'value': N_('Value'),
    'share': N_('Share'),
    'name': N_('Name'),
    'choose': N_('What is shown'),
    'empty': N_('Nothing of this happened in this time.'),
}


def give(element: ui.element, **msgids: str) -> None:
    """Put the common texts and these in the element's props."""
    i18n.labels(element, **(UNITS | MENU | msgids))
