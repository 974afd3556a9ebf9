"""*On the Symmetries of Deep Learning Models* (Godfrey et al. 2022), notebook 08."""

from gc_utils.studies.intertwiners.activation_basis import (
    best_auc,
    compare_bases,
    relu_member,
    selectivity,
)
from gc_utils.studies.intertwiners.members import (
    KINDS,
    TABLE,
    best_phi,
    misses,
    near_member,
    sample_member,
    solve,
)
from gc_utils.studies.intertwiners.networks import (
    HIDDEN,
    SmallNet,
    accuracy,
    read_widths,
    train_net,
)
from gc_utils.studies.intertwiners.similarity import (
    MEASURES,
    layer_samples,
    linear_cka,
    max_similarity,
    procrustes_orthogonal,
    procrustes_positive,
    similarities,
)
from gc_utils.studies.intertwiners.stitching import Seam, sinkhorn
from gc_utils.studies.intertwiners.unit_actions import layer_answers, negated, unit_actions
from gc_utils.studies.intertwiners.weight_symmetry import (
    act_on,
    function_change,
    once,
    streams,
    table,
)

__all__ = [
    "HIDDEN",
    "KINDS",
    "MEASURES",
    "Seam",
    "SmallNet",
    "TABLE",
    "accuracy",
    "act_on",
    "best_auc",
    "best_phi",
    "compare_bases",
    "function_change",
    "layer_answers",
    "layer_samples",
    "linear_cka",
    "max_similarity",
    "misses",
    "near_member",
    "negated",
    "once",
    "procrustes_orthogonal",
    "procrustes_positive",
    "read_widths",
    "relu_member",
    "sample_member",
    "selectivity",
    "similarities",
    "sinkhorn",
    "solve",
    "streams",
    "table",
    "train_net",
    "unit_actions",
]
