"""The language benchmark, small: what it calls new text is new, its network learns, and a memory adds to it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.bench import language
from tests.bench.language import Network, Rows

WORDS = [f"{first}{second}{third}" for first in "bdfgk" for second in "aeiou" for third in "lmnr"]  # more than 100


def made_topics(n_topics: int, n_tokens: int) -> dict[str, str]:
    """Texts in which four of five words follow from the last one; each ends with a word of its own."""
    rng = np.random.default_rng(0)
    rule = rng.permutation(len(WORDS))
    texts = {}
    for topic in range(n_topics):
        spoken = [topic]
        while len(spoken) < n_tokens:
            spoken.append(int(rule[spoken[-1]] if rng.random() < 0.8 else rng.integers(len(WORDS))))
        texts[f"topic {topic}"] = " ".join([*(WORDS[i] for i in spoken), f"own_{'x' * topic}"])
    return texts


@pytest.fixture(scope="module")
def run() -> dict[str, Any]:
    every = language.stretches(made_topics(40, 70))
    (found,) = language.runs_of(every, width=4, shares=[1.0], seed=0, least=2)
    return found


def test_a_paragraph_that_is_mostly_in_an_earlier_one_is_dropped() -> None:
    text = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
    copied = text.replace("seventeen", "18")
    texts = {"a": f"{text}\n\nshort one", "b": f"{copied}\n\nof its own", "c": "short one"}
    kept = [(topic, " ".join(tokens)) for topic, tokens in language.paragraphs(texts)]
    assert kept == [("a", text), ("a", "short one"), ("b", "of its own")]


def test_a_stretch_is_of_one_topic_and_in_one_part() -> None:
    every = [[f"{topic} {i}" for i in range(10)] for topic in range(40)]
    parts = language.dealt(every, seed=1)
    assert {name: len(part) for name, part in parts.items()} == {"train": 30, "stop": 2, "choose": 4, "test": 4}
    assert sorted(stretch[0] for part in parts.values() for stretch in part) == sorted(each[0] for each in every)
    assert [len(each) for each in language.stretches({"a": "x\n\n" + "y " * 600 + "\n\nz", "b": "v"})] == [601, 1, 1]


def test_a_context_is_what_came_before_in_the_same_stretch() -> None:
    types = ["other", "t a", "t b"]
    rows = language.rows_of([["a", "b", "new"], ["b"]], types)
    empty = len(types)
    assert rows.following.tolist() == [1, 2, 0, 2]
    assert rows.contexts.tolist() == [[empty] * 6, [empty] * 5 + [1], [empty] * 4 + [1, 2], [empty] * 6]


def test_the_gradient_is_that_of_the_log_loss() -> None:
    rng = np.random.default_rng(0)
    network = Network(n_types=5, width=3, seed=0)
    network.parameters = {name: value.astype(np.float64) for name, value in network.parameters.items()}
    rows = Rows(rng.integers(0, 6, (7, 6)), rng.integers(0, 5, 7))
    for name, slopes in network.gradients(rows).items():
        values = network.parameters[name]
        for at in np.ndindex(values.shape):
            losses, middle = [], values[at]
            for step in (1e-5, -1e-5):
                values[at] = middle + step
                losses.append(network.log_loss(rows))
            values[at] = middle
            assert slopes[at] == pytest.approx((losses[0] - losses[1]) / 2e-5, abs=1e-7)


def test_a_memory_of_the_base_s_own_rows_adds_what_a_narrow_network_misses(run: dict[str, Any]) -> None:
    assert run["uses_memory"]
    assert run["remembered"] == run["rows"]["train"]
    assert run["train_log_loss"] < np.log(run["types"])
    assert run["resmem_log_loss"] < min(run["base_log_loss"], run["tempered_log_loss"])
    assert run["gain"] == pytest.approx(run["resmem"] - run["base"])


def test_the_tables_have_a_line_per_width_with_mean_and_deviation(run: dict[str, Any]) -> None:
    table = language.table_of([run | {"base": 0.1}, run | {"base": 0.2}, run | {"width": 8}], "width")
    header, _, first, second = table.splitlines()
    assert header.count("|") == first.count("|")
    assert first.startswith("| 4 |")
    assert "| 15.00 ± 7.07 |" in first
    assert second.startswith("| 8 |")
    assert "± 0.00" in second
