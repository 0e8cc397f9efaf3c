"""The README tells of every setting, in the words of the settings themselves."""

from typing import get_args

import pytest

import run
from app import settings
from broker import facts
from broker.job import FINAL, TRANSITIONS, State
from tests.conftest import ROOT


def _rows():
    tables = run.tables()
    for path in settings.names(tables):
        model = settings.LaunchSettings if len(path) == 1 else tables[path[0]]
        name = f'--{path[0].replace("_", "-")}' if len(path) == 1 and path != ('transport',) else path[-1]
        yield pytest.param(name, model.model_fields[path[-1]].description, id='.'.join(path))


@pytest.mark.parametrize(('name', 'description'), list(_rows()))
def test_a_setting_is_in_the_readme(name, description):
    rows = [line for line in (ROOT / 'README.md').read_text(encoding='utf-8').splitlines() if line.startswith('|')]
    assert description, f'{name} has no description'
    assert any(f'`{name}`' in row and description in row for row in rows), f'no row for | `{name}` | {description} |'


@pytest.mark.parametrize('table', sorted(run.tables()))
def test_a_table_of_settings_is_in_the_readme(table):
    assert f'`[{table}]`' in (ROOT / 'README.md').read_text(encoding='utf-8')


def _part(name):
    text = (ROOT / 'README.md').read_text(encoding='utf-8')
    return text.partition(f'<!-- {name}')[2].partition('-->\n')[2].partition(f'<!-- /{name} -->')[0].strip()


def states_diagram():
    """The transition table as a Mermaid diagram."""
    arrows = [f'    {before} --> {after}: {move}' for (before, move), after in TRANSITIONS.items()]
    ends = [f'    {state} --> [*]' for state in State if state in FINAL]
    begins = ['    [*] --> waiting: submit', '    [*] --> delayed: submit for later']
    return '\n'.join(['```mermaid', 'stateDiagram-v2', *begins, *arrows, *ends, '```'])


def facts_table():
    """Every fact with the first line of its docstring."""
    rows = [f'| `{kind.__name__}` | {kind.__doc__.splitlines()[0]} |' for kind in get_args(facts.AnyFact)]
    return '\n'.join(['| Fact | What happened |', '|---|---|', *rows])


def test_the_state_diagram_is_the_transition_table():
    assert _part('states') == states_diagram()


def test_the_table_of_facts_is_complete():
    assert _part('facts') == facts_table()
