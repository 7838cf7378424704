"""The same rows, written in several ways, give the same model and the same predictions; other files are not misread."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from resmem_cli.data.dialect import PLAIN, Dialect, forced
from resmem_cli.data.inference import Roles
from resmem_cli.errors import DataError
from resmem_cli.store import reading
from resmem_cli.workflow import fit_base, fit_residual, predict
from resmem_cli.workflow.evaluate import evaluate
from resmem_cli.workflow.fit_base import BaseOptions
from resmem_cli.workflow.inputs import Input
from resmem_cli.workflow.predict import PredictOptions
from resmem_cli.workflow.scoring import ScoreOptions
from tests.workflow.conftest import FIXED

Write = Callable[[str], str]


def rows() -> list[tuple[int, float, dt.date, str, float]]:
    rng, found = random.Random(5), []  # noqa: S311 - no secret
    for i in range(80):
        area, city = round(rng.uniform(0, 3000), 2), rng.choice(["Köln", "Düren", "Wien"])
        day = dt.date(2023, 1, 1) + dt.timedelta(days=rng.randrange(700))
        found.append((i, area, day, city, round(2 * area + 100 * (city == "Köln") + day.month, 2)))
    return found


def european(number: float) -> str:
    return f"{number:,.2f}".translate(str.maketrans(",.", ".,"))


@pytest.fixture
def written(tmp_path: Path) -> Write:
    """Write the rows in a way, and return the path."""

    def write(how: str) -> str:
        path = tmp_path / f"{how}.{'parquet' if how == 'parquet' else 'csv'}"
        if how == "parquet":
            names = ("id", "area", "day", "city", "price")
            table = pa.table(dict(zip(names, map(list, zip(*rows(), strict=True)), strict=True)))
            pyarrow.parquet.write_table(table, path)
            return str(path)
        if how == "american":
            text = "id,area,day,city,price\n" + "".join(
                f'{i},"{a:,.2f}",{d:%m/%d/%Y},{c},"${p:,.2f}"\n' for i, a, d, c, p in rows()
            )
        elif how == "plain":
            text = "id,area,day,city,price\n" + "".join(f"{i},{a},{d},{c},{p}\n" for i, a, d, c, p in rows())
        else:
            text = "Umsätze\n\nid;area;day;city;price\n" + "".join(
                f"{i};{european(a)};{d:%d.%m.%Y};{c};{european(p)} €\n" for i, a, d, c, p in rows()
            )
        path.write_bytes(text.encode({"european": "cp1252", "utf-16": "utf-16"}.get(how, "utf-8")))
        return str(path)

    return write


def fitted(path: str, model: Path, said: Dialect = PLAIN) -> Path:
    base = BaseOptions("linear", threads=1)
    fit_base.fit_base(Input((path,), dialect=said), Roles("price", id_column="id"), model, base)
    fit_residual.fit_residual(Input((path,)), model, FIXED)
    return model


def predicted(path: str, model: Path, output: Path, said: Dialect = PLAIN) -> tuple[list[str], Input]:
    source, score = Input((path,), dialect=said), ScoreOptions(keep="id")
    predict.predict(source, model, PredictOptions(str(output), score=score, threads=1))
    return output.read_text(encoding="utf-16" if "utf-16" in output.name else "utf-8").splitlines(), source


WAYS = ["plain", "american", "european", "utf-16", "parquet"]


def test_models_and_predictions_are_equal_to_the_last_digit(written, tmp_path):
    found = {}
    for way in WAYS:
        model = fitted(written(way), tmp_path / f"model of {way}")
        lines, _ = predicted(written(way), model, tmp_path / f"{way} out.csv")
        found[way] = [line.replace(",", ".").replace(";", ",") if ";" in line else line for line in lines]
    assert all(lines == found["plain"] for lines in found.values())
    assert len(found["plain"]) == 81


@pytest.mark.parametrize("way", WAYS[:-1])
def test_what_is_read_back_is_what_was_predicted(written, tmp_path, way):
    """The output is written as the input is, so that whatever opens the one opens the other."""
    model = fitted(written(way), tmp_path / "model")
    predicted(written(way), model, tmp_path / f"{way} out.csv")
    (again,) = Input((str(tmp_path / f"{way} out.csv"),)).read_all()
    is_european = way in ("european", "utf-16")
    assert again.dialect.delimiter == (";" if is_european else None)
    assert ("," in again.column("prediction")[0].as_py()) == is_european


def test_parquet_from_a_european_file_has_numbers_and_dates(written, tmp_path):
    model = fitted(written("european"), tmp_path / "model")
    options = PredictOptions(str(tmp_path / "out.parquet"), threads=1)
    predict.predict(Input((written("european"),)), model, options)
    table = pyarrow.parquet.read_table(tmp_path / "out.parquet")
    assert table.column("area").to_pylist() == [area for _, area, *_ in rows()]
    assert [when.date() for when in table.column("day").to_pylist()] == [day for _, _, day, *_ in rows()]


def test_the_stored_dialect_reads_labelled_rows_in_evaluation(written, tmp_path):
    model = fitted(written("european"), tmp_path / "model")
    of_european = evaluate(Input((written("european"),)), model, threads=1)
    of_parquet = evaluate(Input((written("parquet"),)), model, threads=1)
    assert of_european.metrics == of_parquet.metrics
    assert reading.load_base(model).schema.dialect.delimiter == ";"


def test_a_plain_file_is_not_read_by_european_marks(written, tmp_path):
    model = fitted(written("european"), tmp_path / "model")
    with pytest.raises(DataError) as caught:
        predicted(written("plain"), model, tmp_path / "out.csv")
    area = rows()[0][1]
    assert str(caught.value) == (
        f"{tmp_path}/plain.csv, row 1: column 'area' holds '{area}', which is not surely a number with a decimal "
        "comma, in a file that is delimited otherwise than the training file; correct it, or say how numbers are "
        "written with --decimal and --thousands"
    )
    assert not (tmp_path / "out.csv").exists()


def test_a_plain_file_is_read_if_its_marks_are_said(written, tmp_path):
    model = fitted(written("european"), tmp_path / "model")
    lines, source = predicted(written("plain"), model, tmp_path / "out.csv", forced(decimal="."))
    of_parquet, _ = predicted(written("parquet"), model, tmp_path / "other.csv")
    assert lines == of_parquet
    assert source.notes == [f"{written('plain')} is delimited by ',', unlike the training file, and is read so"]


@pytest.mark.parametrize("value", ["1.234", "12.345.678", "1,234"])
def test_a_mark_that_may_mean_two_things_is_refused_in_a_file_of_another_delimiter(written, tmp_path, value):
    model = fitted(written("plain"), tmp_path / "model")
    path = tmp_path / "new.csv"
    path.write_text(f"id;area;day;city\n1;{value};2023-01-01;Wien\n2;3;2023-01-01;Wien\n3;3;2023-01-01;Wien\n")
    with pytest.raises(DataError, match=rf"row 1: column 'area' holds '{value}', which is not surely a number"):
        predicted(str(path), model, tmp_path / "out.csv")


def test_another_unit_is_refused(written, tmp_path):
    model = fitted(written("european"), tmp_path / "model")
    path = tmp_path / "new.csv"
    path.write_bytes("id;area;day;city;price\n1;2,5;01.02.2023;Wien;$ 5,50\n".encode("cp1252"))
    with pytest.raises(DataError, match=r"column 'price' holds '\$ 5,50', which is not surely a number with a decimal"):
        evaluate(Input((str(path),)), model, threads=1)


def test_totals_are_left_out_of_every_later_file(written, tmp_path):
    path = Path(written("plain"))
    area, price = (sum(row[i] for row in rows()) for i in (1, 4))
    path.write_text(path.read_text() + f"Total,{area:.2f},,,{price:.2f}\n")
    model = fitted(str(path), tmp_path / "model", forced(drop_totals=True))
    lines, source = predicted(str(path), model, tmp_path / "out.csv")
    assert len(lines) == 81
    assert source.notes == [f"{path}, row 81 holds totals and is left out"]
