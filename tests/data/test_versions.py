"""Versions of objects: a content of the same size is another one, wherever a store says so much as a time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from resmem_cli.data import object_stores, sources, tables, versions
from resmem_cli.data.remote import Remote
from resmem_cli.errors import DataError
from tests.s3_server import Bucket

URI = "memory://versions/k.csv"


@pytest.fixture
def memory() -> Iterator[Any]:
    found = fsspec.filesystem("memory")
    found.pipe("/versions/k.csv", b"a\n1\n2\n3\n")
    yield found
    found.rm("/versions", recursive=True)


@pytest.fixture
def without_versions(memory: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The same store, which says no more of an object than its size."""

    def info(self: Any, path: str, **_: Any) -> dict[str, Any]:
        return {"name": path, "size": len(self.cat_file(path)), "type": "file"}

    monkeypatch.setattr(MemoryFileSystem, "info", info)
    monkeypatch.setattr(MemoryFileSystem, "modified", fsspec.AbstractFileSystem.modified)
    return memory


def test_an_object_of_fsspec_of_the_same_size_has_another_version(memory: Any) -> None:
    before = Remote.of(URI).version()
    assert Remote.of(URI).version() == before
    memory.pipe("/versions/k.csv", b"a\n4\n5\n6\n")
    assert (Remote.of(URI).version()[0], Remote.of(URI).version() == before) == (before[0], False)


@pytest.mark.parametrize("name", ["ETag", "etag", "Content-MD5", "Last-Modified", "last_modified", "LastModified"])
def test_whatever_a_store_of_fsspec_calls_it_another_tag_is_another_version(
    without_versions: Any, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    said = {"size": 8, "type": "file", name: "one"}
    monkeypatch.setattr(MemoryFileSystem, "info", lambda self, path, **_: said)
    before = Remote.of(URI).version()
    assert Remote.of(URI).version() == before
    said[name] = "other"
    assert Remote.of(URI).version() != before


def test_an_object_that_has_neither_a_tag_nor_a_time_has_no_version_and_is_read(without_versions: Any) -> None:
    with pytest.raises(versions.NoVersionError, match=r"^the store gives neither an ETag nor a time of the object$"):
        Remote.of(URI).version()
    assert sum(len(rows) for rows in tables.read(sources.resolve([URI]))) == 3


def test_an_object_of_fsspec_that_is_replaced_while_it_is_read_is_an_error(memory: Any) -> None:
    read = tables.read(sources.resolve([URI]), batch_rows=1)
    next(read)
    memory.pipe("/versions/k.csv", b"a\n4\n5\n6\n")
    with pytest.raises(DataError, match=f"^{re.escape(URI)} was replaced while it was read; run the command again$"):
        list(read)


def test_an_object_of_s3_has_the_version_of_its_etag(bucket: Bucket) -> None:
    found = Remote.of(bucket.put("k.csv", b"a\n1\n"))
    before = found.version()
    assert (before[0], found.version()) == (4, before)
    bucket.put("k.csv", b"a\n2\n")
    object_stores.filesystem.cache_clear()
    assert (found.version()[0], found.version() == before) == (4, False)
