"""A model in an object store: fetched once into a cache, checked, and what is wrong with it said of its URI."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from resmem_cli.data.places import place
from resmem_cli.data.remote import Remote
from resmem_cli.errors import ModelError, OutputError
from resmem_cli.store import fetching, manifest, reading, verifying
from tests.s3_server import Bucket
from tests.store.conftest import fit

AGAIN = "copy the model there again: parts/ first, base.json next and memory.json last"


@pytest.fixture
def local(copied: Callable[..., Path]) -> Path:
    return copied("linear")


@pytest.fixture
def model(bucket: Bucket, local: Path) -> Remote:
    found = place(bucket.put("models/m", local))
    assert isinstance(found, Remote)
    bucket.server.order()
    return found


def gets(bucket: Bucket) -> list[str]:
    """The objects that were read since the last orders."""
    requests = bucket.server.said()["requests"]
    return [request.removeprefix(f"GET /{bucket.name}/models/m/") for request in requests if request.startswith("GET")]


def cached(kind: str) -> list[Path]:
    return sorted((fetching.cache() / kind).iterdir())


def test_a_model_in_a_store_is_the_one_that_was_copied_there(model: Remote, local: Path) -> None:
    here, there = reading.load(local), reading.load(model)
    X = np.zeros((3, there.base.schema.width))
    assert (there.id, there.base.id) == (here.id, here.base.id)
    assert np.array_equal(there.resmem.predict(X).resmem, here.resmem.predict(X).resmem)


def test_what_is_in_the_cache_is_not_fetched_again(model: Remote, bucket: Bucket) -> None:
    reading.load(model)
    assert len(gets(bucket)) == 2 + len(cached("files"))
    bucket.server.order()
    reading.load(model)
    assert gets(bucket) == ["base.json", "memory.json"]


def test_only_what_is_needed_is_fetched(model: Remote, bucket: Bucket) -> None:
    reading.read_manifest(model, manifest.MEMORY)
    assert gets(bucket) == ["base.json", "memory.json"]
    base = reading.read_manifest(model, manifest.BASE)
    bucket.server.order()
    assert reading.identity(model) == (base["id"], reading.read_manifest(model, manifest.MEMORY)["id"])
    assert gets(bucket) == 2 * ["base.json", "memory.json"]
    bucket.server.order()
    reading.load_base(model)
    assert {name.split("/")[1] for name in gets(bucket)[2:]} == {base["id"]}


def test_files_are_named_by_their_hashes_and_models_link_to_them(model: Remote) -> None:
    reading.load(model)
    content = reading.read_manifest(model, manifest.BASE)
    path = cached("models")[0] / "parts" / content["id"] / "rows.npz"
    file = fetching.cache() / "files" / content["parts"]["rows.npz"]["sha256"]
    assert path.samefile(file)


def test_a_model_whose_memory_was_replaced_keeps_the_files_of_its_base(
    model: Remote, bucket: Bucket, local: Path
) -> None:
    reading.load(model)
    base = reading.read_manifest(model, manifest.BASE)["id"]
    fit("linear").save_memory(local, base, objective="mae")
    bucket.put("models/m", local)
    bucket.server.order()
    assert reading.load(model).objective == "mae"
    assert not any(base in name for name in gets(bucket))


def test_many_at_once_fetch_a_model_well(model: Remote) -> None:
    with ThreadPoolExecutor(8) as pool:
        loaded = list(pool.map(lambda _: reading.load(model).id, range(8)))
    assert len(set(loaded)) == 1
    assert not [path for path in fetching.cache().rglob("*") if path.name.startswith(".")]


def test_a_damaged_file_of_the_cache_is_fetched_again(model: Remote) -> None:
    before = reading.load(model)
    for path in cached("files"):
        os.truncate(path, 1)
    assert reading.load(model).id == before.id
    assert all(path.stat().st_size > 1 for path in cached("files"))


def test_verify_checks_a_model_in_a_store(model: Remote, local: Path) -> None:
    assert verifying.verify(model) == verifying.verify(local)


def test_a_part_that_was_damaged_in_the_store_is_named_there(model: Remote, bucket: Bucket, local: Path) -> None:
    part = next(local.glob("parts/*/rows.npz")).relative_to(local)
    bucket.put(f"models/m/{part}", b"x")
    sentence = f"'{model}/{part}' has another size or SHA-256 than its manifest says; {AGAIN}"
    with pytest.raises(ModelError, match=f"^{re.escape(sentence)}$"):
        reading.load(model)
    assert all(not path.name.startswith(".") for path in cached("files"))


def test_a_model_that_was_replaced_between_its_manifests_is_read_again(
    model: Remote, bucket: Bucket, saved: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Remote.read_bytes

    def replaced(place: Remote, most: int | None = None, kind: type[Exception] = ModelError) -> bytes:
        if place.name == "memory.json" and model_of_before:
            model_of_before.clear()
            bucket.put("models/m", saved("boosting"))
        return read(place, most, ModelError)

    model_of_before = [True]
    monkeypatch.setattr(Remote, "read_bytes", replaced)
    assert reading.load(model).id == reading.load(saved("boosting")).id


def test_a_new_base_without_its_memory_yet_is_an_error_and_below_another_prefix_none(
    model: Remote, bucket: Bucket, local: Path, saved: Callable[..., Path]
) -> None:
    new = saved("boosting")
    for where in ("models/m", "models/m-2"):
        bucket.put(f"{where}/parts", new / "parts")
        bucket.put(f"{where}/base.json", new / "base.json")
    sentence = (
        f"the memory of '{model}' belongs to another base (the base was fitted again since); run: resmem fit-residual "
    )
    with pytest.raises(ModelError, match=f"^{re.escape(sentence)}"):
        reading.load(model)
    other = place(bucket.put("models/m-2/memory.json", new / "memory.json").removesuffix("/memory.json"))
    assert reading.load(other).id == reading.load(new).id
    bucket.put("models/m/memory.json", new / "memory.json")
    assert reading.load(model).id == reading.load(new).id


def test_a_part_that_is_not_there_is_named(model: Remote, bucket: Bucket, local: Path) -> None:
    part = next(local.glob("parts/*/rows.npz")).relative_to(local)
    bucket.delete(f"models/m/{part}")
    with pytest.raises(ModelError, match=f"^the model directory '{model}' lacks {re.escape(f'{model}/{part}')}; "):
        reading.load(model)


def test_a_manifest_that_is_damaged_is_named_in_the_store(model: Remote, bucket: Bucket) -> None:
    bucket.put("models/m/base.json", b"{")
    with pytest.raises(ModelError, match=f"^{re.escape(str(model))}/base.json is not a manifest of resmem "):
        reading.load(model)


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        (
            "sha256",
            "../../x",
            "the model directory '{model}' is damaged (ValueError: the SHA-256 of rows.npz is none); fit the model "
            "again",
        ),
        ("id", "../x", "'../x' is not a name of parts; fit the model again"),
    ],
)
def test_a_manifest_that_leads_elsewhere_is_refused_before_anything_is_written(
    model: Remote, bucket: Bucket, field: str, value: str, sentence: str
) -> None:
    content = reading.read_manifest(model, manifest.BASE)
    said = content["parts"]["rows.npz"]["sha256"] if field == "sha256" else content["id"]
    bucket.put("models/m/base.json", bucket.get("models/m/base.json").replace(said.encode(), value.encode()))
    with pytest.raises(ModelError, match=f"^{re.escape(sentence.format(model=model))}$"):
        reading.load_base(model)
    assert not list(fetching.cache().parent.rglob("x"))


def test_where_there_is_no_model_the_way_to_put_one_there_is_told(bucket: Bucket) -> None:
    uri = bucket.uri("nothing")
    sentence = (
        f"there is no model '{uri}'; copy a model directory there: parts/ first, base.json next and memory.json last"
    )
    with pytest.raises(ModelError, match=f"^{re.escape(sentence)}$"):
        reading.load(place(uri))


def test_a_model_without_memory_is_a_base(bucket: Bucket, local: Path) -> None:
    (local / "memory.json").unlink()
    model = place(bucket.put("models/m", local))
    assert reading.load_base(model).id == reading.load_base(local).id
    sentence = (
        f"the model '{model}' has no memory yet; run: resmem fit-residual TRAIN --model DIR (predict --base-only works "
        f"without it), where DIR is a copy of it on this machine; then {AGAIN}"
    )
    with pytest.raises(ModelError, match=f"^{re.escape(sentence)}$"):
        reading.load(model)


def test_credentials_that_the_store_refuses_are_an_error_about_the_model(
    model: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    from resmem_cli.data import object_stores

    object_stores.filesystem.cache_clear()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "wrong")
    with pytest.raises(ModelError, match=f"^'{model}/base.json' cannot be read \\(access denied\\); check AWS_"):
        reading.load(model)


def test_a_model_is_read_also_if_requests_fail(model: Remote, bucket: Bucket, local: Path) -> None:
    bucket.server.order(fail_every=5)
    assert reading.load(model).id == reading.load(local).id
    assert bucket.server.said()["failed"] > 0


def test_what_nobody_has_read_for_a_month_is_removed_when_something_else_is_fetched(
    model: Remote, bucket: Bucket, saved: Callable[..., Path]
) -> None:
    reading.load(model)
    (old,) = cached("models")
    files = cached("files")
    past = time.time() - 31 * 24 * 3600
    for path in (old, *files):
        os.utime(path, (past, past))
    leftover = fetching.cache() / "files" / ".0123456789abcdef.tmp"
    leftover.write_bytes(b"of a process that was killed")
    os.utime(leftover, (past, past))
    other = place(bucket.put("models/other", saved("boosting")))
    reading.load(other)
    assert old not in cached("models")
    assert len(cached("files")) == sum(path.is_file() for path in cached("models")[0].glob("parts/*/*"))
    assert leftover not in cached("files")


def test_what_another_process_removes_meanwhile_is_no_error(
    model: Remote, bucket: Bucket, saved: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    reading.load(model)
    (fetching.cache() / "files" / ".0123456789abcdef.tmp").write_bytes(b"renamed soon")
    seen: set[Path] = set()
    stat = Path.stat

    def gone(path: Path, **options: bool) -> os.stat_result:
        if path.parent.parent == fetching.cache() and path not in seen:
            seen.add(path)
            raise FileNotFoundError(2, "No such file or directory", str(path))
        return stat(path, **options)

    other = place(bucket.put("models/other", saved("boosting")))
    monkeypatch.setattr(Path, "stat", gone)
    assert reading.load(other).id == reading.load(saved("boosting")).id
    assert {path.parent.name for path in seen} == {"models", "files"}


def test_what_is_read_now_and_then_stays(model: Remote, bucket: Bucket, saved: Callable[..., Path]) -> None:
    reading.load(model)
    (kept,) = cached("models")
    os.utime(kept, (0, 0))
    reading.load(model)
    reading.load(place(bucket.put("models/other", saved("boosting"))))
    assert kept in cached("models")


def test_a_cache_that_cannot_be_written_is_named(
    model: Remote, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("RESMEM_CACHE", str(tmp_path / "file"))
    sentence = (
        f"the cache of models '{tmp_path}/file' cannot be written (Not a directory); free some space, or name another "
        "folder with the environment variable RESMEM_CACHE"
    )
    with pytest.raises(OutputError, match=f"^{re.escape(sentence)}$"):
        reading.load(model)


@pytest.mark.parametrize(
    ("environment", "folder"),
    [
        ({"RESMEM_CACHE": "/c"}, "/c"),
        ({"XDG_CACHE_HOME": "/x", "HOME": "/h"}, "/x/resmem"),
        ({"HOME": "/h"}, "/h/.cache/resmem"),
    ],
)
def test_the_cache_lies_where_the_environment_says(
    environment: dict[str, str], folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RESMEM_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert fetching.cache() == Path(folder)


def test_a_cache_without_a_home_is_not_made_in_the_present_folder(
    model: Remote, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("RESMEM_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)  # of a container whose user has no name
    monkeypatch.chdir(tmp_path)
    sentence = (
        "there is no home directory for the cache of models; name a folder with the environment variable RESMEM_CACHE"
    )
    with pytest.raises(OutputError, match=f"^{re.escape(sentence)}$"):
        reading.load(model)
    assert not Path("~").exists()
