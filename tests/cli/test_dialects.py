"""One command reads a European export, says how, and every later command does the same."""

from __future__ import annotations

import datetime as dt
import json
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.cli.conftest import Run

ROWS = [(i * 7 % 23, i) for i in range(40)]
TABLE = "Umsätze 2024\n\nname;wann;anteil;preis\n" + "".join(
    f"Köln;{i % 28 + 1:02}.03.2024;{share} %;1.{100 + i},50 €\n" for share, i in ROWS
)
READ_AS = (
    "; decimal comma, points between thousands, dates dd.mm.yyyy, 'anteil' in percent (12 % is 12), €, cp1252, 2 lines "
    "above the header"
)
FIXED = ("--neighbors", 3, "--bandwidth", 1, "--shrinkage", 1, "--temperature", 1, "--representation", "features")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("umsatz.csv").write_bytes(TABLE.encode("cp1252"))
    return tmp_path


def fit(run: Run, *words: object) -> list[str]:
    ended = run("fit-base", "umsatz.csv", "--target", "preis", "--model", "m", "--estimator", "linear", *words)
    assert ended.code == 0, ended.err
    return ended.err.splitlines()


def test_how_a_file_is_read_is_said_in_one_line_and_shown_by_inspect(folder: Path, run: Run) -> None:
    assert fit(run)[0] == f"read as: {READ_AS}"
    assert f"text files are read as: {READ_AS}" in run("inspect", "--model", "m").out.splitlines()
    assert json.loads(run("inspect", "--model", "m", "--json").out)["read_as"] == READ_AS


def test_what_is_predicted_is_written_as_the_file_is(folder: Path, run: Run) -> None:
    fit(run)
    assert run("fit-residual", "umsatz.csv", "--model", "m", "--folds", 0, *FIXED).code == 0
    run("predict", "umsatz.csv", "--model", "m", "--output", "out.csv")
    first = Path("out.csv").read_bytes().decode("cp1252").splitlines()[:2]
    assert first[0] == "name;wann;anteil;preis;prediction;prediction_base"
    assert re.fullmatch("Köln;01.03.2024;0 %;1.100,50 €;[0-9]+,[0-9]+;[0-9]+,[0-9]+", first[1])


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--encoding", "cp1225"), "there is no encoding 'cp1225' to read; did you mean "),
        (("--decimal", ";"), "--decimal is ';', which is neither . nor ,; give --decimal . or --decimal ,"),
        (("--date-format", "soon"), "--date-format is 'soon', which is no order of day, month and year; give one such"),
        (("--thousands", "x"), "--thousands is 'x'; give one of . , ' space none"),
        (("--delimiter", "xy"), "Invalid value for '--delimiter': 'xy' is not one character; see resmem fit-base"),
        (("--delimiter", "é"), "--delimiter is 'é', and must be one ASCII character, no quote and no end of a line; "),
    ],
)
def test_options_that_mean_nothing_end_with_code_2(folder: Path, run: Run, words: tuple[str], sentence: str) -> None:
    ended = run("fit-base", "umsatz.csv", "--target", "preis", "--model", "m", *words)
    assert ended.code == 2
    assert ended.err.startswith(f"resmem: {sentence}")
    assert not Path("m").exists()


def test_a_file_with_its_own_marks_is_refused_by_its_row_and_read_if_they_are_said(folder: Path, run: Run) -> None:
    fit(run)
    Path("new.csv").write_text("name,wann,anteil\nKöln,03.03.2024,7.5\nKöln,05.03.2024,8.5\n")
    refused = run("predict", "new.csv", "--model", "m", "--base-only", "--output", "out.csv")
    assert refused.code == 3
    assert refused.err == (
        "resmem: new.csv, row 1: column 'anteil' holds '7.5', which is not surely a number with a decimal comma and "
        "'%', in a file that is delimited otherwise than the training file; correct it, or say how numbers are written "
        "with --decimal and --thousands\n"
    )
    assert not Path("out.csv").exists()
    told = run("predict", "new.csv", "--model", "m", "--base-only", "--output", "out.csv", "--decimal", ".")
    assert told.code == 0
    assert told.err.splitlines()[0] == "note: new.csv is delimited by ',', unlike the training file, and is read so"


@pytest.mark.parametrize("command", ["predict", "evaluate"])
@pytest.mark.parametrize("other", ["12,5 %", "0"])
def test_a_number_without_the_sign_of_a_column_in_percent_is_refused(
    folder: Path, run: Run, command: str, other: str
) -> None:
    fit(run)
    assert run("fit-residual", "umsatz.csv", "--model", "m", "--folds", 0, *FIXED).code == 0
    rows = [f"Köln;03.03.2024;{share};1.100,50 €\n" for share in (other, "0,12", "13 %")]
    Path("new.csv").write_text("name;wann;anteil;preis\n" + "".join(rows))
    words = (command, "new.csv", "--model", "m", *(("--output", "out.csv") if command == "predict" else ()))
    refused = run(*words)
    assert refused.code == 3
    assert refused.err.splitlines()[-1] == (
        "resmem: new.csv, row 2: column 'anteil' holds '0,12' without the '%' of the training file, and their units "
        "differ; write the values with the sign, such as 12%, or say with --decimal how numbers are written if those "
        "without it are in percent too"
    )
    assert run(*words, "--decimal", ",").code == 0
    Path("new.csv").write_text("name;wann;anteil;preis\n" + rows[0] + rows[2])
    assert run(*words).code == 0


def test_the_command_that_makes_a_page_again_names_the_options(folder: Path, run: Run) -> None:
    fit(run)
    assert run("fit-residual", "umsatz.csv", "--model", "m", "--folds", 0, *FIXED).code == 0
    words = ("--delimiter", ";", "--na", "-1,-2", "--skip-rows", 2)
    assert run("report", "umsatz.csv", "--model", "m", "--output", "page.html", *words).code == 0
    page = Path("page.html").read_text()
    assert "--skip-rows 2 --na=-1,-2" in page or "--skip-rows 2 --na -1,-2" in page


def typed(name: str, shares: list[object]) -> str:
    """Rows in a format with types, of which the share may be in percent or a fraction."""
    table = pa.table(
        {
            "name": ["Köln"] * len(shares),
            "wann": [dt.datetime(2024, 3, 3)] * len(shares),
            "anteil": shares,
            "preis": [1100.5] * len(shares),
        }
    )
    if name.endswith(".parquet"):
        pq.write_table(table, name)
    else:
        Path(name).write_text("".join(json.dumps(row, default=str) + "\n" for row in table.to_pylist()))
    return name


@pytest.mark.parametrize("command", ["predict", "evaluate", "remember"])
@pytest.mark.parametrize("name", ["new.parquet", "new.jsonl"])
def test_a_number_with_a_type_is_refused_where_training_had_percent_and_read_if_that_is_said(
    folder: Path, run: Run, command: str, name: str
) -> None:
    fit(run)
    assert run("fit-residual", "umsatz.csv", "--model", "m", "--folds", 0, *FIXED).code == 0
    words = (command, typed(name, [0.0, None, 0.125]), "--model", "m")
    words += ("--output", "out.csv") if command == "predict" else ("--force",) if command == "remember" else ()
    refused = run(*words)
    assert (refused.code, refused.out) == (3, "")
    assert refused.err.splitlines()[-1] == (
        f"resmem: {name}, row 3: column 'anteil' holds '0.125' without the '%' of the training file, and their units "
        "differ; write the values as text with the sign, such as 12%, or give --decimal . if the numbers of typed "
        "formats are in percent too (12 for 12 %)"
    )
    assert run(*words, "--decimal", ".").code == 0
    typed(name, [0.0, None, 0.0])
    assert run(*words).code == 0


def test_percent_as_text_of_a_typed_format_is_read_as_that_of_a_text_file(folder: Path, run: Run) -> None:
    fit(run)
    words = ("--model", "m", "--base-only", "--keep", "none", "--quiet")
    shares = ["12.5 %", "0%", "3%"]
    Path("new.csv").write_text(
        "name;wann;anteil\n" + "".join(f"Köln;03.03.2024;{each.replace('.', ',')}\n" for each in shares)
    )
    of_text = run("predict", "new.csv", *words).out.replace(",", ".")
    for name in ("new.parquet", "new.jsonl"):
        assert run("predict", typed(name, list(shares)), *words).out == of_text
        refused = run("predict", typed(name, ["12.5 %", "0.125"]), *words)
        assert refused.code == 3
        assert f"{name}, row 2: column 'anteil' holds '0.125' without the '%' of the training file" in refused.err


def test_percent_beside_a_number_with_a_type_is_not_learned_from(folder: Path, run: Run) -> None:
    words = ("fit-base", "umsatz.csv", typed("more.parquet", [0.125, 0.25]), "-t", "preis", "-m", "m", "-q")
    refused = run(*words, "--estimator", "linear")
    assert (refused.code, refused.out) == (3, "")
    assert refused.err.startswith("resmem: more.parquet, row 1: column 'anteil' holds '0.125' without the '%' of the ")
    assert not Path("m").exists()
    assert run(*words, "--estimator", "linear", "--decimal", ",").code == 0
