"""The README tells of every setting, in the words of the settings themselves."""

import pytest

import run
from app import settings
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
