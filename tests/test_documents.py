"""What the README shows is what happens."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests import readme

pytestmark = pytest.mark.first


def test_every_command_of_the_readme_prints_what_it_shows(tmp_path: Path) -> None:
    """The pipeline, the one-liners and the command reference; figures may differ between machines."""
    assert readme.figures_aside(readme.rendered(tmp_path)) == readme.figures_aside(readme.README.read_text())


def test_the_makefile_of_the_readme_runs_once_and_again_only_for_what_changed(tmp_path: Path) -> None:
    for name in ("train", "new"):
        content = (readme.ROOT / f"sample_data/diamonds_{name}.parquet").read_bytes()
        (tmp_path / f"{name}.parquet").write_bytes(content)
    (tmp_path / "Makefile").write_text(readme.make_block())

    def make() -> str:
        done = subprocess.run(
            ["make", "scored.parquet"],
            cwd=tmp_path,
            env=readme.environment() | {"RESMEM_EFFORT": "quick"},
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
