"""An object is read as a file is, and what Arrow gives up on is tried again."""

from __future__ import annotations

import io
from dataclasses import dataclass

import pyarrow as pa
import pytest

from resmem_cli.data import patient_file
from resmem_cli.data.patient_file import PatientFile

OVERFLOWED = "AWS Error INTERNAL_FAILURE during GetObject operation: Failed to flush response stream (eof: 0, bad: 1)"


@dataclass
class Failing:
    """An Arrow file whose first reads fail."""

    data: bytes
    n_failures: int = 0
    message: str = OVERFLOWED
    closed: bool = False

    def size(self) -> int:
        return len(self.data)

    def read_at(self, size: int, position: int) -> bytes:
        if self.n_failures:
            self.n_failures -= 1
            raise OSError(self.message)
        return self.data[position : position + size]

    def close(self) -> None:
        self.closed = True


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patient_file, "_FIRST_SECONDS", 0)


def test_it_reads_what_a_file_of_the_same_bytes_does() -> None:
    inner = Failing(bytes(range(100)))
    expected, file = io.BytesIO(inner.data), PatientFile(inner)
    for name, *given in (("read", 7), ("seek", -5, 2), ("read",), ("seek", 3), ("tell",)):
        assert getattr(file, str(name))(*given) == getattr(expected, str(name))(*given)
    buffer = bytearray(200)
    assert (file.readinto(buffer), buffer[:97]) == (97, inner.data[3:])
    file.close()
    assert inner.closed


def test_arrow_reads_it_in_any_order() -> None:
    with pa.PythonFile(PatientFile(Failing(bytes(range(100)), 1)), mode="r") as file:
        assert (file.size(), file.read_at(3, 90), file.read_at(2, 0)) == (100, b"Z[\\", b"\x00\x01")


@pytest.mark.parametrize("n_failures", [1, 4])
def test_an_answer_that_was_longer_than_the_bytes_asked_for_is_asked_for_again(n_failures: int) -> None:
    assert PatientFile(Failing(b"abc", n_failures)).read(2) == b"ab"


@pytest.mark.parametrize(("n_failures", "message"), [(5, OVERFLOWED), (1, "AWS Error ACCESS_DENIED")])
def test_what_fails_for_long_or_for_another_reason_is_an_error(n_failures: int, message: str) -> None:
    with pytest.raises(OSError, match=message[:20]):
        PatientFile(Failing(b"abc", n_failures, message)).read(2)
