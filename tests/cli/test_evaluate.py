"""`resmem evaluate`: base and memory side by side, for people and for machines."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from resmem_cli.data import encoding, sources, tables
from resmem_cli.data.schema import Task
from resmem_cli.model.comparison import Comparison
from resmem_cli.store import reading
from resmem_cli.workflow.evaluate import Evaluation
from resmem_cli.workflow.scores import Sample
from tests.cli.conftest import Run, table, write_csv

Model = Callable[..., Path]
REGRESSION = ["rmse", "mae", "r2"]
CLASSIFICATION = ["log_loss", "accuracy", "balanced_accuracy", "roc_auc", "brier"]
# Where a smaller value is a better one.
LOSSES = {"rmse", "mae", "log_loss", "brier"}


def evaluated(run: Run, *words: object) -> dict[str, object]:
    ended = run("evaluate", *words, "--json", "--quiet")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.count("\n") == 1
    return json.loads(ended.out)


@pytest.mark.parametrize(
    ("name", "task", "metrics"),
    [("house", "regression", REGRESSION), ("chess", "classification", CLASSIFICATION)],
)
def test_the_json_is_as_the_issue_states_it(model: Model, run: Run, name: str, task: str, metrics: list[str]) -> None:
    found = evaluated(run, "test.csv", "--model", model(name))
    assert {"rows", "seen_rows", "task", "metrics"} <= set(found)
    assert (found["rows"], found["seen_rows"], found["task"]) == (80, 0, task)
    assert list(found["metrics"]) == metrics
    for metric, compared in found["metrics"].items():
        assert set(compared) == {"base", "resmem", "gain", "gain_percent", "ci95"}
        better = compared["base"] - compared["resmem"] if metric in LOSSES else compared["resmem"] - compared["base"]
        assert compared["gain"] == pytest.approx(better)
        assert compared["gain_percent"] == pytest.approx(100 * better / abs(compared["base"]))
        low, high = compared["ci95"]
        assert low <= compared["gain_percent"] <= high


def test_the_figures_are_those_of_the_definition(model: Model, run: Run) -> None:
    found = evaluated(run, "test.csv", "--model", model())["metrics"]
    base, resmem, *_ = reading.load(Path("m"))
    (batch,) = tables.read(sources.resolve(["test.csv"]))
    predicted = resmem.predict(encoding.encode(batch, base.schema)[0])
    y = encoding.encode_target(batch, base.schema)
    for key, values in (("base", predicted.base[:, 0]), ("resmem", predicted.resmem[:, 0])):
        assert found["rmse"][key] == pytest.approx(np.sqrt(np.mean((values - y) ** 2)))
        assert found["mae"][key] == pytest.approx(np.mean(np.abs(values - y)))
        assert found["r2"][key] == pytest.approx(1 - np.sum((values - y) ** 2) / np.sum((y - y.mean()) ** 2))


def test_the_same_seed_gives_the_same_interval(model: Model, run: Run) -> None:
    model()
    first, again, other = (evaluated(run, "test.csv", "--model", "m", "--seed", seed) for seed in (3, 3, 4))
    assert first == again
    assert first["metrics"]["rmse"]["base"] == other["metrics"]["rmse"]["base"]
    assert first["metrics"]["rmse"]["ci95"] != other["metrics"]["rmse"]["ci95"]


def test_people_get_a_table_and_a_verdict(model: Model, run: Run) -> None:
    ended = run("evaluate", "test.csv", "--model", model())
    lines = ended.out.splitlines()
    assert lines[0].split() == ["metric", "base", "resmem", "gain", "gain", "%", "95", "%", "interval"]
    assert [line.split()[0] for line in lines[2:5]] == REGRESSION
    assert lines[-1].startswith("80 rows. The memory ")
    assert "rmse by" in lines[-1]
    assert ended.err == ""


def test_rows_that_were_fitted_on_are_counted_and_warned_about(model: Model, run: Run) -> None:
    model()
    ended = run("evaluate", "train.csv", "--model", "m", "--json")
    assert json.loads(ended.out)["seen_rows"] == 240
    assert ended.err == (
        "warning: 240 of the 240 rows equal training rows, so the metrics are too optimistic; evaluate on rows that "
        "the model was not trained on\n"
    )
    assert evaluated(run, "test.csv", "train.csv", "--model", "m")["seen_rows"] == 240


def test_the_verdict_does_not_believe_rows_that_were_seen_in_fitting(model: Model, run: Run) -> None:
    model()
    verdict = evaluated(run, "train.csv", "--model", "m")["verdict"]
    assert verdict.endswith("but 240 of these rows equal training rows: do not rely on it; evaluate on other rows.")


class TestUnseen:
    """Where rows were seen in fitting, the others are scored apart, and judged by if they are enough."""

    def test_their_figures_are_those_of_the_rows_alone(self, model: Model, run: Run) -> None:
        model()
        mixed, alone = (evaluated(run, *names, "--model", "m") for names in (["train.csv", "test.csv"], ["test.csv"]))
        assert (mixed["rows"], mixed["seen_rows"], mixed["unseen"]["rows"]) == (320, 240, 80)
        for metric, compared in mixed["unseen"]["metrics"].items():
            assert compared == alone["metrics"][metric]
        assert mixed["metrics"]["rmse"]["base"] != alone["metrics"]["rmse"]["base"]
        assert mixed["verdict"] == alone["verdict"].replace("The memory", "On the 80 unseen rows the memory")
        assert alone["unseen"] is None

    def test_people_see_both(self, model: Model, run: Run) -> None:
        model()
        ended = run("evaluate", "train.csv", "test.csv", "--model", "m")
        rows = [line.split()[:2] for line in ended.out.splitlines()[2:8]]
        assert rows == [[name, which] for which in ("unseen", "all") for name in REGRESSION]
        assert "\n320 rows. On the 80 unseen rows the memory " in ended.out
        assert ended.err == (
            "warning: 240 of the 320 rows equal training rows, so the metrics of all rows are too optimistic; the "
            "verdict is about the 80 unseen rows\n"
        )

    @pytest.mark.parametrize(("n_unseen", "is_judged"), [(29, False), (30, True)])
    def test_thirty_are_enough(self, model: Model, run: Run, n_unseen: int, is_judged: bool) -> None:
        model()
        write_csv(table("diamonds", "test").slice(0, n_unseen), Path("few.csv"))
        verdict = evaluated(run, "train.csv", "few.csv", "--model", "m")["verdict"]
        assert verdict.startswith("On the 30 unseen rows the memory ") == is_judged
        assert (", and of the others 29 rows are too few to judge by: do not rely on it;" in verdict) != is_judged


METRICS = {"base": 2.0, "resmem": 1.0, "gain": 1.0}


def verdict(rmse: tuple[float, float], mae: tuple[float, float], n_forgotten: int = 0) -> str:
    """What is said of two intervals."""
    compared = {
        name: Comparison(**METRICS, gain_percent=sum(ci95) / 2, ci95=ci95)
        for name, ci95 in (("rmse", rmse), ("mae", mae))
    }
    sample = Sample(80, 80, None, "group", compared)
    return Evaluation(sample, None, 0, n_forgotten, 0, 0, Task.REGRESSION, "rmse", True).verdict


def test_the_verdict_does_not_hide_that_another_metric_is_worse() -> None:
    but = "; but mae is worse by 2.00 % (95 % interval -3.00 to -1.00 %)."
    assert verdict((1, 3), (-3, -1)) == (
        f"The memory improves rmse by 2.00 % (95 % interval +1.00 to +3.00 %): the gain is more than chance{but}"
    )
    assert verdict((1, 3), (-3, -1), n_forgotten=5).endswith(f"training rows of the base that were forgotten{but}")
    assert verdict((-1, 3), (-3, -1)).endswith(f"no evidence that it helps or harms{but}")
    for mae in ((-3, 1), (1, 3), (float("nan"), float("nan"))):
        assert verdict((1, 3), mae).endswith(": the gain is more than chance.")


def test_rows_that_only_the_memory_has_seen_are_counted_too(model: Model, run: Run) -> None:
    model()
    assert run("fit-residual", "train.csv", "test.csv", "--model", "m", "--quiet").code == 0
    assert evaluated(run, "test.csv", "--model", "m")["seen_rows"] == 80


def test_a_row_is_known_again_in_another_format_and_order_of_columns(model: Model, run: Run) -> None:
    import pyarrow.parquet

    model()
    rows = table("diamonds", "train")
    pyarrow.parquet.write_table(rows.select(sorted(rows.column_names)), "train.parquet")
    assert evaluated(run, "train.parquet", "--model", "m")["seen_rows"] == 240


def test_rows_without_a_target_are_left_out_and_counted(model: Model, run: Run) -> None:
    model()
    lines = Path("test.csv").read_text().splitlines()
    lines[3] = lines[3].rpartition(",")[0] + ","
    lines[8] = lines[8].rpartition(",")[0] + ","
    Path("gaps.csv").write_text("\n".join(lines) + "\n")
    ended = run("evaluate", "gaps.csv", "--model", "m", "--json")
    found = json.loads(ended.out)
    assert (found["rows"], found["dropped_rows"]) == (78, 2)
    assert ended.err == "note: 2 rows without a target (or weight) left out\n"


def test_one_class_alone_has_no_area_under_a_curve(model: Model, run: Run) -> None:
    """What is not known is null in JSON and a dash for people; it is no warning and no crash."""
    model("chess")
    import pyarrow.compute as pc

    rows = table("chess", "test")
    write_csv(rows.filter(pc.equal(rows["depth"], "draw")), Path("draws.csv"))
    found = evaluated(run, "draws.csv", "--model", "m")["metrics"]["roc_auc"]
    assert (found["base"], found["resmem"], found["ci95"]) == (None, None, [None, None])
    assert " - " in run("evaluate", "draws.csv", "--model", "m").out


def test_one_row_can_be_scored_and_says_nothing_of_others(model: Model, run: Run) -> None:
    model()
    write_csv(table("diamonds", "test").slice(0, 1), Path("one.csv"))
    found = evaluated(run, "one.csv", "--model", "m")
    assert found["rows"] == 1
    assert found["metrics"]["r2"]["base"] is None
    assert found["metrics"]["rmse"]["ci95"] == [None, None]
    lines = run("evaluate", "one.csv", "--model", "m").out.splitlines()
    assert lines[2].split()[-1] == "-"
    assert lines[-1].startswith("1 row. The memory changes rmse by ")
    assert lines[-1].endswith(" %, but 1 row is too few to judge by: evaluate on at least 30 such rows.")


def test_of_a_base_that_explains_nothing_the_gain_has_no_percentage(model: Model, run: Run) -> None:
    """An r2 of 0 or below is no unit: +nan % was shown of 0, and +260 % of -0.1."""
    model()
    rows = table("diamonds", "test")
    shuffled = np.random.default_rng(0).permutation(rows["price"].to_numpy())
    write_csv(rows.set_column(rows.column_names.index("price"), "price", pa.array(shuffled)), Path("odd.csv"))
    found = evaluated(run, "odd.csv", "--model", "m")["metrics"]["r2"]
    assert found["base"] < 0
    assert (found["gain_percent"], found["ci95"]) == (None, [None, None])
    line = run("evaluate", "odd.csv", "--model", "m").out.splitlines()[4]
    assert line.split()[0::4] == ["r2", "-"]
    assert line.split()[-2:] == ["-", "-"]


def test_weights_count_in_the_metrics(model: Model, run: Run) -> None:
    """A row of weight 2 is as good as two rows, and one of weight 0 is not there."""
    model()
    import pyarrow as pa

    rows = table("diamonds", "test")
    weights = pa.array([i % 3 for i in range(rows.num_rows)])
    write_csv(rows.append_column("w", weights), Path("weighted.csv"))
    repeated = rows.take(pa.array(np.repeat(np.arange(rows.num_rows), weights.to_numpy())))
    write_csv(repeated.append_column("w", pa.array([1] * repeated.num_rows)), Path("repeated.csv"))
    train = table("diamonds", "train")
    write_csv(train.append_column("w", pa.array([1] * train.num_rows)), Path("train.csv"))
    words = ("--target", "price", "--weight", "w", "--id", "id", "--estimator", "linear", "--model", "m", "--quiet")
    assert run("fit-base", "train.csv", *words).code == 0
    assert run("fit-residual", "train.csv", "--model", "m", "--quiet").code == 0
    one, other = (evaluated(run, name, "--model", "m")["metrics"] for name in ("weighted.csv", "repeated.csv"))
    for metric in REGRESSION:
        assert one[metric]["resmem"] == pytest.approx(other[metric]["resmem"])
    write_csv(rows.append_column("w", pa.array([0] * rows.num_rows)), Path("nothing.csv"))
    ended = run("evaluate", "nothing.csv", "--model", "m")
    assert ended.err == "resmem: none of the 80 rows has a target 'price' and a weight 'w'; give labelled rows\n"
    assert ended.code == 3


def test_a_memory_that_is_off_is_said_to_be_off(model: Model, run: Run) -> None:
    model()
    assert run("fit-residual", "train.csv", "--model", "m", "--shrinkage", 0, "--quiet").code == 0
    found = evaluated(run, "test.csv", "--model", "m")
    assert found["uses_memory"] is False
    assert found["verdict"] == "The memory is off (its shrinkage is 0): predictions are exactly the base's."
    for compared in found["metrics"].values():
        assert compared["base"] == compared["resmem"]
        assert (compared["gain"], compared["gain_percent"], compared["ci95"]) == (0, 0, [0, 0])
