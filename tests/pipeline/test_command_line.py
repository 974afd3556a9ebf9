"""The command line: mistakes in one line, what it lists, what it teaches."""

from __future__ import annotations

import re

import pytest

from gc_utils.__main__ import main

MISTAKES = {
    "--preset dmo": "unknown preset 'dmo'; did you mean 'demo'?",
    "-p sed 1": "unknown parameter 'sed'; did you mean 'seed'?",
    "-p seed one": "parameter 'seed' takes a whole number (default 0), not 'one'",
    "-p run_dir x": "set with --output",
    "--only 07": "unknown notebook '07'",
    "--only 02_secnd": "did you mean '02_second'?",
    "--only 02 -p k 4": "parameter 'k' is for 01_first, which would not run",
    "--only 02": "02_second needs what 01_first makes, and out does not have it; use --only 01 02",
    "--output notebooks": "holds other things than a run",
    "--output notebooks/01_first.ipynb": "is a file",
    "--notebooks nowhere": "no notebooks in 'nowhere'",
}


@pytest.mark.parametrize("words", MISTAKES)
def test_a_mistake_is_said_in_one_line_before_anything_runs(words, story, capsys, tmp_path):
    arguments = ["run", "--notebooks", "notebooks", "--output", "out", *words.split()]
    assert main(arguments) == 2
    told = capsys.readouterr()
    assert told.err.startswith("error: ")
    assert told.err.count("\n") == 1
    assert MISTAKES[words] in told.err
    assert told.out == ""
    assert not (tmp_path / "out").exists()


def test_list_shows_presets_questions_and_parameters(story, capsys):
    assert main(["list", "--notebooks", "notebooks"]) == 0
    told = capsys.readouterr().out
    assert "demo (default)" in told
    assert "01_first: What is there?" in told
    assert re.search(r"k = 3 +how many", told)
    assert "run_dir" not in told


def test_list_prints_nothing_without_notebooks(story, capsys):
    assert main(["list", "--notebooks", "nowhere"]) == 2
    told = capsys.readouterr()
    assert told.out == "" and "no notebooks in 'nowhere'" in told.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "--output", ""], "--output is empty: name a folder"),
        (["readme", "--run", ""], "--run is empty: name a run folder"),
        (["readme", "--run", "nowhere"], "or name a run that exists with --run"),
        (["readme", "--run", "kept/run.json"], "is a file, not a run folder: name the folder that"),
        (["readme", "--run", "kept/a.csv"], "is a file, not a run folder: name the folder of a"),
        (["readme"], "no run folder"),
    ],
)
def test_a_run_folder_that_is_none_is_refused_in_the_option_s_words(
    story, capsys, tmp_path, words, said
):
    (tmp_path / "kept").mkdir()
    for name in ("run.json", "a.csv"):
        (tmp_path / "kept" / name).write_text("{}")
    before = sorted(tmp_path.rglob("*"))
    assert main([*words, "--notebooks", "notebooks"]) == 2
    told = capsys.readouterr()
    assert told.out == "" and told.err.startswith("error: ") and told.err.count("\n") == 1
    assert said in told.err and "run_dir" not in told.err
    if words[-1] == "kept/run.json":
        assert repr(str(tmp_path / "kept")) in told.err
    assert sorted(tmp_path.rglob("*")) == before


def test_weights_are_shown_with_their_checksums(capsys):
    assert main(["weights"]) == 0
    told = capsys.readouterr().out
    assert "inception5h" in told
    assert "119f77db85c8352960933e025312b507d9a96ed7" in told
    assert "bvlc_googlenet (" in told and "licence:  released for unrestricted use" in told


def test_help_teaches_by_examples(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["run", "--help"])
    assert stop.value.code == 0
    assert "python -m gc_utils run --only 03 04" in capsys.readouterr().out
