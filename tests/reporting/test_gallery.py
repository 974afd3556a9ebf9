"""The gallery: every feature's page data, and a page that a browser shows from disk."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from gc_utils.__main__ import main
from gc_utils.activations import ActivationStore
from gc_utils.crosscoder import GroupCrosscoder
from gc_utils.errors import UserError
from gc_utils.files import write_json
from gc_utils.groups import group, translate
from gc_utils.reporting import write_gallery
from gc_utils.symmetry import symmetry_report

TURN = 3  # the element that makes feature 1 of feature 0


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    """A run with 120 orbits and six features: 1 is 0 transformed, 2 is invariant, 5 never fires."""
    folder, draw = tmp_path_factory.mktemp("run"), torch.Generator().manual_seed(0)
    g = group("D4")
    V = torch.randn(6, 8, 12, generator=draw)
    V[1] = translate(V[:1], g, torch.tensor([TURN]))[0]
    V[2] = V[2, :1]
    codes = torch.rand(120, 6, generator=draw) * (torch.rand(120, 6, generator=draw) < 0.3)
    A = torch.einsum("nm,mgc->ngc", codes, V)
    images = np.repeat(np.arange(30), 4)
    ActivationStore.from_array(A.numpy(), "D4", folder / "activations.zarr", images=images)
    coder = GroupCrosscoder("D4", 12, 6, sparsity="l1", encode_from="orbit")
    with torch.no_grad():
        coder.V.copy_(V)
        coder.W_enc.copy_(torch.linalg.pinv(V.flatten(1)).T.view_as(V))
        coder.b_enc[5] = -100
    coder.save(folder / "crosscoder.safetensors")
    report = symmetry_report(
        V, "D4", labels=["curve", "curve", "texture", "other", "other", "line"]
    )
    report["family"] = [0, 0, -1, 1, 1, -1]
    report["confidence"], report["reproducibility"] = 0.8, np.linspace(0.5, 1, 6)
    report["rho_180"] = [0.1, 0.1, 1.02, np.nan, np.nan, np.nan]
    report["rho_180_low"], report["rho_180_high"] = report.rho_180 - 0.1, report.rho_180 + 0.1
    report["fires_on"] = 0.3
    report.to_csv(folder / "features.csv", index=False)
    write_json(folder / "run.json", {"preset": "demo", "parameters": {"group": "D4"}})
    write_gallery(folder, progress=False)
    return folder


@pytest.fixture
def entries(run_dir):
    return {
        int(path.stem): json.loads(path.read_text("utf-8"))
        for path in (run_dir / "gallery" / "features").glob("*.json")
    }


def test_every_feature_that_fires_has_its_numbers_and_its_patches(run_dir, entries):
    assert sorted(entries) == [0, 1, 2, 3, 4]
    text = (run_dir / "gallery" / "features.js").read_text("utf-8")
    data = json.loads(text.removeprefix("const GALLERY = ").rstrip(";\n"))
    assert data["features"] == [entries[i] for i in range(5)]
    assert data["group"]["n"] == 4 and data["group"]["mirrored"] == [False] * 4 + [True] * 4
    for i, entry in entries.items():
        with Image.open(run_dir / "gallery" / "strips" / f"{i}.jpg") as strip:
            assert strip.width == len(entry["strip"]) * strip.height
        at = entry["strongest"]
        assert entry["codes"][:at] == sorted(entry["codes"][:at], reverse=True)
        assert entry["codes"][at:] == sorted(entry["codes"][at:], reverse=True)
    assert entries[3]["rho_180"] is None and entries[2]["stabiliser"] == "G"


def test_what_is_measured_begins_at_the_code_and_what_the_blocks_predict_is_rho(entries):
    for entry in entries.values():
        turn = entry["turn"]
        assert turn["measured"][0] == turn["predicted"][0] == entry["codes"][0]
        assert len(turn["measured"]) == len(turn["predicted"]) == len(turn["profile"]) == 8
    invariant = entries[2]["turn"]
    np.testing.assert_allclose(invariant["measured"], invariant["measured"][0], rtol=0.01)
    np.testing.assert_allclose(invariant["predicted"], invariant["predicted"][0], rtol=0.01)
    assert min(entries[0]["turn"]["predicted"]) < 0.5 * entries[0]["codes"][0]


def test_relatives_are_named_with_the_element_that_maps_them(run_dir, entries):
    V = GroupCrosscoder.load(run_dir / "crosscoder.safetensors").V.detach()
    (member,) = entries[1]["members"]
    assert member["feature"] == 0 and member["similarity"] == pytest.approx(1, abs=0.01)
    moved = translate(V[:1], group("D4"), torch.tensor([member["element"]]))[0]
    torch.testing.assert_close(moved, V[1], rtol=1e-3, atol=1e-3)
    # Of a family one stands as it is, and the others are turned to agree with it.
    poses = [entries[i]["pose"] for i in (0, 1)]
    assert poses.count(0) == 1
    first = poses.index(0)
    moved = translate(V[1 - first][None], group("D4"), torch.tensor([max(poses)]))[0]
    torch.testing.assert_close(moved, V[first], rtol=1e-3, atol=1e-3)
    assert entries[2]["members"] == [] and entries[2]["pose"] == 0


def test_the_page_needs_nothing_from_elsewhere(run_dir):
    page = (run_dir / "gallery" / "index.html").read_text("utf-8")
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")
    assert '<script src="features.js">' in page


def test_a_gallery_is_replaced(run_dir, tmp_path):
    write_gallery(run_dir, tmp_path / "there", progress=False)
    (tmp_path / "there" / "strips" / "99.jpg").write_bytes(b"old")
    write_gallery(run_dir, tmp_path / "there", progress=False)
    assert sorted(p.stem for p in (tmp_path / "there" / "strips").iterdir()) == list("01234")


def test_what_is_missing_is_named(run_dir, tmp_path, capsys):
    write_json(tmp_path / "run.json", {"preset": "demo", "parameters": {}})
    with pytest.raises(UserError, match="no activations.zarr: run the notebook 01_extract first"):
        write_gallery(tmp_path)
    assert main(["gallery", str(tmp_path)]) == 2
    assert "no activations.zarr" in capsys.readouterr().err
    assert main(["gallery", str(run_dir), "--output", str(tmp_path / "out")]) == 0
    assert "out/index.html" in capsys.readouterr().out


@pytest.mark.browser
@pytest.mark.parametrize("width", [1400, 390])
def test_the_gallery_can_be_read_in_a_browser(run_dir, screenshot, width):
    page = run_dir / "gallery" / "index.html"
    with Image.open(screenshot(page, width)) as picture:
        pixels = np.asarray(picture.convert("L"), dtype=float)
    assert pixels.std() > 10
    assert np.ptp(pixels[:, -4:]) == 0
