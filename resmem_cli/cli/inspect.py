"""`resmem inspect` and `resmem verify`: parse, one call, print."""

from __future__ import annotations

import json
from typing import Any

from resmem_cli.cli import console, options


def inspect(model: options.Model, as_json: options.AsJson = False, traceback: options.Traceback = False) -> None:
    """Describe a model: task, columns, bases, memories, settings, cross-validation results, size and versions."""
    from resmem_cli.workflow.inspect import inspect as run

    described = run(model)
    if as_json:
        print(json.dumps(described))
    else:
        console.tell(*_lines(described))


def verify(
    model: options.Model,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
    traceback: options.Traceback = False,
) -> None:
    """Check a model directory: every size, hash, field and link, that its parts fit together, and that it predicts."""
    from resmem_cli.workflow.inspect import verify as run

    with console.progress(quiet) as report:
        checked = run(model, report)
    if as_json:
        print(json.dumps({"sound": True, **vars(checked), "leftovers": list(checked.leftovers)}))
        return
    what = "base and memory are sound" if checked.has_memory else "the base is sound, and there is no memory"
    kept = "" if not checked.n_kept else f", with {console.count(checked.n_kept, 'earlier one')} kept for undo"
    console.say(f"{what}: {checked.n_files} files, {_mebibytes(checked.n_bytes)}{kept}", quiet=quiet)
    if checked.leftovers:
        console.say(
            f"note: {console.count(len(checked.leftovers), 'folder')} in parts/ not named by a manifest: another "
            "resmem is writing, or one was killed; the next one that writes removes them",
            quiet=quiet,
        )


def _lines(model: dict[str, Any]) -> list[str]:
    kinds = ", ".join(f"{count} {console.adjective(kind)}" for kind, count in model["features"]["kinds"].items())
    classes = f" of {len(model['classes'])} classes" if model["classes"] else ""
    roles = "".join(f", {role} '{model[role]}'" for role in ("id", "weight", "group", "time") if model[role])
    lines = [
        f"{model['task']} of '{model['target']}'{classes} from {model['features']['count']} features ({kinds}){roles}",
        "bases: "
        + ", ".join(_base(base, model) for base in model["bases"])
        + f"{'; distilled' * model['is_distilled']}; fitted on {model['base_rows']:,} rows{_when(model['made'])}",
    ]
    if model["read_as"] is not None:
        lines.append(f"text files are read as: {model['read_as']}")
    if model["memory"] is None:
        lines.append("memory: none yet (run resmem fit-residual)")
    else:
        lines += _memory_lines(model["memory"], _own_roles(model))
    libraries = ", ".join(f"{name} {version}" for name, version in model["libraries"].items())
    lines.append(f"{_mebibytes(model['bytes'])}; format {model['format']}, by resmem {model['resmem']} ({libraries})")
    return lines


def _base(base: dict[str, Any], model: dict[str, Any]) -> str:
    weight = "" if len(model["bases"]) == 1 else f" {100 * base['weight']:.3g} %"
    params = ", ".join(f"{name}={value}" for name, value in base["params"].items())
    origin = "" if base["can_refit"] or model["is_distilled"] else ", imported"
    return str(base["estimator"]) + weight + (f" ({params})" if params else "") + origin


def _own_roles(model: dict[str, Any]) -> str:
    """Return the groups and times that fit-residual was told and fit-base was not."""
    measured = model["memory"]["measured"] or {}
    return "".join(
        f", {role} '{measured[role]}'" for role in ("group", "time") if measured.get(role) and not model[role]
    )


def _memory_lines(memory: dict[str, Any], roles: str) -> list[str]:
    if memory["is_stale"]:
        return ["memory: stale, because the bases were fitted again since (run resmem fit-residual)"]
    lines = [f"memory: {memory['rows']:,} rows{roles}{_when(memory['made'])}"]
    if memory["kept"]:
        kept = " and ".join(f"{each['rows']:,} rows{_when(each['made'])}" for each in memory["kept"][:3])
        more = f" and {len(memory['kept']) - 3} more" if len(memory["kept"]) > 3 else ""
        lines.append(f"  kept for undo: {kept}{more}")
    for member in memory["memories"]:
        ef, recall = member["search"]["ef"], member["recall"]
        how = "exact" if ef is None else f"HNSW, ef {ef}, recall {recall:.3f}"
        how += f" in {member['shards']} shards" if member["shards"] > 1 else ""
        most = f" (at most {member['max_cells']:,})" if member["max_cells"] else ""
        lines.append(
            f"  weight {100 * member['weight']:.3g} %: base {member['base']}, representation "
            f"{member['representation']} ({member['columns']} columns), {member['residuals']} residuals, "
            f"{member['cells']:,} cells{most}, k {member['neighbors']}, "
            f"bandwidth {member['bandwidth']} ({member['bandwidth_kind']}), shrinkage {member['shrinkage']:g}, "
            f"temperature {member['temperature']:g}, search {how}"
        )
    if memory["base_share"]:
        lines.append(f"  weight {100 * memory['base_share']:.3g} %: the base without memory")
    measured = memory["measured"]
    if measured is not None:
        verdict = "helps" if measured["helps"] else "does not help"
        lines.append(
            f"  {measured['metric']} on {measured['rows']:,} held-out rows: base {measured['base']:.5g}, with memory "
            f"{measured['resmem']:.5g}; the memory {verdict}"
        )
    return lines


def _when(made: str | None) -> str:
    """Return when something was made, if that is known."""
    return "" if made is None else f", made {console.time(made)} UTC"


def _mebibytes(n_bytes: int) -> str:
    return f"{n_bytes / 2**20:,.1f} MiB"
