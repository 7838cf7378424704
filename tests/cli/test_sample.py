"""`--sample`: fitted on a part of the rows, and all of them remembered."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from resmem_cli.cli.main import ExitCode
from resmem_cli.model.kernel import row_residuals
from resmem_cli.model.scaling import Encoded
from resmem_cli.store import manifest, reading
from resmem_cli.workflow import fit_residual, labelled
from resmem_cli.workflow.inputs import Input
from tests.cli.conftest import Run
from tests.cli.test_change import SETTINGS, rows_of, write

FEATURES = ("--representation", "features")
BASE = ("--target", "price", "--estimator", "linear", "--id", "id", "--threads", 1)
Model = Callable[..., Path]
Shell = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def sampled(run: Run, model: Model) -> Callable[..., str]:
    """Fit a base on 100 rows of 240, and choose settings on others; return what fit-residual said."""
    model()

    def fitted(*words: object, base: tuple[object, ...] = (), settings: tuple[object, ...] = SETTINGS) -> str:
        ended = run("fit-base", "train.csv", *BASE, "--sample", 100, "--model", "s", *base)
        assert ended.code == 0, ended.err
        own = (*settings, *FEATURES, "--threads", 1, "--sample", 120, *words)
        ended = run("fit-residual", "train.csv", "--model", "s", *own)
        assert ended.code == 0, ended.err
        return ended.err

    return fitted


def test_a_base_is_fitted_on_a_sample_and_says_so(run: Run, model: Model) -> None:
    model()
    ended = run("fit-base", "train.csv", *BASE, "--sample", 100, "--model", "s")
    assert ended.lines[0] == "note: the base is fitted on a sample of 100 of 240 rows"
    assert manifest.read(Path("s/base.json"))["rows"] == 100
    trained = reading.trained_rows(Path("s"))
    ids = [row["id"] for row in rows_of("train.csv")]
    assert len(trained.ids) == 100
    assert [name for name in ids if name in set(trained.ids)] == list(trained.ids)
    assert list(trained.ids) != ids[:100]


def test_a_base_of_a_sample_is_that_of_the_rows_of_the_sample_alone(run: Run, model: Model) -> None:
    model()
    run("fit-base", "train.csv", *BASE, "--sample", 100, "--model", "s", "--quiet")
    names = set(reading.trained_rows(Path("s")).ids)
    write("part.csv", [row for row in rows_of("train.csv") if row["id"] in names])
    run("fit-base", "part.csv", *BASE, "--model", "p", "--quiet")
    for name in ("s", "p"):
        run("predict", "test.csv", "--model", name, "--base-only", "--output", f"{name}.csv", "--quiet")
    assert rows_of("s.csv") == rows_of("p.csv")


@pytest.mark.parametrize("ending", ["csv", "parquet", "jsonl"])
def test_the_same_rows_in_another_format_give_the_same_sample(run: Run, model: Model, ending: str) -> None:
    model()
    if ending != "csv":
        import pyarrow.csv
        import pyarrow.parquet

        table = pyarrow.csv.read_csv("train.csv")
        if ending == "parquet":
            pyarrow.parquet.write_table(table, "train.parquet", row_group_size=50)
        else:
            Path("train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()))
    run("fit-base", f"train.{ending}", *BASE, "--sample", 30, "--model", "s", "--quiet")
    run("fit-base", "train.csv", *BASE, "--sample", 30, "--model", "c", "--quiet")
    assert list(reading.trained_rows(Path("s")).ids) == list(reading.trained_rows(Path("c")).ids)


def test_every_row_is_remembered_by_what_the_base_leaves_unexplained(sampled) -> None:
    said = sampled()
    stored, rows = reading.load_for_change(Path("s"))
    (member,) = stored.resmem.members
    assert sorted(rows.ids) == sorted(row["id"] for row in rows_of("train.csv"))
    assert list(rows.ids) != [row["id"] for row in rows_of("train.csv")]  # those of the sample come first
    given = labelled.read(Input(("train.csv",)), stored.base.schema)
    order = np.array([given.ids.index(name) for name in rows.ids])
    base = stored.base.bases[0]
    predictions = base.predict(given.X[order])
    position = member.space.represent(Encoded(given.X[order]), base, predictions)
    contents = member.memory.contents
    np.testing.assert_array_equal(member.memory.index.points_at(contents.cells), position.points)
    expected = row_residuals(given.y[order], predictions, 1.0, position.trend)
    np.testing.assert_allclose(contents.residuals, expected, rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(rows.hashes, given.hashes[order])
    unseen = sum(h not in set(reading.trained_rows(Path("s")).hashes.tolist()) for h in rows.hashes[120:].tolist())
    assert (
        f"note: settings were chosen on a sample of 120 rows; of 120 others, {unseen} did not train the base\n" in said
    )
    assert "memorised 240 rows in 240 cells" in said


def test_what_was_streamed_can_be_forgotten_and_remembered_again(run: Run, sampled) -> None:
    sampled("--shard-cells", 50)
    run("predict", "test.csv", "--model", "s", "--output", "before.csv", "--quiet")
    _, rows = reading.load_for_change(Path("s"))
    gone = write("gone.csv", [row for row in rows_of("train.csv") if row["id"] in set(list(rows.ids)[-30:])])
    assert run("forget", gone, "--model", "s", "--quiet").code == 0
    assert run("verify", "--model", "s", "--quiet").code == 0
    assert manifest.read(Path("s/memory.json"))["rows"] == 210
    assert run("remember", gone, "--model", "s", "--quiet").code == 0
    run("predict", "test.csv", "--model", "s", "--output", "after.csv", "--quiet")
    before, after = ([float(row["prediction"]) for row in rows_of(f"{name}.csv")] for name in ("before", "after"))
    np.testing.assert_allclose(after, before, rtol=1e-9)


def test_held_out_scores_stay_with_their_rows(run: Run, sampled) -> None:
    sampled(settings=("--folds", 2, *SETTINGS[2:]))
    stored, _ = reading.load_for_change(Path("s"))
    calibration = stored.resmem.calibration
    assert calibration.rows.max() < 120
    assert run("predict", "test.csv", "--model", "s", "--interval", 0.8, "--quiet", "--output", "p.csv").code == 0


def test_a_sample_of_more_rows_than_there_are_is_all_of_them(run: Run, model: Model) -> None:
    model()
    for name, words in (("s", ("--sample", 1_000)), ("w", ())):
        ended = run("fit-base", "train.csv", *BASE, *words, "--model", name)
        assert "sample" not in ended.err
        ended = run("fit-residual", "train.csv", "--model", name, *SETTINGS, *FEATURES, *words, "--threads", 1)
        assert "sample" not in ended.err
    sampled, whole = (
        {name: part["sha256"] for name, part in manifest.read(Path(f"{name}/memory.json"))["parts"].items()}
        for name in ("s", "w")
    )
    assert sampled == whole


def test_rows_that_trained_the_base_have_no_cross_fitted_residuals_to_be_streamed(run: Run, sampled) -> None:
    said = sampled("--residuals", "cross-fitted")
    left_out = 240 - manifest.read(Path("s/memory.json"))["rows"]
    assert 20 < left_out < 80
    assert (
        f"note: {left_out} rows that trained the base are not in the sample and were left out, because cross-fitted "
        "residuals were chosen; fit-base --sample leaves more rows to remember\n"
    ) in said


def test_rows_of_a_group_that_trained_the_base_are_left_out_with_it(run: Run, model: Model) -> None:
    """The base knows their group, whether it was fitted with --group or without."""
    model()
    rows = [{**row, "shop": f"shop {i % 40}"} for i, row in enumerate(rows_of("train.csv"))]
    write("shops.csv", rows)
    some = [row for i, row in enumerate(rows) if i % 40 < 20 and i < 160]  # of 20 shops, but not all rows
    own = (*SETTINGS, *FEATURES, "--residuals", "cross-fitted", "--sample", 60, "--group", "shop", "--model", "s")
    for group in ((), ("--group", "shop")):
        write("some.csv", some if group else [{name: row[name] for name in row if name != "shop"} for row in some])
        assert run("fit-base", "some.csv", *BASE, *group, "--model", "s", "--quiet").code == 0
        ended = run("fit-residual", "shops.csv", *own)
        assert ended.code == 0, ended.err
        _, kept = reading.load_for_change(Path("s"))
        shop = {row["id"]: int(row["shop"].removeprefix("shop ")) for row in rows}
        assert min(shop[name] for name in list(kept.ids)[60:]) >= 20
        left_out = 240 - len(kept.ids)
        assert left_out > 60
        assert (
            f"note: {left_out} rows that trained the base or may have (by their group, or because rows of it were "
            "forgotten) are not in the sample and were left out"
        ) in ended.err


def test_of_a_base_that_has_forgotten_rows_none_is_surely_new(run: Run, sampled) -> None:
    sampled()
    gone = write("gone.csv", [row for row in rows_of("train.csv") if row["id"] in reading.trained_rows(Path("s")).ids])
    assert run("forget", gone, "--model", "s", "--quiet").code == 0
    own = (*SETTINGS, *FEATURES, "--residuals", "cross-fitted", "--sample", 120)
    ended = run("fit-residual", "train.csv", "--model", "s", *own)
    assert ended.code == 0, ended.err
    assert "note: 120 rows that trained the base or may have (by their group" in ended.err
    assert manifest.read(Path("s/memory.json"))["rows"] == 120


def test_settings_that_further_rows_chose_are_said_to_be_so(run: Run, model: Model) -> None:
    model()
    rows = rows_of("train.csv")
    write("most.csv", rows[:180])
    write("valid.csv", rows[180:])
    run("fit-base", "most.csv", *BASE, "--sample", 50, "--model", "s", "--quiet")
    ended = run("fit-residual", "most.csv", "--valid", "valid.csv", "--model", "s", *FEATURES, "--sample", 100)
    assert ended.code == 0, ended.err
    assert "note: settings were chosen on the 60 rows of --valid, by a memory of a sample of 100; of 80 others" in (
        ended.err
    )
    assert manifest.read(Path("s/memory.json"))["rows"] == 240


def test_ids_that_rows_beside_the_sample_repeat_are_counted(run: Run, model: Model) -> None:
    model()
    rows = rows_of("train.csv")
    write("same.csv", [{**row, "id": "one" if i % 3 == 0 else row["id"]} for i, row in enumerate(rows)])
    run("fit-base", "train.csv", *BASE, "--sample", 100, "--model", "s", "--quiet")
    ended = run("fit-residual", "same.csv", "--model", "s", *SETTINGS, *FEATURES, "--sample", 50)
    assert "note: 80 rows share their id with another row" in ended.err


def test_totals_that_a_column_beside_the_features_names_are_left_out_of_both_passes(run: Run, model: Model) -> None:
    model()
    train = [{**row, "remark": "-"} for row in rows_of("train.csv")]
    last = {**train[-1], "id": "", "price": 1e9, "remark": "Total"}
    write("totals.csv", [*train, last])
    base = ("fit-base", "train.csv", *BASE, "--sample", 100, "--model", "s", "--drop-totals", "--quiet")
    assert run(*base).code == 0
    ended = run("fit-residual", "totals.csv", "--model", "s", *SETTINGS, *FEATURES, "--sample", 50)
    assert ended.code == 0, ended.err
    assert ended.err.count("note: totals.csv, row 241 holds totals and is left out\n") == 1
    assert manifest.read(Path("s/memory.json"))["rows"] == 240


@pytest.mark.parametrize("how", ["named", "summed", "empty"])
def test_totals_at_the_end_are_refused_or_left_out_though_a_sample_is_drawn(run: Run, model: Model, how: str) -> None:
    model()
    rows = rows_of("train.csv")
    total = sum(float(row["price"]) for row in rows)
    features = [name for name in rows[0] if name not in ("id", "price")]
    last = dict.fromkeys(rows[0], "") | {"price": total, "id": "x"}
    if how == "named":
        last |= {name: rows[0][name] for name in features} | {"id": "Total"}
    elif how == "summed":
        numeric = [name for name in features if rows[0][name].replace(".", "").isdigit()]
        last |= {name: sum(float(row[name]) for row in rows) for name in numeric}
    write("totals.csv", [*rows, last])
    own = (*BASE, "--sample", 100)
    ended = run("fit-base", "totals.csv", *own, "--model", "t")
    assert ended.code == ExitCode.DATA
    assert ended.lines[-1] == (
        f"resmem: totals.csv, row 241: the last row looks like totals ('price' is {total}, more than in any row above "
        "it); leave it out with --drop-totals, or remove it from the file"
    )
    assert not Path("t/base.json").exists()
    assert run("fit-base", "totals.csv", *own, "--drop-totals", "--model", "t", "--quiet").code == 0
    assert run("fit-base", "train.csv", *own, "--model", "s", "--quiet").code == 0
    assert list(reading.trained_rows(Path("t")).ids) == list(reading.trained_rows(Path("s")).ids)


def test_a_last_row_that_is_only_larger_than_the_sample_is_no_totals(run: Run, model: Model) -> None:
    """Nor is one with a larger target than any that is otherwise like the others."""
    model()
    rows = rows_of("train.csv")
    largest = max(range(240), key=lambda i: float(rows[i]["price"]))
    write("last.csv", [*rows[:largest], *rows[largest + 1 :], rows[largest]])
    for size in (60, 1_000):
        assert run("fit-base", "last.csv", *BASE, "--sample", size, "--model", "t", "--quiet").code == 0
    assert len(reading.trained_rows(Path("t")).ids) == 240


def test_rows_that_change_between_the_two_passes_end_the_fit(run: Run, model: Model, monkeypatch) -> None:
    model()
    run("fit-base", "train.csv", *BASE, "--sample", 100, "--model", "s", "--quiet")
    fit = fit_residual.fit

    def growing(*given: Any, **more: Any) -> Any:
        last = Path("train.csv").read_text().splitlines()[-1]
        with Path("train.csv").open("a") as file:
            file.write(last + "\n")
        return fit(*given, **more)

    monkeypatch.setattr(fit_residual, "fit", growing)
    ended = run("fit-residual", "train.csv", "--model", "s", *SETTINGS, *FEATURES, "--sample", 50)
    assert ended.code == ExitCode.DATA
    assert ended.lines[-1] == (
        "resmem: the rows changed while they were read: first there were 240, and then 241; "
        "run fit-residual again when nothing writes to them"
    )
    assert not Path("s/memory.json").exists()


def test_rows_without_a_target_are_counted_once(run: Run, model: Model) -> None:
    model()
    rows = rows_of("train.csv")
    write("gaps.csv", [{**row, "price": "" if i % 10 == 0 else row["price"]} for i, row in enumerate(rows)])
    run("fit-base", "train.csv", *BASE, "--sample", 100, "--model", "s", "--quiet")
    ended = run("fit-residual", "gaps.csv", "--model", "s", *SETTINGS, *FEATURES, "--sample", 50)
    assert "24 rows" in ended.err
    assert manifest.read(Path("s/memory.json"))["rows"] == 216


def test_groups_are_drawn_whole(run: Run, model: Model) -> None:
    model()
    rows = [{**row, "shop": f"shop {i % 40}"} for i, row in enumerate(rows_of("train.csv"))]
    write("shops.csv", rows)
    ended = run("fit-base", "shops.csv", *BASE, "--group", "shop", "--sample", 100, "--model", "s")
    assert ended.code == 0, ended.err
    shop = {row["id"]: row["shop"] for row in rows}
    seen = [shop[name] for name in reading.trained_rows(Path("s")).ids]
    assert len(seen) == 96
    assert len(set(seen)) == 16
    own = (*SETTINGS, *FEATURES, "--sample", 60)
    assert run("fit-residual", "shops.csv", "--model", "s", *own).code == 0
    _, kept = reading.load_for_change(Path("s"))
    first = [shop[name] for name in list(kept.ids)[:60]]
    assert len(set(first)) == 10
    assert not set(first) & {shop[name] for name in list(kept.ids)[60:]}


def test_a_group_that_is_large_beside_the_sample_is_noted(run: Run, model: Model) -> None:
    model()
    rows = [{**row, "shop": f"shop {max(0, i - 8)}"} for i, row in enumerate(rows_of("train.csv"))]
    write("shops.csv", rows)
    note = (
        "note: the largest group has 9 rows, more than 5 % of the 100 of --sample: groups so large are drawn too rarely"
    )
    ended = run("fit-base", "shops.csv", *BASE, "--group", "shop", "--sample", 100, "--model", "s")
    assert f"{note}; raise --sample\n" in ended.err
    own = ("fit-residual", "shops.csv", "--model", "s", *SETTINGS, *FEATURES)
    assert f"{note}; raise --sample\n" in run(*own, "--sample", 100).err
    assert "largest group" not in run(*own, "--sample", 200).err  # of which 9 rows are less
    assert "largest group" not in run(*own, "--sample", 240).err  # all rows


def test_a_sample_that_is_too_small_is_said_to_be_one(run: Run, model: Model) -> None:
    model()
    run("fit-base", "train.csv", *BASE, "--sample", 100, "--model", "s", "--quiet")
    own = ("fit-residual", "train.csv", "--model", "s", *FEATURES)
    ended = run(*own, "--sample", 12)
    assert ended.code == 0, ended.err
    assert "give at least 30 labelled rows with distinct features, or raise --sample\n" in ended.err
    ended = run(*own, "--sample", 60, "--folds", 40)
    assert ended.code == ExitCode.DATA
    assert ended.lines[-1] == (
        "resmem: 60 rows are too few for 40 folds; give more rows, or lower --folds, or raise --sample"
    )


@pytest.mark.parametrize("command", ["fit-base", "fit-residual"])
def test_rows_in_the_order_of_time_are_not_sampled(run: Run, model: Model, command: str) -> None:
    model()
    if command == "fit-residual":
        run("fit-base", "train.csv", *BASE, "--time", "depth", "--model", "s", "--quiet")
    words = (*BASE, "--time", "depth") if command == "fit-base" else (*SETTINGS, *FEATURES)
    ended = run(command, "train.csv", *words, "--sample", 100, "--model", "s")
    assert ended.code == ExitCode.USAGE
    assert ended.lines[-1] == (
        "resmem: --sample draws rows of all times, and rows are judged by earlier ones of 'depth'; "
        "leave --sample or --time out"
    )


def test_rows_from_a_pipe_are_a_sample_for_a_base_and_not_for_a_memory(model: Model, shell: Shell) -> None:
    """A base needs the sample alone; a memory the others too, in a second pass."""
    model()
    own = "--target price --id id --estimator linear --sample 100 --model s --quiet"
    assert shell(f"cat train.csv | resmem fit-base - {own}").returncode == 0
    ended = shell("cat train.csv | resmem fit-residual - --sample 100 --model s")
    assert ended.returncode == ExitCode.USAGE
    assert ended.stderr == (
        "resmem: --sample reads the rows twice, and standard input can be read only once; "
        "write them to a file, and name that\n"
    )


def test_an_imported_base_is_not_sampled(run: Run, model: Model) -> None:
    model()
    ended = run("fit-base", "train.csv", "--target", "price", "--predictions", "x", "--sample", 9, "--model", "s")
    assert ended.code == ExitCode.USAGE
    assert "an imported base is not fitted: leave --sample out" in ended.err


def test_a_column_of_groups_that_is_missing_is_named(run: Run, model: Model) -> None:
    model()
    ended = run("fit-base", "train.csv", *BASE, "--group", "shop", "--sample", 100, "--model", "s")
    assert ended.code == ExitCode.DATA
    assert "train.csv has no column 'shop'" in ended.err


def test_an_empty_file_is_named(run: Run, model: Model) -> None:
    model()
    Path("empty.csv").write_text("id,price\n")
    for command, words in (("fit-base", BASE), ("fit-residual", ())):
        ended = run(command, "empty.csv", *words, "--sample", 100, "--model", "m")
        assert ended.code == ExitCode.DATA
        assert ended.lines[-1] == "resmem: empty.csv has a header but no rows; give a file with at least one row"
