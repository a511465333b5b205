import inspect
import pickle
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import xumx
import xumx.network.weights as weights_file
from tests.engines.test_onnx import golden
from tests.networks import DATA, identity_weights, music, random_weights, small_config
from xumx.base.errors import AudioError, UsageError
from xumx.separation.once import Options, separate
from xumx.separation.separator import Separator

RATE = 44100
CONFIG = small_config()
CHUNKS = {"chunk_dur": 0.2, "overlap": 0.25}


def sum_of(stems):
    return np.sum(list(stems.values()), axis=0)


@pytest.mark.parametrize(
    "name, options",
    [
        ("niter0", {"niter": 0}),
        ("niter1", {"niter": 1}),
        ("niter2", {"niter": 2}),
        ("softmask_alpha1", {"niter": 1, "softmask": True}),
        ("softmask_alpha05_niter0", {"niter": 0, "softmask": True, "alpha": 0.5}),
        ("residual", {"niter": 1, "residual_model": True}),
    ],
)
def test_stems_are_the_golden_ones(name, options):
    audio = golden("audio")
    stems = Separator(DATA / "x-umx.h5", chunk_dur=0, **options)(audio)
    peak = max(np.abs(golden(f"xumx/separate/{name}/{stem}")).max() for stem in stems)
    for stem, found in stems.items():
        assert found.shape == audio.shape and found.dtype == np.float32
        expected = golden(f"xumx/separate/{name}/{stem}")
        common = found[::4][: len(expected)]
        # The reference ends at a multiple of the hop, without the last frame's overlap.
        assert np.abs(common - expected)[:-128].max() < 1e-4 * peak, stem


def test_umx_stems_are_the_golden_ones():
    stems = Separator(DATA / "umx", chunk_dur=0)(golden("audio"))
    peak = max(np.abs(golden(f"umx/separate/niter1/{stem}")).max() for stem in stems)
    for stem, found in stems.items():
        expected = golden(f"umx/separate/niter1/{stem}")
        assert np.abs(found[::4][: len(expected)] - expected)[:-128].max() < 1e-4 * peak, stem


@pytest.mark.parametrize("samples", [1, 10, 100, 8819, 8820, 8821, 30000])
@pytest.mark.parametrize("overlap", [0, 0.1, 0.5, 0.9])
def test_an_identity_network_gives_the_input_back(samples, overlap):
    audio = music(1)[:samples]
    separator = Separator(
        identity_weights(CONFIG), niter=0, chunk_dur=0.2, overlap=overlap, targets=["drums"]
    )
    out = separator(audio)["drums"]
    assert out.shape == audio.shape
    assert np.abs(out - audio).max() < 10 ** (-90 / 20) * np.abs(audio).max()


@pytest.mark.parametrize("niter", [1, 2])
def test_stems_sum_to_the_mixture(niter):
    audio = music(1)
    stems = separate(audio, RATE, model=random_weights(CONFIG), niter=niter, **CHUNKS)
    assert np.abs(sum_of(stems) - audio).max() < 1e-3 * np.abs(audio).max()


def test_chunks_differ_from_the_whole_no_more_at_joins_than_elsewhere():
    audio = music(4)
    weights = random_weights(CONFIG)
    whole = Separator(weights, chunk_dur=0)(audio)
    chunked = Separator(weights, chunk_dur=1, overlap=0.1)(audio)
    for stem in whole:
        error = (chunked[stem] - whole[stem]) ** 2
        near = np.zeros(len(audio), bool)
        for join in range(39690, len(audio), 39690):
            near[join - 500 : join + 4410 + 500] = True
        assert error[near].mean() < 2 * error[~near].mean(), stem
        hard = Separator(weights, chunk_dur=1, overlap=0, targets=[stem])(audio)[stem]
        at_joins = np.concatenate(
            [(hard - whole[stem])[j - 128 : j + 128] ** 2 for j in (44100, 88200, 132300)]
        )
        assert at_joins.mean() > 2 * error[near].mean(), "overlap must pay"


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000, 96000])
def test_other_rates_come_back_at_their_own(rate):
    audio = music(0.7, rate=rate, noise=0)[: int(0.7 * rate) - 3]
    before = audio.copy()
    stems = separate(audio, rate, model=identity_weights(CONFIG), targets=["bass"], niter=0, **CHUNKS)
    assert stems["bass"].shape == audio.shape
    np.testing.assert_array_equal(audio, before)
    middle = slice(rate // 10, -rate // 10)
    error = stems["bass"][middle] - audio[middle]
    assert np.sqrt((error**2).mean()) < 1e-3 * np.sqrt((audio[middle] ** 2).mean())


def test_channels():
    mono = music(0.5, channels=1)
    model = identity_weights(CONFIG)
    for audio in (mono, mono[:, 0], mono.astype(np.float64)):
        out = separate(audio, RATE, model=model, niter=0, targets=["bass"])["bass"]
        np.testing.assert_allclose(out, np.repeat(mono, 2, axis=1), atol=1e-5)
    stereo = music(0.5)
    out = separate(
        stereo, RATE, model=identity_weights(small_config(nb_channels=1)), niter=0, targets=["bass"]
    )
    np.testing.assert_allclose(out["bass"], stereo.mean(axis=1, keepdims=True), atol=1e-5)


def test_targets_are_the_right_stems_in_any_order():
    audio, weights = music(0.5), random_weights(CONFIG)
    everything = separate(audio, RATE, model=weights)
    assert list(everything) == ["bass", "drums", "vocals", "other"]
    for targets in (["vocals"], ["other", "bass"], ["drums", "vocals", "bass", "other"]):
        some = separate(audio, RATE, model=weights, targets=targets)
        assert list(some) == targets
        for name in targets:
            np.testing.assert_array_equal(some[name], everything[name])
    assert len({stem.tobytes() for stem in everything.values()}) == 4


def test_two_stems_sum_to_the_mixture_exactly():
    audio, weights = music(0.5), random_weights(CONFIG)
    stems = separate(audio, RATE, model=weights, two_stems="vocals", niter=0)
    assert list(stems) == ["vocals", "no_vocals"]
    vocals = separate(audio, RATE, model=weights, niter=0)["vocals"]
    np.testing.assert_array_equal(stems["vocals"], vocals)
    np.testing.assert_allclose(sum_of(stems), audio, atol=1e-7)


def test_aggregates_are_sums():
    audio, weights = music(0.5), random_weights(CONFIG)
    every = separate(audio, RATE, model=weights)
    stems = separate(
        audio, RATE, model=weights, aggregate={"band": ["other", "drums", "bass"], "voice": ["vocals"]}
    )
    assert list(stems) == ["band", "voice"]
    np.testing.assert_allclose(stems["band"], every["bass"] + every["drums"] + every["other"], atol=1e-6)
    np.testing.assert_array_equal(stems["voice"], every["vocals"])


def test_a_residual_is_a_stem_more():
    audio, weights = music(0.5), random_weights(CONFIG)
    stems = separate(audio, RATE, model=weights, residual_model=True)
    assert list(stems) == ["bass", "drums", "vocals", "other", "residual"]
    assert list(separate(audio, RATE, model=weights, residual_model=True, targets=["residual"])) == [
        "residual"
    ]


def test_a_network_of_one_source_has_an_accompaniment():
    stems = separate(music(0.5), RATE, model=DATA / "umx" / "vocals.h5")
    assert list(stems) == ["vocals", "accompaniment"]


def test_a_stream_gives_what_a_call_gives():
    audio = music(1.3)
    separator = Separator(random_weights(CONFIG), **CHUNKS)
    whole = separator(audio)
    rng = np.random.default_rng(0)
    cuts = np.sort(rng.integers(0, len(audio), 9))
    pieces = list(separator.stream(np.split(audio, cuts)))
    assert len(pieces) > 5
    for stem in whole:
        np.testing.assert_array_equal(np.concatenate([p[stem] for p in pieces]), whole[stem])


def test_a_stream_reads_no_more_than_it_needs():
    separator = Separator(random_weights(CONFIG), threads=2, **CHUNKS)
    read = 0

    def endless():
        nonlocal read
        while True:
            read += 1
            yield music(0.1, seed=read)

    stream = separator.stream(endless())
    for _ in range(5):
        next(stream)
    stream.close()
    assert read < 40
    assert not [t for t in threading.enumerate() if t.name.startswith("xumx-ahead")]


def test_progress_ends_at_the_whole():
    calls = []
    separate(music(1), RATE, model=random_weights(CONFIG), progress=lambda *a: calls.append(a), **CHUNKS)
    done, total = zip(*calls, strict=True)
    assert set(total) == {1.0} and list(done) == sorted(done) and done[-1] == pytest.approx(1)
    assert len(calls) > 4


def test_threads_may_share_a_separator():
    separator = Separator(random_weights(CONFIG), **CHUNKS)
    songs = [music(0.6, seed) for seed in range(4)]
    alone = [separator(song) for song in songs]
    together = [{} for _ in songs]

    def work(i):
        together[i] = separator(songs[i])

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(songs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for a, b in zip(alone, together, strict=True):
        for stem in a:
            np.testing.assert_array_equal(a[stem], b[stem])


@pytest.mark.parametrize("niter", [0, 1, 3])
@pytest.mark.parametrize("scale", [0.0, 1e-8, 1e4])
def test_silence_and_extreme_levels_stay_finite(niter, scale):
    audio = music(0.5) * np.float32(scale)
    for stem in separate(
        audio, RATE, model=random_weights(CONFIG), niter=niter, residual_model=True
    ).values():
        assert np.isfinite(stem).all()
        if not scale:
            assert not stem.any()


@pytest.mark.parametrize(
    "options, named",
    [
        ({"targets": ["vocal"]}, "`targets`.*'vocal'.*bass, drums, vocals, other"),
        ({"targets": []}, "`targets`"),
        ({"targets": "vocals"}, "`targets`"),
        ({"targets": ["bass", "bass"]}, "`targets`"),
        ({"targets": ["residual"]}, "'residual'"),
        ({"two_stems": "piano"}, "`two_stems`.*'piano'"),
        ({"aggregate": {"a": ["piano"]}}, "`aggregate`.*'piano'"),
        ({"aggregate": {"a": []}}, "`aggregate`"),
        ({"aggregate": {}}, "`aggregate`"),
        ({"targets": ["bass"], "two_stems": "bass"}, "`targets` and `two_stems`"),
        ({"chunk_dur": -1}, "`chunk_dur`"),
        ({"chunk_dur": float("nan")}, "`chunk_dur`"),
        ({"overlap": 1.0}, "`overlap`"),
        ({"overlap": -0.1}, "`overlap`"),
        ({"overlap": 0.1, "chunk_dur": 0}, "`overlap`"),
        ({"device_id": "1"}, "`device_id`"),
        ({"niter": 1.5}, "`niter`"),
        ({"aggregate": {"a/b": ["bass"]}}, "'a/b'"),
        ({"niter": -1}, "`niter`"),
        ({"alpha": 0, "softmask": True}, "`alpha`"),
        ({"alpha": 2.0}, "`alpha`.*`softmask`"),
        ({"threads": 0}, "threads"),
        ({"engine": "torch"}, "`engine`"),
    ],
)
def test_options_that_cannot_be(options, named):
    with pytest.raises(UsageError, match=named) as raised:
        Separator(random_weights(CONFIG), **options)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "audio, error, named",
    [
        (np.zeros((0, 2), np.float32), AudioError, "no samples"),
        (np.zeros(0, np.float32), AudioError, "no samples"),
        (np.zeros((2, 1000), np.float32), UsageError, r"\(samples, channels\), not \(2, 1000\)"),
        (np.zeros((5, 2, 2), np.float32), UsageError, "shape"),
        (np.zeros((100, 2), np.int16), UsageError, "floating point"),
        (np.full((44100, 2), np.nan, np.float32), AudioError, "finite, first at 0.000 s"),
    ],
)
def test_arrays_that_are_no_audio(audio, error, named):
    with pytest.raises(error, match=named):
        separate(audio, RATE, model=random_weights(CONFIG))


@pytest.mark.parametrize("rate", [0, -1, "44100", 44100.5])
def test_rates_that_are_none(rate):
    with pytest.raises(UsageError, match="rate"):
        separate(music(0.1), rate, model=random_weights(CONFIG))


@pytest.mark.parametrize("block", [np.zeros((9, 2), np.int16), np.zeros((9, 6)), np.zeros((1, 9, 2))])
def test_blocks_that_are_no_audio(block):
    with pytest.raises(UsageError, match="audio must"):
        list(Separator(random_weights(CONFIG)).stream([music(0.1), block]))


def test_the_first_bad_sample_is_named():
    audio = music(1)
    audio[22050, 1] = np.inf
    with pytest.raises(AudioError, match=r"first at 0\.500 s"):
        separate(audio, RATE, model=random_weights(CONFIG))


def test_separating_imports_no_nnabla():
    code = (
        "import sys, numpy as np, xumx\n"
        f"stems = xumx.separate(np.ones((5000, 2), np.float32), 44100, model={str(DATA / 'x-umx.h5')!r})\n"
        "assert len(stems) == 4\n"
        "import xumx.test, xumx.separation.song\n"
        "print([m for m in sys.modules if m.split('.')[0] in ('nnabla', 'nnabla_ext', 'torch', 'musdb')])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_public_names():
    assert xumx.Separator is Separator and xumx.separate is separate
    assert xumx.load_weights(DATA / "x-umx.h5").config.arch == "x-umx"
    assert xumx.__version__.count(".") == 2
    assert {"Separator", "separate", "load_weights", "__version__"} <= set(dir(xumx))
    with pytest.raises(AttributeError):
        xumx.nothing  # noqa: B018


def test_a_separator_is_pickled_as_its_options(tmp_path):
    weights_file.save(tmp_path / "net.h5", random_weights(small_config()))
    options = {"two_stems": "drums", "niter": 0, "chunk_dur": 0.5}
    audio = music(0.7)
    for model in (str(tmp_path / "net.h5"), random_weights(small_config())):
        separator = Separator(model, **options)
        data = pickle.dumps(separator)
        again = pickle.loads(data)
        assert repr(again) == repr(separator) and again.stems == ("drums", "no_drums")
        for stem, expected in separator(audio).items():
            np.testing.assert_array_equal(again(audio)[stem], expected)
        if isinstance(model, str):
            assert len(data) < 1000, "the network is loaded again"


def test_a_separator_shows_how_it_was_made(tmp_path):
    weights_file.save(tmp_path / "net.h5", random_weights(small_config()))
    made = Separator(tmp_path / "net.h5", targets=["bass"], alpha=2.0, softmask=True)
    assert (
        repr(made) == f"Separator({str(tmp_path / 'net.h5')!r}, targets=['bass'], softmask=True, alpha=2.0)"
    )
    assert repr(Separator(random_weights(small_config()))) == "Separator(<weights of x-umx>)"


def test_type_checkers_see_the_options_of_separate():
    parameters = inspect.signature(Separator).parameters
    assert set(Options.__annotations__) == set(parameters) - {"model", "targets"}
    assert "Unpack[Options]" in str(inspect.signature(separate).parameters["options"].annotation)


@pytest.mark.parametrize("path", ["song.mp3", Path("song.mp3")], ids=["str", "Path"])
def test_a_path_is_no_audio(path):
    separator = Separator(random_weights(small_config()))
    for call in (lambda: separator(path), lambda: list(separator.stream([path]))):
        with pytest.raises(
            UsageError, match=r"array of samples, not the path 'song\.mp3'; xumx\.audio\.read"
        ):
            call()
