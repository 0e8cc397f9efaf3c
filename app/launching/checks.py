"""All checks of Corral itself, one after the other: ``python3 run.py test``."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

NO_TESTS = 5  # pytest's exit code when nothing was selected
KEEP = {'CORRAL_CHROMIUM', 'CORRAL_NIGHTLY', 'CORRAL_NO_SETUP'}
AT_ONCE = ('-n', str(min(4, (os.cpu_count() or 1) + 1)))  # one more than processors: many tests wait for others
SHARE = ('--dist', 'worksteal')  # neighbours share what they need
SHARE_ALL = ('--dist', 'loadscope')  # each module starts a product, so none is spread over several processes
UNWANTED = {'OLLAMA_HOST', 'PYTHONDONTWRITEBYTECODE'}  # the tests start hundreds of Pythons


def run(arguments: Sequence[str], root: Path) -> int:
    """Run all checks, or pytest alone with ``arguments`` where there are any; returns the exit code."""
    pytest = [sys.executable, '-m', 'pytest']
    if arguments:
        return _call([*pytest, *arguments], root)
    # Meanwhile one process compiles all tests, which else each of those that run them would do at once
    compiling = subprocess.Popen(
        [*pytest, '--collect-only', '-q'],
        cwd=root,
        env=_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    failed = _failed(
        root,
        ('ruff check', [sys.executable, '-m', 'ruff', 'check']),
        ('ruff format', [sys.executable, '-m', 'ruff', 'format', '--check']),
        ('mypy', [sys.executable, '-m', 'mypy']),
        ('lint-imports', [str(Path(sys.executable).parent / 'lint-imports')]),
    )
    compiling.wait()
    failed += _failed(
        root,
        ('pytest', [*pytest, '-m', 'not browser', *AT_ONCE, *SHARE]),
        # Playwright's loop and those of asynchronous tests do not get on in one process
        ('pytest -m browser', [*pytest, '-m', 'browser', *AT_ONCE, *SHARE_ALL]),
    )
    print(f'\nFailed: {", ".join(failed)}' if failed else '\nAll checks passed.', flush=True)
    return 1 if failed else 0


def _failed(root: Path, *checks: tuple[str, list[str]]) -> list[str]:
    """Run them one after the other; the names of those that failed."""
    return [name for name, command in checks if not _passed(name, command, root)]


def _passed(name: str, command: list[str], root: Path) -> bool:
    print(f'\n── {name}', flush=True)
    code = _call(command, root)
    return code == 0 or (code == NO_TESTS and name == 'pytest -m browser')


def _call(command: list[str], root: Path) -> int:
    return subprocess.run(command, cwd=root, env=_environment(), check=False).returncode


def _environment() -> dict[str, str]:
    """One that says nothing about how Corral should run, and has nothing compiled over and over."""
    return {
        name: value
        for name, value in os.environ.items()
        if name not in UNWANTED and (not name.startswith('CORRAL_') or name in KEEP)
    }
