"""Objects read with patience: what Arrow's file systems do not try again is tried again here.

Arrow has the store's answer written to where the bytes that it asked for are to be. An answer that says no more than
"slow down" may be longer than that, if few bytes were asked for: then it is an error that Arrow gives up on.
"""

from __future__ import annotations

import io
import time
from typing import Any

_ATTEMPTS = 5
_FIRST_SECONDS = 0.1
_OVERFLOWED = "Failed to flush response stream"


class PatientFile(io.RawIOBase):
    """An object of a store, of which any part can be read, from an Arrow file of it."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._size = int(file.size())
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        left = max(0, self._size - self._position)
        data = self._read_at(self._position, left if size is None or size < 0 else min(size, left))
        self._position += len(data)
        return data

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()

    def _read_at(self, position: int, size: int) -> bytes:
        for attempt in range(1, _ATTEMPTS):
            try:
                return bytes(self._file.read_at(size, position))
            except OSError as error:
                if _OVERFLOWED not in str(error):
                    raise
                time.sleep(_FIRST_SECONDS * 2**attempt)
        return bytes(self._file.read_at(size, position))
