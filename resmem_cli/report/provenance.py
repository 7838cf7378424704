"""Which model a page is about, of which rows, by which versions, and the command that makes it again."""

from __future__ import annotations

import platform
from importlib.metadata import version

from resmem_cli.model.resmem import Member
from resmem_cli.report import words
from resmem_cli.report.parts import Group, Section, Table
from resmem_cli.store import manifest
from resmem_cli.store.stored import StoredModel
from resmem_cli.version import __version__
from resmem_cli.workflow.diagnose import Diagnosis

_LIBRARIES = ("numpy", "scikit-learn", "hnswlib", "pyarrow")
_MOST = 20  # bases, or memories
_LONGEST = 4_000  # of a command, which may name very many files
_NOT_STORED = "not stored in a directory"


def of(found: Diagnosis, command: str) -> Section:
    """Return the model, its settings, and what identifies it and the rows."""
    stored = found.stored
    schema = stored.base.schema
    versions = ", ".join(f"{name} {version(name)}" for name in _LIBRARIES)
    roles = [
        f"{word} {words.short(name, 40)}"
        for word, name in (
            ("id", schema.id_column),
            ("weight", schema.weight_column),
            ("group", schema.group_column),
            ("time", schema.time_column),
        )
        if name
    ]
    facts = (
        ("target", words.short(schema.target.name)),
        ("task", schema.target.task.value + (f" of {len(schema.target.classes):,} classes" if found.by_class else "")),
        ("features", f"{len(schema.columns):,}: {words.listed(list(schema.names), 12)}"),
        *((("other columns", ", ".join(roles)),) if roles else ()),
        ("objective", stored.objective),
        ("rows that trained the base", f"{stored.base.n_rows:,}"),
        ("rows of this page, SHA-256", found.fingerprint),
        ("bases", stored.base.id or _NOT_STORED),
        ("memories", stored.id or _NOT_STORED),
        (
            "versions",
            f"resmem {__version__} (format {manifest.FORMAT}), Python {platform.python_version()}, {versions}",
        ),
    )
    return Section(
        "model",
        "The model, and this page again",
        groups=_tables(stored),
        facts=facts,
        command=words.short(command, _LONGEST),
    )


def _tables(stored: StoredModel) -> tuple[Group, ...]:
    weights = stored.base.weights or (1.0, *(0.0 for _ in stored.base.specs[1:]))
    bases = [
        (
            spec.estimator,
            words.share(weight),
            words.short(", ".join(f"{name}={value}" for name, value in spec.params.items())) or "defaults",
        )
        for spec, weight in zip(stored.base.specs, weights, strict=True)
    ]
    members = [_member(stored, member) for member in stored.resmem.members]
    share = stored.resmem.base_share
    said = f"The base without memory weighs {words.share(share)} of the prediction." if share else ""
    header = ("representation", "base", "weight", "cells", "k", "bandwidth", "shrinkage", "temperature", "residuals")
    return (
        Group("Bases", "", table=Table.of(("estimator", "weight", "parameters"), bases[:_MOST], n_text=3)),
        Group("Memories", said, table=Table.of(header, members[:_MOST], n_text=2)),
    )


def _member(stored: StoredModel, member: Member) -> tuple[str, ...]:
    settings = member.settings
    return (
        words.short(member.space.name, 40),
        stored.base.specs[member.base].estimator,
        words.share(member.weight),
        f"{member.memory.n_cells:,}",
        str(settings.n_neighbors),
        f"{settings.bandwidth:g} ({'relative' if settings.is_relative else 'absolute'})",
        f"{settings.shrinkage:g}",
        f"{settings.temperature:g}",
        member.residuals,
    )
