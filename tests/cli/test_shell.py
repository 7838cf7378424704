"""The installed command among others: in a pipe, in a chain, under make, and with output that nobody takes."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pyarrow.csv
import pyarrow.parquet
import pytest

from tests.cli.conftest import PROGRAM, Run, table, write_csv

Model = Callable[..., Path]
Shell = Callable[[str], subprocess.CompletedProcess[str]]
Program = Callable[..., subprocess.CompletedProcess[str]]


def test_python_m_is_the_same_command(model: Model, program: Program) -> None:
    import sys

    model()
    words = ["predict", "new.csv", "--model", "m", "--quiet"]
    other = subprocess.run([sys.executable, "-m", "resmem_cli", *words], capture_output=True, text=True, check=True)
    assert other.stdout == program(*words).stdout != ""
    assert (other.stderr, program("--version").stdout) == ("", "resmem 0.1.0\n")


@pytest.mark.parametrize("copies", [1, 2_000])
def test_a_reader_that_has_seen_enough_ends_the_pipe_quietly(model: Model, shell: Shell, copies: int) -> None:
    """`head` closes its end long before the 80,000 rows are through. gzip may then be stopped by the system (141)."""
    model()
    head, _, body = Path("new.csv").read_text().partition("\n")
    Path("new.csv.gz").write_bytes(gzip.compress(f"{head}\n{body * copies}".encode(), 1))
    line = "gzip -dc new.csv.gz | resmem predict - --model m --quiet | head -3; echo ${PIPESTATUS[@]} >&2"
    done = shell(line)
    lines = done.stdout.splitlines()
    assert len(lines) == 3
    assert lines[0].endswith(",z,prediction,prediction_base")
    assert lines[1].startswith("d11001,0.26,Very Good,")
    assert done.stderr in ("0 0 0\n", "141 0 0\n") if copies > 1 else done.stderr == "0 0 0\n"


def test_the_line_of_the_readme_ends_well_under_pipefail(model: Model, shell: Shell) -> None:
    model()
    Path("new.csv.gz").write_bytes(gzip.compress(Path("new.csv").read_bytes()))
    done = shell("gzip -dc new.csv.gz | resmem predict - --model m | head -3")
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 3
    assert done.stderr.startswith("predicted 40 rows in ")


@pytest.mark.parametrize("verb", ["evaluate test.csv --model m", "evaluate test.csv --model m --json", "--help"])
def test_nobody_reading_at_all_is_no_error(model: Model, shell: Shell, verb: str) -> None:
    model()
    done = shell(f"resmem {verb} | true; echo ${{PIPESTATUS[0]}} >&2")
    assert done.stderr == "0\n"


@pytest.mark.parametrize("words", ["", "--by auto", "--json", "--by carat,cut --json", "--output -"])
def test_a_missed_threshold_is_told_to_nobody_reading_too(model: Model, words: str) -> None:
    """The reader is gone before the first byte."""
    model()
    reader, writer = os.pipe()
    os.close(reader)
    assert PROGRAM is not None
    command = [PROGRAM, "evaluate", "test.csv", "--model", "m", "--min-r2", "1", *words.split()]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    both = subprocess.run(command, stdout=writer, stderr=writer, timeout=60, check=False)
    os.close(writer)
    assert done.returncode == both.returncode == 5
    assert done.stderr.endswith(" (--min-r2 1): threshold not reached; fit again, or change it\n")


@pytest.mark.parametrize(
    "verb",
    [
        "evaluate test.csv --model m",
        "evaluate test.csv --model m --json",
        "evaluate test.csv --model m --min-r2 1",
        "--version",
    ],
)
def test_a_full_disk_behind_standard_output_is_one_sentence(model: Model, shell: Shell, verb: str) -> None:
    model()
    done = shell(f"resmem {verb} > /dev/full")
    assert done.stderr == (
        "resmem: standard output cannot be used (No space left on device); check its permissions and the space left\n"
    )
    assert done.returncode == 1


def test_standard_streams_may_be_closed(model: Model, shell: Shell) -> None:
    """Nothing that was for one of them lands in another."""
    model()
    assert shell("resmem predict new.csv --model m --keep none 2>&- | tail -n +41 | grep -vc ,").stdout == "0\n"
    assert shell("resmem predict none.csv --model m 2>&-").returncode == 3
    assert shell("resmem predict new.csv --model m --output out.csv >&-").returncode == 0
    done = shell("resmem predict - --model m <&-")
    assert done.stderr == "resmem: standard input is empty; give a table with a header and at least one row\n"


def test_predictions_for_a_full_disk_are_one_sentence(model: Model, shell: Shell) -> None:
    model()
    done = shell("resmem predict new.csv --model m > /dev/full")
    assert done.stderr.startswith(
        "resmem: standard output cannot be written (No space left on device); free some space"
    )
    assert (done.stderr.count("\n"), done.returncode) == (1, 1)


def test_a_disk_that_is_full_before_the_model_is_whole_leaves_nothing(model: Model, shell: Shell) -> None:
    """A limit on the size of files stands for a full disk; hnswlib does not notice either."""
    model()
    done = shell("ulimit -f 2; resmem fit-base train.csv -t price -m other --estimator boosting")
    assert done.stderr == (
        "resmem: the model directory 'other' cannot be written (File too large); free some space or check permissions\n"
    )
    assert done.returncode == 1
    assert not Path("other").exists()
    rows = "".join(f"{i / 7},{i % 11 * i}\n" for i in range(1_200))
    Path("many.csv").write_text(f"a,y\n{rows}")
    assert shell("resmem fit-base many.csv -t y -m other --estimator constant").returncode == 0
    fixed = "--folds 0 --neighbors 3 --bandwidth 1 --shrinkage 1 --representation features"
    before = {path.name for path in Path("other").rglob("*")}
    done = shell(f"ulimit -f 100; resmem fit-residual many.csv -m other {fixed}")
    assert done.stderr == (
        "resmem: the model directory 'other' cannot be written (No space left on device); "
        "free some space or check permissions\n"
    )
    assert {path.name for path in Path("other").rglob("*")} == before
    assert shell(f"resmem fit-residual many.csv -m other {fixed}").returncode == 0


@pytest.mark.parametrize("_", range(3))
def test_an_error_right_after_reading_ends_in_its_own_code(_: int, tmp_path: Path, program: Program) -> None:
    """Threads of Arrow's that still hold the file must not abort the process at its end."""
    write_csv(table("diamonds", "train"), tmp_path / "train.csv")
    done = program("fit-base", "train.csv", "--target", "none", "--model", "m")
    assert (done.returncode, done.stderr.count("\n")) == (3, 1)


def test_the_commands_chain(tmp_path: Path, shell: Shell, run: Run) -> None:
    for split in ("train", "test", "new"):
        write_csv(table("diamonds", split), tmp_path / f"{split}.csv")
    done = shell(
        "export RESMEM_MODEL=house RESMEM_THREADS=1; "
        "resmem fit-base train.csv --target price --id id --estimator linear --quiet && "
        "resmem fit-residual - --quiet < train.csv && "
        "resmem predict <(cat new.csv) --keep id --quiet | sort -t, -k2 -g -r | head -1 | cut -d, -f1"
    )
    assert (done.stderr, done.returncode) == ("", 0)
    found = pyarrow.csv.read_csv(
        pyarrow.BufferReader(run("predict", "new.csv", "--model", "house", "--keep", "id").out.encode())
    )
    dearest = found["id"][found["prediction"].to_pylist().index(max(found["prediction"].to_pylist()))].as_py()
    assert done.stdout == f"{dearest}\n"


MAKEFILE = """
model/base.json:   train.parquet
\tresmem fit-base $< --target price --id id --estimator linear --model model --quiet
model/memory.json: train.parquet model/base.json
\tresmem fit-residual $< --model model --quiet --effort quick
scored.parquet:    new.parquet model/memory.json
\tresmem predict $< --model model --quiet -o $@
"""


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_runs_what_is_out_of_date_and_nothing_else(tmp_path: Path) -> None:
    """The pattern of the design; a file that only came into being later is newer by its time, not by luck."""
    assert PROGRAM is not None
    environment = os.environ | {"PATH": f"{Path(PROGRAM).parent}{os.pathsep}{os.environ['PATH']}"}
    (tmp_path / "Makefile").write_text(MAKEFILE)
    for split in ("train", "new"):
        pyarrow.parquet.write_table(table("diamonds", split), tmp_path / f"{split}.parquet")

    def make(*, fails: bool = False) -> list[str]:
        words = ["make", "--no-print-directory", "scored.parquet"]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False, env=environment)
        assert (done.returncode != 0) == fails, done.stderr
        return [line.split()[1] for line in done.stdout.splitlines() if line.startswith("resmem ")]

    assert make() == ["fit-base", "fit-residual", "predict"]
    first = (tmp_path / "scored.parquet").read_bytes()
    assert make() == []
    (tmp_path / "train.parquet").touch()
    assert make() == ["fit-base", "fit-residual", "predict"]
    assert (tmp_path / "scored.parquet").read_bytes() == first
    (tmp_path / "new.parquet").touch()
    assert make() == ["predict"]
    pyarrow.parquet.write_table(table("diamonds", "new").drop_columns(["carat"]), tmp_path / "new.parquet")
    assert make(fails=True) == ["predict"]
    assert (tmp_path / "scored.parquet").read_bytes() == first
