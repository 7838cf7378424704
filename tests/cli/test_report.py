"""`resmem report`: one page of what `evaluate` measures, whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from tests.cli.conftest import PROGRAM, Run, snapshot, table
from tests.cli.test_terminal import Terminal
from tests.report import pages

Model = Callable[..., Path]
Fails = Callable[..., None]
Shell = Callable[[str], subprocess.CompletedProcess[str]]
OF_MEMORY = ["Where it wins and loses", "Near and far from what is remembered", "Rows that changed most"]


def made(run: Run, source: object, *words: object) -> pages.Element:
    """Make a page, and assert what holds of every page."""
    ended = run("report", source, "--model", "m", "--output", "page.html", *words)
    assert (ended.code, ended.out) == (0, "")
    return pages.check(Path("page.html").read_text())


def evaluated(run: Run, source: object, *words: object) -> dict[str, object]:
    return json.loads(run("evaluate", source, "--model", "m", "--by", "auto", "--json", "--quiet", *words).out)


def figure(value: str) -> float:
    return float(value.replace(",", "").replace("\N{MINUS SIGN}", "-").replace("\N{NO-BREAK SPACE}", " ").split()[0])


@pytest.mark.parametrize("name", ["both", "chess"])
def test_the_figures_are_those_of_evaluate(model: Model, run: Run, name: str) -> None:
    model(name)
    page, found = made(run, "test.csv"), evaluated(run, "test.csv")
    by_slice = found["by"]["slices"]
    assert page.all("p")[2].text == found["verdict"]
    shown = pages.rows(page, "Gain on every metric")
    assert [row[0] for row in shown] == list(found["metrics"])
    for row, metric in zip(shown, found["metrics"].values(), strict=True):
        assert figure(row[1]) == pytest.approx(metric["base"], rel=1e-4)
        assert figure(row[2]) == pytest.approx(metric["resmem"], rel=1e-4)
        assert figure(row[3]) == pytest.approx(metric["gain_percent"], abs=0.006)
        assert figure(row[4]) == pytest.approx(metric["ci95"][0], abs=0.006)
    slices = {f"{each['column']}{' = ' if each['bins'] == 'value' else ' '}{each['value']}": each for each in by_slice}
    listed = pages.rows(page, "Gain by slice of the features")
    assert len(listed) >= min(len(slices), 40)
    for row in listed:
        assert int(row[1]) == slices[row[0]]["rows"]
        assert figure(row[2]) == pytest.approx(slices[row[0]]["base"], rel=1e-4)


def test_a_page_has_everything_in_the_order_of_questions(model: Model, run: Run) -> None:
    model("both")
    assert pages.sections(made(run, "test.csv")) == [
        "Base against memory",
        "Where it wins and loses",
        "Near and far from what is remembered",
        "Can predictions be taken at their word?",
        "Rows that changed most",
        "What was promised, and what came",
        "Are these rows like the training rows?",
        "The model, and this page again",
    ]


def test_the_coverage_is_that_of_evaluate(model: Model, run: Run) -> None:
    model("both")
    shown = {row[0]: row for row in pages.rows(made(run, "test.csv"), "Coverage of prediction intervals")}
    for level in (0.5, 0.8, 0.9):
        found = evaluated(run, "test.csv", "--interval", level)["interval"]
        row = shown[f"{100 * level:g} %"]
        assert figure(row[1]) == pytest.approx(100 * found["coverage"], abs=0.06)
        assert figure(row[2]) == pytest.approx(found["size"], rel=1e-4)


def test_rows_that_changed_most_are_explained_as_explain_does(model: Model, run: Run) -> None:
    model()
    page = made(run, "test.csv")
    cards = page.all("article")
    assert len(cards) == 6
    ids = [card.all("h4")[0].text.removeprefix("Row ") for card in cards]
    numbers = table("diamonds", "test")["id"].to_pylist()
    rows = ",".join(map(str, sorted(numbers.index(each) + 1 for each in ids)))
    ended = run(
        "explain", "test.csv", "--model", "m", "--rows", rows, "--output", "-", "--output-format", "jsonl", "-q"
    )
    explained = {each["id"]: each for each in map(json.loads, ended.out.splitlines())}
    for identity, card in zip(ids, cards, strict=True):
        first = pages.rows(page, f"Neighbours of Row {identity}")[0]
        best = explained[identity]["neighbors"][0]
        assert first[0] == best["rows"][0]
        assert figure(first[1]) == pytest.approx(best["contribution"], rel=0.01)
        assert f"base {explained[identity]['base']:,.5g}" in card.text.replace("\N{MINUS SIGN}", "-")


def test_rows_that_were_seen_are_set_aside(model: Model, run: Run, csv: Callable[..., Path]) -> None:
    model()
    csv("rows.csv", pa.concat_tables([table("diamonds", "train").slice(0, 40), table("diamonds", "test")]))
    page, found = made(run, "rows.csv"), evaluated(run, "rows.csv")
    assert "40 of the 120 rows equal training rows: this page is about the 80 others." in page.text
    base = pages.rows(page, "Gain on every metric")[0][1]
    assert figure(base) == pytest.approx(found["unseen"]["metrics"]["rmse"]["base"], rel=1e-4)
    seen = set(table("diamonds", "train")["id"].to_pylist())
    assert not {card.all("h4")[0].text.removeprefix("Row ") for card in page.all("article")} & seen
    assert sum(int(row[1]) for row in pages.rows(page, "Gain against the distance of the nearest remembered row")) == 80


def test_slices_that_are_harmed_are_named_at_the_top(model: Model, run: Run) -> None:
    """Targets are near the base's predictions where the cut is Premium, and near the model's elsewhere."""
    model()
    rows = pa.concat_tables([table("diamonds", "train"), table("diamonds", "test")])
    pq.write_table(rows, "rows.parquet")
    assert run("predict", "rows.parquet", "--model", "m", "--output", "predicted.parquet", "--quiet").code == 0
    predicted = pq.read_table("predicted.parquet")
    is_premium = np.array(rows["cut"].to_pylist()) == "Premium"
    near = np.where(is_premium, predicted["prediction_base"].to_numpy(), predicted["prediction"].to_numpy())
    price = pa.array(near + 50 * np.random.default_rng(0).normal(size=len(rows)))
    pq.write_table(rows.set_column(rows.column_names.index("price"), "price", price), "rows.parquet")
    page = made(run, "rows.parquet")
    assert page.all("header")[0].all("li")[0].text == "The memory harms where cut = Premium."
    assert "harms in 1" in page.all("section")[1].text
    assert made(run, "rows.parquet", "--by", "cut").all("header")[0].all("li")[0].text.endswith("cut = Premium.")


def test_where_all_rows_were_seen_the_page_says_so(model: Model, run: Run) -> None:
    model()
    page = made(run, "train.csv")
    assert page.all("h1")[0].text == "There are too few rows to judge the memory by"
    assert "the others are too few, so this page shows all rows and is too optimistic" in page.text


def test_the_same_rows_give_the_same_bytes(model: Model, run: Run) -> None:
    model("both")
    made(run, "test.csv", "--quiet")
    first = Path("page.html").read_bytes()
    made(run, "test.csv", "--threads", 2)
    assert Path("page.html").read_bytes() == first
    pq.write_table(table("diamonds", "test"), "test.parquet")
    made(run, "test.parquet")
    other = Path("page.html").read_text().replace("test.parquet", "test.csv")
    features = first.decode().count('class="features"')
    assert features == 6  # whose numbers a CSV has as they are written
    assert len(other) == pytest.approx(len(first.decode()), abs=60)


def test_the_command_makes_the_page_again(model: Model, run: Run, shell: Shell) -> None:
    model()
    page = made(run, "test.csv", "--by", "cut,carat", "--seed", 3)
    first = Path("page.html").read_bytes()
    Path("page.html").unlink()
    assert shell(page.all("code")[0].text).returncode == 0
    assert Path("page.html").read_bytes() == first


def test_a_page_may_go_to_standard_output(model: Model, run: Run) -> None:
    model()
    ended = run("report", "test.csv", "--model", "m")
    assert ended.code == 0
    pages.check(ended.out)
    assert ended.err.startswith("80 rows. The memory ")


def test_more_rows_make_no_larger_page(model: Model, run: Run) -> None:
    model()
    made(run, "test.csv")
    small, many = len(Path("page.html").read_bytes()), table("diamonds", "new")
    rng = np.random.default_rng(0)
    many = table("diamonds", "test").take(pa.array(rng.integers(0, 80, 20_000)))
    carat = many["carat"].to_numpy() * rng.normal(1, 0.02, len(many))
    pq.write_table(many.set_column(many.column_names.index("carat"), "carat", pa.array(carat)), "many.parquet")
    made(run, "many.parquet")
    assert len(Path("page.html").read_bytes()) < 1.5 * small


class TestOddInput:
    def test_no_labelled_rows(self, model: Model, fails: Fails, csv: Callable[..., Path]) -> None:
        model()
        rows = table("diamonds", "test")
        csv("rows.csv", rows.set_column(rows.column_names.index("price"), "price", pa.nulls(len(rows), pa.int64())))
        sentence = "none of the 80 rows has a target 'price'; give labelled rows"
        fails(3, sentence, "report", "rows.csv", "--model", "m", "--output", "page.html", "--quiet")

    def test_a_file_without_rows(self, model: Model, fails: Fails, csv: Callable[..., Path]) -> None:
        model()
        csv("rows.csv", table("diamonds", "test").slice(0, 0))
        words = ("report", "rows.csv", "--model", "m", "--output", "page.html", "--quiet")
        fails(3, "rows.csv has a header but no rows; give a file with at least one row", *words)

    def test_a_column_that_is_not_there(self, model: Model, fails: Fails) -> None:
        model()
        words = ("report", "test.csv", "--model", "m", "--output", "page.html", "--by", "shop", "--quiet")
        sentence = (
            "test.csv lacks the column 'shop', which --by names; correct --by; the file has: id, carat, cut, color, "
            "clarity, depth, table, x, y, z, price"
        )
        fails(3, sentence, *words)

    def test_rows_of_one_class(self, model: Model, run: Run, csv: Callable[..., Path]) -> None:
        model("chess")
        rows = table("chess", "test")
        csv("rows.csv", rows.filter(pc.equal(rows["depth"], "draw")))
        page = made(run, "rows.csv")
        assert [row[0] for row in pages.rows(page, "Gain by true class")] == ["draw"]
        assert ["roc_auc", "–", "–", "–", "–"] in pages.rows(page, "Gain on every metric")  # noqa: RUF001

    def test_one_row(self, model: Model, run: Run, csv: Callable[..., Path]) -> None:
        model()
        csv("rows.csv", table("diamonds", "test").slice(0, 1))
        assert made(run, "rows.csv").all("h1")[0].text == "There are too few rows to judge the memory by"

    @pytest.mark.parametrize("shrinkage", [0, 1])
    def test_equal_predictions_and_a_memory_that_is_off(
        self, run: Run, csv: Callable[..., Path], shrinkage: int
    ) -> None:
        rng = np.random.default_rng(0)
        csv("rows.csv", pa.table({"x": np.ones(60), "z": np.arange(60) % 2, "y": rng.normal(size=60)}))
        assert run("fit-base", "rows.csv", "--target", "y", "--estimator", "constant", "--model", "m").code == 0
        settings = ("--neighbors", 2, "--bandwidth", 1000, "--temperature", 1, "--folds", 0, "--shrinkage", shrinkage)
        fit = run("fit-residual", "rows.csv", "--model", "m", "--representation", "features", *settings)
        assert fit.code == 0, fit.err
        csv("new.csv", pa.table({"x": np.ones(60), "z": np.arange(60) % 2, "y": rng.normal(size=60)}))
        page = made(run, "new.csv")
        is_off = page.all("h1")[0].text == "The memory is off: predictions are the base's"
        assert is_off == (shrinkage == 0)
        assert set(OF_MEMORY) & set(pages.sections(page)) == (set() if is_off else set(OF_MEMORY))
        assert len(pages.rows(page, "Predicted against true")) == (2 if is_off else 3)

    def test_five_hundred_features(self, run: Run) -> None:
        rng = np.random.default_rng(0)
        X = rng.normal(size=(240, 500))
        columns = {f"a feature with quite a long name, number {i}": X[:, i] for i in range(500)}
        wide = pa.table(columns | {"y": X[:, 0] + np.abs(X[:, 1])})
        pq.write_table(wide.slice(0, 160), "rows.parquet")
        pq.write_table(wide.slice(160), "new.parquet")
        assert run("fit-base", "rows.parquet", "--target", "y", "--estimator", "linear", "--model", "m").code == 0
        settings = ("--neighbors", 4, "--bandwidth", 0.3, "--temperature", 1, "--folds", 0, "--shrinkage", 1)
        fit = run("fit-residual", "rows.parquet", "--model", "m", "--representation", "features", *settings)
        assert fit.code == 0, fit.err
        page = made(run, "new.parquet")
        assert "And 460 more features." in page.text

    def test_names_and_values_with_markup_are_text(self, run: Run) -> None:
        rng = np.random.default_rng(0)
        name, target = '<script>alert("x")</script>', "</title><b>y & z</b>"
        kind = rng.choice(
            ["<img src=x onerror=alert(1)>", "{{ 7 * 7 }}", "\x1b[31mred", "'\"><svg/onload=alert(1)>"], 200
        )
        rows = pa.table({name: rng.normal(size=200), "<i>kind</i>": kind, target: rng.choice(["<u>", "&amp;"], 200)})
        ids = pa.array([f"<b>{i}</b>" for i in range(200)])
        pq.write_table(rows.append_column("<id>", ids), "a <b>.parquet")
        base = ("--target", target, "--id", "<id>", "--estimator", "linear")
        assert run("fit-base", "a <b>.parquet", *base, "--model", "m").code == 0
        settings = ("--neighbors", 4, "--bandwidth", 0.3, "--temperature", 1, "--folds", 0, "--shrinkage", 1)
        fit = run("fit-residual", "a <b>.parquet", "--model", "m", "--representation", "features", *settings)
        assert fit.code == 0, fit.err
        page = made(run, "a <b>.parquet")
        text = Path("page.html").read_text()
        assert "&lt;script&gt;alert" in text
        assert "{{ 7 * 7 }}" in text
        assert "\x1b" not in text
        assert page.all("title")[0].text == f"resmem report: {target}"

    def test_a_missing_value_of_an_r2_below_zero_is_a_dash(
        self, model: Model, run: Run, csv: Callable[..., Path]
    ) -> None:
        model()
        rows = table("diamonds", "test")
        price = pa.array(np.full(len(rows), 5_000))
        csv("rows.csv", rows.set_column(rows.column_names.index("price"), "price", price))
        assert pages.rows(made(run, "rows.csv"), "Gain on every metric")[2][3] == "–"  # noqa: RUF001


class TestOutput:
    def test_it_must_not_be_a_terminal(self, model: Model) -> None:
        model()
        ended = Terminal(PROGRAM, "report", "test.csv", "--model", "m", width=200).ended()
        sentence = (
            "a page is HTML, which a terminal does not show; name a file with --output, or redirect it with | or >"
        )
        assert (ended.code, ended.out.strip()) == (2, f"resmem: {sentence}")

    def test_into_a_folder_that_is_not_there(self, model: Model, fails: Fails) -> None:
        model()
        sentence = (
            "'none/page.html' cannot be written (No such file or directory); create the directory first, or choose "
            "another with --output"
        )
        fails(1, sentence, "report", "test.csv", "--model", "m", "--output", "none/page.html", "--quiet")

    def test_into_the_model_or_over_the_input(self, model: Model, fails: Fails) -> None:
        model()
        words = ("report", "test.csv", "--model", "m", "--quiet", "--output")
        fails(2, "the output 'm/page.html' lies in the model directory; name another --output", *words, "m/page.html")
        fails(2, "the input 'test.csv' would be replaced by the output; name another --output", *words, "test.csv")

    def test_without_the_extra(self, model: Model, fails: Fails, monkeypatch: pytest.MonkeyPatch) -> None:
        model()
        monkeypatch.setitem(sys.modules, "jinja2", None)
        sentence = (
            "a report needs the package Jinja2, which is not installed; install it: pip install 'resmem-cli[report]'"
        )
        fails(2, sentence, "report", "test.csv", "--model", "m", "--output", "page.html")

    def test_an_error_leaves_the_page_before_it(self, model: Model, run: Run, csv: Callable[..., Path]) -> None:
        model()
        made(run, "test.csv")
        before = Path("page.html").read_bytes()
        csv("rows.csv", table("diamonds", "test").drop_columns(["carat"]))
        assert run("report", "rows.csv", "--model", "m", "--output", "page.html").code == 3
        assert Path("page.html").read_bytes() == before
        assert not [path for path in Path().iterdir() if path.suffix == ".tmp"]

    def test_nobody_reading_is_no_error(self, model: Model, shell: Shell) -> None:
        model()
        done = shell("resmem report test.csv --model m --quiet | true; echo ${PIPESTATUS[0]} >&2")
        assert done.stderr == "0\n"

    def test_a_full_disk_behind_standard_output_is_one_sentence(self, model: Model, shell: Shell) -> None:
        model()
        done = shell("resmem report test.csv --model m --quiet > /dev/full")
        assert done.returncode == 1
        assert done.stderr.startswith("resmem: standard output cannot be written (No space left on device); ")
        assert done.stderr.count("\n") == 1

    def test_ctrl_c_leaves_nothing(self, model: Model, tmp_path: Path) -> None:
        """The input is a pipe that never ends, so that the command is at work when it is interrupted."""
        import signal
        import time

        model()
        shutil.copy("test.csv", "rows.csv")
        before = snapshot(tmp_path)
        started = subprocess.Popen(
            [str(PROGRAM), "report", "-", "--model", "m", "--output", "page.html"],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert started.stdin is not None
        assert started.stderr is not None
        started.stdin.write(Path("rows.csv").read_text())
        started.stdin.flush()
        end = time.monotonic() + 30
        while not [path for path in tmp_path.iterdir() if path.suffix == ".tmp"]:
            assert time.monotonic() < end
            time.sleep(0.01)
        os.kill(started.pid, signal.SIGINT)
        assert started.wait(timeout=20) == 130
        assert started.stderr.read() == "resmem: interrupted\n"
        started.stdin.close()
        started.stderr.close()
        assert snapshot(tmp_path) == before
