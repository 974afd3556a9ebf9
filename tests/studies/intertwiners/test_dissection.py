import numpy as np
import pytest
import torch

from gc_utils.activations import extract
from gc_utils.errors import UserError
from gc_utils.groups import group
from gc_utils.images import load_images
from gc_utils.images.stimuli import draw
from gc_utils.models import load_model
from gc_utils.studies import intertwiners as it


def test_the_overlap_with_concepts_by_hand():
    concepts = torch.zeros(10, 3, dtype=bool)
    concepts[:4, 0] = True  # four images
    concepts[2:6, 1] = True
    concepts[9, 2] = True  # too few
    responses = torch.zeros(10, 5)
    responses[:, 0] = torch.tensor([9, 8, 1, 1, 1, 1, 1, 1, 1, 1])  # on for 0 and 1
    responses[:, 1] = torch.tensor([0, 0, 0, 7, 0, 0, 0, 0, 0, 0])  # silent for all but one
    responses[:, 2] = -torch.arange(10)  # on for 0 and 1, at any offset and scale
    responses[:, 3] = torch.tensor([0, 0, 5, 0, 0, 0, 0, 0, 6, 0])  # 2 shows both concepts
    # column 4 is silent for all
    found = it.best_iou(responses, concepts, top=0.2)
    assert found.tolist() == pytest.approx([2 / 4, 1 / 4, 2 / 4, 1 / 5, 0])
    # A tie at the threshold leaves out all that tie.
    tied = torch.tensor([[3.0, 2, 2, 2, 0, 0, 0, 0, 0, 0]]).T
    assert it.best_iou(tied, concepts, top=0.2).item() == pytest.approx(1 / 4)
    # The rarer concept counts where it may: image 9 alone.
    only = torch.eye(10)[:, 9:]
    assert it.best_iou(only, concepts, top=0.1, least=1).item() == 1
    assert it.best_iou(only, concepts, top=0.1).item() == 0


def test_mistakes_are_named():
    concepts = torch.zeros(10, 1, dtype=bool)
    with pytest.raises(UserError, match="no concept is shown by 4"):
        it.best_iou(torch.rand(10, 2), concepts)
    with pytest.raises(UserError, match=r"top is 1\.0 of 10"):
        it.best_iou(torch.rand(10, 2), ~concepts, top=1.0)


def test_drawings_are_labelled_once_for_every_way_they_look():
    responses, labels = it.labelled_drawings(load_model("filter_bank", group="C8"), "filters")
    counts = dict(zip(*np.unique(labels, return_counts=True), strict=True))
    assert len(responses) == len(labels)
    assert {f"curve {k}" for k in range(0, 360, 45)} <= counts.keys()
    assert {name for name in counts if name.startswith("line")} == {
        "line 0",
        "line 45",
        "line 90",
        "line 135",
    }
    assert "circle" in counts and not any(name.startswith("circle ") for name in counts)
    assert counts["edge 90"] == 4 and not any("gradient" in name for name in counts)
    assert {name for name in counts if name.startswith("hatch")} == {"hatch 0", "hatch 45"}
    concepts = it.label_concepts(labels)
    assert concepts.shape == (len(labels), len(counts)) and (concepts.sum(1) == 1).all()


def test_concepts_are_read_off_pixels():
    bright = torch.stack([draw("edge", 41, orientation=a) for a in (0.0, 90.0, 225.0)])
    lines = torch.stack([draw("line", 41, orientation=a, width=4.0) for a in (0.0, 45.0, 90.0)])
    flat = torch.tensor([[0.5, 0.5, 0.5], [0.9, 0.1, 0.1], [0.1, 0.2, 0.9], [0.05, 0, 0]])
    flat = flat[:, :, None, None].expand(-1, -1, 41, 41)
    found = it.pixel_concepts(torch.cat([bright, lines, flat]))

    def named(row):
        return {name for name in found.columns if found.loc[row, name]} - {"grey", "white"}

    assert named(0) == {"bright to 0", "contour 90"}
    assert named(1) == {"bright to 90", "contour 0"}
    assert named(2) == {"bright to 225", "contour 135"}
    assert [named(row) for row in (3, 4, 5)] == [{"contour 0"}, {"contour 45"}, {"contour 90"}]
    assert named(6) == {"plain"} and found.loc[6, "grey"]
    assert named(7) == {"plain", "red"} and named(8) == {"plain", "blue"}
    assert named(9) == {"plain", "black"}


def test_concepts_of_crops_are_in_the_order_of_their_activations(tmp_path):
    model, images = load_model("inceptionv1", "demo"), load_images("scenes:4")
    store = extract(tmp_path / "a", model, "conv2d0", group("D2"), images, samples=5)
    size = model.crop_size("conv2d0")
    found = it.crop_concepts(store, images, {"all": size, "inner": 5}, progress=False)
    crops = torch.cat([store.crops(np.array([i]), images).flatten(0, 1) for i in range(5)])
    assert found["all"].equals(it.pixel_concepts(crops))
    inner = crops[..., (size - 5) // 2 : (size + 5) // 2, (size - 5) // 2 : (size + 5) // 2]
    assert found["inner"].equals(it.pixel_concepts(inner))
    assert len(found["all"]) == 5 * 4
