"""Computes metrics on Spark from the lake's silver tables, by the lake's own plans, and writes a table of each.

Environment:
    LAKE_URL       where the lake answers, which tells the plans
    LAKE_ROOT      root of its tables: a folder, or s3://bucket/prefix
    LAKE_OUTPUT    root of the tables that are written
    LAKE_METRICS   names of metrics, separated by commas
    LAKE_KEY_FILE  a file with keys that may read, `NAME KEY` a line
    LAKE_SECRETS   a folder with `access-key-id` and `secret-access-key` of the bucket, if it needs them
Settings of Spark come by `spark-submit --conf`.
"""

import os
import sys
import urllib.parse
import urllib.request
from pathlib import Path

from pyspark.sql import SparkSession


def place(url):
    """A place as Hadoop names it."""
    return url.rstrip("/").replace("s3://", "s3a://", 1)


def plan(metric):
    """What computes a metric, in the words of Spark."""
    url = f"{os.environ['LAKE_URL']}/v1/plans/{urllib.parse.quote(metric, safe='')}?engine=spark"
    request = urllib.request.Request(url)
    if file := os.environ.get("LAKE_KEY_FILE"):
        request.add_header("Authorization", f"Bearer {Path(file).read_text().split()[-1]}")
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read().decode()


def session():
    builder = SparkSession.builder.appName("tidemill-lake")
    builder.config("spark.sql.extensions", "io.delta.sql.DeltaSparkSessionExtension")
    builder.config("spark.sql.catalog.spark_catalog", "org.apache.spark.sql.delta.catalog.DeltaCatalog")
    if folder := os.environ.get("LAKE_SECRETS"):
        for name, key in (("access.key", "access-key-id"), ("secret.key", "secret-access-key")):
            builder.config(f"spark.hadoop.fs.s3a.{name}", (Path(folder) / key).read_text().strip())
    return builder.getOrCreate()


def main():
    root, output = place(os.environ["LAKE_ROOT"]), place(os.environ["LAKE_OUTPUT"])
    spark = session()
    spark.sql("CREATE DATABASE IF NOT EXISTS silver")
    for table in ("events", "order_lines"):
        spark.sql(f"CREATE TABLE IF NOT EXISTS silver.{table} USING delta LOCATION '{root}/silver/{table}'")
    failed = []
    for metric in os.environ["LAKE_METRICS"].split(","):
        try:
            rows = spark.sql(plan(metric))
            rows.write.format("delta").mode("overwrite").option("overwriteSchema", "true").save(f"{output}/{metric}")
            print(f"{metric}: written", flush=True)
        except Exception as error:  # one that fails takes none of the others along
            print(f"{metric}: {error}", file=sys.stderr, flush=True)
            failed.append(metric)
    spark.stop()
    return f"not written: {', '.join(failed)}" if failed else 0


if __name__ == "__main__":
    sys.exit(main())
