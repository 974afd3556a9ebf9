"""The claims of Godfrey et al. 2022 and one of our own: findings from tables and numbers.

What the claims are looked at on:

- IG1 is about functions and any weights, analytic: `Evidence.KNOWN`.
- IG2 and IG3 are measured on small networks that are trained here (`task_evidence`).
- IG4 and IG5 are measured on the network that the notebook studies (`network_evidence`); the
  networks of Godfrey et al. are not among those that can be loaded, InceptionV1 is that of IG5.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import pandas as pd

from gc_utils.evidence import Claim, Evidence, Finding, network_evidence, verdict
from gc_utils.studies.intertwiners.members import KINDS
from gc_utils.studies.intertwiners.paper_measures import (
    GROUP_PROCRUSTES,
    LINEAR_CKA,
    MU_CKA,
    ORTHOGONAL_PROCRUSTES,
)
from gc_utils.studies.intertwiners.summaries import (
    STEPS,
    layers_hold,
    map_penalties,
    map_steps,
)

SOURCE = "Godfrey et al. 2022, arXiv 2205.14258"
GROUPS = Claim(
    "IG1",
    short="Each nonlinearity has a computable group that leaves networks' functions unchanged",
    claim="each nonlinearity has an intertwiner group that can be computed, and that leaves "
    "networks' functions as they are",
    words="These groups change the weights of a model in such a way that the underlying function "
    "that the model represents remains constant",
    source=SOURCE,
    figure="08_table",
)
STITCHING = Claim(
    "IG2",
    short="Stitching with members of the group works almost as well as any matrix",
    claim="stitching with maps from the intertwiner group works almost as well as with all "
    "linear maps",
    words="the symmetries of a network are propagated into the symmetries in that network's "
    "representation of data",
    source=SOURCE,
    figure="08_stitching",
)
SIMILARITY = Claim(
    "IG3",
    short="Similarity modulo the group sees what orthogonal measures do not",
    claim="measures of similarity modulo the group see what orthogonal ones do not",
    source=SOURCE,
    figure="08_similarity",
)
BASIS = Claim(
    "IG4",
    short="The group may justify reading ReLU networks in the basis of units",
    claim="the group may justify reading ReLU networks in the basis of units: rotating it costs "
    "interpretability",
    words="the intertwiner groups may provide a justification for the common practice of "
    "concentrating model interpretability exploration on the activation basis in hidden layers "
    "rather than arbitrary linear combinations thereof",
    source=SOURCE,
    figure="08_bases",
)
ROTATED_IMAGES = Claim(
    "IG5",
    short="Rotating the image acts on a layer as a member of its group",
    claim="rotating the image acts on a layer as a member of its intertwiner group does",
    source="ours",
    figure="08_turns",
)

EXACT = 1e-9  # relative error that members of the table's groups may have
NEAR = 1e-2  # relative error that matrices near a member must have
UNCHANGED = 1e-5  # change of an output, over the largest output, that counts as none
MARGIN = 0.05  # share of accuracy that counts as almost as well
LEAST_PAIRS = 3  # of networks, for an interval that means something
BLIND = 1e-3  # change of a rotation-invariant measure that counts as none
EXPLAINED = 0.9  # share of variance at which permutations count as the action of the group
# Of IG3: a measure modulo the group, and its counterpart that does not see rotations.
HALVES = {
    "Procrustes": (GROUP_PROCRUSTES, ORTHOGONAL_PROCRUSTES),
    "CKA": (MU_CKA, LINEAR_CKA),
}


def task_evidence(task: str) -> Evidence:
    """What claims about the small networks are looked at on.

    Args:
        task: The task that the networks are trained on, such as `"digits"` or `"cifar10:FOLDER"`.

    Returns:
        `PHOTOGRAPHS` for CIFAR-10, the paper's data: the paper's own networks are others, with
        more layers. `DEFAULT` for the digits, which come with the package.
    """
    return Evidence.PHOTOGRAPHS if task.split(":")[0] == "cifar10" else Evidence.DEFAULT


def groups(table: pd.DataFrame, changes: Mapping[str, pd.DataFrame]) -> Finding:
    """IG1 from the table of nonlinearities and from networks with changed weights.

    Args:
        table: Rows of `check_table`.
        changes: Name of the network → rows of `act_on_every_layer`.

    Returns:
        The finding; it cannot be asked without a nonlinearity or without a layer that may change.
    """
    allowed = {name: t[t.refused == ""].change for name, t in changes.items()}
    worst = {name: float(change.max()) for name, change in allowed.items() if len(change)}
    refused = [row for t in changes.values() for _, row in t[t.refused != ""].iterrows()]
    right = int((table["the solver says"] == table["the table says"]).sum())
    # No matrix is near a member of the group of all matrices without being a member.
    near = table["near-members miss by"][table["the table says"] != KINDS["all"]]
    value = {"groups that the solver names right": f"{right} of {len(table)}"}
    if len(near):
        value["members miss by at most"] = float(table["members miss by"].max())
        value["near-members at least"] = float(near.min())
    value |= {f"output of {name} changed by at most": most for name, most in worst.items()}
    value |= {
        f"by a permutation of {row.layer}, which is refused": f"{row.change:.1%}" for row in refused
    }
    if not len(near) or not worst:
        holds = None
        why = f"{len(near)} nonlinearities with other matrices near their group's members, "
        why += f"{len(worst)} networks with a layer that may change: nothing to compare"
    else:
        most = max(worst.values())
        holds = bool(
            right == len(table)
            and table["members miss by"].max() < EXACT
            and near.min() > NEAR
            and most < UNCHANGED
        )
        why = f"{right} of {len(table)} groups named correctly; members at "
        why += f"{sum(map(len, allowed.values()))} hidden layers change outputs by at most "
        why += f"{most:.1e} of the largest, {UNCHANGED:.0e} allowed"
    evidence = Evidence.KNOWN
    return Finding(GROUPS, value, verdict(holds, evidence), why, evidence=evidence)


def _doubt(accuracies: pd.DataFrame, classes: int) -> str:
    """Why networks that were trained here cannot be compared; empty if they can."""
    learnt = accuracies.accuracy.min() > 2 / classes
    if not learnt:
        return "some networks have not learnt the task"
    pairs = accuracies.groupby("width").pair.nunique().min()
    return "" if pairs >= LEAST_PAIRS else f"fewer than {LEAST_PAIRS} pairs of networks"


def stitching(stitched: pd.DataFrame, accuracies: pd.DataFrame, classes: int, task: str) -> Finding:
    """IG2 from the penalties of stitching.

    Args:
        stitched: Rows of `stitch_pairs`, penalties as shares of test images.
        accuracies: Rows of `accuracies`: of every network, by itself.
        classes: The number of classes of the task.
        task: The name of the task.

    Returns:
        The finding. It cannot be asked if a network has not learnt the task (twice the accuracy of
        chance), or with fewer than three pairs.
    """
    penalties, steps = map_penalties(stitched), map_steps(stitched)
    widths = sorted(stitched.width.unique())
    widest = widths[-1]
    few = stitched[stitched.width == widest].groupby(["map", "budget"]).penalty.mean()
    value = {
        f"points lost, width {w}, {name}": f"{100 * penalties.loc[w][name].mean():.1f}"
        for w in widths
        for name in ("full", "G_ReLU", "assignment", "identity")
    } | {
        f"points lost, width {widest}, {name}": f"{100 * few[key]:.1f}"
        for name, key in {"rank 4": ("rank", 4), "one entry a unit": ("sparse", 1)}.items()
        if key in few
    }
    doubt = _doubt(accuracies, classes)
    ordered = all(steps[w, step][1] > 0 for w in widths for step in STEPS)
    mean, low, high = (100 * v for v in steps[widest, "G_ReLU - full"])
    evidence = task_evidence(task)
    holds = None if doubt else bool(ordered and high <= 100 * MARGIN)
    said = f"at width {widest} a member loses {mean:.1f} [{low:.1f}, {high:.1f}] points more than "
    said += f"any matrix, {100 * MARGIN:.0f} allowed"
    order = "" if ordered else "; the order full, G_ReLU, identity fails at some width"
    why = f"{doubt}; {said}" if doubt else said + order
    return Finding(STITCHING, value, verdict(holds, evidence), why, evidence=evidence)


def half_holds(
    lost: Mapping[tuple[str, str], tuple[float, float, float]], half: tuple[str, str]
) -> bool:
    """Whether a measure modulo the group sees what its orthogonal counterpart does not.

    Args:
        lost: From `lost_by_rotation`, for trained and untrained networks.
        half: The measure and its counterpart, one of `HALVES`.

    Returns:
        Whether the measure loses something when units are rotated, and more than before training
        (intervals apart), and the counterpart nothing.
    """
    measure, counterpart = half
    sees = lost[measure, "trained"][1] > max(0, lost[measure, "untrained"][2])
    blind = max(abs(lost[counterpart, state][0]) for state in ("trained", "untrained"))
    return bool(sees and blind < BLIND)


def losses_table(lost: Mapping[tuple[str, str], tuple[float, float, float]]) -> pd.DataFrame:
    """What rotating units costs every measure, one row a measure, as the figure draws it.

    Args:
        lost: From `lost_by_rotation`, for trained and untrained networks.

    Returns:
        The loss in trained networks (`gain`, `low`, `high`), before training (`before`,
        `before low`, `before high`), and `holds`: of the measures modulo the group whether their
        half of IG3 holds, of others None.
    """
    halves = {half[0]: half for half in HALVES.values()}
    rows = {
        measure: [
            *lost[measure, "trained"],
            *lost[measure, "untrained"],
            half_holds(lost, halves[measure]) if measure in halves else None,
        ]
        for measure in dict.fromkeys(measure for measure, _ in lost)
    }
    ends = ["gain", "low", "high", "before", "before low", "before high"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=[*ends, "holds"], dtype=object)


def similarity(
    lost: Mapping[tuple[str, str], tuple[float, float, float]],
    accuracies: pd.DataFrame,
    classes: int,
    task: str,
) -> Finding:
    """IG3 from what measures lose when the units of one of two networks are rotated.

    Args:
        lost: From `lost_by_rotation`, for trained and untrained networks.
        accuracies: Rows of `accuracies`: of every trained network.
        classes: The number of classes of the task.
        task: The name of the task.

    Returns:
        The finding: both halves have to hold (`half_holds`), and the reason says which does. It
        cannot be asked in the same cases as `stitching`.
    """
    measures = list(dict.fromkeys(measure for measure, _ in lost))
    value = {
        f"{m}, {state}: {column}": f"{number:.3f}"
        for m in measures
        for state in ("trained", "untrained")
        for column, number in zip(
            ("lost when units are rotated", "low", "high"), lost[m, state], strict=True
        )
    }
    doubt = _doubt(accuracies, classes)
    evidence = task_evidence(task)
    held = {name: half_holds(lost, half) for name, half in HALVES.items()}
    said = []
    for name, (measure, _) in HALVES.items():
        trained, before = (lost[measure, state][0] for state in ("trained", "untrained"))
        word = "holds" if held[name] else "does not hold"
        said.append(f"{measure} {trained:.3f} (untrained {before:.3f}): {word}")
    why = f"{doubt}; " if doubt else ""
    why += f"rotating units costs {'; '.join(said)}"
    holds = None if doubt else all(held.values())
    return Finding(SIMILARITY, value, verdict(holds, evidence), why, evidence=evidence)


def basis(
    gains: pd.DataFrame, *, studied: str, untrained: str, last: str, model: str, weights: str
) -> Finding:
    """IG4 from how well units and rotated bases match concepts (network dissection).

    Args:
        gains: From `iou_gains`: of the network, the same before training, and small networks.
        studied: The network's title in the table.
        untrained: The title of such networks before training.
        last: The last layer that was looked at, which decides, as in IG5.
        model: The name of the model.
        weights: The name of its weights.

    Returns:
        The finding: in the last layer units have to match concepts of drawings and of photographs
        better than rotated bases, by more than before training (`layers_hold`).
    """
    value = {
        f"{network}, {layer}, {images}: {column}": float(row[column])
        for (network, layer, images), row in gains.iterrows()
        for column in ("units", "rotated", "gain", "low", "high")
        if math.isfinite(row[column])
    }
    evidence = network_evidence(model, weights, paper=None)
    if evidence is Evidence.UNTRAINED:
        why = "these weights are random: there is no training to compare with"
        return Finding(BASIS, value, verdict(None, evidence), why, evidence=evidence)
    table = layers_hold(gains, studied, untrained)
    known = bool(table.loc[last, ["gain", "before"]].notna().all(axis=None))
    holds = bool(table.loc[last, "holds"].all()) if known else None
    parts = [
        f"{images} in {_named(here[here].index.unique('layer'), len(here))}"
        for images, here in table.holds.groupby(level="images", sort=False)
    ]
    why = "units match concepts better than rotated bases, more than untrained: "
    why += f"{'; '.join(parts)}; {last} decides"
    if not known:
        why = f"the overlap with concepts is undefined in {last}"
    return Finding(BASIS, value, verdict(holds, evidence), why, evidence=evidence)


def _named(layers: pd.Index, count: int) -> str:
    """The names of some of `count` layers, or how many they are where names would be too many."""
    return f"{len(layers)} of {count} layers" if count > 3 else ", ".join(layers) or "no layer"


def rotated_images(by_map: pd.DataFrame, *, layers: list[str], model: str, weights: str) -> Finding:
    """IG5 from the variance that permutations with scales explain.

    Args:
        by_map: From `summarise_actions`, with the rows `filter bank` and `LAYER, after ReLU`.
        layers: The layers that were looked at; the last one decides.
        model: The name of the model.
        weights: The name of its weights.

    Returns:
        The finding; permutations have to explain 90 % of the variance. It cannot be asked if they
        do not in the filter bank either, where they are known to.
    """
    titles = ("filter bank", *(f"{layer}, after ReLU" for layer in layers))
    value = {
        f"{title}: {name}": float(by_map.loc[title, name])
        for title in titles
        for name in ("permutation", "linear")
        if math.isfinite(by_map.loc[title, name])
    }
    here, bank = by_map.loc[titles[-1]], by_map.loc["filter bank", "permutation"]
    evidence = network_evidence(model, weights)
    known = bool(bank >= EXPLAINED) and math.isfinite(here["permutation"])
    holds = bool(here["permutation"] >= EXPLAINED) if known else None
    why = f"permutations with scales explain {here['permutation']:.0%} of held-out variance in "
    why += f"{layers[-1]}, any matrix {here['linear']:.0%}, none {here['unchanged']:.0%}; filter "
    why += f"bank {bank:.0%}; {EXPLAINED:.0%} would count"
    return Finding(ROTATED_IMAGES, value, verdict(holds, evidence), why, evidence=evidence)


def closing(
    steps: Mapping[tuple[int, str], tuple[float, float, float]], by_map: pd.DataFrame, layer: str
) -> str:
    """Where the representations' symmetries come from, as far as this run can say.

    Args:
        steps: From `map_steps`.
        by_map: From `summarise_actions`.
        layer: The last layer that was looked at.

    Returns:
        One sentence.
    """
    widest = max(width for width, _ in steps)
    gained, short = (steps[widest, step][0] for step in STEPS)
    total = gained + short
    share = gained / total if total > 0 else float("nan")
    images = by_map.loc[f"{layer}, after ReLU", "permutation"]
    if not math.isfinite(share):
        first = "No map improves on leaving it out"
    else:
        most = "most" if share > 0.5 else "less than half"
        first = f"Members of ReLU's group recover {most} ({share:.0%})"
        first += f" of what any matrix recovers in stitching networks of width {widest}"
    return (
        f"{first}; permutations with scales explain {images:.0%} of what rotating the image does "
        f"to {layer}."
    )
