"""What no room may do, read from the source: run data as code, or know the machine it was written on."""

import ast
import re
import tomllib

import pytest

from tests.conftest import ROOT

ROOMS = ('app', 'broker', 'workers', 'analytics')
OURS = sorted([ROOT / 'run.py', *(path for room in ROOMS for path in (ROOT / room).rglob('*.py'))])
MODULES = {'pickle', 'cPickle', 'marshal', 'shelve', 'dill', 'cloudpickle', 'joblib', 'jsonpickle'}  # these run code
CALLS = {'eval', 'exec', 'execfile', '__import__'}
METHODS = {
    ('yaml', 'load'),
    ('yaml', 'unsafe_load'),
    ('os', 'system'),
    ('os', 'popen'),
    ('asyncio', 'subprocess_shell'),
}
ANY_OBJECT = {'recv_pyobj', 'send_pyobj', 'create_subprocess_shell'}
TEXTS = {'.py', '.js', '.css', '.sql', '.po', '.toml', '.md', '.txt', '.svg', '.html', ''}
SHELL = {
    *('__init__', '__main__', 'server', 'replies', 'store', 'client', 'jobs', 'blocking', 'thread'),
    *('child', 'addresses', 'sockets', 'endpoints', 'settings', 'machines', 'network', 'doors', 'doorman', 'runtime'),
}
HERE = re.escape(str(ROOT))  # where this checkout lies
MACHINE = re.compile(rf'(?<![\w.])(?:/(?:home|root|Users)|{HERE})/[\w.]|\b[A-Z]:\\\\?Users\\')


def deeds(source):
    """What ``source`` does that it may not, as (line, name)."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, each.name) for each in names if each.name.partition('.')[0] in MODULES)
            case ast.ImportFrom(module=str(module)) if module.partition('.')[0] in MODULES:
                yield node.lineno, module
            case ast.Call(func=ast.Name(id=name)) if name in CALLS:
                yield node.lineno, name
            case ast.Attribute(value=ast.Name(id=module), attr=name) if (module, name) in METHODS:
                yield node.lineno, f'{module}.{name}'
            case ast.Attribute(attr=name) if name in ANY_OBJECT:
                yield node.lineno, name
            case ast.keyword(arg='shell', value=ast.Constant(value=True)):
                yield node.lineno, 'shell=True'


@pytest.mark.parametrize('path', OURS, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_room_runs_data_as_code(path):
    assert not list(deeds(path.read_text(encoding='utf-8')))


@pytest.mark.parametrize(
    'source',
    [
        'import pickle',
        'def f():\n    from pickle import loads',
        'import marshal as m',
        'import shelve',
        'x = eval("1")',
        'exec(text)',
        'import yaml\nyaml.load(text)',
        'socket.recv_pyobj()',
        'self._socket.send_pyobj(1)',
        'subprocess.run(line, shell=True)',
        'import os\nos.system(line)',
    ],
)
def test_what_is_forbidden_is_found(source):
    assert list(deeds(source))


@pytest.mark.parametrize(
    'source', ['connection.execute(sql)', 're.compile(x)', 'await asyncio.create_subprocess_exec(x)']
)
def test_what_only_looks_alike_is_let_through(source):
    assert not list(deeds(source))


def _texts():
    files = [path for room in (*ROOMS, 'locales', 'docs') for path in (ROOT / room).rglob('*')]
    files += [ROOT / name for name in ('run.py', 'pyproject.toml', 'README.md', 'CHANGELOG.md')]
    return [path for path in files if path.is_file() and path.suffix in TEXTS and '__pycache__' not in path.parts]


def test_no_file_knows_the_machine_it_was_written_on():
    found = {
        f'{path.relative_to(ROOT)}: {match.group()}'
        for path in _texts()
        for match in MACHINE.finditer(path.read_text(encoding='utf-8', errors='replace'))
    }
    assert not found


@pytest.mark.parametrize('text', ['see /home/me/x', "Path('/root/.cache')", r"'C:\Users\me'", f'({ROOT}/there)'])
def test_a_path_of_a_machine_is_seen(text):
    assert MACHINE.search(text)


@pytest.mark.parametrize('text', ['https://example.org/home/x', './home/x', 'app/root/x', '/api/chat', '/static/x'])
def test_a_path_that_is_none_of_a_machine_is_let_through(text):
    assert not MACHINE.search(text)


def test_the_contract_of_the_core_names_every_module_that_is_not_its_shell():
    contracts = tomllib.loads((ROOT / 'pyproject.toml').read_text(encoding='utf-8'))['tool']['importlinter'][
        'contracts'
    ]
    named = next(each['source_modules'] for each in contracts if each['name'] == 'The core does no input or output')
    modules = [*(ROOT / 'broker').glob('*.py'), *(path.parent for path in (ROOT / 'broker').glob('*/__init__.py'))]
    assert set(named) == {f'broker.{path.stem}' for path in modules} - {f'broker.{name}' for name in SHELL}
