"""The files of one member of a model: its space, and its memory with the search."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from resmem_cli.model import spaces
from resmem_cli.model.bases import Problem
from resmem_cli.model.resmem import Member
from resmem_cli.store import description, memory_files, older_formats, parts


def save(folder: Path, member: Member, position: int) -> None:
    """Write the files of the member at a position among the model's."""
    parts.save_arrays(folder / parts.numbered(parts.REPRESENTATION, position), member.space.to_arrays())
    memory_files.save(folder, member.memory, position)


def load(
    directory: Path, content: Mapping[str, Any], paths: Mapping[str, Path], position: int, problem: Problem
) -> Member:
    """Read the member that a memory.json has at a position, without the rows that its memory was built of.

    Raises:
        KeyError, ValueError: the files are damaged.
        ModelError: likewise, or they do not fit what the manifest says, or are of an older resmem.
    """
    memory = memory_files.load(directory, content, paths, position, problem.n_classes)
    name = content["representation"]
    arrays = parts.load_arrays(paths[parts.numbered(parts.REPRESENTATION, position)])
    space = spaces.restore(name, older_formats.present_space(name, arrays))
    if not space.belongs(problem, content["columns"]):
        raise ValueError(
            f"the space of memory {position} does not match the schema, or does not have {content['columns']} columns"
        )
    settings = description.settings_of(content)
    return Member(content["base"], space, memory, settings, float(content["weight"]), content["residuals"])
