"""Bases that came from elsewhere: columns that another model has written, or a file."""

from __future__ import annotations

import json
import pickle
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import skops.io
from sklearn.linear_model import LinearRegression

from resmem_cli.model.bases import COLUMNS
from tests.cli.conftest import Run, snapshot, write_csv

Fails = Callable[..., None]
USAGE, DATA = 2, 3
N_ROWS, N_NEW = 400, 100
CLASSES = ("high", "low", "middle")
FIXED = ("--neighbors", 8, "--bandwidth", 0.3, "--shrinkage", 1)


def rows(n: int, seed: int = 0) -> pa.Table:
    """Rows with a number, a class, and what a model that sees no `b` makes of them."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, n))
    value = a + np.sin(2 * b)
    logits = np.stack([-a, a, 0.3 - np.abs(a)], axis=1)
    powers = np.exp(logits)
    probabilities = powers / powers.sum(axis=1, keepdims=True)
    embedding = np.stack([a, b, a * b], axis=1).astype(np.float32)
    return pa.table(
        {
            "a": a,
            "b": b,
            "guess": a,
            **{f"p_{name}": probabilities[:, i] for i, name in enumerate(CLASSES)},
            "logits": list(logits),
            "embedding": pa.FixedSizeListArray.from_arrays(embedding.ravel(), 3),
            "y": value,
            "size": np.array(CLASSES)[np.digitize(value, [-0.5, 0.5]) * 2 % 3],
            "is_high": value > 0.5,
            "p": 1 / (1 + np.exp(-3 * (a - 0.5))),
        }
    )


@pytest.fixture
def data(tmp_path: Path) -> Path:
    pq.write_table(rows(N_ROWS), tmp_path / "train.parquet")
    pq.write_table(rows(N_NEW, seed=1), tmp_path / "test.parquet")
    return tmp_path


def fit(run: Run, *base: object, memory: tuple[object, ...] = ()) -> dict[str, Any]:
    """Fit both, evaluate on other rows, and return what evaluate prints."""
    for words in (
        ("fit-base", "train.parquet", "--model", "m", *base),
        ("fit-residual", "train.parquet", "--model", "m", "--effort", "quick", *memory),
    ):
        ended = run(*words)
        assert ended.code == 0, ended.err
    return dict(json.loads(run("evaluate", "test.parquet", "--model", "m", "--json").out))


NUMBER = ("--target", "y", "--features", "a,b", "--predictions", "guess")
OF_CLASS = ("--target", "size", "--features", "a,b")


def test_a_number_that_another_model_predicted(data: Path, run: Run) -> None:
    found = fit(run, *NUMBER)
    new = pq.read_table(data / "test.parquet")
    error = np.sqrt(np.mean((new["y"].to_numpy() - new["guess"].to_numpy()) ** 2))
    assert found["metrics"]["rmse"]["base"] == pytest.approx(error)
    assert found["metrics"]["rmse"]["gain_percent"] > 40
    manifest = json.loads((data / "m" / "base.json").read_text())
    assert [base["estimator"] for base in manifest["bases"]] == [COLUMNS]


@pytest.mark.parametrize(
    "given",
    [
        ("--probabilities", "p_"),
        ("--probabilities", "p_high,p_low,p_middle"),
        ("--probabilities", "p_low,p_middle,p_high"),
        ("--logits", "logits"),
    ],
)
def test_probabilities_and_logits_of_classes_are_the_same_base(data: Path, run: Run, given: tuple[str, str]) -> None:
    metrics = fit(run, *OF_CLASS, *given)["metrics"]
    new = pq.read_table(data / "test.parquet")
    chosen = np.stack([new[f"p_{name}"].to_numpy() for name in CLASSES], axis=1)
    codes = [CLASSES.index(name) for name in new["size"].to_pylist()]
    assert metrics["log_loss"]["base"] == pytest.approx(-np.log(chosen[np.arange(N_NEW), codes]).mean(), rel=1e-6)
    assert metrics["log_loss"]["gain_percent"] > 20


def test_of_two_classes_the_probability_of_the_second_suffices(data: Path, run: Run) -> None:
    metrics = fit(run, "--target", "is_high", "--features", "a,b", "--probabilities", "p")["metrics"]
    new = pq.read_table(data / "test.parquet")
    right = (new["p"].to_numpy() > 0.5) == new["is_high"].to_numpy(zero_copy_only=False)
    assert metrics["accuracy"]["base"] == pytest.approx(right.mean())


def test_an_embedding_is_the_models_representation_and_a_column_of_its_own(data: Path, run: Run) -> None:
    """Both are the same memory."""
    common = ("--target", "y", "--predictions", "guess")
    fixed = ("--folds", 0, *FIXED)
    one = fit(run, *common, "--embedding", "embedding", memory=(*fixed, "--representation", "model"))
    other = fit(run, *common, memory=(*fixed, "--representation", "column:embedding"))
    assert one == other
    fitted = run("fit-base", "train.parquet", "--target", "y", "--estimator", "linear", "--model", "m")
    assert fitted.code == 0
    words = ("fit-residual", "train.parquet", "--model", "m", *fixed)
    assert "representation column:embedding" in run(*words, "--representation", "column:embedding").err


def test_csv_and_parquet_give_the_same_predictions_of_vectors(data: Path, run: Run) -> None:
    fit(run, *OF_CLASS, "--logits", "logits")
    table = pq.read_table(data / "test.parquet").select(["a", "b", "logits"])
    lists = pa.array(["[" + ", ".join(map(repr, each)) + "]" for each in table["logits"].to_pylist()])
    quoted = pa.table({"a": table["a"], "b": table["b"], "logits": pa.array([f'"{text.as_py()}"' for text in lists])})
    write_csv(quoted, data / "test.csv")
    words = ("predict", "--model", "m", "--keep", "none", "--probabilities", "--quiet")
    assert run(*words, "test.csv").out == run(*words, "test.parquet").out
    written = run("predict", "test.parquet", "--model", "m", "--quiet").out.splitlines()[1]
    assert '"[' in written
    assert run("predict", "test.csv", "--model", "m", "--output", "out.parquet", "--quiet").code == 0
    assert pq.read_table("out.parquet").num_rows == N_NEW


def test_what_trained_the_base_is_not_known_and_is_said(data: Path, run: Run) -> None:
    fit(run, *NUMBER)
    ended = run("fit-residual", "train.parquet", "--model", "m", "--effort", "quick")
    assert "(assumed new to the base)" in ended.lines[0]
    assert ended.lines[1] == (
        "note: the base's training rows are not known: if they are these, the gain is overestimated; remember rows "
        "that it was not trained on, or give some with --valid"
    )


def test_rows_that_the_base_was_not_trained_on_are_what_the_folds_ask_about(data: Path, run: Run) -> None:
    train = rows(N_ROWS)
    seen = train.set_column(train.column_names.index("guess"), "guess", pa.array(train["y"].to_numpy() * 0.999))
    pq.write_table(seen, data / "train.parquet")
    pq.write_table(rows(200, seed=2), data / "valid.parquet")
    fit(run, *NUMBER)
    ended = run("fit-residual", "train.parquet", "--valid", "valid.parquet", "--model", "m", "--effort", "quick")
    assert "on 200 held-out rows (new to the base)" in ended.lines[0] or "on 199 held-out rows" in ended.lines[0]
    assert "it was probably trained on the former, so their residuals are too small" in ended.err
    assert "memorised 600 rows" in ended.err
    assert "equal training rows" in run("evaluate", "valid.parquet", "--model", "m").out


def test_rows_to_decide_by_are_no_memory_of_each_other(data: Path, run: Run) -> None:
    """Of groups of six rows with a level of their own, new groups gain nothing, however many rows of one are given."""

    def groups(name: str, seed: int) -> None:
        rng = np.random.default_rng(seed)
        places, levels = np.repeat(rng.normal(size=(100, 3)), 6, axis=0), np.repeat(rng.normal(0, 3, 100), 6)
        columns = places + rng.normal(0, 0.02, places.shape)
        table = dict(zip("abc", columns.T, strict=True)) | {"y": columns[:, 0] + levels + rng.normal(0, 0.3, 600)}
        pq.write_table(pa.table(table), data / name)

    groups("first.parquet", 0)
    groups("valid.parquet", 1)
    run("fit-base", "first.parquet", "--target", "y", "--model", "m", "--estimator", "linear")
    ended = run("fit-residual", "first.parquet", "--valid", "valid.parquet", "--model", "m", "--effort", "quick")
    assert "rmse on 600 held-out rows (new to the base)" in ended.lines[0]
    found = re.search(r"gain ([+-][0-9.]+) %", ended.lines[0])
    assert found is not None
    assert abs(float(found[1])) < 5  # it was 83
    assert "memorised 1,200 rows" in ended.lines[-1]


def test_the_estimators_are_listed_with_what_there_is_to_install(run: Run) -> None:
    ended = run("fit-base", "--list-estimators")
    assert ended.code == 0
    for name in ("boosting", "lightgbm", "xgboost", "catboost", "linear", "mlp", "constant", "onnx", "sklearn"):
        assert name in ended.out


class TestFiles:
    """`--import`: what is in the file is told by its content."""

    WORDS = ("fit-base", "train.parquet", "--target", "y", "--features", "a,b", "--model", "m")

    def saved(self, path: Path, *, as_pickle: bool) -> None:
        table = rows(N_ROWS)
        X = np.stack([table["a"].to_numpy(), table["b"].to_numpy()], axis=1)
        estimator = LinearRegression().fit(X, table["y"].to_numpy())
        path.write_bytes(pickle.dumps(estimator) if as_pickle else skops.io.dumps(estimator))

    def test_an_estimator_of_scikit_learn(self, data: Path, run: Run) -> None:
        self.saved(data / "line.skops", as_pickle=False)
        ended = run(*self.WORDS, "--import", "line.skops")
        assert ended.lines[0] == (
            "note: the model was fitted without column names: its columns are, in order, 'a', 'b'"
        )
        assert ended.lines[1].startswith(
            "imported the sklearn model as the base, with the schema of 400 rows and 2 features"
        )
        assert run("fit-residual", "train.parquet", "--model", "m", "--effort", "quick").code == 0
        found = json.loads(run("evaluate", "test.parquet", "--model", "m", "--json").out)
        assert found["metrics"]["rmse"]["gain_percent"] > 20

    def test_a_pickle_is_loaded_only_when_it_is_trusted_and_never_stored(self, data: Path, run: Run) -> None:
        self.saved(data / "line.pkl", as_pickle=True)
        ended = run(*self.WORDS, "--import", "line.pkl")
        assert ended.err == (
            "resmem: 'line.pkl' is a pickle, and loading a pickle can run any code; if you trust its source, add "
            "--trust-pickle; or save the model with skops\n"
        )
        assert ended.code == USAGE
        assert run(*self.WORDS, "--import", "line.pkl", "--trust-pickle").code == 0
        assert {path.suffix for path in (data / "m" / "parts").rglob("*.*")} == {".npz", ".skops"}

    def test_a_boosters_file(self, data: Path, run: Run) -> None:
        lightgbm = pytest.importorskip("lightgbm")
        table = rows(N_ROWS)
        X = np.stack([table["b"].to_numpy(), table["a"].to_numpy()], axis=1)
        dataset = lightgbm.Dataset(X, table["y"].to_numpy(), feature_name=["b", "a"])
        lightgbm.train({"verbosity": -1, "num_threads": 1}, dataset, 5).save_model(data / "trees.txt")
        ended = run(*self.WORDS, "--import", "trees.txt")
        assert ended.lines[:2] == [
            "note: the model predicts with all its 5 boosting rounds",
            "note: its predictions on 400 of these rows equal those of lightgbm's own predict",
        ]
        assert "imported the lightgbm model as the base" in ended.err
        assert run(*self.WORDS, "--import", "trees.txt", "--quiet").err == ""
        assert run("predict", "test.parquet", "--model", "m", "--base-only", "--quiet").err == ""
        words = ("fit-base", "train.parquet", "--target", "size", "--features", "a,b", "--model", "m")
        ended = run(*words, "--import", "trees.txt")
        assert ended.err == (
            "resmem: the model predicts a number (its objective is regression), and the target is a class; give a "
            "classifier, or --task regression\n"
        )

    def test_a_model_that_was_stopped_early_predicts_as_it_did_for_its_owner(self, data: Path, run: Run) -> None:
        xgboost = pytest.importorskip("xgboost")
        table = rows(N_ROWS)
        X, y = np.stack([table["a"].to_numpy(), table["b"].to_numpy()], axis=1), table["y"].to_numpy()
        model = xgboost.XGBRegressor(n_estimators=80, early_stopping_rounds=5, learning_rate=0.9, n_jobs=1)
        model.fit(X[:300], y[:300], eval_set=[(X[300:], y[300:] + np.sin(9 * X[300:, 0]))], verbose=False)
        model.save_model(data / "trees.json")
        n_rounds = model.get_booster().num_boosted_rounds()
        ended = run(*self.WORDS, "--import", "trees.json", "--json")
        assert json.loads(ended.out)["notes"] == [
            f"the model predicts with the first {model.best_iteration + 1} of its {n_rounds} rounds of trees, as "
            f"XGBoost's own estimators do with a model that was stopped early (best_iteration {model.best_iteration})",
            "the model has no feature names: the columns are used in order, f0 is 'a', f1 is 'b'",
            "its predictions on 400 of these rows equal those of xgboost's own predict",
        ]
        assert run("predict", "test.parquet", "--model", "m", "--base-only", "--output", "out.parquet").code == 0
        test = rows(N_NEW, seed=1)
        new = np.stack([test["a"].to_numpy(), test["b"].to_numpy()], axis=1)
        np.testing.assert_allclose(pq.read_table("out.parquet")["prediction"], model.predict(new), atol=1e-6)

    def test_a_file_that_a_library_cannot_survive_is_a_sentence_and_leaves_nothing(self, data: Path, run: Run) -> None:
        catboost = pytest.importorskip("catboost")
        table = rows(50)
        X = np.stack([table["a"].to_numpy(), table["b"].to_numpy()], axis=1)
        own = {"iterations": 2, "depth": 2, "verbose": 0, "allow_writing_files": False, "thread_count": 1}
        catboost.CatBoostRegressor(**own).fit(X, table["y"].to_numpy()).save_model(str(data / "s.cbm"))
        whole = (data / "s.cbm").read_bytes()
        (data / "m.cbm").write_bytes(whole[:-168] + struct.pack("<I", 0x7FFFFFFF) + whole[-164:])
        before = snapshot(data)
        ended = run(*self.WORDS, "--import", "m.cbm")
        assert (ended.code, len(ended.lines)) == (DATA, 1)
        # Should a newer CatBoost look before it follows, it says so itself.
        assert ended.err.startswith(
            ("resmem: 'm.cbm' crashes the process that loads it (SIG", "resmem: 'm.cbm' cannot be read as a model (")
        )
        assert snapshot(data) == before

    @pytest.mark.parametrize(
        ("name", "content", "code", "said"),
        [
            ("none.onnx", None, DATA, "'none.onnx' cannot be read (No such file or directory)"),
            ("text.txt", b"no model", USAGE, "'text.txt' is not a model file that can be imported"),
            ("trees.txt", b"tree\nversion=v4\n", DATA, "'trees.txt' cannot be read as a model"),
            ("trees.cbm", b"CBM1 and nothing else", DATA, "'trees.cbm' cannot be read as a model"),
            ("net.onnx", b"\x08\x08\x12\x00", DATA, "'net.onnx' cannot be read as a model"),
            ("line.skops", b"PK\x03\x04", DATA, "line.skops cannot be read as an estimator"),
        ],
    )
    def test_a_file_that_is_none(
        self, data: Path, run: Run, *, name: str, content: bytes | None, code: int, said: str
    ) -> None:
        if content is not None:
            (data / name).write_bytes(content)
        ended = run(*self.WORDS, "--import", name)
        assert (ended.code, len(ended.lines)) == (code, 1)
        assert said in ended.err
        assert not (data / "m").exists()


class TestErrors:
    """One sentence each."""

    @pytest.mark.parametrize(
        ("words", "code", "sentence"),
        [
            (
                ("--target", "y", "--predictions", "gues"),
                DATA,
                "train.parquet has no column 'gues'; did you mean 'guess'? Its columns are: a, b, guess, p_high, "
                "p_low, p_middle, logits, embedding, y, size, is_high, p",
            ),
            (
                (*OF_CLASS, "--probabilities", "q_"),
                DATA,
                "train.parquet has no column 'q_', and none with this prefix; its columns are: a, b, guess, "
                "p_high, p_low, p_middle, logits, embedding, y, size, is_high, p",
            ),
            (
                (*OF_CLASS, "--probabilities", "p_h"),
                DATA,
                "train.parquet has no column 'p_hhigh' for one of the classes high, low, middle; add a column with "
                "this prefix for every class, or list the columns, separated by commas",
            ),
            (
                (*OF_CLASS, "--probabilities", "p_high,p_low"),
                USAGE,
                "2 columns are named, and the target has 3 classes: high, low, middle; give one number per class",
            ),
            (
                (*OF_CLASS, "--logits", "embedding,logits"),
                USAGE,
                "2 columns are named, and the target has 3 classes: high, low, middle; give one number per class",
            ),
            (
                (*OF_CLASS, "--probabilities", "logits"),
                DATA,
                None,
            ),
            (
                ("--target", "y", "--task", "classification", "--predictions", "guess"),
                USAGE,
                "--predictions is for regression; leave --task out",
            ),
            (
                ("--target", "y", "--predictions", "guess", "--embedding", "a"),
                DATA,
                "train.parquet: the embedding 'a' is not a column of vectors of equal length; name a column of lists "
                "of numbers with --embedding",
            ),
            (
                ("--target", "y", "--predictions", "y"),
                USAGE,
                "one column is given two of the roles --target, --id, --weight and of the base's columns; give each "
                "its own column",
            ),
        ],
    )
    def test_columns_that_do_not_fit(
        self, data: Path, run: Run, words: tuple[str, ...], code: int, sentence: str | None
    ) -> None:
        ended = run("fit-base", "train.parquet", "--model", "m", *words)
        assert ended.code == code
        assert len(ended.lines) == 1
        if sentence is None:
            assert "which are not between 0 and 1 with a sum of 1; give logits with --logits" in ended.err
        else:
            assert ended.err == f"resmem: {sentence}\n"
        assert not (data / "m").exists()

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (("--predictions", "guess", "--logits", "logits"), "--predictions and --logits exclude each other"),
            (("--predictions", "guess", "--import", "x.txt"), "--predictions and --import exclude each other"),
            (("--embedding", "embedding"), "it needs --predictions, --probabilities or --logits"),
            (("--predictions", "guess", "--estimator", "linear"), "an imported base is not fitted"),
            (("--predictions", ""), "no column is named"),
            (("--output", "prediction=x"), "it needs --import"),
            (("--trust-pickle",), "it needs --import"),
            (("--import", "x.onnx", "--output", "class=x"), "'class' is not of the form ROLE=NAME"),
        ],
    )
    def test_options_that_contradict_each_other(self, data: Path, run: Run, words: tuple[str, ...], said: str) -> None:
        ended = run("fit-base", "train.parquet", "--target", "y", "--model", "m", *words)
        assert (ended.code, len(ended.lines)) == (USAGE, 1)
        assert said in ended.err

    def test_vectors_of_other_lengths_and_with_holes(self, data: Path, run: Run) -> None:
        table = rows(N_ROWS)
        at = table.column_names.index("embedding")
        lists = [[1.0, 2.0, 3.0]] * 7 + [[1.0, float("nan"), 3.0]] + [[1.0, 2.0, 3.0]] * (N_ROWS - 8)
        pq.write_table(table.set_column(at, "embedding", pa.array(lists)), data / "train.parquet")
        words = ("fit-base", "train.parquet", "--target", "y", "--predictions", "guess", "--model", "m")
        ended = run(*words, "--embedding", "embedding")
        assert ended.code == DATA
        lists[7] = [1.0]
        at = table.column_names.index("logits")
        pq.write_table(table.set_column(at, "logits", pa.array(lists)), data / "train.parquet")
        words = ("fit-base", "train.parquet", *OF_CLASS, "--logits", "logits", "--model", "m")
        assert run(*words).err == (
            "resmem: train.parquet, row 8: column 'logits' holds a vector of 1 numbers, where 3 numbers are needed; "
            "give every row a vector of one length\n"
        )

    def test_a_prediction_that_is_missing_when_it_is_needed(
        self, data: Path, run: Run, csv: Callable[..., Path]
    ) -> None:
        fit(run, *NUMBER)
        csv("new.csv", "a,b,guess\n1,2,3\n1,2,\n")
        ended = run("predict", "new.csv", "--model", "m")
        assert ended.code == DATA
        assert ended.err == (
            "resmem: new.csv, row 2: column 'guess' holds the base's prediction and is empty; give a prediction "
            "for every row, or remove the row\n"
        )

    def test_classes_in_another_order_are_worse_than_nothing_and_it_is_said(self, data: Path, run: Run) -> None:
        table = rows(N_ROWS)
        swapped = table.rename_columns(
            [{"p_high": "q1", "p_low": "q0", "p_middle": "q2"}.get(c, c) for c in table.column_names]
        )
        pq.write_table(swapped, data / "train.parquet")
        ended = run("fit-base", "train.parquet", *OF_CLASS, "--probabilities", "q0,q1,q2", "--model", "m")
        assert ended.code == 0
        assert ended.lines[0] == (
            "note: the base's numbers are assigned to the classes high, low, middle, in this order"
        )
        assert "of a constant: check the order of its classes (high, low, middle)" in ended.lines[1]
