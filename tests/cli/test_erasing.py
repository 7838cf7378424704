"""`resmem forget` leaves no trace: of what a row was before it was replaced, of a category that only it had, of its
score where it was held out, and of the generation that knew it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from resmem_cli.store import manifest, parts, reading
from tests.cli.conftest import Run, snapshot
from tests.cli.test_change import SETTINGS, rows_of, write

FOLDS = ("--folds", 5, "--neighbors", 6, "--bandwidth", 0.4, "--shrinkage", 0.8, "--temperature", 1)
GONE = ("d00003", "d00011", "d00240")


@pytest.fixture
def fitted(run: Run, model: Callable[..., Path]) -> Callable[..., Path]:
    """Fit a base and a memory to a file."""
    model()

    def fit(name: str, trained: str, *words: object, memorised: str | None = None, estimator: str = "linear") -> Path:
        own = ("--target", "price", "--id", "id", "--estimator", estimator)
        assert run("fit-base", trained, *own, "--model", name, "--quiet", "--threads", 1).code == 0
        words = (*(words or SETTINGS), "--representation", "features")
        assert run("fit-residual", memorised or trained, "--model", name, *words, "--quiet", "--threads", 1).code == 0
        return Path(name)

    return fit


def arrays(model: Path, which: str, name: str) -> Mapping[str, Any]:
    content = json.loads((model / which).read_text())
    return parts.load_arrays(model / parts.FOLDER / content["id"] / name)


def mentions(model: Path, text: str | bytes) -> list[str]:
    """The files of a model in which some bytes are found."""
    data = text.encode() if isinstance(text, str) else text
    return [name for name, content in snapshot(model).items() if data in content or data in name.encode()]


def categories(model: Path, column: str) -> list[str]:
    columns = json.loads((model / manifest.BASE).read_text())["schema"]["columns"]
    return next(each["categories"] for each in columns if each["name"] == column)


def hash_of(model: Path, which: str, name: str) -> bytes:
    stored = reading.load_for_change(model)[1] if which == manifest.MEMORY else reading.trained_rows(model)
    return stored.hashes[list(stored.ids).index(name)].tobytes()


@pytest.mark.parametrize("is_fitted_again", [False, True])
def test_no_version_of_a_replaced_row_is_left(run: Run, fitted: Callable[..., Path], is_fitted_again: bool) -> None:
    rows = rows_of("train.csv")
    model = fitted("m2", "train.csv")
    first = hash_of(model, manifest.BASE, GONE[0])
    hashes = [first]
    for price in ("9", "11"):
        changed = [row | {"price": price} if row["id"] == GONE[0] else row for row in rows]
        again = write("again.csv", changed if is_fitted_again else [row for row in changed if row["id"] == GONE[0]])
        words = ("fit-residual", again, *SETTINGS, "--representation", "features")
        run(*(words if is_fitted_again else ("remember", again)), "--model", model, "--quiet", "--threads", 1)
        hashes.append(hash_of(model, manifest.MEMORY, GONE[0]))
    assert len(set(hashes)) == 3
    assert mentions(model, first)
    ended = run("forget", "--ids", GONE[0], "--model", model, "--threads", 1)
    assert "forgot 1 row: 239 left" in ended.err
    assert "note: the base was trained on 1 forgotten row and still knows it; to remove that" in ended.err
    for each in hashes:
        assert not mentions(model, each)
    assert not mentions(model, GONE[0])
    assert len(reading.trained_rows(model).hashes) == 239
    assert run("verify", "--model", model).code == 0


def test_a_row_that_trained_the_base_and_is_not_remembered_is_forgotten_too(
    run: Run, fitted: Callable[..., Path]
) -> None:
    model = fitted("m2", "train.csv", memorised=write("some.csv", rows_of("train.csv")[100:]))
    assert mentions(model, GONE[0])
    ended = run("forget", "--ids", f"{GONE[0]},nobody", "--model", model, "--json")
    found = json.loads(ended.out)
    assert (found["removed"], found["rows"], found["n_trained"], found["not_found"]) == (0, 140, 1, ["nobody"])
    assert ended.lines == [
        "note: no row has the id 'nobody'",
        f"forgot 1 training row of the base, not remembered: 140 left -> {model}/memory.json",
        "note: the base was trained on 1 forgotten row and still knows it; to remove that, run fit-base and "
        "fit-residual without it",
    ]
    assert not mentions(model, GONE[0])
    assert run("verify", "--model", model).code == 0
    assert run("forget", "--ids", GONE[0], "--model", model).code == 3


@pytest.mark.parametrize("estimator", ["linear", "boosting"])
def test_a_category_that_only_forgotten_rows_had_is_erased(
    run: Run, fitted: Callable[..., Path], estimator: str
) -> None:
    secret = [row | {"cut": "Secret"} if row["id"] in GONE else row for row in rows_of("train.csv") * 1]
    secret += [row | {"cut": "Secret", "id": f"s{i}"} for i, row in enumerate(rows_of("train.csv")[:30])]
    model = fitted("m2", write("secret.csv", secret), estimator=estimator)
    known = categories(model, "cut")
    at = known.index("Secret")
    words = ("predict", "test.csv", "--model", model, "--base-only", "--keep", "none", "--quiet")
    before = run(*words).out
    held_by = [row["id"] for row in secret if row["cut"] == "Secret"]
    run("forget", "--ids", ",".join(held_by[1:]), "--model", model, "--quiet")
    assert categories(model, "cut") == known  # one row has it still
    run("forget", "--ids", held_by[0], "--model", model, "--quiet")
    assert categories(model, "cut") == [*known[:at], "", *known[at + 1 :]]
    assert not mentions(model, "Secret")
    assert run(*words).out == before
    assert run("verify", "--model", model).code == 0
    asked = write("asked.csv", [row | {"cut": "Secret"} for row in rows_of("test.csv")[:7]])
    ended = run("predict", asked, "--model", model, "--keep", "none", "--output", "out.csv")
    assert ended.code == 0
    assert "unknown categories: cut 7" in ended.err
    empty = write("empty.csv", [row | {"cut": ""} for row in rows_of("test.csv")[:7]])
    assert "missing values: cut 7" in run("predict", empty, "--model", model, "--output", "out.csv").err
    assert run("remember", asked, "--model", model, "--quiet").code == 0
    assert run("verify", "--model", model).code == 0


@pytest.mark.parametrize("holder", ["trained", "remembered"])
def test_a_category_stays_while_any_row_has_it(run: Run, fitted: Callable[..., Path], holder: str) -> None:
    rows = [row | {"cut": "Secret"} if i < 30 else row for i, row in enumerate(rows_of("train.csv"))]
    model = fitted("m2", write("secret.csv", rows), memorised=write("memorised.csv", rows[1:]))
    other = rows[0]  # it trained the base, and is not remembered
    if holder == "remembered":
        other = rows[100] | {"id": "new", "cut": "Secret"}
        run("remember", write("one.csv", [other]), "--model", model, "--quiet")
        run("forget", "--ids", rows[0]["id"], "--model", model, "--quiet")
    run("forget", "--ids", ",".join(row["id"] for row in rows[1:30]), "--model", model, "--quiet")
    assert "Secret" in categories(model, "cut")
    run("forget", "--ids", other["id"], "--model", model, "--quiet")
    assert "Secret" not in categories(model, "cut")


def test_held_out_scores_of_forgotten_rows_are_dropped(run: Run, fitted: Callable[..., Path]) -> None:
    model = fitted("m2", "train.csv", *FOLDS)
    before, ids = reading.load_for_change(model)[0].resmem.calibration, [row["id"] for row in rows_of("train.csv")]
    assert sorted(before.rows.tolist()) == list(range(240))  # each was held out once
    assert (np.diff(before.scores) >= 0).all()
    of_gone = [before.scores[before.rows.tolist().index(ids.index(name))] for name in GONE]
    # What replaces a row keeps its place, and so goes with it.
    replaced = [row | {"price": "9"} for row in rows_of("train.csv") if row["id"] == GONE[0]]
    run("remember", write("one.csv", replaced), "--model", model, "--quiet", "--threads", 1)
    assert len(reading.load_for_change(model)[0].resmem.calibration.scores) == 240
    assert all(mentions(model, score.tobytes()) for score in of_gone)
    run("forget", "--ids", ",".join(GONE), "--model", model, "--quiet", "--threads", 1)
    stored, known = reading.load_for_change(model)
    after = stored.resmem.calibration
    assert (len(after.scores), after.n_rows) == (237, 237)
    np.testing.assert_array_equal(after.scores, np.sort([s for s in before.scores if s not in of_gone]))
    by_id = {ids[row]: score for row, score in zip(before.rows.tolist(), before.scores, strict=True)}
    for row, score in zip(after.rows.tolist(), after.scores, strict=True):
        assert by_id[known.ids[row]] == score
    assert not any(mentions(model, score.tobytes()) for score in of_gone)
    assert run("predict", "test.csv", "--model", model, "--interval", "0.9", "--output", "out.csv").code == 0
    assert run("verify", "--model", model).code == 0


def test_nothing_names_the_generation_that_knew_the_rows(run: Run, fitted: Callable[..., Path]) -> None:
    model = fitted("m2", "train.csv")
    before = [json.loads((model / name).read_text())["id"] for name in (manifest.BASE, manifest.MEMORY)]
    run("forget", "--ids", GONE[0], "--model", model, "--quiet", "--threads", 1)
    for identity in before:
        assert not mentions(model, identity)
    base = json.loads((model / manifest.BASE).read_text())
    assert "was" not in base
    assert base["id"] == json.loads((model / manifest.MEMORY).read_text())["base"]
    times = [(model / name).stat().st_mtime_ns for name in (manifest.BASE, manifest.MEMORY)]
    assert times[0] <= times[1]  # or make would fit the memory again, with the rows that are forgotten
    # The name of the new one follows from what is left: the same as of a base that never was of these rows' generation.
    other = fitted("m3", "train.csv")
    run("remember", write("one.csv", [rows_of("test.csv")[0]]), "--model", other, "--quiet", "--threads", 1)
    run("forget", "--ids", GONE[0], "--model", other, "--quiet", "--threads", 1)
    assert json.loads((other / manifest.BASE).read_text())["id"] == base["id"]


def test_a_writer_that_was_killed_between_the_two_steps_is_tidied_up_after(
    run: Run, fitted: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from resmem_cli.store import generations

    model = fitted("m2", "train.csv")
    identity = json.loads((model / manifest.BASE).read_text())["id"]

    drop_was = generations._drop_was

    def die(directory: Path) -> None:
        memory = json.loads((directory / manifest.MEMORY).read_text())
        if memory["base"] != identity:  # the new memory is there
            raise KeyboardInterrupt
        drop_was(directory)

    monkeypatch.setattr(generations, "_drop_was", die)
    assert run("forget", "--ids", GONE[0], "--model", model).code == 130
    monkeypatch.setattr(generations, "_drop_was", drop_was)
    assert mentions(model, identity)
    assert run("predict", "test.csv", "--model", model, "--quiet", "--output", "out.csv").code == 0
    # Whichever forget comes next, also one that finds no row any more.
    assert run("forget", "--ids", GONE[0], "--model", model, "--quiet").code == 3
    assert not mentions(model, identity)
    assert not mentions(model, GONE[0])
    assert run("verify", "--model", model).code == 0


# What undo could bring back

ORDERS = {
    "remembered": ("remember",),
    "remembered and undone": ("remember", "undo"),
    "remembered twice": ("remember", "again", "again"),
    "fitted twice": ("fit with", "fit without"),
    "fitted, undone and remembered": ("fit with", "undo", "remember"),
    "remembered and replaced by a new fit": ("remember", "fit without"),
}


@pytest.mark.parametrize("has_ids", [True, False])
@pytest.mark.parametrize("order", ORDERS)
def test_no_trace_is_left_in_what_undo_could_bring_back(
    run: Run, model: Callable[..., Path], order: str, has_ids: bool
) -> None:
    """Whatever happened before: no hash, id, residual or point of the row, in whichever generation it was."""
    model()
    train, (secret, *others) = rows_of("train.csv"), rows_of("test.csv")
    secret |= {"cut": "Secret", "id": "secret-id", "price": "12345"}
    own = ("--target", "price", "--estimator", "linear", *(("--id", "id") if has_ids else ("--drop", "id")))
    path = Path("m2")
    # "Secret" is a category that the base has learned of rows that are not remembered, and forgotten first.
    known = write("known.csv", [*train, *(row | {"cut": "Secret", "id": f"k{i}"} for i, row in enumerate(train[:5]))])
    assert run("fit-base", known, *own, "--model", path, "--quiet").code == 0
    files = {
        "remember": ("remember", write("some.csv", [*others[:20], secret])),
        "again": ("remember", write("again.csv", [secret | {"price": "12121"}, *others[20:25]])),
        "fit with": ("fit-residual", write("with.csv", [*train, secret])),
        "fit without": ("fit-residual", write("without.csv", train[:230])),
    }
    settings = (*SETTINGS, "--representation", "features")
    assert run("fit-residual", "train.csv", *settings, "--model", path, "--quiet").code == 0
    traces: set[bytes] = set()
    for step in ORDERS[order]:
        if step == "undo":
            assert run("undo", "--model", path, "--quiet").code == 0
            continue
        command, rows = files[step]
        words = settings if command == "fit-residual" else ("--force",)
        assert run(command, rows, *words, "--keep", 2, "--model", path, "--quiet").code == 0
        traces |= _traces(path, secret, has_ids)
    assert traces
    twin = write("twin.csv", [secret, secret | {"price": "12121"}])
    words = ("--ids", "secret-id") if has_ids else (twin,)
    ended = run("forget", *words, "--model", path)
    assert ended.code == 0 or "is remembered; check the ids" in ended.err
    if ended.code == 0 and order in ("fitted twice", "remembered twice"):
        assert "earlier memor" in ended.err
    while True:
        for trace in traces:
            assert not mentions(path, trace), trace
        assert run("verify", "--model", path).code == 0
        if run("undo", "--model", path, "--quiet").code != 0:
            return


def _traces(path: Path, row: Mapping[str, str], has_ids: bool) -> set[bytes]:
    """What a memory holds of the row with this id or, without ids, of the last row of this price."""
    stored, known = reading.load_for_change(path)
    contents = stored.resmem.members[0].memory.contents
    if has_ids:
        wanted = [i for i, name in enumerate(known.ids) if name == row["id"]]
    else:
        secret = np.flatnonzero(known.codes[:, 0] == 1 + _code(path, "Secret"))
        wanted = secret.tolist()
    points = stored.resmem.members[0].memory.index.points_at(contents.cells[wanted])
    traces = {known.hashes[i].tobytes() for i in wanted} | {contents.residuals[i].tobytes() for i in wanted}
    named = {row["id"].encode()} if has_ids and wanted else set()
    return traces | {point.tobytes() for point in points} | named


def _code(path: Path, category: str) -> int:
    return categories(path, "cut").index(category)


def test_a_category_that_only_an_earlier_memory_had_is_erased_with_its_rows(
    run: Run, fitted: Callable[..., Path]
) -> None:
    rows = [row | {"cut": "Secret"} if i < 5 else row for i, row in enumerate(rows_of("train.csv"))]
    model = fitted("m2", write("secret.csv", rows))
    words = (*SETTINGS, "--representation", "features", "--model", model, "--quiet")
    run("fit-residual", write("without.csv", rows[5:]), *words)
    held_by = [row["id"] for row in rows[:5]]
    run("forget", "--ids", held_by[0], "--model", model, "--quiet")
    assert "Secret" in categories(model, "cut")  # undo could bring rows back that have it
    ended = run("forget", "--ids", ",".join(held_by[1:]), "--model", model)
    assert ended.lines[0] == f"forgot 4 training rows of the base, not remembered: 235 left -> {model}/memory.json"
    assert "note: erased from 1 earlier memory that undo can bring back, too" in ended.lines
    assert not mentions(model, "Secret")
    assert run("undo", "--model", model, "--quiet").code == 0
    assert len(reading.load_for_change(model)[1].hashes) == 235
    assert run("verify", "--model", model).code == 0


def test_an_earlier_memory_of_which_nothing_would_be_left_is_dropped(run: Run, fitted: Callable[..., Path]) -> None:
    rows = rows_of("train.csv")
    model = fitted("m2", "train.csv", memorised=write("few.csv", rows[:10]))
    words = (*SETTINGS, "--representation", "features", "--model", model, "--quiet")
    run("fit-residual", write("others.csv", rows[5:100]), *words)
    names = ",".join(row["id"] for row in rows[:10])
    ended = run("forget", "--ids", names, "--model", model, "--json")
    found = json.loads(ended.out)
    assert (found["removed"], found["rows"], found["n_kept"], found["n_lost"]) == (5, 90, 0, 1)
    assert ended.lines[-1] == (
        "note: undo cannot bring 1 earlier memory back any more: nothing else was in them, they were damaged, or "
        "they are equal to another one now"
    )
    for row in rows[:10]:
        assert not mentions(model, row["id"])
    assert run("undo", "--model", model).code == 2
    assert run("verify", "--model", model).code == 0


def test_rows_that_only_an_earlier_memory_had_are_told_as_such(run: Run, fitted: Callable[..., Path]) -> None:
    model = fitted("m2", "train.csv", memorised=write("more.csv", rows_of("train.csv") + rows_of("test.csv")))
    run("fit-residual", "train.csv", *SETTINGS, "--representation", "features", "--model", model, "--quiet")
    name = rows_of("test.csv")[0]["id"]
    assert run("forget", "--ids", name, "--model", model).lines == [
        f"forgot rows that only an earlier memory had: 240 left -> {model}/memory.json",
        "note: erased from 1 earlier memory that undo can bring back, too",
    ]
    assert not mentions(model, name)
    assert run("undo", "--model", model).err.endswith("0 rows removed, 79 added, 319 now -> m2/memory.json\n")


def test_an_earlier_memory_that_is_damaged_does_not_keep_rows_from_being_forgotten(
    run: Run, fitted: Callable[..., Path]
) -> None:
    model = fitted("m2", "train.csv")
    identity = json.loads((model / manifest.MEMORY).read_text())["id"]
    run("remember", "test.csv", "--model", model, "--quiet")
    file = model / parts.FOLDER / identity / "arrays.npz"
    file.write_bytes(file.read_bytes()[:-1])
    found = json.loads(run("forget", "--ids", GONE[0], "--model", model, "--json").out)
    assert (found["n_kept"], found["n_lost"]) == (0, 1)
    assert not mentions(model, GONE[0])
    assert run("verify", "--model", model).code == 0


def test_nothing_names_any_generation_that_knew_the_rows(run: Run, fitted: Callable[..., Path]) -> None:
    """Not even one that did not have them, but belonged to bases that did: the names are hashes of one another."""
    rows = rows_of("train.csv")
    model = fitted("m2", "train.csv", memorised=write("others.csv", rows[20:]))
    run("remember", "train.csv", "--model", model, "--quiet")
    content = json.loads((model / manifest.MEMORY).read_text())
    names = [json.loads((model / manifest.BASE).read_text())["id"], content["id"], content["earlier"][0]["id"]]
    assert run("forget", "--ids", GONE[0], "--model", model, "--quiet").code == 0
    for name in names:
        assert not mentions(model, name)
    content = json.loads((model / manifest.MEMORY).read_text())
    assert content["base"] == content["earlier"][0]["base"] == json.loads((model / manifest.BASE).read_text())["id"]
    assert "was" not in json.loads((model / manifest.BASE).read_text())


def test_what_was_measured_before_is_erased_too(run: Run, fitted: Callable[..., Path]) -> None:
    """It may have been measured on the rows: with all the others at hand, a mean tells the last one."""
    model = fitted("m2", "train.csv", *FOLDS)
    run("remember", "test.csv", "--model", model, "--quiet")
    before = json.loads((model / manifest.MEMORY).read_text())["history"]
    assert all(entry["measured"] is not None for entry in before)
    run("forget", "--ids", rows_of("test.csv")[0]["id"], "--model", model, "--quiet")
    after = json.loads((model / manifest.MEMORY).read_text())["history"]
    assert [entry["measured"] for entry in after] == [None, None, None]
    assert not mentions(model, repr(before[1]["measured"]["resmem"]))


@pytest.mark.parametrize("then", ["undo", "remember"])
def test_a_writer_killed_between_the_steps_of_forget_leaves_what_undo_brings_back(
    run: Run, fitted: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, then: str
) -> None:
    from resmem_cli.store import writing

    model = fitted("m2", "train.csv")
    run("remember", "test.csv", "--model", model, "--quiet")
    names = [json.loads((model / name).read_text())["id"] for name in (manifest.BASE, manifest.MEMORY)]

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(writing, "replace_every", die)
        assert run("forget", "--ids", GONE[0], "--model", model).code == 130
    assert run("verify", "--model", model).code == 0
    if then == "undo":
        assert run("undo", "--model", model, "--quiet").code == 0  # the row is in what it brings back, and found there
    else:
        words = ("--keep", 2, "--model", model, "--quiet")
        assert run("remember", write("one.csv", rows_of("test.csv")[:1]), *words).code == 0
    for name in names:  # all memories are of the new base now
        assert not mentions(model, name)
    assert mentions(model, GONE[0])
    assert run("verify", "--model", model).code == 0
    assert run("forget", "--ids", GONE[0], "--model", model, "--quiet").code == 0
    for trace in (*names, GONE[0]):
        assert not mentions(model, trace)
    assert run("verify", "--model", model).code == 0


def test_a_foreign_file_does_not_keep_an_earlier_memory_of_bases_that_were_replaced(
    run: Run, fitted: Callable[..., Path]
) -> None:
    model = fitted("m2", "train.csv")
    earlier = model / parts.FOLDER / json.loads((model / manifest.MEMORY).read_text())["id"]
    run("remember", "test.csv", "--model", model, "--quiet")
    (earlier / ".DS_Store").write_text("mine")
    fitted("m2", "train.csv", estimator="constant")
    run("forget", "--ids", GONE[0], "--model", model, "--quiet")
    assert [path.name for path in earlier.iterdir()] == [".DS_Store"]
    assert not mentions(model, GONE[0])


def _measured(model: Path) -> list[bool]:
    history = json.loads((model / manifest.MEMORY).read_text())["history"]
    return [entry["measured"] is not None for entry in history]


class TestMeasuredOnRowsThatAreGone:
    """No metric is left that was measured on rows that no memory has, once they were to be forgotten."""

    def test_undo_erases_what_it_takes_back(self, run: Run, fitted: Callable[..., Path]) -> None:
        model = fitted("m2", "train.csv", *FOLDS)
        run("remember", "test.csv", "--model", model, "--quiet")
        assert _measured(model) == [True, True]
        run("undo", "--model", model, "--quiet")
        assert _measured(model) == [True, False, False]

    def test_a_new_base_and_memory_erase_what_was_before(self, run: Run, fitted: Callable[..., Path]) -> None:
        model = fitted("m2", "train.csv", *FOLDS)
        fitted("m2", write("part.csv", rows_of("train.csv")[20:]), *FOLDS)
        assert _measured(model) == [False, True]

    def test_rows_that_no_kept_memory_has_any_more(self, run: Run, fitted: Callable[..., Path]) -> None:
        model = fitted("m2", "train.csv", *FOLDS)
        run("remember", "test.csv", "--model", model, "--quiet")
        fit = ("fit-residual", "train.csv", *FOLDS, "--representation", "features", "--model", model, "--quiet")
        assert run(*fit, "--keep", 0).code == 0
        assert True in _measured(model)
        name = rows_of("test.csv")[0]["id"]
        ended = run("forget", "--ids", name, "--model", model)
        assert (ended.code, ended.err) == (
            3,
            f"resmem: no row with the id '{name}' is remembered, so only what was measured before was erased from the "
            "history; check the ids, the rows or --where\n",
        )
        assert True not in _measured(model)
        assert run("verify", "--model", model).code == 0
        ended = run("forget", "--ids", name, "--model", model)
        assert ended.err == f"resmem: no row with the id '{name}' is remembered; check the ids, the rows or --where\n"

    def test_a_killed_forget_is_finished_by_the_next(
        self, run: Run, fitted: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from resmem_cli.store import writing

        words = (*FOLDS,)
        model = fitted("m2", "train.csv", *words, memorised=write("some.csv", rows_of("train.csv")[100:]))
        old = json.loads((model / manifest.BASE).read_text())["id"]

        def die(*_: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(writing, "replace_every", die)
            assert run("forget", "--ids", GONE[0], "--model", model).code == 130
        assert mentions(model, old)
        assert run("forget", "--ids", GONE[0], "--model", model).code == 3
        assert not mentions(model, old)
        assert not mentions(model, GONE[0])
        assert _measured(model) == [False]
        assert run("verify", "--model", model).code == 0


def test_a_level_that_only_forgotten_rows_had_is_erased(run: Run, fitted: Callable[..., Path]) -> None:
    shops = [row | {"cut": f"shop {i % 300}"} for i, row in enumerate(rows_of("train.csv") * 3)]
    rows = [row | {"id": f"r{i}", "carat": f"{1 + i / 1000}"} for i, row in enumerate(shops)]
    model = fitted("m2", write("shops.csv", rows))
    assert levels(model, "cut").count("") == 0
    assert len(levels(model, "cut")) == 300
    rare = next(each for each in levels(model, "cut") if each not in categories(model, "cut"))
    words = ("predict", write("others.csv", [r for r in rows if r["cut"] != rare]), "--model", model, "--base-only")
    before = run(*words, "--keep", "none", "--quiet").out
    held_by = [row["id"] for row in rows if row["cut"] == rare]
    run("forget", "--ids", ",".join(held_by[1:]), "--model", model, "--quiet")
    assert rare in levels(model, "cut")  # one row has it still
    run("forget", "--ids", held_by[0], "--model", model, "--quiet")
    assert rare not in levels(model, "cut")
    assert levels(model, "cut").count("") == 1
    assert not mentions(model, f'"{rare}"')
    assert run(*words, "--keep", "none", "--quiet").out == before
    assert run("verify", "--model", model).code == 0


def levels(model: Path, column: str) -> list[str]:
    columns = json.loads((model / manifest.BASE).read_text())["schema"]["columns"]
    return next(each["levels"] for each in columns if each["name"] == column)
