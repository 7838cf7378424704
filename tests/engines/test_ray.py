"""docs/engines.md in Ray, where it is installed (nothing else needs it)."""

from __future__ import annotations

from importlib.util import find_spec

import pyarrow.parquet as pq
import pytest

pytestmark = pytest.mark.skipif(find_spec("ray") is None, reason="without Ray: pip install 'ray[data]'")

# After the document's class: prints what is said of a value that is no number.
ODD = """
import pyarrow.compute as pc


def spoiled(rows):
    wrong = pc.if_else(pc.equal(rows["id"], "d11007"), "1.2x", rows["carat"].cast(pa.string()))
    return rows.set_column(rows.column_names.index("carat"), "carat", wrong)


rows = ray.data.read_parquet("data/new/0.parquet").map_batches(spoiled, batch_format="pyarrow")
pool = ray.data.ActorPoolStrategy(min_size=1, max_size=1)
try:
    rows.map_batches(Scorer, fn_constructor_args=(MODEL,), batch_format="pyarrow", compute=pool).materialize()
except ray.exceptions.RayTaskError as error:
    print([line for line in str(error).splitlines() if line.startswith("resmem_cli")])
"""


def test_the_documents_program_gives_what_resmem_predict_gives(documented):
    done = documented.run("with_ray.py")
    assert done.returncode == 0, done.stderr
    scored = pq.read_table(documented.folder / "data" / "scored")
    assert scored.sort_by("id").equals(documented.expected.sort_by("id"))


def test_an_error_names_the_value(documented):
    model = documented.folder / "models" / "house"
    scorer = (documented.folder / "with_ray.py").read_text().partition("\nrows = ")[0]
    done = documented.run_text("odd.py", f"{scorer}\nMODEL = {str(model)!r}\n{ODD}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == str(
        [
            "resmem_cli.errors.DataError: the batch, row 7: column 'carat' holds '1.2x', which is not a number; "
            "correct it, or leave it empty if it is unknown"
        ]
    )
