"""Training in a basis closed under the group, in a fraction of the numbers of an orbit.

The squared error of an orbit is the sum of the errors within a subspace and outside it. Blocks that
lie in the subspace cannot change the second, so that training them on coordinates in an orthonormal
basis is training on the orbits, up to a constant. If the subspace is closed under the group, a
translated orbit has its coordinates translated, and features may have any symmetry there that they
may have outside. Blocks are lifted back exactly at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from gc_utils.crosscoder.base import Config, Crosscoder
from gc_utils.crosscoder.basis import PART, OrbitBasis, orbit_basis
from gc_utils.crosscoder.batches import ShuffledBatches
from gc_utils.crosscoder.untied import GroupCrosscoder
from gc_utils.crosscoder.views import SeenOrbits, normalise
from gc_utils.errors import UserError
from gc_utils.ranks import ranks

LARGEST = 0.5  # share of an orbit's numbers above which a basis is not worth it


def compressible(coder: Crosscoder) -> bool:
    """Whether a crosscoder may be trained in a basis.

    A tied one is not made of free blocks, a penalty on the norms of single blocks needs the blocks,
    and the views of a sparse autoencoder are no orbits.
    """
    untied = type(coder) is GroupCrosscoder and coder.family is None
    return untied and coder.config.sparsity != "l1" and coder.group.order > 1


def worthwhile(basis: OrbitBasis) -> bool:
    """Whether a basis has so few numbers that training in it is faster."""
    return basis.size <= LARGEST * basis.numbers


class CompressedCrosscoder(Crosscoder):
    """A crosscoder in training whose blocks are coordinates in a basis.

    What training has of an orbit is `(1, r)` coordinates, and beside them, for the identity
    encoder, the unrotated view: that is read as it is.

    Args:
        coder: the crosscoder that it stands for; its blocks are projected.
        basis: of its orbits.

    Attributes:
        V: coordinates of the blocks, `(m, 1, r)`.
        W_enc: `(m, 1, r)` for the orbit encoder, `(m, 1, C)` for the identity encoder.
        b_enc: `(m,)`.
        b_dec: `(1, r)`.
        basis: the basis.
        mean, scale, threshold, fresh: see `Crosscoder`.
    """

    def __init__(self, coder: GroupCrosscoder, basis: OrbitBasis) -> None:
        super().__init__(coder.config.channels)
        self._config, self.basis = coder.config, basis.to(coder.device)
        with torch.no_grad():
            W = coder.W_enc.detach()
            W = basis.project(W)[:, None] if self._of_orbit else W.clone()
            self.V = nn.Parameter(basis.project(coder.V)[:, None], coder.V.requires_grad)
            self.W_enc = nn.Parameter(W)
            self.b_enc = nn.Parameter(coder.b_enc.detach().clone())
            self.b_dec = nn.Parameter(basis.project(coder.b_dec[None]))
        self.register_buffer("family", None)
        self.register_buffer("element", None)
        self.register_buffer("left_out", torch.zeros(()))
        self.to(coder.device)
        for name in ("mean", "scale", "threshold"):
            getattr(self, name).copy_(getattr(coder, name))
        self.fresh = coder.fresh

    @property
    def config(self) -> Config:
        """As of the crosscoder that it stands for."""
        return self._config

    @property
    def _of_orbit(self) -> bool:
        return self.config.encode_from == "orbit"

    @property
    def encoder_bias(self) -> torch.Tensor:
        """`b_enc`."""
        return self.b_enc

    @property
    def decoder_bias(self) -> torch.Tensor:
        """`b_dec`."""
        return self.b_dec

    @property
    def starts(self) -> int:
        """How many directions `start` takes: one a feature."""
        return self.config.features

    @property
    def outside(self) -> float:
        """Mean square of what lies outside the basis."""
        return float(self.left_out)

    def read(self, A: torch.Tensor) -> torch.Tensor:
        """What the encoder reads: the coordinates, or the view beside them."""
        return A if self._of_orbit else A[:, :, self.basis.size :]

    def wanted(self, A: torch.Tensor) -> torch.Tensor:
        """The coordinates."""
        return A[:, :, : self.basis.size]

    def bias_read(self) -> torch.Tensor:
        """The part of the decoder bias that the encoder reads, `(1, r)` or `(1, C)`."""
        return self.b_dec if self._of_orbit else self.basis.lift(self.b_dec)[0, :1]

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Blocks take longer steps: Adam moves each number alike, and there are fewer of them."""
        fewer = (self.basis.numbers / self.basis.size) ** 0.5
        compressed = [self.V, self.b_dec] + [self.W_enc] * self._of_orbit
        whole = [self.b_enc] + [self.W_enc] * (not self._of_orbit)
        return [{"params": compressed, "faster": fewer}, {"params": whole, "faster": 1.0}]

    @torch.no_grad()
    def start(self, V: torch.Tensor) -> None:
        """Begin with mixtures of training's orbits, and an encoder of unit rows along them."""
        self.V.copy_(self.wanted(V))
        W = self.read(V)
        self.W_enc.copy_(W / W.flatten(1).norm(dim=1)[:, None, None].clamp_min(1e-6))

    @torch.no_grad()
    def stretch_encoder(self, factor: torch.Tensor | float) -> None:
        """Multiply the encoder's weights."""
        self.W_enc.mul_(factor)

    @torch.no_grad()
    def lift(self, coder: GroupCrosscoder) -> None:
        """Give the crosscoder that this stands for what has been learned."""
        basis = self.basis
        coder.V.copy_(basis.lift(self.V[:, 0]))
        coder.W_enc.copy_(basis.lift(self.W_enc[:, 0]) if self._of_orbit else self.W_enc)
        coder.b_enc.copy_(self.b_enc)
        coder.b_dec.copy_(basis.lift(self.b_dec)[0])
        for name in ("mean", "scale", "threshold"):
            getattr(coder, name).copy_(getattr(self, name))
        coder.fresh = self.fresh

    def fits(self, state: Mapping[str, torch.Tensor]) -> bool:
        """Whether a state is of this crosscoder in a basis of the same sizes."""
        own = self.state_dict()
        return own.keys() == state.keys() and all(own[k].shape == v.shape for k, v in state.items())

    def untied(self) -> GroupCrosscoder:
        """The crosscoder with all its numbers, a copy, detached."""
        config = self.config
        names = ("group", "channels", "features", "sparsity", "k", "encode_from")
        copy = GroupCrosscoder(**{name: getattr(config, name) for name in names}).to(self.device)
        self.lift(copy)
        return copy


class CompressedOrbits:
    """Batches of orbits as a compressed crosscoder is trained on them.

    All training orbits are projected once; their coordinates stay in memory. The rows and the
    random starts of a step are those that `SeenOrbits` has.

    Args:
        coder: the compressed crosscoder.
        batches: of training orbits.
        translated: whether every orbit is seen from a random start.
    """

    def __init__(
        self, coder: CompressedCrosscoder, batches: ShuffledBatches, translated: bool
    ) -> None:
        self.coder, self.batches, self.translated = coder, batches, translated
        self.coordinates = torch.zeros(len(batches.data), coder.basis.size, device=coder.device)
        whole = 0.0
        for numbers in torch.from_numpy(batches.rows).split(PART):
            A = batches.data[numbers.numpy()].float().to(coder.device)
            A = (A - coder.mean) / coder.scale
            whole += float(A.square().sum())
            self.coordinates[numbers] = coder.basis.project(A)
        inside = float(self.coordinates.square().sum())
        coder.left_out.fill_(max(0.0, whole - inside) / len(batches.rows))

    def batch(self, step: int, draw: torch.Generator, part: slice = slice(None)) -> torch.Tensor:
        """The orbits of a step, or a part of them, `(N, 1, r)`, with a view `(N, 1, r + C)`."""
        coder, numbers = self.coder, self.batches.numbers(step)
        h = torch.zeros(len(numbers), dtype=torch.int64)
        if self.translated:
            h = torch.randint(coder.group.order, (len(numbers),), generator=draw)
        numbers, h = numbers[part], h[part]
        x = self.coordinates[numbers]
        if self.translated:
            x = coder.basis.translate(x, h)
        if coder.config.encode_from == "orbit":
            return x[:, None]
        if isinstance(self.batches.data, torch.Tensor):
            view = self.batches.data[numbers, h].float()
        else:
            view = self.batches.batch(step)[part][torch.arange(len(h)), h]
        view = (view.to(coder.device) - coder.mean) / coder.scale
        return torch.cat([x, view], 1)[:, None]


def orbits_seen(
    coder: Crosscoder, batches: ShuffledBatches, translated: bool
) -> SeenOrbits | CompressedOrbits:
    """Batches as this crosscoder is trained on them."""
    kind = CompressedOrbits if isinstance(coder, CompressedCrosscoder) else SeenOrbits
    return kind(coder, batches, translated)


def in_basis(
    coder: Crosscoder,
    batches: ShuffledBatches,
    keep: float,
    basis: Callable[[], OrbitBasis] | None = None,
) -> CompressedCrosscoder | None:
    """What to train in place of a crosscoder, or None where that is not possible or not worth it.

    Args:
        coder: the crosscoder; a fresh one takes normalisation from the first batches.
        batches: of training orbits.
        keep: share of their variance that the basis holds; 1 is no basis.
        basis: what makes the basis, where several trainings share it; found from the training
            orbits if not given.

    Raises:
        UserError: `keep` is out of range.
    """
    if not 0 < keep <= 1:
        raise UserError(f"keep = {keep}: expected a share of the variance, 0 < keep ≤ 1.")
    if keep == 1 or not compressible(coder):
        return None
    data, rows = batches.data, batches.rows
    found = basis() if basis is not None else orbit_basis(data, rows, coder.group, keep)
    found = ranks().of_first(found)
    if not worthwhile(found):
        return None
    if coder.fresh:
        normalise(coder, batches)
    return CompressedCrosscoder(coder, found)
