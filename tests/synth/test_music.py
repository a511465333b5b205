"""Generated songs: what holds of each, and that they sound like what they are called."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import scipy.fft

from xumx.base.errors import UsageError
from xumx.eval.oracle import frequency, irm
from xumx.synth import RATE, bass, drums, other, song, vocals
from xumx.synth.dataset import STREAMS
from xumx.synth.formants import formants
from xumx.synth.score import PARTS, compose
from xumx.synth.sound import (
    Note,
    chorus,
    hertz,
    noise,
    phase,
    place,
    reverberate,
    room,
    sine,
    stretch,
    wavetable,
)

SEEDS = range(3)
SECONDS = 20.0


@pytest.fixture(scope="module")
def songs() -> list[dict[str, np.ndarray]]:
    return [song(SECONDS, np.random.default_rng([7, seed])) for seed in SEEDS]


def test_sources_sum_to_the_mixture(songs: list[dict[str, np.ndarray]]) -> None:
    for seed, stems in enumerate(songs):
        assert tuple(stems) == STREAMS
        for name, audio in stems.items():
            assert audio.shape == (2, round(SECONDS * RATE)) and audio.dtype == np.float32, (seed, name)
            assert np.isfinite(audio).all(), (seed, name)
        total = np.zeros_like(stems["mixture"])
        for part in PARTS:
            total += stems[part]
        assert np.array_equal(total, stems["mixture"]), seed


def test_levels(songs: list[dict[str, np.ndarray]]) -> None:
    """Nothing clips, and no source is drowned or alone."""
    for seed, stems in enumerate(songs):
        mixture = stems["mixture"].astype(np.float64)
        assert 0.5 < np.abs(mixture).max() < 0.95, seed
        assert abs(mixture.mean()) < 1e-3, seed
        assert np.abs(mixture[0] - mixture[1]).max() > 0.05, f"{seed} is mono"
        loud = half_seconds(mixture).mean()
        for part in PARTS:
            power = np.sum(stems[part].astype(np.float64) ** 2)
            score = 10 * np.log10(power / np.sum((mixture - stems[part]) ** 2))
            assert -14 < score < 2, (seed, part, score)
            audible = np.mean(half_seconds(stems[part]) > 1e-3 * loud)
            assert audible > 0.4, (seed, part, audible)
            assert np.abs(stems[part]).max() < 0.95, (seed, part)


def half_seconds(audio: np.ndarray) -> np.ndarray:
    """Power of every half second of (2, samples)."""
    n = audio.shape[1] // (RATE // 2) * (RATE // 2)
    return (audio[:, :n].astype(np.float64) ** 2).reshape(2, -1, RATE // 2).mean(axis=(0, 2))


def test_a_seed_names_a_song(songs: list[dict[str, np.ndarray]]) -> None:
    again = song(SECONDS, np.random.default_rng([7, 1]))
    for name, audio in again.items():
        assert np.array_equal(audio, songs[1][name]), name
        assert not np.array_equal(audio, songs[0][name]), name


@pytest.mark.parametrize("seconds", [0.1, 0.3, 1.0, 2.5])
def test_short_songs_have_all_sources(seconds: float) -> None:
    for seed in range(3):
        stems = song(seconds, np.random.default_rng(seed))
        for name, audio in stems.items():
            assert audio.shape == (2, round(seconds * RATE)), (seed, name)
            assert np.isfinite(audio).all() and np.abs(audio).max() < 0.95, (seed, name)
        if seconds >= 1:
            assert all(np.abs(stems[part]).max() > 1e-3 for part in PARTS), seed
    with pytest.raises(UsageError, match=r"at least 0\.1 seconds"):
        song(0.05, np.random.default_rng(0))


def test_sources_overlap_in_frequency(songs: list[dict[str, np.ndarray]]) -> None:
    """What equalisers reach is little; masks that follow the music reach much more."""
    scores = np.array([[compare(stems, kind) for kind in (frequency, irm)] for stems in songs])
    equaliser, ideal = np.median(scores, axis=0)
    for part, low, high in zip(PARTS, equaliser, ideal):
        assert low < 6 and high > 7 and high > low + 3, (part, low, high)


def compare(stems: dict[str, np.ndarray], kind: object) -> list[float]:
    truth = np.stack([stems[part].T for part in PARTS])
    estimates = kind(np.ascontiguousarray(stems["mixture"].T), truth)  # type: ignore[operator]
    return [10 * np.log10(np.sum(t**2) / np.sum((t - e) ** 2)) for t, e in zip(truth, estimates)]


def test_scores_are_varied_and_fill_the_song() -> None:
    scores = [compose(60 * RATE, np.random.default_rng(seed)) for seed in range(60)]
    assert len({score.key for score in scores}) > 9
    assert len({score.scale for score in scores}) == 4
    assert {score.beats for score in scores} == {3, 4}
    tempos = [score.tempo for score in scores]
    assert min(tempos) < 85 and max(tempos) > 140
    assert any(score.swing for score in scores) and not all(score.swing for score in scores)
    for seed, score in enumerate(scores):
        last = score.sections[-1]
        assert score.time(last.first + last.bars, 0) > 60 - 1e-6, seed
        assert [s.first for s in score.sections[1:]] == [s.first + s.bars for s in score.sections[:-1]], seed
        assert all(len(s.chords) == s.bars and len(s.parts) >= 2 for s in score.sections), seed
        for part in PARTS:
            assert 2 * sum(part in s.parts for s in score.sections) >= len(score.sections), (seed, part)
    for part in PARTS:  # each enters and leaves somewhere
        assert any(part not in s.parts for score in scores for s in score.sections), part


@pytest.mark.parametrize("source", [drums, bass, other, vocals], ids=lambda module: module.__name__)
def test_a_source_is_silent_where_it_has_no_part(source: object) -> None:
    part = source.__name__.rsplit(".")[-1]  # type: ignore[attr-defined]
    score = compose(16 * RATE, np.random.default_rng(1))
    bars = score.sections[-1].first + score.sections[-1].bars
    section = dataclasses.replace(score.sections[0], first=0, bars=bars, chords=(0,) * bars)
    without = dataclasses.replace(section, parts=frozenset(PARTS) - {part})
    for change, sounding in ((section, part in section.parts), (without, False)):
        audio = source.render(dataclasses.replace(score, sections=(change,)), np.random.default_rng(2))  # type: ignore[attr-defined]
        assert audio.shape == (2, score.samples) and audio.dtype == np.float32
        assert bool(np.abs(audio).max() > 0.01) == sounding, change.parts


def spectrum(audio: np.ndarray) -> np.ndarray:
    """Power by Hz."""
    return np.abs(scipy.fft.rfft(audio[:RATE].astype(np.float64) * np.hanning(RATE))) ** 2


def test_oscillators_are_in_tune_and_band_limited() -> None:
    index = phase(hertz(69), RATE)
    power = spectrum(wavetable(np.ones(40))[index])
    peaks = [k * 440 for k in range(1, 41)]
    assert all(power[peak] > 0.5 * power[440] for peak in peaks)
    beyond = np.delete(power, [peak + d for peak in peaks for d in range(-6, 7)])
    assert beyond.max() < 1e-5 * power[440], 10 * np.log10(beyond.max() / power[440])
    glide = np.linspace(200, 400, RATE, dtype=np.float32)
    swept = sine()[phase(glide)]
    expected = np.sin(2 * np.pi * np.cumsum(glide.astype(np.float64)) / RATE)
    assert np.abs(swept - expected).max() < 2e-3


def test_voices_have_formants_vibrato_and_pitch() -> None:
    rng = np.random.default_rng(0)
    hiss = noise(2 * RATE, rng)
    for name, ((first, second, *_), _) in vocals._VOWELS.items():
        row = np.concatenate([np.asarray(column, float) for column in vocals._VOWELS[name]])
        power = spectrum(formants(hiss, [(0.0, row)]))
        smooth = np.convolve(power, np.ones(60) / 60, "same")
        for formant in (first, second):
            around = smooth[formant - 40 : formant + 40].mean()
            assert around > 1.5 * smooth[int(1.25 * formant) : int(1.3 * formant)].mean(), (name, formant)
    voice = dataclasses.replace(vocals.random_voice(rng), depth=50.0, rate=5.5, breath=0.01, scoop=0.0)
    sung = vocals.sing(voice, [[Note(0.5, 2.0, 57.0, 1.0)]], 3 * RATE, rng)
    assert np.abs(sung[: RATE // 20]).max() < 0.02 and np.abs(sung).max() > 0.1
    # The fundamental, from the phase of what is left of a band around it.
    bins = np.fft.fft(sung[int(1.2 * RATE) : int(2.2 * RATE)].astype(np.float64))
    bins[np.abs(np.arange(RATE) - 220) > 30] = 0
    hz = np.diff(np.unwrap(np.angle(np.fft.ifft(bins))))[2000:-2000] * RATE / (2 * np.pi)
    cents = 1200 * np.log2(hz / 220)
    assert abs(cents.mean()) < 10 and 30 < np.abs(cents).max() < 75, (cents.mean(), np.abs(cents).max())
    turns = np.sum(np.diff(np.sign(cents - cents.mean())) != 0)
    assert 7 <= turns <= 13, turns  # 5.5 Hz for 0.9 s


def test_reverberation_is_convolution() -> None:
    rng = np.random.default_rng(0)
    audio = rng.standard_normal((2, 70_001)).astype(np.float32)
    response = room(0.3, rng)
    assert np.sum(response**2, axis=1) == pytest.approx(1, rel=1e-4)
    expected = np.stack([np.convolve(audio.sum(axis=0), channel)[:70_001] for channel in response])
    np.testing.assert_allclose(reverberate(audio, response), expected, atol=1e-3)


def test_chorus_delays_by_a_little() -> None:
    click = np.zeros(RATE, np.float32)
    click[20_000] = 1
    wide = chorus(click, np.random.default_rng(0))
    assert wide[:, 20_000] == pytest.approx(0.7)
    late = [np.flatnonzero(channel)[1:] - 20_000 for channel in wide]
    assert all(0.007 * RATE < n < 0.012 * RATE for channel in late for n in channel), late
    assert wide.sum(axis=1) == pytest.approx(1.4, rel=0.05)


def test_curves_and_places() -> None:
    curve = np.array([0.0, 1.0, -1.0])
    wanted = np.interp(np.arange(25) / 10, np.arange(3), curve)
    np.testing.assert_allclose(stretch(curve, 10, 25), wanted, atol=1e-6)
    audio = np.zeros(10, np.float32)
    place(audio, 7 / RATE, np.ones(5, np.float32), 2.0)
    place(audio, 11 / RATE, np.ones(5, np.float32))
    assert audio.tolist() == [0] * 7 + [2] * 3
