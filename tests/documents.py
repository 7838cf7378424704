"""The README's console blocks: run in order in a scratch folder, their output written into the README or compared.

python -m tests.readme --write      run every command and write its real output
python -m tests.readme              run every command and say where the README differs
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
# What a command says of itself once a minute: on a slow machine there are such lines, on a fast one none.
_PROGRESS = re.compile(r".+, (\d+ s|\d+ min \d+ s|\d+ h \d+ min)( left)?")
_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def rendered(folder: Path) -> str:
    """Return the README with every console block's commands followed by what they print in `folder`."""
    (folder / "sample_data").symlink_to(ROOT / "sample_data")
    return _BLOCK.sub(lambda block: "```console\n" + _run_all(block[1], folder) + "```", README.read_text())


def figures_aside(text: str) -> str:
    """Return text without its figures, the white space and lines that depend on their width, and what folds chose.

    Two encoders, or two bases, may be so nearly equal that the last digits of another machine choose the other one.
    """
    chosen = re.sub(r"\((absolute|relative)\)", "(#)", text)
    chosen = re.sub(r"representation \S+,( cross-fitted residuals,)?", "representation #,", chosen)
    chosen = re.sub(r"\bbase (\w+,|\(\w+\))", "base #", chosen)
    return re.sub(r"[\s─]+", " ", re.sub(r"[+-]?\d[\d,.]*", "#", chosen))


def make_block() -> str:
    """Return the README's Makefile."""
    found = re.search(r"^```make\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)
    if found is None:
        raise LookupError("the README has no make block")
    return found[1]


def environment() -> dict[str, str]:
    """Return an environment in which `resmem` is this installation's and its output does not depend on a terminal."""
    path = f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "RESMEM_EFFORT": "default", "PATH": path, "COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"}


def _run_all(block: str, folder: Path) -> str:
    commands = [line[2:] for line in block.splitlines() if line.startswith("$ ")]
    return "\n".join(f"$ {command}\n{_run(command, folder)}" for command in commands)


def _run(command: str, folder: Path) -> str:
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"$ {command}\n{done.stdout}\nended with {done.returncode}")
    return "".join(line.rstrip() + "\n" for line in done.stdout.splitlines() if not _PROGRESS.fullmatch(line))


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        new = rendered(Path(folder))
    if "--write" in sys.argv:
        README.write_text(new)
        return 0
    if figures_aside(new) != figures_aside(README.read_text()):
        print("the README's console blocks are not what the commands print: run make readme")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
