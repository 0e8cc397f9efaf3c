"""stats and export: figures, and jobs as files."""

import csv
import io
import json
import os
import pty
import subprocess
import sys

import pytest

from app.commands.stats import figures, quantile
from app.jobs import sheets
from broker import facts
from broker.job import Job, State
from tests.conftest import ROOT, clean_environment

pytestmark = pytest.mark.whole


def a_job(state, queued_at=0.0, started_at=0.0, ended_at=0.0, **fields):
    return Job(
        job_id='', order=0, kind='chat', model='m', priority=5, state=state,
        queued_at=queued_at, started_at=started_at, ended_at=ended_at, **fields,
    )  # fmt: skip


def test_the_figures_of_some_jobs():
    usage = facts.Usage(output_tokens=30, decode_s=2.0)
    found = figures(
        [
            a_job(State.COMPLETED, 0, 1, 3, usage=usage),
            a_job(State.COMPLETED, 0, 3, 7),
            a_job(State.DEAD, 0, 1, 2),
            a_job(State.CANCELLED),
            a_job(State.WAITING),
        ]
    )
    assert (found['jobs'], found['alive'], found['completed'], found['dead'], found['cancelled']) == (5, 1, 2, 1, 1)
    assert found['success_rate'] == 0.6667
    assert (found['wait_p50_s'], found['run_p50_s'], found['run_mean_s']) == (1, 3, 3)
    assert (found['output_tokens'], found['tokens_per_s']) == (30, 15.0)
    assert figures([])['success_rate'] is figures([])['wait_p95_s'] is None


def test_a_quantile_lies_between_its_neighbours():
    assert quantile([], 0.5) is None
    assert [quantile([4, 1, 2, 3], share) for share in (0, 0.5, 1)] == [1, 2.5, 4]


def test_stats_of_the_jobs_that_are_kept(call, says):
    for _ in range(3):
        says('some words', '--wait', '--user', 'counted')
    found = call('stats', '--user', 'counted', '-o', 'json').json
    assert (found['all']['jobs'], found['all']['success_rate']) == (3, 1.0)
    assert found['user']['counted'] == found['model']['demo'] == found['priority']['5'] == found['all']
    assert found['all']['output_tokens'] > 0
    table = call('stats', '--user', 'counted').out
    assert 'model demo' in table
    assert 'completed per minute over the last 1 d' in table
    assert call('stats', '--user', 'nobody').err == 'No job was queued in the last 1 d.\n'
    assert call('stats', '--since', 'x').code == 2


@pytest.fixture
def two(call, says):
    for text in ('first, "quoted"', '=cmd()'):
        says(text, '--wait', '--user', '@exported')
    return ('export', '--user', '@exported', '--answers')


def test_an_export_as_csv_is_no_formula_anywhere(call, two):
    rows = list(csv.DictReader(io.StringIO(call(*two).out)))
    assert [row['text'] for row in rows][-2:] == ['first, "quoted"', "'=cmd()"]
    assert {row['user'] for row in rows} == {"'@exported"}
    assert {row['state'] for row in rows} == {'completed'}
    assert all(int(row['output_tokens']) > 0 for row in rows)


def test_an_export_as_json_has_the_jobs_as_they_are(call, two, tmp_path):
    found = call(*two, '--format', 'json').json
    assert [job['text'] for job in found][-2:] == ['first, "quoted"', '=cmd()']
    assert call(*two, '-o', 'json').json == found
    ended = call(*two, '--to', 'jobs.jsonl')
    assert (ended.out, ended.err) == ('', f'{len(found)} jobs are in jobs.jsonl.\n')
    assert [json.loads(line) for line in (tmp_path / 'jobs.jsonl').read_text().splitlines()] == found
    assert call(*two, '--state', 'dead', '--format', 'json').json == []
    assert call('export', '--since', 'x').code == 2
    assert (
        call('export', '--to', 'no/such/folder').err == 'no/such/folder cannot be written: no such file or directory.\n'
    )


IMPATIENT = """
import sys
import run
from app import cli
from app.commands import output
output.PATIENCE_S = 0
sys.exit(cli.run(sys.argv[1:], run.compose, run.tables))
"""


def test_progress_on_a_terminal_leaves_the_result_alone(two, desk, tmp_path):
    screen, inside = pty.openpty()
    command = [sys.executable, '-c', IMPATIENT, '--data-dir', desk.data_dir, *two, '--format', 'ndjson']
    env = clean_environment() | {'PYTHONPATH': str(ROOT)}
    ended = subprocess.run(command, cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=inside, check=True)
    os.close(inside)
    assert len([json.loads(line) for line in ended.stdout.splitlines()]) >= 2
    assert b'Writing jobs' in os.read(screen, 65536)
    os.close(screen)


@pytest.mark.parametrize('text', ['=1+1', '+1', '-1', '@SUM(A1)', '\t=1'])
def test_a_cell_is_never_a_formula(text):
    assert sheets.cell(text) == f"'{text}"
    assert sheets.cell(-1) == -1
    assert sheets.cell('a=b') == 'a=b'
