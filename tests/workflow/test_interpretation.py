"""Gates, horizons and who is read: what is recorded gives the mixer's own output again, and what is told is what was planted."""

import io
import math
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import rc_context
from matplotlib.text import Text

import workflow.interpretation.__main__ as command
from models import gate_dynamics
from models.gate_dynamics import READ, dynamics
from models.network import SharedNetworkSpec
from tasks.memory.recall import Recall
from tasks.task import IGNORE
from tests.models.rows import MIXERS
from tests.models.weights import perturbed
from tests.workflow.test_training import folder_of, run_of, served
from workflow.identity import run_id
from workflow.interpretation import pictures
from workflow.interpretation.page import page
from workflow.interpretation.records import answer_shares, by_position, distances, horizons, reading, shares
from workflow.interpretation.subjects import SUBJECTS, subjects
from workflow.interpretation.tokens import kind, label
from workflow.interpretation.training import trained
from workflow.panels import house_style
from workflow.results import read_result
from workflow.styles import STYLES

ROOT = Path(__file__).parent.parent.parent
WIDTH, TIME = 8, 11
LAID_OPEN = [name for name, spec in MIXERS.items() if type(spec.build(WIDTH)) in READ]
GATED = [name for name in LAID_OPEN if not name.startswith("attention")]
RECALL = Recall(name="recall", length=16, vocabulary=32, pairs=4, fillers=1, power=0.01)


def mixer_of(name, *, seed=0, deviation=0.5):
    torch.manual_seed(seed)
    return perturbed(MIXERS[name].build(WIDTH), deviation=deviation).double()


def stream(seed=1):
    return torch.randn(2, TIME, WIDTH, generator=torch.Generator().manual_seed(seed)).double()


def test_every_mixer_with_a_reading_has_a_row():
    assert {type(mixer_of(name)) for name in LAID_OPEN} == set(READ)


@pytest.mark.parametrize("name", LAID_OPEN)
@given(seed=st.integers(0, 2**16), deviation=st.floats(0.01, 2))
@settings(max_examples=15, deadline=None)
def test_what_is_recorded_gives_the_mixers_own_output(name, seed, deviation):
    mixer, x_BTW = mixer_of(name, seed=seed, deviation=deviation), stream(seed)
    with torch.no_grad():
        torch.testing.assert_close(dynamics(mixer, x_BTW).output_BTW, mixer(x_BTW), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", LAID_OPEN)
def test_nothing_later_is_read_and_weights_hang_on_nothing_later(name):
    mixer, x_BTW = mixer_of(name), stream()
    with torch.no_grad():
        whole, part = dynamics(mixer, x_BTW), dynamics(mixer, x_BTW[:, :6])
    assert not whole.weights_BHVTT.triu(1).any()
    torch.testing.assert_close(whole.weights_BHVTT[..., :6, :6], part.weights_BHVTT, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ["attention", "attention-grouped", "attention-windowed", "slstm"])
def test_the_weights_of_a_mean_add_up_to_one(name):
    with torch.no_grad():
        weights_BHVTT = dynamics(mixer_of(name), stream()).weights_BHVTT
    torch.testing.assert_close(weights_BHVTT.sum(-1), torch.ones_like(weights_BHVTT[..., 0]))


@pytest.mark.parametrize("name", GATED)
def test_the_decay_is_what_the_gates_leave_step_by_step(name):
    """Of what token j wrote through its input gate, the forget gates of the tokens after j leave their product."""
    with torch.no_grad():
        found = dynamics(mixer_of(name), stream())
    stabilised = "input_stabilised" in found.gates
    forget, write = (found.gates[f"{gate}{'_stabilised' * stabilised}"] for gate in ("forget", "input"))
    left_BHVT = torch.zeros_like(found.decay_BHVTT[..., 0, :])
    for t in range(TIME):
        left_BHVT = left_BHVT * forget[..., t, None]
        left_BHVT[..., t] = write[..., t]
        torch.testing.assert_close(found.decay_BHVTT[..., t, :], left_BHVT, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(found.log_kept_BHVT.exp(), found.gates["forget"])


@given(kept=st.floats(0.05, 0.999), time=st.integers(1, 40))
@settings(max_examples=40, deadline=None)
def test_a_constant_forget_gate_keeps_as_many_tokens_as_its_power_stays_above_1_e(kept, time):
    found_T = horizons(torch.full((1, 1, 1, time), math.log(kept)).double())[0, 0, 0]
    whole = sum(kept**power > math.exp(-1) for power in range(time))
    assert found_T[-1] in (whole, whole + (math.isclose(kept**whole, math.exp(-1))))
    assert (found_T <= torch.arange(1, time + 1)).all()


def test_who_reads_all_alike_reads_as_many_tokens_as_there_are_from_their_middle():
    alike_TT = torch.ones(5, 5).double().tril() / torch.arange(1, 6).double()[:, None]
    found = by_position(gate_dynamics.Dynamics({}, None, None, -3 * alike_TT[None, None, None], stream()))
    torch.testing.assert_close(found["tokens_read", "token"].flatten(), torch.arange(1, 6).double())
    torch.testing.assert_close(found["distance", "token"].flatten(), torch.arange(5).double() / 2)
    first_TT = torch.zeros(5, 5).double()
    first_TT[:, 0] = 1
    torch.testing.assert_close(distances(first_TT[None, None]).flatten(), torch.arange(5).double())


def test_who_reads_the_answer_alone_reads_all_of_it():
    batch = RECALL.batch("test", 0, 6)
    weights_BTT = torch.zeros(6, 16, 16).double()
    for row, place in batch.labelled_BT.nonzero().tolist():
        source = (batch.tokens_BT[row] == batch.targets_BT[row, place]).nonzero()[0]
        weights_BTT[row, place, source] = -2.0
    maps_BHTT = torch.stack([weights_BTT, torch.ones_like(weights_BTT).tril()], dim=1)
    share_H, alike = answer_shares(shares(maps_BHTT[:, :, None]), batch)
    assert share_H.tolist() == pytest.approx([1.0, alike.item()])
    assert 1 / 16 < alike < 1 / 8


def network_of(name, *, depth=2, convolution=4):
    torch.manual_seed(2)
    spec = SharedNetworkSpec(
        block="shared",
        width=WIDTH,
        depth=depth,
        positions=0,
        convolution=convolution,
        feedforward=0,
        mixer=MIXERS[name],
    )
    return perturbed(spec.build(RECALL.vocabulary_size), deviation=0.1)


def test_a_network_is_laid_open_layer_by_layer_and_left_as_it_was():
    network, batch = network_of("mlstm", depth=3), RECALL.batch("test", 0, 4)
    before = {name: x.clone() for name, x in network.state_dict().items()}
    found = reading(network, batch)
    assert len(found.layers) == 3
    assert max(layer.deviation for layer in found.layers) < 1e-10
    assert not found.right_BT[batch.targets_BT == IGNORE].any()
    assert all(torch.equal(x, before[name]) for name, x in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules())


def test_weights_that_do_not_give_the_output_are_never_shown(monkeypatch):
    def wrong(mixer, x_BTW):
        found = gate_dynamics.attention(mixer, x_BTW)
        return found._replace(output_BTW=found.output_BTW * (1 + 1e-8))

    network = network_of("attention")
    monkeypatch.setitem(READ, type(network.blocks[0].mixer.inner), wrong)
    with pytest.raises(AssertionError, match="its weights give another output"):
        reading(network, RECALL.batch("test", 0, 2))


def test_a_mixer_without_a_reading_is_refused_by_name():
    with pytest.raises(ValueError, match="only networks of Attention, MLSTM"):
        reading(network_of("lstm"), RECALL.batch("test", 0, 2))
    with pytest.raises(ValueError, match="LSTM has no reading yet"):
        dynamics(MIXERS["lstm"].build(WIDTH), stream())


def test_the_network_is_the_one_the_engine_scored(tmp_path):
    run = run_of({"network.mixer": MIXERS["mlstm"].model_dump(mode="json")})
    folder = folder_of(tmp_path / "runs" / run_id(run), run)
    served([folder])
    network, found = trained(run, checkpoints=tmp_path / "checkpoints")
    assert tuple(found) == read_result(folder / "result.json").measurements
    assert not (tmp_path / "checkpoints" / run_id(run)).exists()
    batch = run.task.batch("test", 0, 2)
    with torch.inference_mode():
        answers_BT = network.double()(batch.tokens_BT).argmax(-1)
    assert torch.equal(answers_BT == batch.targets_BT, reading(network, batch).right_BT)


def test_a_network_that_diverges_is_one_line(tmp_path):
    run = run_of({"network.mixer": MIXERS["attention"].model_dump(mode="json"), "optimizer.learning_rate": 1e30})
    with pytest.raises(ValueError, match=r"attention on recall: loss was not finite .*; lower optimizer.learning_rate"):
        trained(run, checkpoints=tmp_path)


@pytest.mark.parametrize("scale", ["smoke", "quick", "paper"])
def test_every_mixer_reads_every_input_at_every_scale(scale):
    found = subjects(SUBJECTS, scale=scale)
    by_input = {}
    for subject in found:
        by_input.setdefault(subject.input, []).append(subject.run)
    assert len(by_input) == 2
    for runs in by_input.values():
        assert len({run.network.mixer.name for run in runs}) == len(runs) == 5
        assert len({run.model_dump_json(exclude={"network": {"mixer"}}) for run in runs}) == 1
        assert all(run.network.mixer.name in STYLES for run in runs)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"inputs": {}}, "inputs: "),
        ({"scales": {"quick": {"speech": {}}}}, "no input is called speech"),
        ({"scales": {"quick": {"recall": {"optimizer.stepz": 3}}}}, "optimizer.stepz"),
    ],
)
def test_a_mistake_in_the_file_is_one_line(tmp_path, change, told):
    path = tmp_path / "subjects.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(SUBJECTS.read_text(encoding="utf-8")) | change))
    with pytest.raises(ValueError, match=told) as error:
        subjects(path, scale="quick")
    assert "\n" not in str(error.value)


def test_tokens_are_told_as_a_reader_knows_them():
    text = next(subject.run.task for subject in subjects(SUBJECTS, scale="smoke") if subject.input == "text")
    assert [label(text, token) for token in (*b"a \n", 200, text.end)] == ["a", "␣", "↵", "·", "∎"]
    assert [kind(text, token) for token in (*b"a \n.", 200, text.end)] == ["letter", "space", "space", *["sign"] * 3]
    assert [label(RECALL, token) for token in (0, 1, 31)] == ["·", "1", "31"]
    asked = RECALL.batch("test", 0, 8)
    keys, values = asked.tokens_BT[:, 0:8:2].flatten().tolist(), asked.targets_BT[asked.labelled_BT].tolist()
    assert {kind(RECALL, token) for token in keys} == {"key"}
    assert {kind(RECALL, token) for token in values} == {"value"}
    assert kind(RECALL, 0) == "filler"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return leave_pictures(tmp_path_factory.mktemp("interpretation"))


def leave_pictures(folder: Path) -> Path:
    """Leaves the tables of untrained networks that read recall and text, and their figures."""
    tiny = {"optimizer.steps": 2, "optimizer.warmup_steps": 1, "optimizer.batch_size": 2, "evaluation.batches": 1}
    stated = yaml.safe_load(SUBJECTS.read_text(encoding="utf-8"))
    stated["scales"]["smoke"] = {
        name: tiny | {"network.width": 16, "evaluation.every_steps": 2} for name in stated["inputs"]
    }
    (folder / "subjects.yaml").write_text(yaml.safe_dump(stated))
    command.work(subjects(folder / "subjects.yaml", scale="smoke"), output=folder)
    pictures.draw_all(pictures.tables(folder), folder=folder / "figures")
    return folder


def test_the_tables_say_of_every_network_what_it_reads_and_keeps(folder):
    for name, (gates, summary, tokens) in pictures.tables(folder).items():
        assert gates["network.mixer.name"].nunique() == summary["run"].nunique() == 5
        share = gates[gates["name"] == "share"]
        assert set(share["unit"]) == {"fraction"}
        total = share.groupby(["run", "layer", "head", "position"])["value"].sum()
        assert total.to_numpy() == pytest.approx(1, abs=1e-5)
        assert len(share[share["head"] == 0]) == 5 * 2 * len(tokens) * (len(tokens) + 1) / 2
        deviation = summary[summary["name"] == "deviation"]
        assert len(deviation) == 10
        assert deviation["value"].max() < 1e-10
        attention = gates[gates["network.mixer.name"] == "attention"]
        assert set(attention["name"]) == {"weight", "share", "distance", "tokens_read", "right"}
        score = "accuracy" if name == "recall" else "bits_per_byte"
        assert (summary["name"] == score).sum() == 5


def test_figures_are_whole_and_the_same_when_drawn_again(folder, tmp_path):
    pictures.draw_all(pictures.tables(folder), folder=tmp_path)
    drawn = sorted(path.name for path in tmp_path.iterdir())
    kinds = [
        f"{name}{part}.{kind}"
        for name in ("recall", "text")
        for part in ("", "-horizons")
        for kind in ("svg", "pdf", "csv", "txt")
    ]
    assert drawn == sorted(kinds)
    assert all((folder / "figures" / name).read_bytes() == (tmp_path / name).read_bytes() for name in drawn)


@pytest.mark.parametrize("name", ["recall", "text"])
def test_the_text_of_a_page_is_on_it_apart_and_seven_points_at_least(folder, name):
    gates, _, tokens = pictures.tables(folder)[name]
    with rc_context(house_style()):
        figure = page(gates, tokens)
        figure.savefig(io.BytesIO(), format="pdf")
        texts = [text for text in figure.findobj(Text) if text.get_text().strip() and text.get_visible()]
        whole = figure.bbox
        for text in texts:
            box = text.get_window_extent()
            assert text.get_size() >= 7, text
            assert whole.x0 - 1 <= box.x0 < box.x1 <= whole.x1 + 1, text
            assert whole.y0 - 1 <= box.y0 < box.y1 <= whole.y1 + 1, text
        for ax in figure.axes:
            written = [label for label in ax.get_xticklabels() if label.get_text().strip()]
            for line in ([label for label in written if (label.get_text()[0] == "\n") == low] for low in (False, True)):
                edges = [(box.x0, box.x1) for box in (label.get_window_extent() for label in line)]
                letter = 1.5 if name == "text" else 0.0  # an m may reach into its neighbour's space
                assert all(right[0] > left[1] - letter for left, right in pairwise(edges)), ax
            assert len({label.get_va() for label in written}) <= 1
    assert {label for label in tokens["label"] if label != "·"} <= {text.get_text().strip() for text in texts}


def test_captions_tell_the_numbers_of_the_tables(folder):
    gates, summary, tokens = pictures.tables(folder)["recall"]
    told = (folder / "figures" / "recall.txt").read_text(encoding="utf-8")
    mine = summary[(summary["network.mixer.name"] == "mamba2") & (summary["name"] == "answer_share")]
    by_layer = mine.groupby("layer")["value"].mean()
    assert f"Mamba-2 {100 * by_layer.max():.0f} % (layer {by_layer.idxmax():.0f})" in told
    assert " ".join(tokens["label"]) in told
    right = gates[(gates["name"] == "right") & (gates["network.mixer.name"] == "slstm")]["value"].sum()
    assert f"sLSTM {right:.0f}" in told.partition("Right in this input, of 8: ")[2].partition(".")[0]
    assert "square" not in (folder / "figures" / "text.txt").read_text(encoding="utf-8")


def test_pictures_are_drawn_without_torch():
    program = "import sys, workflow.interpretation.pictures; assert not {'torch', 'models', 'tasks'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize("module", ["workflow.interpretation", "workflow.interpretation.pictures"])
def test_what_is_missing_is_one_line(tmp_path, module):
    missing = [str(tmp_path)] if module.endswith("pictures") else ["--subjects", str(tmp_path / "none.yaml")]
    program = [sys.executable, "-m", module, *missing, "--output", str(tmp_path / "out")]
    ended = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr.startswith("error: ")
    assert ended.stderr.count("\n") == 1
