"""`resmem inspect` and `resmem verify`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from resmem_cli.store import manifest, parts
from tests.cli.conftest import Run, table, write_csv

Model = Callable[..., Path]
STORED = Path(__file__).parents[1] / "store"


def change(path: Path, **fields: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def rewrite(model: Path, which: str, name: str, **arrays: Any) -> None:
    """Change arrays of a part, and its manifest so that size and hash are right."""
    path = model / which
    content = json.loads(path.read_text())
    file = model / parts.FOLDER / content["id"] / name
    parts.save_arrays(file, parts.load_arrays(file) | arrays)
    change(path, parts=parts.to_json(parts.record(file.parent)))


class TestInspect:
    def test_a_model_is_described_in_sentences(self, run: Run, model: Model) -> None:
        lines = run("inspect", "--model", model("both")).out.splitlines()
        assert lines[0] == "regression of 'price' from 9 features (6 numeric, 3 categorical), id 'id'"
        assert lines[1].startswith("bases: ")
        assert "fitted on 240 rows" in lines[1]
        assert lines[2].startswith("memory: 240 rows, made 20")
        assert any(line.strip().startswith("rmse on ") for line in lines)
        assert f"format {manifest.FORMAT}, by resmem" in lines[-1]

    def test_json_for_machines(self, run: Run, model: Model) -> None:
        found = json.loads(run("inspect", "--model", model(), "--json").out)
        assert (found["task"], found["target"], found["id"], found["base_rows"]) == ("regression", "price", "id", 240)
        assert found["features"]["kinds"] == {"number": 6, "category": 3}
        assert [base["estimator"] for base in found["bases"]] == ["linear"]
        (memory,) = found["memory"]["memories"]
        assert (memory["base"], memory["representation"], memory["cells"]) == ("linear", "features", 240)
        assert found["memory"]["is_stale"] is False
        on_disk = sum(path.stat().st_size for path in (Path("m") / parts.FOLDER).rglob("*") if path.is_file())
        assert found["bytes"] == on_disk

    def test_classes_are_counted(self, run: Run, model: Model) -> None:
        assert "classification of 'depth' of 3 classes" in run("inspect", "--model", model("chess")).out

    def test_a_base_alone_and_a_stale_memory_are_told(self, run: Run, model: Model) -> None:
        path = model()
        change(path / manifest.MEMORY, base="0123456789abcdef")
        assert "memory: stale" in run("inspect", "--model", path).out
        (path / manifest.MEMORY).unlink()
        assert "memory: none yet" in run("inspect", "--model", path).out
        assert json.loads(run("inspect", "--model", path, "--json").out)["memory"] is None

    @pytest.mark.parametrize("fields", [{"schema": []}, {"bases": [1]}, {"parts": {"x": 3}}])
    def test_a_damaged_manifest_ends_in_a_sentence(self, run: Run, model: Model, fields: dict[str, Any]) -> None:
        path = model()
        change(path / manifest.BASE, **fields)
        ended = run("inspect", "--model", path)
        assert (ended.code, ended.out) == (4, "")
        assert "is damaged" in ended.err


class TestVerify:
    @pytest.mark.parametrize("name", ["house", "boosted", "both", "chess"])
    def test_what_was_fitted_is_sound(self, run: Run, model: Model, name: str) -> None:
        ended = run("verify", "--model", model(name))
        assert (ended.code, ended.out) == (0, "")
        assert ended.err.startswith("base and memory are sound: ")
        found = json.loads(run("verify", "--model", "m", "--json").out)
        files = [path for path in (Path("m") / parts.FOLDER).rglob("*") if path.is_file()]
        assert (found["sound"], found["n_files"], found["leftovers"]) == (True, len(files), [])
        assert found["n_bytes"] == sum(path.stat().st_size for path in files)

    def test_a_base_alone_is_sound(self, run: Run, model: Model) -> None:
        path = model()
        (path / manifest.MEMORY).unlink()
        ended = run("verify", "--model", path)
        assert ended.code == 0
        assert "the base is sound, and there is no memory" in ended.err
        assert "note: 1 folder in parts/ not named by a manifest" in ended.err

    @pytest.mark.parametrize("name", ["house", "both"])
    def test_a_changed_byte_anywhere_is_found(self, run: Run, model: Model, name: str) -> None:
        path = model(name)
        for file in sorted((path / parts.FOLDER).rglob("*.*")):
            whole = bytearray(file.read_bytes())
            whole[len(whole) // 2] ^= 1
            before = file.read_bytes()
            file.write_bytes(whole)
            ended = run("verify", "--model", path)
            assert ended.code == 4, file
            assert "another SHA-256" in ended.err
            file.write_bytes(before)
        assert run("verify", "--model", path).code == 0

    @pytest.mark.parametrize(
        ("name", "arrays", "sentence"),
        [
            ("rows.npz", {"cells": np.full(240, 7_000)}, "rows to cells that do not exist"),
            ("rows.npz", {"cells": np.zeros(240, np.int64)}, "cells without rows"),
            ("rows.npz", {"hashes": np.zeros(3, np.uint64)}, "does not fit its manifest"),
            ("rows.npz", {"id_ends": np.zeros(3, np.int64)}, "does not fit its manifest"),
            ("arrays.npz", {"residuals": np.full((240, 1), np.nan)}, "not finite"),
            ("arrays.npz", {"counts": np.full(240, -1.0)}, "not finite"),
        ],
    )
    def test_parts_that_do_not_belong_together_are_found(
        self, run: Run, model: Model, name: str, arrays: dict[str, Any], sentence: str
    ) -> None:
        path = model()
        rewrite(path, manifest.MEMORY, name, **arrays)
        ended = run("verify", "--model", path)
        assert ended.code == 4
        assert sentence in ended.err

    def test_weights_that_are_no_shares_are_found(self, run: Run, model: Model) -> None:
        path = model()
        memories = json.loads((path / manifest.MEMORY).read_text())["memories"]
        change(path / manifest.MEMORY, memories=[each | {"weight": 0.5} for each in memories])
        assert "do not sum to 1" in run("verify", "--model", path).err


class TestMeasured:
    """inspect, fit-residual and evaluate give the same quantity under the same name and in the same unit."""

    SETTINGS = ("neighbors", "bandwidth", "bandwidth_kind", "shrinkage", "temperature", "recall")

    @pytest.mark.parametrize(
        ("name", "metric"),
        [("house", "rmse"), ("house", "mae"), ("chess", "log_loss"), ("chess", "accuracy")],
    )
    def test_all_three_say_the_same(self, run: Run, model: Model, name: str, metric: str) -> None:
        words = ("fit-residual", "train.csv", "--model", model(name), "--effort", "quick", "--metric", metric)
        fitted = json.loads(run(*words, "--json", "--quiet").out)
        inspected = json.loads(run("inspect", "--model", "m", "--json").out)["memory"]
        evaluated = json.loads(run("evaluate", "test.csv", "--model", "m", "--json").out)
        assert inspected["measured"] == fitted["measured"]
        assert inspected["objective"] == evaluated["objective"] == fitted["measured"]["metric"] == metric
        assert inspected["rows"] == fitted["rows"] == 240
        for one, other in zip(inspected["memories"], fitted["memories"], strict=True):
            shared = set(one) & set(other)
            assert shared == set(other)
            assert {key: one[key] for key in shared} == {key: other[key] for key in shared}
        for found in (fitted["measured"], evaluated["metrics"][metric]):
            better = found["base"] - found["resmem"] if metric != "accuracy" else found["resmem"] - found["base"]
            assert found["gain"] == pytest.approx(better)
            assert found["gain_percent"] == pytest.approx(100 * better / found["base"])

    def test_the_figures_are_those_that_fit_residual_prints(self, run: Run, model: Model) -> None:
        ended = run("fit-residual", "train.csv", "--model", model(), "--effort", "quick")
        found = json.loads(run("inspect", "--model", "m", "--json").out)["memory"]["measured"]
        assert ended.lines[0] == (
            f"rmse on {found['rows']} held-out rows (base refitted without them): base {found['base']:.5g}, "
            f"with memory {found['resmem']:.5g}, gain {found['gain_percent']:+.2f} % "
            f"(standard error {found['standard_error_percent']:.2f} %)"
        )
        assert found["standard_error_percent"] == pytest.approx(100 * found["standard_error"] / found["base"])
        shown = (
            f"rmse on {found['rows']} held-out rows: base {found['base']:.5g}, with memory {found['resmem']:.5g}; the "
            "memory "
        )
        assert shown in run("inspect", "--model", "m").out

    def test_an_accuracy_is_told_as_one(self, run: Run, model: Model) -> None:
        assert run("fit-residual", "train.csv", "--model", model("chess"), "--metric", "accuracy", "--quiet").code == 0
        found = json.loads(run("inspect", "--model", "m", "--json").out)["memory"]["measured"]
        shown = f"held-out rows: base {found['base']:.5g}, with memory {found['resmem']:.5g}"
        assert shown in run("inspect", "--model", "m").out

    @pytest.mark.parametrize("path", sorted(STORED.glob("format_*/*/model/memory.json")), ids=lambda p: p.parts[-4])
    def test_models_of_every_format_are_told(self, run: Run, path: Path) -> None:
        kept = json.loads(path.read_text())
        found = json.loads(run("inspect", "--model", path.parent, "--json").out)
        memory, folds = found["memory"], kept["folds"]
        assert memory["objective"] == (kept.get("objective") or ("log_loss" if found["classes"] else "rmse"))
        if not folds:
            assert memory["measured"] is None
            return
        is_rmse = memory["objective"] == "rmse"
        base = np.sqrt(folds["base_loss"]) if is_rmse else folds["base_loss"]
        assert memory["measured"]["base"] == pytest.approx(base)
        assert (memory["measured"]["rows"], memory["measured"]["helps"]) == (folds["n_queries"], folds["helps"])
        assert set(self.SETTINGS) <= set(memory["memories"][0])
        assert " held-out rows: base " in run("inspect", "--model", path.parent).out


def test_a_base_from_elsewhere_is_said_to_be_imported(run: Run) -> None:
    rows = table("diamonds", "train")
    write_csv(rows.append_column("guess", rows["price"]), Path("train.csv"))
    assert run("fit-base", "train.csv", "-t", "price", "--predictions", "guess", "-m", "m", "-q").code == 0
    assert "bases: columns, imported; fitted on 0 rows" in run("inspect", "--model", "m").out
