"""`resmem inspect` and `resmem verify`: parse, one call, print."""

from __future__ import annotations

import json
from typing import Any

from resmem_cli.cli import console, options


def inspect(model: options.Model, as_json: options.AsJson = False, traceback: options.Traceback = False) -> None:
    """Describe a model: task, columns, bases, memories, settings, cross-validation results, size and versions."""
    from resmem_cli.workflow.inspect import inspect as run

    found = run(model)
    if as_json:
        print(json.dumps(found))
    else:
        console.tell(*_lines(found))


def verify(
    model: options.Model,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
    traceback: options.Traceback = False,
) -> None:
    """Check a model directory: every size, hash, field and link, that its parts fit together, and that it predicts."""
    from resmem_cli.workflow.inspect import verify as run

    with console.progress(quiet) as report:
        found = run(model, report)
    if as_json:
        print(json.dumps({"sound": True, **vars(found), "leftovers": list(found.leftovers)}))
        return
    what = "base and memory are sound" if found.has_memory else "the base is sound, and there is no memory"
    console.say(f"{what}: {found.n_files} files, {_mebibytes(found.n_bytes)}", quiet=quiet)
    if found.leftovers:
        console.say(
            f"note: {console.count(len(found.leftovers), 'folder')} in parts/ not named by a manifest: another resmem "
            "is writing, or one was killed; the next one that writes removes them",
            quiet=quiet,
        )


def _lines(said: dict[str, Any]) -> list[str]:
    kinds = ", ".join(f"{count} {console.adjective(kind)}" for kind, count in said["features"]["kinds"].items())
    classes = f" of {len(said['classes'])} classes" if said["classes"] else ""
    roles = "".join(f", {role} '{said[role]}'" for role in ("id", "weight") if said[role])
    lines = [
        f"{said['task']} of '{said['target']}'{classes} from {said['features']['count']} features ({kinds}){roles}",
        "bases: " + ", ".join(_base(each) for each in said["bases"]) + f"; fitted on {said['base_rows']:,} rows",
    ]
    if said["memory"] is None:
        lines.append("memory: none yet (run resmem fit-residual)")
    else:
        lines += _memory_lines(said["memory"])
    libraries = ", ".join(f"{name} {version}" for name, version in said["libraries"].items())
    lines.append(f"{_mebibytes(said['bytes'])}; format {said['format']}, by resmem {said['resmem']} ({libraries})")
    return lines


def _base(said: dict[str, Any]) -> str:
    own = ", ".join(f"{name}={value}" for name, value in said["params"].items())
    return str(said["estimator"]) + (f" ({own})" if own else "") + ("" if said["can_refit"] else ", imported")


def _memory_lines(said: dict[str, Any]) -> list[str]:
    if said["is_stale"]:
        return ["memory: stale, because the bases were fitted again since (run resmem fit-residual)"]
    lines = [f"memory: {said['rows']:,} rows"]
    for each in said["memories"]:
        search = each["search"]
        how = "exact" if search["kind"] == "exact" else f"HNSW, ef {search['ef']}, recall {each['recall']:.3f}"
        most = f" (at most {each['max_cells']:,})" if each["max_cells"] else ""
        lines.append(
            f"  weight {100 * each['weight']:.3g} %: base {each['base']}, representation {each['representation']} "
            f"({each['columns']} columns), {each['residuals']} residuals, {each['cells']:,} cells{most}, "
            f"k {each['neighbors']}, "
            f"bandwidth {each['bandwidth']} ({each['bandwidth_kind']}), shrinkage {each['shrinkage']:g}, "
            f"temperature {each['temperature']:g}, search {how}"
        )
    measured = said["measured"]
    if measured is not None:
        verdict = "helps" if measured["helps"] else "does not help"
        lines.append(
            f"  {measured['metric']} on {measured['rows']:,} held-out rows: base {measured['base']:.5g}, with memory "
            f"{measured['resmem']:.5g}; the memory {verdict}"
        )
    return lines


def _mebibytes(n_bytes: int) -> str:
    return f"{n_bytes / 2**20:,.1f} MiB"
