"""The settings of MAD's benchmark."""

from collections import Counter

from tasks.mad.presets import PRESETS


def test_there_are_66_settings_by_task():
    tasks = Counter(name.split("/")[1] for name in PRESETS)
    assert tasks == {
        "in-context-recall": 11,
        "noisy-recall": 14,
        "fuzzy-recall": 11,
        "selective-copying": 13,
        "compression": 11,
        "memorization": 6,
    }
    assert len(set(PRESETS.values())) == 66


def test_a_setting_changes_what_its_name_says_of_the_baseline_and_nothing_else():
    for name, task in PRESETS.items():
        suite, kind, setting = name.split("/")
        baseline = PRESETS[f"{suite}/{kind}/baseline"]
        assert task.name == f"mad-{kind}"
        changed = {field for field, value in dict(task).items() if value != getattr(baseline, field)}
        if setting == "baseline":
            continue
        (field,) = changed
        assert setting == f"{field.replace('_', '-')}-{getattr(task, field)}"


def test_published_settings_are_those_of_the_paper():
    assert dict(PRESETS["mad/noisy-recall/vocabulary-144"]) == {
        "name": "mad-noisy-recall",
        "length": 128,
        "vocabulary": 144,
        "labels": "all",
        "examples": 12_800,
        "noise_tokens": 16,
        "noise_fraction": 0.2,
    }
    assert {task.examples for task in PRESETS.values()} == {12_800, 6400, 3200, 1600, 800, 256}


def test_every_setting_trains_and_tests():
    for name, task in PRESETS.items():
        fresh = task.at({"examples": None})
        for split in ("train", "test"):
            tokens_BT, targets_BT = fresh.batch(split, 0, 2)
            assert tokens_BT.shape == targets_BT.shape == (2, task.length), name
