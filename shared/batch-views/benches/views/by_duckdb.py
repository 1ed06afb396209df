"""Runs plans in DuckDB over Delta tables; prints their rows and seconds of CPU as JSON.

Standard input: {"root": folder, "tables": [path], "questions": {name: SQL}}.
"""

import json
import resource
import sys
from decimal import Decimal
from pathlib import Path

import duckdb
import duckdb_extension_delta


def cpu():
    """Seconds that this process has had."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def text(value):
    """A value as a text; a decimal with all its digits."""
    if value is None:
        return None
    return format(value, "f") if isinstance(value, Decimal) else str(value)


asked = json.load(sys.stdin)
extension = next(Path(duckdb_extension_delta.__file__).parent.rglob("*.duckdb_extension"))
db = duckdb.connect()
db.execute(f"LOAD '{extension}'")
db.execute("SET threads = 2")
db.execute("SET TimeZone = 'UTC'")
db.execute("CREATE SCHEMA silver")
for path in asked["tables"]:
    db.execute(f"CREATE VIEW {path.replace('/', '.')} AS SELECT * FROM delta_scan('{asked['root']}/{path}')")
answers = {}
for name, sql in asked["questions"].items():
    before = cpu()
    db.execute(f"CREATE OR REPLACE TEMP TABLE answer AS {sql}")
    seconds = cpu() - before
    rows = db.sql(
        "SELECT * REPLACE (epoch_us(window_start) AS window_start, epoch_us(window_end) AS window_end) FROM answer"
    )
    columns = rows.columns
    answers[name] = {
        "seconds": seconds,
        "rows": [
            {column: text(value) for column, value in zip(columns, row)}
            for row in rows.fetchall()
        ],
    }
json.dump(answers, sys.stdout)
