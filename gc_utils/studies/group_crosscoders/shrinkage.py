"""Short transform blocks: does the data ask for them, or did the sparsity penalty shrink them?"""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import torch

from gc_utils.crosscoder import GroupCrosscoder
from gc_utils.symmetry import latent_scaling, norm_profile

LEAST_FIRED = 20  # samples that a feature must fire on for its scale to be estimated


@torch.no_grad()
def block_shrinkage(coders: Mapping[str, GroupCrosscoder], A: torch.Tensor) -> pd.DataFrame:
    """Latent scaling and norm ratio of several crosscoders' blocks.

    Args:
        coders: The crosscoders by name.
        A: Orbit activations, `(N, |G|, C)`.

    Returns:
        A column a crosscoder and the rows "features judged" (that fire on 20 samples or more and
        have no vanishing block), "median stretch" (1: the length that the data ask for) and
        "shortest block / longest, median".
    """
    found = {}
    for name, coder in coders.items():
        codes, V = coder.encode(A), coder.V.detach()
        beta = latent_scaling(A, codes, V, bias=coder.b_dec.detach())
        norms = norm_profile(V)
        on = torch.isfinite(beta).all(1) & ((codes > 0).sum(0) >= LEAST_FIRED)
        ratio = norms[on].amin(1) / norms[on].amax(1)
        found[name] = {
            "features judged": int(on.sum()),
            "median stretch": round(float(beta[on].median()), 3),
            "shortest block / longest, median": round(float(ratio.median()), 3),
        }
    return pd.DataFrame(found)
