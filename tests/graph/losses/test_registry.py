"""Names and weights: what is understood, what is refused, and what is written about each loss."""

from __future__ import annotations

from pathlib import Path

import pytest

from xumx.base.errors import UsageError
from xumx.graph import losses

SOURCES = ("bass", "drums")


@pytest.mark.parametrize(
    "texts, weights",
    [
        (["L1freq"], {"L1freq": 1.0}),
        (["L1freq=2.5", "SISDRtime"], {"L1freq": 2.5, "SISDRtime": 1.0}),
        (["MultiDomain=1e-3"], {"MultiDomain": 1e-3}),
    ],
)
def test_sums_are_understood(texts, weights):
    assert losses.parse(texts) == weights
    assert losses.parse(losses.spell(weights)) == weights
    losses.check(weights, SOURCES)


def test_one_spelling():
    texts = ["L1freq=1.0", "L2mask=0.30", "PSA=1e-05"]
    assert losses.spell(losses.parse(texts)) == ("L1freq", "L2mask=0.3", "PSA=1e-05")


WRONG = {
    "L1freg": "did you mean L1freq",
    "sisdr": "did you mean SISDR",
    "crossentropy": "did you mean CrossEntropy",
    "MSE L1freq=0": "L1freq=0: a weight must be a positive number",
    "L1freq=-1": "L1freq=-1",
    "L1freq=": "L1freq=0.5",
    "L1freq=much": "L1freq=much",
    "L1freq=nan": "L1freq=nan",
    "L1freq=inf": "L1freq=inf",
    "L1freq L1freq=2": "given twice",
    "MultiDomain CombinationMultiDomain": "choose one",
    "LSGAN HingeGAN MSE": "choose one",
    "HingeGAN": "HingeGAN alone",
}


@pytest.mark.parametrize("texts", WRONG)
def test_wrong_sums(texts):
    with pytest.raises(UsageError, match=f"^`loss` .*{WRONG[texts]}"):
        losses.check(losses.parse(texts.split()), SOURCES)


def test_nothing_to_minimise():
    with pytest.raises(UsageError, match="`loss`"):
        losses.check({}, SOURCES)


def test_losses_that_compare_sources_need_several():
    comparing = [name for name, loss in losses.LOSSES.items() if loss.compares]
    assert comparing == ["CrossEntropy", "Dissimilarity"]
    for name in comparing:
        losses.check({name: 1.0}, SOURCES)
        with pytest.raises(UsageError, match=f"{name} compares.*`arch` x-umx"):
            losses.check({name: 1.0}, ("vocals",))


def test_terms_of_the_published_loss():
    found = losses.terms(losses.default("x-umx"), 7.0)
    assert [(term.label, term.weight) for term in found] == [("time", 7.0), ("frequency", 1.0)]
    assert [term.loss for term in found] == [
        losses.LOSSES["CombinationWeightedSDR"],
        losses.LOSSES["CombinationMSE"],
    ]
    (single,) = losses.terms(losses.default("umx"), 0.0)
    assert single.loss is losses.LOSSES["MSE"] and losses.labels([single]) == []


@pytest.mark.parametrize("name", losses.LOSSES)
def test_each_loss_has_formula_and_shapes(name):
    text = losses.LOSSES[name].function.__doc__
    assert ("``" in text or "::" in text) and "Parameters" in text and "eturns" in text


@pytest.mark.parametrize("name", [*losses.LOSSES, *losses.SUMS])
def test_each_loss_is_in_the_table(name):
    table = (Path(__file__).parents[3] / "docs" / "losses.md").read_text(encoding="utf-8")
    (row,) = (r for r in table.splitlines() if r.startswith(f"| `{name}` |") and r.count(" | ") >= 4)
    parts = losses.SUMS.get(name, (name,))
    assert row.split(" | ")[1] == ", ".join(losses.LOSSES[part].domain for part in parts)
    assert float(row.removesuffix(" |").rpartition(" | ")[2]) == losses.rate({name: 1.0})
