"""Models in the ONNX format that go round in a loop, which tests of limits and signals load."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest


def looping(nodes: Sequence[tuple[str, list[str], list[str], dict[str, Any]]], **constants: Any) -> bytes:
    """The bytes of a model of two numbers "X", whose sum "Y" goes round a loop "times" times.

    Args:
        nodes: operators before the loop: kind, inputs, outputs and attributes.
        constants: by name; one of them, or the output of a node, is called "times".
    """
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    helper, kinds = onnx.helper, onnx.TensorProto
    info = helper.make_tensor_value_info
    keep = [helper.make_node("Identity", [a], [b]) for a, b in (("going", "goes"), ("sum", "same"))]
    given = [info("i", kinds.INT64, []), info("going", kinds.BOOL, []), info("sum", kinds.FLOAT, None)]
    body = helper.make_graph(keep, "body", given, [info("goes", kinds.BOOL, []), info("same", kinds.FLOAT, None)])
    whole = [
        helper.make_node("ReduceSum", ["X", "axis"], ["start"], keepdims=1),
        *(helper.make_node(kind, inputs, outputs, **attributes) for kind, inputs, outputs, attributes in nodes),
        helper.make_node("Loop", ["times", "yes", "start"], ["Y"], body=body),
    ]
    values: Mapping[str, Any] = {**constants, "yes": True, "axis": np.array([1], np.int64)}
    tensors = [onnx.numpy_helper.from_array(np.array(value), name) for name, value in values.items()]
    graph = helper.make_graph(
        whole, "graph", [info("X", kinds.FLOAT, [None, 2])], [info("Y", kinds.FLOAT, None)], tensors
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    return bytes(model.SerializeToString())
