"""sLSTM against the paper's equations, token by token, in float64, from the weights alone."""

import pytest
import torch

from models.slstm import SLSTMSpec
from tests.models.equations.following import GATES, WIDTH, assert_follows, assert_stable, layer_norm, tokens, trained


@pytest.mark.parametrize("size", GATES)
@pytest.mark.parametrize(
    ("input_gate", "readout"),
    [("exp", "normalised"), ("sigmoid", "normalised"), ("sigmoid", "plain"), ("sigmoid", "tanh")],
)
def test_slstm_is_its_unstabilised_recurrence(size, input_gate, readout):
    heads, V = 2, WIDTH // 2
    variant = {"input_gate": input_gate, "readout": readout, "kernel": "torch"}
    mixer = trained(SLSTMSpec(name="slstm", heads=heads, recurrent_init="normal", **variant).build(WIDTH))
    with torch.no_grad():
        mixer.gates.weight.view(heads, 4, V, WIDTH)[:, :2] *= size
    outputs = []
    c, n, h = (torch.zeros(heads, V, dtype=torch.float64) for _ in range(3))
    for x_W in tokens():
        gates = (mixer.gates.weight @ x_W + mixer.gates.bias).view(heads, 4 * V)
        gates = gates + torch.stack([mixer.cell.recurrence_HGV[a] @ h[a] for a in range(heads)])
        i, f, z, o = gates.view(heads, 4, V).unbind(1)
        i = i.exp() if input_gate == "exp" else i.sigmoid()
        c = f.sigmoid() * c + i * z.tanh()
        n = f.sigmoid() * n + i
        h = o.sigmoid() * {"normalised": c / n, "plain": c, "tanh": c.tanh()}[readout]
        outputs.append(mixer.out.weight @ (torch.cat([layer_norm(h[a]) for a in range(heads)]) * mixer.norm.weight))
    assert_follows(mixer, torch.stack(outputs), tolerance=1e-9 if size == 1 else 1e-6)
    assert_stable(mixer)
