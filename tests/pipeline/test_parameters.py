"""Parameters: read as their types, refused before anything runs."""

from __future__ import annotations

import os
import re
import urllib.error
import urllib.request

import pytest

from gc_utils.errors import UserError
from gc_utils.pipeline.notebooks import Parameter, find_notebooks
from gc_utils.pipeline.parameters import check_values, convert, parameter_values
from gc_utils.pipeline.runner import run


@pytest.mark.parametrize(
    ("default", "text", "value"),
    [
        (3, "5", 5),
        (0.5, "1", 1.0),
        (0.5, "1e-3", 0.001),
        ("D4", "D8", "D8"),
        ("", "12", "12"),
        (True, "no", False),
        (False, "True", True),
        ([1, 2], "3,4", [3, 4]),
        ([1.0], "[1, 2.5]", [1.0, 2.5]),
        ((1, 2), "3", (3,)),
        (None, "7", 7),
        (None, "text", "text"),
    ],
)
def test_a_text_is_read_as_the_type_of_the_default(default, text, value):
    result = convert("p", text, default)
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize(
    ("default", "given", "expected"),
    [
        (3, "1.5", "a whole number"),
        (3, "many", "a whole number"),
        (3, True, "a whole number"),
        (0.5, "half", "a number"),
        (True, "2", "true or false"),
        ([1], "a,b", "a list"),
        ("D4", 4, "a text"),
    ],
)
def test_a_value_of_another_type_is_refused(default, given, expected):
    with pytest.raises(UserError, match=f"'steps' takes {expected}.*default.*{given}"):
        convert("steps", given, default)


def test_each_notebook_is_told_what_it_declares(story):
    found = find_notebooks("notebooks")
    told = parameter_values(found, "demo", {"k": "9"})
    assert told == {"01_first": {"seed": 0, "k": 9}, "02_second": {"seed": 0}}


def test_what_is_read_from_a_notebook(story):
    first = find_notebooks("notebooks")[0]
    assert (first.number, first.title, first.lead) == ("01", "What is there?", "A first paragraph.")
    assert first.parameters["k"] == Parameter(3, "how many")


def test_paths_are_those_of_the_folder_where_the_command_was_typed(make_notebook, tmp_path):
    make_notebook("01_a", 'images = "photos"  # which\nweights_file = ""  # a copy')
    os.chdir(tmp_path)
    found = find_notebooks("notebooks")
    given = {"images": "folder:my+pictures+scenes:4", "weights_file": "w.pth"}
    told = parameter_values(found, "demo", given)["01_a"]
    assert told["images"] == f"folder:{tmp_path}/my+pictures+scenes:4"
    assert told["weights_file"] == f"{tmp_path}/w.pth"
    for spec, path in {"imagenet_samples": "", "imagenet_samples:in": f":{tmp_path}/in"}.items():
        told = parameter_values(found, "demo", {"images": f"scenes:4+{spec}"})["01_a"]
        assert told["images"] == f"scenes:4+imagenet_samples{path}"


EXPLAINED = {"model": "inceptionv1", "weights": "random"}
OWN_PICTURES = EXPLAINED | {"concept_pictures": "photos", "class_pictures": "scenes:2"}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"group": "E8"}, "E8"),
        ({"images": "photo"}, "did you mean 'photos'"),
        ({"images": "folder:nowhere"}, "does not exist"),
        (
            {"model": "inceptionv1", "weights": "random", "layer": "mixd3b"},
            "did you mean 'mixed3b'",
        ),
        ({"model": "inceptionv2"}, "did you mean 'inceptionv1'"),
        ({"model": "inceptionv1", "weights": "dmo"}, "did you mean 'demo'"),
        ({"weights": "inception5h", "weights_file": "/nowhere.pth", "layer": "mixed3b"}, "nowhere"),
        ({"task": "mnist"}, "unknown task 'mnist': expected digits"),
        ({"widths": "16 x"}, "widths '16 x': expected whole numbers"),
        ({"size": "big"}, "unknown size 'big'. Choices: small, full"),
        ({"entries": 600}, "'entries' is 600: expected a power of two"),
        ({"entries": 256}, "'entries' is 256: expected 512 to 65,536"),
        ({"net_pairs": 0}, "'net_pairs' is 0: expected 1 to 1,000"),
        ({"examples": 1}, "'examples' is 1: expected 5 to 10,000"),
        (EXPLAINED | {"explained_layer": "mixed5b"}, "fewer than 3x3 units"),
        (EXPLAINED | {"explained_layer": "mixed3a mixed3b"}, "mixed3a mixed3b"),
        (EXPLAINED | {"class_pictures": "photos"}, "'class_pictures' is given alone"),
        (OWN_PICTURES | {"weights": "demo"}, "needs the logits"),
        (OWN_PICTURES | {"class_number": 5000}, "'class_number' is 5000: expected 0 to 1,007"),
        (OWN_PICTURES | {"logits_layer": "mixed3a_3x3"}, "and no branch"),
        (OWN_PICTURES | {"concept_pictures": "folder:nowhere"}, "does not exist"),
    ],
)
def test_names_are_looked_up_before_anything_runs(values, said):
    with pytest.raises(UserError, match=re.escape(said)):
        check_values(values)


def test_weights_in_parts_are_fetched_as_far_as_the_layer_before_anything_runs(
    tmp_path, monkeypatch
):
    def offline(address, **options):
        raise urllib.error.URLError(f"no network for {address}")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(urllib.request, "urlopen", offline)
    values = {"weights": "bvlc_googlenet", "images": "photos"}
    check_values(values)  # nothing says how much of them is needed
    for layers in (
        {"layer": "mixed3b"},
        {"model": "inceptionv1", "study_layers": "conv2d0 mixed3a"},
    ):
        with pytest.raises(UserError, match="cannot download .*conv1/7x7_s2_filter.bin"):
            check_values(values | layers)
    folder = {"weights_file": str(tmp_path), "layer": "mixed3b"}
    with pytest.raises(UserError, match="there is no 'conv1/7x7_s2_filter.bin'"):
        check_values(values | folder)
    assert not (tmp_path / "torch").exists()


def test_images_smaller_than_a_receptive_field_are_found_before_anything_runs(tmp_path):
    from PIL import Image

    Image.new("RGB", (40, 300)).save(tmp_path / "small.png")
    with pytest.raises(UserError, match="40x300"):
        check_values({"images": f"folder:{tmp_path}", "weights": "random", "layer": "mixed3b"})


def test_too_few_photographs_are_found_before_anything_runs(tmp_path):
    from PIL import Image

    spec = f"folder:{tmp_path}"
    Image.new("RGB", (99, 99), "red").save(tmp_path / "a.png")
    Image.new("RGB", (99, 99), "red").save(tmp_path / "b.jpg", "png")  # the same picture
    with pytest.raises(UserError, match="'images'.*1 images.*at least 2 photographs"):
        check_values({"images": spec})
    Image.new("RGB", (99, 99), "blue").save(tmp_path / "c.png")
    check_values({"images": spec, "turned_crops": 1, "limit": 0})  # some are drawn
    with pytest.raises(UserError, match="at least 2 photographs"):
        check_values({"images": spec, "limit": 1})


def test_the_folder_of_a_data_set_is_where_the_command_was_typed(make_notebook, tmp_path):
    make_notebook("08_a", 'task = "digits"  # which')
    os.chdir(tmp_path)
    found = find_notebooks("notebooks")
    for given, told in {"cifar10:data": f"cifar10:{tmp_path}/data", "digits": "digits"}.items():
        assert parameter_values(found, "demo", {"task": given})["08_a"]["task"] == told


def test_paper_asks_for_its_images(make_notebook, tmp_path, monkeypatch):
    make_notebook("01_a", 'images = "photos"  # which')
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="'paper' leaves images to you"):
        run("paper", notebooks="notebooks")
