"""No HNSW file reaches hnswlib that could make it read or write outside of it."""

from __future__ import annotations

import struct
from functools import cache
from pathlib import Path

import hnswlib
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from resmem_cli.errors import ModelError
from resmem_cli.store import graph_file

N, D, M = 40, 3, 4
HEADER = 96
LEVEL0 = 4 + 4 * 2 * M  # the count and the links of a point on level 0
ELEMENT = LEVEL0 + 4 * D + 8
UPPER = 4 + 4 * M  # the count and the links of a point on one level above
# Where each field of the header stands, and how it is packed.
FIELDS = {
    "level0_offset": (0, "<Q"),
    "n_slots": (8, "<Q"),
    "n_elements": (16, "<Q"),
    "element_bytes": (24, "<Q"),
    "label_offset": (32, "<Q"),
    "vector_offset": (40, "<Q"),
    "top_level": (48, "<i"),
    "entry": (52, "<I"),
    "max_links": (56, "<Q"),
    "max_links_level0": (64, "<Q"),
    "m": (72, "<Q"),
}


@cache
def points() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(N, D)).astype(np.float32)


@cache
def good() -> bytes:
    """A graph of few links and three levels, as hnswlib writes it."""
    import tempfile

    graph = hnswlib.Index(space="l2", dim=D)
    graph.init_index(N, M=M, ef_construction=20, random_seed=1)
    graph.add_items(points(), num_threads=1)
    with tempfile.TemporaryDirectory() as folder:
        graph.save_index(f"{folder}/graph.hnsw")
        return Path(f"{folder}/graph.hnsw").read_bytes()


def field(name: str) -> int:
    at, form = FIELDS[name]
    return int(struct.unpack_from(form, good(), at)[0])


def upper_blocks() -> dict[int, tuple[int, int]]:
    """Per point that is on upper levels: where its links start, and how many levels they are of."""
    at, found = HEADER + N * ELEMENT, {}
    for i in range(N):
        (size,) = struct.unpack_from("<I", good(), at)
        if size:
            found[i] = (at + 4, size // UPPER)
        at += 4 + size
    return found


def changed(*changes: tuple[int, str, int]) -> bytes:
    data = bytearray(good())
    for at, form, value in changes:
        struct.pack_into(form, data, at, value)
    return bytes(data)


def refused(tmp_path: Path, data: bytes, problem: str) -> None:
    path = tmp_path / "graph.hnsw"
    path.write_bytes(data)
    with pytest.raises(ModelError) as raised:
        graph_file.check(path, N, D)
    assert str(raised.value) == f"the search graph {path} is damaged ({problem}); run fit-residual again"


def ask(path: Path) -> None:
    """Load a graph and search it, as `predict` does."""
    graph = hnswlib.Index(space="l2", dim=D)
    graph.load_index(str(path), max_elements=N)
    graph.set_ef(N)
    try:
        labels, distances = graph.knn_query(points()[:10], k=3, num_threads=1)
    except RuntimeError:  # a query met fewer than k points
        return
    assert (labels < N).all()
    assert not np.isnan(distances).any()


def test_the_layout_is_the_one_that_these_tests_speak_of() -> None:
    assert len(good()) == HEADER + N * ELEMENT + N * 4 + UPPER * sum(levels for _, levels in upper_blocks().values())
    assert (field("n_elements"), field("element_bytes"), field("max_links")) == (N, ELEMENT, M)
    assert field("top_level") == max(levels for _, levels in upper_blocks().values()) >= 2


@pytest.mark.parametrize(("n", "d", "m"), [(1, 1, 2), (2, 5, 2), (40, 3, 4), (500, 8, 16), (1_000, 2, 48)])
def test_what_hnswlib_writes_is_accepted(tmp_path: Path, n: int, d: int, m: int) -> None:
    graph = hnswlib.Index(space="l2", dim=d)
    graph.init_index(n, M=m, ef_construction=50, random_seed=2)
    graph.add_items(np.random.default_rng(n).normal(size=(n, d)).astype(np.float32), num_threads=1)
    path = tmp_path / "graph.hnsw"
    graph.save_index(str(path))
    graph_file.check(path, n, d)


@pytest.mark.parametrize(("n", "d"), [(N - 1, D), (N + 1, D), (N, D - 1), (N, D + 1)])
def test_a_graph_of_another_model_is_refused(tmp_path: Path, n: int, d: int) -> None:
    path = tmp_path / "graph.hnsw"
    path.write_bytes(good())
    with pytest.raises(ModelError, match="its header does not fit its model"):
        graph_file.check(path, n, d)


@pytest.mark.parametrize("length", [0, 1, 8, HEADER - 1, HEADER, HEADER + ELEMENT, HEADER + N * ELEMENT - 1])
def test_a_file_cut_short_is_refused(tmp_path: Path, length: int) -> None:
    refused(tmp_path, good()[:length], "it is cut short")


def test_upper_links_cut_short_are_refused(tmp_path: Path) -> None:
    refused(tmp_path, good()[: HEADER + N * ELEMENT], "it is cut short")
    refused(tmp_path, good()[:-1], "it is cut short")
    last, (start, _) = max(upper_blocks().items())
    assert last < N - 1
    refused(tmp_path, good()[: start + UPPER - 1], "the upper links have a wrong size")


def test_bytes_that_belong_to_nothing_are_refused(tmp_path: Path) -> None:
    refused(tmp_path, good() + b"\0", "it has extra bytes")


SIZES = ["level0_offset", "n_elements", "element_bytes", "label_offset", "vector_offset", "max_links_level0"]
OTHERS = [(name, value) for name in SIZES for value in (1, 7, 8, 2**63, 2**64 - 1) if value != field(name)]


@pytest.mark.parametrize(("name", "value"), OTHERS)
def test_sizes_in_the_header_that_do_not_fit_are_refused(tmp_path: Path, name: str, value: int) -> None:
    refused(tmp_path, changed((*FIELDS[name], value)), "its header does not fit its model")


@pytest.mark.parametrize("value", [0, N - 1])
def test_room_for_fewer_points_than_there_are_is_refused(tmp_path: Path, value: int) -> None:
    refused(tmp_path, changed((*FIELDS["n_slots"], value)), "its header does not fit its model")


@pytest.mark.parametrize("value", [0, M - 1, M + 1, 2**32, 2**64 - 1])
def test_another_number_of_links_is_refused(tmp_path: Path, value: int) -> None:
    refused(tmp_path, changed((*FIELDS["max_links"], value)), "its header does not fit its model")
    refused(tmp_path, changed((*FIELDS["m"], value)), "its entry point is out of range")


@pytest.mark.parametrize("value", [N, N + 1, 2**32 - 1])
def test_an_entry_point_outside_is_refused(tmp_path: Path, value: int) -> None:
    refused(tmp_path, changed((*FIELDS["entry"], value)), "its entry point is out of range")


@pytest.mark.parametrize("value", [-1, 64, 2**31 - 1, -(2**31)])
def test_a_top_level_that_no_graph_has_is_refused(tmp_path: Path, value: int) -> None:
    refused(tmp_path, changed((*FIELDS["top_level"], value)), "its entry point is out of range")


def test_a_top_level_above_that_of_the_entry_point_is_refused(tmp_path: Path) -> None:
    """hnswlib would start its search in links that are not there."""
    higher = changed((*FIELDS["top_level"], field("top_level") + 1))
    refused(tmp_path, higher, "its entry point is not on its top level")
    refused(tmp_path, changed((*FIELDS["top_level"], 0)), "the upper links have a wrong size")


def test_an_entry_point_below_the_top_level_is_refused(tmp_path: Path) -> None:
    low = next(i for i in range(N) if i not in upper_blocks())
    refused(tmp_path, changed((*FIELDS["entry"], low)), "its entry point is not on its top level")


@pytest.mark.parametrize("value", [2 * M + 1, 2**16 - 1, 2**16, 2**32 - 1])
@pytest.mark.parametrize("point", [0, N - 1])
def test_more_links_than_fit_on_level_0_are_refused(tmp_path: Path, point: int, value: int) -> None:
    """Above 16 bits hnswlib keeps a mark of deletion, which ours never have."""
    refused(tmp_path, changed((HEADER + point * ELEMENT, "<I", value)), "a point has more links than fit")


@pytest.mark.parametrize("value", [N, 2**31, 2**32 - 1])
@pytest.mark.parametrize("point", [0, N - 1])
def test_a_link_on_level_0_that_leads_outside_is_refused(tmp_path: Path, point: int, value: int) -> None:
    refused(tmp_path, changed((HEADER + point * ELEMENT + 4, "<I", value)), "a link is out of range")


def test_a_link_outside_in_a_place_that_is_not_used_does_no_harm(tmp_path: Path) -> None:
    at = HEADER
    path = tmp_path / "graph.hnsw"
    path.write_bytes(changed((at, "<I", 1), (at + 4, "<I", 1), (at + 8, "<I", 2**32 - 1)))
    graph_file.check(path, N, D)
    ask(path)


@pytest.mark.parametrize("label", [1, N, 2**64 - 1])
def test_a_label_that_is_another_points_or_nobodys_is_refused(tmp_path: Path, label: int) -> None:
    refused(tmp_path, changed((HEADER + ELEMENT - 8, "<Q", label)), "its labels are not its points")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_vector_that_is_not_finite_is_refused(tmp_path: Path, value: float) -> None:
    refused(tmp_path, changed((HEADER + LEVEL0, "<f", value)), "a vector is not finite")  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [1, UPPER - 1, UPPER + 1, 2**32 - 1])
def test_a_wrong_size_of_upper_links_is_refused(tmp_path: Path, size: int) -> None:
    start, _ = next(iter(upper_blocks().values()))
    refused(tmp_path, changed((start - 4, "<I", size)), "the upper links have a wrong size")


def test_more_upper_links_than_fit_are_refused(tmp_path: Path) -> None:
    start, _ = next(iter(upper_blocks().values()))
    refused(tmp_path, changed((start, "<I", M + 1)), "a point has more links than fit")


@pytest.mark.parametrize("link", [N, 2**32 - 1])
def test_an_upper_link_that_leads_outside_is_refused(tmp_path: Path, link: int) -> None:
    start, _ = next(iter(upper_blocks().values()))
    refused(tmp_path, changed((start, "<I", 1), (start + 4, "<I", link)), "a link leaves its level")


def test_an_upper_link_to_a_point_that_is_not_on_that_level_is_refused(tmp_path: Path) -> None:
    """hnswlib would read that point's links from no memory at all."""
    low = next(i for i in range(N) if i not in upper_blocks())
    start, _ = next(iter(upper_blocks().values()))
    refused(tmp_path, changed((start, "<I", 1), (start + 4, "<I", low)), "a link leaves its level")
    one = next(i for i, (_, levels) in upper_blocks().items() if levels == 1)
    start = next(start for start, levels in upper_blocks().values() if levels > 1) + UPPER
    refused(tmp_path, changed((start, "<I", 1), (start + 4, "<I", one)), "a link leaves its level")


@cache
def structure() -> list[int]:
    """The places of every byte that is not a vector's."""
    vectors = {HEADER + i * ELEMENT + LEVEL0 + j for i in range(N) for j in range(4 * D)}
    return [at for at in range(len(good())) if at not in vectors]


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    flips=st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 255)), min_size=1, max_size=4),
    cut=st.none() | st.integers(0, 4_000),
)
@example(flips=[(0, 0)], cut=None)
def test_random_damage_is_refused_or_does_no_harm(
    tmp_path: Path, flips: list[tuple[int, int]], cut: int | None
) -> None:
    data = bytearray(good())
    for place, value in flips:
        data[structure()[place % len(structure())]] = value
    path = tmp_path / "graph.hnsw"
    path.write_bytes(data[:cut])
    try:
        graph_file.check(path, N, D)
    except ModelError:
        return
    ask(path)
