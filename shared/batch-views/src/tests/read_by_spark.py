"""Runs plans in Spark over Delta tables, and prints their rows as JSON.

Standard input: {"root": folder, "tables": [path], "questions": {name: SQL}}. Spark's
settings are those of docs/lake.md.
"""

import json
import os
import sys
from decimal import Decimal

from pyspark.sql import SparkSession


def text(value):
    """A value as a text; a decimal with all its digits."""
    if value is None:
        return None
    return format(value, "f") if isinstance(value, Decimal) else str(value)


asked = json.load(sys.stdin)
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
    "spark.sql.shuffle.partitions": "2",
    "spark.sql.session.timeZone": "Asia/Kolkata",
    "spark.sql.warehouse.dir": asked["root"] + "/.spark",
}
builder = SparkSession.builder.master("local[2]")
for name, value in settings.items():
    builder = builder.config(name, value)
spark = builder.getOrCreate()
# Views have no layers of their own, so that a plan's tables are databases' tables.
spark.sql("CREATE DATABASE silver")
for path in asked["tables"]:
    spark.sql(f"CREATE TABLE {path.replace('/', '.')} USING delta LOCATION '{asked['root']}/{path}'")
answers = {}
for name, sql in asked["questions"].items():
    # Times by their microseconds, decimals as texts.
    rows = spark.sql(sql).selectExpr(
        "* EXCEPT (window_start, window_end)",
        "unix_micros(window_start) AS window_start",
        "unix_micros(window_end) AS window_end",
    )
    answers[name] = [
        {column: text(value) for column, value in row.asDict().items()} for row in rows.collect()
    ]
spark.stop()
json.dump(answers, sys.stdout)
