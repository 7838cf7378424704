"""The picture of a page that README.md shows: its top on a desk, and on a phone at night.

    python -m tests.report.picture PAGE docs/report.png

`PAGE` is what README's commands write. Needs a Chromium, Playwright and Pillow (which the extra bench brings).
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from tests.report.test_browser import BROWSER

_WIDTHS, _HEIGHT, _GAP = {"light": 960, "dark": 380}, 1_080, 24
_COLOURS = 48  # text and lines of two schemes need no more, and the file is a third of the size


def main() -> None:
    page, picture = map(Path, sys.argv[1:])
    whole, at = Image.new("RGB", (sum(_WIDTHS.values()) + _GAP, _HEIGHT), "white"), 0
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        for scheme, width in _WIDTHS.items():
            tab = browser.new_page(viewport={"width": width, "height": _HEIGHT}, color_scheme=scheme)
            tab.goto(page.absolute().as_uri())
            whole.paste(Image.open(io.BytesIO(tab.screenshot())), (at, 0))
            at += width + _GAP
        browser.close()
    whole.quantize(_COLOURS, dither=Image.Dither.NONE).save(picture, optimize=True)


if __name__ == "__main__":
    main()
