"""Hidden layers over numbers and their periodic features: what encoders and networks among the bases are made of.

    x = s * z                                            no periodic features
    x = [s * z, relu(P [cos 2πfz, sin 2πfz] + c)]        of every number that has them, with learned frequencies f
    h = relu(W_2 relu(W_1 x + b_1) + b_2)

A network alone is slow to learn what turns with every step of a number; of periodic features it is not (Gorishniy et
al. 2022).

Several networks can be one: then every array has one more axis in front, and so have the rows. Their products are taken
side by side, which costs little more than one of them where batches are small.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np

from resmem_cli.model.arrays import SINGLE, Arrays, Integers, Singles, stored

_AT_ONCE = 256  # rows
MOST_PERIODIC = 100  # numeric columns: the periodic features of more, such as pixels, would be most of the work


class Pass(NamedTuple):
    """What `Network.forward` computes, and `Network.backward` needs again.

    Attributes:
        layers: [..., n, .] the input of every layer, and last what the network gives.
        periodic: [..., w, n, 2 f] cosines and sines of the w numbers that have them; None if there are none.
    """

    layers: tuple[Singles, ...]
    periodic: Singles | None

    @property
    def last(self) -> Singles:
        return self.layers[-1]


@dataclass(frozen=True)
class Network:
    """One network, or several that are trained side by side.

    Attributes:
        weights: "scale" [p]; "layer_i" and "bias_i"; "frequency" [numbers, f], 0 of numbers without periodic
            features, and of the w with such "wave" [w, 2 f, e] and "wave_bias" [w, 1, e]. Others are somebody else's.
    """

    weights: Arrays

    @classmethod
    def start(
        cls,
        scale: Singles,
        frequencies: Singles | None,
        hidden: Sequence[int],
        rng: np.random.Generator,
        *,
        n_frequencies: int = 16,
        n_embedded: int = 8,
    ) -> Self:
        """Return a network that has learned nothing yet.

        Args:
            scale: [p] of its inputs.
            frequencies: [numbers] the standard deviation of the frequencies of each number, from the first input; 0
                for a number without periodic features; None if there are none at all.
            hidden: how wide each layer is; without any, it only scales.
            rng: what its weights are drawn by.
            n_frequencies: of every number with periodic features.
            n_embedded: how many numbers are made of the cosines and sines of each.
        """

        def normal(deviation: float, *shape: int) -> Singles:
            return rng.normal(0, deviation, shape).astype(np.float32)

        p = len(scale)
        weights: Arrays = {"scale": scale.astype(np.float32)}
        if not hidden:
            return cls(weights)
        n_periodic = 0 if frequencies is None else int(np.count_nonzero(frequencies))
        first = normal(1 / max(float(np.linalg.norm(scale)), 1e-6), p, hidden[0])
        if frequencies is not None and n_periodic:
            deviations = frequencies.astype(np.float32)[:, None]
            weights["frequency"] = normal(1, len(frequencies), n_frequencies) * deviations
            weights["wave"] = normal(1 / np.sqrt(2 * n_frequencies), n_periodic, 2 * n_frequencies, n_embedded)
            weights["wave_bias"] = np.zeros((n_periodic, 1, n_embedded), np.float32)
            n_made = n_periodic * n_embedded
            first = np.vstack([first, normal(0.5 / np.sqrt(n_made), n_made, hidden[0])])
        weights["layer_0"], weights["bias_0"] = first, normal(0.5, hidden[0])
        for i, (n, width) in enumerate(itertools.pairwise(hidden), start=1):
            weights[f"layer_{i}"] = normal(np.sqrt(2 / n), n, width)
            weights[f"bias_{i}"] = np.zeros(width, np.float32)
        return cls(weights)

    def refuse_damaged(self) -> int:
        """Refuse stored weights of which one is missing, or that do not fit together; return how wide the last is.

        Raises:
            KeyError, ValueError: it is so.
        """
        weights = self.weights
        width = len(stored(weights, "scale", SINGLE, None))
        if "frequency" in weights:
            n_numbers, n_frequencies = stored(weights, "frequency", SINGLE, None, None).shape
            if n_numbers > width:
                raise ValueError("its periodic features are of other inputs")
            n_periodic, _, n_made = stored(weights, "wave", SINGLE, len(self._periodic), 2 * n_frequencies, None).shape
            stored(weights, "wave_bias", SINGLE, n_periodic, 1, n_made)
            width += n_periodic * n_made
        if sum(name.startswith("bias_") for name in weights) != self.n_layers:
            raise ValueError("a layer of it is missing")
        for i in range(self.n_layers):
            width = stored(weights, f"layer_{i}", SINGLE, width, None).shape[1]
            stored(weights, f"bias_{i}", SINGLE, width)
        return width

    @property
    def n_inputs(self) -> int:
        return int(self.weights["scale"].shape[-1])

    @property
    def n_layers(self) -> int:
        return sum(map(is_layer, self.weights))

    def forward(self, z: Singles) -> Pass:
        """Compute the layers of [..., n, p] inputs."""
        weights = self.weights
        periodic = None
        layers = [z * weights["scale"][..., None, :]]
        if "frequency" in weights:
            periodic, made = self._periodic_features(z)
            in_one_row = np.moveaxis(made, -3, -2).reshape(*z.shape[:-1], -1)
            layers = [np.concatenate([layers[0], in_one_row], axis=-1)]
        for i in range(self.n_layers):
            hidden = layers[-1] @ weights[f"layer_{i}"]
            hidden += weights[f"bias_{i}"][..., None, :]
            layers.append(np.maximum(hidden, 0, out=hidden))
        return Pass(tuple(layers), periodic)

    def _periodic_features(self, z: Singles) -> tuple[Singles, Singles]:
        """Return [..., w, n, 2 f] cosines and sines, and [..., w, n, e] what is made of them."""
        inputs = self._periodic
        frequency = (2 * np.pi * self.weights["frequency"][..., inputs, :]).astype(z.dtype)
        angles = np.swapaxes(z, -1, -2)[..., inputs, :, None] * frequency[..., :, None, :]
        periodic = np.concatenate([np.cos(angles), np.sin(angles)], axis=-1)
        made = periodic @ self.weights["wave"]
        made += self.weights["wave_bias"]
        return periodic, np.maximum(made, 0, out=made)

    def backward(self, z: Singles, done: Pass, below: Singles) -> Arrays:
        """Return the gradient in the weights, given that in the [..., n, .] last layer, which is overwritten."""
        weights, p = self.weights, self.n_inputs
        gradient: Arrays = {}
        for i in reversed(range(self.n_layers)):
            below *= done.layers[i + 1] > 0
            gradient[f"layer_{i}"] = np.swapaxes(done.layers[i], -1, -2) @ below
            gradient[f"bias_{i}"] = below.sum(axis=-2)
            below = below @ np.swapaxes(weights[f"layer_{i}"], -1, -2)
        if done.periodic is not None:
            slope = np.where(done.layers[0][..., p:] > 0, below[..., p:], 0)
            gradient |= self._periodic_backward(z, done.periodic, slope)
        gradient["scale"] = np.einsum("...np,...np->...p", below[..., :p], z)
        return gradient

    @property
    def _periodic(self) -> Integers:
        """[w] the inputs with periodic features, of several networks the same."""
        frequency = self.weights["frequency"]
        return np.flatnonzero(frequency.reshape(-1, *frequency.shape[-2:]).any(axis=(0, 2)))

    def _periodic_backward(self, z: Singles, periodic: Singles, slope: Singles) -> Arrays:
        frequency, wave, inputs = self.weights["frequency"], self.weights["wave"], self._periodic
        n_frequencies = frequency.shape[-1]
        slope = np.moveaxis(slope.reshape(*slope.shape[:-1], len(inputs), -1), -2, -3)
        in_periodic = slope @ np.swapaxes(wave, -1, -2)
        cosines, sines = periodic[..., :n_frequencies], periodic[..., n_frequencies:]
        in_angles = cosines * in_periodic[..., n_frequencies:] - sines * in_periodic[..., :n_frequencies]
        in_frequency = np.zeros_like(frequency)
        of_inputs = np.swapaxes(z, -1, -2)[..., inputs, :, None]
        in_frequency[..., inputs, :] = (in_angles * of_inputs).sum(axis=-2) * in_angles.dtype.type(2 * np.pi)
        return {
            "wave": np.swapaxes(periodic, -1, -2) @ slope,
            "wave_bias": slope.sum(axis=-2, keepdims=True),
            "frequency": in_frequency,
        }


def is_layer(name: str) -> bool:
    """Whether the weights of this name are a matrix between two layers."""
    return name.startswith("layer_")


def in_blocks(z: Singles, compute: Callable[[Singles], tuple[Singles, ...]]) -> tuple[Singles, ...]:
    """Return [n, .] arrays that are computed of [n, p] inputs, a block at a time.

    Equal rows get equal results, wherever they stand and however many they are: that is what makes them one cell. The
    last bits of a matrix product depend on its shape, so all are of the same one; what they need also stays in the
    processor's cache so.
    """
    parts = []
    for start in range(0, max(len(z), 1), _AT_ONCE):
        block = z[start : start + _AT_ONCE]
        n = len(block)
        if n < _AT_ONCE:
            block = np.vstack([block, np.zeros((_AT_ONCE - n, z.shape[1]), z.dtype)])
        parts.append(tuple(each[:n] for each in compute(block)))
    return tuple(np.concatenate(each) for each in zip(*parts, strict=True))
