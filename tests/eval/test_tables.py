import numpy as np
import pandas as pd
import pytest
from museval import EvalStore

from xumx.base.errors import XumxError
from xumx.eval.report import PAGE, PICTURE, write_report
from xumx.eval.scores import write_scores
from xumx.eval.tables import (
    by_target,
    comparison,
    ranking,
    read_table,
    significance,
    summary,
    table_of,
    unscored,
    write_table,
)


def scores_of(seed, tracks=3, frames=5, offset=0.0):
    rng = np.random.default_rng(seed)
    made = {}
    for index in range(tracks):
        made[f"Track {index}"] = {
            name: np.round(rng.normal(5, 2, (4, frames)) + offset, 2) for name in ("vocals", "drums")
        }
        for values in made[f"Track {index}"].values():
            values[:, index] = np.nan
    return made


GOLDEN = """\
| dB     |  SDR |  SIR |  ISR |  SAR |
| ------ | ---: | ---: | ---: | ---: |
| vocals | 4.97 | 4.96 | 6.21 | 4.74 |
| drums  | 6.25 | 5.31 | 3.79 | 5.98 |
| mean   | 5.62 | 5.14 | 5.00 | 5.36 |

Median over 3 tracks of the median over frames of 1 s. 3 of 15 frames have no score: \
a truth or an estimate is silent there.

| SDR, dB        | vocals | drums | mean |
| -------------- | -----: | ----: | ---: |
| mine           |   4.97 |  6.25 | 5.62 |
| UMX, published |   6.32 |  5.73 | 6.03 |
"""


def test_golden_table():
    others = {"UMX, published": {"vocals": 6.32, "drums": 5.73, "mean": 6.025}}
    assert summary(table_of(scores_of(0)), "mine", others) == GOLDEN
    assert summary(table_of(scores_of(0)), "mine") == GOLDEN[: GOLDEN.rindex("\n\n") + 1]


def test_medians_are_museval_s(tmp_path):
    scores = scores_of(1)
    for track, values in scores.items():
        write_scores(tmp_path / "test" / f"{track}.json", values)
    store = EvalStore()
    store.add_eval_dir(tmp_path)
    theirs = store.agg_frames_tracks_scores().unstack()
    ours = by_target(read_table(tmp_path))
    for target in ("vocals", "drums"):
        for metric in ("SDR", "SIR", "ISR", "SAR"):
            assert ours.loc[target, metric] == pytest.approx(theirs.loc[target, metric], abs=1e-9), (
                target,
                metric,
            )


def test_csv_keeps_everything(tmp_path):
    table = table_of(scores_of(2))
    write_table(tmp_path / "scores.csv", table)
    for path in (tmp_path, tmp_path / "scores.csv"):
        pd.testing.assert_frame_equal(read_table(path), table, check_exact=True)
    assert unscored(table) == (3, 15)


def test_unreadable_tables(tmp_path):
    with pytest.raises(XumxError, match="holds neither"):
        read_table(tmp_path)
    with pytest.raises(XumxError, match="nowhere: cannot be read"):
        read_table(tmp_path / "nowhere")
    for text in ("", "a,b\n1,2\n", "track,target,time,metric,score\na,b,0,SDR,loud\n", 'x"\n"y'):
        (tmp_path / "scores.csv").write_text(text)
        with pytest.raises(XumxError, match=r"scores\.csv: is no table of scores") as caught:
            read_table(tmp_path)
        assert "\n" not in str(caught.value), text


def test_a_metric_never_scored(tmp_path):
    scores = scores_of(3)
    for track in scores.values():
        for values in track.values():
            values[0] = np.nan
    assert "| vocals |   – |" in summary(table_of(scores), "run")
    write_report(tmp_path, table_of(scores), "run")


def test_comparison():
    one, two = table_of(scores_of(0, 8, 9)), table_of(scores_of(0, 8, 9, offset=0.5))
    text = comparison({"one": one, "two": two})
    row = next(line for line in text.splitlines() if line.startswith("| vocals SDR"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    # All of 8 differences have one sign: p = 2 / 2^8.
    assert cells[3:] == ["+0.50", "0.0078"]
    assert "8 tracks" in text
    fewer = two[two["track"] != "Track 1"]
    assert "7 tracks" in comparison({"one": one, "two": fewer, "three": one})
    assert comparison({"one": one, "same": one}).count(" 1 |") == 8
    with pytest.raises(XumxError, match="no scores of the same tracks"):
        comparison({"one": one, "none": two.assign(track="x")})


def test_significance_by_enumeration():
    rng = np.random.default_rng(0)
    difference = rng.normal(0.5, 1, 9)
    ranks = np.abs(difference).argsort().argsort() + 1
    signs = np.array(np.meshgrid(*[[0, 1]] * 9)).reshape(9, -1)
    all_sums, seen = ranks @ signs, ranks @ (difference > 0)
    p = 2 * min((all_sums >= seen).mean(), (all_sums <= seen).mean())
    assert significance(difference, np.zeros(9)) == pytest.approx(min(p, 1))


def test_report(tmp_path):
    scores = scores_of(4, tracks=4, frames=6)
    for name in scores:
        for values in scores[name].values():
            values += 3 * int(name[-1])
    table = table_of(scores)
    order = list(ranking(table).index)
    assert order == [f"Track {index}" for index in (3, 2, 1, 0)]
    write_report(tmp_path / "report", table, "mine")
    page = (tmp_path / "report" / PAGE).read_text()
    assert summary(table, "mine") in page and f"({PICTURE})" in page
    best, worst = page.split("## Worst tracks")
    assert best.index("Track 3") < best.index("Track 2") and "Track 0" not in best
    assert worst.index("Track 0") < worst.index("Track 1") and "Track 3" not in worst
    assert (tmp_path / "report" / PICTURE).read_bytes().startswith(b"\x89PNG")
