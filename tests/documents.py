"""README.md and docs/: their console blocks are run in order, and the output is written into them or compared.

python -m tests.documents --write [FILE...]     run every command and write its real output
python -m tests.documents [FILE...]             run every command and say which documents differ

Each document runs in a scratch folder of its own, in which sample_data/ is a link. The command reference of docs/cli.md
has one block per command that `resmem --help` lists.
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
DOCUMENTS = (README, *sorted((ROOT / "docs").glob("*.md")))
# What a command says of itself once a minute: on a slow machine there are such lines, on a fast one none.
_PROGRESS = re.compile(r".+, (\d+ s|\d+ min \d+ s|\d+ h \d+ min)( left)?")
_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_MAKEFILE = re.compile(r"^```make\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_REFERENCE = re.compile(r"(?<=<!-- make docs writes from here -->\n).*?(?=<!-- to here -->)", re.DOTALL)
_COMMAND = re.compile(r"^  ([a-z-]+)  +\S", re.MULTILINE)


def rendered(document: Path, folder: Path) -> str:
    """Return a document with every console block's commands followed by what they print in `folder`."""
    (folder / "sample_data").symlink_to(ROOT / "sample_data")
    text = _REFERENCE.sub(lambda _: _reference(folder), document.read_text())
    return _BLOCK.sub(lambda block: "```console\n" + _run_all(block[1], folder) + "```", text)


def figures_aside(text: str) -> str:
    """Return text without its figures, the white space and lines that depend on their width, and what folds chose.

    Two encoders, or two bases, may be so nearly equal that the last digits of another machine choose the other one.
    """
    chosen = re.sub(r"\((absolute|relative)\)", "(#)", text)
    chosen = re.sub(r"representation \S+,( cross-fitted residuals,)?", "representation #,", chosen)
    chosen = re.sub(r"\bbase (\w+,|\((mean of )?\w+(, \w+)*( and \w+)?\))", "base #", chosen)
    return re.sub(r"[\s─]+", " ", re.sub(r"[+-]?\d[\d,.]*", "#", chosen))


def makefiles() -> list[str]:
    """Return the Makefiles that documents show."""
    return [block[1] for document in DOCUMENTS for block in _MAKEFILE.finditer(document.read_text())]


def environment() -> dict[str, str]:
    """Return an environment in which `resmem` is this installation's and its output does not depend on a terminal."""
    path = f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "RESMEM_EFFORT": "default", "PATH": path, "COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"}


def _reference(folder: Path) -> str:
    """Return a heading and a console block per command, whose output is still to come."""
    listed = _run("resmem --help", folder).partition("Commands:\n")[2]
    return "".join(
        f"\n### resmem {name}\n\n```console\n$ resmem {name} --help\n```\n" for name in _COMMAND.findall(listed)
    )


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


def main(words: list[str]) -> int:
    named = [Path(word).resolve() for word in words if word != "--write"] or list(DOCUMENTS)
    differ = []
    for document in named:
        with tempfile.TemporaryDirectory() as folder:
            new = rendered(document, Path(folder))
        if "--write" in words:
            document.write_text(new)
        elif figures_aside(new) != figures_aside(document.read_text()):
            differ.append(str(document.relative_to(ROOT)))
    if differ:
        print(f"the console blocks of {', '.join(differ)} are not what the commands print: run make docs")
    return int(bool(differ))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
