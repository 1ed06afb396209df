"""Runs plans in DuckDB over Delta tables, and prints their rows as JSON.

Standard input: {"root": folder, "tables": [path], "questions": {name: SQL}}.
"""

import json
import sys
from decimal import Decimal
from pathlib import Path

import duckdb
import duckdb_extension_delta


def text(value):
    """A value as a text; a decimal with all its digits."""
    if value is None:
        return None
    return format(value, "f") if isinstance(value, Decimal) else str(value)


asked = json.load(sys.stdin)
extension = next(Path(duckdb_extension_delta.__file__).parent.rglob("*.duckdb_extension"))
db = duckdb.connect()
db.execute(f"LOAD '{extension}'")
db.execute("SET TimeZone = 'Asia/Kolkata'")
db.execute("CREATE SCHEMA silver")
for path in asked["tables"]:
    db.execute(f"CREATE VIEW {path.replace('/', '.')} AS SELECT * FROM delta_scan('{asked['root']}/{path}')")
answers = {}
for name, sql in asked["questions"].items():
    # Times by their microseconds, decimals as texts.
    rows = db.sql(
        f"SELECT * REPLACE (epoch_us(window_start) AS window_start, epoch_us(window_end) AS window_end) FROM ({sql})"
    )
    columns = rows.columns
    answers[name] = [
        {column: text(value) for column, value in zip(columns, row)}
        for row in rows.fetchall()
    ]
json.dump(answers, sys.stdout)
