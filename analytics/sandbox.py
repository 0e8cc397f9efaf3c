"""What a statement of the SQL box may be: one SELECT over the tables of this file, with functions that are known.

Pure: it looks at the syntax tree that DuckDB makes of a statement. The store adds the rest: a read-only transaction on
a database that may not touch files, a time limit, a limit on rows, bytes and memory.
"""

import re
import unicodedata
from collections.abc import Iterator, Set
from typing import Any

import msgspec

from analytics import dictionary, errors

_NODES = {'SELECT_NODE', 'SET_OPERATION_NODE', 'RECURSIVE_CTE_NODE', 'CTE_NODE'}
_SOURCES = {
    'BASE_TABLE', 'SUBQUERY', 'JOIN', 'TABLE_FUNCTION', 'EMPTY', 'EXPRESSION_LIST', 'PIVOT', 'SHOW_REF', 'CTE',
    'COLUMN_DATA', 'DELIM_GET',
}  # fmt: skip
_TABLE_FUNCTIONS = {'range', 'generate_series', 'unnest'}
# Those that make much of little (repeat, range as a value, lpad, printf with a width, …) are left out on purpose, and
# so is all that reads files, settings, the network or the program's surroundings.
_WORDS = """
+ - * / // % ** ^ & | || << >> ~ ! !~~ ~~ !~~* ~~* ~~~ @ <=> ^@ && -> ->> @> <@
abs acos acosh add age any_value approx_count_distinct approx_quantile arg_max arg_max_null arg_min arg_min_null
argmax argmin array_agg array_extract array_length array_slice array_value ascii asin asinh atan atan2 atanh avg
between bit_and bit_count bit_length bit_or bit_xor bool_and bool_or btrim cast cbrt ceil ceiling century char_length
character_length chr coalesce concat concat_ws contains corr cos cosh cot count count_if count_star countif covar_pop
covar_samp cume_dist current_date current_localtime current_localtimestamp current_time current_timestamp date_add
date_diff date_part date_sub date_trunc datediff datepart datesub datetrunc day dayname dayofmonth dayofweek dayofyear
decade degrees dense_rank divide e ends_with entropy epoch epoch_ms epoch_us era even exp extract factorial favg first
first_value floor fmod format_bytes fsum gamma gcd get_current_timestamp greatest group_concat grouping histogram hour
if ifnull instr isfinite isinf isnan isodow isoyear json_extract kurtosis lag last last_day last_value lcase lcm lead
least left length levenshtein lgamma list list_aggregate list_apply list_contains list_count list_distinct
list_extract list_filter list_max list_median list_min list_sort list_sum list_transform list_value listagg ln log
log10 log2 lower ltrim mad make_date make_time make_timestamp map max max_by md5 mean median microsecond millennium
millisecond min min_by minute mod mode month monthname multiply nanosecond now nth_value ntile nullif octet_length
percent_rank percentile_cont percentile_disc pi position pow power prefix product quantile quantile_cont quantile_disc
quarter radians random rank regexp_extract regexp_full_match regexp_matches regexp_replace regexp_split_to_array
regr_avgx regr_avgy regr_count regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy replace reverse right
round round_even row row_number rtrim second sem sign sin sinh skewness split split_part sqrt starts_with stddev
stddev_pop stddev_samp str_split strftime string_agg string_split strip_accents strlen strpos strptime struct_extract
struct_pack substr substring subtract suffix sum sum_no_overflow sumkahan tan tanh time_bucket timezone timezone_hour
timezone_minute to_days to_hours to_microseconds to_milliseconds to_minutes to_months to_seconds to_timestamp to_weeks
to_years today trim trunc try_strptime typeof ucase unicode unnest upper var_pop var_samp variance week weekday
weekofyear width_bucket xor year yearweek
"""
_FUNCTIONS = frozenset(_WORDS.split())


def check(sql: str, tree: str) -> None:
    """Raise ``errors.Refused`` unless this may run; ``tree`` is what ``json_serialize_sql`` made of it."""
    found = msgspec.json.decode(tree)
    if found['error']:
        _complain(sql, found)
    if len(found['statements']) != 1:
        raise errors.Refused('Only one statement at a time can run here.')
    node = found['statements'][0]['node']
    known = {name.lower() for name in _names_of_ctes(node)} | set(dictionary.TABLES)
    for each in _nodes(node):
        _check_node(sql, each, known)


def place_of(sql: str, position: int) -> tuple[int, int]:
    """Line and column, from 1, of a byte in a text."""
    before = sql.encode()[:position].decode(errors='ignore')
    return before.count('\n') + 1, len(before) - (before.rfind('\n') + 1) + 1


def explained(text: str, prefix: str = '') -> errors.Refused:
    """An error of DuckDB in a statement, with its place; ``prefix`` is what was put before the statement."""
    message = re.sub(r'^(?:\w+ )+Error: ', '', text.split('\n', 1)[0])
    hint = re.search(r'^(Did you mean .*|Candidate bindings: .*)$', text, flags=re.MULTILINE)
    if hint:
        message = f'{message.rstrip(".!")}. {hint[1]}'
    caret = re.search(r'^LINE (\d+): (.*)\n( *)\^', text, flags=re.MULTILINE)
    if caret is None or caret[2].startswith('...'):
        return errors.Refused(message)
    line, column = int(caret[1]), _columns(caret[2], len(caret[3]) - len(f'LINE {caret[1]}: ')) + 1
    if line == 1 and caret[2].startswith(prefix):
        column -= len(prefix)
    return errors.Refused(message, line, column)


def _columns(text: str, width: int) -> int:
    """How many characters are so wide on a screen: the caret stands under the text, and some are two wide."""
    columns = 0
    while columns < len(text) and width > 0:
        width -= 2 if unicodedata.east_asian_width(text[columns]) in 'WF' else 1
        columns += 1
    return columns + max(width, 0)


def _complain(sql: str, found: dict[str, Any]) -> None:
    if found['error_type'] == 'not implemented':
        raise errors.Refused('Only SELECT statements can run here: nothing can be changed.')
    message = str(found.get('error_message', 'this cannot be read'))
    if str(found.get('position', '')).isdigit():
        raise errors.Refused(message, *place_of(sql, int(found['position'])))
    raise errors.Refused(message)


def _check_node(sql: str, node: dict[str, Any], known: set[str]) -> None:
    kind, group = node.get('type'), node.get('class')
    if isinstance(kind, str) and not group:
        if kind.endswith('_NODE') and kind not in _NODES:
            raise errors.Refused('Only SELECT statements can run here: nothing can be changed.')
        if 'sample' in node and 'select_list' not in node and kind not in _SOURCES:
            raise errors.Refused(f'{kind.lower()} cannot be used here.')
        if kind == 'BASE_TABLE':
            _check_table(sql, node, known)
        if kind == 'TABLE_FUNCTION':
            place = {'query_location': node.get('query_location')}
            _check_function(sql, node['function'] | place, _TABLE_FUNCTIONS)
            node['function']['checked'] = True
    if group == 'PARAMETER':
        raise errors.Refused('There are no parameters here; write the value itself.', *_place(sql, node))
    if 'function_name' in node and not node.get('checked'):
        _check_function(sql, node, _FUNCTIONS)


def _check_table(sql: str, node: dict[str, Any], known: set[str]) -> None:
    name = str(node.get('table_name', ''))
    elsewhere = node.get('catalog_name') or node.get('schema_name') not in ('', 'main', None)
    if elsewhere or name.lower() not in known:
        tables = ', '.join(dictionary.TABLES)
        raise errors.Refused(f'There is no table {name} here. The tables are: {tables}.', *_place(sql, node))


def _check_function(sql: str, node: dict[str, Any], allowed: Set[str]) -> None:
    name = str(node.get('function_name', '')).lower()
    if name not in allowed or node.get('catalog') or node.get('schema') not in ('', 'main', None):
        raise errors.Refused(f'The function {name} cannot be used here.', *_place(sql, node))


def _place(sql: str, node: dict[str, Any]) -> tuple[int, int]:
    position = node.get('query_location')
    return place_of(sql, position) if isinstance(position, int) and position <= len(sql.encode()) else (0, 0)


def _names_of_ctes(node: object) -> Iterator[str]:
    for each in _nodes(node):
        for entry in each.get('cte_map', {}).get('map', ()):
            yield entry['key']
        if 'cte_name' in each:
            yield each['cte_name']


def _nodes(root: object) -> Iterator[dict[str, Any]]:
    """Every object of the tree, those outside first."""
    left = [root]
    while left:
        node = left.pop()
        if isinstance(node, dict):
            yield node
            left += reversed(list(node.values()))
        elif isinstance(node, list):
            left += reversed(node)
