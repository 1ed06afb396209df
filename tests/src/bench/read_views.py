"""Runs plans of metrics in DuckDB over silver; prints what they took and how gold differs, as JSON.

Standard error has a line for each metric that is done.

Standard input: {"root": folder, "threads": number, "estimated_beyond": number, "questions": {name: SQL}}.
"""

import json
import resource
import sys
import time
from pathlib import Path

import duckdb
import duckdb_extension_delta

NUMBERS = ("BIGINT", "HUGEINT", "DOUBLE", "DECIMAL")
# An estimated count of distinct values may be off by so much.
ESTIMATE = 0.15


def cpu():
    """Seconds that this process has had."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def compared(name):
    """Cells of an answer, how many gold lacks or has otherwise, and how many only about."""
    known = {column for column, *_ in db.execute(f"DESCRIBE gold.{name}").fetchall()}
    columns = {column: kind for column, kind, *_ in db.execute("DESCRIBE answer").fetchall() if column in known}
    numbers = [column for column, kind in columns.items() if kind.startswith(NUMBERS)]
    same = " AND ".join(f'a."{key}" IS NOT DISTINCT FROM g."{key}"' for key in columns if key not in numbers)
    beyond = asked["estimated_beyond"]
    counts = ["count(*)", "count(*) FILTER (WHERE a.here IS NULL OR g.here IS NULL)"]
    for number in numbers:
        mine, other = f'a."{number}"', f'g."{number}"'
        differs = f"a.here = g.here AND {mine} IS DISTINCT FROM {other}"
        about = f"coalesce({mine} > {beyond} AND abs({mine} - {other}) < {mine} * {ESTIMATE}, false)"
        counts += [f"count(*) FILTER (WHERE {differs} AND {is_so} {about})" for is_so in ("NOT", "")]
    rows, missing, *cells = db.execute(
        f"SELECT {', '.join(counts)} FROM (SELECT *, 1 AS here FROM answer) a "
        f"FULL JOIN (SELECT *, 1 AS here FROM gold.{name}) g ON {same}"
    ).fetchone()
    return {"cells": rows * len(columns), "wrong": missing + sum(cells[::2]), "about": sum(cells[1::2])}


asked = json.load(sys.stdin)
extension = next(Path(duckdb_extension_delta.__file__).parent.rglob("*.duckdb_extension"))
db = duckdb.connect()
db.execute(f"LOAD '{extension}'")
db.execute(f"SET threads = {asked['threads']}")
db.execute("SET TimeZone = 'UTC'")
tables = ["silver.events", "silver.order_lines", *(f"gold.{name}" for name in asked["questions"])]
for layer in ("silver", "gold"):
    db.execute(f"CREATE SCHEMA {layer}")
for table in tables:
    path = f"{asked['root']}/{table.replace('.', '/')}"
    db.execute(f"CREATE VIEW {table} AS SELECT * FROM delta_scan('{path}')")
answers = {}
for metric, sql in asked["questions"].items():
    before, begun = cpu(), time.monotonic()
    db.execute(f"CREATE OR REPLACE TEMP TABLE answer AS {sql}")
    took = {"cpu_s": cpu() - before, "seconds": time.monotonic() - begun}
    begun = time.monotonic()
    answers[metric] = {**took, **compared(metric)}
    cells, wrong = answers[metric]["cells"], answers[metric]["wrong"]
    told = f"{metric} in {took['seconds']:.2f} s; {cells} cells compared in {time.monotonic() - begun:.2f} s, {wrong} wrong"
    print(f"told: {told}", file=sys.stderr, flush=True)
json.dump(answers, sys.stdout)
