from __future__ import annotations

import dataclasses
import math

import pytest

from xumx.train.schedule import EarlyStopping, Plateau, scale, warmth


def test_scaling_by_the_samples_of_a_step() -> None:
    samples = (4, 16, 64, 1024)
    assert [scale("linear", n) for n in samples] == [0.25, 1, 4, 64]
    assert [scale("sqrt", n) for n in samples] == [0.5, 1, 2, 8]
    assert [scale("none", n) for n in samples] == [1, 1, 1, 1]


def test_warm_up_grows_evenly() -> None:
    assert [warmth(epochs, 2) for epochs in (0.5, 1, 2, 7)] == [0.25, 0.5, 1, 1]
    assert warmth(0.001, 0) == 1


def rates(plateau: Plateau, losses: list[float]) -> list[float]:
    return [plateau.step(loss) for loss in losses]


def test_falls_after_more_bad_epochs_than_accepted() -> None:
    plateau = Plateau(1.0, factor=0.5, patience=2, cooldown=0)
    assert rates(plateau, [3, 2, 2, 2, 2, 2, 2, 2]) == [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.25]


def test_cooldown_forgives() -> None:
    plateau = Plateau(1.0, factor=0.5, patience=1, cooldown=3)
    assert rates(plateau, [1] * 10) == [1, 1, 0.5, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25]


def test_the_published_defaults() -> None:
    plateau = Plateau(1e-3)
    assert rates(plateau, [1.0] * 82)[-2:] == [1e-3, 3e-4]
    assert set(rates(plateau, [1.0] * (10 + 80))) == {3e-4}
    assert plateau.step(1.0) == pytest.approx(9e-5)


def test_a_best_must_be_clearly_less() -> None:
    plateau = Plateau(1.0, factor=0.5, patience=1, cooldown=0, threshold=0.01)
    assert rates(plateau, [100, 99.5, 99.2]) == [1, 1, 0.5]
    assert plateau.best == 100
    plateau = Plateau(1.0, patience=1, threshold=0.01)
    rates(plateau, [-100, -100.5, -102])
    assert plateau.best == -102 and plateau.bad_epochs == 0


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_no_number_is_never_the_best(bad: float) -> None:
    plateau, stopping = Plateau(1.0, patience=5), EarlyStopping(3)
    for epoch, loss in enumerate([bad, 2.0, bad, 1.0, bad]):
        plateau.step(loss)
        assert stopping.step(epoch, loss) == (loss == loss and loss < math.inf)
    assert plateau.best == stopping.best == 1.0 and stopping.best_epoch == 3
    assert plateau.bad_epochs == stopping.bad_epochs == 1


def test_stops_when_nothing_gets_better() -> None:
    stopping = EarlyStopping(2)
    seen = []
    for epoch, loss in enumerate([3.0, 2.0, 2.0, 1.5, 1.5, 1.6]):
        stopping.step(epoch, loss)
        seen.append(stopping.over)
    assert seen == [False] * 5 + [True]
    assert stopping.best_epoch == 3


def test_zero_patience_never_stops() -> None:
    stopping = EarlyStopping(0)
    for epoch in range(500):
        stopping.step(epoch, 1.0)
    assert not stopping.over


def test_state_survives() -> None:
    losses = [3, 2, 2, 2, 1.9999, 2, 2, 1, 1, 1, 1, 1, 1]
    whole = Plateau(1.0, factor=0.5, patience=1, cooldown=1)
    expected = rates(whole, losses)
    plateau, found = Plateau(1.0, factor=0.5, patience=1, cooldown=1), []
    for loss in losses:
        plateau = Plateau(**dataclasses.asdict(plateau))
        found.append(plateau.step(loss))
    assert found == expected
