"""From a diagnosis to one HTML file: no script, nothing from elsewhere, the same bytes for the same diagnosis."""

from __future__ import annotations

import html
import importlib.util
from dataclasses import dataclass
from pathlib import Path

from resmem_cli.data.replacement import replacing
from resmem_cli.errors import UsageError
from resmem_cli.report import gains, provenance, rows, trust, verdict, words
from resmem_cli.report.parts import Section
from resmem_cli.workflow.diagnose import Diagnosis

_TEMPLATES = "templates"
_FRAME = '<iframe srcdoc="{}" title="{}" style="width: 100%; height: 48rem; border: 1px solid #8888"></iframe>'


@dataclass(frozen=True)
class Page:
    """A page; a notebook shows it as it is the value of a cell.

    Attributes:
        title: its name.
        html: its text.
    """

    title: str
    html: str

    def save(self, path: Path | str) -> None:
        """Write the page to a file, whole or not at all.

        Raises:
            OutputError: the file cannot be written.
        """
        with replacing(Path(path)) as stream:
            stream.write(self.html.encode())

    def _repr_html_(self) -> str:
        """Return the page in a frame of its own, so that its styles are not the notebook's."""
        return _FRAME.format(html.escape(self.html), html.escape(self.title))


def refuse_without_library() -> None:
    """Refuse to go on where a page could not be made in the end.

    Raises:
        UsageError: Jinja2 is not installed.
    """
    if importlib.util.find_spec("jinja2") is None:
        raise UsageError(
            "a report needs the package Jinja2, which is not installed", "install it: pip install 'resmem-cli[report]'"
        )


def page(found: Diagnosis, *, source: str = "", command: str = "") -> Page:
    """Return the page of a diagnosis.

    Args:
        found: what was measured.
        source: where the rows are from.
        command: that makes the page again, if one does.

    Raises:
        UsageError: Jinja2 is not installed.
    """
    refuse_without_library()
    import jinja2
    import markupsafe

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("resmem_cli.report", _TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["breakable"] = lambda text: markupsafe.escape(text).replace("_", markupsafe.Markup("_<wbr>"))
    target = words.short(found.stored.base.schema.target.name, 60)
    title = f"resmem report: {target}"
    text = environment.get_template("page.html").render(
        title=title,
        target=target,
        rows=words.count(found.n_rows, "row"),
        source=words.short(source, 200),
        objective=found.evaluation.objective,
        meaning=words.METRICS.get(found.evaluation.objective, ""),
        verdict=verdict.of(found),
        sections=_sections(found, command),
    )
    return Page(title, text)


def _sections(found: Diagnosis, command: str) -> list[Section]:
    """Return what a manager asks for first, and an engineer then; what a memory that is off cannot say is left out."""
    of_memory = [gains.by_part(found), gains.by_distance(found)] if found.evaluation.uses_memory else []
    moved = [rows.examples(found)] if found.evaluation.uses_memory else []
    return [
        gains.by_metric(found),
        *of_memory,
        trust.reliability(found),
        *moved,
        gains.by_folds(found),
        trust.drift(found),
        provenance.of(found, command),
    ]
