"""A crosscoder whose features fire in blocks of several."""

from __future__ import annotations

import torch

from gc_utils.crosscoder.untied import GroupCrosscoder
from gc_utils.ranks import ALONE, Ranks


class BlockCrosscoder(GroupCrosscoder):
    """Features are subspaces of a few dimensions, on or off as a whole; codes have either sign.

    As the block-sparse featurizers of arXiv 2606.25234: `k` blocks a sample, ranked by the norm of
    what they add.
    """

    width = 2

    def _by_block(self, pre: torch.Tensor) -> torch.Tensor:
        """What each block adds, roughly: the norm of its codes times its vectors' lengths."""
        return (pre * self.norms).unflatten(1, (-1, self.width)).norm(dim=2)

    def strongest(
        self,
        pre: torch.Tensor,
        k: int,
        *,
        per_batch: bool = False,
        together: Ranks = ALONE,
        samples: int | None = None,
    ) -> torch.Tensor:
        score, samples = self._by_block(pre).detach(), samples or len(pre)
        most = together.largest_share(samples) * score.shape[1]
        kept = together.largest(score.flatten(), k * samples, most)
        mask = torch.zeros_like(score).flatten().index_fill_(0, kept, 1).view_as(score)
        return pre * mask.repeat_interleave(self.width, 1)

    def encode(self, A: torch.Tensor) -> torch.Tensor:
        pre = self.pre_activations(self.normalised(A))
        return pre * (self._by_block(pre) >= self.threshold).repeat_interleave(self.width, 1)

    def calibrate(self, A: torch.Tensor, batch: int = 1024) -> None:
        with torch.no_grad():
            score = self._by_block(self.pre_activations(self.normalised(A))).flatten()
            self.threshold.copy_(score.topk(self.config.k * len(A)).values[-1])
