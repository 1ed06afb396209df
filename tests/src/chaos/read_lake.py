"""Compares the tables of a lake with the log, by DuckDB, and prints what it found as JSON.

Standard input: {"root": folder, "raw": CSV of partition, sequence, index and line,
"accepted": CSV of source and id}.
"""

import json
import sys
from decimal import Decimal
from pathlib import Path

import duckdb
import duckdb_extension_delta

COUNTRIES = ["lines", "invoices", "customers", "quantity", "net", "sales"]


def text(value):
    """A value as a text; a decimal with all its digits that say something."""
    if isinstance(value, Decimal):
        whole = format(value, "f")
        return whole.rstrip("0").rstrip(".") if "." in whole else whole
    return None if value is None else str(value)


def both_ways(left, right):
    """Rows that the one has more often than the other, and the other way round."""
    one = db.sql(f"SELECT count(*) FROM ({left} EXCEPT ALL {right})").fetchone()[0]
    other = db.sql(f"SELECT count(*) FROM ({right} EXCEPT ALL {left})").fetchone()[0]
    return [one, other]


asked = json.load(sys.stdin)
extension = next(Path(duckdb_extension_delta.__file__).parent.rglob("*.duckdb_extension"))
db = duckdb.connect()
db.execute(f"LOAD '{extension}'")
db.execute("SET TimeZone = 'UTC'")
db.execute("SET memory_limit = '1GB'")
for name in ["bronze.events", "bronze.rejected", "silver.events", "gold.daily_country", "gold.daily_sales"]:
    layer, table = name.split(".")
    db.execute(f"CREATE SCHEMA IF NOT EXISTS {layer}")
    db.execute(f"CREATE VIEW {name} AS SELECT * FROM delta_scan('{asked['root']}/{layer}/{table}')")
csv = "header = false, delim = ',', quote = '\"', escape = '\"', auto_detect = false, parallel = false"
place = "{'partition': 'BIGINT', 'raw_seq': 'BIGINT', 'index': 'BIGINT', 'event': 'VARCHAR'}"
db.execute(f"CREATE TABLE raw AS SELECT * FROM read_csv('{asked['raw']}', columns = {place}, {csv})")
names = "{'source': 'VARCHAR', 'id': 'VARCHAR'}"
db.execute(f"CREATE TABLE accepted AS SELECT * FROM read_csv('{asked['accepted']}', columns = {names}, {csv})")

line = 'SELECT "partition"::BIGINT, raw_seq::BIGINT, "index"::BIGINT, event FROM'
countries = db.sql(
    f"SELECT strftime(window_start, '%Y-%m-%d'), country, {', '.join(COUNTRIES)} FROM gold.daily_country"
).fetchall()
orders, revenue = db.sql("SELECT sum(orders), sum(revenue) FROM gold.daily_sales").fetchone()
json.dump(
    {
        "raw": db.sql("SELECT count(*) FROM raw").fetchone()[0],
        "bronze": db.sql("SELECT count(*) FROM bronze.events").fetchone()[0],
        "bronze_differs": both_ways(f"{line} raw", f"{line} bronze.events"),
        "rejected": db.sql('SELECT coalesce(sum("count"), 0)::BIGINT FROM bronze.rejected').fetchone()[0],
        "silver": db.sql("SELECT count(*) FROM silver.events").fetchone()[0],
        "silver_differs": both_ways("SELECT source, id FROM accepted", "SELECT source, id FROM silver.events"),
        "late": db.sql("SELECT count(*) FROM silver.events WHERE late").fetchone()[0],
        "countries": [[text(value) for value in row] for row in countries],
        "orders": text(orders),
        "revenue": text(revenue),
    },
    sys.stdout,
)
