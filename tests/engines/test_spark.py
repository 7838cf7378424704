"""docs/engines.md in Spark, where pyspark and Java are installed (neither is needed for anything else)."""

from __future__ import annotations

import os
import shutil
from importlib.util import find_spec

import pyarrow.parquet as pq
import pytest

pytestmark = [
    pytest.mark.skipif(find_spec("pyspark") is None, reason="without pyspark: pip install pyspark"),
    pytest.mark.skipif(
        shutil.which("java") is None and "JAVA_HOME" not in os.environ, reason="without Java, which Spark needs"
    ),
]

# Prints how often each worker has loaded the model, after more tasks than there are workers.
LOADS = """
import os

import pyarrow as pa
from pyspark.sql import SparkSession

spark = SparkSession.builder.getOrCreate()
spark.addArtifacts("scoring.py", "counting.py", pyfile=True)

from counting import counted

rows = spark.read.parquet("data/new").repartition(8)
for row in rows.mapInArrow(counted, "worker long, loads long").distinct().collect():
    print(row.worker, row.loads)
"""
COUNTING = """
import os

import pyarrow as pa

from scoring import model, score


def counted(batches):
    for batch in score(batches):
        yield pa.record_batch({"worker": [os.getpid()], "loads": [model.cache_info().misses]})
"""
# Prints the rows that a filter has left, their columns, and what is said of a value that is no number.
ODD = """
from pyspark.errors import PythonException
from pyspark.sql import SparkSession

from scoring import model, score

spark = SparkSession.builder.getOrCreate()
spark.addArtifacts("scoring.py", pyfile=True)
rows = spark.read.parquet("data/new")


def scored(rows):
    schema = model(MODEL).score_schema(rows.limit(0).toArrow().schema)
    return rows.mapInArrow(score, spark.createDataFrame(schema.empty_table()).schema)


nothing = scored(rows.where("carat < 0"))
print(nothing.columns[-2:], nothing.collect())
try:
    scored(rows.selectExpr("if(id = 'd11007', '1.2x', string(carat)) as carat", "* except (carat)")).collect()
except PythonException as error:
    print([line for line in str(error).splitlines() if "DataError" in line])
"""


def test_the_documents_program_gives_what_resmem_predict_gives(documented):
    done = documented.run("with_spark.py")
    assert done.returncode == 0, done.stderr
    scored = pq.read_table(documented.folder / "data" / "scored")
    assert scored.sort_by("id").equals(documented.expected.sort_by("id"))


def test_a_worker_loads_the_model_once_for_all_its_tasks(documented):
    (documented.folder / "counting.py").write_text(COUNTING)
    done = documented.run_text("loads.py", LOADS)
    assert done.returncode == 0, done.stderr
    workers = [line.split() for line in done.stdout.splitlines()]
    assert 1 <= len(workers) < 8
    assert {loads for _, loads in workers} == {"1"}


def test_no_rows_give_no_rows_and_an_error_names_the_value(documented):
    model = documented.folder / "models" / "house"
    done = documented.run_text("odd.py", f"MODEL = {str(model)!r}\n{ODD}")
    assert done.returncode == 0, done.stderr
    nothing, error = done.stdout.splitlines()
    assert nothing == "['prediction', 'prediction_base'] []"
    assert error == str(
        [
            "resmem_cli.errors.DataError: the batch, row 7: column 'carat' holds '1.2x', which is not a number; "
            "correct it, or leave it empty if it is unknown"
        ]
    )
