"""Counts the rows of versions of Delta tables, and adds up their amounts, in DuckDB or in Spark.

The argument is the engine. Standard input: {path: {"at": folder, "versions": {version: [column]}}}; the
answer: {path: {version: {"rows": count, "sums": {column: text}}}}, sums in the last of their decimals.
"""

import json
import os
import sys
from pathlib import Path


def by_duckdb():
    import duckdb
    import duckdb_extension_delta

    extension = next(Path(duckdb_extension_delta.__file__).parent.rglob("*.duckdb_extension"))
    db = duckdb.connect()
    db.execute(f"LOAD '{extension}'")
    return lambda folder, version, values: db.execute(
        f"SELECT {values} FROM delta_scan('{folder}', version = {version})"
    ).fetchone()


def by_spark():
    from pyspark.sql import SparkSession

    settings = {
        "spark.jars": os.environ["TIDEMILL_DELTA_SPARK"],
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        # A small table is no work for fifty tasks.
        "spark.databricks.delta.snapshotPartitions": "1",
        "spark.sql.shuffle.partitions": "1",
    }
    builder = SparkSession.builder.master("local[2]")
    for name, value in settings.items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    return lambda folder, version, values: spark.sql(
        f"SELECT {values} FROM delta.`{folder}` VERSION AS OF {version}"
    ).first()


read = {"duckdb": by_duckdb, "spark": by_spark}[sys.argv[1]]()
quote = {"duckdb": '"', "spark": "`"}[sys.argv[1]]
answers = {}
for path, table in json.load(sys.stdin).items():
    answers[path] = {}
    for version, columns in table["versions"].items():
        values = ", ".join(["count(*)", *(f"sum({quote}{column}{quote})" for column in columns)])
        rows, *sums = read(table["at"], version, values)
        known = [(column, total) for column, total in zip(columns, sums) if total is not None]
        scaled = {column: str(int(format(total, "f").replace(".", ""))) for column, total in known}
        answers[path][version] = {"rows": rows, "sums": scaled}
json.dump(answers, sys.stdout)
