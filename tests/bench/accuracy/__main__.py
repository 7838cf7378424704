"""Accuracy on real data sets, beside rivals on the same rows and beside published results.

    python -m tests.bench.accuracy [--data DIR] [--sets NAME,...] [--bases NAME,...] [--rivals NAME,...] [--seeds N]
    python -m tests.bench.accuracy --protocol tabarena [--tabarena FILE] ...

DIR (default: RESMEM_DATA) holds NAME.parquet and NAME.json with "task", "target" and "categorical". Every run of ours
goes through the functions that the commands call. A run that is finished is kept and not repeated; the report, of all
runs that are finished under the same options, is written again after each. LightGBM, XGBoost, CatBoost and matplotlib
come with the extra 'bench'.

The protocol "talent" fits on 64 % of the rows, "tabarena" on two thirds. FILE (default: RESMEM_TABARENA) is TabArena's
published table as CSV; without it the report leaves out where ours would stand in it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from resmem_cli.errors import ResmemError
from tests.bench.accuracy import data, ours, report, rivals, tabarena
from tests.bench.accuracy.protocols import PROTOCOLS, TABARENA, TALENT
from tests.bench.accuracy.runs import OURS, Found, Options, Run, finished
from tests.bench.accuracy.tabarena import PublishedSet

RESULTS = Path(__file__).parents[1] / "results" / "accuracy"


def main(words: Sequence[str] | None = None) -> int:
    """Run what is not finished yet, and report; return 1 if a run failed."""
    parser = _parser()
    asked = parser.parse_args(words)
    if not asked.data.is_dir():
        parser.error(f"there are no data sets in '{asked.data}'; name their folder with --data or RESMEM_DATA")
    protocol = PROTOCOLS[asked.protocol]
    if not protocol.has_validation and asked.train_on != "train":
        parser.error(f"--protocol {protocol.name} has no validation rows to train on")
    published = _published(parser, asked.tabarena) if protocol is TABARENA else {}
    present = data.available(asked.data)
    usual = [name for name in present if name not in data.BY_NAME_ONLY]
    sets = _names(parser, asked.sets, present, usual, protocol.sets)
    bases = _names(parser, asked.bases, ours.BASES, ours.BASES, protocol.bases)
    known = tuple(rivals.RIVALS)
    others = _installed(_names(parser, asked.rivals, known, known, protocol.rivals))
    for name in others:
        if rivals.RIVALS[name].needs_validation and not protocol.has_validation:
            parser.error(f"'{name}' chooses by validation rows, and --protocol {protocol.name} has none")
    options = Options(asked.effort, asked.train_on, tuple(sorted(asked.memory)), asked.rows, protocol)
    runs = list(_runs(sets, bases, others, options, asked.seeds))
    n_failed = 0
    if not asked.report_only:
        left = [run for run in runs if _is_left(run, asked.results, redo_changed=asked.redo_changed)]
        print(f"{len(runs) - len(left)} runs are finished, {len(left)} are left", flush=True)
        for run in left:
            n_failed += not _run(run, asked, options)
            report.write(_reported(options, asked.results), options, asked.results, published)
    found = _reported(options, asked.results)
    print(report.write(found, options, asked.results, published))
    print(report.draw(found, options, asked.results))
    return int(n_failed > 0)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.accuracy", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("RESMEM_DATA", "data")))
    parser.add_argument("--results", type=Path, default=RESULTS, help="where runs and report are kept")
    parser.add_argument("--protocol", choices=tuple(PROTOCOLS), default=TALENT.name)
    parser.add_argument("--tabarena", type=Path, default=os.environ.get("RESMEM_TABARENA") or None, metavar="FILE")
    parser.add_argument("--sets", help=f"by default {_usual('sets', 'all but ' + ', '.join(data.BY_NAME_ONLY))}")
    parser.add_argument("--bases", help=f"of {', '.join(ours.BASES)}, or none; by default {_usual('bases', 'all')}")
    parser.add_argument(
        "--rivals", help=f"of {', '.join(rivals.RIVALS)}, or none; by default {_usual('rivals', 'all')}"
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--effort", choices=("quick", "default", "high"), default="default")
    parser.add_argument("--train-on", choices=("train", "train+validation"), default="train")
    parser.add_argument(
        "--memory",
        type=_setting,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a further option of our memory, such as n_steps=1500",
    )
    parser.add_argument("--rows", type=int, help="keep at most so many rows of a data set, for a trial")
    parser.add_argument("--threads", type=int, default=2, help="0: every core")
    parser.add_argument("--redo-changed", action="store_true", help="repeat our runs that are of other code")
    parser.add_argument("--report-only", action="store_true")
    return parser


def _usual(what: str, every: str) -> str:
    """Return what each protocol runs by default, for the help."""
    named = {name: getattr(protocol, what) for name, protocol in PROTOCOLS.items()}
    return "; ".join(f"{name}: {every if names is None else ', '.join(names)}" for name, names in named.items())


def _setting(word: str) -> tuple[str, Any]:
    """Return a further option of the memory; a value that is no JSON is text."""
    name, _, value = word.partition("=")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def _published(parser: argparse.ArgumentParser, path: Path | None) -> dict[str, PublishedSet]:
    """Return TabArena's published results, nothing if no file is named."""
    if path is None:
        return {}
    try:
        return tabarena.read(path)
    except (OSError, ValueError) as error:
        parser.error(f"--tabarena (or RESMEM_TABARENA) must name TabArena's table as CSV: {error}")


def _names(
    parser: argparse.ArgumentParser,
    asked: str | None,
    known: Sequence[str],
    every: Sequence[str],
    usual: Sequence[str] | None,
) -> list[str]:
    """Return what was asked for, or what the protocol usually runs (None: every one) as far as it is there."""
    if asked is None:
        return list(every) if usual is None else [name for name in usual if name in known]
    names = [] if asked == "none" else asked.split(",")
    for name in names:
        if name not in known:
            parser.error(f"there is no '{name}'; choose from: {', '.join(known)}")
    return names


def _installed(names: list[str]) -> list[str]:
    for library in dict.fromkeys(rivals.RIVALS[name].package for name in names if not rivals.RIVALS[name].is_installed):
        print(f"{library} is not installed and is left out (it comes with the extra 'bench')")
    return [name for name in names if rivals.RIVALS[name].is_installed]


def _runs(
    sets: Sequence[str], bases: Sequence[str], others: Sequence[str], options: Options, n_seeds: int
) -> Iterator[Run]:
    """Yield every run, seeds outermost: what is there when time runs out is worth having."""
    for seed in range(n_seeds):
        for name in sets:
            for who in (*(OURS + base for base in bases), *others):
                yield Run(name, who, _options_of(who, options), seed)


def _options_of(who: str, options: Options) -> str:
    rival = rivals.RIVALS.get(who)
    return options.of_ours if rival is None else options.of_rival(stops_early=rival.stops_early)


def _reported(options: Options, results: Path) -> list[Found]:
    """Return all that is finished under these options, whichever sets were asked for, in the order of the tables."""
    order = [*(OURS + base for base in ours.BASES), *rivals.RIVALS]
    found = [(run, said) for run, said in finished(results) if run.who in order]
    wanted = [(run, said) for run, said in found if run.options == _options_of(run.who, options)]
    return sorted(
        wanted, key=lambda pair: (sum(pair[1]["rows"]), pair[0].data_set, order.index(pair[0].who), pair[0].seed)
    )


def _is_left(run: Run, results: Path, *, redo_changed: bool) -> bool:
    found = run.read(results)
    return found is None or (redo_changed and found.get("code", ours.CODE) != ours.CODE)


def _run(run: Run, asked: argparse.Namespace, options: Options) -> bool:
    """Do one run and keep what it found; a run that fails is told of and left for the next time."""
    started = time.perf_counter()
    try:
        known = data.load(asked.data, run.data_set, options.n_rows)
        if run.data_set in options.protocol.log_targets:
            known = known.with_log_target()
        parts = data.split(known, run.seed, options.protocol)
        method = rivals if run.base is None else ours
        found = method.run(run, known, parts, options, asked.threads)
    except Exception as error:  # noqa: BLE001 (one run that fails must not end a night's work)
        why = str(error) if isinstance(error, ResmemError) else traceback.format_exc()
        print(f"{run.data_set}, {run.who}, seed {run.seed} failed: {why}", file=sys.stderr, flush=True)
        return False
    shape = {"task": known.roles.task, "rows": list(options.protocol.sizes(known.table.num_rows))}
    run.write(asked.results, shape | {"threads": asked.threads} | found)
    metric = "rmse" if known.is_regression else "accuracy"
    values = found["metrics"][metric]
    shown = f"{values['value']:.5g}" if run.base is None else f"{values['base']:.5g} -> {values['resmem']:.5g}"
    took = time.perf_counter() - started
    print(f"{run.data_set}, {run.who}, seed {run.seed}: {metric} {shown} ({took:.0f} s)", flush=True)
    return True


if __name__ == "__main__":
    sys.exit(main())
