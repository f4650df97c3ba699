"""A task on the terminal: its fields, an example, and what scores without a network."""

import sys

import pytest

from tasks.presets import PRESETS
from tasks.show import main


def told(monkeypatch, capsys, *arguments: str) -> str:
    monkeypatch.setattr(sys, "argv", ["show", *arguments])
    main()
    return capsys.readouterr().out


def test_without_a_name_every_published_setting_is_listed(monkeypatch, capsys):
    assert told(monkeypatch, capsys).split() == sorted(PRESETS)


def test_an_example_is_shown_with_its_targets_below_its_tokens(monkeypatch, capsys):
    fields, _, tokens, targets, *scores = told(monkeypatch, capsys, "cdes/reverse", "--examples", "50").splitlines()
    assert "name: reverse" in fields
    assert len(tokens) == len(targets)
    tokens_BT, targets_BT = PRESETS["cdes/reverse"].batch("train", 0, 1)
    shown = [int(word) for word in targets.split()[1:] if word != "."]
    assert shown == [target for target in targets_BT[0].tolist() if target >= 0]
    assert tokens.split()[1:] == [str(token) for token in tokens_BT[0].tolist()][: len(tokens.split()) - 1]
    assert any(line.split() == ["1.0000", "oracle"] for line in scores)


def test_a_series_is_shown_by_its_values(monkeypatch, capsys):
    out = told(monkeypatch, capsys, '{"name": "narma", "length": 40, "washout": 10}', "--examples", "50")
    assert "values    " in out
    assert "mse on 50 test examples" in out


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("xlstm/revers", "no setting is called 'xlstm/revers': xlstm/reverse"),
        ('{"name": "parity"}', "parity.minimum_length: Field required"),
    ],
)
def test_what_is_wrong_is_one_line(monkeypatch, capsys, name, said):
    with pytest.raises(SystemExit) as error:
        told(monkeypatch, capsys, name)
    assert str(error.value).startswith(f"error: {said}")
    assert "\n" not in str(error.value)
