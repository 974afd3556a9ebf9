"""A person's files survive: through links, damaged records and names that a run might use."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from gc_utils.errors import UserError
from gc_utils.files import write_whole
from gc_utils.pipeline.manifest import Manifest
from gc_utils.pipeline.record import Record
from gc_utils.removal import delete, draft_beside
from gc_utils.reporting import gallery
from gc_utils.reporting.columns import read_manifest

CHAPTERS = [Record("01", makes=("a.zarr", "concepts/*.csv"))]
INPUTS = {"parameters": {}, "upstream": {}, "notebook": "", "code": {}}


def record(*outputs: str, **more) -> dict:
    made = {name: {"bytes": 1, "sha256": "0"} for name in outputs}
    return {"status": "done", "inputs": INPUTS, "outputs": made} | more


def a_run(folder: Path, one: dict, **top) -> Path:
    """A run folder in which notebook 01 has that record."""
    folder.mkdir(exist_ok=True)
    content = {"format": 1, "preset": "smoke", "parameters": {}, "notebooks": {"01_a": one}}
    (folder / "run.json").write_text(json.dumps(content | top), encoding="utf-8")
    return folder


@pytest.fixture
def precious(tmp_path) -> Path:
    """A folder of somebody's own, beside the run."""
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "precious.csv").write_text("x")
    return tmp_path / "own"


@pytest.mark.parametrize("product", ["concepts/precious.csv", "concepts/dir/precious.csv"])
def test_a_record_deletes_nothing_through_a_link(tmp_path, precious, product):
    run = a_run(tmp_path / "run", record(product))
    (run / "concepts").symlink_to("../own")
    with pytest.raises(UserError, match=f"names '{product}'.*concepts.* leads out of it"):
        Manifest(run, CHAPTERS)
    assert (precious / "precious.csv").exists()


def test_a_link_that_comes_later_is_looked_at_when_products_are_deleted(tmp_path, precious):
    run = a_run(tmp_path / "run", record("concepts/precious.csv"))
    manifest = Manifest(run, CHAPTERS)
    (run / "concepts").symlink_to("../own")
    with pytest.raises(UserError, match="leads out of it"):
        manifest.clear("01_a")
    assert (precious / "precious.csv").exists()
    (run / "concepts").unlink()
    (run / "concepts").mkdir()
    (run / "concepts" / "precious.csv").write_text("made")
    manifest.clear("01_a")
    assert not list((run / "concepts").iterdir()), "a folder's product is deleted"


def test_only_what_a_notebook_may_make_is_deleted(tmp_path):
    products = ("figures", "mine.txt", "figures/01.png", "concepts/b.csv", "a.zarr", "own/deep.csv")
    run = a_run(tmp_path / "run", record(*products))
    for name in ("mine.txt", "figures/01.png", "figures/mine", "concepts/b.csv", "own/deep.csv"):
        (run / name).parent.mkdir(exist_ok=True)
        (run / name).write_text("x")
    (run / "a.zarr").mkdir()
    manifest = Manifest(run, CHAPTERS)
    manifest.clear("01_a")
    left = {p.relative_to(run).as_posix() for p in run.rglob("*") if p.is_file()}
    assert left == {"run.json", "mine.txt", "figures/mine", "own/deep.csv"}
    assert not (run / "a.zarr").exists() and manifest.records["01_a"]["outputs"] == {}


def test_of_a_product_that_is_a_link_the_link_is_deleted(tmp_path, precious):
    run = a_run(tmp_path / "run", record("a.zarr"))
    (run / "a.zarr").symlink_to("../own")
    Manifest(run, CHAPTERS).clear("01_a")
    assert not (run / "a.zarr").is_symlink() and (precious / "precious.csv").exists()
    (run / "a.zarr").symlink_to("nowhere")
    delete(run / "a.zarr")
    assert not (run / "a.zarr").is_symlink(), "a link that leads nowhere too"


def changed(path: str, value: object) -> dict:
    """The content of a run with one value changed, `path` from the top."""
    one = record("a.zarr", turn=1, seconds=2.0)
    content = {"preset": "smoke", "parameters": {}, "notebooks": {"01_a": one}}
    content = json.loads(json.dumps(content))
    *parents, last = path.replace("REC", "notebooks/01_a").split("/")
    place = content
    for name in parents:
        place = place[name]
    place[last] = value
    return content


WRONG = [
    ("REC/turn", "x"),
    ("REC/turn", -1),
    ("REC/turn", None),
    ("REC/turn", True),
    ("REC/turn", 10**400),
    ("REC/there", []),
    ("REC/there", {"a.zarr": 5}),
    ("REC/status", 5),
    ("REC/stale", ["a"]),
    ("REC/seconds", "x"),
    ("REC/seconds", float("nan")),
    ("REC/inputs", []),
    ("REC/inputs/parameters", ["a"]),
    ("REC/inputs/parameters", None),
    ("REC/inputs/parameters", {"images": 5}),
    ("REC/inputs/parameters", {"concept_pictures": ["a"]}),
    ("REC/inputs/code", ["a"]),
    ("REC/inputs/code", None),
    ("REC/inputs/upstream", ["a"]),
    ("REC/inputs/pictures", 5),
    ("REC/outputs", []),
    ("REC/outputs/a.zarr", {"sha256": None}),
    ("REC/outputs/a.zarr", {"sha256": "0", "bytes": "x"}),
    ("REC/error", "half a letter \ud800"),
    ("notebooks/\ud800", record()),
    ("notebooks", []),
    ("preset", []),
    ("parameters", None),
    ("parameters", {"model": 5}),
    ("parameters", {"k": {}}),
    ("versions", None),
    ("platform", ["a"]),
    ("format", []),
]


@pytest.mark.parametrize(("path", "value"), WRONG)
def test_what_is_of_another_kind_is_named_before_anything_is_done(tmp_path, path, value):
    (tmp_path / "a.zarr").mkdir()
    content = json.dumps(changed(path, value))
    (tmp_path / "run.json").write_text(content, encoding="utf-8")
    for read in (Manifest, read_manifest):
        with pytest.raises(UserError, match="run.json (cannot be read|is no run's|was written)"):
            read(tmp_path)
    assert (tmp_path / "run.json").read_text("utf-8") == content and (tmp_path / "a.zarr").exists()


def test_what_is_right_is_read_and_what_is_lacking_is_not_known(tmp_path):
    content = changed("REC/inputs", {"parameters": {"seed": 3, "widths": [1, 2]}, "upstream": {}})
    (tmp_path / "run.json").write_text(json.dumps(content), encoding="utf-8")
    assert Manifest(tmp_path, CHAPTERS).content == read_manifest(tmp_path) == content
    content["notebooks"]["01_a"] = {}
    (tmp_path / "run.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(UserError, match="the record of '01_a' has no 'status'"):
        Manifest(tmp_path)
    found = read_manifest(tmp_path)["notebooks"]["01_a"]
    assert found["status"] == "unknown" and found["inputs"]["parameters"] == {}


def test_a_record_that_is_nested_too_deeply_is_named(tmp_path):
    (tmp_path / "run.json").write_text("[" * 200_000, encoding="utf-8")
    for read in (Manifest, read_manifest):
        with pytest.raises(UserError, match="run.json .*(nested too deeply|Expecting value)"):
            read(tmp_path)


def test_a_draft_has_no_name_that_a_person_gives(tmp_path):
    own = [tmp_path / name for name in ("site.part", "site.new", "gallery.new", "t.csv.part")]
    for path in own:
        path.mkdir()
        (path / "mine").touch()
    for name in ("site", "gallery"):
        with gallery._replacing(tmp_path / name) as draft:
            (draft / "index.html").touch()
        with pytest.raises(ZeroDivisionError), gallery._replacing(tmp_path / name):
            1 / 0  # noqa: B018
        assert [p.name for p in (tmp_path / name).iterdir()] == ["index.html"]
    with write_whole(tmp_path / "t.csv") as draft:
        draft.touch()
    assert all((path / "mine").exists() for path in own)
    assert {p.name for p in tmp_path.iterdir()} == {"site", "gallery", "t.csv"} | {
        path.name for path in own
    }


def test_drafts_of_two_processes_have_two_names(tmp_path):
    alone, shared = (draft_beside(tmp_path / "a", shared=shared) for shared in (False, True))
    assert alone.name.startswith(".a.") and str(os.getpid()) in shared.name
    assert alone != shared
