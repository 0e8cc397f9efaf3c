"""The first start: ``run.py`` makes its environment. A tiny wheel and a folder stand for the package index."""

import ast
import base64
import hashlib
import os
import shutil
import socket
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from app.launching import environment, installing
from tests.conftest import ROOT

pytestmark = pytest.mark.whole

STUB = """
def run(arguments, *compositions):
    import sys, tiny
    print(sys.prefix, tiny.NUMBER, *arguments)
    return 0
"""


class Fresh:
    """A copy of what a first start needs, with one tiny package to install."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / 'corral'
        self.wheels = folder / 'wheels'
        self.wheels.mkdir()
        (self.folder / 'app' / 'launching').mkdir(parents=True)
        launching = (f'app/launching/{name}.py' for name in ('__init__', 'environment', 'installing'))
        for name in ('run.py', 'app/__init__.py', *launching):
            shutil.copy(ROOT / name, self.folder / name)
        (self.folder / 'app' / 'cli.py').write_text(STUB)
        self.lock(1)
        self.venv = self.folder / '.venv'

    def lock(self, number: int) -> None:
        """Have version ``number`` of the tiny package in the folder and in the lock file."""
        wheel = _wheel(self.wheels, number)
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        (self.folder / 'requirements.txt').write_text(f'tiny=={number} \\\n    --hash=sha256:{digest}\n')

    def start(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """``python3 run.py`` with no index but the folder, and without uv."""
        keep = {name: value for name, value in os.environ.items() if name in {'HOME', 'LANG', 'TMPDIR', 'SYSTEMROOT'}}
        offline = {'PIP_NO_INDEX': '1', 'PIP_FIND_LINKS': str(self.wheels), 'PIP_NO_CACHE_DIR': '1', 'PATH': '/nowhere'}
        command = [sys._base_executable, 'run.py', *arguments]
        environ = keep | (variables or offline)
        return subprocess.run(command, cwd=self.folder, env=environ, capture_output=True, text=True, check=False)


@pytest.fixture
def fresh(tmp_path) -> Fresh:
    return Fresh(tmp_path)


def test_the_first_start_sets_up_and_later_ones_keep_it_right(fresh):
    (fresh.venv / 'bin').mkdir(parents=True)  # somebody stopped it while the environment was being made
    with socket.socket() as closed:
        closed.bind(('127.0.0.1', 0))  # bound and not listening: whoever connects is refused
        index = f'http://127.0.0.1:{closed.getsockname()[1]}/simple'
        offline = fresh.start(PIP_INDEX_URL=index, PIP_NO_CACHE_DIR='1', PIP_RETRIES='0', PATH='/nowhere')
    assert offline.returncode == 1
    assert offline.stderr.splitlines()[-1].startswith('The package index cannot be reached')
    assert 'Traceback' not in offline.stderr
    assert (fresh.venv / environment.UNFINISHED).exists()  # as if stopped while packages were being installed
    (fresh.venv / 'half-made').touch()

    first = fresh.start('--port', '0')
    assert (first.returncode, first.stdout) == (0, f'{fresh.venv} 1 --port 0\n'), first.stderr
    assert 'Installing 1 packages' in first.stderr
    assert not (fresh.venv / 'half-made').exists()
    second = fresh.start()
    assert (second.stdout, second.stderr) == (f'{fresh.venv} 1\n', '')

    fresh.lock(2)  # as after a git pull
    assert fresh.start().stdout == f'{fresh.venv} 2\n'

    python = environment._python(fresh.venv)
    subprocess.run([python, '-m', 'pip', 'uninstall', '-qy', 'tiny'], check=True, capture_output=True)
    damaged = fresh.start()
    assert damaged.returncode == 1
    assert damaged.stderr == f'The package tiny is missing from {fresh.venv}. ' + (
        'Start again: the packages are installed anew.\n'
    )
    assert fresh.start().stdout == f'{fresh.venv} 2\n'


def test_an_old_python_can_read_run_py_and_is_told(tmp_path):
    source = (ROOT / 'run.py').read_text()
    ast.parse(source, feature_version=(3, 7))
    program = f'import sys; sys.version_info = (3, 8, 10); exec({source!r})'
    done = subprocess.run([sys.executable, '-I', '-c', program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (
        1,
        'Corral needs Python 3.11 or newer, and this is 3.8: start it with a newer one.\n',
    )


def test_set_up_needs_the_standard_library_only():
    program = "import sys; sys.path.insert(0, '.'); import run; from app.launching import environment, installing"
    subprocess.run([sys._base_executable, '-I', '-S', '-c', program], cwd=ROOT, check=True)


@pytest.mark.parametrize(
    ('output', 'words'),
    [
        ('The virtual environment was not created successfully because ensurepip is not available.', 'python3-venv'),
        ('No module named venv', 'python3-venv'),
        ('Error: something else', 'something else.'),
    ],
)
def test_a_python_without_venv_is_one_sentence_and_leaves_nothing(tmp_path, monkeypatch, output, words):
    (tmp_path / 'requirements.txt').touch()

    def fail(command, **_):
        (tmp_path / '.venv').mkdir()
        return subprocess.CompletedProcess(command, 1, output, '')

    monkeypatch.setattr(installing.subprocess, 'run', fail)
    monkeypatch.delenv('CORRAL_NO_SETUP', raising=False)
    with pytest.raises(environment.SetupError, match=words):
        environment.enter(with_tests=False, root=tmp_path)
    assert not (tmp_path / '.venv').exists()


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path, monkeypatch):
    (tmp_path / 'requirements.txt').touch()

    def refuse(self, *_, **__):
        raise PermissionError(13, 'Permission denied', str(self))

    monkeypatch.setattr(Path, 'mkdir', refuse)
    monkeypatch.delenv('CORRAL_NO_SETUP', raising=False)
    with pytest.raises(environment.SetupError, match=r'\.venv cannot be made: permission denied\.'):
        environment.enter(with_tests=False, root=tmp_path)


@pytest.mark.parametrize(
    ('output', 'words'),
    [
        ('ERROR: THESE PACKAGES DO NOT MATCH THE HASHES', 'is not the one that was locked'),
        ('error: Failed to fetch: dns error', 'The package index cannot be reached'),
        ('OSError: [Errno 28] No space left on device', 'The disk is full'),
        ('ERROR: Could not build wheels for x', 'Could not build wheels for x.'),
    ],
)
def test_why_an_installation_failed_is_one_sentence(output, words):
    sentence = installing._why([output], Path('log'))
    assert words in sentence
    assert '\n' not in sentence


def _wheel(folder: Path, number: int) -> Path:
    """A wheel with one module, ``tiny``."""
    info = f'tiny-{number}.dist-info'
    files = {
        'tiny.py': f'NUMBER = {number}\n',
        f'{info}/METADATA': f'Metadata-Version: 2.1\nName: tiny\nVersion: {number}\n',
        f'{info}/WHEEL': 'Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n',
    }
    rows = [f'{name},sha256={_digest(text)},{len(text)}' for name, text in files.items()]
    files[f'{info}/RECORD'] = '\n'.join([*rows, f'{info}/RECORD,,', ''])
    path = folder / f'tiny-{number}-py3-none-any.whl'
    with zipfile.ZipFile(path, 'w') as wheel:
        for name, text in files.items():
            wheel.writestr(name, text)
    return path


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b'=').decode()
