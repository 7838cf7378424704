"""The learned encoder: a space in which neighbours explain the residual.

    e(z) = s * z                                        diagonal
    e(z) = [s * z, A (s * z)]                           linear
    e(z) = A relu(W_2 relu(W_1 x + b_1) + b_2)          mlp, x = s * z; periodic, x = [s * z, periodic(z)]

z is a row's features with the base's prediction beside them, s a scale per dimension; the hidden layers and the
periodic features of numbers are those of `network`.

A base that predicts numbers gets a trend beside the codes, t(z), linear in what the codes are linear in. To a
neighbour's residual is added t(z) - t(z_j): what the step from the neighbour to the row is expected to change (the term
is TabR's, Gorishniy et al. 2024). A remembered row is its own neighbour and gets its own residual still.

The encoder is trained on a stochastic neighbourhood: each step takes one fold, some of its held-out rows as queries and
some of its training rows as memory, weights the memory by softmax(-distance / τ), and descends the loss of the
corrected prediction in everything together, τ and γ too. A query's label trained neither its base prediction nor its
memory, as it will be of new rows; of cross-fitted residuals, those of the memory are of bases that may have seen
the query, and only the outer folds judge by rows that nothing has seen. (The idea is neighbourhood components analysis,
Goldberger et al. 2004, with residuals for labels.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, Self

import numpy as np

from resmem_cli.model import network
from resmem_cli.model.arrays import SINGLE, Arrays, Singles, stored
from resmem_cli.model.network import Network, in_blocks

Kind = Literal["diagonal", "linear", "mlp", "periodic"]
KINDS: tuple[Kind, ...] = ("diagonal", "linear", "mlp", "periodic")
_MOST_OUTPUTS_OF_SMALL = 10


def is_large(n_outputs: int) -> bool:
    """Whether an encoder of so many outputs has more to learn: it is wider, and takes twice as long to train."""
    return n_outputs > _MOST_OUTPUTS_OF_SMALL


def times_as_long(n_outputs: int) -> int:
    """Return how many times as long an encoder of so many outputs is trained as one of few."""
    return 2 if is_large(n_outputs) else 1


class Sizes(NamedTuple):
    """How large a starting encoder is.

    Attributes:
        hidden: of the hidden layers.
        codes: how many a linear map or a network gives.
        n_frequencies, n_embedded: of `periodic`, as in `Network.start`.
    """

    hidden: tuple[int, ...] = (256, 128)
    codes: int = 48
    n_frequencies: int = 16
    n_embedded: int = 8

    @classmethod
    def for_outputs(cls, n_outputs: int) -> Self:
        """Return the sizes of an encoder of so many classes, or of one number."""
        return cls(hidden=(256, 256)) if is_large(n_outputs) else cls()


class Pass(NamedTuple):
    """What `Encoder.forward` computes, and `Encoder.backward` needs again.

    Attributes:
        codes: [n, o] what distances are taken of.
        trend: [n, outputs], or None if there is none.
        network: what codes and trend are linear in, and what that was computed from.
    """

    codes: Singles
    trend: Singles | None
    network: network.Pass


@dataclass(frozen=True)
class Encoder:
    """A trained (or starting) encoder.

    Attributes:
        kind: what it is made of.
        weights: "scale" [p]; but for diagonal "out" [h, o] (h is p for linear); for mlp and periodic "layer_i" and
            "bias_i"; for periodic "frequency", "wave" and "wave_bias", as in `Network`; for numbers "trend" [h,
            outputs].
    """

    kind: Kind
    weights: Arrays

    @classmethod
    def start(
        cls,
        kind: Kind,
        scale: Singles,
        frequencies: Singles,
        n_trends: int,
        rng: np.random.Generator,
        *,
        sizes: Sizes = Sizes(),  # noqa: B008 - it is immutable
    ) -> Self:
        """Return an encoder that has learned nothing yet.

        Args:
            kind: what it is made of.
            scale: [p] of its inputs.
            frequencies: [numbers] the standard deviation of the frequencies of each number, from the first input; 0
                for a number without periodic features.
            n_trends: how many outputs have a trend: 1 of a regression, 0 of classes.
            rng: what its weights are drawn by.
            sizes: of its weights.
        """
        is_network = kind in ("mlp", "periodic")
        body = Network.start(
            scale,
            frequencies if kind == "periodic" else None,
            sizes.hidden if is_network else (),
            rng,
            n_frequencies=sizes.n_frequencies,
            n_embedded=sizes.n_embedded,
        )
        width = sizes.hidden[-1] if is_network else len(scale)
        weights = dict(body.weights)
        if kind != "diagonal":
            weights["out"] = rng.normal(0, 0.3 / np.sqrt(width), (width, sizes.codes)).astype(np.float32)
        if n_trends:
            weights["trend"] = np.zeros((width, n_trends), np.float32)
        return cls(kind, weights)

    @property
    def network(self) -> Network:
        """Everything before the codes."""
        return Network(self.weights)

    def refuse_damaged(self) -> None:
        """Refuse stored weights of which one is missing, or that do not fit together.

        Raises:
            KeyError, ValueError: it is so.
        """
        weights = self.weights
        is_network = self.kind in ("mlp", "periodic")
        has_codes = is_network or self.kind == "linear"
        if (self.network.n_layers > 0) != is_network or ("out" in weights) != has_codes:
            raise ValueError(f"the weights are not those of an encoder of the kind {self.kind}")
        if "frequency" in weights and self.kind != "periodic":
            raise ValueError(f"an encoder of the kind {self.kind} has no periodic features")
        width = self.network.refuse_damaged()
        if has_codes:
            stored(weights, "out", SINGLE, width, None)
        if "trend" in weights:
            stored(weights, "trend", SINGLE, width, 1)

    @property
    def n_codes(self) -> int:
        """How many numbers a row becomes."""
        own = 0 if self.network.n_layers else self.n_inputs
        return own + (self.weights["out"].shape[1] if "out" in self.weights else 0)

    @property
    def n_inputs(self) -> int:
        return self.network.n_inputs

    def encode(self, z: Singles) -> tuple[Singles, Singles | None]:
        """Return the [n, o] codes and the [n, outputs] trend of [n, p] inputs, the trend None if there is none.

        Equal rows get equal codes, wherever they stand and however many they are: that is what makes them one cell.
        """

        def known(block: Singles) -> tuple[Singles, ...]:
            done = self.forward(block)
            return (done.codes,) if done.trend is None else (done.codes, done.trend)

        codes, *trend = in_blocks(z, known)
        return codes, trend[0] if trend else None

    def forward(self, z: Singles) -> Pass:
        """Encode [n, p] inputs."""
        weights = self.weights
        done = self.network.forward(z)
        codes = done.last @ weights["out"] if "out" in weights else done.last
        if not self.network.n_layers and "out" in weights:
            codes = np.hstack([done.last, codes])
        trend = done.last @ weights["trend"] if "trend" in weights else None
        return Pass(codes, trend, done)

    def backward(self, z: Singles, done: Pass, in_codes: Singles, in_trend: Singles) -> Arrays:
        """Return the gradient in the weights, given those in the codes [n, o] and in the trend [n, outputs], if any."""
        weights, last, p = self.weights, done.network.last, z.shape[1]
        gradient: Arrays = {}
        below = np.zeros_like(last)
        if "trend" in weights:
            gradient["trend"] = last.T @ in_trend
            below += in_trend @ weights["trend"].T
        if not self.network.n_layers:
            below += in_codes[:, :p]
            in_codes = in_codes[:, p:]
        if "out" in weights:
            gradient["out"] = last.T @ in_codes
            below += in_codes @ weights["out"].T
        return gradient | self.network.backward(z, done.network, below)
