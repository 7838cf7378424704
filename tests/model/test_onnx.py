"""Models in the ONNX format: what goes in, what their outputs are taken for, and one sentence where they do not fit."""

from __future__ import annotations

import os
import pickle
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import joblib
import numpy as np
import pytest
import threadpoolctl

from resmem_cli.errors import DataError, UsageError
from resmem_cli.model.bases import IMPORTABLE, Problem
from resmem_cli.model.bases.columns import Columns
from resmem_cli.model.bases.onnx import inputs
from resmem_cli.model.bases.onnx import session as room
from resmem_cli.model.bases.onnx.model import Onnx
from resmem_cli.model.bases.table import Field, Table

onnxruntime = pytest.importorskip("onnxruntime")
onnx = pytest.importorskip("onnx")
helper = onnx.helper
FLOAT, DOUBLE, INT64, BOOL, STRING, UINT8 = (
    getattr(onnx.TensorProto, name) for name in ("FLOAT", "DOUBLE", "INT64", "BOOL", "STRING", "UINT8")
)

A, B = Field("a", "number", 0), Field("b", "number", 1)
C = Field("c", "category", 2, categories=("x", "y", "z"))
D = Field("d", "boolean", 3)
V = Field("v", "vector", 4, 3)
NUMBERS, MIXED, EVERY = (A, B), (A, B, D, V), (A, B, C, D, V)
CLASSES = ("high", "low", "middle")
WEIGHTS = np.array([[1.0, -2.0, 0.5], [0.25, 3.0, -1.0]])  # of two numbers, one column per class
ML = "ai.onnx.ml"


def rows(n: int = 7, seed: int = 0) -> np.ndarray:
    """Encoded rows of EVERY column: a, b, c, d and the three of v."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 7))
    X[:, 2], X[:, 3] = rng.integers(0, 3, n), rng.integers(0, 2, n)
    return X


def tensor(name: str, *shape: Any, kind: int = FLOAT) -> Any:
    return helper.make_tensor_value_info(name, kind, list(shape))


def node(kind: str, inputs: str, output: str, **attributes: Any) -> Any:
    """One operator; what it reads is separated by spaces."""
    return helper.make_node(kind, inputs.split(), output.split(), **attributes)


def file(
    nodes: Sequence[Any], inputs: Sequence[Any], outputs: Sequence[Any], *, opset: int = 17, ir: int = 8, **weights: Any
) -> bytes:
    """The bytes of a graph; the weights are by name."""
    tensors = [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()]
    graph = helper.make_graph(list(nodes), "graph", list(inputs), list(outputs), tensors)
    domains = [helper.make_opsetid("", opset), helper.make_opsetid(ML, 3)]
    model = helper.make_model(graph, opset_imports=domains)
    model.ir_version = ir
    return model.SerializeToString()


def linear(
    weights: np.ndarray, *after: Any, given: Any = None, outputs: Sequence[Any] | None = None, **more: Any
) -> bytes:
    """X @ weights, called "Y"; then what comes after."""
    weights = weights.astype(np.float32)
    given = given or tensor("X", None, len(weights))
    outputs = outputs or [tensor("Y", None, weights.shape[1])]
    return file([node("MatMul", f"{given.name} W", "Y"), *after], [given], outputs, W=weights, **more)


def regression(n_inputs: int = 2) -> bytes:
    return linear(np.arange(1.0, n_inputs + 1)[:, None])


def classification(*after: Any, outputs: Sequence[Any] = (), **more: Any) -> bytes:
    """Three logits called "Y"."""
    return linear(WEIGHTS, *after, outputs=outputs or None, **more)


def imported(model: bytes, fields: Sequence[Field] = NUMBERS, classes: tuple[Any, ...] = (), **outputs: str) -> Onnx:
    return Onnx.imported(model, Table(tuple(fields), classes), outputs)


def refused(model: bytes, fields: Sequence[Field] = NUMBERS, classes: tuple[Any, ...] = (), **outputs: str) -> str:
    """The one sentence in which a model is refused."""
    with pytest.raises(UsageError) as raised:
        imported(model, fields, classes, **outputs)
    sentence = str(raised.value)
    assert "\n" not in sentence
    return sentence


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits)
    return powers / powers.sum(axis=1, keepdims=True)


def logits_of(X: np.ndarray) -> np.ndarray:
    return X[:, :2].astype(np.float32) @ WEIGHTS.astype(np.float32)


# The contract


def test_it_is_registered_and_never_fitted():
    assert IMPORTABLE["onnx"] is Onnx
    assert (Onnx.package, Onnx.stored_as, Onnx.reads_features) == ("onnxruntime", "onnx", True)
    assert Onnx.parameters(Problem((0,), 0, 0)) == {}
    with pytest.raises(AssertionError):
        Onnx.fit(rows(), rows()[:, 0], None, Problem((0,), 0, 0), {})


@pytest.mark.parametrize("classes", [(), CLASSES], ids=["regression", "classification"])
@pytest.mark.parametrize("n_rows", [0, 1, 7])
def test_a_restored_model_predicts_and_represents_the_same(n_rows, classes):
    model = classification() if classes else regression()
    base = imported(model, NUMBERS, classes, prediction="Y", embedding="Y")
    restored = Onnx.restore(base.to_arrays(), base.estimator)
    X = rows(n_rows)
    assert base.predict(X).shape == (n_rows, len(classes) or 1)
    assert base.predict(X).dtype == np.float64
    assert base.represent(X).dtype == np.float32
    np.testing.assert_array_equal(restored.predict(X), base.predict(X))
    np.testing.assert_array_equal(restored.represent(X), base.represent(X))


def test_only_the_bytes_are_pickled_and_a_worker_predicts_the_same():
    base = imported(classification(), NUMBERS, CLASSES)
    X = rows()
    expected = base.predict(X)
    assert len(pickle.dumps(base)) < len(base.estimator) + 2_000
    with joblib.parallel_config("loky", n_jobs=2, inner_max_num_threads=1):
        found = joblib.Parallel()(joblib.delayed(predicted)(base, X) for _ in range(2))
    for values, process in found:
        np.testing.assert_array_equal(values, expected)
        assert process != os.getpid()


def predicted(base: Onnx, X: np.ndarray) -> tuple[np.ndarray, int]:
    return base.predict(X), os.getpid()


def test_the_session_has_as_many_threads_as_hold_at_the_time(monkeypatch):
    started = []
    start = room._start
    monkeypatch.setattr(room, "_start", lambda data, threads: (started.append(threads), start(data, threads))[1])
    session = room.Session(regression())
    assert started == []  # not before it is asked for
    for threads in (1, 1, 2):
        with threadpoolctl.threadpool_limits(threads):
            assert session.running.get_session_options().intra_op_num_threads == threads
    assert started == [1, 2]
    assert session.running.get_session_options().inter_op_num_threads == 1


def test_equal_rows_have_equal_representations_wherever_they_stand():
    rng = np.random.default_rng(0)
    model = linear(rng.normal(size=(7, 64)), node("Relu", "Y", "h"), node("MatMul", "h U", "E"),
                   outputs=[tensor("E", None, 33)], U=rng.normal(size=(64, 33)).astype(np.float32))  # fmt: skip
    field = Field("v", "vector", 0, 7)
    base = imported(model, [field], tuple(range(33)), logits="E", embedding="E")
    X = rows(50)
    many = base.represent(np.tile(X, (101, 1))).reshape(101, 50, -1)
    np.testing.assert_array_equal(many, np.broadcast_to(many[0], many.shape))
    for i in (0, 3, 49):
        np.testing.assert_array_equal(base.represent(X[i : i + 1]), many[0, i : i + 1])


def test_rows_are_fed_a_few_thousand_at_once(monkeypatch):
    base = imported(regression(), NUMBERS)
    X = rows(23)
    whole = base.predict(X)
    monkeypatch.setattr(inputs, "_MOST_ROWS", 5)
    np.testing.assert_array_equal(base.predict(X), whole)
    monkeypatch.setattr(inputs, "_MOST_NUMBERS", 1)
    np.testing.assert_array_equal(base.predict(X), whole)


# What goes in


def test_one_matrix_takes_all_columns_in_order():
    X = rows()
    weights = np.arange(1.0, 7)[:, None]
    expected = X[:, [0, 1, 3, 4, 5, 6]].astype(np.float32) @ weights
    np.testing.assert_allclose(imported(linear(weights), MIXED).predict(X), expected, rtol=1e-5)
    shuffled = (V, D, B, A)
    expected = X[:, [4, 5, 6, 3, 1, 0]].astype(np.float32) @ weights
    np.testing.assert_allclose(imported(linear(weights), shuffled).predict(X), expected, rtol=1e-5)


def test_inputs_are_columns_by_name_in_any_order_and_of_any_type():
    inputs = [
        tensor("v", None, 3),
        tensor("b", None, kind=DOUBLE),
        tensor("d", None, 1, kind=BOOL),
        tensor("a", None, 1, kind=INT64),
        tensor("c", None, 1, kind=STRING),
    ]
    nodes = [
        node(
            "LabelEncoder",
            "c",
            "code",
            domain=ML,
            keys_strings=["x", "y", ""],
            values_floats=[10.0, 20.0, 70.0],
            default_float=-1.0,
        ),
        node("Cast", "d", "d2", to=FLOAT),
        node("Cast", "a", "a2", to=FLOAT),
        node("Cast", "b", "b1", to=FLOAT),
        node("Unsqueeze", "b1 axis", "b2"),
        node("Concat", "a2 b2 code d2 v", "all", axis=1),
        node("MatMul", "all W", "Y"),
    ]
    weights = np.array([1, 2, 1, 3, 5, 7, 9], np.float32)[:, None]
    model = file(nodes, inputs, [tensor("Y", None, 1)], W=weights, axis=np.array([1]))
    X = rows(9)
    X[:, 0] = np.arange(9)
    X[:, 2] = [0, 1, 2, np.nan, 0, 1, 2, 3, 3]  # 3 is beyond the categories: as if it were missing
    expected = X[:, [0, 1, 3, 4, 5, 6]] @ np.delete(weights[:, 0], 2)
    expected += np.array([10, 20, -1, 70, 10, 20, -1, 70, 70])
    base = imported(model, EVERY)
    np.testing.assert_allclose(base.predict(X)[:, 0], expected, rtol=1e-5)


def test_a_text_matrix_takes_categories():
    fields = (C, Field("e", "category", 3, categories=("u", "w")))
    nodes = [
        node("LabelEncoder", "X", "codes", domain=ML, keys_strings=["x", "y", "u", "w"],
             values_floats=[1.0, 2.0, 30.0, 40.0], default_float=0.0),
        node("ReduceSum", "codes axis", "Y", keepdims=1),
    ]  # fmt: skip
    model = file(nodes, [tensor("X", None, 2, kind=STRING)], [tensor("Y", None, 1)], axis=np.array([1]))
    X = np.zeros((3, 4))
    X[:, 2], X[:, 3] = [0, 1, np.nan], [1, 0, 1]
    assert imported(model, fields).predict(X)[:, 0].tolist() == [41, 32, 40]
    assert refused(model, (C, A)) == (
        "the model's input 'X' takes text, and the column 'a' is a number; say --category 'a' if it is categorical, "
        "or leave it out with --drop 'a'"
    )


@pytest.mark.parametrize("shape", [(1, 2, 3), (2, 3), (None, 1, 2, 3), ("n", 2, 3)])
@pytest.mark.parametrize("name", ["X", "image"])
def test_an_image_is_its_pixels_row_by_row(shape, name):
    """An input of the column's name, or one of any name that takes all there is."""
    image = Field("image", "vector", 1, 6)
    shape = shape if not isinstance(shape[0], int) else (None, *shape)
    nodes = [node("Flatten", name, "flat"), node("MatMul", "flat W", "Y")]
    weights = np.arange(1.0, 7, dtype=np.float32)[:, None]
    base = imported(file(nodes, [tensor(name, *shape)], [tensor("Y", None, 1)], W=weights), [image])
    X = rows()
    np.testing.assert_allclose(base.predict(X), X[:, 1:7] @ weights, rtol=1e-5)


def test_pixels_may_be_bytes():
    nodes = [node("Cast", "X", "numbers", to=FLOAT), node("MatMul", "numbers W", "Y")]
    weights = np.ones((3, 1), np.float32)
    base = imported(file(nodes, [tensor("X", None, 3, kind=UINT8)], [tensor("Y", None, 1)], W=weights), [V])
    X = np.array([[0, 0, 0, 0, 255, 1, 7.0]])
    assert base.predict(X).item() == 263
    X[0, 5] = 256
    with pytest.raises(DataError, match="the column 'v' holds 256, and the model's input 'X' takes uint8; correct the"):
        base.predict(X)


@pytest.mark.parametrize("shape", [(None, None), ("n", "m"), ()])
def test_an_open_width_takes_as_many_columns_as_there_are(shape):
    given = tensor("X", *shape) if shape else helper.make_tensor_value_info("X", FLOAT, None)
    X = rows()
    np.testing.assert_allclose(imported(linear(np.ones((2, 1)), given=given)).predict(X)[:, 0], X[:, 0] + X[:, 1], 1e-5)


@pytest.mark.parametrize("n_at_once", [1, 3, 200])
@pytest.mark.parametrize("n_rows", [1, 3, 7])
def test_a_model_of_a_fixed_batch_gets_so_many_rows_at_once(n_at_once, n_rows):
    model = classification(given=tensor("X", n_at_once, 2), outputs=[tensor("Y", n_at_once, 3)])
    base = imported(model, NUMBERS, CLASSES, embedding="Y", logits="Y")
    X = rows(n_rows)
    np.testing.assert_allclose(base.predict(X), softmax(logits_of(X)), rtol=1e-5)
    assert base.represent(X).shape == (n_rows, 3)


def test_missing_numbers_are_not_a_number():
    nodes = [node("IsNaN", "X", "is"), node("Cast", "is", "Y", to=FLOAT)]
    base = imported(file(nodes, [tensor("X", None, 1)], [tensor("Y", None, 1)]), [A])
    assert base.predict(np.array([[1.0], [np.nan]]))[:, 0].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("kind", "value", "said"),
    [
        (INT64, np.nan, "the column 'a' is missing in a row, and the model's input 'a' takes int64; correct the value"),
        (INT64, 1.5, "the column 'a' holds 1.5, and the model's input 'a' takes int64; correct the value"),
        (INT64, 1e30, "the column 'a' holds 1e+30, and the model's input 'a' takes int64; correct the value"),
        (BOOL, 2.0, "the column 'a' holds 2, and the model's input 'a' takes bool; correct the value"),
        (BOOL, np.nan, "the column 'a' is missing in a row, and the model's input 'a' takes bool; correct the value"),
    ],
)
def test_what_an_input_cannot_take_is_said(kind, value, said):
    base = imported(file([node("Cast", "a", "Y", to=FLOAT)], [tensor("a", None, 1, kind=kind)], [tensor("Y", None, 1)]))
    assert base.predict(np.array([[1.0, 0.0]])).item() == 1
    with pytest.raises(DataError) as raised:
        base.predict(np.array([[1.0, 0.0], [value, 0.0]]))
    assert str(raised.value) == said


def test_columns_that_a_model_cannot_take_are_named():
    when = Field("when", "timestamp", 0, 7)
    drop = "or give it as the numbers that the model was trained on"
    assert refused(regression(3), (A, B, C)) == (
        f"the model's input 'X' takes numbers, and the column 'c' is a category; leave it out with --drop 'c', {drop}"
    )
    assert refused(regression(7), (when,)) == (
        "the model's input 'X' takes numbers, and the column 'when' is a timestamp; leave it out with --drop 'when', "
        f"{drop}"
    )
    by_name = linear(np.ones((1, 1)), given=tensor("c", None, 1))
    assert "the model's input 'c' takes numbers, and the column 'c' is a category" in refused(by_name, EVERY)
    two = file([node("Add", "a e", "Y")], [tensor("a", None, 1), tensor("e", None, 1)], [tensor("Y", None, 1)])
    assert refused(two) == "the model needs the column 'e', which is not among the features; the features are: a, b"


@pytest.mark.parametrize(
    ("given", "fields", "said"),
    [
        (("X", None, 3), NUMBERS, "input 'X' takes 3 numbers per row, and the columns make 2; name the columns that"),
        (("X", None, 1, 4, 4), MIXED, "input 'X' takes 16 numbers per row, and the columns make 6; name the columns"),
        (("X", None), NUMBERS, "input 'X' takes 1 numbers per row, and the columns make 2; name the columns that"),
        (("v", None, 4), EVERY, "input 'v' takes 4 numbers per row, and the columns make 3; name the columns that"),
        (("X", None, None, 4), NUMBERS, "input 'X' has the open shape [None, None, 4], and the columns make 2 numbers"),
        (("X", None, 1, "h", "w"), MIXED, "input 'X' has the open shape [None, 1, 'h', 'w'], and the columns make 6"),
    ],
)
def test_a_wrong_width_is_told_with_both_numbers(given, fields, said):
    model = file([node("Identity", given[0], "Y")], [tensor(*given)], [tensor("Y", *given[1:])])
    assert f"the model's {said}" in refused(model, fields)


def test_inputs_that_are_no_rows_are_refused():
    nothing = file([node("Identity", "W", "Y")], [], [tensor("Y", 1)], W=np.ones(1, np.float32))
    assert refused(nothing) == "the ONNX model has no input; export it with the features as inputs"
    inputs = [tensor("a", 2, 1), tensor("b", 3, 1)]
    several = file([node("Concat", "a b", "Y", axis=0)], inputs, [tensor("Y", 5, 1)])
    assert (
        refused(several)
        == "the inputs of the ONNX model have the fixed batch sizes 2 and 3; export it with one batch size"
    )
    listed = [helper.make_tensor_sequence_value_info("X", FLOAT, None)]
    sequence = file([node("ConcatFromSequence", "X", "Y", axis=0)], listed, [tensor("Y", None, 1)])
    assert refused(sequence) == (
        "the model's input 'X' has the unsupported type seq(tensor(float)); export it with plain tensors"
    )


# What comes out: numbers


def test_a_number_is_the_only_output_or_the_first_of_one_column():
    X = rows()
    expected = X[:, [0]] + 2 * X[:, [1]]
    np.testing.assert_allclose(imported(regression()).predict(X), expected, rtol=1e-5)
    outputs = [tensor("wide", None, 2), tensor("Y", None, 1), tensor("Z", None, 1)]
    after = [node("Concat", "Y Y", "wide", axis=1), node("Neg", "Y", "Z")]
    several = linear(np.array([[1.0], [2.0]]), *after, outputs=outputs)
    np.testing.assert_allclose(imported(several).predict(X), expected, rtol=1e-5)
    np.testing.assert_allclose(imported(several, prediction="Z").predict(X), -expected, rtol=1e-5)
    flat = linear(np.array([[1.0], [2.0]]), node("Squeeze", "Y axis", "F"), outputs=[tensor("F", None)], axis=[1])
    np.testing.assert_allclose(imported(flat).predict(X), expected, rtol=1e-5)


def test_a_prediction_that_is_no_finite_number_is_refused():
    base = imported(regression(), embedding="Y", prediction="Y")
    for ask in (base.predict, base.represent):
        with pytest.raises(DataError) as raised:
            ask(np.array([[1.0, np.nan]]))
        assert str(raised.value) == (
            "the ONNX model predicts a value that is not finite; impute missing values as in its training, or leave "
            "the row out"
        )


def test_outputs_that_are_not_the_target_are_refused():
    several = linear(WEIGHTS, node("Add", "Y Y", "Z"), outputs=[tensor("Y", None, 3), tensor("Z", None, 3)])
    listed = "choose one with --output prediction=NAME from:  Y (3 numbers per row), Z (3 numbers per row)"
    assert refused(several) == f"no output of the ONNX model is one number per row; {listed}"
    assert (
        refused(several, prediction="Z")
        == f"the output 'Z' is 3 numbers per row, and the target is one number; {listed}"
    )
    total = linear(np.ones((2, 1)), node("ReduceSum", "Y", "S"), outputs=[tensor("S", 1, 1)])
    assert "the output 'S' is no number per row, and the target is one number" in refused(total)


# What comes out: classes


def test_logits_are_told_from_probabilities():
    X = rows()
    expected = softmax(logits_of(X))
    normalised = classification(node("Softmax", "Y", "P"), outputs=[tensor("P", None, 3)])
    for model, form in ((classification(), "logits"), (normalised, "probabilities")):
        base = imported(model, NUMBERS, CLASSES)
        assert base.answer.form == form
        np.testing.assert_allclose(base.predict(X), expected, rtol=1e-4)


def test_logits_that_are_small_where_numbers_are_small_are_still_logits():
    """A model of large numbers has small weights: rows of size 1 alone would not tell."""
    base = imported(linear(np.array([[1e-3], [-2e-3]]), node("Add", "Y b", "Z"), outputs=[tensor("Z", None, 1)],
                           b=np.array([0.4], np.float32)), NUMBERS, ("no", "yes"))  # fmt: skip
    assert base.answer.form == "logits"


@pytest.mark.parametrize(("after", "form"), [((), "logits"), ((node("Sigmoid", "Y", "P"),), "probabilities")])
@pytest.mark.parametrize("dimensions", [1, 2])
def test_one_number_for_two_classes_is_the_second_ones(after, form, dimensions):
    last = "P" if after else "Y"
    squeeze = [node("Squeeze", f"{last} axis", "F")] if dimensions == 1 else []
    output = tensor("F", None) if dimensions == 1 else tensor(last, None, 1)
    base = imported(
        linear(WEIGHTS[:, :1], *after, *squeeze, outputs=[output], axis=np.array([1])), NUMBERS, (False, True)
    )
    X = rows()
    likely = 1 / (1 + np.exp(-logits_of(X)[:, 0]))
    assert base.answer.form == form
    np.testing.assert_allclose(base.predict(X), np.stack([1 - likely, likely], axis=1), rtol=1e-4)


def test_the_user_may_say_what_an_output_holds():
    X = rows()
    forced = imported(classification(node("Abs", "Y", "P"), outputs=[tensor("P", None, 3)]), NUMBERS, CLASSES,
                      probabilities="P")  # fmt: skip
    size = np.abs(logits_of(X))
    np.testing.assert_allclose(forced.predict(X), size / size.sum(axis=1, keepdims=True), rtol=1e-4)
    normalised = classification(node("Softmax", "Y", "P"), outputs=[tensor("P", None, 3)])
    np.testing.assert_allclose(
        imported(normalised, NUMBERS, CLASSES, logits="P").predict(X), softmax(softmax(logits_of(X))), rtol=1e-4
    )


def test_what_cannot_be_told_is_asked():
    model = classification(node("Sigmoid", "Y", "P"), outputs=[tensor("P", None, 3)])
    assert refused(model, NUMBERS, CLASSES) == (
        "the output 'P' may hold probabilities or logits; add --output probabilities=P or --output logits=P"
    )
    assert imported(model, NUMBERS, CLASSES, probabilities="P").answer.form == "probabilities"


def test_a_logit_may_be_minus_infinity():
    model = classification(node("Add", "Y m", "Z"), outputs=[tensor("Z", None, 3)], m=np.float32([0, -np.inf, 0]))
    predicted = imported(model, NUMBERS, CLASSES, logits="Z").predict(rows())
    assert (predicted[:, 1] == 0).all()
    np.testing.assert_allclose(predicted.sum(axis=1), 1)


def labelled(labels: Sequence[Any], *, zipmap: bool = False) -> bytes:
    """A classifier with its label, whose columns are in the order of `labels`, and their probabilities."""
    is_text = isinstance(labels[0], str)
    names = {"classlabels_strings" if is_text else "classlabels_int64s": list(labels)}
    kind = STRING if is_text else INT64
    nodes = [
        node("MatMul", "X W", "Z"),
        node("Softmax", "Z", "P"),
        node("ArgMax", "Z", "best", axis=1, keepdims=0),
        node("Gather", "names best", "label"),
    ]
    weights = {"W": WEIGHTS.astype(np.float32), "names": np.array(labels, dtype=object if is_text else np.int64)}
    if not zipmap:
        return file(nodes, [tensor("X", None, 2)], [tensor("label", None, kind=kind), tensor("P", None, 3)], **weights)
    value = helper.make_map_type_proto(kind, helper.make_tensor_type_proto(FLOAT, []))
    mapped = helper.make_value_info("mapped", helper.make_sequence_type_proto(value))
    nodes.append(node("ZipMap", "P", "mapped", domain=ML, **names))
    return file(nodes, [tensor("X", None, 2)], [tensor("label", None, kind=kind), mapped], **weights)


@pytest.mark.parametrize("zipmap", [False, True])
@pytest.mark.parametrize(
    ("labels", "classes", "order"),
    [
        (("high", "low", "middle"), CLASSES, [0, 1, 2]),
        (("middle", "high", "low"), CLASSES, [1, 2, 0]),  # no sorted order: the labels say so
        ((8, 9, 10), ("10", "8", "9"), [2, 0, 1]),
        (("10", "8", "9"), (8, 9, 10), [1, 2, 0]),
        ((1, 2, 3), (1.0, 2.0, 3.0), [0, 1, 2]),
        ((3, 1, 2), (1, 2, 3), [1, 2, 0]),
    ],
)
def test_labels_say_which_column_is_which_class(labels, classes, order, zipmap):
    X = rows()
    predicted = imported(labelled(labels, zipmap=zipmap), NUMBERS, classes).predict(X)
    np.testing.assert_allclose(predicted, softmax(logits_of(X))[:, order], rtol=1e-4)


@pytest.mark.parametrize("zipmap", [False, True])
@pytest.mark.parametrize("classes", [CLASSES, (10, 20, 30), (0.5, 1.5, 2.5)])
@pytest.mark.parametrize("labels", [(0, 1, 2), (2, 0, 1)])
def test_labels_that_are_codes_are_of_the_classes_in_order(labels, classes, zipmap):
    X = rows()
    predicted = imported(labelled(labels, zipmap=zipmap), NUMBERS, classes).predict(X)
    np.testing.assert_allclose(predicted, softmax(logits_of(X))[:, np.argsort(labels)], rtol=1e-4)


def test_labels_that_contradict_the_columns_are_refused():
    """Two columns whose rows have the same label."""
    model = linear(
        WEIGHTS,
        node("ArgMax", "Y", "best", axis=1, keepdims=0),
        node("Gather", "names best", "label"),
        outputs=[tensor("label", None, kind=STRING), tensor("Y", None, 3)],
        names=np.array(["low", "high", "high"], object),
    )
    assert refused(model, NUMBERS, CLASSES) == (
        "the labels of the model do not tell which column of the output 'Y' belongs to which class; "
        "export it with the probabilities as a map (zipmap), or without the labels"
    )


@pytest.mark.parametrize("zipmap", [False, True])
def test_other_classes_are_refused_and_both_listed(zipmap):
    assert refused(labelled(("high", "low", "mean"), zipmap=zipmap), NUMBERS, CLASSES) == (
        "the model's classes (high, low, mean) are not the target's (high, low, middle); "
        "check --target, or give rows of the same classes"
    )


def test_another_number_of_classes_is_told_with_both_numbers():
    hint = "give a model of the same classes that gives probabilities or logits, or use prediction=NAME"
    assert refused(classification(), NUMBERS, ("a", "b")) == (
        f"the output 'Y' is 3 numbers per row, and the target has 2 classes; {hint}"
    )
    assert refused(regression(), NUMBERS, CLASSES) == (
        f"the output 'Y' is one number per row, and the target has 3 classes; {hint}"
    )
    assert refused(labelled(CLASSES), NUMBERS, CLASSES, prediction="label") == (
        f"the output 'label' is a label per row, and the target has 3 classes; {hint}"
    )


def test_a_column_per_class_in_outputs_of_their_own_is_not_guessed_at():
    outputs = [tensor("i0", None, 1), tensor("i1", None, 1)]
    model = linear(WEIGHTS[:, :1], node("Sigmoid", "Y", "i1"), node("Sub", "one i1", "i0"), outputs=outputs,
                   one=np.ones(1, np.float32))  # fmt: skip
    assert refused(model, NUMBERS, ("no", "yes")) == (
        "no output of the ONNX model is a number per class of 2; choose one with --output prediction=NAME from:  "
        "i0 (one number per row), i1 (one number per row)"
    )
    assert imported(model, NUMBERS, ("no", "yes"), prediction="i1").predict(rows()).shape == (7, 2)


# What the user names


def test_an_embedding_is_an_output_with_its_dimensions_in_one():
    model = linear(WEIGHTS, node("Reshape", "Y to", "E"), node("ReduceMax", "Y", "M", axes=[1], keepdims=1),
                   outputs=[tensor("E", None, 3, 1), tensor("M", None, 1)], to=np.array([-1, 3, 1]))  # fmt: skip
    X = rows()
    base = imported(model, embedding="E")
    np.testing.assert_allclose(base.represent(X), logits_of(X), rtol=1e-5)
    np.testing.assert_allclose(base.predict(X)[:, 0], logits_of(X).max(axis=1), rtol=1e-5)
    assert imported(model, prediction="M").represent(X) is None


def test_an_output_that_is_wider_than_when_it_was_imported_is_refused():
    base = imported(classification(), NUMBERS, CLASSES, prediction="Y", embedding="Y")
    other = replace(base, answer=replace(base.answer, n_embedded=2))
    with pytest.raises(UsageError, match="the output 'Y' has 3 numbers in a row, and 2 in others"):
        other.represent(rows())


def test_names_that_are_not_there_are_refused_with_those_that_are():
    said = "the ONNX model has no output 'Q'; its outputs are: Y"
    assert refused(regression(), prediction="Q") == said
    assert refused(regression(), embedding="Q") == said
    assert refused(regression(), answer="Y") == (
        "'answer' is not a role of an output; use one of prediction, probabilities, logits, and embedding"
    )
    assert "prediction and logits exclude each other" in refused(classification(), prediction="Y", logits="Y")
    assert (
        refused(regression(), logits="Y")
        == "logits are for classification, and the target is a number; use prediction=NAME"
    )
    assert refused(labelled(CLASSES), NUMBERS, CLASSES, embedding="label") == (
        "the output 'label' is not numeric for every row; choose another output as the embedding"
    )


# Files that do not run


@pytest.mark.parametrize("data", [b"", b"no model", bytes(100), b"\x08\x07", regression()[:-20]])
def test_damaged_bytes_are_a_value_error(data):
    with pytest.raises(ValueError, match="it is damaged, or not an ONNX model"):
        imported(data)
    with pytest.raises(ValueError, match="it is damaged, or not an ONNX model"):
        Onnx.restore(imported(regression()).to_arrays(), data)


@pytest.mark.parametrize(
    "changes",
    [
        {"form": "guess"},
        {"output": "Q"},
        {"embedding": "Q"},
        {"order": (0, 1, 1)},
        {"order": (0, 1)},
        {"order": ()},
    ],
)
def test_a_stored_answer_that_does_not_fit_its_model_is_a_value_error(changes):
    base = imported(classification(), NUMBERS, CLASSES)
    base = replace(base, answer=replace(base.answer, **changes))
    said = "the model lacks an output that it was imported with"
    if "form" in changes:
        said = "^form is 'guess', not one of predictions, probabilities, logits$"
    with pytest.raises(ValueError, match=said):
        Onnx.restore(base.to_arrays(), base.estimator)


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (linear(WEIGHTS, opset=999), "Opset 999 is under development"),
        (linear(WEIGHTS, ir=99), "Unsupported model IR version: 99"),
        (linear(WEIGHTS, node("Magic", "Y", "Z", domain="own")), "No opset import for domain 'own'"),
    ],
)
def test_what_onnxruntime_does_not_run_is_told_with_its_version_and_reason(model, reason):
    sentence = refused(model)
    assert sentence.startswith(f"the ONNX model cannot be run by onnxruntime {onnxruntime.__version__} (")
    assert reason in sentence
    assert "onnxruntime_src" not in sentence
    assert len(sentence) < 400
    assert sentence.endswith("); export it with a lower opset and with standard operators, or upgrade onnxruntime")


def test_a_model_that_fails_on_rows_is_told_with_the_reason():
    model = file(
        [node("Gather", "W a", "Y")], [tensor("a", None, kind=INT64)], [tensor("Y", None)], W=np.ones(2, np.float32)
    )
    base = imported(model)
    with pytest.raises(
        UsageError, match=r"the ONNX model fails on rows of these columns \(.*out of data bounds.*\); check"
    ):
        base.predict(np.array([[5.0, 0.0]]))


def test_weights_in_other_files_are_refused_and_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    Path("weights.bin").write_bytes(np.ones(2, np.float32).tobytes())
    model = onnx.load_from_string(regression())
    weights = model.graph.initializer[0]
    weights.ClearField("raw_data")
    weights.data_location = onnx.TensorProto.EXTERNAL
    weights.external_data.add(key="location", value="weights.bin")
    data = model.SerializeToString()
    hint = "save it as one smaller file, or write its predictions as columns"
    assert refused(data) == f"the ONNX model keeps weights in other files; {hint}"
    monkeypatch.setattr(room, "_EXTERNAL_WEIGHTS", b"never")
    assert "weights.bin" in refused(data)  # not even if it is written so that we do not see it
    monkeypatch.setattr(room, "_MOST_BYTES", 10)
    assert refused(data) == f"the ONNX model is larger than 2 GiB; {hint}"


def test_without_onnxruntime_the_extra_is_named(monkeypatch):
    monkeypatch.setattr("resmem_cli.model.bases.protocol.is_installed", lambda package: False)
    assert refused(regression()) == (
        "this base needs the package onnxruntime, which is not installed; install it: pip install 'resmem-cli[onnx]'"
    )


# What scikit-learn's converter writes


@pytest.mark.parametrize("options", [{}, {"zipmap": False}])
@pytest.mark.parametrize("classes", [("no", "yes"), CLASSES, (7, 30, 200), (False, True), None], ids=str)
def test_converted_pipelines_predict_as_they_did(options, classes):
    skl2onnx = pytest.importorskip("skl2onnx")
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    pd = pytest.importorskip("pandas")
    X = rows(60)
    frame = pd.DataFrame({"b": X[:, 1], "c": np.array(["x", "y", "z"], object)[X[:, 2].astype(int)], "a": X[:, 0]})
    encode = make_column_transformer((StandardScaler(), ["a", "b"]), (OneHotEncoder(), ["c"]))
    value = np.digitize(X[:, 0] + X[:, 2], [0, 1.5])
    y = X[:, 0] if classes is None else np.array(classes)[value % len(classes)]
    model = make_pipeline(encode, Ridge() if classes is None else LogisticRegression()).fit(frame, y)
    number, text = FloatTensorType([None, 1]), StringTensorType([None, 1])
    converted = skl2onnx.convert_sklearn(
        model,
        initial_types=[("b", number), ("c", text), ("a", number)],
        options={id(model): options} if classes else None,
    )
    base = imported(converted.SerializeToString(), EVERY, classes or ())
    expected = model.predict(frame)[:, None] if classes is None else model.predict_proba(frame)
    np.testing.assert_allclose(base.predict(X), expected, atol=1e-5)


def test_numbers_are_those_that_columns_make_of_them():
    """A base of this kind and one of columns treat what another model gives alike."""
    X = rows()
    columns = Columns("logits", 0, 3).predict(logits_of(X).astype(np.float64))
    np.testing.assert_allclose(imported(classification(), NUMBERS, CLASSES).predict(X), columns)


def test_an_output_that_is_no_tensor_is_no_number(monkeypatch):
    given = SimpleNamespace(name="X", type="tensor(bfloat16)", shape=[None, 2])
    with pytest.raises(UsageError, match=r"the model's input 'X' has the unsupported type tensor\(bfloat16\)"):
        inputs.fill([given], Table(NUMBERS))
