"""Models in the ONNX format."""

from resmem_cli.model.bases.onnx.model import Onnx

__all__ = ["Onnx"]
