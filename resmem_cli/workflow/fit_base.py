"""fit-base: learn the schema and a base model from training rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from resmem_cli.data import encoding, inference
from resmem_cli.data.inference import Roles
from resmem_cli.data.schema import Schema
from resmem_cli.errors import UsageError
from resmem_cli.model import bases
from resmem_cli.model.bases import BaseSpec, Problem
from resmem_cli.store import writing
from resmem_cli.store.reading import StoredBase
from resmem_cli.workflow import threads as threading
from resmem_cli.workflow.inputs import Input, Report, silent


@dataclass(frozen=True)
class BaseOptions:
    """Which base to fit; "auto" is the default estimator, parameters are the estimator's own."""

    estimator: str = "auto"
    params: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    threads: int = 0


@dataclass(frozen=True)
class FittedBase:
    """What was fitted, and what the user should know."""

    schema: Schema
    estimator: str
    n_rows: int
    notes: tuple[str, ...]


def fit_base(source: Input, roles: Roles, model: Path, options: BaseOptions, report: Report = silent) -> FittedBase:
    """Fit a base on labelled rows and store it; what the directory held before is replaced.

    Raises:
        DataError: the rows cannot be read or learned from.
        UsageError: the roles, the estimator or a parameter are wrong, or the directory is not a model's.
    """
    writing.refuse_foreign(model)
    estimator = bases.AUTO_ESTIMATOR if options.estimator == "auto" else options.estimator
    with threading.limited(options.threads):
        report("reading")
        learned = inference.learn(source.wholes(), roles)
        schema, rows = learned.schema, learned.rows
        X, _ = encoding.encode(rows, schema)
        y = encoding.encode_target(rows, schema)
        weight = encoding.encode_weight(rows, schema)
        problem = Problem(schema.n_categories, len(schema.target.classes), options.seed)
        spec = BaseSpec(estimator, _checked(options.params, estimator, problem))
        report(f"fitting {estimator} on {len(y):,} rows")
        base = bases.ESTIMATORS[estimator].fit(X, y, weight, problem, spec.params)
        report("writing")
        stored = StoredBase("", schema, problem, spec, base, len(y))
        writing.save_base(model, stored, encoding.hash_rows(X, y))
    return FittedBase(schema, estimator, len(y), learned.notes)


def _checked(params: Mapping[str, Any], estimator: str, problem: Problem) -> Mapping[str, Any]:
    known = bases.ESTIMATORS[estimator].parameters(problem)
    for name in params:
        if name not in known:
            raise UsageError(
                f"the estimator {estimator} has no parameter '{name}'",
                f"choose from: {', '.join(sorted(known))}" if known else "leave --param out: it has none",
            )
    return params
