"""What memory adds to a small language model: next-token prediction on Python's own help texts, one seed or several.

    python -m tests.bench.language [--widths N,...] [--width N] [--shares X,...] [--least N] [--seeds N] [--threads N]

The claim is that of ResMem (Yang et al. 2023, arXiv 2302.01576) for language: a memory of a network's residuals, with
distances taken in its last hidden layer, improves its next-token accuracy. The paper has transformers and C4; here the
text is `pydoc_data.topics` of the standard library, and the network is small: embeddings of the last 6 tokens, one
hidden layer of `--widths` units, a softmax over all types, trained here with Adam until a part of the text that is for
this alone stops it. A user's way leads from there: one Parquet column of lists holds its probabilities, another its
hidden layer, and `fit-base --probabilities` and `fit-residual --valid --representation column:hidden` take them. All of
it goes through the functions that the commands call.

What is split. Topics repeat paragraphs of others, some with a word changed: a paragraph is dropped if more than half of
its windows of 8 tokens are in earlier ones (114,989 tokens become 75,430). What is left is cut into stretches of 500
tokens or slightly more, of one topic each, and no context reaches from one into another. Per seed the stretches are
dealt out: 75 % of the tokens train the network and are remembered, 5 % stop it, 10 % choose k, h, γ and T (by
log-loss), and 10 % are the test. Of types the training part has as targets at least `--least` times there is a class
each, all others are one more. The memory that the tables are about holds training rows alone, so base and memory have
seen the same tokens: it is built again, with the settings that the choosing rows chose.

Two curves: growing width with all rows remembered, and `--width` with growing `--shares` of them. Accuracy, log-loss
and perplexity are those of the test rows. A temperature can lower the log-loss without any memory: a column has the
base at the T that is best for it alone on the choosing rows. No T changes which class the base predicts, so a gain in
accuracy is the memory's own.

Of test rows whose context and next token are in the training part, too, `evaluate` says that they were seen. They are
in the tables, as in the paper; the gain in accuracy of the others is beside it.

A run that results/language.json holds is not repeated: without that file the benchmark begins anew. A seed takes about
eight minutes of one core and 7 GB of memory.
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from resmem_cli.data.inference import Roles
from resmem_cli.model.choosing.options import MemoryOptions
from resmem_cli.model.kernel import TINY, tempered
from resmem_cli.model.memory.index import GraphOptions
from resmem_cli.workflow.adopt_base import FromColumns, adopt_base
from resmem_cli.workflow.evaluate import evaluate
from resmem_cli.workflow.fit_residual import FittedMemory, fit_residual
from resmem_cli.workflow.inputs import Input
from tests.bench.settings import same

RESULTS = Path(__file__).parent / "results"
WIDTHS = (16, 32, 64, 128)
SHARES = (0.125, 0.25, 0.5, 1.0)
# The largest share of the tokens that each part reaches to, in the order in which the stretches are dealt out.
_PARTS = {"train": 0.75, "stop": 0.8, "choose": 0.9, "test": 1.0}
_TOKEN = re.compile(r"[A-Za-z_]+|[^\sA-Za-z_]")
_WINDOW, _STRETCH, _CONTEXT = 8, 500, 6
_BATCH, _RATE, _PATIENCE, _MOST_EPOCHS = 256, 2e-3, 2, 30
_TEMPERATURES = (0.8, 0.9, 1.0, 1.1, 1.2, 1.4, 1.7, 2.0)
_OTHER = "other"

Indices = NDArray[np.int64]
Singles = NDArray[np.float32]
Parameters = dict[str, Singles]


@dataclass(frozen=True)
class Rows:
    """Contexts [n, 6] and the tokens [n] that follow, as numbers of types."""

    contexts: Indices
    following: Indices


def paragraphs(texts: Mapping[str, str]) -> Iterator[tuple[str, list[str]]]:
    """Yield topic and tokens of each paragraph that is not, for the most part, in an earlier one."""
    seen: set[tuple[str, ...]] = set()
    for topic, text in sorted(texts.items()):
        for paragraph in re.split(r"\n\s*\n", text):
            tokens = _TOKEN.findall(paragraph)
            windows = [tuple(tokens[i : i + _WINDOW]) for i in range(max(1, len(tokens) - _WINDOW + 1))]
            if tokens and 2 * sum(window in seen for window in windows) <= len(windows):
                seen.update(windows)
                yield topic, tokens


def stretches(texts: Mapping[str, str]) -> list[list[str]]:
    """Return the tokens of consecutive paragraphs of one topic, 500 or slightly more, fewer at a topic's end."""
    found: list[list[str]] = []
    current = None
    for topic, tokens in paragraphs(texts):
        if topic != current or len(found[-1]) >= _STRETCH:
            found.append([])
        found[-1] += tokens
        current = topic
    return found


def dealt(every: Sequence[list[str]], seed: int) -> dict[str, list[list[str]]]:
    """Return the stretches of each part."""
    order = np.random.default_rng(seed).permutation(len(every))
    reached = np.cumsum([len(every[i]) for i in order]) / sum(map(len, every))
    parts: dict[str, list[list[str]]] = {name: [] for name in _PARTS}
    for i, share in zip(order, reached, strict=True):
        parts[next(name for name, end in _PARTS.items() if share <= end + 1e-9)].append(every[i])
    return parts


def types_of(train: Sequence[list[str]], least: int) -> list[str]:
    """Return the classes, sorted: the types that occur at least so often, and one for the others.

    Each has a prefix, because of labels "True" and "true" one class is made, and the vectors would be too long.
    """
    counts = Counter(itertools.chain.from_iterable(train))
    return sorted([f"t {token}" for token, count in counts.items() if count >= least] + [_OTHER])


def rows_of(part: Sequence[list[str]], types: Sequence[str]) -> Rows:
    """Return a row for each token; where a stretch begins, contexts are filled with a number beyond all types."""
    numbers = {name: i for i, name in enumerate(types)}
    contexts, following = [], []
    for stretch in part:
        own = [numbers.get(f"t {token}", numbers[_OTHER]) for token in stretch]
        padded = np.array([len(types)] * _CONTEXT + own)
        contexts.append(np.lib.stride_tricks.sliding_window_view(padded, _CONTEXT)[:-1])
        following += own
    return Rows(np.concatenate(contexts), np.array(following))


class Network:
    """p(next | context) = softmax(tanh([E[c_1], ..., E[c_6]] A + a) B + b), all layers as wide as the hidden one."""

    def __init__(self, n_types: int, width: int, seed: int) -> None:
        rng = np.random.default_rng(seed)

        def drawn(n_in: int, n_out: int, scale: float) -> Singles:
            return (scale * rng.normal(size=(n_in, n_out))).astype(np.float32)

        inputs = _CONTEXT * width
        self.parameters: Parameters = {
            "E": drawn(n_types + 1, width, 0.5),
            "A": drawn(inputs, width, inputs**-0.5),
            "a": np.zeros(width, np.float32),
            "B": drawn(width, n_types, width**-0.5),
            "b": np.zeros(n_types, np.float32),
        }

    def hidden(self, contexts: Indices) -> Singles:
        """Return [n, width]."""
        p = self.parameters
        found: Singles = np.tanh(p["E"][contexts].reshape(len(contexts), -1) @ p["A"] + p["a"])
        return found

    def probabilities(self, hidden: Singles) -> Singles:
        """Return [n, n_types] of the last hidden layer."""
        scores: Singles = hidden @ self.parameters["B"]
        scores += self.parameters["b"]
        scores -= scores.max(axis=1, keepdims=True)
        np.exp(scores, out=scores)
        scores /= scores.sum(axis=1, keepdims=True)
        return scores

    def gradients(self, rows: Rows) -> Parameters:
        """Return those of the mean log-loss."""
        p, n = self.parameters, len(rows.following)
        embedded = p["E"][rows.contexts].reshape(n, -1)
        hidden = self.hidden(rows.contexts)
        of_scores = self.probabilities(hidden)
        of_scores[np.arange(n), rows.following] -= 1
        of_scores /= n
        before = (of_scores @ p["B"].T) * (1 - hidden**2)
        of_embedding = np.zeros_like(p["E"])
        np.add.at(of_embedding, rows.contexts, (before @ p["A"].T).reshape(n, _CONTEXT, -1))
        return {
            "E": of_embedding,
            "A": embedded.T @ before,
            "a": before.sum(axis=0),
            "B": hidden.T @ of_scores,
            "b": of_scores.sum(axis=0),
        }

    def log_loss(self, rows: Rows, temperature: float = 1.0) -> float:
        found = tempered(self.probabilities(self.hidden(rows.contexts)).astype(np.float64), temperature)
        return float(-np.log(np.maximum(found[np.arange(len(found)), rows.following], TINY)).mean())


def train(network: Network, rows: Rows, stopping: Rows, seed: int) -> int:
    """Take steps of Adam until the log-loss of the stopping rows has not fallen for two epochs; keep the best epoch."""
    rng = np.random.default_rng(seed)
    first, second = ({name: np.zeros_like(value) for name, value in network.parameters.items()} for _ in range(2))
    best_loss, best_epoch, best, step = np.inf, 0, network.parameters, 0
    for epoch in range(1, _MOST_EPOCHS + 1):
        order = rng.permutation(len(rows.following))
        for start in range(0, len(order), _BATCH):
            chosen, step = order[start : start + _BATCH], step + 1
            rate = _RATE * (1 - 0.999**step) ** 0.5 / (1 - 0.9**step)
            for name, slope in network.gradients(Rows(rows.contexts[chosen], rows.following[chosen])).items():
                first[name] += 0.1 * (slope - first[name])
                second[name] += 0.001 * (slope**2 - second[name])
                network.parameters[name] -= np.float32(rate) * first[name] / (np.sqrt(second[name]) + 1e-8)
        loss = network.log_loss(stopping)
        if loss < best_loss:
            best_loss, best_epoch = loss, epoch
            best = {name: value.copy() for name, value in network.parameters.items()}
        elif epoch - best_epoch >= _PATIENCE:
            break
    network.parameters = best
    return best_epoch


def exported(network: Network, rows: Rows, types: Sequence[str]) -> pa.Table:
    """Return a row per token: what follows, and in two columns of lists the hidden layer and the probabilities."""
    hidden = network.hidden(rows.contexts)

    def lists(values: Singles) -> pa.Array:
        return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])

    return pa.table(
        {
            "token": pa.array(types).take(pa.array(rows.following)),
            "hidden": lists(hidden),
            "probabilities": lists(network.probabilities(hidden)),
        }
    )


def runs_of(
    every: Sequence[list[str]], *, width: int, shares: Sequence[float], seed: int, least: int, threads: int = 1
) -> Iterator[dict[str, Any]]:
    """Train one network, and yield what a memory of each of these shares of its training rows makes of it."""
    began = time.monotonic()
    parts = dealt(every, seed)
    types = types_of(parts["train"], least)
    rows = {name: rows_of(part, types) for name, part in parts.items()}
    network = Network(len(types), width, seed)
    epoch = train(network, rows["train"], rows["stop"], seed)
    temperature = min(_TEMPERATURES, key=lambda each: network.log_loss(rows["choose"], each))
    common = {
        "width": width,
        "seed": seed,
        "least": least,
        "types": len(types),
        "rows": {name: len(part.following) for name, part in rows.items()},
        "parameters": sum(value.size for value in network.parameters.values()),
        "epochs": epoch,
        "train_log_loss": network.log_loss(rows["train"]),
        "temperature_alone": temperature,
        "tempered_log_loss": network.log_loss(rows["test"], temperature),
        "seconds_network": round(time.monotonic() - began),
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tables = {part: exported(network, rows[part], types) for part in ("train", "choose", "test")}
        files = {part: _written(table, folder / f"{part}.parquet") for part, table in tables.items()}
        origin = FromColumns("probabilities", ("probabilities",))
        adopted = adopt_base(files["train"], Roles("token"), folder / "model", origin, threads=threads)
        if list(adopted.schema.target.classes) != types:
            raise RuntimeError("the classes are in another order than the columns of their probabilities")
        order = np.random.default_rng(seed).permutation(tables["train"].num_rows)
        for share in shares:
            began = time.monotonic()
            some = np.sort(order[: round(share * len(order))])
            own = files["train"] if share == 1 else _written(tables["train"].take(some), folder / "some.parquet")
            fitted = remembered(own, folder / "model", files["choose"], threads)
            (member,) = fitted.members
            evaluation = evaluate(files["test"], folder / "model", threads=threads)
            metrics, unseen = evaluation.metrics, evaluation.judged.metrics
            yield {
                **common,
                "share": share,
                "remembered": len(some),
                "base": metrics["accuracy"].base,
                "resmem": metrics["accuracy"].resmem,
                "gain": metrics["accuracy"].gain,
                "base_log_loss": metrics["log_loss"].base,
                "resmem_log_loss": metrics["log_loss"].resmem,
                "seen": evaluation.n_seen,
                "gain_unseen": unseen["accuracy"].gain,
                "base_log_loss_unseen": unseen["log_loss"].base,
                "resmem_log_loss_unseen": unseen["log_loss"].resmem,
                "uses_memory": fitted.uses_memory,
                "settings": repr(member.settings),
                "seconds": round(time.monotonic() - began),
            }


def remembered(own: Input, model: Path, choosing: Input, threads: int) -> FittedMemory:
    """Remember the network's own rows alone, with settings that other rows choose."""
    # This memory's graph is thrown away, and the rows that choose are compared with every row: any graph will do.
    hasty = GraphOptions(M=4, ef_construction=16, ef=16)
    options = MemoryOptions(space="column:hidden", graph=hasty, threads=threads)
    (member,) = fit_residual(own, model, options, valid=choosing).members
    return fit_residual(own, model, same(member.settings, "column:hidden", threads))


def _written(table: pa.Table, path: Path) -> Input:
    pq.write_table(table, path, compression="none", use_dictionary=["token"])
    return Input((str(path),))


def table_of(runs: Sequence[Mapping[str, Any]], along: str) -> str:
    """Return a Markdown table, a line per width or share: accuracies in percent, their gain in points."""
    names = [
        "accuracy",
        "with memory",
        "gain",
        "of unseen",
        "log-loss",
        "at T",
        "with memory",
        "perplexity",
        "with memory",
    ]
    lines = [f"| {along} | parameters | remembered | " + " | ".join(names) + " | memory used |"]
    lines.append("|---" * (len(names) + 4) + "|")
    for value in sorted({run[along] for run in runs}):
        same = [run for run in runs if run[along] == value]
        cells = [
            f"{value:g}",
            *(f"{np.mean([run[name] for run in same]):,.0f}" for name in ("parameters", "remembered")),
        ]
        cells += [_spread([100 * run[name] for run in same], 2) for name in ("base", "resmem", "gain", "gain_unseen")]
        losses = [[run[f"{name}_log_loss"] for run in same] for name in ("base", "tempered", "resmem")]
        cells += [_spread(each, 3) for each in losses]
        cells += [_spread(list(np.exp(each)), 1) for each in (losses[0], losses[2])]
        cells.append(f"{sum(run['uses_memory'] for run in same)} of {len(same)}")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _spread(values: Sequence[float], digits: int) -> str:
    deviation = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return f"{np.mean(values):.{digits}f} ± {deviation:.{digits}f}"


def _store(runs: list[dict[str, Any]], width: int, least: int) -> str:
    """Write every run, and return both tables, of those with so many types."""
    same = [run for run in runs if run["least"] == least]
    curves = {"width": [run for run in same if run["share"] == 1], "share": [r for r in same if r["width"] == width]}
    tables = "\n\n".join(table_of(some, along) for along, some in curves.items())
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "language.json").write_text(json.dumps(runs, indent=2))
    (RESULTS / "language.md").write_text(tables + "\n")
    return tables


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--widths", type=lambda text: tuple(map(int, text.split(","))), default=WIDTHS)
    parser.add_argument("--width", type=int, default=64, help="of the network whose memory grows")
    parser.add_argument("--shares", type=lambda text: tuple(map(float, text.split(","))), default=SHARES)
    parser.add_argument("--least", type=int, default=2, help="how often a type must occur in the training part")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    every = stretches(topics)
    stored = RESULTS / "language.json"
    runs = json.loads(stored.read_text()) if stored.is_file() else []
    done = {(run["width"], run["share"], run["seed"], run["least"]) for run in runs}
    # Seeds outermost, and the table written after every run: what is there when time runs out is worth having.
    for seed, width in itertools.product(range(arguments.seeds), sorted({*arguments.widths, arguments.width})):
        wanted = {
            *(arguments.shares if width == arguments.width else ()),
            *([1.0] if width in arguments.widths else []),
        }
        missing = sorted(share for share in wanted if (width, share, seed, arguments.least) not in done)
        if not missing:
            continue
        for run in runs_of(
            every, width=width, shares=missing, seed=seed, least=arguments.least, threads=arguments.threads
        ):
            runs.append(run)
            print(json.dumps(run), flush=True)
            _store(runs, arguments.width, arguments.least)
    print(_store(runs, arguments.width, arguments.least))


if __name__ == "__main__":
    main()
