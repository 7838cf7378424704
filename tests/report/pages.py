"""A page, read: its elements with their attributes and texts, and what must hold of every page."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser

MOST_BYTES = 400_000
_VOID = {"meta", "wbr", "br", "hr", "img", "input", "link"}
_NOT_FETCHED = {"http://www.w3.org/2000/svg"}


@dataclass
class Element:
    tag: str
    attributes: dict[str, str | None]
    parent: Element | None = None
    children: list[Element] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    def all(self, tag: str) -> list[Element]:
        return [each for child in self.children for each in ([child] if child.tag == tag else []) + child.all(tag)]

    @property
    def text(self) -> str:
        return " ".join("".join(self._texts()).split())

    def _texts(self) -> list[str]:
        return self.texts + [text for child in self.children for text in child._texts()]


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.root = self.at = Element("", {})

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        element = Element(tag, dict(attributes), self.at)
        self.at.children.append(element)
        if tag not in _VOID:
            self.at = element

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.at.children.append(Element(tag, dict(attributes), self.at))

    def handle_endtag(self, tag: str) -> None:
        assert self.at.tag == tag, f"<{self.at.tag}> is closed by </{tag}>"
        assert self.at.parent is not None
        self.at = self.at.parent

    def handle_data(self, data: str) -> None:
        # A text of its own, so that it stays in order with what follows.
        self.at.children.append(Element("#text", {}, self.at, texts=[data]))


def read(html: str) -> Element:
    """Return the elements of a page, every one of which is closed."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    assert reader.at is reader.root
    return reader.root


def check(html: str) -> Element:
    """Assert what holds of every page, and return it read."""
    assert html.startswith("<!DOCTYPE html>")
    assert len(html.encode()) <= MOST_BYTES
    page = read(html)
    assert not [tag for tag in ("script", "link", "img", "iframe", "object", "embed") if page.all(tag)]
    names = {name for element in _every(page) for name in element.attributes}
    assert not {name for name in names if name.startswith("on") or name in ("src", "style", "srcset")}
    assert all(str(link.attributes["href"]).startswith("#") for link in page.all("a"))
    styles = " ".join(style.text for style in page.all("style"))
    assert "url(" not in styles
    assert "@import" not in styles
    assert set(re.findall(r"https?://[^\s\"'<]+", html)) <= _NOT_FETCHED
    _check_headings(page)
    for figure in page.all("figure"):
        _check_figure(figure)
    identities = [element.attributes["id"] for element in _every(page) if "id" in element.attributes]
    assert len(identities) == len(set(identities))
    assert {str(link.attributes["href"])[1:] for link in page.all("a")} <= set(map(str, identities))
    assert not re.search(r"\b(nan|inf|None)\b", re.sub(r"<style>.*?</style>|<pre.*?</pre>", "", html, flags=re.DOTALL))
    return page


def _check_headings(page: Element) -> None:
    levels = [int(each.tag[1]) for each in _every(page) if re.fullmatch("h[1-6]", each.tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


def _check_figure(figure: Element) -> None:
    (title,), (sentence,), (picture,), (table,) = (figure.all(tag) for tag in ("h3", "figcaption", "svg", "table"))
    assert title.text
    assert sentence.text.endswith(".")
    assert picture.attributes["role"] == "img"
    assert picture.all("title")[0].text.startswith(title.text)
    header, *rows = table.all("tr")
    assert rows
    assert all(len(row.all("th") + row.all("td")) == len(header.all("th")) for row in rows)


def _every(element: Element) -> list[Element]:
    return [each for child in element.children for each in [child, *_every(child)]]


def rows(page: Element, title: str) -> list[list[str]]:
    """Return the cells of the table of the figure, or of the group, of this title."""
    (found,) = [table for table in page.all("table") if table.all("caption")[0].text == title]
    return [[cell.text for cell in row.all("th") + row.all("td")] for row in found.all("tr")[1:]]


def sections(page: Element) -> list[str]:
    """Return the headings of the sections."""
    return [heading.text for heading in page.all("h2")]
