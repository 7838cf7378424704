"""What a page costs beside the evaluation that it shows, and whether it grows with the rows.

    python -m tests.bench.report [--rows N] [--runs N]

`resmem report` beside `resmem evaluate` and beside `resmem evaluate --by auto --interval 0.9` (much of what the page
shows, in text) on a million rows made of the sample's, in turn, with a memory of given settings: the fewest seconds,
peak memory and the ratios; then the size of the page beside that of a thousand rows. results/report.json keeps it.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import pyarrow.parquet as pq

from resmem_cli.data.inference import Roles
from resmem_cli.model.choosing.options import MemoryOptions
from resmem_cli.workflow.fit_base import BaseOptions, fit_base
from resmem_cli.workflow.fit_residual import fit_residual
from resmem_cli.workflow.inputs import Input
from tests.bench import samples

RESULTS = Path(__file__).parent / "results"
MOST_BYTES, MOST_RATIO = 400_000, 1.3
_MEMORY = MemoryOptions(16, 0.3, shrinkage=1.0, temperature=1.0, space="features", n_folds=2, effort="quick")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table, target = samples.train("regression")
        train, few, many, model = (folder / each for each in ("train.parquet", "few.parquet", "many.parquet", "model"))
        pq.write_table(table, train)
        fit_base(Input((str(train),)), Roles(target), model, BaseOptions("linear"))
        fit_residual(Input((str(train),)), model, _MEMORY)
        samples.write(few, table, 1_000)
        samples.write(many, table, options.rows)
        found = _measured(many, model, options.runs)
        samples.measured(_report(few, model, folder / "few.html"))
        samples.measured(_report(many, model, folder / "many.html"))
        found["bytes"] = {each: (folder / f"{each}.html").stat().st_size for each in ("few", "many")}
    print(f"page of 1,000 rows: {found['bytes']['few']:,} bytes, of {options.rows:,}: {found['bytes']['many']:,}")
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "report.json").write_text(json.dumps(found, indent=2))
    assert max(found["bytes"].values()) <= MOST_BYTES
    assert found["ratio"] <= MOST_RATIO


def _report(rows: Path, model: Path, output: Path) -> list[str]:
    return ["report", str(rows), "--model", str(model), "--output", str(output), "--quiet"]


def _measured(rows: Path, model: Path, n_runs: int) -> dict[str, object]:
    evaluate = ["evaluate", str(rows), "--model", str(model), "--quiet", "--json"]
    commands = {
        "evaluate": evaluate,
        "evaluate --by auto --interval 0.9": [*evaluate, "--by", "auto", "--interval", "0.9"],
        "report": _report(rows, model, rows.with_suffix(".html")),
    }
    turns = [{what: samples.measured(words) for what, words in commands.items()} for _ in range(n_runs)]
    # The fastest of each: what else the machine does only adds.
    seconds = {what: min(turn[what][0] for turn in turns) for what in commands}
    peaks = {what: max(turn[what][1] for turn in turns) for what in commands}
    print("| command | seconds | peak memory, MiB | report takes |\n|---|---|---|---|")
    for what in commands:
        print(f"| {what} | {seconds[what]:.1f} | {peaks[what]:,} | {seconds['report'] / seconds[what]:.2f} times |")
    ratio = seconds["report"] / seconds["evaluate"]
    return {"seconds": seconds, "peak_mib": peaks, "ratio": ratio}


if __name__ == "__main__":
    main()
