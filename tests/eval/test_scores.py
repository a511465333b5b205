import json

import museval
import numpy as np
import pytest
from museval.aggregate import TrackStore

from tests.logs import silent, warned
from xumx.base.errors import XumxError
from xumx.eval.bsseval import METRICS
from xumx.eval.estimators import Truth
from xumx.eval.scores import members_of, read_scores, score, write_scores

RATE = 4000
SOURCES = ("drums", "bass", "other", "vocals")


@pytest.fixture(scope="module")
def truth():
    rng = np.random.default_rng(3)
    sources = {name: rng.standard_normal((3 * RATE, 1)).astype(np.float32) for name in SOURCES}
    return Truth("Song", RATE, np.sum(list(sources.values()), axis=0), sources)


@pytest.fixture(scope="module")
def estimates(truth):
    rng = np.random.default_rng(4)
    return {
        name: (0.8 * audio + 0.2 * rng.standard_normal(audio.shape)).astype(np.float32)
        for name, audio in truth.sources.items()
    }


class MusdbTrack:
    """What museval asks of a track."""

    def __init__(self, truth, targets):
        self.name, self.rate, self.subset = truth.name, truth.rate, "test"
        self.targets = {name: type("Target", (), {"audio": audio}) for name, audio in targets.items()}


def test_vocals_and_accompaniment_as_in_museval(truth, estimates):
    backing = [truth.sources[name] for name in ("bass", "drums", "other")]
    with_sum = {**estimates, "accompaniment": truth.mixture - estimates["vocals"]}
    order = ("vocals", "drums", "bass", "other")
    targets = {
        **{name: truth.sources[name] for name in order},
        "accompaniment": np.sum(backing, axis=0, dtype=float),
    }
    for stems in (with_sum, {name: with_sum[name] for name in ("vocals", "accompaniment")}):
        ours = score(truth, stems, members_of(stems, SOURCES))
        report = museval.eval_mus_track(MusdbTrack(truth, targets), stems)
        assert sorted(ours) == sorted(target["name"] for target in report.scores["targets"])
        for target in report.scores["targets"]:
            for metric, values in zip(METRICS, ours[target["name"]]):
                wanted = [float(frame["metrics"][metric]) for frame in target["frames"]]
                message = f"{list(stems)} {target['name']} {metric}"
                np.testing.assert_allclose(values, wanted, rtol=0, atol=1e-4, err_msg=message)


def test_museval_scores_unless_it_is_to_be_fast(truth, estimates, monkeypatch):
    evaluate, asked = museval.evaluate, []

    def seen(*signals, **options):
        asked.append(options)
        return evaluate(*signals, **options)

    monkeypatch.setattr(museval, "evaluate", seen)
    members = members_of(estimates, SOURCES)
    slow = score(truth, estimates, members)
    assert asked == [{"win": RATE, "hop": RATE}]
    fast = score(truth, estimates, members, fast=True)
    assert len(asked) == 1
    for stem, values in slow.items():
        np.testing.assert_allclose(fast[stem], values, rtol=0, atol=1e-6, err_msg=stem)


def test_estimates_that_do_not_fit(truth, estimates):
    two = {name: estimates[name] for name in ("drums", "vocals")}
    members = members_of(two, SOURCES)
    plain = score(truth, two, members)
    longer = {"drums": np.pad(two["drums"], ((0, 700), (0, 0)), constant_values=1), "vocals": two["vocals"]}
    with warned("Song: the estimate of drums is 700 samples longer and is cut"):
        cut = score(truth, longer, members)
    np.testing.assert_array_equal(cut["vocals"], plain["vocals"])
    with warned("1000 samples shorter and is filled with silence"):
        score(truth, {**two, "drums": two["drums"][:-1000]}, members)
    with pytest.raises(XumxError, match="Song: the estimate of vocals is silent throughout"):
        score(truth, {**two, "vocals": 0 * two["vocals"]}, members)
    with pytest.raises(XumxError, match="Song: no estimate of vocals"):
        score(truth, {"drums": two["drums"]}, members)
    with warned("drums has 2 channels, which are averaged"):
        averaged = score(
            truth, {**two, "drums": np.hstack([0.5 * two["drums"], 1.5 * two["drums"]])}, members
        )
    np.testing.assert_allclose(averaged["drums"], plain["drums"], atol=1e-4)


def test_mono_is_doubled(truth, estimates):
    rng = np.random.default_rng(5)
    stereo = {
        name: np.hstack([audio, rng.standard_normal(audio.shape)]) for name, audio in truth.sources.items()
    }
    wide = Truth("Song", RATE, np.sum(list(stereo.values()), axis=0), stereo)
    two = {name: estimates[name] for name in ("bass", "vocals")}
    members = members_of(two, SOURCES)
    with warned("estimate of (bass|vocals) is mono and is doubled"):
        doubled = score(wide, two, members)
    three = {name: np.repeat(audio, 3, axis=1) for name, audio in two.items()}
    with pytest.raises(XumxError, match="has 3 channels, not 2"):
        score(wide, three, members)
    wanted = score(wide, {name: np.repeat(audio, 2, axis=1) for name, audio in two.items()}, members)
    np.testing.assert_array_equal(doubled["bass"], wanted["bass"])


def test_score_files_are_museval_s(tmp_path):
    rng = np.random.default_rng(0)
    scores = {name: rng.normal(3, 5, (4, 6)) for name in ("vocals", "drums")}
    scores["vocals"][:, 2] = np.nan
    scores["drums"][0, 1] = np.inf
    store = TrackStore("Song", win=1.0, hop=1.0)
    for name, values in scores.items():
        store.add_target(name, {metric: row.tolist() for metric, row in zip(METRICS, values)})
    path = tmp_path / "test" / "Song.json"
    write_scores(path, scores)
    store.save(tmp_path / "theirs.json")
    # As text, since NaN is not equal to itself.
    ours, theirs = (
        json.dumps(json.loads(p.read_text()), sort_keys=True) for p in (path, tmp_path / "theirs.json")
    )
    assert ours == theirs
    store.validate()
    read, expected = read_scores(path), read_scores(tmp_path / "theirs.json")
    for name, values in expected.items():
        np.testing.assert_array_equal(read[name], values)
        finite = np.isfinite(scores[name])
        np.testing.assert_allclose(values[finite], scores[name][finite], rtol=0, atol=1e-4)
        assert np.isnan(values[~finite]).all()


def test_score_files_of_before_are_read(tmp_path):
    """Those that xumx wrote by itself: another order of the metrics, and no trailing zeros."""
    frame = '{"time": 0.0, "duration": 1.0, "metrics": {"SDR": 1.5, "ISR": NaN, "SIR": -3.0, "SAR": 4.12345}}'
    text = f'{{"targets": [{{"name": "café", "frames": [{frame}]}}], "museval_version": "0.4.1"}}'
    (tmp_path / "Song.json").write_text(text, encoding="utf-8")
    read = read_scores(tmp_path / "Song.json")
    np.testing.assert_array_equal(read["café"], [[1.5], [np.nan], [-3], [4.12345]])


@pytest.mark.parametrize(
    "text", ["", "{", "[]", 9999 * "[", '{"targets": []}', '{"targets": [{"name": "a"}]}', "\xff"]
)
def test_unreadable_score_file(tmp_path, text):
    path = tmp_path / "Song.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(XumxError, match=r"Song\.json: (is no score file|holds no scores)") as caught:
        read_scores(path)
    assert "\n" not in str(caught.value)


def test_no_warning_for_what_fits(truth, estimates):
    two = {name: estimates[name] for name in ("drums", "vocals")}
    silent(lambda: score(truth, two, members_of(two, SOURCES)))
