"""A report in Python: the page of the command, shown in a notebook and saved."""

from __future__ import annotations

import html
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from resmem_cli import ResMemClassifier, ResMemRegressor, load
from resmem_cli.cli.main import main
from resmem_cli.errors import OutputError
from resmem_cli.report.page import page
from tests.report import pages
from tests.report.samples import FEATURES, GIVEN, NEW, QUICK, TRAIN


@pytest.fixture(scope="module")
def model() -> ResMemRegressor:
    return ResMemRegressor(**QUICK).fit(TRAIN[FEATURES], TRAIN["y"])


def body(text: str) -> str:
    """Return a page without where its rows are from, the ids of what was stored, and the command."""
    text = re.sub(r"<p class=\"of\">.*?</p>", "", text)
    text = re.sub(r"<dt>(bases|memories)</dt><dd>.*?</dd>", "", text)
    return re.sub(r"<h3>This page again</h3>\s*<pre.*?</pre>\s*", "", text, flags=re.DOTALL)


def test_a_page_is_that_of_the_command(model: ResMemRegressor, tmp_path: Path) -> None:
    made = model.report(NEW[FEATURES], NEW["y"], seed=3)
    pages.check(made.html)
    made.save(tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text() == made.html
    model.save(tmp_path / "model")
    NEW.to_parquet(tmp_path / "new.parquet")
    words = ["report", tmp_path / "new.parquet", "--model", tmp_path / "model", "--seed", 3, "--quiet", "--threads", 1]
    assert main([*map(str, words), "--output", str(tmp_path / "other.html")]) == 0
    assert body((tmp_path / "other.html").read_text()) == body(made.html)


def test_a_loaded_model_is_diagnosed_alike(model: ResMemRegressor, tmp_path: Path) -> None:
    model.save(tmp_path / "model")
    found = load(tmp_path / "model").diagnose(NEW[FEATURES], NEW["y"])
    assert body(page(found).html) == body(model.report(NEW[FEATURES], NEW["y"]).html)
    assert found.evaluation.to_json() == model.evaluate(NEW[FEATURES], NEW["y"], by="auto").to_json()


def test_a_notebook_shows_it_in_a_frame_of_its_own(model: ResMemRegressor) -> None:
    made = model.report(NEW[FEATURES], NEW["y"])
    shown = made._repr_html_()
    assert shown.startswith("<iframe srcdoc=")
    (written,) = re.findall(r'srcdoc="([^"]*)"', shown)
    assert html.unescape(written) == made.html


def test_weights_and_groups_count() -> None:
    classes = np.where(TRAIN["y"] > 0.5, "large", "small")
    weight, groups = np.linspace(1, 2, len(TRAIN)), np.arange(len(TRAIN)) // 4
    model = ResMemClassifier(**QUICK, **GIVEN).fit(TRAIN[FEATURES], classes, weight, groups=groups)
    truth = np.where(NEW["y"] > 0.5, "large", "small")
    new_weight, new_groups = np.linspace(1, 3, len(NEW)), np.arange(len(NEW)) // 4
    read = pages.check(model.report(NEW[FEATURES], truth, new_weight, groups=new_groups).html)
    found = model.evaluate(NEW[FEATURES], truth, new_weight, groups=new_groups)
    assert read.all("p")[2].text == found.verdict
    assert model.evaluate(NEW[FEATURES], truth, new_weight).verdict != found.verdict


def test_what_is_wrong_is_a_value_error(
    model: ResMemRegressor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="X lacks the column 'shop', which by names"):
        model.report(NEW[FEATURES], NEW["y"], by="shop")
    made = model.report(NEW[FEATURES], NEW["y"])
    with pytest.raises(OutputError, match=r"page\.html' cannot be written \(No such file or directory\)"):
        made.save(tmp_path / "none" / "page.html")
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(ValueError, match=r"needs the package Jinja2, which is not installed; install it: pip install"):
        model.report(NEW[FEATURES], NEW["y"])
