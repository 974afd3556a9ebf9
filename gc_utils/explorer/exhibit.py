"""What the explorer shows of a feature, computed once and kept."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from PIL import Image

from gc_utils.activations.arrays import draw_orbits
from gc_utils.errors import UserError
from gc_utils.figures.cards import Card
from gc_utils.figures.style import DASHED, OKABE_ITO
from gc_utils.groups import Group, group, translate
from gc_utils.images.orbits import image_orbit
from gc_utils.inspection.patches import top_patches, top_samples
from gc_utils.symmetry.spectra import block_profile

if TYPE_CHECKING:
    from gc_utils.crosscoder.untied import GroupCrosscoder
    from gc_utils.models.base import Model


ROTATED, MIRRORED = OKABE_ITO["blue"], OKABE_ITO["orange"]
KEPT = 16  # patches whose rotations are kept; 2.6 MB each at D48 and 95 pixels


def finer_group(g: Group, least: int = 48) -> Group:
    """The smallest `DM` that contains the group and has at least `least` rotations."""
    return group(f"D{g.n * max(1, -(-least // g.n))}")


def embed(g: Group, fine: Group) -> torch.Tensor:
    """Index in `fine` of every element of `g`, int64 `(|G|,)`."""
    index = torch.arange(g.order)
    return index % g.n * (fine.n // g.n) + fine.n * (index >= g.n)


@torch.no_grad()
def turned_codes(
    model: Model, layer: str, crosscoder: GroupCrosscoder, crops: torch.Tensor, fine: Group
) -> torch.Tensor:
    """Codes of a patch under every element of a finer group.

    The rotated patch `h·x` has the orbit `A'[g] = act(g·h·x)`: every view that an encoder may read
    is among the finer group's crops.

    Args:
        model: The network.
        layer: The layer that the crosscoder was trained on.
        crosscoder: The crosscoder.
        crops: The patch under every element of `fine`, `(|fine|, 3, S, S)` in [0, 1].
        fine: A group that contains the crosscoder's.

    Returns:
        The codes, `(|fine|, m)`.
    """
    A = torch.cat([model.unit(part, layer).cpu() for part in crops.split(32)])
    elements = embed(crosscoder.group, fine)[: crosscoder.views]
    codes = [
        crosscoder.encode(A[fine.table[elements][:, h]].transpose(0, 1))
        for h in torch.arange(fine.order).split(64)
    ]
    return torch.cat(codes)


@dataclass(eq=False)
class Exhibit:
    """The data that the explorer and the static figure draw from.

    Attributes:
        model, layer: the network and the layer whose responses are encoded; None for activations
            that came without their network.
        crosscoder: trained on that layer.
        patches: uint8 `(N, S, S, 3)`.
        report: the per-feature table, or None.
        codes: codes of the patches, `(N, m)`, from which the top patches follow; or None.
        photograph: the photograph that each patch comes from, `(N,)`, or None.
        least: the least number of angles.
        orbits: orbit activations of the patches, `(N, |G|, C)`, in place of a network: the angles
            are then those of the group.
        drawn: whether the patches are drawings of the orbits, not images.
    """

    model: Model | None
    layer: str
    crosscoder: GroupCrosscoder
    patches: np.ndarray
    report: pd.DataFrame | None = None
    codes: torch.Tensor | None = None
    photograph: np.ndarray | None = None
    least: int = 48
    orbits: torch.Tensor | None = None
    drawn: bool = False
    _seen: dict[int, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if self.model is None and self.orbits is None:
            raise UserError("there is neither a network nor an orbit for each patch.")
        g = self.crosscoder.group
        self.fine = g if self.model is None else finer_group(g, self.least)
        self.profiles = block_profile(self.crosscoder.V.detach()).float().cpu().numpy()
        if self.codes is not None and len(self.codes) != len(self.patches):
            raise UserError(f"{len(self.codes)} codes for {len(self.patches)} patches.")

    @property
    def group(self) -> Group:
        """The crosscoder's group."""
        return self.crosscoder.group

    def rotations(self, patch: int) -> tuple[np.ndarray, np.ndarray]:
        """A patch under every element of the finer group, and its codes there.

        Args:
            patch: The patch's number.

        Returns:
            The rotated patches, uint8 `(|fine|, S, S, 3)`, and their codes, `(|fine|, m)`.
        """
        if patch not in self._seen:
            while len(self._seen) >= KEPT:
                del self._seen[next(iter(self._seen))]
            image = torch.from_numpy(self.patches[patch].copy()).permute(2, 0, 1).float() / 255
            crops = image_orbit(image, self.fine, blur=0.0)  # it was low-passed when it was cut
            shown = (crops * 255).round().byte().permute(0, 2, 3, 1).numpy()
            if self.model is None:
                moved, codes = self._translated(patch)
                if self.drawn:
                    shown = draw_orbits(moved, *self._shades)
            else:
                codes = turned_codes(self.model, self.layer, self.crosscoder, crops, self.fine)
            self._seen[patch] = shown, codes.numpy()
        return self._seen[patch]

    @torch.no_grad()
    def _translated(self, patch: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The orbits `(|G|, |G|, C)` of a patch under every element, and their codes."""
        g = self.group
        same = self.orbits[patch].float().expand(g.order, -1, -1)
        moved = translate(same, g, torch.arange(g.order))
        return moved, self.crosscoder.encode(moved)

    @cached_property
    def _shades(self) -> tuple[float, float]:
        values = self.orbits.float()
        return float(values.mean()), max(float(values.std()), 1e-12)

    def element(self, angle: float, mirror: bool) -> int:
        """The finer group's element nearest to an angle in degrees."""
        return round(angle * self.fine.n / 360) % self.fine.n + self.fine.n * (
            bool(mirror) and self.fine.dihedral
        )

    def ranked(self, feature: int) -> np.ndarray:
        """Patches, those that excite the feature most first; all in their order without codes."""
        if self.codes is None:
            return np.arange(len(self.patches))
        values = torch.as_tensor(self.codes)[:, feature].detach().float().numpy()
        best = top_samples(values, 24, self.photograph, per_photograph=3)
        return best if len(best) else np.arange(min(24, len(self.patches)))

    def top(self, feature: int, count: int = 8) -> np.ndarray:
        """Its top patches, uint8 `(≤ count, S, S, 3)`; none without codes."""
        if self.codes is None:
            return self.patches[:0]
        return top_patches(self.codes, self.patches, feature, count, self.photograph)

    def card(self, feature: int) -> Card:
        """Number, kind and symmetry of a feature."""
        row = {}
        if self.report is not None:
            rows = self.report[self.report["feature"] == feature]
            row = rows.iloc[0].to_dict() if len(rows) else {}
        stabiliser = row.get("stabiliser")
        return Card(
            feature,
            self.profiles[feature],
            stabiliser=stabiliser if isinstance(stabiliser, str) else "",
            axis_degrees=row.get("axis_degrees", np.nan),
            label=str(row.get("label", "")),
        )


def _over_angles(values: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Angles from -180 to 180 degrees and the values of one chirality over them."""
    k = np.arange(-(n // 2), n - n // 2 + 1)
    return k * 360 / n, values[k % n]


def draw_response(ax: Axes, response: np.ndarray, fine: Group, g: Group) -> None:
    """A feature's code as the patch rotates: solid rotated, dashed mirrored; dots: the group.

    Args:
        ax: The axes to draw on.
        response: The code under every element of `fine`, `(|fine|,)`.
        fine: The group whose elements are drawn.
        g: The crosscoder's group.
    """
    n, stride = fine.n, fine.n // g.n
    ax.plot(*_over_angles(response[:n], n), color=ROTATED, label="rotated")
    if fine.dihedral:
        ax.plot(*_over_angles(response[n:], n), color=MIRRORED, ls=DASHED, lw=1.3, label="mirrored")
    own = np.zeros(n)
    own[::stride] = 1
    angles, at = _over_angles(own, n)
    ax.plot(angles[at > 0], _over_angles(response[:n], n)[1][at > 0], ".", color=ROTATED, ms=5)
    ax.set(xlim=(-180, 180), xticks=range(-180, 181, 90), ylabel="code")
    ax.set_xticklabels([f"{a}°" for a in range(-180, 181, 90)])
    top = float(response.max()) or 1.0  # a feature that is off at every angle
    ax.set_ylim(-0.04 * top, 1.15 * top)
    ax.grid(True)
    ax.set_title("The feature's code as the input rotates")


def png_bytes(image: np.ndarray) -> bytes:
    """An image, uint8 `(H, W, 3)`, as the bytes of a PNG file."""
    buffer = io.BytesIO()
    # Speed matters here, size does not: the image travels from kernel to browser.
    Image.fromarray(image).save(buffer, "png", compress_level=1)
    return buffer.getvalue()
