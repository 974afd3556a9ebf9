"""The records agree with the notebooks, and everything that reads them with each other."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import gc_utils
from gc_utils.errors import UserError
from gc_utils.pipeline import DEFAULT_PRESET, PRESETS, RECORDS, find_notebooks, preset_values
from gc_utils.pipeline.notebooks import Notebook
from gc_utils.pipeline.parameters import check_values, defaults_of
from gc_utils.pipeline.record import Record, record_of, rules_of
from gc_utils.pipeline.rules import Rule

PACKAGE = Path(gc_utils.__file__).parent
NOTEBOOKS = find_notebooks(PACKAGE.parent / "notebooks")
FREE = {"run_dir"}  # set by the runner, with --output
every_notebook = pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda n: n.name)


def test_every_notebook_has_a_record_and_every_record_a_notebook():
    assert [record.number for record in RECORDS] == [n.number for n in NOTEBOOKS]


@every_notebook
def test_every_parameter_has_a_rule(notebook: Notebook):
    assert set(notebook.record.rules) == set(notebook.parameters) - FREE


@every_notebook
def test_a_record_sets_only_what_its_notebook_declares(notebook: Notebook):
    assert set(notebook.record.presets) <= set(PRESETS)
    for values in notebook.record.presets.values():
        assert set(values) <= set(notebook.parameters)


def test_a_rule_says_something():
    for name, rule in rules_of(RECORDS).items():
        assert rule.bounds or rule.choices or rule.check, name


def test_defaults_and_presets_keep_to_the_rules():
    defaults = {}
    for notebook in NOTEBOOKS:
        defaults |= defaults_of(notebook)
    for preset in ("smoke", DEFAULT_PRESET):
        check_values(defaults | preset_values(preset, RECORDS))
    rules = rules_of(RECORDS)
    for preset in ("real", "paper"):  # their weights are downloaded
        for name, value in preset_values(preset, RECORDS).items():
            if value is not None:
                rules[name].check_bounds(name, value)


def test_only_the_default_preset_sends_its_reader_to_a_real_network():
    assert {n: p.afterwards.partition("--preset ")[2] for n, p in PRESETS.items()} == {
        **{"smoke": "", DEFAULT_PRESET: "real"},
        **{"real": "", "paper": ""},
    }


def outside(rule: Rule) -> list[float]:
    """Numbers just out of a rule's bounds."""
    least = [] if rule.least is None else [rule.least - 1]
    most = [] if rule.most is None else [rule.most + 1]
    return least + most + ([] if rule.over is None else [rule.over])


BOUNDED = {name: rule for name, rule in rules_of(RECORDS).items() if rule.bounds}


@pytest.mark.parametrize("name", BOUNDED)
def test_a_value_out_of_bounds_is_refused_with_the_bounds(name):
    for value in outside(BOUNDED[name]):
        said = f"parameter {name!r} is {value}: expected {BOUNDED[name].bounds}."
        with pytest.raises(UserError, match=re.escape(said)):
            check_values({name: value})


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (Rule(least=1), "1 or more"),
        (Rule(most=5), "5 or less"),
        (Rule(least=1, most=5), "1 to 5"),
        (Rule(over=0), "more than 0"),
        (Rule(over=0, most=0.5), "more than 0 and at most 0.5"),
    ],
)
def test_bounds_in_words(rule, words):
    assert rule.bounds == words


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"blur": float("nan")}, "'blur' is nan: expected 0 to 32"),
        ({"l1": float("inf")}, "'l1' is inf: expected 0 to 1,000"),
        ({"sizes": [0.5, 0.0]}, "'sizes' is [0.5, 0.0]: expected more than 0 and at most 64"),
        ({"sizes": [0.5] * 17}, "'sizes' holds 17 numbers: expected 16 or fewer"),
        ({"samples": 10**400}, "'samples' is 1000"),
        ({"samples": 10**9}, "'samples' is 1000000000: expected 1 to 10,000,000"),
        (
            {"learning_rate": -0.001},
            "'learning_rate' is -0.001: expected more than 0 and at most 1",
        ),
        ({"tied": "9" * 20}, "expected 1,000,000 or fewer in all"),
        ({"tied": "Z:3", "group": "D4"}, "unknown stabiliser in D4 'Z'"),
        ({"tied": "G:3", "group": "D4", "k": 4}, "k = 4 active features of 3"),
        ({"feature": 8, "features": 8}, "'feature' is 8: this crosscoder has features 0 to 7"),
        ({"device": "meta"}, "there is no device 'meta' here"),
        ({"images": "scenes:" + "9" * 20}, "a whole number from 1 to 1,000,000"),
        ({"widths": "4097"}, "whole numbers from 4 to 4096"),
        ({"window": "square"}, "unknown window 'square'"),
        ({"precision": "float16"}, "unknown precision 'float16'"),
        ({"sparsity": "l0"}, "unknown sparsity 'l0'"),
        ({"method": "pca"}, "did you mean 'PCA'"),
        ({"device": "abacus"}, "no device 'abacus'"),
        ({"tied": "many"}, "families 'many'"),
        ({"k": 9, "features": 8}, "k = 9 active features of 8: lower k."),
        ({"model": "inceptionv1", "layers": "conv2d0 mixd3a"}, "did you mean 'mixed3a'"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused(values, said):
    with pytest.raises(UserError, match=re.escape(said)):
        check_values(values)


def test_needs_point_backwards():
    order = [record.number for record in RECORDS]
    for record in RECORDS:
        earlier = order[: order.index(record.number)]
        assert set(record.needs) | set(record.uses) <= set(earlier)


def test_no_claim_belongs_to_two_notebooks():
    claims = [id for record in RECORDS for id in record.claims + record.ours]
    assert len(claims) == len(set(claims))


def test_a_claim_of_a_paper_comes_with_the_paper():
    assert [record.number for record in RECORDS if record.claims and not record.paper] == []


def test_records_that_disagree_are_a_mistake_in_the_code():
    toy = Record("11", rules={"seed": Rule(least=7)}, presets={"smoke": {"folds": 3}})
    with pytest.raises(ValueError, match="two rules of 'seed'"):
        rules_of([*RECORDS, toy])
    with pytest.raises(ValueError, match="two values for preset 'smoke' of 'folds'"):
        preset_values("smoke", [*RECORDS, toy])


def test_a_notebook_without_a_record_needs_nothing():
    assert record_of("99", RECORDS) == Record("99")


def test_the_pipeline_knows_nothing_of_what_stands_on_it():
    """Imports go one way: neither studies nor the report are needed to run notebooks."""
    for path in sorted((PACKAGE / "pipeline").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            for name in names:
                part = name.removeprefix("gc_utils.").split(".")[0]
                assert part not in ("studies", "reporting", "explorer", "evidence"), path.name
