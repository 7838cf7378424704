"""What is shown to people is one line without controls, whatever files and arguments hold."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resmem_cli.cli import console
from resmem_cli.cli.sentences import sentence
from tests.cli.conftest import Run

Model = Callable[..., Path]
EVIL = "\x1b]0;owned\x07\x1b[2J"
SHOWN = r"\x1b]0;owned\x07\x1b[2J"
# C0, DEL, C1, the end of a line and of a paragraph, direction, of no width, half of a pair, and a tag.
UNSEEN = "\x00\x07\t\n\r\x1b\x7f\x85\x9b\u2028\u2029\u202e\u2066\u200e\u200b\u200d\u2060\ufeff\u00ad\udc80\U000e0041"


@pytest.mark.parametrize("character", UNSEEN)
def test_what_cannot_be_seen_is_shown_as_an_escape(character: str) -> None:
    escape = character.encode("unicode_escape").decode()
    assert sentence(f"a{character}b") == f"a{escape}b"
    assert escape.startswith("\\")


@pytest.mark.parametrize("text", ["größe", "価格\u3000円", "a 'b' c", "—…✓", r"C:\new\x1b"])
def test_what_can_be_seen_stays(text: str) -> None:
    assert sentence(text) == text


@given(st.text())
def test_no_text_ever_holds_a_control(text: str) -> None:
    assert not [each for each in sentence(text) if unicodedata.category(each) in {"Cc", "Cf", "Cs", "Zl", "Zp"}]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"there is no column '{'x' * 500}'; it's 'y'", f"there is no column '{'x' * 119}…{'x' * 39}'; it's 'y'"),
        (f"holds '{'abcd ' * 100}'; it's", f"holds '{'abcd ' * 23}abcd…{'bcd ' + 'abcd ' * 7}'; it's"),
        (f"{'y' * 500} is odd", f"{'y' * 120}…{'y' * 40} is odd"),
        ("'a' " + "word " * 100 + "'b'", "'a' " + "word " * 100 + "'b'"),
    ],
    ids=["in quotes", "with spaces", "bare", "a long sentence between two values"],
)  # fmt: skip
def test_a_long_value_is_shortened_and_what_is_said_of_it_is_not(text: str, shown: str) -> None:
    assert sentence(text) == shown


def test_a_very_long_sentence_keeps_its_begin_and_its_end() -> None:
    shown = sentence("there is no column; its columns are: " + "name, " * 10_000 + "check --target")
    assert len(shown) < 3_000
    assert shown.startswith("there is no column; its columns are: name, ")
    assert shown.endswith("name, check --target")


def test_notes_and_results_are_escaped_too(capsys: pytest.CaptureFixture[str]) -> None:
    console.say(f"note: {EVIL}", quiet=False)
    console.tell(f"by {EVIL}")
    console.table(("a", f"b{EVIL}"), [(f"{EVIL}[bold]", "[/x] :smile:")])
    out, err = capsys.readouterr()
    assert err == f"note: {SHOWN}\n"
    assert out.startswith(f"by {SHOWN}\n")
    assert f"{SHOWN}[bold]" in out  # no markup and no emoji of Rich's
    assert "[/x] :smile:" in out
    assert "\x1b" not in out
    assert "\x07" not in out


class TestCommands:
    """Everywhere a name or a value of the user's is told."""

    def is_clean(self, run: Run, *words: object, code: int = 0) -> str:
        ended = run(*words)
        assert ended.code == code
        said = ended.out + ended.err
        assert not set("\x1b\x07\x9b\u202e") & set(said)
        return said

    def test_a_name_of_a_column(self, model: Model, run: Run) -> None:
        model()
        Path("h.csv").write_text(f"id,a,{EVIL},y\nk,1,p,2\n")
        assert f"the file has: id, a, {SHOWN}, y" in self.is_clean(run, "predict", "h.csv", "--model", "m", code=3)

    def test_a_value(self, model: Model, run: Run) -> None:
        head, first, *rest = (Path(model()).parent / "new.csv").read_text().splitlines()
        first = first.replace("0.26", EVIL, 1)
        Path("v.csv").write_text("\n".join([head, first, *rest]) + "\n")
        assert f"holds '{SHOWN}', which is not a number" in self.is_clean(
            run, "predict", "v.csv", "--model", "m", code=3
        )

    def test_the_name_of_a_file(self, model: Model, run: Run) -> None:
        model()
        name = "a\nb\x1bc.csv"
        said = self.is_clean(run, "predict", name, "--model", "m", code=3)
        assert said == "resmem: there is no file 'a\\nb\\x1bc.csv'; check the path and the current directory\n"
        Path(name).write_text("a\n\xff\n", "latin-1")
        assert r"a\nb\x1bc.csv" in self.is_clean(run, "predict", name, "--model", "m", code=3)

    def test_an_option_and_a_command(self, run: Run) -> None:
        assert f"No such option: --{SHOWN}" in self.is_clean(run, "predict", f"--{EVIL}", code=2)
        assert f"No such command '{SHOWN}'" in self.is_clean(run, EVIL, code=2)
        assert SHOWN in self.is_clean(run, "fit-base", "x", "-t", "y", "-m", "m", "--task", EVIL, code=2)

    def test_the_traceback(self, run: Run) -> None:
        words = ("fit-base", "a\x1bb.csv", "-t", "y", "--model", "m", "--traceback")
        said = self.is_clean(run, *words, code=3).splitlines()
        assert said[:1] == ["Traceback (most recent call last):"]
        assert r"DataError: there is no file 'a\x1bb.csv'" in said[-2]
        assert said[-1].startswith(r"resmem: there is no file 'a\x1bb.csv'")

    def test_a_model_whose_columns_and_classes_are_hostile(self, run: Run) -> None:
        """Fit, inspect, evaluate, explain: notes, sentences and tables; JSON and CSV pass values on as they are."""
        rows = [(f"k\u202e{i}", i / 7, f"{EVIL}{i % 2}", f"y\x9b{i % 2}") for i in range(60)]
        names = ["id", f"a{EVIL}", "c[/b]", "y\u202e"]
        columns = [pa.array(column) for column in zip(*rows, strict=True)]
        import pyarrow.parquet

        pyarrow.parquet.write_table(pa.table(columns, names), "t.parquet")
        words = ("t.parquet", "--model", "m")
        fitted = self.is_clean(run, "fit-base", *words, "-t", "y\u202e", "--id", "id", "--estimator", "linear")
        assert r"of 'y\u202e'" in fitted
        self.is_clean(run, "fit-residual", *words, "--effort", "quick", "--verbose")
        assert r"of 'y\u202e'" in self.is_clean(run, "inspect", "--model", "m")
        self.is_clean(run, "evaluate", *words)
        found = json.loads(run("inspect", "--model", "m", "--json").out)
        assert found["target"] == "y\u202e"
        assert EVIL.encode() in run("predict", *words).out.encode()


def test_an_error_that_was_not_foreseen_is_one_line_too(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from resmem_cli.workflow import inspect

    def fail(_: Path) -> None:
        raise RuntimeError(f"odd\n  {EVIL}\n")

    monkeypatch.setattr(inspect, "inspect", fail)
    ended = run("inspect", "--model", "m")
    assert ended.err == f"resmem: unexpected RuntimeError: odd {SHOWN}; please report it, with --traceback\n"
