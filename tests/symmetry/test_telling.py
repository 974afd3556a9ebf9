"""The features that are shown as examples, and how many of their kind behave alike."""

import math

import pandas as pd
import pytest

from gc_utils.symmetry import (
    clearest,
    half_turn_grades,
    of_their_kind,
    repeats_after_half_turn,
)
from gc_utils.symmetry.telling import CURVE, GRATING, INVARIANT, LINE


def telling(**changes):
    """Four active lines that repeat after 180°, all as good, but for the changes."""
    columns = {
        "feature": [0, 1, 2, 3],
        "label": "line",
        "stabiliser": "C2",
        "period_degrees": 180.0,
        "margin": 3.0,
        "fires_on": 0.1,
        "reproducibility": 0.8,
        "confidence": 0.8,
        "corrected_rho": [0.95] * 4,
    }
    return pd.DataFrame(columns | changes)


def measured(rho, half=0.05, **changes):
    """The same with noise-corrected values after 180° and intervals of equal width."""
    rho = pd.Series(rho, dtype=float)
    ends = {"rho_180": rho, "rho_180_low": rho - half, "rho_180_high": rho + half}
    return telling(**(ends | {"corrected_rho": rho.notna().where(rho.notna())} | changes))


@pytest.mark.parametrize(
    "changes, best",
    [
        ({"reproducibility": [0.7, 0.8, 0.9, 0.6]}, 2),
        ({"confidence": [0.7, 0.8, 0.9, 0.95]}, 3),
        ({"margin": [2.0, 5.0, 4.0, math.inf]}, 1),  # infinite: responds to hardly anything
        ({"fires_on": [0.0, 0.0, 0.1, 0.001]}, 2),
        # A name by the raw ρ gives way to any that follows the corrected one.
        (
            {
                "reproducibility": [0.99, 0.5, 0.4, 0.99],
                "corrected_rho": [math.nan, 1, 1, math.nan],
            },
            1,
        ),
        ({"corrected_rho": math.nan, "reproducibility": [0.7, 0.9, 0.8, 0.6]}, 1),
        # Reproducibility goes before the confidence of the name and the margin.
        ({"reproducibility": [0.9, 0.8, 0.8, 0.8], "confidence": [0.1, 1, 1, 1]}, 0),
    ],
)
def test_the_telling_features_are_those_that_most_speaks_for(changes, best):
    assert clearest(telling(**changes)) == {LINE: best}


def test_a_kind_without_a_feature_is_left_out():
    assert clearest(telling(period_degrees=360.0)) == {}
    assert clearest(telling(stabiliser="G", period_degrees=22.5))[INVARIANT] == 0


def test_a_line_repeats_by_its_noise_corrected_value_and_not_by_its_name():
    # The first has the name alone, the second the value alone, the third the value in doubt.
    report = measured([0.5, 1.0, 0.9, 0.2], reproducibility=[0.9, 0.7, 0.8, 0.9])
    report.loc[1:2, ["stabiliser", "period_degrees"]] = ["D1@0", 360.0]
    assert repeats_after_half_turn(report).tolist() == [False, True, True, False]
    assert clearest(report) == {LINE: 1}
    assert of_their_kind(report)[LINE] == "2 of 4 lines repeat after 180°"


def test_a_curve_is_not_preferred_because_its_value_is_lower():
    changes = {"label": "curve", "stabiliser": "D1@0", "period_degrees": 360.0}
    low = measured([-0.4, 0.3, 0.0, 0.88], reproducibility=[0.7, 0.9, 0.8, 0.95], **changes)
    assert clearest(low) == {CURVE: 1}  # surely below 0.9; the last is not


def test_a_value_that_is_not_known_comes_last_and_is_counted_by_its_name():
    report = measured([math.nan, 0.95, 0.2, math.nan], reproducibility=[0.99, 0.5, 0.9, 0.99])
    report.loc[3, "label"] = "grating"
    assert clearest(report) == {LINE: 1, GRATING: 3}
    assert of_their_kind(report) == {
        INVARIANT: "0 of 4 features are invariant",
        LINE: "2 of 3 lines repeat after 180° (1 of 2 by noise-corrected values)",
        GRATING: "1 of 1 gratings repeat after 180° (0 of 0 by noise-corrected values)",
    }


def test_an_invariant_feature_with_a_label_goes_first():
    report = telling(stabiliser="G", period_degrees=22.5, label=["other", "circle", "line", "line"])
    report["reproducibility"] = [0.99, 0.8, 0.7, 0.6]
    assert clearest(report) == {INVARIANT: 1}
    report["corrected_low"], report["corrected_high"] = 0.85, 1.05
    report["corrected_rho"] = [0.99, 0.9, 0.99, 0.99]  # half in doubt
    assert clearest(report) == {INVARIANT: 2}


@pytest.mark.parametrize(
    ("low", "high", "grades"),
    [
        (-0.2, 0.49, ["no"]),
        (0.5, 0.89, ["in part"]),
        (0.9, 1.1, ["yes"]),
        (0.4, 0.5, ["no", "in part"]),
        (0.8, 0.9, ["in part", "yes"]),
        (0.1, 1.3, ["no", "in part", "yes"]),
        (float("nan"), 1.0, []),
        (0.1, float("nan"), []),
    ],
)
def test_a_half_turn_is_graded_as_far_as_its_interval_says(low, high, grades):
    assert list(half_turn_grades(low, high)) == grades
