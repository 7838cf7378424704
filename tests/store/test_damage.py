"""Whatever is wrong with a model directory is named before anything of it is used."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from resmem_cli.errors import ModelError, UsageError
from resmem_cli.model.bases.boosting import Boosting
from resmem_cli.store import consistent, estimators, manifest, parts, reading
from tests.store.conftest import N_GRAPH_ROWS, boosted_estimators, fit

Copied = Callable[..., Path]
GROUPS = {"base.json": "bases", "memory.json": "memories"}


def edit(path: Path, **changes: Any) -> None:
    """Change top-level fields of a manifest."""
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def edit_one(path: Path, position: int = 0, **changes: Any) -> None:
    """Change fields of one of the bases, or of one of the memories, of a manifest."""
    content = json.loads(path.read_text())
    content[GROUPS[path.name]][position] |= changes
    path.write_text(json.dumps(content))


def replace_part(directory: Path, name: str, data: bytes, which: str = "base.json") -> Path:
    """Put `data` in the place of a part, with the right size and hash in the manifest."""
    content = json.loads((directory / which).read_text())
    path = directory / "parts" / content["id"] / name
    path.write_bytes(data)
    content["parts"][name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (directory / which).write_text(json.dumps(content))
    return path


def part(directory: Path, name: str, which: str = "base.json") -> Path:
    return directory / "parts" / json.loads((directory / which).read_text())["id"] / name


def store_as_estimators(directory: Path, models: Any, position: int = 0) -> Path:
    """Store a base of boosted trees as it was before format 7: scikit-learn's estimators, and arrays without trees."""
    name = parts.numbered(parts.ARRAYS, position)
    arrays = parts.load_arrays(part(directory, name))
    out = io.BytesIO()
    np.savez(out, **{key: arrays[key] for key in ("n_classes", "largest") if key in arrays})
    replace_part(directory, name, out.getvalue())
    return replace_part(directory, parts.numbered("estimator.skops", position), estimators.to_bytes(models))


def refused(directory: Path, sentence: str) -> None:
    """The whole is refused with exactly this sentence."""
    with pytest.raises(ModelError) as raised:
        reading.load(directory)
    assert str(raised.value) == sentence


def test_a_missing_directory_a_file_and_an_empty_directory_are_told_apart(tmp_path: Path) -> None:
    missing, file = tmp_path / "none", tmp_path / "file"
    file.touch()
    fit_base = "resmem fit-base TRAIN --target COLUMN --model"
    refused(missing, f"there is no model directory '{missing}'; make one: {fit_base} {missing}")
    refused(file, f"'{file}' is a file, not a model directory; name the directory with --model")
    refused(tmp_path, f"the directory '{tmp_path}' holds no base model; fit one: {fit_base} {tmp_path}")


def test_a_model_without_memory_says_which_command_is_missing(copied: Copied) -> None:
    directory = copied()
    (directory / "memory.json").unlink()
    reading.load_base(directory)
    refused(
        directory,
        f"the model '{directory}' has no memory yet; run: resmem fit-residual TRAIN --model {directory} "
        "(predict --base-only works without it)",
    )


def test_a_memory_of_another_base_is_refused(copied: Copied) -> None:
    directory = copied()
    edit(directory / "memory.json", base="0123456789abcdef")
    reading.load_base(directory)
    refused(
        directory,
        f"the memory of '{directory}' belongs to another base (the base was fitted again since); "
        f"run: resmem fit-residual TRAIN --model {directory}",
    )


@pytest.mark.parametrize("which", ["base.json", "memory.json"])
def test_a_newer_format_is_refused_before_any_part_is_looked_at(copied: Copied, which: str) -> None:
    directory = copied()
    edit(directory / which, format=manifest.FORMAT + 1, resmem="9.1.0", parts="of a kind that is not known yet")
    for path in directory.rglob("*.npz"):
        path.unlink()
    refused(
        directory,
        f"{directory / which} has format {manifest.FORMAT + 1}, written by resmem 9.1.0; this is resmem 0.1.0, which "
        f"reads formats up to {manifest.FORMAT}; upgrade resmem-cli",
    )


@pytest.mark.parametrize("which", ["base.json", "memory.json"])
@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "7",
        "null",
        "[" * 100_000,
        '{"format": 1',
        "{}",
        '{"format": "1"}',
        '{"format": true}',
        '{"format": 0}',
        "\0",
    ],
)
def test_a_damaged_manifest_is_refused(copied: Copied, which: str, text: str) -> None:
    directory = copied()
    (directory / which).write_text(text)
    with pytest.raises(ModelError, match=rf"{which} is not a manifest of resmem \(.*\); fit the model again"):
        reading.load(directory)


def test_a_manifest_in_another_encoding_is_refused(copied: Copied) -> None:
    directory = copied()
    (directory / "base.json").write_bytes(b'{"format": 1, "name": "\xe9"}')
    with pytest.raises(ModelError, match="is not a manifest of resmem"):
        reading.load(directory)


@pytest.mark.parametrize("which", ["base.json", "memory.json"])
def test_a_manifest_that_lacks_a_field_is_refused(copied: Copied, which: str) -> None:
    directory = copied()
    whole = json.loads((directory / which).read_text())
    for field in set(whole) - {"format", "resmem", "libraries", "rows", "folds"}:
        (directory / which).write_text(json.dumps({name: value for name, value in whole.items() if name != field}))
        with pytest.raises(ModelError, match=f"is damaged \\(KeyError: '{field}'\\); fit the model again"):
            reading.load(directory)


@pytest.mark.parametrize("which", ["base.json", "memory.json"])
@pytest.mark.parametrize("position", [0, 1])
def test_one_of_several_that_lacks_a_field_is_refused(copied: Copied, which: str, position: int) -> None:
    directory = copied("linear,constant")
    whole = json.loads((directory / which).read_text())
    for field in set(whole[GROUPS[which]][position]) - {"residuals", "columns", "max_cells", "graph"}:
        one = {name: value for name, value in whole[GROUPS[which]][position].items() if name != field}
        some = [*whole[GROUPS[which]]]
        some[position] = one
        (directory / which).write_text(json.dumps(whole | {GROUPS[which]: some}))
        with pytest.raises(ModelError, match=f"is damaged \\(KeyError: '{field}'\\); fit the model again"):
            reading.load(directory)


@pytest.mark.parametrize(("which", "what"), [("base.json", "base"), ("memory.json", "memory")])
def test_a_manifest_that_names_none_is_refused(copied: Copied, which: str, what: str) -> None:
    directory = copied()
    edit(directory / which, **{GROUPS[which]: []})
    refused(
        directory, f"the model directory '{directory}' is damaged (ValueError: it names no {what}); fit the model again"
    )


@pytest.mark.parametrize("which", ["base.json", "memory.json"])
def test_a_damaged_manifest_of_format_1_is_refused(copied: Copied, which: str) -> None:
    directory = copied()
    (directory / which).write_text('{"format": 1}')
    with pytest.raises(ModelError, match=r"is damaged \(KeyError: '.*'\); fit the model again"):
        reading.load(directory)


@pytest.mark.parametrize("which", ["base.json", "memory.json"])
@pytest.mark.parametrize("value", [None, 7, "text", [], {}])
def test_a_manifest_with_fields_of_another_kind_is_refused(copied: Copied, which: str, value: object) -> None:
    directory = copied()
    whole = json.loads((directory / which).read_text())
    for field in ("id", "parts", "schema", "bases") if which == "base.json" else ("id", "parts", "memories"):
        (directory / which).write_text(json.dumps(whole | {field: value}))
        with pytest.raises(ModelError):
            reading.load(directory)


@pytest.mark.parametrize("position", [0, 1])
@pytest.mark.parametrize("value", [None, 7, "text", [], {}])
def test_a_memory_with_fields_of_another_kind_is_refused(copied: Copied, position: int, value: object) -> None:
    directory = copied("linear,constant")
    before = (directory / "memory.json").read_text()
    for field in ("settings", "search", "representation", "base"):
        (directory / "memory.json").write_text(before)
        edit_one(directory / "memory.json", position, **{field: value})
        with pytest.raises(ModelError):
            reading.load(directory)


@pytest.mark.parametrize("base", [1, 2, -1])
def test_a_memory_on_a_base_that_there_is_not_is_refused(copied: Copied, base: int) -> None:
    directory = copied()
    edit_one(directory / "memory.json", base=base)
    refused(directory, f"the memory of '{directory}' does not fit its manifest; run fit-residual again")


def test_an_unknown_estimator_is_refused(copied: Copied) -> None:
    directory = copied("linear,constant")
    edit_one(directory / "base.json", 1, estimator="forest")
    refused(directory, f"the base of '{directory}' is of an unknown kind, 'forest'; upgrade resmem-cli")


EVERY_PART = pytest.mark.parametrize(
    ("which", "name"),
    [
        *((which, name) for which in GROUPS for name in ("arrays.npz", "arrays_1.npz", "rows.npz")),
        ("base.json", "estimator_1.skops"),
        ("memory.json", "representation.npz"),
        ("memory.json", "representation_1.npz"),
    ],
)


@EVERY_PART
def test_a_part_of_another_size_is_refused(copied: Copied, which: str, name: str) -> None:
    directory = copied("linear,boosting")
    store_as_estimators(directory, boosted_estimators(), 1)
    path = part(directory, name, which)
    path.write_bytes(path.read_bytes() + b"\0")
    refused(directory, f"{path} has another size than its manifest says; fit the model again")


@EVERY_PART
def test_a_part_with_another_hash_is_refused(copied: Copied, which: str, name: str) -> None:
    directory = copied("linear,boosting")
    store_as_estimators(directory, boosted_estimators(), 1)
    path = part(directory, name, which)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    refused(directory, f"{path} has another SHA-256 than its manifest says; fit the model again")


@EVERY_PART
def test_a_missing_part_is_named(copied: Copied, monkeypatch: pytest.MonkeyPatch, which: str, name: str) -> None:
    monkeypatch.setattr(consistent.time, "sleep", lambda _: None)
    directory = copied("linear,boosting")
    store_as_estimators(directory, boosted_estimators(), 1)
    path = part(directory, name, which)
    path.unlink()
    refused(directory, f"the model directory '{directory}' lacks {path}; fit the model again")


@pytest.mark.parametrize(
    ("which", "name"),
    [
        ("base.json", "arrays_1.npz"),
        ("base.json", "estimator_1.skops"),
        ("memory.json", "arrays_1.npz"),
        ("memory.json", "representation_1.npz"),
    ],
)
def test_a_part_of_the_second_that_the_manifest_does_not_name_is_refused(copied: Copied, which: str, name: str) -> None:
    directory = copied("linear,boosting")
    store_as_estimators(directory, boosted_estimators(), 1)
    content = json.loads((directory / which).read_text())
    del content["parts"][name]
    (directory / which).write_text(json.dumps(content))
    refused(directory, f"the model directory '{directory}' is damaged (KeyError: '{name}'); fit the model again")


def test_a_graph_of_the_second_memory_that_the_manifest_does_not_name_is_refused(copied: Copied) -> None:
    directory = copied("constant,linear", n_rows=N_GRAPH_ROWS)
    content = json.loads((directory / "memory.json").read_text())
    del content["parts"]["graph_1.hnsw"]
    (directory / "memory.json").write_text(json.dumps(content))
    with pytest.raises(ModelError, match="is damaged"):
        reading.load(directory)


def test_a_damaged_graph_of_the_second_memory_is_refused_before_it_is_read(copied: Copied) -> None:
    directory = copied("constant,linear", n_rows=N_GRAPH_ROWS)
    data = part(directory, "graph_1.hnsw", "memory.json").read_bytes()
    path = replace_part(directory, "graph_1.hnsw", data[:-9], "memory.json")
    refused(
        directory,
        f"the search graph {path} is damaged (the upper links have a wrong size); run fit-residual again",
    )


def test_a_part_that_is_a_folder_is_refused(copied: Copied) -> None:
    directory = copied()
    path = part(directory, "arrays.npz")
    path.unlink()
    path.mkdir()
    with pytest.raises(ModelError):
        reading.load(directory)


@pytest.mark.parametrize(
    "name", ["../../base.json", "/etc/passwd", "..", "arrays.npz/../rows.npz", "ARRAYS.npz", "a.pkl", "a_/1.npz", "a_1"]
)
def test_a_part_name_that_leads_elsewhere_is_refused(copied: Copied, name: str) -> None:
    directory = copied()
    known = json.loads((directory / "base.json").read_text())["parts"]
    edit(directory / "base.json", parts=known | {name: known["arrays.npz"]})
    refused(directory, f"'{name}' is not a name of a part; fit the model again")


@pytest.mark.parametrize("identity", ["..", "../../../etc", "/etc", "0123456789ABCDEF", "0123456789abcde", ""])
def test_a_generation_name_that_leads_elsewhere_is_refused(copied: Copied, identity: str) -> None:
    directory = copied()
    edit(directory / "base.json", id=identity)
    edit(directory / "memory.json", base=identity)
    refused(directory, f"'{identity}' is not a name of parts; fit the model again")


class _Foreign:
    """A type that no model of ours holds."""


def test_a_foreign_type_in_an_estimator_is_refused_and_named(copied: Copied) -> None:
    import skops.io

    directory = copied("boosting")
    store_as_estimators(directory, boosted_estimators())
    path = replace_part(directory, "estimator.skops", skops.io.dumps({"estimator": _Foreign()}))
    refused(
        directory,
        f"{path} contains the type {_Foreign.__module__}._Foreign, which resmem does not store; "
        "do not use this model unless you know who made it",
    )


def test_a_function_that_runs_commands_is_refused_and_never_called(copied: Copied, tmp_path: Path) -> None:
    """What a crafted file would ask for: skops itself names it, and nothing of it is built."""
    import skops.io

    data = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(skops.io.dumps(len))) as good, zipfile.ZipFile(data, "w") as bad:
        text = good.read("schema.json").decode()
        assert '"len"' in text
        bad.writestr("schema.json", text.replace('"len"', '"system"').replace('"builtins"', '"os"'))
    directory = copied("boosting")
    store_as_estimators(directory, boosted_estimators())
    replace_part(directory, "estimator.skops", data.getvalue())
    with pytest.raises(ModelError, match=r"contains the type (os|posix)\.system"):
        reading.load(directory)


def test_no_pickle_is_read(copied: Copied, tmp_path: Path) -> None:
    directory = copied()
    pickled = io.BytesIO()
    np.savez(pickled, allow_pickle=True, value=np.array([_Foreign()], dtype=object))
    replace_part(directory, "arrays.npz", pickled.getvalue())
    with pytest.raises(ModelError, match=r"arrays\.npz cannot be read \(Object arrays cannot be loaded.*\)"):
        reading.load(directory)


def deflated(data: bytes) -> bytes:
    """The same archive, compressed: a small file that could become any size."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as stored, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in stored.namelist():
            archive.writestr(name, stored.read(name))
    return out.getvalue()


@pytest.mark.parametrize("name", ["arrays.npz", "estimator.skops"])
def test_a_compressed_part_is_refused(copied: Copied, name: str) -> None:
    directory = copied("boosting")
    store_as_estimators(directory, boosted_estimators())
    path = part(directory, name)
    replace_part(directory, name, deflated(path.read_bytes()))
    with pytest.raises(ModelError, match=rf"{name} cannot be read.*it is compressed, which ours are not"):
        reading.load(directory)


@pytest.mark.parametrize("which", ["base.json", "memory.json"])
@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"no archive"])
def test_a_part_that_is_no_archive_is_refused(copied: Copied, which: str, data: bytes) -> None:
    directory = copied()
    path = replace_part(directory, "arrays.npz", data, which)
    with pytest.raises(ModelError, match=rf"{re.escape(str(path))} cannot be read \(.*\); fit the model again"):
        reading.load(directory)


def test_an_estimator_that_is_cut_is_refused(copied: Copied) -> None:
    directory = copied("boosting")
    data = store_as_estimators(directory, boosted_estimators()).read_bytes()
    replace_part(directory, "estimator.skops", data[: len(data) // 2])
    with pytest.raises(ModelError, match=r"estimator\.skops cannot be read as an estimator .*; run fit-base again"):
        reading.load(directory)


@pytest.mark.parametrize("name", ["arrays.npz", "arrays_1.npz"])
def test_a_memory_with_fewer_residuals_than_cells_is_refused(copied: Copied, name: str) -> None:
    directory = copied("linear,constant")
    arrays = parts.load_arrays(part(directory, name, "memory.json"))
    out = io.BytesIO()
    np.savez(out, **arrays | {"residuals": arrays["residuals"][:-1]})
    replace_part(directory, name, out.getvalue(), "memory.json")
    refused(directory, f"the memory of '{directory}' does not fit its manifest; run fit-residual again")


def test_a_graph_of_another_size_than_the_manifest_says_is_refused(copied: Copied) -> None:
    directory = copied("constant", n_rows=N_GRAPH_ROWS)
    edit_one(directory / "memory.json", cells=N_GRAPH_ROWS - 1)
    with pytest.raises(ModelError, match="its header does not fit its model"):
        reading.load(directory)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_random_damage_to_an_archive_ends_in_a_model_error_or_in_nothing(tmp_path: Path, data: st.DataObject) -> None:
    """With the right checksums everywhere, as someone could craft it."""
    arrays = {"a": np.arange(6.0).reshape(2, 3), "b": np.array([1])}
    path = tmp_path / "arrays.npz"
    parts.save_arrays(path, arrays)
    with zipfile.ZipFile(path) as archive:
        members = {name: bytearray(archive.read(name)) for name in archive.namelist()}
    for _ in range(data.draw(st.integers(1, 3))):
        member = members[data.draw(st.sampled_from(sorted(members)))]
        member[data.draw(st.integers(0, len(member) - 1))] = data.draw(st.integers(0, 255))
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, bytes(content))
    with contextlib.suppress(ModelError):
        assert set(parts.load_arrays(path)) == {"a", "b"}


def test_equal_estimators_have_equal_bytes_and_read_back_equal() -> None:
    estimator = boosted_estimators(n_classes=3)
    data = estimators.to_bytes(estimator)
    again = estimators.to_bytes(estimators.from_bytes(data, "estimator.skops"))
    assert data == again
    X = fit("boosting", n_classes=3).X
    for found, original in zip(estimators.from_bytes(data, "estimator.skops"), estimator, strict=True):
        np.testing.assert_array_equal(found.predict_proba(X), original.predict_proba(X))


def _of_others(n_features: int, *, fitted: bool = True) -> HistGradientBoostingRegressor:
    model = HistGradientBoostingRegressor(max_iter=1)
    return model.fit(np.ones((5, n_features)), np.arange(5)) if fitted else model


@pytest.mark.parametrize(
    ("models", "why"),
    [
        ([], "it holds 0 boosting models"),
        ([_of_others(3)] * 11, "it holds 11 boosting models"),
        (["x"], "it does not hold a fitted boosting model of its kind"),
        ("x", "it does not hold a fitted boosting model of its kind"),
        ([_of_others(3, fitted=False)], "it does not hold a fitted boosting model of its kind"),
        (
            [HistGradientBoostingClassifier().fit(np.ones((4, 3)), [0, 1] * 2)],
            "it does not hold a fitted boosting model of its kind",
        ),
        ([_of_others(3), _of_others(2)], "its boosting models read different columns"),
    ],
)
def test_what_is_no_list_of_boostings_is_refused(copied: Copied, models: object, why: str) -> None:
    directory = copied("boosting")
    store_as_estimators(directory, models)
    refused(directory, f"the model directory '{directory}' is damaged (ValueError: {why}); fit the model again")


def test_a_base_that_its_library_refuses_is_a_damaged_model(copied: Copied, monkeypatch: pytest.MonkeyPatch) -> None:
    """On import the same is a wrong use: then the file is the user's."""

    def refuse(*_: object) -> None:
        raise UsageError("the model cannot be run", "upgrade its library")

    directory = copied("boosting")
    monkeypatch.setattr(Boosting, "restore", refuse)
    refused(directory, f"a base of '{directory}' cannot be loaded: the model cannot be run; upgrade its library")


def test_over_a_memory_of_an_older_format_that_makes_no_sense_a_base_can_be_saved(copied: Copied) -> None:
    directory = copied("linear")
    edit(directory / "memory.json", format=3, bases=5)
    fit("constant").save(directory)
    assert reading.load(directory).base.specs[0].estimator == "constant"


@pytest.mark.parametrize("name", ["boosting", "poisson"])
def test_a_boosting_of_format_3_was_one_of_all_columns(copied: Copied, name: str) -> None:
    directory = copied(name)
    first = boosted_estimators()[0]
    store_as_estimators(directory, first)
    edit(directory / "base.json", format=3)
    base, X = reading.load_base(directory), fit(name).X
    np.testing.assert_array_equal(base.bases[0].predict(X)[:, 0], first.predict(X))
    assert base.specs[0].params == {"bags": 1, "max_features": 1.0, "max_iter": 5}
