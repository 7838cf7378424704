"""The programs that docs/engines.md shows, as files that run: what is tested and measured is what is documented."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests import documents

_NAMED = re.compile(r"^```python\n# (\w+\.py)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Of Spark: two cores, and no page that shows the progress of a job. Of Ray: no reports to its makers.
_SETTINGS = {
    "PYSPARK_SUBMIT_ARGS": "--master local[2] --conf spark.ui.enabled=false pyspark-shell",
    "SPARK_LOCAL_IP": "127.0.0.1",
    "RAY_USAGE_STATS_ENABLED": "0",
}


def write(folder: Path) -> list[str]:
    """Write the document's programs into a folder, with /models/ and /data/ in it; return their names."""
    named = _NAMED.findall((documents.ROOT / "docs" / "engines.md").read_text())
    for name, code in named:
        (folder / name).write_text(
            code.replace('"/models/', f'"{folder}/models/').replace('"/data/', f'"{folder}/data/')
        )
    return [name for name, _ in named]


def environment() -> dict[str, str]:
    """Return the environment that the programs run in, where the workers find this checkout."""
    # What a program that starts them has limited is not theirs: Spark and Ray set threads for their workers.
    kept = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    return {**kept, **_SETTINGS, "PYTHONPATH": str(documents.ROOT), "PYSPARK_PYTHON": sys.executable}


def run(script: Path, *, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    """Run a program of an engine in its folder."""
    return subprocess.run(
        [sys.executable, script.name],
        cwd=script.parent,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
