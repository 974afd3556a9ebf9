"""The group crosscoder: the dictionary, its training, its metrics."""

from gc_utils.crosscoder.base import Crosscoder
from gc_utils.crosscoder.baselines import pca_baseline, ridge_baseline
from gc_utils.crosscoder.batches import Rows, ShuffledBatches
from gc_utils.crosscoder.block_sparse import BlockCrosscoder
from gc_utils.crosscoder.fitting import fit
from gc_utils.crosscoder.metrics import Metrics, evaluate, fvu
from gc_utils.crosscoder.refinement import DictionaryLearner, RefineConfig, fit_refined, refine
from gc_utils.crosscoder.sparse_codes import sparse_codes
from gc_utils.crosscoder.tied import MERGED, TiedCrosscoder, parse_families
from gc_utils.crosscoder.training import TrainConfig, Trainer, train
from gc_utils.crosscoder.untied import SPARSITY, GroupCrosscoder
from gc_utils.crosscoder.views import codes_of, views_for

__all__ = [
    "BlockCrosscoder",
    "Crosscoder",
    "DictionaryLearner",
    "GroupCrosscoder",
    "MERGED",
    "Metrics",
    "RefineConfig",
    "Rows",
    "SPARSITY",
    "ShuffledBatches",
    "TiedCrosscoder",
    "TrainConfig",
    "Trainer",
    "codes_of",
    "evaluate",
    "fit",
    "fit_refined",
    "fvu",
    "parse_families",
    "pca_baseline",
    "refine",
    "ridge_baseline",
    "sparse_codes",
    "train",
    "views_for",
]
