"""The README lists every command, and its examples do what they say."""

import os
import shlex
import subprocess
import sys

import pytest

from app.commands.command import Exit
from app.commands.group import COMMANDS
from tests.conftest import ROOT, clean_environment

TEXT = (ROOT / 'README.md').read_text(encoding='utf-8')
SECTION = TEXT.partition('\n## Command line\n')[2].partition('\n## ')[0]
EXAMPLES = [
    line
    for line in SECTION.partition('<!-- commands')[2].partition('<!-- /commands')[0].splitlines()
    if 'corral ' in line
]


@pytest.mark.parametrize('name', sorted({*COMMANDS, 'serve', 'api', 'test'}))
def test_a_command_is_in_the_readme(name):
    rows = [line.split('|')[1] for line in SECTION.splitlines() if line.startswith('|')]
    assert any(f'`{name}`' in row or f'`{name} ' in row for row in rows)


@pytest.mark.parametrize('code', list(Exit))
def test_an_exit_code_is_in_the_readme(code):
    assert f'\n| {int(code)} | ' in SECTION


@pytest.mark.whole
@pytest.mark.skipif(os.name != 'posix', reason='the examples are for a POSIX shell')
def test_the_examples_run(desk, tmp_path):
    (corral := tmp_path / 'bin' / 'corral').parent.mkdir()
    corral.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {shlex.quote(str(ROOT / "run.py"))} "$@"\n')
    corral.chmod(0o700)
    (tmp_path / 'corral.toml').touch()
    env = clean_environment() | {'CORRAL_DATA_DIR': str(desk.data_dir)}
    env['PATH'] = f'{corral.parent}:{env["PATH"]}'
    assert len(EXAMPLES) >= 9
    for line in EXAMPLES:
        ended = subprocess.run(
            ['sh', '-euc', line], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=30, check=False
        )
        assert ended.returncode == 0, f'{line}\n{ended.stderr}'
    assert (tmp_path / 'notes.md').read_text().startswith('You asked:')
    assert len((tmp_path / 'answers.jsonl').read_text().splitlines()) == 3
    assert (tmp_path / 'jobs.csv').read_text().startswith('job_id,')
