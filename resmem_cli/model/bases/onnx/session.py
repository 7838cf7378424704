"""The session of onnxruntime's that runs a model."""

from __future__ import annotations

import os
import re
import textwrap
from typing import Any

import threadpoolctl

from resmem_cli.errors import UsageError
from resmem_cli.model.bases.protocol import library
from resmem_cli.model.parallel import heard

_MOST_BYTES = 2**31 - 1  # that a protobuf message may have
_EXTERNAL_WEIGHTS = b"\x0a\x08location\x12"  # a tensor's entry "location", in which file it is


class Session:
    """A model's bytes, and the session of onnxruntime's that runs them; only the bytes are pickled.

    The session starts when it is first asked for, and again where another number of threads holds.

    Attributes:
        data: the model's file.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._started: tuple[int, Any] | None = None

    def __reduce__(self) -> tuple[type[Session], tuple[bytes]]:
        return Session, (self.data,)

    @property
    def running(self) -> Any:
        """The session.

        Raises:
            UsageError: onnxruntime is not installed, or cannot run the model.
            ValueError: the bytes are damaged, or no model.
        """
        threads = min((pool["num_threads"] for pool in threadpoolctl.threadpool_info()), default=1)
        if self._started is None or self._started[0] != threads:
            self._started = threads, _start(self.data, threads)
        return self._started[1]


def refuse_several_files(model: bytes) -> None:
    """Refuse a model that is not whole in its bytes: protobuf ends at 2 GiB, and larger ones keep tensors beside it."""
    if len(model) > _MOST_BYTES or _EXTERNAL_WEIGHTS in model:
        what = "is larger than 2 GiB" if len(model) > _MOST_BYTES else "keeps weights in other files"
        raise UsageError(f"the ONNX model {what}", "save it as one smaller file, or write its predictions as columns")


def _start(data: bytes, threads: int) -> Any:
    onnxruntime = library("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 4  # none of its own lines on stderr
    # No file can be there: what a model names beside itself is not read.
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", os.devnull)
    try:
        return heard(lambda: onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"]))
    except Exception as error:
        said = reason(error)
        if type(error).__name__ == "InvalidProtobuf" or "No graph was found" in said:
            raise ValueError("it is damaged, or not an ONNX model") from error
        raise UsageError(
            f"the ONNX model cannot be run by onnxruntime {onnxruntime.__version__} ({said})",
            "export it with a lower opset and with standard operators, or upgrade onnxruntime",
        ) from error


def reason(error: Exception) -> str:
    """Return what onnxruntime says, without its codes and the places in its source."""
    text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", " ".join(str(error).split()))
    text = re.sub(r"\S+\.(cc|h):\d+ .*?\) (?=[A-Z])", "", text)
    return textwrap.shorten(text, 200, placeholder=" …").rstrip(".")
