"""LSTM against the paper's equations, token by token, in float64, from the weights alone."""

import torch

from models.lstm import LSTMSpec
from tests.models.equations.following import (
    WIDTH,
    assert_follows,
    tokens,
    trained,
)


def test_lstm_is_its_recurrence():
    hidden = 5
    mixer = trained(LSTMSpec(name="lstm", hidden=hidden).build(WIDTH))
    W, R, b, b_too = mixer.cell.parameters()
    outputs, h, c = [], torch.zeros(hidden).double(), torch.zeros(hidden).double()
    for x_W in tokens():
        i, f, z, o = (W @ x_W + R @ h + b + b_too).split(hidden)
        c = f.sigmoid() * c + i.sigmoid() * z.tanh()
        h = o.sigmoid() * c.tanh()
        outputs.append(mixer.out.weight @ h)
    assert_follows(mixer, torch.stack(outputs), tolerance=1e-10)
