"""What holds for the whole suite: one thread per process, since the suite itself runs in one process per core."""

from __future__ import annotations

import importlib.util
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.s3_server import Bucket, Server, serving

# Before anything loads OpenMP or BLAS, which read it once. pytest-xdist's workers and every command that a test starts
# inherit it: two programs with a thread per core slow each other down by far more than half.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

# Without a deadline: an example that took long on a busy machine is no failure.
settings.register_profile("here", deadline=None)
settings.load_profile("here")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes long; the rest stays in its order."""
    items.sort(key=lambda item: item.get_closest_marker("first") is None)


@pytest.fixture(scope="session")
def s3_server() -> Iterator[Server]:
    """An S3 server on loopback, one for every worker."""
    if not all(map(importlib.util.find_spec, ("moto", "flask", "flask_cors"))):
        pytest.skip("moto or flask is not installed")
    with serving() as server:
        yield server


@pytest.fixture
def bucket(s3_server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Bucket]:
    """An empty bucket that resmem finds by its environment, with a cache of models of its own."""
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("RESMEM_CACHE", str(tmp_path / "cache"))
    s3_server.order()
    made = Bucket(s3_server, f"b-{uuid.uuid4().hex}").make()
    s3_server.order()  # which begins to count anew
    yield made
    s3_server.order()
