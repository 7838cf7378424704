"""Pages in a real browser: nothing is fetched or complained of, nothing scrolls sideways, and all can read it.

Without a Chromium and Playwright these tests are skipped; tests/cli/test_report.py reads pages without a browser.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from resmem_cli import ResMemClassifier, ResMemRegressor
from resmem_cli.report.page import Page
from tests.report import pages

_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
BROWSER = next(filter(None, map(shutil.which, _BROWSERS)), None)

playwright = pytest.importorskip("playwright.sync_api")
axe = pytest.importorskip("axe_playwright_python.sync_playwright")
pytestmark = pytest.mark.skipif(BROWSER is None, reason=f"needs one of the browsers {', '.join(_BROWSERS)}")

PHONE, DESK = {"width": 360, "height": 800}, {"width": 1280, "height": 900}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        # A container's root may not make the sandbox; the pages are ours.
        opened = started.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def made() -> dict[str, Page]:
    """Pages of numbers, of classes with long names, and of a memory that is off."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(320, 4)), columns=["a", "b", "c" * 120, "d e f " * 20])
    X["kind"] = rng.choice(["red", "green", "a value without any end " * 8], 320)
    y = X["a"] + np.sin(3 * X["b"]) + (X["kind"] == "red")
    classes = np.where(y > 1, "large " * 20, np.where(y > 0, "middle", "small"))
    options = {"base": "linear", "effort": "quick", "n_folds": 2, "threads": 1}
    off = options | {"n_neighbors": 4, "bandwidth": 0.3, "shrinkage": 0.0, "temperature": 1.0}
    fitted = {
        "numbers": ResMemRegressor(**options).fit(X[:200], y[:200]),
        "classes": ResMemClassifier(**options).fit(X[:200], classes[:200]),
        "off": ResMemRegressor(**off).fit(X[:200], y[:200]),
    }
    return {name: model.report(X[200:], (classes if name == "classes" else y)[200:]) for name, model in fitted.items()}


@pytest.mark.parametrize(("size", "scheme"), [*itertools.product((PHONE, DESK), ("light", "dark"))])
@pytest.mark.parametrize("name", ["numbers", "classes", "off"])
def test_a_page_is_sound_on_a_phone_and_on_a_desk(
    browser: Any, made: dict[str, Page], tmp_path: Path, *, name: str, size: dict[str, int], scheme: str
) -> None:
    pages.check(made[name].html)
    made[name].save(tmp_path / "page.html")
    address = (tmp_path / "page.html").as_uri()
    # Axe is a script, which the page's policy forbids.
    context = browser.new_context(viewport=size, color_scheme=scheme, offline=True, bypass_csp=True)
    tab, said, fetched = context.new_page(), [], []
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.on("request", lambda request: fetched.append(request.url))
    tab.goto(address)
    assert (said, fetched) == ([], [address])
    assert tab.evaluate("document.documentElement.scrollWidth") <= size["width"]
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == (
        "rgb(255, 255, 255)" if scheme == "light" else "rgb(20, 23, 27)"
    )
    # No text of a picture may lie outside it.
    assert not tab.evaluate(
        "[...document.querySelectorAll('svg text')].filter(text => {"
        "const own = text.getBoundingClientRect(), all = text.ownerSVGElement.getBoundingClientRect();"
        "return own.left < all.left - 9 || own.right > all.right + 9}).map(text => text.textContent)"
    )
    found = axe.Axe().run(tab).response["violations"]
    assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in found] == []
    context.close()


def test_the_numbers_are_on_paper_too(browser: Any, made: dict[str, Page], tmp_path: Path) -> None:
    made["numbers"].save(tmp_path / "page.html")
    tab = browser.new_page()
    tab.goto((tmp_path / "page.html").as_uri())
    tab.emulate_media(media="print")
    heights = tab.evaluate("[...document.querySelectorAll('details table')].map(table => table.offsetHeight)")
    assert heights
    assert min(heights) > 0
    tab.close()


def test_a_notebook_shows_a_page_without_its_styles_leaking(browser: Any, made: dict[str, Page]) -> None:
    tab = browser.new_page()
    tab.set_content(f"<h1>Notebook</h1>{made['numbers']._repr_html_()}")
    assert tab.evaluate("getComputedStyle(document.querySelector('h1')).fontSize") == "32px"
    frame = tab.frames[1]
    frame.wait_for_selector("h1")
    assert frame.evaluate("document.querySelectorAll('figure').length") == made["numbers"].html.count("<figure")
    tab.close()
