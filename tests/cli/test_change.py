"""`resmem remember` and `resmem forget`: as if the memory had never been another, and no trace of what is forgotten."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest

from resmem_cli.cli.main import ExitCode
from resmem_cli.store import manifest, parts, reading
from tests.cli.conftest import Run, snapshot

SETTINGS = ("--folds", 0, "--neighbors", 6, "--bandwidth", 0.4, "--shrinkage", 0.8, "--temperature", 1)
MEMORIES = pytest.mark.parametrize("space", ["features", "model", "sensitivity"])


def rows_of(path: str) -> list[dict[str, str]]:
    with open(path, newline="") as stream:
        return list(csv.DictReader(stream))


def write(path: str, rows: Iterable[dict[str, str]]) -> str:
    rows = list(rows)
    with open(path, "w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture
def fit(run: Run, model: Callable[..., Path]) -> Callable[..., str]:
    """Fit a base on the training rows and memorise a file, in a directory of the given name."""
    model()

    def fitted(name: str, memorised: str, *words: object, base: tuple[object, ...] = ("--id", "id")) -> str:
        own = ("--target", "price", "--estimator", "linear", *base)
        assert run("fit-base", "train.csv", *own, "--model", name, "--quiet", "--threads", 1).code == 0
        words = words if "--representation" in words else (*words, "--representation", "features")
        assert run("fit-residual", memorised, "--model", name, *SETTINGS, *words, "--quiet", "--threads", 1).code == 0
        return name

    return fitted


@pytest.fixture
def predictions(run: Run) -> Callable[[str], list[float]]:
    def predicted(name: str) -> list[float]:
        run("predict", "test.csv", "--model", name, "--output", "p.csv", "--quiet")
        return [float(row["prediction"]) for row in rows_of("p.csv")]

    return predicted


class TestRemember:
    def test_predictions_are_those_of_a_memory_of_all_rows_at_once(self, run, fit, predictions) -> None:
        rows = rows_of("train.csv")
        first, rest = write("first.csv", rows[:150]), write("rest.csv", rows[150:])
        fit("whole", "train.csv", "--representation", "model")  # which has no scale of its own to be learned from rows
        fit("grown", first, "--representation", "model")
        assert predictions("grown") != predictions("whole")
        ended = run("remember", rest, "--model", "grown", "--threads", 1)
        assert ended.code == 0
        assert ended.err.startswith("remembered 90 rows: 240 now")
        np.testing.assert_allclose(predictions("grown"), predictions("whole"), rtol=1e-12)
        assert run("verify", "--model", "grown").code == 0

    def test_a_repeated_row_of_the_same_id_replaces_the_old_one(self, run, fit, predictions) -> None:
        rows = rows_of("train.csv")
        wrong = [row | {"price": "1"} if i < 20 else row for i, row in enumerate(rows)]
        fit("right", "train.csv", "--representation", "model")
        fit("mended", write("wrong.csv", wrong), "--representation", "model")
        ended = run("remember", write("again.csv", rows[:20]), "--model", "mended", "--json", "--threads", 1)
        found = json.loads(ended.out)
        assert (found["rows"], found["added"], found["removed"]) == (240, 20, 20)
        assert "remembered 20 rows in place of 20 rows with the same ids: 240 now" in ended.err
        np.testing.assert_allclose(predictions("mended"), predictions("right"), rtol=1e-12)

    def test_of_rows_of_one_id_the_last_counts(self, run, fit, predictions) -> None:
        rows = rows_of("train.csv")
        fit("right", "train.csv", "--representation", "model")
        fit("mended", write("first.csv", rows[:200]), "--representation", "model")
        twice = [row | {"price": "5"} for row in rows[200:]] + rows[200:]
        ended = run("remember", write("t.csv", twice), "--model", "mended", "--json")
        assert (json.loads(ended.out)["added"], json.loads(ended.out)["repeated"]) == (40, 40)
        assert "note: 40 rows left out, because a later row has the same id" in ended.err
        np.testing.assert_allclose(predictions("mended"), predictions("right"), rtol=1e-12)

    def test_without_ids_an_equal_row_counts_twice(self, run, fit) -> None:
        fit("m2", "train.csv", base=("--drop", "id"))
        done = json.loads(run("remember", "train.csv", "--model", "m2", "--json").out)
        assert (done["rows"], done["removed"]) == (480, 0)
        counts = reading.load(Path("m2")).resmem.members[0].memory.counts
        assert counts.sum() == 480
        assert (counts >= 2).all()

    def test_a_missing_id_replaces_nothing(self, run, fit) -> None:
        rows = rows_of("train.csv")
        nameless = write("nameless.csv", [row | {"id": ""} for row in rows[:10]])
        fit("m2", "train.csv")
        for n_rows in (250, 260):
            assert json.loads(run("remember", nameless, "--model", "m2", "--json").out)["rows"] == n_rows

    def test_a_condensed_memory_stays_condensed(self, run, fit) -> None:
        rows = rows_of("train.csv")
        fit("m2", write("first.csv", rows[:150]), "--max-cells", 60)
        run("remember", write("rest.csv", rows[150:]), "--model", "m2")
        memory = reading.load(Path("m2")).resmem.members[0].memory
        assert len(memory.counts) == 60
        assert memory.counts.sum() == 240

    def test_every_row_of_a_large_memory_may_be_replaced(self, run, fit) -> None:
        rows = [row | {"id": f"{i}-{row['id']}", "carat": f"{i + 1}"} for i in range(5) for row in rows_of("train.csv")]
        fit("m2", write("many.csv", rows))
        done = json.loads(run("remember", "many.csv", "--model", "m2", "--json").out)
        assert (done["rows"], done["removed"]) == (1200, 1200)
        assert done["recall"][0] is not None  # it has a search graph

    def test_a_memory_that_is_off_stays_off(self, run, fit, predictions) -> None:
        fit("m2", "train.csv", "--shrinkage", 0)
        before = predictions("m2")
        assert run("remember", "test.csv", "--model", "m2").code == 0
        assert predictions("m2") == before

    def test_rows_without_a_target_are_left_out(self, run, fit) -> None:
        rows = rows_of("test.csv")
        fit("m2", "train.csv")
        some = write("some.csv", [row | {"price": ""} if i < 5 else row for i, row in enumerate(rows)])
        ended = run("remember", some, "--model", "m2")
        assert "note: 5 rows without a target (or weight) left out" in ended.err
        assert "remembered 75 rows" in ended.err

    def test_a_model_without_memory_says_what_to_run(self, run, fit) -> None:
        fit("m2", "train.csv")
        (Path("m2") / manifest.MEMORY).unlink()
        ended = run("remember", "test.csv", "--model", "m2")
        assert ended.code == 4
        assert "has no memory yet; run: resmem fit-residual" in ended.err

    def test_a_memory_of_an_older_resmem_is_refused_and_stays(self, run, fit) -> None:
        fit("m2", "train.csv")
        content = json.loads((Path("m2") / manifest.MEMORY).read_text())
        file = Path("m2") / parts.FOLDER / content["id"] / parts.ROWS
        parts.save_arrays(file, {k: v for k, v in parts.load_arrays(file).items() if k != "residuals"})
        (Path("m2") / manifest.MEMORY).write_text(
            json.dumps(content | {"parts": parts.to_json(parts.record(file.parent))})
        )
        before = snapshot(Path("m2"))
        ended = run("remember", "test.csv", "--model", "m2")
        assert ended.code == 4
        assert "was written by an older resmem, which kept no residuals of rows; run fit-residual again" in ended.err
        assert snapshot(Path("m2")) == before

    def test_wrong_rows_change_nothing(self, run, fit) -> None:
        fit("m2", "train.csv")
        before = snapshot(Path("m2"))
        lacking = write("l.csv", [{k: v for k, v in row.items() if k != "carat"} for row in rows_of("test.csv")])
        ended = run("remember", lacking, "--model", "m2")
        assert ended.code == 3
        assert "lacks the column 'carat'" in ended.err
        assert snapshot(Path("m2")) == before


class TestForget:
    @MEMORIES
    def test_after_remembering_and_forgetting_predictions_are_the_earlier_ones(
        self, run, fit, predictions, space
    ) -> None:
        fit("m2", "train.csv", "--representation", space)
        before = predictions("m2")
        run("remember", "test.csv", "--model", "m2", "--threads", 1)
        assert predictions("m2") != before
        ended = run("forget", "test.csv", "--model", "m2", "--threads", 1)
        assert ended.err.startswith("forgot 80 rows: 240 left")
        np.testing.assert_allclose(predictions("m2"), before, rtol=1e-12)
        assert run("verify", "--model", "m2").code == 0

    @pytest.mark.parametrize("how", ["list", "file", "rows"])
    def test_no_trace_of_a_forgotten_row_is_left(self, run, fit, how) -> None:
        fit("m2", "train.csv")
        rows = rows_of("train.csv")
        stored, known = reading.load_for_change(Path("m2"))
        gone = [3, 50, 239]
        memory = stored.resmem.members[0].memory
        points = memory.index.points_at(memory.contents.cells[gone])
        traces = [known.hashes[i].tobytes() for i in gone] + [rows[i]["id"].encode() for i in gone]
        traces += [memory.contents.residuals[i].tobytes() for i in gone] + [point.tobytes() for point in points]
        for trace in traces:
            assert any(trace in data for data in snapshot(Path("m2")).values())
        names = [rows[i]["id"] for i in gone]
        Path("ids.txt").write_text("\n".join(names) + "\n")
        words = {"list": ("--ids", ",".join(names)), "file": ("--ids", "ids.txt")}
        some = write("gone.csv", [rows[i] for i in gone])
        ended = run("forget", "--model", "m2", *words[how]) if how != "rows" else run("forget", some, "--model", "m2")
        assert ended.code == 0
        assert "forgot 3 rows: 237 left" in ended.err
        assert "note: the base was trained on 3 forgotten rows and still knows them; to remove that" in ended.err
        left = snapshot(Path("m2"))
        for trace in traces:
            assert not any(trace in data for data in left.values()), trace
        assert run("verify", "--model", "m2").code == 0

    def test_what_a_killed_writer_left_goes_even_if_there_is_nothing_more_to_forget(self, run, fit) -> None:
        """It was killed after the new memory was there, and before the old one was removed."""
        path = Path(fit("m2", "train.csv"))
        shutil.copytree(path / parts.FOLDER, "old")
        words = ("forget", "--ids", "d00003", "--model", "m2", "--quiet")
        assert run(*words).code == 0
        left = snapshot(path)
        shutil.copytree("old", path / parts.FOLDER, dirs_exist_ok=True)
        assert snapshot(path) != left
        ended = run(*words)
        assert ended.err == "resmem: no row with the id 'd00003' is remembered; check the ids, the rows or --where\n"
        assert ended.code == ExitCode.DATA
        assert snapshot(path) == left

    def test_rows_that_have_a_value_are_forgotten(self, run, fit) -> None:
        fit("m2", "train.csv", base=("--drop", "id"))
        n_ideal = sum(row["cut"] == "Ideal" for row in rows_of("train.csv"))
        ended = run("forget", "train.csv", "--where", "cut=Ideal", "--model", "m2", "--json")
        found = json.loads(ended.out)
        assert (found["removed"], found["rows"]) == (n_ideal, 240 - n_ideal)
        again = run("forget", "train.csv", "--where", "cut=Ideal", "--model", "m2")
        assert again.code == 3
        assert "none of these rows is remembered; check the ids, the rows or --where" in again.err

    def test_predictions_are_those_of_a_memory_that_never_had_the_rows(self, run, fit, predictions) -> None:
        rows = rows_of("train.csv")
        fit("never", write("part.csv", rows[:200]), "--representation", "model")
        fit("forgetful", "train.csv", "--representation", "model")
        many = ",".join(row["id"] for row in rows[200:])  # longer than any file's name
        assert run("forget", "--ids", many, "--model", "forgetful", "--threads", 1).code == 0
        np.testing.assert_allclose(predictions("forgetful"), predictions("never"), rtol=1e-12)

    def test_an_equal_row_that_stays_keeps_its_hash(self, run, fit) -> None:
        rows = rows_of("train.csv")
        twin = write("twin.csv", [*rows, rows[0] | {"id": "twin"}])
        fit("m2", twin)
        hashes = reading.seen_hashes(Path("m2"), with_memory=True)
        assert json.loads(run("forget", "--ids", "twin", "--model", "m2", "--json").out)["n_trained"] == 0
        np.testing.assert_array_equal(reading.seen_hashes(Path("m2"), with_memory=True), hashes)

    def test_ids_that_are_not_remembered_are_told(self, run, fit) -> None:
        fit("m2", "train.csv")
        name = rows_of("train.csv")[0]["id"]
        ended = run("forget", "--ids", f"{name},x,y", "--model", "m2")
        assert "note: no row has the id 'x', 'y'" in ended.err
        assert "forgot 1 row: 239 left" in ended.err

    @pytest.mark.parametrize(
        ("words", "code", "sentence"),
        [
            (("--ids", "x,y"), 3, "no row with the id 'x', 'y' is remembered; check the ids, the rows or --where"),
            (("--ids", "missing.txt"), 3, "no row with the id 'missing.txt' is remembered"),
            (("--ids", "latin.txt"), 3, "'latin.txt', line 2 is not UTF-8 text; write the ids as UTF-8"),
            ((), 2, "give either --ids or INPUT"),
            (("train.csv", "--ids", "x"), 2, "give either --ids or INPUT"),
            (("train.csv",), 2, "this would forget every remembered row; run fit-residual with other rows"),
            (("train.csv", "--where", "cut"), 2, "'cut' is not COLUMN=VALUE"),
            (("train.csv", "--where", "=E"), 2, "'=E' is not COLUMN=VALUE"),
            (("train.csv", "--where", "cut=No"), 3, "none of the 240 rows has cut = 'No'; check --where"),
            (("train.csv", "--where", "cut=Good", "--where", "cut=Fair"), 3, "has cut = 'Good' and cut = 'Fair'"),
            (("nameless.csv",), 3, "none of the 5 rows has an id 'id'; give rows with ids"),
            (("train.csv", "--where", "colour=E"), 3, "lacks the column 'colour'"),
            (("--ids", "x", "--where", "cut=Ideal"), 2, "it needs INPUT, because the memory does not store columns"),
            (("--ids", ","), 2, "names no id"),
        ],
    )
    def test_what_cannot_be_forgotten_is_said_and_changes_nothing(self, run, fit, words, code, sentence) -> None:
        fit("m2", "train.csv")
        Path("latin.txt").write_bytes("d00001\nk\u00e4se\n".encode("latin-1"))
        write("nameless.csv", [row | {"id": ""} for row in rows_of("train.csv")[:5]])
        before = snapshot(Path("m2"))
        ended = run("forget", *words, "--model", "m2")
        assert (ended.code, ended.out) == (code, "")
        assert sentence in ended.err
        assert snapshot(Path("m2")) == before

    def test_rows_are_found_by_their_ids_whatever_else_is_in_them(self, run, fit) -> None:
        rows = rows_of("train.csv")
        twins = [*rows, rows[0] | {"id": "twin"}]
        fit("m2", write("twins.csv", twins))
        other = write("other.csv", [rows[0] | {"price": "1"}, rows[1], rows[1] | {"id": "unknown"}])
        ended = run("forget", other, "--model", "m2")
        assert "forgot 2 rows: 239 left" in ended.err
        assert "note: no row has the id 'unknown'" in ended.err
        ids = reading.load_for_change(Path("m2"))[1].ids
        assert set(ids) == {row["id"] for row in twins[2:]}

    def test_ids_are_read_from_a_pipe_and_with_a_mark_of_the_byte_order(self, run, fit) -> None:
        fit("m2", "train.csv")
        first, second = (row["id"] for row in rows_of("train.csv")[:2])
        Path("ids.txt").write_bytes(b"\xef\xbb\xbf" + f"{first}\r\n{second}\r\n".encode())
        assert "forgot 2 rows: 238 left" in run("forget", "--ids", "ids.txt", "--model", "m2").err

    def test_whole_numbers_are_one_id_with_and_without_a_point(self, run, fit) -> None:
        numbered = [row | {"id": str(i)} for i, row in enumerate(rows_of("train.csv"))]
        fit("m2", write("numbered.csv", numbered))
        pointed = write("pointed.csv", [row | {"id": f"{i}.0"} for i, row in enumerate(numbered[:5])])
        assert json.loads(run("remember", pointed, "--model", "m2", "--json").out)["rows"] == 240
        assert json.loads(run("forget", "--ids", "3,4.0,17.0", "--model", "m2", "--json").out)["removed"] == 3

    def test_forgotten_rows_that_trained_the_base_are_never_taken_for_new(self, run, fit) -> None:
        fit("m2", "train.csv")
        ideal = write("ideal.csv", [row for row in rows_of("train.csv") if row["cut"] == "Ideal"])
        run("forget", ideal, "--model", "m2")
        found = json.loads(run("evaluate", ideal, "--model", "m2", "--json").out)
        assert found["forgotten_rows"] == len(rows_of(ideal))
        assert "the gain is more than chance" not in found["verdict"]
        words = ("--effort", "quick", "--memories", 1, "--json", "--quiet")
        assert json.loads(run("fit-residual", ideal, "--model", "m2", *words).out)["measured"]["refitted"] is True

    @pytest.mark.parametrize("estimator", ["boosting", "mlp", "linear"])
    def test_every_base_can_forget_in_its_own_representation(self, run, fit, estimator) -> None:
        fit("m2", "train.csv", "--representation", "model", base=("--id", "id", "--estimator", estimator))
        assert run("forget", "--ids", rows_of("train.csv")[0]["id"], "--model", "m2").code == 0
        assert run("verify", "--model", "m2").code == 0

    def test_a_condensed_memory_is_what_it_was_after_remembering_and_forgetting(self, run, fit, predictions) -> None:
        fit("m2", "train.csv", "--max-cells", 60)
        before = predictions("m2")
        run("remember", "test.csv", "--model", "m2", "--threads", 1)
        run("forget", "test.csv", "--model", "m2", "--threads", 1)
        np.testing.assert_allclose(predictions("m2"), before, rtol=1e-9)

    def test_rows_without_ids_cannot_be_named(self, run, fit) -> None:
        fit("m2", "train.csv", base=("--drop", "id"))
        ended = run("forget", "--ids", "d00001", "--model", "m2")
        assert ended.code == 2
        assert "the rows of 'm2' have no ids; give the rows as INPUT" in ended.err

    def test_between_the_two_steps_readers_find_a_whole_model(self, run, fit, monkeypatch) -> None:
        """The base forgets first: should the writer die then, the memory still belongs to it, and all can be redone."""
        from resmem_cli.store import writing

        fit("m2", "train.csv")
        names = ",".join(row["id"] for row in rows_of("train.csv")[:3])
        replace_every = writing.replace_every

        def die(*arguments: object) -> str:
            raise KeyboardInterrupt

        monkeypatch.setattr(writing, "replace_every", die)
        assert run("forget", "--ids", names, "--model", "m2").code == 130
        assert run("verify", "--model", "m2").code == 0
        assert run("predict", "test.csv", "--model", "m2", "--quiet").code == 0
        assert "memory: 240 rows" in run("inspect", "--model", "m2").out
        monkeypatch.setattr(writing, "replace_every", replace_every)
        assert run("forget", "--ids", names, "--model", "m2").code == 0
        assert run("verify", "--model", "m2").code == 0
