"""`resmem explain`, and `predict --support`."""

from __future__ import annotations

import csv
import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.cli.conftest import Run

Model = Callable[..., Path]

TRAIN = ("fit-base", "train.csv", "--target", "price", "--estimator", "linear", "--quiet", "--model", "m")


@pytest.fixture
def fitted(run: Run, model: Model) -> None:
    """A model whose rows have ids, with its memory."""
    model()
    assert run(*TRAIN, "--id", "id").code == 0
    words = ("--effort", "quick", "--memories", 2, "--quiet")
    assert run("fit-residual", "train.csv", "--model", "m", *words).code == 0


def lines_of(out: str) -> list[dict]:
    return [json.loads(line) for line in out.splitlines()]


@pytest.mark.usefixtures("fitted")
class TestExplain:
    def test_every_row_is_its_base_its_neighbours_and_nothing_else(self, run: Run) -> None:
        explained = lines_of(run("explain", "test.csv", "--model", "m", "--top", 1000).out)
        run("predict", "test.csv", "--model", "m", "--output", "p.parquet", "--quiet")
        predicted = pq.read_table("p.parquet").to_pylist()
        assert len(explained) == len(predicted) == 80
        for i, (each, row) in enumerate(zip(explained, predicted, strict=True), start=1):
            assert (each["row"], each["id"], each["label"]) == (i, str(row["id"]), None)
            assert each["prediction"] == pytest.approx(row["prediction"])
            assert each["base"] == pytest.approx(row["prediction_base"])
            assert each["base"] + each["correction"] + each["adjustment"] == pytest.approx(each["prediction"])
            assert each["adjustment"] == pytest.approx(0, abs=1e-6)
            assert sum(n["contribution"] for n in each["neighbors"]) == pytest.approx(each["correction"])
            sizes = [abs(n["contribution"]) for n in each["neighbors"]]
            assert sizes == sorted(sizes, reverse=True)
            assert (each["n_others"], each["others"]) == (0, 0)

    def test_a_remembered_row_is_its_own_neighbour_by_its_id(self, run: Run) -> None:
        (each,) = lines_of(run("explain", "train.csv", "--model", "m", "--rows", 7).out)
        with open("train.csv", newline="") as stream:
            name = list(csv.DictReader(stream))[6]["id"]
        assert each["id"] == name
        own = [neighbor for neighbor in each["neighbors"] if name in neighbor["rows"]]
        assert [neighbor["distance"] for neighbor in own] == [0] * len(own)
        assert own
        assert each["percentile"] == pytest.approx(0, abs=1)

    def test_the_neighbours_that_are_not_listed_are_summed(self, run: Run) -> None:
        words = ("explain", "test.csv", "--model", "m", "--rows", "3,1")
        whole, short = (lines_of(run(*words, "--top", top).out) for top in (1000, 2))
        assert [each["row"] for each in short] == [1, 3]
        for full, few in zip(whole, short, strict=True):
            assert few["neighbors"] == full["neighbors"][:2]
            assert few["n_others"] == len(full["neighbors"]) - 2
            assert few["others"] == pytest.approx(sum(n["contribution"] for n in full["neighbors"][2:]))

    def test_a_table_has_a_line_per_neighbour_and_one_for_the_others(self, run: Run) -> None:
        run("explain", "test.csv", "--model", "m", "--rows", "2,5", "--top", 3, "--output", "e.csv")
        with open("e.csv", newline="") as stream:
            rows = list(csv.DictReader(stream))
        assert [row["row"] for row in rows] == ["2"] * 4 + ["5"] * 4
        for start in (0, 4):
            own = rows[start : start + 4]
            assert sum(float(row["neighbor_contribution"]) for row in own) == pytest.approx(float(own[0]["correction"]))
            assert all(json.loads(row["neighbor_rows"]) for row in own[:3])
            assert (own[-1]["neighbor_rows"], own[-1]["neighbor_distance"]) == ("", "")

    def test_a_terminal_gets_a_table_to_read(self, run: Run, tmp_path: Path) -> None:
        primary, secondary = pty.openpty()
        words = [sys.executable, "-m", "resmem_cli", "explain", "test.csv", "--model", "m", "--rows", "4", "--top", "3"]
        subprocess.run(words, check=True, stdout=secondary, stderr=subprocess.DEVNULL, cwd=tmp_path)
        os.close(secondary)
        said = os.read(primary, 65_536).decode()
        os.close(primary)
        assert "row 4 (" in said
        assert "prediction" in said
        assert "contribution" in said
        assert " others" in said

    @pytest.mark.parametrize(
        ("rows", "sentence"),
        [
            ("0", "'0' is no list of row numbers from 1, such as 3,17"),
            ("two", "'two' is no list of row numbers from 1, such as 3,17"),
        ],
    )
    def test_rows_that_are_no_numbers_are_refused(self, run: Run, rows: str, sentence: str) -> None:
        ended = run("explain", "test.csv", "--model", "m", "--rows", rows)
        assert ended.code == 2
        assert sentence in ended.err

    def test_a_row_beyond_the_end_is_refused_and_nothing_is_written(self, run: Run) -> None:
        ended = run("explain", "test.csv", "--model", "m", "--rows", "2,81", "--output", "e.csv")
        assert (ended.code, ended.out) == (3, "")
        assert "there is no row 81: the input has 80; correct --rows" in ended.err
        assert not Path("e.csv").exists()

    def test_support_says_which_rows_are_unlike_anything_remembered(self, run: Run) -> None:
        with open("test.csv", newline="") as stream:
            rows = list(csv.DictReader(stream))
        rows[3] |= {"carat": "4.9", "x": "0.1", "y": "40", "z": "30", "depth": "44", "table": "90"}
        with open("odd.csv", "w", newline="") as stream:
            writer = csv.DictWriter(stream, rows[0])
            writer.writeheader()
            writer.writerows(rows)
        run("predict", "odd.csv", "--model", "m", "--support", "--output", "p.parquet")
        found = pq.read_table("p.parquet")
        assert found.column_names[-1] == "distance_percentile"
        percentiles = found["distance_percentile"].to_pylist()
        assert all(0 <= each <= 100 for each in percentiles)
        assert percentiles[3] == 100
        explained = lines_of(run("explain", "odd.csv", "--model", "m").out)
        assert [each["percentile"] for each in explained] == pytest.approx(percentiles)

    @pytest.mark.parametrize("verb", ["explain", "predict"])
    def test_neither_the_input_nor_the_model_is_written_over(self, run: Run, verb: str) -> None:
        before = Path("test.csv").read_bytes(), Path("m/base.json").read_bytes()
        some = ("--keep", "id") if verb == "predict" else ()  # with all columns kept nothing would be lost
        ended = run(verb, "test.csv", "--model", "m", *some, "--output", "./test.csv")
        assert ended.code == 2
        assert "the input 'test.csv' would be replaced by the output; name another --output" in ended.err
        ended = run(verb, "test.csv", "--model", "m", "--output", "m/base.json", "--output-format", "jsonl")
        assert ended.code == 2
        assert "the output 'm/base.json' lies in the model directory" in ended.err
        assert (Path("test.csv").read_bytes(), Path("m/base.json").read_bytes()) == before

    def test_the_base_alone_has_no_support(self, run: Run) -> None:
        ended = run("predict", "test.csv", "--model", "m", "--support", "--base-only")
        assert ended.code == 2
        said = "--support and --interval need the memory, which --base-only leaves out; leave them out, or --base-only"
        assert said in ended.err


def test_of_classes_the_predicted_one_is_explained(run: Run, model: Model) -> None:
    path = model("chess")
    explained = lines_of(run("explain", "test.csv", "--model", path, "--rows", "1,2,3").out)
    predict = ("predict", "test.csv", "--model", path, "--output", "p.parquet", "--quiet")
    assert run(*predict).code == 0
    predicted = pq.read_table("p.parquet").to_pylist()[:3]
    for each, row in zip(explained, predicted, strict=True):
        assert each["label"] == row["prediction"]
        assert each["prediction"] == pytest.approx(row["probability"])
        assert each["base"] + each["correction"] + each["adjustment"] == pytest.approx(each["prediction"])
