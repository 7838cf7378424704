"""Hidden layers over scaled numbers and their waves: what encoders and the networks among the bases are made of.

    x = s * z                                            no waves
    x = [s * z, relu(P [cos 2πfz, sin 2πfz] + c)]        waves: a few learned ones of every number that has them
    h = relu(W_2 relu(W_1 x + b_1) + b_2)

A network alone is slow to learn what turns with every step of a number; waves of it are not (Gorishniy et al. 2022).

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


class Pass(NamedTuple):
    """What `Network.forward` computes, and `Network.backward` needs again.

    Attributes:
        layers: [..., n, .] the input of every layer, and last what the network gives.
        waves: [..., w, n, 2 waves] cosines and sines; None if there are none.
    """

    layers: tuple[Singles, ...]
    waves: Singles | None

    @property
    def last(self) -> Singles:
        return self.layers[-1]


@dataclass(frozen=True)
class Network:
    """One network, or several that are trained side by side.

    Attributes:
        weights: "scale" [p]; "layer_i" and "bias_i"; "frequency" [numbers, waves], 0 of the numbers that have no waves,
            and of the w that have "wave" [w, 2 waves, e] and "wave_bias" [w, 1, e]. Others are somebody else's.
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
        waves: int = 16,
        from_waves: int = 8,
    ) -> Self:
        """Return a network that has learned nothing yet.

        Args:
            scale: [p] of its inputs.
            frequencies: [numbers] how far the frequencies of the waves of each number, from the first input, are
                spread; 0 for a number without waves; None for no waves at all.
            hidden: how wide each layer is; without any, it only scales.
            rng: what its weights are drawn by.
            waves: of every number that has them.
            from_waves: how many numbers are made of these.
        """

        def normal(spread: float, *shape: int) -> Singles:
            return rng.normal(0, spread, shape).astype(np.float32)

        p = len(scale)
        weights: Arrays = {"scale": scale.astype(np.float32)}
        if not hidden:
            return cls(weights)
        n_wavy = 0 if frequencies is None else int(np.count_nonzero(frequencies))
        first = normal(1 / max(float(np.linalg.norm(scale)), 1e-6), p, hidden[0])
        if frequencies is not None and n_wavy:
            spread = frequencies.astype(np.float32)[:, None]
            weights["frequency"] = normal(1, len(frequencies), waves) * spread
            weights["wave"] = normal(1 / np.sqrt(2 * waves), n_wavy, 2 * waves, from_waves)
            weights["wave_bias"] = np.zeros((n_wavy, 1, from_waves), np.float32)
            n_made = n_wavy * from_waves
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
        waves = None
        layers = [z * weights["scale"][..., None, :]]
        if "frequency" in weights:
            waves, made = self._waves(z)
            in_one_row = np.moveaxis(made, -3, -2).reshape(*z.shape[:-1], -1)
            layers = [np.concatenate([layers[0], in_one_row], axis=-1)]
        for i in range(self.n_layers):
            hidden = layers[-1] @ weights[f"layer_{i}"]
            hidden += weights[f"bias_{i}"][..., None, :]
            layers.append(np.maximum(hidden, 0, out=hidden))
        return Pass(tuple(layers), waves)

    def _waves(self, z: Singles) -> tuple[Singles, Singles]:
        """Return [..., w, n, 2 waves] cosines and sines, and [..., w, n, e] what is made of them."""
        wavy = self._wavy
        frequency = (2 * np.pi * self.weights["frequency"][..., wavy, :]).astype(z.dtype)
        angles = np.swapaxes(z, -1, -2)[..., wavy, :, None] * frequency[..., :, None, :]
        waves = np.concatenate([np.cos(angles), np.sin(angles)], axis=-1)
        made = waves @ self.weights["wave"]
        made += self.weights["wave_bias"]
        return waves, np.maximum(made, 0, out=made)

    def backward(self, z: Singles, done: Pass, below: Singles) -> Arrays:
        """Return the gradient in the weights, given that in the [..., n, .] last layer, which is overwritten."""
        weights, p = self.weights, self.n_inputs
        gradient: Arrays = {}
        for i in reversed(range(self.n_layers)):
            below *= done.layers[i + 1] > 0
            gradient[f"layer_{i}"] = np.swapaxes(done.layers[i], -1, -2) @ below
            gradient[f"bias_{i}"] = below.sum(axis=-2)
            below = below @ np.swapaxes(weights[f"layer_{i}"], -1, -2)
        if done.waves is not None:
            slope = np.where(done.layers[0][..., p:] > 0, below[..., p:], 0)
            gradient |= self._waves_backward(z, done.waves, slope)
        gradient["scale"] = np.einsum("...np,...np->...p", below[..., :p], z)
        return gradient

    @property
    def _wavy(self) -> Integers:
        """[w] the inputs that have waves, of several networks the same."""
        frequency = self.weights["frequency"]
        return np.flatnonzero(frequency.reshape(-1, *frequency.shape[-2:]).any(axis=(0, 2)))

    def _waves_backward(self, z: Singles, waves: Singles, slope: Singles) -> Arrays:
        frequency, wave, wavy = self.weights["frequency"], self.weights["wave"], self._wavy
        n_waves = frequency.shape[-1]
        slope = np.moveaxis(slope.reshape(*slope.shape[:-1], len(wavy), -1), -2, -3)
        in_waves = slope @ np.swapaxes(wave, -1, -2)
        cosines, sines = waves[..., :n_waves], waves[..., n_waves:]
        in_angles = cosines * in_waves[..., n_waves:] - sines * in_waves[..., :n_waves]
        in_frequency = np.zeros_like(frequency)
        of_wavy = np.swapaxes(z, -1, -2)[..., wavy, :, None]
        in_frequency[..., wavy, :] = (in_angles * of_wavy).sum(axis=-2) * in_angles.dtype.type(2 * np.pi)
        return {
            "wave": np.swapaxes(waves, -1, -2) @ slope,
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
