"""Stimuli turned by the group are the stimuli drawn at those orientations, and features say so."""

import numpy as np
import pytest
import torch

from gc_utils.crosscoder import GroupCrosscoder
from gc_utils.groups import group
from gc_utils.images import disc, draw, image_orbit
from gc_utils.inspection import stimulus_orbits, stimulus_responses
from gc_utils.models import load_model

G = "D8"


@pytest.fixture(scope="module")
def model():
    return load_model("filter_bank", group=G)


@pytest.fixture(scope="module")
def stimuli(model):
    return stimulus_orbits(model, "filters", group(G))


def test_orientation_in_the_table_is_the_one_seen(stimuli, model):
    size, g = model.crop_size("filters"), group(G)
    inside = disc(size) > 0.99
    for kind, parameters in (("line", {}), ("edge", {}), ("curve", {"radius": 12.0})):
        drawn = draw(kind, size, orientation=0.0, **parameters)
        for turned, angle, mirrored in zip(
            image_orbit(drawn, g, blur=0), g.angles, g.mirrored, strict=True
        ):
            at = float((180 if mirrored else 0) + angle)
            again = draw(kind, size, orientation=at, **parameters)
            assert ((turned - again) * inside).abs().max() < 0.05
    first = stimuli.table[stimuli.table.drawing == 0]
    assert list(first.element) == list(range(16))
    start = first.orientation.iloc[0]
    assert first.orientation.iloc[3] == pytest.approx((start + 135) % 360)
    assert first.orientation.iloc[8 + 1] == pytest.approx((180 - start + 45) % 360)


def test_a_response_is_the_answer_to_the_turned_drawing(stimuli, model):
    """One orbit of activations, read from another start, is the orbit of the turned drawing."""
    sae = GroupCrosscoder("C1", model.channels("filters"), model.channels("filters"), k=4)
    with torch.no_grad():
        sae.W_enc.copy_(torch.eye(model.channels("filters"))[:, None])
    responses = stimulus_responses(sae, stimuli, graded=True)
    assert responses.shape == (len(stimuli.table), model.channels("filters"))
    for row in (5, 77, 300):
        at = stimuli.table.iloc[row]
        turned = image_orbit(stimuli.images[int(at.drawing)], group(G))[int(at.element)]
        with torch.no_grad():
            expected = model.unit(turned[None], "filters")[0].relu()
        assert torch.allclose(responses[row], expected, atol=1e-4)


@pytest.mark.parametrize("encode_from", ["identity", "orbit"])
def test_a_crosscoder_reads_the_same_orbits(stimuli, encode_from):
    coder = GroupCrosscoder(G, stimuli.A.shape[2], 20, k=4, encode_from=encode_from)
    coder.normalise(stimuli.A)
    coder.calibrate(stimuli.A)
    for graded in (True, False):
        responses = stimulus_responses(coder, stimuli, graded=graded)
        assert responses.shape == (len(stimuli.table), 20)
        first = responses[:: group(G).order]  # the drawings as drawn
        pre = coder.pre_activations(coder.normalised(stimuli.A)).relu()
        assert torch.allclose(first, pre if graded else coder.encode(stimuli.A))


def test_odd_gabors_find_their_edges(stimuli, model):
    """The edge that an odd filter answers to most is bright where the filter is."""
    bank = model.network
    edges = np.flatnonzero(stimuli.table.kind == "edge")
    answers = stimuli.A[stimuli.table.drawing.tolist(), stimuli.table.element.tolist()]
    answers = answers[edges]
    at = stimuli.table.orientation.to_numpy()[edges]
    odd = [i for i, kind in enumerate(bank.kinds) if "odd" in kind]
    assert odd
    for i in odd:
        best = at[int(answers[:, i].argmax())]
        miss = (best - bank.orientations[i] + 180) % 360 - 180
        assert abs(miss) < 1e-6, (bank.kinds[i], bank.orientations[i], best)
    assert np.isfinite(at).all()
