"""The project's records, one a notebook.

A further chapter is a notebook, a record here and, for what can be tested, a study.
"""

from __future__ import annotations

from gc_utils.pipeline import rules as r
from gc_utils.pipeline.record import Paper, Record
from gc_utils.pipeline.rules import Rule

GROUP_CROSSCODERS = Paper(
    "Group Crosscoders for Mechanistic Analysis of Symmetry", "2410.24184", "group_crosscoders"
)
NETWORK = {"model": r.MODEL, "weights": r.WEIGHTS, "weights_file": r.WEIGHTS_FILE}
TRAINING = {
    "features": r.FEATURES,
    "k": r.ACTIVE,
    "steps": r.COUNT,
    "batch_size": r.COUNT,
    "learning_rate": r.LEARNING_RATE,
    "device": r.DEVICE,
    "precision": r.PRECISION,
    "keep": Rule(over=0, most=1),
}

RECORDS = (
    Record(
        "01",
        makes=("activations.zarr",),
        paper=GROUP_CROSSCODERS,
        ours=("EX1",),
        rules=NETWORK
        | {
            "layer": r.LAYER,
            "group": r.GROUP,
            "images": r.IMAGES,
            "limit": r.COUNT_OR_NONE,
            "samples": r.COUNT,
            "window": r.WINDOW,
            "blur": Rule(least=0, most=32),
            "dtype": r.DTYPE,
            "seed": r.SEED,
        },
    ),
    Record(
        "02",
        needs=("01",),
        makes=("crosscoder.safetensors", "sae.safetensors", "*_per_picture.csv", "checkpoints/*"),
        paper=GROUP_CROSSCODERS,
        ours=("TR1", "TR2"),
        # The results published of the real network were trained on all numbers.
        presets={"smoke": {"folds": 2}, "real": {"folds": 2, "keep": 1.0}},
        rules=TRAINING
        | {
            "tied": r.TIED,
            "sparsity": r.SPARSITY,
            "l1": Rule(least=0, most=1000),
            "passes": r.FEW_OR_NONE,
            "folds": Rule(least=2, most=1000),
            "seed": r.SEED,
        },
    ),
    Record(
        "03",
        needs=("01", "02"),
        makes=("families.csv", "separation.csv"),
        paper=GROUP_CROSSCODERS,
        claims=("GC1", "GC2"),
        rules={
            "cut_rate": r.RATE,
            "ratio": Rule(least=1, most=1000),
            "seed": r.SEED,
        },
    ),
    Record(
        "04",
        needs=("01", "02", "03"),
        makes=("features.csv", "family_elements.csv", "half_turn.csv", "filter_bank.zarr")
        + ("checkpoints/*",),
        paper=GROUP_CROSSCODERS,
        claims=("GC3",),
        ours=("FB1", "FB2"),
        presets={"smoke": {"visualise_steps": 16, "bank_samples": 160, "bank_steps": 100}},
        rules={
            "rate": r.RATE,
            "visualise_steps": r.COUNT_OR_NONE,
            "bank_samples": r.COUNT_OR_NONE,
            "bank_steps": r.COUNT,
            "seed": r.SEED,
        },
    ),
    Record(
        "04b",
        makes=("ground_truth_*.csv",),  # and trials, which outlive a change of the notebook
        paper=GROUP_CROSSCODERS,
        ours=("GC4",),
        presets={"smoke": {"trial_seeds": 1, "trial_steps": 40}, "paper": {"size": "full"}},
        rules={
            "size": r.SIZE,
            "trial_seeds": r.FEW_OR_NONE,
            "trial_steps": r.COUNT,
            "workers": r.FEW,
            "seed": r.SEED,
        },
    ),
    Record(
        "04c",
        needs=("01", "02"),
        makes=("tied.csv", "equivariance/*.zarr", "checkpoints/*"),
        paper=GROUP_CROSSCODERS,
        ours=("TC1", "EQ1"),
        presets={
            "smoke": {"layer_samples": 60},
            # None larger than 02 trains.
            "real": {"layer_samples": 400, "sizes": [0.25, 0.5], "keep": 1.0},
        },
        rules=TRAINING
        | {
            "layers": r.LAYERS,
            "layer_samples": Rule(least=8, most=r.MILLIONS),
            "sizes": r.SIZES,
            "seed": r.SEED,
        },
    ),
    Record(
        "05",
        needs=("01", "02", "03", "04"),
        paper=GROUP_CROSSCODERS,
        rules={"feature": r.FEATURE},
    ),
    Record(
        "06",
        uses=("04",),
        makes=("missing_curves.csv", "hidden_curves.csv", "curve_tuning.csv", "double_curves.csv"),
        paper=Paper("The Missing Curve Detectors of InceptionV1", "2406.03662", "missing_curves"),
        claims=("MC1", "MC2"),
        presets={
            "smoke": {
                "positions": 1500,
                "sae_steps": 60,
                "resamples": 40,
                "visualise_steps": 16,
                "bank_seeds": 1,
            },
            "real": {"positions": 24_000, "sae_steps": 2000},
            "paper": {"positions": 200_000, "sae_steps": 40_000},
        },
        rules=NETWORK
        | {
            "images": r.IMAGES,
            "layer": r.LAYER,
            "study_layers": r.LAYERS,
            "positions": Rule(least=100, most=r.MILLIONS),
            "expansion": Rule(least=1, most=256),
            "sae_k": r.COUNT,
            "sae_steps": r.COUNT,
            "resamples": Rule(least=2, most=r.MILLIONS),
            "visualise_steps": r.COUNT_OR_NONE,
            "bank_seeds": r.FEW,
            "seed": r.SEED,
        },
    ),
    Record(
        "07",
        makes=(
            "tuning_methods.csv",
            "tuning_dimensions.csv",
            "gabor_bank.csv",
            "dimensions/*.zarr",
        ),
        paper=Paper(
            "Identifying and interpreting tuning dimensions in deep networks",
            "2011.03043",
            "tuning_dimensions",
        ),
        claims=("TD1", "TD2"),
        presets={
            "smoke": {
                "dimensions": 6,
                "orbits": 150,
                "patches_shown": 800,
                "trial_seeds": 1,
                "visualise_steps": 16,
            },
            "real": {"orbits": 400},
            "paper": {"orbits": 5000},
        },
        rules=NETWORK
        | {
            "images": r.IMAGES,
            "group": r.GROUP,
            "layer": r.LAYER,
            "dimension_layers": r.LAYERS,
            "dimensions": Rule(least=2, most=10_000),
            "method": r.METHOD,
            "orbits": Rule(least=100, most=r.MILLIONS),
            "patches_shown": Rule(least=100, most=r.MILLIONS),
            "bank_dimensions": Rule(least=2, most=10_000),
            "trial_seeds": r.FEW_OR_NONE,
            "visualise_steps": r.COUNT_OR_NONE,
            "seed": r.SEED,
        },
    ),
    Record(
        "08",
        makes=("intertwiner_*.csv", "intertwiners/*.zarr"),
        paper=Paper("On the Symmetries of Deep Learning Models", "2205.14258", "intertwiners"),
        claims=("IG1", "IG2", "IG3", "IG4"),
        ours=("IG5",),
        own_networks=("IG2", "IG3"),
        presets={
            "smoke": {
                "turned_crops": 100,
                "widths": "8 16",
                "net_pairs": 2,
                "net_epochs": 8,
                "stitch_epochs": 1,
                "rotations": 2,
                "basis_rotations": 4,
                "control_nets": 2,
            },
            "real": {"turned_crops": 300},
            "paper": {"turned_crops": 5000},
        },
        rules=NETWORK
        | {
            "images": r.IMAGES,
            "group": r.GROUP,
            "layer": r.LAYER,
            "action_layers": r.LAYERS,
            "turned_crops": r.COUNT,
            "task": r.TASK,
            "widths": r.WIDTHS,
            "net_pairs": r.FEW,
            "net_epochs": r.COUNT,
            "stitch_epochs": r.COUNT,
            "rotations": r.FEW,
            "basis_rotations": r.FEW,
            "control_nets": r.FEW,
            "seed": r.SEED,
        },
    ),
    Record(
        "09",
        makes=("rug_*.csv",),  # and trainings in rugs/, which outlive a change of the notebook
        paper=Paper("The Persian Rug", "2410.12101", "persian_rug"),
        claims=("PR1", "PR2", "PR3", "PR4", "PR5"),
        presets={
            "smoke": {"entries": 512, "loss_samples": 2000, "train_steps": 300},
            "paper": {"size": "full"},
        },
        rules={
            "size": r.SIZE,
            "entries": r.ENTRIES,
            "loss_samples": Rule(least=100, most=r.MILLIONS),
            "train_steps": r.COUNT_OR_NONE,
            "workers": r.FEW,
            "seed": r.SEED,
        },
    ),
    Record(
        "10",
        makes=(
            "concept_*.csv",
            "concepts/*.zarr",
            "concepts/*.safetensors",
            "concepts/*.csv",
            "concepts/*.jsonl",
        ),
        paper=Paper(
            "Making Corgis Important for Honeycomb Classification", "2110.07120", "concept_attacks"
        ),
        claims=("CA1", "CA2", "CA3"),
        ours=("CT1", "CT2", "CT3"),
        presets={
            "smoke": {
                "head_pictures": 200,
                "examples": 5,
                "concept_runs": 2,
                "attack_steps": 2,
                "dictionary_samples": 200,
                "dictionary_steps": 40,
                "facet_starts": 2,
                "facet_steps": 6,
            },
            "paper": {"size": "full"},
        },
        rules=NETWORK
        | {
            "size": r.SIZE,
            "layer": r.LAYER,
            "explained_layer": r.EXPLAINED_LAYER,
            "logits_layer": r.LOGITS_LAYER,
            "images": r.IMAGES,
            "head_pictures": Rule(least=100, most=r.MILLIONS),
            "examples": Rule(least=5, most=10_000),
            "concept_runs": Rule(least=2, most=1000),
            "attack_steps": r.COUNT,
            "dictionary_samples": Rule(least=50, most=r.MILLIONS),
            "dictionary_steps": r.COUNT,
            "facet_starts": r.FEW,
            "facet_steps": r.COUNT,
            "concept_pictures": r.OWN_PICTURES,
            "class_pictures": r.OWN_PICTURES,
            "class_number": r.CLASS_NUMBER,
            "seed": r.SEED,
        },
    ),
)
