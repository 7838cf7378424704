"""Text as people and spreadsheets write it gives the right values at once; what can be read in two ways is refused."""

from __future__ import annotations

import datetime as dt

import pyarrow as pa
import pytest

from resmem_cli.data import inference, output, sources, tables
from resmem_cli.data.dialect import PLAIN, Dialect, forced
from resmem_cli.data.inference import Learned, Roles
from resmem_cli.data.rows import Rows
from resmem_cli.data.schema import Schema
from resmem_cli.data.text_file import HowToRead
from resmem_cli.errors import DataError, UsageError


def learn(path: str, target: str = "y", said: Dialect = PLAIN, **roles: object) -> Learned:
    parts = tables.read_all(sources.resolve([path]), how=HowToRead(said))
    return inference.learn(parts, Roles(target, **roles))


def column(values: list[str], header: str = "x", delimiter: str = ";", decimal: str = ",") -> str:
    """A table of one column of values, and a target with this decimal mark."""
    rows = [f"{value}{delimiter}{i}{decimal}5" for i, value in enumerate(values)]
    return "\n".join([f"{header}{delimiter}y", *rows, ""])


NUMBERS = [
    ("decimal commas", ["1,5", "2,25", "1000,0", "0,125"], [1.5, 2.25, 1000, 0.125]),
    ("points between thousands", ["1.234,50", "7,0", "12.345.678,9", "1.234"], [1234.5, 7, 12345678.9, 1234]),
    ("only thousands, where the target has commas", ["1.234", "12.345", "999"], [1234, 12345, 999]),
    ("spaces between thousands", ["1 234,5", "12\u00a0345,5", "1\u202f234\u202f567,5"], [1234.5, 12345.5, 1234567.5]),
    ("euros before", ["€ 1,50", "€2,00", "-€3,25"], [1.5, 2, -3.25]),
    ("euros behind", ["1.234,50 €", "2,00€", "3,25 €"], [1234.5, 2, 3.25]),
    ("percent stays in percent", ["12 %", "3,5%", "100 %"], [12, 3.5, 100]),
    ("brackets are negative", ["(1.234,5)", "2,5", "(3,5)"], [-1234.5, 2.5, -3.5]),
    ("minus behind", ["1,5-", "2,5", "\u22123,5"], [-1.5, 2.5, -3.5]),
    ("exponents and signs", ["1,5e3", "+2,5", "-1,5E-1"], [1500, 2.5, -0.15]),
    ("missing ones", ["1,5", "NA", "", "2,5"], [1.5, None, None, 2.5]),
]


@pytest.mark.parametrize(("values", "expected"), [pytest.param(*rest, id=name) for name, *rest in NUMBERS])
def test_european_numbers_are_these(file, values, expected):
    found = learn(file("a.csv", column(values)))
    assert found.rows.column("x").to_pylist() == expected
    assert found.rows.column("y").to_pylist() == [i + 0.5 for i in range(len(values))]
    assert found.schema.dialect.decimal == ","


AMERICAN = [
    ("quoted thousands", ['"1,234.50"', "7.0", '"12,345,678.9"'], [1234.5, 7, 12345678.9]),
    ("only quoted thousands: commas are delimiters", ['"1,234"', '"12,345"', "999"], [1234, 12345, 999]),
    ("dollars", ['"$1,234.50"', "$5", "-$3.25"], [1234.5, 5, -3.25]),
    ("accounting", ['"($1,234.50)"', "$5", "$6"], [-1234.5, 5, 6]),
    ("percent", ["12%", "3.5%", "100%"], [12, 3.5, 100]),
    ("codes before", ["USD 5", "USD 6.5", "USD 7"], [5, 6.5, 7]),
    ("apostrophes", ["1'234.5", "12\u2019345.5", "7.5"], [1234.5, 12345.5, 7.5]),
    ("yen", ["¥1", "¥2", "¥3"], [1, 2, 3]),
    ("kronor", ["5 kr", "6.5 kr", "7 kr"], [5, 6.5, 7]),
    ("a currency that lacks in one", ["£5", "6", "£7"], [5, 6, 7]),
]


@pytest.mark.parametrize(("values", "expected"), [pytest.param(*rest, id=name) for name, *rest in AMERICAN])
def test_american_and_other_numbers_are_these(file, values, expected):
    found = learn(file("a.csv", column(values, delimiter=",", decimal=".")))
    assert found.rows.column("x").to_pylist() == expected


DATES = [
    ("dd.mm.yyyy", ["31.12.2023", "1.2.2024", "03.04.2024"], [(2023, 12, 31), (2024, 2, 1), (2024, 4, 3)]),
    ("mm/dd/yyyy", ["12/31/2023", "1/2/2024", "03/04/2024"], [(2023, 12, 31), (2024, 1, 2), (2024, 3, 4)]),
    ("dd/mm/yyyy", ["31/12/2023", "01/02/2024", "3/4/2024"], [(2023, 12, 31), (2024, 2, 1), (2024, 4, 3)]),
    ("dd-mm-yyyy", ["31-12-2023", "01-02-2024", "03-04-2024"], [(2023, 12, 31), (2024, 2, 1), (2024, 4, 3)]),
    ("mm-dd-yyyy", ["12-31-2023", "01-02-2024", "03-04-2024"], [(2023, 12, 31), (2024, 1, 2), (2024, 3, 4)]),
    ("yyyy/mm/dd", ["2023/12/31", "2024/1/2", "2024/03/04"], [(2023, 12, 31), (2024, 1, 2), (2024, 3, 4)]),
    ("yyyy.mm.dd", ["2023.12.31", "2024.01.02", "2024.03.04"], [(2023, 12, 31), (2024, 1, 2), (2024, 3, 4)]),
    ("mm/dd/yy", ["12/31/99", "1/15/00", "3/4/68"], [(1999, 12, 31), (2000, 1, 15), (2068, 3, 4)]),
    ("dd.mm.yyyy", ["31.12.2023 8:15", "01.02.2024 23:59:30", ""], [(2023, 12, 31, 8, 15), (2024, 2, 1, 23, 59, 30)]),
    ("dd.mm.yyyy", ["05.05.2024", "06.06.2024", "31.01.2024"], [(2024, 5, 5), (2024, 6, 6), (2024, 1, 31)]),
]


@pytest.mark.parametrize(("form", "values", "expected"), DATES)
def test_the_order_of_dates_is_told_by_the_whole_column(file, form, values, expected):
    found = learn(file("a.csv", column(values, "when")))
    assert [v for v in found.rows.column("when").to_pylist() if v] == [dt.datetime(*parts) for parts in expected]
    assert found.schema.dialect.dates == (("when", form),)


@pytest.mark.parametrize(
    ("values", "years"),
    [
        (["31.12.62", "01.02.71", "01.03.99"], (1971, 2062)),
        (["31.12.68", "01.02.69", "NA"], (1969, 2068)),
        (["31.12.99", "01.02.00", "01.03.01"], (1999, 2001)),
        (["31.12.62", "01.02.61", "01.03.05"], None),
        (["31.12.71", "01.02.81", "01.03.99"], None),
        (["31.12.1962", "01.02.1971", "01.03.2024"], None),
    ],
)
@pytest.mark.parametrize("roles", [{}, {"time_column": "when"}, {"time_column": "when", "drop": ["when"]}])
def test_years_of_two_digits_in_two_centuries_are_noted(file, values, years, roles):
    content = "\n".join(["when;x;y", *(f"{value};{i};{i},5" for i, value in enumerate(values)), ""])
    notes = learn(file("a.csv", content), **roles).notes
    note = "the column 'when' has years of two digits, which are read as 1969 to 2068: its dates are from {} to {} " + (
        "(write years of four digits where that is wrong)"
    )
    assert notes == (() if years is None else (note.format(*years),))


def date_note(value: str, use: str = "used as categorical") -> str:
    return (
        f"the column 'x' has values that look like dates ('{value}'), but not in one order that is read, and is {use} "
        "(write them as ISO 8601, such as 2024-12-31, or all in one order that --date-format names; --category 'x' to "
        "use them as they are)"
    )


UNREAD = [
    ["13/01/2024", "01/13/2024"],
    ["13.1.24", "1.13.24", "1.13.24", "13.1.24"],
    ["1/2/2024 10:30 AM", "1/2/2024 11:30:05 pm"],
    ["1-Jan-2024", "2-Feb-2024"],
    ["01-JAN-24", "02-DEC-24"],
    ["Jan 5, 2024", "September 5 2024"],
    ["Mon, 5 Sept. 2024 10:30", "NA", "5 May 2024"],
    ["5 May 2024"] * 19 + ["soon"],
]


@pytest.mark.parametrize("values", UNREAD)
def test_dates_that_are_read_as_categories_are_noted(file, values):
    path = file("a.csv", column([f'"{value}"' for value in values] * 3))
    assert learn(path).notes == (date_note(values[0]),)
    assert learn(path, categories=["x"]).notes == ()


def test_dates_that_are_no_feature_since_they_are_not_read_are_noted(file):
    values = [f"{i % 28 + 1}-Jan-{1700 + i}" for i in range(300)]
    content = "z;x;y\n" + "".join(f"{i % 7};{value};{i},5\n" for i, value in enumerate(values))
    found = learn(file("a.csv", content))
    assert found.notes == (date_note(values[0], "not used as a feature"),)


def test_the_note_on_dates_of_a_typed_format_names_no_option_of_text():
    rows = Rows(
        pa.table({"x": ["31.12.2024", "1.1.2024"] * 3, "y": [i + 0.5 for i in range(6)]}), ((0, "t", 1),), is_text=False
    )
    (note,) = inference.learn([rows], Roles("y")).notes
    assert "(write them as ISO 8601, such as 2024-12-31; --category 'x' to use them as they are)" in note


@pytest.mark.parametrize(
    "values",
    [
        ["Jan-2024", "Feb-2024"],
        ["10:30 AM", "11:30 PM"],
        ["99/99/2024", "98/98/2024"],
        ["1.2.3", "3.12.1"],
        ["12 May St 1234", "12 Mary 33"],
        ["12 Decker 20", "may"],
        ["5 May 2024", "5 May 2024", "soon"],
    ],
)
def test_what_is_no_date_is_not_noted(file, values):
    assert learn(file("a.csv", column(values * 3))).notes == ()


def test_another_column_tells_the_order_of_one_that_does_not(file):
    content = "a;b;y\n01.02.2024;31.12.2023;1,5\n03.04.2024;01.01.2024;2,5\n05.06.2024;02.01.2024;3,5\n"
    found = learn(file("a.csv", content))
    assert found.rows.column("a").to_pylist()[0] == dt.datetime(2024, 2, 1)


TABLE = "größe;y\n1,5;10,5\n2,5;11,5\n3,5;12,5\n"
ENCODED = [
    ("utf-8", TABLE.encode()),
    ("utf-8", TABLE.encode("utf-8-sig")),
    ("cp1252", TABLE.encode("cp1252")),
    ("cp1252", TABLE.replace("größe", "größe €").encode("cp1252")),
    ("cp1252", TABLE.encode("latin-1")),
    ("utf-16-le", TABLE.encode("utf-16")),
    ("utf-16-le", TABLE.encode("utf-16-le")),
    ("utf-16-be", TABLE.encode("utf-16-be")),
    ("utf-16-be", b"\xfe\xff" + TABLE.encode("utf-16-be")),
    ("cp1252", b"gr\xf6\xdfe \x81;y\n1,5;10,5\n2,5;11,5\n3,5;12,5\n"),
]


@pytest.mark.parametrize(("encoding", "content"), ENCODED)
def test_the_encoding_is_found(file, encoding, content):
    found = learn(file("a.csv", content))
    assert found.rows.table.column_names[0].startswith("größe")
    assert found.rows.table.column(0).to_pylist() == [1.5, 2.5, 3.5]
    assert (found.schema.dialect.encoding or "utf-8") == encoding


LAYOUTS = [
    ("a;b;y\n1;2;3,5\n2;3;4,5\n3;4;5,5\n", ";", 0),
    ("a|b|y\n1|2|3.5\n2|3|4.5\n3|4|5.5\n", "|", 0),
    ("a\tb\ty\n1\t2\t3.5\n2\t3\t4.5\n3\t4\t5.5\n", "\t", 0),
    ("a, in cm;b;y\n1,0;2;3,5\n2,0;3;4,5\n3,0;4;5,5\n", ";", 0),
    ("Report 2024\n\na;b;y\n1;2;3,5\n2;3;4,5\n3;4;5,5\n", ";", 2),
    ("Report;;\n;;\na;b;y\n1;2;3,5\n2;3;4,5\n3;4;5,5\n", ";", 2),
    ("Report of all\nsecond title\na,b,y\n1,2,3.5\n2,3,4.5\n3,4,5.5\n", None, 2),
    ("\n\na,b,y\n1,2,3.5\n\n2,3,4.5\n3,4,5.5\n\n\n", None, 0),
    ("a;b;y;;\n1;2;3,5;;\n2;3;4,5;;\n3;4;5,5;;\n", ";", 0),
    ('a;b;y\n1;2;"3,5"\n2;"3";4,5\n3;4;5,5\n', ";", 0),
]


@pytest.mark.parametrize(("content", "delimiter", "n_above"), LAYOUTS)
def test_the_delimiter_and_titles_are_found(file, content, delimiter, n_above):
    found = learn(file("a.csv", content))
    assert [found.rows.column(name).to_pylist() for name in ("b", "y")] == [[2, 3, 4], [3.5, 4.5, 5.5]]
    assert (found.schema.dialect.delimiter, found.schema.dialect.skip_rows or 0) == (delimiter, n_above)


def test_rows_of_nothing_but_delimiters_have_no_target_and_are_counted(file):
    found = learn(file("a.csv", "a;y\n1,5;2,5\n;\n2,5;3,5\n3,5;4,5\n;\n"))
    assert len(found.rows) == 3
    assert found.notes[0] == "2 of 5 rows have no target 'y' and are left out"


REFUSED = [
    (
        "dates both ways",
        column(["01.02.2024", "03.04.2024", "05.06.2024"]),
        "a.csv: every date of the column 'x' can be read as dd.mm.yyyy and as mm.dd.yyyy, such as '01.02.2024'; say "
        "which with --date-format dd.mm.yyyy or --date-format mm.dd.yyyy",
    ),
    (
        "one date that is none",
        column(["31.12.2023"] * 19 + ["31.13.2023"]),
        "a.csv, row 20: column 'x' holds '31.13.2023' where nearly all values are dates as dd.mm.yyyy; correct it, or "
        "use --category 'x' if the column is categorical",
    ),
    (
        "a decimal comma among points",
        column(["3.14"] * 999 + ["3,14"], decimal="."),
        "a.csv, row 1,000: column 'x' holds '3,14' where 99.9% of the values that tell have a decimal point; correct "
        "it, or use --category 'x' if the column is categorical",
    ),
    (
        "two dialects",
        column(["3.14", "2.5", "1.75"]),
        "a.csv, row 1: column 'y' holds '0,5' with a decimal comma, and 'x' holds '3.14' with a decimal point (a.csv, "
        "row 1); write all numbers in one way, or use --category for the one of them that is categorical ('y' or 'x')",
    ),
    (
        "a thousand or one and a bit",
        "x;y\n1.234;1\n2.345;2\n3.456;3\n",
        "a.csv, row 1: column 'x' holds '1.234', whose mark may stand before decimals or between thousands, and no "
        "other value tells; say which with --decimal . or --decimal ,",
    ),
    (
        "two marks between thousands",
        column(["1.234,5", "2 345,5", "1,5"]),
        "a.csv, row 2: column 'x' holds '2 345,5', where 'x' has '1.234,5' (a.csv, row 1): thousands are separated in "
        "two ways; write all numbers in one way, or say with --thousands what is between thousands",
    ),
    (
        "two currencies",
        column(["€ 1,5", "€ 2,5", "$ 3,5"]),
        "a.csv, row 3: column 'x' holds '$ 3,5' where others are like '€ 1,5', and their units differ; write all "
        "values in one unit, or use --category 'x' if the column is categorical",
    ),
    (
        "percent and none",
        column(["12 %", "13 %", "0,5"]),
        "a.csv, row 3: column 'x' holds '0,5' where others are like '12 %', and their units differ; write all values "
        "in one unit, or use --category 'x' if the column is categorical",
    ),
    (
        "totals that are named",
        "c,x,y\na,1,5\nb,2,6\na,3,7\nb,4,8\nTotal,10,26\n",
        "a.csv, row 5: the last row looks like totals ('y' is 26, more than in any row above it); leave it out with "
        "--drop-totals, or remove it from the file",
    ),
    (
        "totals that are sums",
        "z,x,y\n1,1,5\n2,2,6\n3,3,7\n4,4,8\n10,10,26\n",
        "a.csv, row 5: the last row looks like totals ('y' is 26, more than in any row above it); leave it out with "
        "--drop-totals, or remove it from the file",
    ),
    (
        "totals without features",
        "z,x,y\n1,1,5\n2,2,6\n3,3,7\n4,4,8\n,,26\n",
        "a.csv, row 5: the last row looks like totals ('y' is 26, more than in any row above it); leave it out with "
        "--drop-totals, or remove it from the file",
    ),
]


@pytest.mark.parametrize(("content", "sentence"), [pytest.param(*rest, id=name) for name, *rest in REFUSED])
def test_what_can_be_wrong_is_refused_in_a_sentence(file, content, sentence):
    path = file("a.csv", content)
    with pytest.raises(DataError) as caught:
        learn(path)
    assert str(caught.value).replace(path, "a.csv") == sentence


@pytest.mark.parametrize("encoding", ["cp1252", "iso8859-1", "utf-16-le", "utf-16-be", "cp1250"])
def test_text_is_written_in_the_encoding_that_it_was_read_in(file, encoding):
    path = file("a.csv", b"")
    with output.writer(path, dialect=lambda: Dialect(delimiter=";", decimal=",", encoding=encoding)) as table:
        table.write(pa.table({"größe": ["a;b", "ä"], "x": [1.5, 2.0]}))
        table.write(pa.table({"größe": ["c", None], "x": [0.25, None]}))
    with open(path, encoding=encoding.removesuffix("-le").removesuffix("-be"), newline="") as stream:
        assert stream.read() == 'größe;x\n"a;b";1,5\nä;2,0\nc;0,25\n;\n'.replace("2,0", "2")


def test_a_character_that_the_encoding_lacks_is_named_and_nothing_is_written(tmp_path):
    path = tmp_path / "a.csv"
    with (
        pytest.raises(DataError) as caught,
        output.writer(str(path), dialect=lambda: Dialect(encoding="cp1252")) as table,
    ):
        table.write(pa.table({"x": ["ξ"]}))
    assert str(caught.value) == (
        "'ξ' cannot be written in cp1252, the encoding of the input; write Parquet or JSON lines, or convert the input "
        "to UTF-8"
    )
    assert not path.exists()


def test_numbers_of_another_mark_than_is_said_are_refused(file):
    path = file("a.csv", column(["1", "2", "3"]))
    with pytest.raises(DataError) as caught:
        learn(path, said=forced(decimal="."))
    assert str(caught.value) == (
        f"{path}, row 1: column 'y' holds '0,5', which is no number with a decimal point; correct --decimal, or use "
        "--category 'y' if the column is categorical"
    )


def test_totals_are_left_out_if_that_is_said(file):
    path = file("a.csv", "c,x,y\na,1,5.5\nb,2,6.5\na,3,7.5\nb,4,8.5\nTotal,10,28\n")
    found = learn(path, said=forced(drop_totals=True))
    assert found.rows.column("y").to_pylist() == [5.5, 6.5, 7.5, 8.5]
    assert found.schema.dialect.drop_totals


def test_a_large_last_row_is_no_total(file):
    path = file("a.csv", "z,x,y\n1,1,5.5\n2,2,6.5\n3,3,7.5\n4,4,8.5\n9,7,100\n")
    assert len(learn(path).rows) == 5


FORCED = [
    ({"decimal": ","}, "x;y\n1.234;1,5\n2.345;2,5\n3.456;3,5\n", [1234, 2345, 3456]),
    ({"decimal": "."}, "x;y\n1.234;1\n2.345;2\n3.456;3\n", [1.234, 2.345, 3.456]),
    ({"thousands": "."}, "x;y\n1.234;1\n2.345;2\n3.456;3\n", [1234, 2345, 3456]),
    ({"delimiter": "semicolon"}, "x;y\n1;1,5\n2;2,5\n3;3,5\n", [1, 2, 3]),
    ({"encoding": "cp1250"}, "x,y\n1,1\n2,2\n3,3\n", [1, 2, 3]),
    ({"skip_rows": 1}, "q,r\nx,y\n1,1\n2,2\n3,3\n", [1, 2, 3]),
    ({"na": ("-999",)}, "x,y\n1,1\n-999,2\n3,3\n4,9\n", [1, None, 3, 4]),
    ({"na": ("missing", "k.A.")}, "x,y\n1,1\nmissing,2\nk.A.,3\n4,9\n", [1, None, None, 4]),
]


@pytest.mark.parametrize(("said", "content", "expected"), FORCED)
def test_what_the_user_says_counts(file, said, content, expected):
    assert learn(file("a.csv", content), said=forced(**said)).rows.column("x").to_pylist() == expected


@pytest.mark.parametrize(("form", "day"), [("dd/mm/yyyy", (2024, 2, 1)), ("%m/%d/%Y", (2024, 1, 2))])
def test_a_date_format_settles_what_is_ambiguous(file, form, day):
    path = file("a.csv", column(["01/02/2024", "03/04/2024", "05/06/2024"]))
    found = learn(path, said=forced(date_format=form))
    assert found.rows.column("x").to_pylist()[0] == dt.datetime(*day)


@pytest.mark.parametrize(("target", "name"), [("y", "x"), ("x", "x")])
def test_words_for_missing_values_that_hide_a_column_are_refused(file, target, name):
    path = file("a.csv", "x,y\n1,1.5\n1,2.5\n1,3.5\n")
    with pytest.raises(DataError) as caught:
        learn(path, target, said=forced(na=("1",)))
    assert str(caught.value) == (
        f"{path}: --na takes every value of the column '{name}' for missing, such as '1'; take the word out of --na, "
        f"or leave the column out with --drop '{name}'"
    )


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({"decimal": ";"}, "--decimal is ';', which is neither . nor ,; give --decimal . or --decimal ,"),
        ({"thousands": "x"}, "--thousands is 'x'; give one of . , ' space none"),
        *(
            (
                {"delimiter": mark},
                f"--delimiter is {mark!r}, and must be one ASCII character, no quote and no end of a line; give one "
                "such as ; or tab",
            )
            for mark in ("é", "\N{FULLWIDTH SEMICOLON}", '"', "\n", ";;", "none\n", "\udcff")
        ),
        (
            {"na": ("\udcff",)},
            "--na is '\\udcff', which is no text; give the word in UTF-8",
        ),
        ({"decimal": ",", "thousands": ","}, "--decimal and --thousands are both ','; leave one of them out"),
        (
            {"date_format": "dd.dd.yyyy"},
            "--date-format is 'dd.dd.yyyy', which is no order of day, month and year; give one such as dd.mm.yyyy, "
            "mm/dd/yyyy or yyyy/mm/dd",
        ),
    ],
)
def test_options_that_mean_nothing_are_refused(said, sentence):
    with pytest.raises(UsageError) as caught:
        forced(**said)
    assert str(caught.value) == sentence


def test_an_encoding_that_there_is_not_is_refused_with_those_that_there_are():
    with pytest.raises(UsageError, match=r"^there is no encoding 'cp1225' to read; did you mean 'cp125.'\? "):
        forced(encoding="cp1225")
    with pytest.raises(UsageError, match=r"^there is no encoding '\udcff' to read; "):
        forced(encoding="\udcff")


def test_the_encoding_of_a_mark_at_the_beginning_is_utf_8():
    assert forced(encoding="utf_8_sig") == forced(encoding="UTF-8-SIG") == forced(encoding="utf-8")


def test_a_clean_file_has_the_plain_dialect_and_says_nothing(file):
    schema = learn(file("a.csv", "x,when,y\n1.5,2024-01-02,1\n2.5,2024-01-03,2\n3.5,2024-01-04,9\n")).schema
    assert schema.dialect == PLAIN
    assert "dialect" not in schema.to_json()
    assert schema.dialect.described() == ""


def test_the_dialect_is_said_in_one_line_and_survives_json(file):
    content = "Bericht\n\nk;when;rate;y\n" + "".join(
        f"Köln;{day}.12.2023;{day} %;1.{day}0,5\n" for day in range(11, 31)
    )
    schema = learn(file("a.csv", content.encode("cp1252"))).schema
    assert schema.dialect.described() == (
        "; decimal comma, points between thousands, dates dd.mm.yyyy, 'rate' in percent (12 % is 12), cp1252, 2 lines "
        "above the header"
    )
    assert Schema.from_json(schema.to_json()) == schema


@pytest.mark.parametrize(
    "change",
    [
        *({"decimal": ";"}, {"thousands": ","}, {"encoding": "rot13"}, {"delimiter": ";;"}, {"delimiter": "é"}),
        {"date_format": "x"},
    ],
)
def test_a_stored_dialect_that_is_none_is_refused(change):
    stored = Dialect(delimiter=";", decimal=",").to_json()
    with pytest.raises(ValueError, match=r"."):
        Dialect.from_json({**stored, **change})


def test_a_named_value_in_a_nameless_column_is_refused(file):
    rows = "1,2,\n" * 20_000 + "1,2,3\n"
    path = file("a.csv", "a,y,\n" + rows)
    with pytest.raises(DataError) as caught:
        tables.read_all(sources.resolve([path]))
    assert str(caught.value) == (
        f"{path}, row 20,001 has a value in a column without a name; name the column in the header, or remove the value"
    )
