"""Which group element maps one feature to another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from gc_utils.errors import UserError
from gc_utils.families.distance import check_blocks, orbit_distance
from gc_utils.groups import Group


def family_elements(
    V: torch.Tensor, group: Group | str, labels: Sequence[int], *, chunk: int | None = None
) -> pd.DataFrame:
    """For every pair of features in a family, the element that maps one to the other.

    Args:
        V: transform blocks `(m, |G|, C)`.
        group: the group, or its name.
        labels: family of each feature `(m,)`, such as `cluster(D).labels`; missing values and
            families of one have no rows.
        chunk: features at a time, see `orbit_distance`.

    Returns:
        One row a pair `feature < other`: `family`, `feature`, `other`, `element` (index `h` with
        `V_feature ≈ R_h V_other`; the inverse maps back), `name`, `angle` (degrees of its rotation
        part), `mirrored`, `distance` (orbit distance).

    Raises:
        UserError: if the lengths differ.
    """
    V, group = check_blocks(V, group)
    families = pd.Series(list(labels))
    if len(families) != len(V):
        raise UserError(f"{len(families)} labels for {len(V)} features: expected one a feature.")
    found = []
    for family, members in families.groupby(families):
        members = np.array(members.index)
        if len(members) < 2:
            continue
        distance, element = orbit_distance(V[members], group, chunk=chunk, return_element=True)
        first, second = np.triu_indices(len(members), 1)
        h = element.cpu().numpy()[first, second]
        found.append(
            pd.DataFrame(
                {
                    "family": family,
                    "feature": members[first],
                    "other": members[second],
                    "element": h,
                    "name": np.array(group.names)[h],
                    "angle": group.angles.numpy()[h],
                    "mirrored": group.mirrored.numpy()[h],
                    "distance": distance.cpu().numpy()[first, second],
                }
            )
        )
    columns = ["family", "feature", "other", "element", "name", "angle", "mirrored", "distance"]
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=columns)
