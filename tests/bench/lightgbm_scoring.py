"""Scoring a CSV file with a LightGBM base alone, beside LightGBM's own scoring of the same file.

    python -m tests.bench.lightgbm_scoring [--rows N,...] [--threads N]

The same booster three times, each as a program of its own, start-up included: `resmem predict --base-only` from CSV to
CSV; LightGBM reading the file itself (`Booster.predict(path)`) and NumPy writing the result; pandas reading and writing
around LightGBM. The rows have numbers only, because LightGBM's reader takes nothing else.
results/lightgbm_scoring.json keeps it.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from resmem_cli.data.inference import Roles
from resmem_cli.workflow.fit_base import BaseOptions, fit_base
from resmem_cli.workflow.inputs import Input
from tests.bench import samples

RESULTS = Path(__file__).parent / "results"
_ITSELF = """
import sys, lightgbm, numpy
model, rows, out, threads = sys.argv[1:]
booster = lightgbm.Booster(model_file=model)
scored = booster.predict(rows, data_has_header=True, num_threads=int(threads))
numpy.savetxt(out, scored, header="prediction", comments="", fmt="%.17g")
"""
_BY_PANDAS = """
import sys, lightgbm, pandas
model, rows, out, threads = sys.argv[1:]
booster = lightgbm.Booster(model_file=model)
scored = booster.predict(pandas.read_csv(rows), num_threads=int(threads))
pandas.DataFrame({"prediction": scored}).to_csv(out, index=False)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", default="54000,1000000")
    parser.add_argument("--threads", default="2")
    asked = parser.parse_args()
    table, target = samples.train("regression")
    numeric = table.select([field.name for field in table.schema if not pa.types.is_string(field.type)])
    found = []
    print(
        "| rows | resmem, s | LightGBM itself, s | pandas and LightGBM, s | ratio to LightGBM itself |\n"
        + "|---" * 5
        + "|"
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        train, rows, out, model = folder / "train.parquet", folder / "rows.csv", folder / "out.csv", folder / "model"
        pq.write_table(numeric, train)
        fit_base(Input((str(train),)), Roles(target), model, BaseOptions("lightgbm"))
        (booster,) = model.rglob("estimator*.txt")
        for n_rows in map(int, asked.rows.split(",")):
            samples.write(rows, numeric.drop_columns([target]), n_rows)
            ours = ["predict", str(rows), "--model", str(model), "--base-only", "--keep", "none", "--output", str(out)]
            ours += ["--threads", asked.threads, "--quiet"]
            others = [str(booster), str(rows), str(out), asked.threads]
            samples.measured(ours)
            seconds = [
                samples.measured(ours)[0],
                samples.measured(["-c", _ITSELF, *others], module=None)[0],
                samples.measured(["-c", _BY_PANDAS, *others], module=None)[0],
            ]
            ratio = seconds[0] / seconds[1]
            found.append({"rows": n_rows, "seconds": seconds, "ratio": ratio})
            print(f"| {n_rows:,} | " + " | ".join(f"{each:.2f}" for each in seconds) + f" | {ratio:.2f} |", flush=True)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "lightgbm_scoring.json").write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
