import pytest

from xumx.base.errors import UsageError
from xumx.eval.scores import members_of, scenarios

SOURCES = ("drums", "bass", "other", "vocals")


def test_members():
    found = members_of(
        ["other", "accompaniment", "no_bass", "vocals", "band", "residual", "mixture"],
        SOURCES,
        {"band": ["bass", "drums"]},
    )
    assert found == {
        "vocals": ("vocals",),
        "other": ("other",),
        "accompaniment": ("bass", "drums", "other"),
        "no_bass": ("drums", "other", "vocals"),
        "band": ("bass", "drums"),
    }
    assert list(found)[:3] == ["vocals", "other", "accompaniment"], "the order of musdb's targets comes first"
    assert members_of(["linear_mixture", "all"], SOURCES, {"all": list(SOURCES)}) == {}
    assert members_of(["x", "y"], SOURCES, {"x": ["guitar"]}) == {}


@pytest.mark.parametrize(
    ("stems", "groups"),
    [
        (SOURCES, [("vocals", "drums", "bass", "other")]),
        (["vocals", "accompaniment"], [("vocals", "accompaniment")]),
        (["no_bass", "bass"], [("bass", "no_bass")]),
        ([*SOURCES, "accompaniment"], [("vocals", "drums", "bass", "other"), ("vocals", "accompaniment")]),
    ],
)
def test_scenarios(stems, groups):
    assert scenarios(members_of(stems, SOURCES)) == groups, stems


@pytest.mark.parametrize("stems", [["vocals"], [], ["drums", "accompaniment"]])
def test_nothing_to_compare(stems):
    with pytest.raises(UsageError, match="two stems or more"):
        scenarios(members_of(stems, SOURCES))
