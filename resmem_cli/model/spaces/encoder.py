"""The learned encoder: a space in which neighbours explain the residual.

    e(z) = s * z                                        diagonal
    e(z) = [s * z, A (s * z)]                           linear
    e(z) = A relu(W_2 relu(W_1 x + b_1) + b_2)          mlp, x = s * z; periodic, x = [s * z, waves(z)]

z is a row's features with the base's prediction beside them, s a scale per dimension. `periodic` also reads every
number of more than two values as a few learned waves, relu(P [cos 2πfz, sin 2πfz] + c), because a network alone is slow
to learn what turns with every step of a number (Gorishniy et al. 2022).

A base that predicts numbers gets a trend beside the codes, t(z), linear in what the codes are linear in. To a
neighbour's residual is added t(z) - t(z_j): what the step from the neighbour to the row is expected to change (the term
is TabR's, Gorishniy et al. 2024). A remembered row is its own neighbour and gets its own residual still.

The encoder is trained on a stochastic neighbourhood: each step takes one fold, some of its held-out rows as queries and
some of its training rows as memory, weights the memory by softmax(-distance / τ), and descends the loss of the
corrected prediction in everything together, τ and γ too. A query's label trained neither its base prediction nor its
memory, which keeps the training honest. (The idea is neighbourhood components analysis, Goldberger et al. 2004, with
residuals for labels.)
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Literal, NamedTuple, Self

import numpy as np

from resmem_cli.model.arrays import SINGLE, Arrays, Integers, Singles, stored

Kind = Literal["diagonal", "linear", "mlp", "periodic"]
KINDS: tuple[Kind, ...] = ("diagonal", "linear", "mlp", "periodic")
MANY_OUTPUTS = 10  # beyond, an encoder has more to learn: it is wider, and trained twice as long
_ENCODED_AT_ONCE = 256  # rows


class Sizes(NamedTuple):
    """How large a starting encoder is.

    Attributes:
        hidden: of the hidden layers.
        codes: how many a linear map or a network gives.
        waves, from_waves: of `periodic`, waves per number, and how many numbers are made of them.
    """

    hidden: tuple[int, ...] = (256, 128)
    codes: int = 48
    waves: int = 16
    from_waves: int = 8

    @classmethod
    def for_outputs(cls, n_outputs: int) -> Self:
        """Return the sizes of an encoder of so many classes, or of one number."""
        return cls(hidden=(256, 256)) if n_outputs > MANY_OUTPUTS else cls()


class Pass(NamedTuple):
    """What `Encoder.forward` computes, and `Encoder.backward` needs again.

    Attributes:
        codes: [n, o] what distances are taken of.
        trend: [n, outputs], or None if there is none.
        layers: [n, .] the input of every layer, the last being what codes and trend are linear in.
        waves: [w, n, 2 waves] cosines and sines; None but for `periodic`.
    """

    codes: Singles
    trend: Singles | None
    layers: tuple[Singles, ...]
    waves: Singles | None


@dataclass(frozen=True)
class Encoder:
    """A trained (or starting) encoder.

    Attributes:
        kind: what it is made of.
        weights: "scale" [p]; but for diagonal "out" [h, o] (h is p for linear); for mlp and periodic "layer_i" and
            "bias_i"; for periodic "frequency" [numbers, waves], 0 of the numbers that have no waves, and of the w that
            have "wave" [w, 2 waves, e] and "wave_bias" [w, 1, e]; for numbers "trend" [h, outputs].
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
            frequencies: [numbers] how far the frequencies of the waves of each number, from the first input, are
                spread; 0 for a number without waves.
            n_trends: how many outputs have a trend: 1 of a regression, 0 of classes.
            rng: what its weights are drawn by.
            sizes: of its weights.
        """

        def normal(spread: float, *shape: int) -> Singles:
            return rng.normal(0, spread, shape).astype(np.float32)

        p = len(scale)
        weights: Arrays = {"scale": scale.astype(np.float32)}
        hidden, n_codes, n_waves, from_waves = sizes
        n_wavy, width, spread = int(np.count_nonzero(frequencies)), p, 1 / max(float(np.linalg.norm(scale)), 1e-6)
        if kind in ("mlp", "periodic"):
            first = normal(spread, p, hidden[0])
            if kind == "periodic" and n_wavy:
                weights["frequency"] = normal(1, len(frequencies), n_waves) * frequencies.astype(np.float32)[:, None]
                weights["wave"] = normal(1 / np.sqrt(2 * n_waves), n_wavy, 2 * n_waves, from_waves)
                weights["wave_bias"] = np.zeros((n_wavy, 1, from_waves), np.float32)
                n_made = n_wavy * from_waves
                first = np.vstack([first, normal(0.5 / np.sqrt(n_made), n_made, hidden[0])])
            weights["layer_0"], weights["bias_0"] = first, normal(0.5, hidden[0])
            for i, (n, width) in enumerate(itertools.pairwise(hidden), start=1):
                weights[f"layer_{i}"] = normal(np.sqrt(2 / n), n, width)
                weights[f"bias_{i}"] = np.zeros(width, np.float32)
            width = hidden[-1]
        if kind != "diagonal":
            weights["out"] = normal(0.3 / np.sqrt(width), width, n_codes)
        if n_trends:
            weights["trend"] = np.zeros((width, n_trends), np.float32)
        return cls(kind, weights)

    def refuse_damaged(self) -> None:
        """Refuse stored weights of which one is missing, or that do not fit together.

        Raises:
            KeyError, ValueError: it is so.
        """
        weights = self.weights
        width = len(stored(weights, "scale", SINGLE, None))
        is_network = self.kind in ("mlp", "periodic")
        has_codes = is_network or self.kind == "linear"
        if (self.n_layers > 0) != is_network or ("out" in weights) != has_codes:
            raise ValueError(f"the weights are not those of an encoder of the kind {self.kind}")
        if "frequency" in weights and self.kind != "periodic":
            raise ValueError(f"an encoder of the kind {self.kind} has no periodic features")
        if "frequency" in weights:
            n_numbers, n_waves = stored(weights, "frequency", SINGLE, None, None).shape
            if n_numbers > width:
                raise ValueError("its periodic features are of other inputs")
            n_wavy, _, n_made = stored(weights, "wave", SINGLE, len(self._wavy), 2 * n_waves, None).shape
            stored(weights, "wave_bias", SINGLE, n_wavy, 1, n_made)
            width += n_wavy * n_made
        if sum(name.startswith("bias_") for name in weights) != self.n_layers:
            raise ValueError("a layer of it is missing")
        for i in range(self.n_layers):
            width = stored(weights, f"layer_{i}", SINGLE, width, None).shape[1]
            stored(weights, f"bias_{i}", SINGLE, width)
        if has_codes:
            stored(weights, "out", SINGLE, width, None)
        if "trend" in weights:
            stored(weights, "trend", SINGLE, width, 1)

    @property
    def n_codes(self) -> int:
        """How many numbers a row becomes."""
        own = 0 if self.n_layers else self.n_inputs
        return own + (self.weights["out"].shape[1] if "out" in self.weights else 0)

    @property
    def n_inputs(self) -> int:
        return len(self.weights["scale"])

    @property
    def n_layers(self) -> int:
        return sum(name.startswith("layer_") for name in self.weights)

    def encode(self, z: Singles) -> tuple[Singles, Singles | None]:
        """Return the [n, o] codes and the [n, outputs] trend of [n, p] inputs, the trend None if there is none.

        Equal rows get equal codes, wherever they stand and however many they are: that is what makes them one cell.
        The last bits of a matrix product depend on its shape, so all are of the same one; what they need also stays in
        the processor's cache so.
        """
        codes = np.empty((len(z), self.n_codes), np.float32)
        trend = np.empty((len(z), self.weights["trend"].shape[1]), np.float32) if "trend" in self.weights else None
        for start in range(0, len(z), _ENCODED_AT_ONCE):
            block = z[start : start + _ENCODED_AT_ONCE]
            n = len(block)
            if n < _ENCODED_AT_ONCE:
                block = np.vstack([block, np.zeros((_ENCODED_AT_ONCE - n, z.shape[1]), z.dtype)])
            done = self.forward(block)
            codes[start : start + n] = done.codes[:n]
            if trend is not None and done.trend is not None:
                trend[start : start + n] = done.trend[:n]
        return codes, trend

    def forward(self, z: Singles) -> Pass:
        """Encode [n, p] inputs."""
        weights = self.weights
        scaled = z * weights["scale"]
        waves = None
        layers = [scaled]
        if "frequency" in weights:
            waves, made = self._waves(z)
            layers = [np.hstack([scaled, made.transpose(1, 0, 2).reshape(len(z), -1)])]
        for i in range(self.n_layers):
            hidden = layers[-1] @ weights[f"layer_{i}"]
            hidden += weights[f"bias_{i}"]
            layers.append(np.maximum(hidden, 0, out=hidden))
        last = layers[-1]
        codes = last @ weights["out"] if "out" in weights else scaled
        if not self.n_layers and "out" in weights:
            codes = np.hstack([scaled, codes])
        trend = last @ weights["trend"] if "trend" in weights else None
        return Pass(codes, trend, tuple(layers), waves)

    def _waves(self, z: Singles) -> tuple[Singles, Singles]:
        """Return [w, n, 2 waves] cosines and sines, and [w, n, e] what is made of them."""
        wavy = self._wavy
        frequency = (2 * np.pi * self.weights["frequency"][wavy]).astype(z.dtype)
        angles = z.T[wavy][:, :, None] * frequency[:, None, :]
        waves = np.concatenate([np.cos(angles), np.sin(angles)], axis=2)
        made = waves @ self.weights["wave"]
        made += self.weights["wave_bias"]
        return waves, np.maximum(made, 0, out=made)

    def backward(self, z: Singles, done: Pass, in_codes: Singles, in_trend: Singles) -> Arrays:
        """Return the gradient in the weights, given those in the codes [n, o] and in the trend [n, outputs], if any."""
        weights, last = self.weights, done.layers[-1]
        p = z.shape[1]
        gradient: Arrays = {}
        below = np.zeros_like(last)
        if "trend" in weights:
            gradient["trend"] = last.T @ in_trend
            below += in_trend @ weights["trend"].T
        if not self.n_layers:
            below += in_codes[:, :p]
            in_codes = in_codes[:, p:]
        if "out" in weights:
            gradient["out"] = last.T @ in_codes
            below += in_codes @ weights["out"].T
        for i in reversed(range(self.n_layers)):
            below *= done.layers[i + 1] > 0
            gradient[f"layer_{i}"], gradient[f"bias_{i}"] = done.layers[i].T @ below, below.sum(axis=0)
            below = below @ weights[f"layer_{i}"].T
        if done.waves is not None:
            gradient |= self._waves_backward(z, done.waves, np.where(done.layers[0][:, p:] > 0, below[:, p:], 0))
        gradient["scale"] = np.einsum("np,np->p", below[:, :p], z)
        return gradient

    @property
    def _wavy(self) -> Integers:
        """[w] the inputs that have waves."""
        return np.flatnonzero(self.weights["frequency"].any(axis=1))

    def _waves_backward(self, z: Singles, waves: Singles, slope: Singles) -> Arrays:
        frequency, wave, wavy = self.weights["frequency"], self.weights["wave"], self._wavy
        n_waves = frequency.shape[1]
        slope = slope.reshape(len(z), len(wavy), -1).transpose(1, 0, 2)
        in_waves = slope @ wave.transpose(0, 2, 1)
        in_angles = waves[:, :, :n_waves] * in_waves[:, :, n_waves:] - waves[:, :, n_waves:] * in_waves[:, :, :n_waves]
        in_frequency = np.zeros_like(frequency)
        in_frequency[wavy] = (in_angles * z.T[wavy][:, :, None]).sum(axis=1) * in_angles.dtype.type(2 * np.pi)
        return {
            "wave": waves.transpose(0, 2, 1) @ slope,
            "wave_bias": slope.sum(axis=1, keepdims=True),
            "frequency": in_frequency,
        }
