import pytest

from tasks.series.presets import PRESETS
from tasks.series.recordings import RECORDINGS


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_what_its_name_says_and_can_be_drawn(name):
    spec = PRESETS[name]
    source, system, *setting = name.split("/")
    if source == "ltsf":
        assert spec.dataset == system
        assert [f"{spec.length}-{spec.horizon}"] == setting
        assert spec.labels == "final"
    else:
        assert spec.name == source
        assert system in {"10", *map(str, dict(spec).values())}
    assert spec.batch("test", 0, 1).values_BTC.shape == (1, spec.length, spec.channels)


def test_long_term_forecasting_is_complete():
    horizons = {(spec.dataset, spec.horizon) for name, spec in PRESETS.items() if name.startswith("ltsf/")}
    assert horizons == {(dataset, horizon) for dataset in RECORDINGS for horizon in (96, 192, 336, 720)}
