"""Tables of the statistics on the command line."""

import csv
import io


def test_a_table_is_written_in_every_form_and_what_there_is_not_is_said(call, tmp_path):
    assert call('submit', 'chat', 'hello', '--user', '@tabled', '--wait').code == 0
    found = list(csv.DictReader(io.StringIO(call('export', '--table', 'worker_joins').out)))
    assert found and found[0]['engine'] == 'demo'
    ended = call('export', '--table', 'starts', '--since', '1h', '--to', tmp_path / 'starts.parquet')
    assert ended.code == 0 and (tmp_path / 'starts.parquet').read_bytes().startswith(b'PAR1')
    nothing = call('export', '--table', 'nothing').err
    assert (
        nothing.startswith('There is no such table or form. The tables are: jobs_ended, queued, ')
        and 'parquet' in nothing
    )
    assert call('export', '--table', 'starts', '--user', 'u').code == 2
    assert call('export', '--format', 'parquet').code == 2
    book = call('export', '--to', tmp_path / 'jobs.XLSX')
    assert book.code == 2 and 'spreadsheets open .csv, too.' in book.err and not (tmp_path / 'jobs.XLSX').exists()
    wrong = call('export', '--table', 'starts', '--to', tmp_path / 'no' / 'where.csv').err
    assert wrong.endswith('cannot be written: no such file or directory.\n')
