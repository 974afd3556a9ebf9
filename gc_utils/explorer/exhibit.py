"""What the explorer shows of a feature, computed once and kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from gc_utils.activations.arrays import draw_orbits
from gc_utils.activations.chunks import RowsOnDisk
from gc_utils.activations.orbits import FEW, Orbits, orbits_of
from gc_utils.activations.store import ActivationStore
from gc_utils.errors import UserError
from gc_utils.figures.cards import Card
from gc_utils.groups import Group, group, translate
from gc_utils.images.orbits import BLUR, image_orbit, orbit
from gc_utils.inspection.patches import top_patches, top_samples
from gc_utils.inspection.relations import (
    QUANTILES,
    Relation,
    certainty,
    predicted_codes,
    relations,
    samples_at_quantiles,
)
from gc_utils.inspection.visualise import visualise_blocks
from gc_utils.symmetry.null import unrelated_cut
from gc_utils.symmetry.spectra import block_profile
from gc_utils.symmetry.telling import telling_features

if TYPE_CHECKING:
    from gc_utils.crosscoder.untied import GroupCrosscoder
    from gc_utils.models.base import Model


KEPT = 16  # patches whose rotations are kept; 2.6 MB each at D48 and 95 pixels
OWN = -1  # the number of the patch cut from an image of one's own
BEST = 24  # patches offered of a feature, the strongest first


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
    """The data that the explorer and the static figures draw from.

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
        blur, window: how patches were cut, for those of an image of one's own.
    """

    model: Model | None
    layer: str
    crosscoder: GroupCrosscoder
    patches: np.ndarray | RowsOnDisk
    report: pd.DataFrame | None = None
    codes: torch.Tensor | None = None
    photograph: np.ndarray | None = None
    least: int = 48
    orbits: Orbits | None = None
    drawn: bool = False
    blur: float = BLUR
    window: str = "none"
    _seen: dict[int, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict, repr=False)
    _relations: dict[int, list[Relation]] = field(default_factory=dict, repr=False)

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

    # --- a patch and its rotations

    def rotations(self, patch: int) -> tuple[np.ndarray, np.ndarray]:
        """A patch under every element of the finer group, and its codes there.

        Args:
            patch: The patch's number; `OWN` for the one from an image of one's own.

        Returns:
            The rotated patches, uint8 `(|fine|, S, S, 3)`, and their codes, `(|fine|, m)`.
        """
        if patch not in self._seen:
            while len(self._seen) >= KEPT:
                del self._seen[next(p for p in self._seen if p != OWN)]
            if patch == OWN:
                raise UserError("there is no image of your own yet: choose a file first.")
            image = torch.from_numpy(self.patches[patch].copy()).permute(2, 0, 1).float() / 255
            crops = image_orbit(image, self.fine, blur=0.0)  # it was low-passed when it was cut
            shown = _bytes(crops)
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
        same = self.orbits[patch : patch + 1].float().expand(g.order, -1, -1)
        moved = translate(same, g, torch.arange(g.order))
        return moved, self.crosscoder.encode(moved)

    @cached_property
    def _shades(self) -> tuple[float, float]:
        values = next(iter(self.orbits.split(FEW))).float()
        return float(values.mean()), max(float(values.std()), 1e-12)

    def place(self, image: torch.Tensor, x: float, y: float, width: float) -> np.ndarray:
        """Cut a patch from an image of one's own, under every element; its number is `OWN`.

        Args:
            image: float `(3, H, W)` in [0, 1].
            x, y: The centre of the patch in pixels of the image, x right and y down.
            width: The width of the patch in pixels of the image.

        Returns:
            The codes of the patch as it is, `(m,)`.

        Raises:
            UserError: There is no network to look at images.
        """
        if self.model is None:
            raise UserError(
                "these activations came without their network, which an image of your own needs."
            )
        size = self.patches.shape[1]
        point = torch.tensor([[float(x), float(y)]])
        options = {"blur": self.blur, "window": self.window}
        crops = orbit(image, point, width / size, self.fine, size, **options)[0]
        codes = turned_codes(self.model, self.layer, self.crosscoder, crops, self.fine)
        self._seen[OWN] = _bytes(crops), codes.numpy()
        return self._seen[OWN][1][0]

    def predicted(self, feature: int, patch: int) -> np.ndarray:
        """What a feature's blocks predict of its code for a patch, at the group's own elements.

        Args:
            feature: The feature's number.
            patch: The patch's number.

        Returns:
            The predicted codes, `(|G|,)`; the first is the code measured of the patch as it is.
        """
        code = float(self.rotations(patch)[1][0, feature])
        return predicted_codes(code, self.crosscoder.V[feature], self.group)

    def measured(self, feature: int, patch: int) -> np.ndarray:
        """A feature's codes for a patch under the group's own elements, `(|G|,)`."""
        return self.rotations(patch)[1][embed(self.group, self.fine).numpy(), feature]

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
        best = top_samples(values, BEST, self.photograph, per_photograph=3)
        return best if len(best) else np.arange(min(BEST, len(self.patches)))

    def top(self, feature: int, count: int = 8) -> np.ndarray:
        """Its top patches, uint8 `(≤ count, S, S, 3)`; none without codes."""
        if self.codes is None:
            return self.patches[:0]
        return top_patches(self.codes, self.patches, feature, count, self.photograph)

    def card(self, feature: int) -> Card:
        """Number, kind and symmetry of a feature."""
        row = self.row(feature)
        stabiliser = row.get("stabiliser")
        return Card(
            feature,
            self.profiles[feature],
            stabiliser=stabiliser if isinstance(stabiliser, str) else "",
            axis_degrees=row.get("axis_degrees", np.nan),
            label=str(row.get("label", "")),
        )

    # --- what is known of a feature

    @cached_property
    def _rows(self) -> dict[int, dict[str, Any]]:
        if self.report is None:
            return {}
        return {int(row["feature"]): row for row in self.report.to_dict("records")}

    def row(self, feature: int) -> dict[str, Any]:
        """The feature's row of the report; empty without one."""
        return self._rows.get(int(feature), {})

    def trust(self, feature: int) -> dict[str, str]:
        """How far the feature can be trusted, see `inspection.certainty`."""
        return certainty(self.row(feature))

    def quantiles(self, feature: int) -> dict[float, int]:
        """Patches at quantiles of the feature's activation; empty where it is never on."""
        if self.codes is None:
            return {}
        found = samples_at_quantiles(torch.as_tensor(self.codes)[:, feature].detach().numpy())
        return dict(zip(QUANTILES, found, strict=False))

    def optimised(self, feature: int, elements: Sequence[int], steps: int = 64) -> np.ndarray:
        """Images optimised for some of the feature's blocks, uint8 `(k, S, S, 3)`."""
        options = {"steps": steps, "seed": 0}
        found = visualise_blocks(
            self.model, self.layer, self.crosscoder, feature, elements, **options
        )
        return _bytes(torch.stack([found[element] for element in elements]))

    def related(self, feature: int) -> list[Relation]:
        """The other features, the most similar up to the group first."""
        if feature not in self._relations:
            self._relations[feature] = relations(self.crosscoder.V, self.group, feature)
        return self._relations[feature]

    def members(self, feature: int) -> list[Relation]:
        """The other members of the feature's family, the most similar first."""
        family = self.row(feature).get("family", -1)
        if not family >= 0:
            return []
        same = {i for i, row in self._rows.items() if row.get("family") == family}
        return [one for one in self.related(feature) if one.feature in same]

    @cached_property
    def cut(self) -> float:
        """The similarity up to the group that one in a hundred unrelated pairs reaches."""
        if self.group.order == 1 or len(self.crosscoder.V) < 2:
            return float("nan")
        return 1 - unrelated_cut(self.crosscoder.V.detach(), self.group)

    def aligned(self, relation: Relation) -> np.ndarray:
        """The strongest patch of another feature, under the element that maps it to this one.

        Args:
            relation: The other feature, from `related` or `members`.

        Returns:
            uint8 `(S, S, 3)`.
        """
        patch = self.patches[self.ranked(relation.feature)[0]]
        if self.drawn:
            return patch
        image = torch.from_numpy(patch.copy()).permute(2, 0, 1).float() / 255
        return _bytes(image_orbit(image, self.group, blur=0.0)[[relation.element]])[0]

    def telling(self, features: Sequence[int], count: int = 6) -> list[int]:
        """Features that a reader should meet first, see `symmetry.telling_features`.

        Args:
            features: The numbers to choose from.
            count: How many.

        Returns:
            Their numbers, at most `count`; without a report the first of `features`.
        """
        rows = [row for f in features if (row := self.row(int(f)))]
        if not rows or "stabiliser" not in rows[0]:
            return [int(f) for f in features][:count]
        return telling_features(pd.DataFrame(rows).set_index("feature", drop=False), count)


def _bytes(images: torch.Tensor) -> np.ndarray:
    """Images `(k, 3, S, S)` in [0, 1] as uint8 `(k, S, S, 3)`."""
    return (images * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()


def make_exhibit(
    model: Model | None,
    layer: str,
    data: ActivationStore | np.ndarray,
    crosscoder: GroupCrosscoder,
    report: pd.DataFrame | None = None,
    *,
    codes: torch.Tensor | None = None,
    photograph: np.ndarray | None = None,
    least: int = 48,
) -> Exhibit:
    """The data of an explorer from a store, or from patches alone; arguments as of `explore`.

    Returns:
        The exhibit, from which sliders and figures are drawn.

    Raises:
        UserError: The codes do not fit the patches, or there is neither network nor store.
    """
    options = {}
    if isinstance(data, ActivationStore):
        photograph = data.samples["photograph"] if photograph is None else photograph
        made = data.root.attrs.get("settings", {})
        options = {name: made[name] for name in ("blur", "window") if name in made}
        if model is None:
            options |= {"orbits": orbits_of(data), "drawn": made["pictures"] == "drawn"}
        data = data.patches
    return Exhibit(model, layer, crosscoder, data, report, codes, photograph, least, **options)
