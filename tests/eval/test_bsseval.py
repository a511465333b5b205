"""The fast way against museval, on random signals and on music."""

import dataclasses
from pathlib import Path

import musdb
import museval
import numpy as np
import pytest
import stempeg

from xumx.data.musdb import musdb_tracks
from xumx.eval.bsseval import METRICS, bss_eval, correlations
from xumx.eval.estimators import read_truth
from xumx.eval.scores import members_of, score


def signals(rng, sources, samples, channels):
    truth = rng.standard_normal((sources, samples, channels)).astype(np.float32)
    leak = 0.3 * truth.mean(axis=0)
    noise = rng.standard_normal(truth.shape).astype(np.float32)
    return truth, (0.7 * truth + leak + 0.1 * noise).astype(np.float32)


@pytest.mark.parametrize(
    ("sources", "samples", "channels", "window"),
    [(2, 9000, 1, 2000), (3, 7001, 1, 7001), (2, 6000, 2, 8000), (2, 8192, 2, 1500), (4, 5000, 1, 500)],
)
def test_equals_museval(sources, samples, channels, window):
    rng = np.random.default_rng(samples)
    truth, estimate = signals(rng, sources, samples, channels)
    if window == 2000:
        truth[1, 2000:4100] = 0
        estimate[0, 6000:] = 0
    before = truth.copy(), estimate.copy()
    ours = bss_eval(truth, estimate, window, threads=2)
    theirs = np.stack(museval.evaluate(truth, estimate, win=window, hop=window))
    assert ours.shape == theirs.shape, (sources, samples, channels, window)
    np.testing.assert_allclose(
        ours, theirs, rtol=0, atol=1e-5, err_msg=str((sources, samples, channels, window))
    )
    assert np.isnan(ours).any() == (window == 2000)
    assert np.array_equal(truth, before[0]) and np.array_equal(estimate, before[1])


@pytest.mark.parametrize("samples", [300, 16000, 40000])
def test_correlations_by_their_definition(samples):
    rng = np.random.default_rng(samples)
    true, estimates = rng.standard_normal((2, samples)), rng.standard_normal((3, samples))
    ahead, behind, across = correlations(true, estimates, 2)
    late = np.pad(true, ((0, 0), (0, 600))), np.pad(estimates, ((0, 0), (0, 600)))
    for k in (0, 1, 200, 511):
        message = f"{samples} samples, delay {k}"
        for a, b in ((0, 0), (0, 1), (1, 1)):
            wanted = late[0][b, k : k + samples] @ true[a], late[0][a, k : k + samples] @ true[b]
            np.testing.assert_allclose((ahead[a, b, k], behind[a, b, k]), wanted, atol=1e-9, err_msg=message)
        wanted = true @ late[1][:, k : k + samples].T
        np.testing.assert_allclose(across[:, k], wanted, atol=1e-9, err_msg=message)


def test_a_perfect_estimate_has_no_finite_error():
    truth, _ = signals(np.random.default_rng(0), 2, 3000, 1)
    scores = bss_eval(truth, truth, 1000)
    assert (scores[0] > 200).all()


def test_wrong_signals():
    truth, estimate = signals(np.random.default_rng(0), 2, 3000, 1)
    with pytest.raises(ValueError, match="differ"):
        bss_eval(truth, estimate[:, :-1])
    with pytest.raises(ValueError, match="a reference is silent"):
        bss_eval(truth * [[[0]], [[1]]], estimate)
    with pytest.raises(ValueError, match="an estimate is silent"):
        bss_eval(truth, estimate * [[[0]], [[1]]])


def test_equals_museval_on_the_excerpt_of_stempeg(tmp_path):
    """All targets of two seconds of musdb's track in mono, which is given the samples that we read."""
    (tmp_path / "train").mkdir()
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "Excerpt.stem.mp4").symlink_to(Path(stempeg.example_stem_path()).resolve())
    whole = read_truth(musdb_tracks(tmp_path, "test")[0])
    part = slice(2 * whole.rate, 4 * whole.rate)
    sources = {name: audio[part, :1] for name, audio in whole.sources.items()}
    truth = dataclasses.replace(whole, mixture=whole.mixture[part, :1], sources=sources)
    (theirs,) = musdb.DB(root=str(tmp_path), subsets="test").tracks
    rng = np.random.default_rng(0)
    estimates = {}
    for name, audio in truth.sources.items():
        noise = 1e-3 * rng.standard_normal(audio.shape)
        estimates[name] = (0.8 * audio + 0.1 * truth.mixture + noise).astype(np.float32)

    ours = score(truth, estimates, members_of(estimates, list(truth.sources)))
    fast = score(truth, estimates, members_of(estimates, list(truth.sources)), fast=True)
    for name, values in ours.items():
        np.testing.assert_allclose(fast[name], values, rtol=0, atol=0.05, err_msg=name)
    for name, audio in truth.sources.items():
        # Its AAC makes up noise (perceptual noise substitution), which each decoder does in its own way.
        theirs.sources[name].audio = audio
    report = museval.eval_mus_track(theirs, estimates)
    assert [target["name"] for target in report.scores["targets"]] == list(ours)
    for target in report.scores["targets"]:
        for metric, values in zip(METRICS, ours[target["name"]]):
            wanted = [float(frame["metrics"][metric]) for frame in target["frames"]]
            # Their report is rounded to 1e-5.
            np.testing.assert_allclose(
                values, wanted, rtol=0, atol=1e-4, err_msg=f"{target['name']} {metric}"
            )
