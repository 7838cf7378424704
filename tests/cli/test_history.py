"""`resmem history` and `resmem undo`: every change of a memory is listed, and those that are kept can be taken back."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from resmem_cli.cli.main import ExitCode
from resmem_cli.errors import OutputError
from resmem_cli.store import history, manifest, parts, reading, verifying
from resmem_cli.workflow.history import undo
from tests.cli.conftest import Run, snapshot
from tests.cli.test_change import rows_of, write

Model = Callable[..., Path]
SETTINGS = ("--folds", 0, "--neighbors", 6, "--bandwidth", 0.3, "--shrinkage", 1, "--temperature", 1)
STORED = Path(__file__).parents[1] / "store"


def entries(run: Run, path: Path) -> list[dict[str, object]]:
    return json.loads(run("history", "--model", path, "--json").out)


def memory(path: Path) -> dict[str, object]:
    """What memory.json says of the present generation."""
    content = json.loads((path / manifest.MEMORY).read_text())
    return {name: value for name, value in content.items() if name not in ("history", "earlier")}


def generations(path: Path) -> set[str]:
    return {folder.name for folder in (path / parts.FOLDER).iterdir()}


def fit_again(run: Run, path: Path, rows: str = "train.csv", *words: object, space: str = "model") -> None:
    words = (*SETTINGS, "--representation", space, "--model", path, "--quiet", *words)
    assert run("fit-residual", rows, *words).code == 0


class TestUndo:
    def test_what_was_remembered_is_taken_back_to_the_byte(self, run: Run, model: Model) -> None:
        path = model()
        before, base = memory(path), (path / manifest.BASE).read_bytes()
        files = snapshot(path / parts.FOLDER)
        assert run("remember", "test.csv", "--model", path, "--quiet").code == 0
        assert memory(path)["rows"] == 320
        ended = run("undo", "--model", path)
        assert (ended.code, ended.out) == (0, "")
        made = str(before["made"]).replace("T", " ").removesuffix("Z")
        assert ended.err == (
            f"back to the memory of {made} UTC (fit-residual): 80 rows removed, 0 added, 240 now -> m/memory.json\n"
        )
        assert memory(path) == before
        assert (path / manifest.BASE).read_bytes() == base
        assert snapshot(path / parts.FOLDER) == files
        assert run("verify", "--model", path).code == 0

    def test_a_replaced_row_comes_back(self, run: Run, model: Model) -> None:
        path = model()
        changed = write("c.csv", [row | {"price": "500"} for row in rows_of("train.csv")[:20]])
        predict = ("predict", "train.csv", "--model", path, "--keep", "none", "--quiet")
        before = run(*predict).out
        assert run("remember", changed, "--model", path, "--quiet").code == 0
        assert run(*predict).out != before
        found = json.loads(run("undo", "--model", path, "--json", "--quiet").out)
        assert (found["rows"], found["added"], found["removed"]) == (240, 20, 20)
        assert (found["command"], found["back_to"], found["kept"]) == ("fit-residual", 1, 0)
        assert run(*predict).out == before

    def test_another_memory_of_the_same_bases_is_taken_back(self, run: Run, model: Model) -> None:
        path = model()
        before = memory(path)
        fit_again(run, path, write("part.csv", rows_of("train.csv")[:200]))
        assert memory(path)["rows"] == 200
        found = json.loads(run("undo", "--model", path, "--json").out)
        assert (found["rows"], found["added"], found["removed"]) == (240, 40, 0)
        assert memory(path) == before

    def test_by_default_one_step_is_kept(self, run: Run, model: Model, fails) -> None:
        path = model()
        for split in ("train", "test"):
            run("remember", f"{split}.csv", "--model", path, "--quiet")
        assert len(generations(path)) == 3
        assert run("undo", "--model", path).code == 0
        assert len(generations(path)) == 2
        fails(
            ExitCode.USAGE,
            f"no earlier memory of '{path}' is kept, so there is nothing to go back to; --keep of remember and "
            f"fit-residual says how many are; resmem history --model {path} lists them",
            *("undo", "--model", path),
        )

    def test_as_many_are_kept_as_keep_says(self, run: Run, model: Model) -> None:
        path = model()
        rows = rows_of("test.csv")
        states = [memory(path)]
        for i in range(4):
            part = write(f"{i}.csv", rows[20 * i : 20 * i + 20])
            assert run("remember", part, "--model", path, "--keep", 3, "--quiet").code == 0
            states.append(memory(path))
        for state in (states[3], states[2], states[1]):
            assert run("undo", "--model", path, "--quiet").code == 0
            assert memory(path) == state
            assert run("verify", "--model", path).code == 0
        assert run("undo", "--model", path).code == ExitCode.USAGE

    def test_fewer_are_kept_from_now_on_if_keep_says_so(self, run: Run, model: Model) -> None:
        path, rows = model(), rows_of("test.csv")
        for i, (keep, n_folders) in enumerate([(2, 3), (2, 4), (1, 3), (0, 2)]):
            run("remember", write("some.csv", rows[20 * i : 20 * i + 20]), "--model", path, "--keep", keep, "--quiet")
            assert len(generations(path)) == n_folders
        assert run("undo", "--model", path).code == ExitCode.USAGE

    def test_the_same_memory_again_is_no_step(self, run: Run, model: Model) -> None:
        path = model()
        run("remember", "test.csv", "--model", path, "--quiet")
        kept = memory(path)
        run("undo", "--model", path, "--quiet")
        first = memory(path)
        fit_again(run, path, space="features")
        assert memory(path)["id"] == first["id"] != kept["id"]
        assert run("undo", "--model", path).code == ExitCode.USAGE

    def test_a_new_base_leaves_nothing_to_go_back_to(self, run: Run, model: Model) -> None:
        path = model()
        run("remember", "test.csv", "--model", path, "--quiet")
        made = (path / manifest.MEMORY).stat().st_mtime_ns
        words = ("--target", "price", "--id", "id", "--estimator", "constant", "--model", path, "--quiet")
        assert run("fit-base", "train.csv", *words).code == 0
        assert (path / manifest.MEMORY).stat().st_mtime_ns == made  # or make would take the memory for a new one
        assert len(generations(path)) == 2
        ended = run("undo", "--model", path)
        assert (ended.code, "no earlier memory of 'm' is kept" in ended.err) == (ExitCode.USAGE, True)
        assert "memory: stale" in run("inspect", "--model", path).out
        fit_again(run, path, space="features")
        assert run("undo", "--model", path).code == ExitCode.USAGE
        assert [entry["command"] for entry in entries(run, path)] == ["fit-residual", "remember", "fit-residual"]

    def test_a_memory_that_is_damaged_is_replaced_and_not_kept(self, run: Run, model: Model) -> None:
        path = model()
        file = path / parts.FOLDER / str(memory(path)["id"]) / "arrays.npz"
        file.write_bytes(file.read_bytes()[:-5])
        fit_again(run, path)
        assert run("verify", "--model", path).code == 0
        assert run("undo", "--model", path).code == ExitCode.USAGE

    def test_a_kept_memory_that_is_damaged_is_not_brought_back(self, run: Run, model: Model, fails) -> None:
        path = model()
        kept = str(memory(path)["id"])
        run("remember", "test.csv", "--model", path, "--quiet")
        file = path / parts.FOLDER / kept / "arrays.npz"
        file.write_bytes(file.read_bytes()[:-1])
        sentence = (
            f"an earlier memory of '{path}' that is kept for undo cannot be used: {file} has another size than its "
            "manifest says; remember or fit-residual with --keep 0 drops it"
        )
        fails(ExitCode.MODEL, sentence, "undo", "--model", path)
        fails(ExitCode.MODEL, sentence, "verify", "--model", path)
        assert run("predict", "test.csv", "--model", path, "--quiet").code == 0

    def test_undo_goes_back_beyond_a_kept_memory_that_is_damaged(self, run: Run, model: Model) -> None:
        path = model()
        first = memory(path)
        for part in (rows_of("test.csv")[:40], rows_of("test.csv")[40:]):
            assert run("remember", write("part.csv", part), "--keep", 2, "--model", path, "--quiet").code == 0
        kept = json.loads((path / manifest.MEMORY).read_text())["earlier"][0]["id"]
        file = path / parts.FOLDER / kept / "arrays.npz"
        file.write_bytes(file.read_bytes()[:-1])
        assert run("undo", "--model", path, "--quiet").code == 0
        assert memory(path) == first
        assert run("verify", "--model", path).code == 0

    def test_a_damaged_present_memory_leaves_the_earlier_ones(self, run: Run, model: Model) -> None:
        path = model()
        first = memory(path)
        run("remember", "test.csv", "--model", path, "--quiet")
        file = path / parts.FOLDER / str(memory(path)["id"]) / "arrays.npz"
        file.write_bytes(file.read_bytes()[:-1])
        fit_again(run, path, write("part.csv", rows_of("train.csv")[:200]))
        assert run("undo", "--model", path, "--quiet").code == 0
        assert memory(path) == first

    def test_a_kept_change_that_has_left_the_history_is_told_without_its_command(self, run: Run, model: Model) -> None:
        path = model()
        run("remember", "test.csv", "--model", path, "--quiet")
        content = json.loads((path / manifest.MEMORY).read_text())
        content["history"] = content["history"][1:]
        (path / manifest.MEMORY).write_text(json.dumps(content))
        made = str(content["earlier"][0]["made"]).replace("T", " ").removesuffix("Z")
        assert run("undo", "--model", path).err.startswith(f"back to the memory of {made} UTC: 80 rows removed")

    def test_rows_that_only_the_memory_before_has_are_said_to_be_kept(self, run: Run, model: Model) -> None:
        path = model()
        note = (
            "note: the memory before has rows that are in this one no more; it is kept for resmem undo (--keep 0 keeps "
            "none)"
        )
        assert note not in run("remember", "test.csv", "--model", path).lines
        assert note in run("remember", "test.csv", "--model", path).lines  # in place of rows with the same ids
        fit = ("fit-residual", "train.csv", *SETTINGS, "--representation", "model", "--model", path)
        assert note in run(*fit).lines
        assert note not in run(*fit).lines
        run("remember", "test.csv", "--model", path)
        assert note not in run(*fit, "--keep", 0).lines
        run("remember", "test.csv", "--model", path)
        assert run(*fit, "--quiet").err == ""

    def test_a_time_that_cannot_be_written_is_told_at_the_start(self, run: Run, model: Model, fails, monkeypatch):
        path = model()
        monkeypatch.setenv("SOURCE_DATE_EPOCH", "9" * 18)
        fails(
            ExitCode.USAGE,
            f"SOURCE_DATE_EPOCH is {'9' * 18}, which is after the year 9999; give seconds since 1970, or unset it",
            *("remember", "nothing.csv", "--model", path),
        )

    @pytest.mark.parametrize("damage", ["no earlier", "no base", "was"])
    def test_the_base_of_a_damaged_model_can_be_fitted_again(self, run: Run, model: Model, damage: str) -> None:
        path = model()
        run("remember", "test.csv", "--model", path, "--quiet")
        name = manifest.BASE if damage == "was" else manifest.MEMORY
        content = json.loads((path / name).read_text())
        if damage == "no earlier":
            del content["earlier"]
        elif damage == "no base":
            del content["earlier"][0]["base"]
        else:
            content["was"] = 5
        (path / name).write_text(json.dumps(content))
        words = ("--target", "price", "--id", "id", "--estimator", "linear", "--model", path, "--quiet")
        assert run("fit-base", "train.csv", *words).code == 0
        fit_again(run, path, space="features")
        assert run("verify", "--model", path).code == 0

    def test_a_present_memory_that_is_damaged_can_be_left(self, run: Run, model: Model) -> None:
        path = model()
        before = memory(path)
        run("remember", "test.csv", "--model", path, "--quiet")
        for file in (path / parts.FOLDER / str(memory(path)["id"])).iterdir():
            file.unlink()
            file.write_bytes(b"damaged")
        assert run("predict", "test.csv", "--model", path, "--quiet").code == ExitCode.MODEL
        assert run("undo", "--model", path, "--quiet").code == 0
        assert memory(path) == before
        assert run("verify", "--model", path).code == 0

    def test_a_model_without_memory_says_so(self, run: Run, model: Model) -> None:
        path = model()
        (path / manifest.MEMORY).unlink()
        for command in ("undo", "history"):
            ended = run(command, "--model", path)
            assert (ended.code, ended.out) == (ExitCode.MODEL, "")
            assert "has no memory yet; run: resmem fit-residual" in ended.err

    def test_a_directory_that_cannot_be_written_stays(self, run: Run, model: Model, monkeypatch) -> None:
        path = model()
        run("remember", "test.csv", "--model", path, "--quiet")
        before = snapshot(path)

        def refused(*_: object, **__: object) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(manifest, "write", refused)
        ended = run("undo", "--model", path)
        assert ended.code == ExitCode.UNEXPECTED
        assert "the model directory 'm' cannot be written (Permission denied)" in ended.err
        assert snapshot(path) == before


class TestOnDisk:
    def test_kept_memories_share_equal_files(self, run: Run, model: Model) -> None:
        path = model()
        first = str(memory(path)["id"])
        run("remember", "test.csv", "--model", path, "--quiet")
        names = [path / parts.FOLDER / each for each in (first, str(memory(path)["id"]))]
        shared = {file.name for file in names[0].iterdir() if file.samefile(names[1] / file.name)}
        assert shared == {"representation.npz"}
        files = [file for file in (path / parts.FOLDER).rglob("*") if file.is_file()]
        on_disk = sum({file.stat().st_ino: file.stat().st_size for file in files}.values())
        assert on_disk == sum(file.stat().st_size for file in files) - (names[0] / "representation.npz").stat().st_size

    def test_a_file_system_without_links_holds_copies(self, run: Run, model: Model, monkeypatch) -> None:
        def refused(*_: object, **__: object) -> None:
            raise OSError(95, "Operation not supported")

        monkeypatch.setattr(parts.os, "link", refused)
        path = model()
        before = memory(path)
        run("remember", "test.csv", "--model", path, "--quiet")
        files = [file for file in (path / parts.FOLDER).rglob("*") if file.is_file()]
        assert len({file.stat().st_ino for file in files}) == len(files)
        assert run("verify", "--model", path).code == 0
        run("undo", "--model", path, "--quiet")
        assert memory(path) == before

    def test_a_file_that_is_a_link_is_not_linked_again(self, run: Run, model: Model) -> None:
        path = model()
        file = path / parts.FOLDER / str(memory(path)["id"]) / "representation.npz"
        file.rename("elsewhere.npz")
        file.symlink_to(Path("elsewhere.npz").absolute())
        parts.link(file, Path("copy.npz"))
        assert not Path("copy.npz").is_symlink()
        assert Path("copy.npz").read_bytes() == Path("elsewhere.npz").read_bytes()

    def test_a_damaged_file_is_not_shared(self, run: Run, model: Model) -> None:
        path = model()
        file = path / parts.FOLDER / str(memory(path)["id"]) / "representation.npz"
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
        fit_again(run, path, write("part.csv", rows_of("train.csv")[:200]), space="features")
        assert run("verify", "--model", path).code == 0

    def test_verify_and_inspect_know_the_kept_ones(self, run: Run, model: Model) -> None:
        path = model()
        before = memory(path)
        run("remember", "test.csv", "--model", path, "--quiet")
        said = run("verify", "--model", path).err
        assert re.fullmatch(r"base and memory are sound: 8 files, [\d.]+ MiB, with 1 earlier one kept for undo\n", said)
        assert json.loads(run("verify", "--model", path, "--json").out)["n_kept"] == 1
        found = json.loads(run("inspect", "--model", path, "--json").out)
        (kept,) = found["memory"]["kept"]
        assert (kept["rows"], kept["made"]) == (240, before["made"])
        files = [file for file in (path / parts.FOLDER).rglob("*") if file.is_file()]
        assert found["bytes"] == sum(file.stat().st_size for file in files)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", found["made"])
        lines = run("inspect", "--model", path).out.splitlines()
        when = r"made \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC"
        assert re.search(rf"fitted on 240 rows, {when}$", lines[1])
        assert re.fullmatch(rf"memory: 320 rows, {when}", lines[2])
        assert re.fullmatch(rf"  kept for undo: 240 rows, {when}", lines[3])

    def test_a_folder_that_no_manifest_names_is_told_and_swept(self, run: Run, model: Model) -> None:
        path = model()
        left = path / parts.FOLDER / ("0" * 16)
        left.mkdir()
        for name in (".DS_Store", "rows.npz"):
            (left / name).write_text("left")
        assert json.loads(run("verify", "--model", path, "--json").out)["leftovers"] == [left.name]
        run("remember", "test.csv", "--model", path, "--quiet")
        assert [file.name for file in left.iterdir()] == [".DS_Store"]
        assert json.loads(run("verify", "--model", path, "--json").out)["leftovers"] == []

    def test_a_manifest_that_could_not_be_read_is_not_written(self, run: Run, model: Model, monkeypatch) -> None:
        path = model() / manifest.MEMORY
        before = path.read_bytes()
        monkeypatch.setattr(manifest, "MOST_BYTES", 1_000)
        with pytest.raises(OutputError, match=r"'m/memory\.json' would be larger than 0 MiB; keep fewer memories"):
            manifest.write(path, json.loads(before))
        assert path.read_bytes() == before

    def test_a_writer_beside_verify_is_no_damage(self, run: Run, model: Model, monkeypatch) -> None:
        path = model()
        run("remember", "test.csv", "--model", path, "--quiet")
        check, calls = verifying._check_memory, []

        def undone_meanwhile(*words: object) -> None:
            calls.append(words)
            if len(calls) == 1:
                undo(path)
            check(*words)

        monkeypatch.setattr(verifying, "_check_memory", undone_meanwhile)
        assert verifying.verify(path).n_kept == 0


class TestHistory:
    def test_every_change_is_listed_with_its_rows_and_what_was_measured(self, run: Run, model: Model) -> None:
        path = model("both")
        found = json.loads(run("remember", "test.csv", "--model", path, "--json").out)["measured"]
        run("forget", "--ids", "d00003", "--model", path, "--quiet")
        again = write("again.csv", rows_of("train.csv")[2:3])
        run("remember", again, "--model", path, "--quiet")
        run("undo", "--model", path, "--quiet")
        listed = entries(run, path)
        assert [entry["number"] for entry in listed] == [1, 2, 3, 4, 5]
        assert [entry["command"] for entry in listed] == ["fit-residual", "remember", "forget", "remember", "undo"]
        changes = [(entry["added"], entry["removed"], entry["rows"]) for entry in listed]
        assert changes == [(240, 0, 240), (80, 0, 320), (0, 1, 319), (1, 0, 320), (0, 1, 319)]
        assert [entry["state"] for entry in listed] == ["gone", "gone", "gone", "gone", "present"]
        times = [str(entry["made"]) for entry in listed]
        assert times == sorted(times)
        assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", each) for each in times)
        assert found["rows"] == 80

    def test_what_was_measured_is_kept(self, run: Run, model: Model) -> None:
        path = model("both")
        folds = json.loads(run("inspect", "--model", path, "--json").out)["memory"]["measured"]
        found = json.loads(run("remember", "test.csv", "--model", path, "--json").out)["measured"]
        first, second = entries(run, path)
        names = ("metric", "base", "resmem", "gain_percent", "rows")
        assert first["measured"] == {name: folds[name] for name in names}
        shares = ("unusual_residuals", "unusual_distances")
        counts = {"missing_values": 0, "unknown_categories": 0}
        assert second["measured"] == {name: found[name] for name in (*names, *shares)} | counts
        assert (first["state"], second["state"]) == ("kept", "present")
        lines = run("history", "--model", path).out.splitlines()
        assert lines[0].split() == [
            *("made", "(UTC)", "command", "added", "removed", "rows", "metric", "base", "memory", "unusual", "state")
        ]
        assert lines[2].split()[2:6] == ["fit-residual", "240", "0", "240"]
        assert lines[2].endswith("kept")
        assert lines[3].endswith("present")

    def test_of_a_few_rows_nothing_that_was_measured_is_kept(self, run: Run, model: Model) -> None:
        """The metric of one row is its residual."""
        path = model()
        rows = rows_of("test.csv")
        for start, n in ((0, history.LEAST_MEASURED - 1), (20, history.LEAST_MEASURED)):
            words = ("remember", write("few.csv", rows[start : start + n]), "--model", path, "--json")
            assert json.loads(run(*words).out)["measured"]["rows"] == n
        measured = [entry["measured"] for entry in entries(run, path) if entry["command"] == "remember"]
        assert [each is None for each in measured] == [True, False]

    def test_only_the_last_thousand_are_kept(self) -> None:
        listed: list[dict[str, object]] = []
        for i in range(1_003):
            change = history.Change(history.REMEMBER, 1, 0)
            listed = history.extended(listed, change, made="2026-01-01T00:00:00Z", n_rows=i)
        assert [entry["number"] for entry in (listed[0], listed[-1])] == [4, 1_003]

    @pytest.mark.parametrize("name", ["format_2/regression", "format_5/regression"])
    def test_the_memory_of_an_older_resmem_is_where_it_begins(self, run: Run, tmp_path: Path, name: str) -> None:
        folder = Path(shutil.copytree(STORED / name, tmp_path / "old"))
        path = folder / "model"
        before = snapshot(path)
        (first,) = entries(run, path)
        n_rows = first["rows"]
        assert (first["number"], first["made"], first["command"], first["added"]) == (1, None, None, n_rows)
        assert run("history", "--model", path).out.splitlines()[2].startswith("-            (unknown)")
        assert run("undo", "--model", path).code == ExitCode.USAGE
        assert snapshot(path) == before
        predict = ("predict", folder / "new.csv", "--model", path, "--quiet")
        predicted = run(*predict).out
        assert run("remember", folder / "train.csv", "--model", path, "--quiet").code == 0
        assert [entry["command"] for entry in entries(run, path)] == [None, "remember"]
        ended = run("undo", "--model", path)
        assert ended.err.startswith("back to the memory before: ")
        assert run(*predict).out == predicted
        assert memory(path)["made"] is None
        assert run("verify", "--model", path).code == 0

    def test_a_memory_of_format_1_is_not_kept_because_nothing_could_be_forgotten_in_it(
        self, run: Run, tmp_path
    ) -> None:
        folder = Path(shutil.copytree(STORED / "format_1/regression", tmp_path / "old"))
        path = folder / "model"
        assert [entry["command"] for entry in entries(run, path)] == [None]
        labelled = [row | {"y": row["a"]} for row in rows_of(str(folder / "new.csv"))]
        fit_again(run, path, write("labelled.csv", labelled), space="features")
        assert [entry["command"] for entry in entries(run, path)] == [None, "fit-residual"]
        assert run("undo", "--model", path).code == ExitCode.USAGE
        assert len(generations(path)) == 2

    def test_rows_that_came_and_went_are_counted_by_what_is_in_them(self) -> None:
        before, after = (np.array(values, dtype=np.uint64) for values in ([1, 1, 2, 3], [1, 3, 3, 4]))
        assert history.difference(before, after) == (2, 2)
        assert history.difference(None, after) == (4, 0)
        assert history.difference(after, after) == (0, 0)


def test_what_reads_the_rows_again_knows_the_present_ones_alone(run: Run, model: Model) -> None:
    path = model()
    run("remember", "test.csv", "--model", path, "--quiet")
    run("undo", "--model", path, "--quiet")
    assert len(reading.seen_hashes(path, with_memory=True)) == 240
    assert json.loads(run("evaluate", "test.csv", "--model", path, "--json").out)["seen_rows"] == 0
