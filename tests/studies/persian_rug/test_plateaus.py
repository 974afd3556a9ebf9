"""When a loss curve is on the plateau, and what tables say of plateaus."""

import numpy as np
import pandas as pd
import pytest

from gc_utils.studies import persian_rug as pr


def curve(*losses, steps=None):
    steps = steps or [100 * (i + 1) for i in range(len(losses))]
    return pd.DataFrame({"step": steps, "loss": losses})


def test_a_curve_that_leaves_the_plateau():
    found = pr.plateau(curve(3.0, 1.049, 0.97, 0.94, 0.4), 1.0)
    assert (found.first, found.last, found.left, found.fate) == (200, 300, True, "left")
    assert found.end == pytest.approx(-0.6)
    assert pr.plateau(curve(1.0, 1.2), 1.0).fate == "left"  # upwards, too
    assert pr.plateau(curve(6.0, 2.08, 1.92, 0.8), 2.0).last == 300  # relative to the closed form
    again = pr.plateau(curve(1.0, 0.9, 1.0, 0.9), 1.0)
    assert (again.first, again.last) == (100, 300)


def test_a_curve_that_does_not():
    found = pr.plateau(curve(3.0, 1.0, 0.96), 1.0)
    assert (found.first, found.last, found.left, found.fate) == (200, 300, False, "still on it")
    assert pr.plateau(curve(3.0, 1.0, steps=[10, 43_999]), 1.0).fate == "still on it"
    assert pr.plateau(curve(3.0, 1.0, steps=[10, 44_000]), 1.0).fate == "stayed"
    above = pr.plateau(curve(3.0, 1.06), 1.0)
    assert (above.first, above.last, above.left, above.fate) == (None, None, False, "not yet")
    assert pr.plateau(curve(3.0, 0.94), 1.0).fate == "passed by"
    assert pr.plateau(curve(3.0, 0.94), 1.0, within=0.1).fate == "still on it"


def test_a_plateau_is_described_by_its_weights():
    history = curve(3.0, 1.0, 0.98, 0.5)
    history = history.assign(foreseen=[9.0, 1.03, 0.98 * 0.95, 2.0], paired=[0.0, 0.1, 0.2, 0.9])
    row = pr.describe_plateau(history, 1.0)
    assert row["rows off on it"] == pytest.approx(0.04)  # of 3 % and 5 %
    assert row["paired at last"] == 0.2 and row["paired in the end"] == 0.9
    assert row["fate"] == "left" and row["last"] == 300
    never = pr.describe_plateau(history, 100.0)
    assert np.isnan(never["rows off on it"]) and np.isnan(never["paired at last"])


def models(*rows, r=0.5, p=0.1, training="one"):
    table = pd.DataFrame(rows, columns=["entries", "last", "fate"])
    return table.assign(r=r, p=p, training=training)


@pytest.mark.parametrize(
    ("rows", "grows"),
    [
        ([(128, 100, "left"), (256, 300, "left")], True),
        ([(256, 300, "left"), (128, 100, "left")], True),  # in any order
        ([(128, 300, "left"), (256, 100, "left")], False),
        ([(128, 100, "left"), (256, 100, "left")], False),
        ([(128, 100, "left"), (256, 300, "left"), (512, 200, "left")], False),
        ([(128, 100, "left"), (256, 300, "still on it")], True),
        ([(128, 100, "left"), (256, 50, "still on it")], None),  # a bound that says nothing
        ([(128, 100, "still on it"), (256, 300, "left")], None),
        ([(128, 100, "left"), (256, np.nan, "passed by")], None),
        ([(128, 100, "left")], None),
        ([], None),
    ],
)
def test_whether_plateaus_lengthen(rows, grows):
    assert pr.lengthens(models(*rows)) is grows


def test_only_models_of_the_same_kind_are_compared():
    short, long = [(128, 100, "left")], [(256, 300, "left")]
    for other in ({"p": 0.2}, {"r": 0.25}, {"training": "another"}):
        assert pr.lengthens(pd.concat([models(*short), models(*long, **other)])) is None
    shorter = models((128, 300, "left"), (256, 100, "left"), p=0.2)
    assert pr.lengthens(pd.concat([models(*short, *long), shorter])) is False


def test_large_models_are_the_largest_whose_fate_is_known():
    fates = [(128, 1, "left"), (256, 1, "stayed"), (256, None, "passed by"), (512, 1, "left")]
    assert list(pr.largest_decided(models(*fates)).entries) == [512]
    assert len(pr.largest_decided(models(*fates[:3]))) == 2
    open_ = [(512, 1, "still on it"), (1024, None, "not yet")]
    assert list(pr.largest_decided(models(*fates[:1], *open_)).entries) == [128]
    assert pr.largest_decided(models(*open_)).empty


def test_sizes_are_compared_at_one_r_and_p():
    one = models((256, 300, "left"), (128, 100, "left"))
    many = models(
        (512, 9, "left"), (128, 9, "left"), (256, 9, "left"), (64, None, "not yet"), p=0.2
    )
    assert list(pr.sizes_compared(pd.concat([one, many])).entries) == [128, 256, 512]
    assert pr.sizes_compared(many[many["last"].isna()]).empty
