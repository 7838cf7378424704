"""Every mistake ends in one sentence that says what, where, and what to do next; in its code; and leaves no file."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest

from resmem_cli.store import manifest
from tests.cli.conftest import SAMPLES, Run, table, write_csv

Fails = Callable[..., None]
Model = Callable[..., Path]
Csv = Callable[..., Path]
UNEXPECTED, USAGE, DATA, MODEL = 1, 2, 3, 4

COLUMNS = "carat, cut, color, clarity, depth, table, x, y, z"
TRAIN = ("--target", "price", "--model", "m")


def with_value(path: Path, row: int, column: str, value: str) -> None:
    """Put a value into a CSV, its rows counted from 1."""
    lines = [line.split(",") for line in path.read_text().splitlines()]
    lines[row][lines[0].index(column)] = value
    path.write_text("".join(",".join(line) + "\n" for line in lines))


class TestFiles:
    """Inputs that cannot be read at all."""

    @pytest.mark.parametrize("verb", [("fit-base", *TRAIN), ("predict", "--model", "m")])
    def test_a_missing_file(self, model: Model, fails: Fails, verb: tuple[str, ...]) -> None:
        model()
        fails(
            DATA,
            "there is no file 'none.csv'; check the path and the current directory",
            verb[0],
            "none.csv",
            *verb[1:],
        )

    @pytest.mark.parametrize("verb", [("fit-base", *TRAIN), ("predict", "--model", "m")])
    def test_a_file_without_a_name(self, model: Model, fails: Fails, verb: tuple[str, ...]) -> None:
        """As an unset variable of the shell gives it: not the Parquet files of the present folder."""
        model()
        fails(DATA, "there is no file ''; check the path and the current directory", verb[0], "", *verb[1:])

    def test_a_pattern_without_match(self, model: Model, fails: Fails) -> None:
        model()
        sentence = "no file matches 'day=*/*.csv'; check the pattern and the current directory"
        fails(DATA, sentence, "predict", "day=*/*.csv", "--model", "m")

    def test_an_empty_file(self, model: Model, csv: Csv, fails: Fails) -> None:
        model()
        csv("empty.csv", "")
        sentence = "empty.csv is empty; give a table with a header and at least one row"
        fails(DATA, sentence, "predict", "empty.csv", "--model", "m", "--output", "out.csv")
        fails(DATA, sentence, "fit-base", "empty.csv", *TRAIN)

    def test_empty_standard_input(self, model: Model, stdin: Callable[[bytes], None], fails: Fails) -> None:
        stdin(b"")
        sentence = "standard input is empty; give a table with a header and at least one row"
        fails(DATA, sentence, "predict", "-", "--model", model())

    def test_a_header_alone(self, model: Model, csv: Csv, fails: Fails) -> None:
        model()
        csv("header.csv", "id," + COLUMNS.replace(", ", ",") + ",price\n")
        sentence = "header.csv has a header but no rows; give a file with at least one row"
        for verb in (("fit-base", *TRAIN), ("fit-residual", "--model", "m"), ("evaluate", "--model", "m")):
            fails(DATA, sentence, verb[0], "header.csv", *verb[1:])

    def test_json_lines_without_keys(self, model: Model, csv: Csv, fails: Fails) -> None:
        model()
        csv("bare.jsonl", "{}\n")
        lacks = (
            f"bare.jsonl lacks the columns {', '.join(repr(name) for name in COLUMNS.split(', '))}, which the model "
        )
        fails(DATA, f"{lacks}needs; add them; the file has no columns", "predict", "bare.jsonl", "--model", "m")
        fails(DATA, "bare.jsonl has no column 'price'; it has no columns", "fit-base", "bare.jsonl", *TRAIN)

    def test_a_line_of_json_that_is_null(self, model: Model, csv: Csv, fails: Fails) -> None:
        model()
        csv("null.jsonl", 'null\n{"carat": 0.3}\n')
        sentence = (
            "null.jsonl, row 1 is not a line of JSON like those before it (null is no object); "
            "write one object per line, each column of one type"
        )
        for verb in (("fit-base", *TRAIN), ("predict", "--model", "m", "--output", "out.csv")):
            fails(DATA, sentence, verb[0], "null.jsonl", *verb[1:])

    def test_ids_of_json_that_lose_digits(self, model: Model, csv: Csv, fails: Fails) -> None:
        model()
        csv("ids.jsonl", "".join(f'{{"id": {number}}}\n' for number in ("9007199254740992", "9007199254740993", "0.5")))
        sentence = (
            "ids.jsonl, row 2: column 'id' holds 9007199254740993, which would lose digits in this column of floats; "
            "write the numbers of this column as text, in quotes"
        )
        fails(DATA, sentence, "predict", "ids.jsonl", "--model", "m", "--output", "out.csv")

    def test_a_ragged_line(self, model: Model, fails: Fails, tmp_path: Path) -> None:
        model()
        with (tmp_path / "new.csv").open("a") as file:
            file.write("d1,0.3,Ideal\n")
        fails(
            DATA,
            "new.csv, row 41 has 3 values where the header has 10 columns ('d1,0.3,Ideal'); correct the line, or set "
            "the separator with --delimiter",
            *("predict", "new.csv", "--model", "m", "--output", "out.csv"),
        )

    def test_another_encoding(self, model: Model, fails: Fails, tmp_path: Path) -> None:
        model()
        text = (tmp_path / "new.csv").read_text().replace("Ideal", "Idéal")
        (tmp_path / "new.csv").write_bytes(text.encode() + text.partition("\n")[2].encode("latin-1"))
        fails(
            DATA,
            "new.csv is not UTF-8 text throughout; name its encoding with --encoding, or convert it, for example with: "
            "iconv -f LATIN1 -t UTF-8 OLD > NEW",
            *("predict", "new.csv", "--model", "m", "--output", "out.csv"),
        )

    @pytest.mark.parametrize("share", [0.3, 0.9])
    def test_a_truncated_parquet(self, run: Run, tmp_path: Path, share: float) -> None:
        pyarrow.parquet.write_table(table("diamonds", "train"), tmp_path / "whole.parquet")
        data = (tmp_path / "whole.parquet").read_bytes()
        (tmp_path / "cut.parquet").write_bytes(data[: int(len(data) * share)])
        ended = run("fit-base", "cut.parquet", *TRAIN)
        assert ended.err.startswith("resmem: cut.parquet cannot be read (Parquet magic bytes not found in footer.")
        assert ended.err.endswith("); check that the file is complete and of this format\n")
        assert ended.err.count("\n") == 1
        assert (ended.code, ended.out) == (DATA, "")
        assert not (tmp_path / "m").exists()

    def test_one_column_name_twice(self, model: Model, fails: Fails, tmp_path: Path) -> None:
        model()
        for name in ("train.csv", "new.csv"):
            head, _, rest = (tmp_path / name).read_text().partition("\n")
            (tmp_path / name).write_text(head.replace("carat", "cut") + "\n" + rest)
        again = "names the column 'cut' twice; rename or remove one of them"
        fails(DATA, f"new.csv {again}", "predict", "new.csv", "--model", "m", "--output", "out.csv")
        fails(DATA, f"train.csv {again}", "fit-base", "train.csv", "--target", "price", "--model", "other")

    def test_an_input_of_no_known_format(self, model: Model, fails: Fails, tmp_path: Path) -> None:
        model()
        shutil.copy("new.csv", "new.xlsx")
        fails(
            USAGE,
            "the format of 'new.xlsx' is not recognised by its name (known endings: .arrow, .csv, .feather, .ipc, "
            ".jsonl, .ndjson, .parquet, .pq, .tab, .tsv); name the format with --input-format",
            *("predict", "new.xlsx", "--model", "m"),
        )


class TestTraining:
    """Rows that no base can be fitted on."""

    def fitted(self, csv: Csv, fails: Fails, content: str | pa.Table, sentence: str, *options: str) -> None:
        """`fit-base` refuses the content with this sentence, and makes no model directory."""
        csv("t.csv", content)
        fails(DATA, sentence, "fit-base", "t.csv", "--target", "y", "--model", "m", *options)
        assert not Path("m").exists()

    def test_no_such_target(self, csv: Csv, fails: Fails) -> None:
        self.fitted(csv, fails, "a,b\n1,2\n3,4\n", "t.csv has no column 'y'; its columns are: a, b")

    def test_a_target_without_a_name(self, csv: Csv, fails: Fails) -> None:
        csv("t.csv", "a,b\n1,2\n3,4\n")
        sentence = "t.csv has no column ''; its columns are: a, b"
        fails(DATA, sentence, "fit-base", "t.csv", "--target", "", "--model", "m")

    def test_several_columns_that_are_not_there(self, csv: Csv, fails: Fails) -> None:
        sentence = "t.csv has no column 'c', 'd'; its columns are: a, y"
        self.fitted(csv, fails, "a,y\n1,2\n3,4\n", sentence, "--features", "a,c", "--drop", "d")

    def test_a_constant_target(self, csv: Csv, fails: Fails) -> None:
        sentence = (
            "the target 'y' has the same value, '5', in all 2 rows; there is nothing to learn: give rows that differ"
        )
        self.fitted(csv, fails, "a,y\n1,5\n2,5\n", sentence)

    def test_a_target_missing_in_every_row(self, csv: Csv, fails: Fails) -> None:
        self.fitted(csv, fails, "a,y\n1,\n2,\n", "t.csv: the target 'y' is missing in every row; give labelled rows")

    def test_one_class_of_several_rows(self, csv: Csv, fails: Fails) -> None:
        rows = "".join(f"{i},yes\n" for i in range(20))
        self.fitted(
            csv,
            fails,
            f"a,y\n{rows}20,maybe\n",
            "the target 'y' has the class 'maybe' in one row only; add rows of it, or remove it; a number is predicted "
            "with --task regression",
        )

    def test_a_feature_that_was_asked_for_and_is_missing_in_every_row(self, csv: Csv, fails: Fails) -> None:
        rows = "".join(f"{i},,{i / 7}\n" for i in range(20))
        sentence = "t.csv: the column 'b' is missing in every row; leave it out with --drop 'b'"
        self.fitted(csv, fails, f"a,b,y\n{rows}", sentence, "--features", "a,b")

    def test_several_columns_of_which_a_value_does_not_fit_the_rest(self, csv: Csv, fails: Fails) -> None:
        rows = "".join(f"{i},2024-01-{1 + i % 20:02},{i / 7}\n" for i in range(20))
        sentence = (
            "t.csv, row 21: column 'a' holds 'x' where 95.2% of the values are numbers; t.csv, row 21: column 'b' "
            "holds 'soon' where 95.2% of the values are dates or times; correct these, use --category 'a,b' if they "
            "are categorical, or leave them out with --drop 'a,b'"
        )
        self.fitted(csv, fails, f"a,b,y\n{rows}x,soon,1.5\n", sentence)

    @pytest.mark.parametrize("value", ["inf", "-Infinity", "1e999"])
    @pytest.mark.parametrize("column", ["a", "y"])
    def test_an_infinite_value(self, csv: Csv, fails: Fails, column: str, value: str) -> None:
        rows = [{"a": str(i), "y": str(i / 7)} for i in range(20)]
        rows[4][column] = value
        self.fitted(
            csv,
            fails,
            "a,y\n" + "".join(f"{row['a']},{row['y']}\n" for row in rows),
            f"t.csv, row 5: column '{column}' holds an infinite value; replace it by a number, or leave it empty if it "
            "is unknown",
        )

    def test_text_among_numbers(self, csv: Csv, fails: Fails) -> None:
        rows = "".join(f"{i if i != 12 else 'n.a.'},{i / 7}\n" for i in range(40))
        self.fitted(
            csv,
            fails,
            f"a,y\n{rows}",
            "t.csv, row 13: column 'a' holds 'n.a.' where 97.5% of the values are numbers; correct it, or use "
            "--category 'a' if the column is categorical",
        )

    def test_no_feature_at_all(self, csv: Csv, fails: Fails) -> None:
        sentence = "t.csv has no column that can be a feature; add columns, or check --features and --drop"
        rows = "".join(f"{i},{i / 7}\n" for i in range(20))
        self.fitted(csv, fails, f"a,y\n{rows}", sentence, "--drop", "a")

    @pytest.mark.parametrize("weight", ["-1", ""])
    def test_a_weight_that_is_none(self, csv: Csv, fails: Fails, weight: str) -> None:
        rows = "".join(f"{i},{weight if i == 3 else 1},{i / 7}\n" for i in range(20))
        sentence = f"t.csv, row 4: the weight 'w' is {weight or 'missing'}; give weights of 0 or more"
        self.fitted(csv, fails, f"a,w,y\n{rows}", sentence, "--weight", "w")


class TestRows:
    """Rows that a model cannot predict or learn from."""

    def test_missing_columns_are_all_named(self, model: Model, fails: Fails) -> None:
        model()
        write_csv(table("diamonds", "new").drop_columns(["carat", "x", "z"]), Path("less.csv"))
        fails(
            DATA,
            "less.csv lacks the columns 'carat', 'x', 'z', which the model needs; add them; the file has: id, cut, "
            "color, clarity, depth, table, y",
            *("predict", "less.csv", "--model", "m", "--output", "out.csv"),
        )

    @pytest.mark.parametrize("verb", ["fit-residual", "evaluate"])
    def test_rows_without_the_target_column(self, model: Model, fails: Fails, verb: str) -> None:
        sentence = f"new.csv lacks the column 'price', which the model needs; add it; the file has: id, {COLUMNS}"
        fails(DATA, sentence, verb, "new.csv", "--model", model())

    @pytest.mark.parametrize("name", ["house", "boosted"])
    @pytest.mark.parametrize("verb", ["fit-residual", "evaluate"])
    def test_rows_without_any_target(self, model: Model, fails: Fails, verb: str, name: str) -> None:
        model(name)
        rows = table("diamonds", "test")
        nothing = pa.nulls(rows.num_rows, pa.int64())
        write_csv(rows.set_column(rows.column_names.index("price"), "price", nothing), Path("none.csv"))
        sentence = "none of the 80 rows has a target 'price'; give labelled rows"
        fails(DATA, sentence, verb, "none.csv", "--model", "m")

    @pytest.mark.parametrize("batch", [7, 10_000])
    def test_text_in_a_number_column(self, model: Model, fails: Fails, batch: int) -> None:
        """Named by file, row, column and value, whatever the batches."""
        model()
        with_value(Path("new.csv"), 33, "depth", "deep")
        fails(
            DATA,
            "new.csv, row 33: column 'depth' holds 'deep', which is not a number; correct it, or leave it empty if it "
            "is unknown",
            *("predict", "new.csv", "--model", "m", "--output", "out.csv", "--batch-rows", batch),
        )

    @pytest.mark.parametrize("verb", ["predict", "evaluate", "fit-residual"])
    def test_an_infinite_value(self, model: Model, fails: Fails, verb: str) -> None:
        model()
        with_value(Path("test.csv"), 5, "y", "inf")
        sentence = (
            "test.csv, row 5: column 'y' holds an infinite value; replace it by a number, or leave it empty if it is "
            "unknown"
        )
        fails(DATA, sentence, verb, "test.csv", "--model", "m")

    @pytest.mark.parametrize("verb", ["evaluate", "fit-residual", "remember"])
    def test_classes_that_training_did_not_have_in_every_row(self, model: Model, fails: Fails, verb: str) -> None:
        model("chess")
        rows = table("chess", "test")
        other = pa.array(["forty"] * rows.num_rows)
        write_csv(rows.set_column(rows.column_names.index("depth"), "depth", other), Path("test.csv"))
        sentence = (
            "test.csv, row 1: the target 'depth' holds the class 'forty', which is not in the training data; remove "
            "such rows, or fit again with rows of this class"
        )
        fails(DATA, sentence, verb, "test.csv", "--model", "m")

    def test_inputs_of_different_columns(self, model: Model, fails: Fails) -> None:
        differ = "new.csv and test.csv differ in the column 'price'"
        sentence = f"{differ}; give files of the same columns, or predict them one by one"
        fails(DATA, sentence, "predict", "new.csv", "test.csv", "--model", model(), "--output", "out.csv")

    def test_too_few_rows_for_the_folds(self, model: Model, csv: Csv, fails: Fails) -> None:
        model()
        csv("few.csv", table("diamonds", "train").slice(0, 60))
        sentence = "60 rows are too few for 40 folds; give more rows, or lower --folds"
        fails(DATA, sentence, "fit-residual", "few.csv", "--model", "m", "--folds", "40")

    def test_too_few_rows_to_choose_settings_that_are_to_be_used(self, model: Model, csv: Csv, fails: Fails) -> None:
        model()
        csv("few.csv", table("diamonds", "train").slice(0, 9))
        sentence = "9 held-out rows are too few to choose settings by; give at least 30, or every setting and --folds 0"
        fails(USAGE, sentence, "fit-residual", "few.csv", "--model", "m", "--shrinkage", "1")


class TestModels:
    """Model directories that cannot be used; whatever the verb."""

    def test_no_such_directory(self, model: Model, fails: Fails) -> None:
        model()
        sentence = "there is no model directory 'none'; make one: resmem fit-base TRAIN --target COLUMN --model none"
        for verb in ("fit-residual", "predict", "evaluate"):
            fails(MODEL, sentence, verb, "train.csv", "--model", "none")

    def test_a_file_in_its_place(self, model: Model, fails: Fails) -> None:
        model()
        sentence = "'new.csv' is a file, not a model directory; name the directory with --model"
        fails(MODEL, sentence, "predict", "new.csv", "--model", "new.csv")

    def test_prediction_before_there_is_a_memory(self, model: Model, fails: Fails, run: Run) -> None:
        model()
        Path("m/memory.json").unlink()
        sentence = (
            "the model 'm' has no memory yet; run: resmem fit-residual TRAIN --model m (predict --base-only works "
            "without it)"
        )
        fails(MODEL, sentence, "predict", "new.csv", "--model", "m", "--output", "out.csv")
        fails(MODEL, sentence, "evaluate", "test.csv", "--model", "m")
        assert run("predict", "new.csv", "--model", "m", "--base-only").out.startswith(
            "id," + COLUMNS.replace(", ", ",") + ",prediction\n"
        )

    @pytest.mark.parametrize("change", [("--seed", 1, "--estimator", "linear"), ("--estimator", "constant")])
    def test_a_memory_of_another_base(self, model: Model, fails: Fails, run: Run, change: tuple[object, ...]) -> None:
        model()
        assert run("fit-base", "train.csv", *TRAIN, "--id", "id", *change).code == 0
        sentence = (
            "the memory of 'm' belongs to another base (the base was fitted again since); "
            "run: resmem fit-residual TRAIN --model m"
        )
        fails(MODEL, sentence, "predict", "new.csv", "--model", "m", "--output", "out.csv")
        fails(MODEL, sentence, "evaluate", "test.csv", "--model", "m")
        assert run("predict", "new.csv", "--model", "m", "--base-only", "--quiet").code == 0
        assert run("fit-residual", "train.csv", "--model", "m", "--quiet").code == 0
        assert run("predict", "new.csv", "--model", "m", "--quiet").code == 0

    def test_the_same_base_fitted_again_keeps_its_memory(self, model: Model, run: Run) -> None:
        model()
        words = ("fit-base", "train.csv", *TRAIN, "--id", "id", "--estimator", "linear", "--threads", 1)
        assert run(*words).code == 0
        assert run("predict", "new.csv", "--model", "m").code == 0

    @pytest.mark.parametrize("which", ["base.json", "memory.json"])
    def test_a_newer_format(self, model: Model, fails: Fails, which: str) -> None:
        """Refused before any part is looked at: there is none here."""
        model()
        self.edit(which, format=manifest.FORMAT + 1, resmem="9.1.0")
        shutil.rmtree("m/parts")
        sentence = (
            f"m/{which} has format {manifest.FORMAT + 1}, written by resmem 9.1.0; this is resmem 0.1.0, which reads "
            f"formats up to {manifest.FORMAT}; upgrade resmem-cli"
        )
        fails(MODEL, sentence, "predict", "new.csv", "--model", "m", "--output", "out.csv")

    def test_a_part_whose_hash_or_size_is_wrong(self, model: Model, fails: Fails) -> None:
        model()
        path = next(Path("m/parts").glob("*/representation.npz"))
        data = bytearray(path.read_bytes())
        data[100] ^= 1
        path.write_bytes(data)
        words = ("predict", "new.csv", "--model", "m", "--output", "out.csv")
        fails(MODEL, f"{path} has another SHA-256 than its manifest says; fit the model again", *words)
        path.write_bytes(data[:-1])
        fails(MODEL, f"{path} has another size than its manifest says; fit the model again", *words)

    def test_a_missing_part(self, model: Model, fails: Fails) -> None:
        model()
        path = next(Path("m/parts").glob("*/representation.npz"))
        path.unlink()
        sentence = f"the model directory 'm' lacks {path}; fit the model again"
        fails(MODEL, sentence, "predict", "new.csv", "--model", "m", "--output", "out.csv")

    def test_a_part_name_that_leads_out_of_the_directory(self, model: Model, fails: Fails) -> None:
        model()
        known = json.loads(Path("m/memory.json").read_text())["parts"]
        self.edit("memory.json", parts=known | {"../../../new.csv": known["rows.npz"]})
        sentence = "'../../../new.csv' is not a name of a part; fit the model again"
        fails(MODEL, sentence, "predict", "new.csv", "--model", "m", "--output", "out.csv")

    @pytest.mark.parametrize("which", ["base.json", "memory.json"])
    def test_a_damaged_manifest(self, model: Model, fails: Fails, run: Run, which: str) -> None:
        """Fitting again, which the sentence says, does help."""
        model()
        Path(f"m/{which}").write_text("[1]")
        sentence = (
            f"m/{which} is not a manifest of resmem (list indices must be integers or slices, not str); "
            "fit the model again"
        )
        fails(MODEL, sentence, "predict", "new.csv", "--model", "m", "--output", "out.csv")
        assert run("fit-base", "train.csv", *TRAIN, "--estimator", "linear", "--quiet").code == 0
        assert run("fit-residual", "train.csv", "--model", "m", "--quiet").code == 0
        assert run("predict", "new.csv", "--model", "m", "--quiet").code == 0

    @staticmethod
    def edit(which: str, **changes: Any) -> None:
        path = Path("m") / which
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))


class TestPlaces:
    """Where nothing can be written."""

    def test_a_model_directory_that_holds_other_things(self, model: Model, fails: Fails) -> None:
        model()
        Path("m/notes.txt").touch()
        sentence = "the directory 'm' contains files that do not belong to a model ('notes.txt'); " + (
            "name an empty or new directory with --model"
        )
        fails(USAGE, sentence, "fit-base", "train.csv", *TRAIN)

    def test_a_model_directory_that_is_a_file(self, model: Model, fails: Fails) -> None:
        model()
        sentence = "'new.csv' is a file; name a directory with --model"
        fails(USAGE, sentence, "fit-base", "train.csv", "--target", "price", "--model", "new.csv")

    def test_a_model_directory_whose_name_is_too_long(self, model: Model, fails: Fails) -> None:
        model()
        name = "m" * 300
        shown = f"{'m' * 119}…{'m' * 39}"  # with its quotes the first 120 characters and the last 40
        sentence = f"'{shown}' cannot be used (File name too long); check its permissions and the space left"
        fails(UNEXPECTED, sentence, "fit-base", "train.csv", "--target", "price", "--model", name)

    def test_a_model_directory_that_cannot_be_made(self, model: Model, run: Run) -> None:
        """/proc takes no directory, not even root's."""
        model()
        ended = run("fit-base", "train.csv", "--target", "price", "--estimator", "constant", "--model", "/proc/m")
        assert ended.err == (
            "resmem: the model directory '/proc/m' cannot be written (No such file or directory); "
            "free some space or check permissions\n"
        )
        assert (ended.code, ended.out) == (UNEXPECTED, "")

    def test_no_permission_to_write(self, model: Model, run: Run, fails: Fails) -> None:
        model()
        Path("locked").mkdir(mode=0o500)
        if os.access("locked", os.W_OK):
            pytest.skip("this user (root?) may write everywhere")
        sentence = (
            "'locked/out.csv' cannot be written (Permission denied); check the path, or choose another with --output"
        )
        fails(UNEXPECTED, sentence, "predict", "new.csv", "--model", "m", "--output", "locked/out.csv")
        sentence = (
            "the model directory 'locked/m' cannot be written (Permission denied); free some space or check permissions"
        )
        fails(UNEXPECTED, sentence, "fit-base", "train.csv", "--target", "price", "--model", "locked/m")

    def test_no_permission_to_read(self, model: Model, run: Run) -> None:
        model()
        Path("new.csv").chmod(0)
        if os.access("new.csv", os.R_OK):
            pytest.skip("this user (root?) may read everything")
        ended = run("predict", "new.csv", "--model", "m")
        assert ended.err == "resmem: new.csv may not be read; check its permissions\n"
        assert ended.code == DATA
        Path("m/base.json").chmod(0)
        ended = run("predict", "test.csv", "--model", "m")
        sentence = "the model directory 'm' cannot be read (Permission denied); check its permissions"
        assert (ended.err, ended.code) == (f"resmem: {sentence}\n", MODEL)

    def test_an_output_in_a_folder_that_is_not_there(self, model: Model, fails: Fails) -> None:
        sentence = (
            "'none/out.csv' cannot be written (No such file or directory); create the directory first, or choose "
            "another with --output"
        )
        fails(UNEXPECTED, sentence, "predict", "new.csv", "--model", model(), "--output", "none/out.csv")

    def test_an_output_that_is_a_folder(self, model: Model, fails: Fails) -> None:
        model()
        Path("out.csv").mkdir()
        sentence = "'out.csv' cannot be written (Is a directory); check the path, or choose another with --output"
        fails(UNEXPECTED, sentence, "predict", "new.csv", "--model", "m", "--output", "out.csv")

    @pytest.mark.parametrize("form", ["csv", "tsv", "jsonl", "arrow", "parquet"])
    def test_a_full_disk(self, model: Model, fails: Fails, form: str) -> None:
        sentence = (
            "'/dev/full' cannot be written (No space left on device); free some space, or choose another with --output"
        )
        words = ("predict", "new.csv", "--model", model(), "--output", "/dev/full", "--output-format", form)
        fails(UNEXPECTED, sentence, *words)

    def test_an_output_of_no_known_format(self, model: Model, fails: Fails) -> None:
        fails(
            USAGE,
            "the format of 'out.xlsx' is not recognised by its name (known endings: .arrow, .csv, .feather, .ipc, "
            ".jsonl, .ndjson, .parquet, .pq, .tab, .tsv); name the format with --output-format",
            *("predict", "new.csv", "--model", model(), "--output", "out.xlsx"),
        )

    def test_a_failure_leaves_the_output_that_was_there(self, model: Model, fails: Fails) -> None:
        model()
        Path("out.csv").write_text("of yesterday\n")
        with_value(Path("new.csv"), 20, "depth", "deep")
        sentence = (
            "new.csv, row 20: column 'depth' holds 'deep', which is not a number; correct it, or leave it empty if it "
            "is unknown"
        )
        fails(DATA, sentence, "predict", "new.csv", "--model", "m", "--output", "out.csv", "--batch-rows", 5)
        assert Path("out.csv").read_text() == "of yesterday\n"


class TestUsage:
    """Words that are wrong, or that contradict each other or the data."""

    @pytest.mark.parametrize(
        ("words", "sentence"),
        [
            (("--bogus",), "No such option: --bogus; see resmem --help"),
            (("fit-bas",), "No such command 'fit-bas'. Did you mean 'fit-base'?; see resmem --help"),
            (("predict",), "Missing argument 'INPUT...'; see resmem predict --help"),
            (
                ("predict", "new.csv"),
                "Missing option '--model' / '-m' (env var: 'RESMEM_MODEL'); see resmem predict --help",
            ),
            (
                ("fit-base", "train.csv", "--model", "other"),
                "Missing option '--target' / '-t'; see resmem fit-base --help",
            ),
            (
                ("predict", "new.csv", "--model", "m", "--keep"),
                "Option '--keep' requires an argument; see resmem --help",
            ),
            (
                ("predict", "new.csv", "--model", "m", "--jsno"),
                "No such option: --jsno (Possible options: --json, --na); see resmem predict --help",
            ),
            (
                ("fit-base", "train.csv", *TRAIN, "--task", "ranking"),
                "Invalid value for '--task': 'ranking' is not one of 'auto', 'regression', 'classification'; "
                "see resmem fit-base --help",
            ),
            (
                ("fit-residual", "train.csv", "--model", "m", "--metric", "r2"),
                "Invalid value for '--metric': 'r2' is not one of 'auto', 'rmse', 'mae', 'log_loss', 'accuracy'; "
                "see resmem fit-residual --help",
            ),
            (
                ("fit-residual", "train.csv", "--model", "m", "--residuals", "crossed"),
                "Invalid value for '--residuals': 'crossed' is not one of 'auto', 'in-sample', 'cross-fitted'; "
                "see resmem fit-residual --help",
            ),
            (
                ("fit-residual", "train.csv", "--model", "m", "--memories", "0"),
                "Invalid value for '--memories': Input should be greater than or equal to 1; "
                "see resmem fit-residual --help",
            ),
            (
                ("fit-residual", "train.csv", "--model", "m", "--memories", "17"),
                "Invalid value for '--memories': Input should be less than or equal to 16; "
                "see resmem fit-residual --help",
            ),
            (
                ("fit-residual", "train.csv", "--model", "m", "--folds", "many"),
                "Invalid value for '--folds': Input should be a valid integer, unable to parse string as an integer; "
                "see resmem fit-residual --help",
            ),
            (
                ("predict", "new.csv", "--model", "m", "--delimiter", ";;"),
                "Invalid value for '--delimiter': ';;' is not one character; see resmem predict --help",
            ),
            (
                ("fit-base", "train.csv", *TRAIN, "--param", "alpha"),
                "Invalid value for '--param': 'alpha' is not of the form NAME=VALUE; see resmem fit-base --help",
            ),
        ],
    )
    def test_words_that_are_not_understood(
        self, model: Model, fails: Fails, words: tuple[str, ...], sentence: str
    ) -> None:
        model()
        fails(USAGE, sentence, *words)

    @pytest.mark.parametrize(
        ("option", "value", "problem"),
        [
            ("--neighbors", "x", "'x' is neither a number nor auto"),
            ("--neighbors", "0", "0 is not a whole number of 1 or more"),
            ("--neighbors", "2.5", "2.5 is not a whole number of 1 or more"),
            ("--neighbors", "inf", "inf is not a number of 0 or more"),
            ("--bandwidth", "-1", "-1 is not a number of 0 or more"),
            ("--bandwidth", "nan", "nan is not a number of 0 or more"),
            ("--shrinkage", "-0.5", "-0.5 is not a number of 0 or more"),
            ("--shrinkage", "inf", "inf is not a number of 0 or more"),
            ("--shrinkage", "", "'' is neither a number nor auto"),
            ("--temperature", "0", "0 is not more than 0"),
            ("--temperature", "inf", "inf is not a number of 0 or more"),
        ],
    )
    def test_settings_that_are_no_such_number(
        self, model: Model, fails: Fails, option: str, value: str, problem: str
    ) -> None:
        sentence = f"Invalid value for '{option}': {problem}; see resmem fit-residual --help"
        fails(USAGE, sentence, "fit-residual", "train.csv", "--model", model(), option, value)

    @pytest.mark.parametrize("estimators", ["forest", "linear,forest", "forest, linear"])
    def test_an_unknown_estimator(self, model: Model, fails: Fails, estimators: str) -> None:
        model()
        sentence = (
            "there is no estimator 'forest'; choose from: auto, boosting, poisson, lightgbm, xgboost, catboost, "
            "linear, discriminant, mlp, network, constant; several are separated by commas"
        )
        fails(USAGE, sentence, "fit-base", "train.csv", *TRAIN, "--estimator", estimators)

    def test_a_base_of_numbers_that_are_never_negative(self, model: Model, fails: Fails) -> None:
        model()
        negative = table("diamonds", "train").to_pandas()
        negative.loc[3, "price"] = -12
        negative.to_csv("negative.csv", index=False)
        fails(
            USAGE,
            "the estimator poisson is for targets that are never negative, and the minimum of 'price' is -12; "
            "choose another --estimator",
            *("fit-base", "negative.csv", *TRAIN, "--estimator", "linear,poisson"),
        )
        fails(
            USAGE,
            "the estimator poisson is for regression, and 'cut' has classes; choose another --estimator",
            *("fit-base", "train.csv", "--target", "cut", "--model", "new", "--estimator", "poisson"),
        )

    def test_a_parameter_that_none_of_several_estimators_has(self, model: Model, fails: Fails) -> None:
        model()
        fails(
            USAGE,
            "none of linear, constant has a parameter 'alhpa'; did you mean 'alpha'? Choose from: alpha, "
            "bounded, copy_X, fit_intercept, max_iter, positive, solver, tol",
            *("fit-base", "train.csv", *TRAIN, "--estimator", "linear,constant", "--param", "alhpa=1"),
        )

    @pytest.mark.parametrize("name", ["log_loss", "accuracy"])
    def test_a_metric_of_classes_for_a_number(self, model: Model, fails: Fails, name: str) -> None:
        sentence = f"{name} is no metric of a regression; choose --metric from: rmse, mae"
        fails(USAGE, sentence, "fit-residual", "train.csv", "--model", model(), "--metric", name)

    @pytest.mark.parametrize("name", ["rmse", "mae"])
    def test_a_metric_of_numbers_for_classes(self, model: Model, fails: Fails, name: str) -> None:
        sentence = f"{name} is no metric of a classification; choose --metric from: log_loss, accuracy"
        fails(USAGE, sentence, "fit-residual", "train.csv", "--model", model("chess"), "--metric", name)

    def test_cross_fitted_residuals_of_a_base_that_stays(self, model: Model, fails: Fails) -> None:
        """Enough rows are new to it, so that it is not fitted anew."""
        model()
        rows = pyarrow.parquet.read_table(SAMPLES / "diamonds_test.parquet").slice(0, 200)
        write_csv(rows, Path("fresh.csv"))
        sentence = (
            "enough rows are new to the base, so it is not refitted: their residuals need no cross-fitting; "
            "leave --residuals out"
        )
        fails(USAGE, sentence, "fit-residual", "fresh.csv", "--model", "m", "--residuals", "cross-fitted")

    def test_a_representation_that_none_of_several_bases_has(self, model: Model, run: Run, fails: Fails) -> None:
        model()
        assert run("fit-base", "train.csv", *TRAIN, "--estimator", "linear,constant").code == 0
        words = ("fit-residual", "train.csv", "--model", "m", "--representation")
        sentence = (
            "the base linear has no representation 'column:cut'; choose from: features, sensitivity, model, learned"
        )
        fails(USAGE, sentence, *words, "column:cut")
        # One that the constant alone has not, as it is beside others in every model of auto, is no error.
        ended = run(*words, "model")
        assert ended.code == 0
        assert "base linear, representation model," in ended.err

    def test_an_unknown_parameter_of_the_estimator(self, model: Model, fails: Fails) -> None:
        model()
        fails(
            USAGE,
            "the estimator linear has no parameter 'alhpa'; did you mean 'alpha'? Choose from: alpha, "
            "bounded, copy_X, fit_intercept, max_iter, positive, solver, tol",
            *("fit-base", "train.csv", *TRAIN, "--estimator", "linear", "--param", "alhpa=1"),
        )
        fails(
            USAGE,
            "the estimator constant has no parameter 'alpha'; leave --param out: it has none",
            *("fit-base", "train.csv", *TRAIN, "--estimator", "constant", "--param", "alpha=1"),
        )

    @pytest.mark.parametrize("value", ["-1", "much"])
    def test_a_wrong_value_of_a_parameter(self, model: Model, fails: Fails, value: str) -> None:
        model()
        got = value if value == "-1" else f"'{value}'"
        fails(
            USAGE,
            "The 'alpha' parameter of Ridge must be a float in the range [0.0, inf) or an array-like. "
            f"Got {got} instead; correct the --param",
            *("fit-base", "train.csv", *TRAIN, "--estimator", "linear", "--param", f"alpha={value}"),
        )

    def test_more_neighbours_than_rows(self, model: Model, fails: Fails) -> None:
        sentence = "241 neighbours are more than the 240 rows of the memory; set --neighbors to at most 240"
        fails(USAGE, sentence, "fit-residual", "train.csv", "--model", model(), "--neighbors", 241)

    def test_more_neighbours_than_cells(self, model: Model, csv: Csv, fails: Fails) -> None:
        model()
        once = table("diamonds", "train").slice(0, 20)
        csv("twice.csv", pa.concat_tables([once, once]))
        sentence = (
            "21 neighbours are more than the 20 cells of the memory (rows with distinct representations); "
            "set --neighbors to at most 20"
        )
        words = ("--neighbors", 21, "--bandwidth", 1, "--shrinkage", 1, "--representation", "features", "--folds", 0)
        fails(USAGE, sentence, "fit-residual", "twice.csv", "--model", "m", *words)

    @pytest.mark.parametrize(
        ("options", "sentence"),
        [
            (
                ("--folds", "1"),
                "--folds 1 leaves no training rows; set --folds to 2 or more, or to 0 to give every setting",
            ),
            (
                ("--folds", "0"),
                "--folds 0 chooses no settings; give a number for each setting, --representation and, for a "
                "learned one, --encoder; or set --folds to 2 or more",
            ),
            (("--temperature", "2"), "a regression has no temperature; leave --temperature out"),
            (
                ("--bandwidth-kind", "absolute"),
                "an absolute bandwidth cannot be chosen automatically; give --bandwidth a number",
            ),
        ],
    )
    def test_settings_that_contradict_each_other(
        self, model: Model, fails: Fails, options: tuple[str, ...], sentence: str
    ) -> None:
        fails(USAGE, sentence, "fit-residual", "train.csv", "--model", model(), *options)

    def test_a_representation_that_the_base_has_not(self, model: Model, run: Run, fails: Fails) -> None:
        model()
        run("fit-base", "train.csv", *TRAIN, "--estimator", "constant")
        sentence = "the base constant has no representation 'model'; choose from: features, learned"
        fails(USAGE, sentence, "fit-residual", "train.csv", "--model", "m", "--representation", "model")

    def test_a_learned_representation_without_folds_needs_its_encoder(
        self, model: Model, run: Run, fails: Fails
    ) -> None:
        model()
        words = ("--folds", 0, "--neighbors", 3, "--bandwidth", 1, "--shrinkage", 1, "--representation", "learned")
        words = ("fit-residual", "train.csv", "--model", "m", *words, "--encoder-steps", 3)
        sentence = (
            "--folds 0 chooses no settings; give a number for each setting, --representation and, for a "
            "learned one, --encoder; or set --folds to 2 or more"
        )
        fails(USAGE, sentence, *words)
        fails(USAGE, sentence, *words, "--effort", "high")
        assert "representation learned:diagonal" in run(*words, "--encoder", "diagonal").err
        assert run("predict", "new.csv", "--model", "m").code == 0

    def test_roles_that_contradict_each_other(self, model: Model, fails: Fails) -> None:
        model()
        words = ("fit-base", "train.csv", "--target", "price", "--model", "other")
        sentence = "one column is given two of the roles --target, --id and --weight; give each its own column"
        fails(USAGE, sentence, *words, "--id", "price")
        sentence = "'carat' is named in --features and has another role; take it out of one of them"
        fails(USAGE, sentence, *words, "--features", "carat,cut", "--drop", "carat")

    def test_an_output_column_that_is_there_already(self, model: Model, fails: Fails, run: Run) -> None:
        model()
        assert run("predict", "new.csv", "--model", "m", "--output", "once.csv").code == 0
        sentence = (
            "once.csv has a column 'prediction' already; put something before the new names with --prefix, or leave "
            "the old one out with --keep"
        )
        fails(USAGE, sentence, "predict", "once.csv", "--model", "m", "--output", "twice.csv")
        assert run("predict", "once.csv", "--model", "m", "--output", "twice.csv", "--prefix", "second_").code == 0
        assert run("predict", "once.csv", "--model", "m", "--output", "thrice.csv", "--keep", "id").code == 0

    def test_probabilities_of_a_number(self, model: Model, fails: Fails) -> None:
        sentence = "a regression has no probabilities; leave --probabilities out"
        fails(USAGE, sentence, "predict", "new.csv", "--model", model(), "--probabilities")

    def test_the_id_of_a_model_without_one(self, model: Model, fails: Fails, run: Run) -> None:
        model()
        run("fit-base", "train.csv", "--target", "price", "--model", "other", "--estimator", "constant")
        sentence = "the model has no id column to keep; name columns with --keep, or fit with --id"
        fails(USAGE, sentence, "predict", "new.csv", "--model", "other", "--base-only", "--keep", "id")

    def test_standard_input_named_twice(self, model: Model, fails: Fails) -> None:
        fails(USAGE, "standard input ('-') is named twice; name it once", "predict", "-", "-", "--model", model())
        words = ("fit-residual", "-", "--valid", "-", "--model", "m")
        fails(USAGE, "standard input ('-') is named twice; name a file with --valid", *words)


def test_the_traceback_is_shown_only_when_it_is_asked_for(run: Run) -> None:
    short, long = run("predict", "none.csv", "--model", "m"), run("predict", "none.csv", "--model", "m", "--traceback")
    assert short.err == long.lines[-1] + "\n"
    assert long.err.startswith("Traceback (most recent call last):\n")
    assert "Traceback" not in short.err


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (RuntimeError("odd"), 1, "unexpected RuntimeError: odd; please report it, with --traceback"),
        (MemoryError(), 1, "there is not enough RAM; give fewer rows or columns"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (
            OSError(28, "No space left on device"),
            1,
            "standard output cannot be used (No space left on device); check its permissions and the space left",
        ),
        (
            PermissionError(13, "Permission denied", "some/place"),
            1,
            "'some/place' cannot be used (Permission denied); check its permissions and the space left",
        ),
    ],
)
def test_what_nobody_foresaw_is_a_sentence_too(
    run: Run, model: Model, monkeypatch: pytest.MonkeyPatch, *, error: BaseException, code: int, sentence: str
) -> None:
    from resmem_cli.workflow import predict

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(predict.reading, "load", fail)
    ended = run("predict", "new.csv", "--model", model(), "--output", "out.csv")
    assert (ended.code, ended.err, ended.out) == (code, f"resmem: {sentence}\n", "")
    assert not Path("out.csv").exists()
