"""Labels, ids and classes through the commands: what is read is what is written, and a row has one id in every type."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

Run = Callable[..., Any]
N = 60
# No folds: what is remembered, and how, is beside the point here.
PLAIN = ("--folds", 0, "--neighbors", 3, "--bandwidth", 0.4, "--shrinkage", 1, "--representation", "features")
OF_CLASSES = (*PLAIN, "--temperature", 1)
X: list[float] = np.random.default_rng(1).normal(size=N).tolist()
DAYS = [f"2024-0{1 + i % 6}-{1 + i // 6:02}" for i in range(N)]


def write_csv(path: str, **columns: list[object]) -> str:
    with Path(path).open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return path


def write_parquet(path: str, **columns: object) -> str:
    pq.write_table(pa.table(columns), path)
    return path


def read_csv(path: str) -> list[dict[str, str]]:
    with Path(path).open(newline="") as stream:
        return list(csv.DictReader(stream))


def fitted(run: Run, path: str, *words: str) -> None:
    assert run("fit-base", path, "--target", "y", "--estimator", "linear", "--model", "m", *words).code == 0
    settings = OF_CLASSES if "classification" in words else PLAIN
    assert run("fit-residual", path, "--model", "m", *settings).code == 0


@pytest.mark.parametrize(
    "labels", [["01", "1"], ["1.0", "2.0"], ["True", "False"], ["9007199254740992", "9007199254740993"]]
)
def test_predicted_labels_and_the_names_of_their_probabilities_are_those_of_the_file(
    run: Run, labels: list[str]
) -> None:
    y = [labels[x > 0] for x in X]
    write_csv("t.csv", x=X, y=y)
    fitted(run, "t.csv", "--task", "classification")
    for name in ("o.csv", "o.jsonl"):
        assert run("predict", "t.csv", "--model", "m", "--probabilities", "-o", name).code == 0
    rows = read_csv("o.csv")
    assert [row["prediction"] for row in rows] == y
    assert list(rows[0])[-2:] == [f"probability_{label}" for label in sorted(labels)]
    lines = [json.loads(line) for line in Path("o.jsonl").read_text().splitlines()]
    assert [str(line["prediction"]) for line in lines] == y
    measured = json.loads(run("evaluate", "o.csv", "--model", "m", "--json").out)
    assert (measured["rows"], measured["unknown_class_rows"]) == (N, 0)


IDS: dict[str, tuple[list[object], object, str]] = {
    "integers": (list(range(N)), pa.array(range(N)), "7"),
    "decimals": ([f"{i}.00" for i in range(N)], pa.array([str(i) for i in range(N)]).cast(pa.decimal128(20, 2)), "7"),
    "floats": ([f"{i + 10**10}.0" for i in range(N)], pa.array([float(i + 10**10) for i in range(N)]), "10000000007"),
    "days": (list(DAYS), pa.array(DAYS).cast(pa.timestamp("s")).cast(pa.date32()), "2024-02-02T00:00:00Z"),
    "instants": (
        [f"{day}T10:00:00" for day in DAYS],
        pa.array([f"{day} 10:00:00Z" for day in DAYS]).cast(pa.timestamp("us", "UTC")),
        "2024-02-02 11:00+01:00",
    ),
}


@pytest.mark.parametrize("kind", IDS)
@pytest.mark.parametrize("first", ["t.csv", "t.parquet"])
def test_a_row_has_one_id_whatever_type_brings_it(run: Run, kind: str, first: str) -> None:
    written, typed, seventh = IDS[kind]
    y = [2 * x for x in X]
    write_csv("t.csv", id=written, x=X, y=y)
    write_parquet("t.parquet", id=typed, x=X, y=y)
    fitted(run, first, "--id", "id")
    for path in ("t.csv", "t.parquet"):
        done = json.loads(run("remember", path, "--model", "m", "--json").out)
        assert (done["rows"], done["added"], done["removed"]) == (N, N, N)
    done = json.loads(run("forget", "--ids", seventh, "--model", "m", "--json").out)
    assert (done["rows"], done["removed"], done["not_found"]) == (N - 1, 1, [])


def test_ids_with_zeros_before_them_are_other_ids(run: Run) -> None:
    ids = [f"{i:03}" for i in range(1, 31)] + [str(i) for i in range(1, 31)]
    write_csv("t.csv", id=ids, x=X, y=X)
    fitted(run, "t.csv", "--id", "id")
    done = json.loads(run("forget", "--ids", "007", "--model", "m", "--json").out)
    assert done["removed"] == 1
    assert json.loads(run("forget", "--ids", "7", "--model", "m", "--json").out)["removed"] == 1


def test_repeated_ids_are_told_by_fit_residual(run: Run) -> None:
    write_csv("t.csv", id=["1", "1.0", "2", "2", *range(3, N - 1)], x=X, y=X)
    run("fit-base", "t.csv", "--target", "y", "--id", "id", "--estimator", "linear", "--model", "m")
    said = run("fit-residual", "t.csv", "--model", "m", *PLAIN).err
    assert said.startswith(
        "note: 4 rows share their id with another row; all are remembered, and remember and forget replace or erase "
        "all rows of an id together\n"
    )
    assert json.loads(run("forget", "--ids", "1", "--model", "m", "--json").out)["removed"] == 2


def test_rows_of_a_class_of_one_row_are_left_out_by_every_command_with_a_count(run: Run) -> None:
    y = ["rare" if i == 7 else "a" if x > 0 else "b" for i, x in enumerate(X)]
    write_csv("t.csv", x=X, y=y)
    said = run("fit-base", "t.csv", "--target", "y", "--estimator", "linear", "--model", "m")
    assert "note: the target 'y' has the class 'rare' in one row only, which is left out\n" in said.err
    note = "note: 1 row of a class not in the training data left out\n"
    assert note in run("fit-residual", "t.csv", "--model", "m", *OF_CLASSES).err
    write_csv("new.csv", x=X, y=["new" if i % 3 == 0 else each for i, each in enumerate(y)])
    note = "note: 21 rows of a class not in the training data left out\n"
    for verb in ("evaluate", "remember"):
        done = run(verb, "new.csv", "--model", "m", "--json")
        assert (done.code, note in done.err) == (0, True)
        found = json.loads(done.out)
        assert found.get("unknown_class_rows", found.get("unknown_class")) == 21
        assert found.get("dropped_rows", found.get("dropped")) == 0


def test_a_model_predicts_with_a_category_that_looks_like_a_date_from_every_format(run: Run) -> None:
    batch = [f"2024-0{1 + i % 3}-01" for i in range(N)]
    y = [x + 9 * (i % 3) for i, x in enumerate(X)]
    write_csv("t.csv", batch=batch, x=X, y=y)
    fitted(run, "t.csv", "--category", "batch")
    write_parquet("days.parquet", batch=pa.array(batch).cast(pa.timestamp("s")).cast(pa.date32()), x=X)
    write_parquet(
        "instants.parquet", batch=pa.array(batch).cast(pa.timestamp("ns")).cast(pa.timestamp("ns", "UTC")), x=X
    )
    Path("t.jsonl").write_text("".join(json.dumps({"batch": b, "x": x}) + "\n" for b, x in zip(batch, X, strict=True)))
    predictions = []
    for path in ("t.csv", "days.parquet", "instants.parquet", "t.jsonl"):
        done = run("predict", path, "--model", "m", "--keep", "none", "-o", "o.csv")
        assert (done.code, "unknown" in done.err) == (0, False)
        predictions.append(Path("o.csv").read_text())
    assert len(set(predictions)) == 1
