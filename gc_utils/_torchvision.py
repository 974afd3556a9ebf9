"""Import torchvision also where its compiled operators do not load.

The wheel on the package index is built against the CUDA build of torch. Beside a CPU build its
operators are missing and `import torchvision` stops at a registration for `torchvision::nms`;
declaring the two names first is enough for everything that we use (models, feature extraction,
transforms).
"""

from __future__ import annotations

import sys

import torch

try:
    import torchvision
except RuntimeError as error:
    if "torchvision::nms does not exist" not in str(error):
        raise
    for name in [n for n in sys.modules if n.split(".")[0] == "torchvision"]:
        del sys.modules[name]  # the failed import leaves half-made modules behind
    # The library must outlive this module's execution, or its declarations are withdrawn.
    _library = torch.library.Library("torchvision", "DEF")
    _library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import torchvision

import torchvision.models.feature_extraction  # noqa: E402  (only now does it import)
import torchvision.transforms.v2  # noqa: E402

__all__ = ["torchvision"]
