"""What README.md and docs/ show is what happens."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests import documents
from tests.counts import IS_LONG

pytestmark = pytest.mark.first

MOST_LINES_OF_README = 200


# What takes minutes, because models are fitted by default: .ci/run has it executed.
FITTING = {"README", "recipes"}
LONG = pytest.mark.skipif(not IS_LONG, reason="fits models for minutes: RESMEM_TESTS=long, or make docs, executes it")


@pytest.mark.parametrize(
    "document",
    [pytest.param(path, marks=LONG if path.stem in FITTING else ()) for path in documents.DOCUMENTS],
    ids=lambda path: path.stem,
)
def test_every_command_of_a_document_prints_what_it_shows(document: Path, tmp_path: Path) -> None:
    """Figures may differ between machines. docs/cli.md has the help of every command."""
    shown = documents.figures_aside(document.read_text())
    assert documents.figures_aside(documents.rendered(document, tmp_path)) == shown


def test_the_readme_is_short() -> None:
    assert len(documents.README.read_text().splitlines()) <= MOST_LINES_OF_README


@pytest.mark.parametrize("document", documents.DOCUMENTS, ids=lambda path: path.stem)
def test_every_link_of_a_document_leads_somewhere(document: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, heading = target.partition("#")
        if "://" in target:
            continue
        linked = (document.parent / path).resolve() if path else document
        assert linked.exists(), target
        assert not heading or heading in _anchors(linked), target


@pytest.mark.parametrize("document", documents.DOCUMENTS, ids=lambda path: path.stem)
def test_every_file_that_a_document_names_is_there(document: Path) -> None:
    """docs/method.md names the module that computes each formula, docs/decisions.md the benchmark that measures."""
    text = document.read_text()
    for path in re.findall(r"(?<![\w./-])((?:resmem_cli|tests|docs|sample_data)/[\w./-]*\w)", text):
        assert (documents.ROOT / path).exists(), path
    for module in re.findall(r"python -m (tests\.[\w.]+\w)", text):
        path = documents.ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), module


def _anchors(document: Path) -> set[str]:
    """Return what a link can name in a document: its headings, as web pages number them."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@LONG
def test_the_makefile_of_the_documents_runs_once_and_again_only_for_what_changed(tmp_path: Path) -> None:
    for name in ("train", "new"):
        content = (documents.ROOT / f"sample_data/diamonds_{name}.parquet").read_bytes()
        (tmp_path / f"{name}.parquet").write_bytes(content)
    (makefile,) = documents.makefiles()
    (tmp_path / "Makefile").write_text(makefile)

    def make() -> str:
        done = subprocess.run(
            ["make", "scored.parquet"],
            cwd=tmp_path,
            env=documents.environment() | {"RESMEM_EFFORT": "quick"},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    assert make().count("resmem ") == 3
    assert "up to date" in make()
    (tmp_path / "new.parquet").touch()
    assert make().count("resmem ") == 1
    (tmp_path / "train.parquet").touch()
    assert make().count("resmem ") == 3
