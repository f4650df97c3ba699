"""What a mixer does with a sequence, laid open: its gates, what is left of every token, and who is read with what weight.

Given its gates, keys and queries, every mixer here returns at token t a weighted sum of what the tokens up to t wrote,
h_t = sum_j w_tj v_j, as attention does: so their weights can be seen side by side. In sLSTM the gates themselves hang on what
was read before, through h; its weights are those under the gates as they were. All is computed a second time, from the
mixer's own projections and in quadratic memory, for looking at and not for training.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from models.attention import Attention
from models.gated_deltanet import GatedDeltaNet
from models.mamba2 import Mamba2
from models.mixer import SequenceMixer
from models.mlstm import MLSTM
from models.mlstm_cell import decays, normaliser
from models.slstm import SLSTM


class Dynamics(NamedTuple):
    """V counts the cells of a head that have gates of their own: those of sLSTM, elsewhere one.

    `gates` are x_BHVT by name. `log_kept_BHVT` is the logarithm of the share that each token leaves of the memory, `decay_BHVTT`
    how much the gates alone leave at t of what token j wrote; both None without gates. `weights_BHVTT` are the w_tj above,
    0 for j > t, and `output_BTW` is the mixer's output, told from them.
    """

    gates: dict[str, Tensor]
    log_kept_BHVT: Tensor | None
    decay_BHVTT: Tensor | None
    weights_BHVTT: Tensor
    output_BTW: Tensor


def dynamics(mixer: SequenceMixer, x_BTW: Tensor) -> Dynamics:
    """Returns what the mixer does with x; ValueError if it is none of `READ`."""
    if type(mixer) not in READ:
        raise ValueError(
            f"{type(mixer).__name__} has no reading yet: choose among {', '.join(kind.__name__ for kind in READ)}"
        )
    return READ[type(mixer)](mixer, x_BTW)


def attention(mixer: Attention, x_BTW: Tensor) -> Dynamics:
    """Equation 1 of Vaswani et al. 2017, with the softmax of what is visible."""
    q_BHTK, *kv_BHTK = mixer.project(x_BTW, start=0)
    k_BHTK, v_BHTK = (x_BHTK.repeat_interleave(mixer.heads // mixer.key_value_heads, dim=1) for x_BHTK in kv_BHTK)
    visible_TT = torch.ones(x_BTW.shape[1], x_BTW.shape[1], dtype=torch.bool, device=x_BTW.device).tril()
    if mixer.window is not None:
        visible_TT = visible_TT.triu(1 - mixer.window)
    scores_BHTT = q_BHTK @ k_BHTK.mT * mixer.channels**-0.5
    weights_BHTT = scores_BHTT.masked_fill(~visible_TT, -torch.inf).softmax(-1)
    return Dynamics({}, None, None, weights_BHTT[:, :, None], mixer.merge(weights_BHTT @ v_BHTK))


def mlstm(mixer: MLSTM, x_BTW: Tensor) -> Dynamics:
    """The parallel form of Beck et al. 2024 (appendix), its rows divided by the normaliser."""
    q_BHTK, k_BHTK, v_BHTV, i_BHT, f_BHT, o_BTW = mixer.project(x_BTW)
    log_f_BHT = F.logsigmoid(f_BHT)
    b_BHT = log_f_BHT.cumsum(-1)
    a_BHT = i_BHT - b_BHT
    u_BHT = a_BHT.cummax(-1).values.clamp(min=0)
    decay_BHTT, m_BHT = decays(a_BHT, u_BHT), b_BHT + u_BHT
    read_BHTT = (q_BHTK @ k_BHTK.mT) * decay_BHTT
    weights_BHTT = read_BHTT / normaliser(read_BHTT.sum(-1), m_BHT)[..., None]
    gates = exponential_gates(i_BHT, log_f_BHT, m_BHT, F.pad(m_BHT, (1, 0))[..., :-1])
    gates = {name: gate_BHT[:, :, None] for name, gate_BHT in gates.items()}
    output_BTW = mixer.merge((weights_BHTT @ v_BHTV).transpose(1, 2), o_BTW)
    return Dynamics(gates, log_f_BHT[:, :, None], decay_BHTT[:, :, None], weights_BHTT[:, :, None], output_BTW)


def exponential_gates(i_T: Tensor, log_f_T: Tensor, m_T: Tensor, m_before_T: Tensor) -> dict[str, Tensor]:
    """Returns the gates of xLSTM, as they are and scaled by their stabiliser m (Beck et al. 2024, equations 15 to 17)."""
    return {
        "forget": log_f_T.exp(),
        "input": i_T.exp(),
        "forget_stabilised": (log_f_T + m_before_T - m_T).exp(),
        "input_stabilised": (i_T - m_T).exp(),
    }


def slstm(mixer: SLSTM, x_BTW: Tensor) -> Dynamics:
    """Equations 8 to 17 of Beck et al. 2024, unrolled: c_t and n_t as sums over the tokens that wrote."""
    x_THGB, cell = mixer.project(x_BTW), mixer.cell
    h_THVB, _ = cell.scanned(x_THGB, cell.initial_state(len(x_BTW)))
    before_THVB = torch.cat([torch.zeros_like(h_THVB[:1]), h_THVB[:-1]])
    gates_THGB = x_THGB + cell.recurrence_HGV @ before_THVB
    i_BHVT, f_BHVT, z_BHVT, o_BHVT = gates_THGB.permute(3, 1, 2, 0).chunk(4, dim=2)
    if cell.input_gate == "sigmoid":
        i_BHVT = F.logsigmoid(i_BHVT)
    log_f_BHVT = F.logsigmoid(f_BHVT)
    b_BHVT = log_f_BHVT.cumsum(-1)
    a_BHVT = i_BHVT - b_BHVT
    u_BHVT = a_BHVT.cummax(-1).values
    decay_BHVTT, m_BHVT = decays(a_BHVT, u_BHVT), b_BHVT + u_BHVT
    total_BHVT1 = decay_BHVTT.sum(-1, keepdim=True) if cell.readout == "normalised" else (-m_BHVT).exp()[..., None]
    weights_BHVTT = decay_BHVTT / total_BHVT1
    read_BHVT = (weights_BHVTT @ z_BHVT.tanh()[..., None])[..., 0]
    h_BHVT = o_BHVT.sigmoid() * (read_BHVT.tanh() if cell.readout == "tanh" else read_BHVT)
    before_BHVT = F.pad(m_BHVT, (1, 0), value=-torch.inf)[..., :-1]
    gates = exponential_gates(i_BHVT, log_f_BHVT, m_BHVT, before_BHVT)
    output_BTW = mixer.merge(h_BHVT.permute(3, 1, 2, 0), dtype=x_BTW.dtype)
    return Dynamics(gates, log_f_BHVT, decay_BHVTT, weights_BHVTT, output_BTW)


def mamba2(mixer: Mamba2, x_BTW: Tensor) -> Dynamics:
    """The dual form of Dao and Gu 2024, section 3, with the path D past the state on the diagonal; the input gate is dt."""
    z_BTW, xkq_BTW, dt_BTH = mixer.project(x_BTW)
    if mixer.convolution:
        xkq_BTW = mixer.convolution(xkq_BTW)
    x_BTHV, dt_BTH, A_H, k_BTGK, q_BTGK, D_H = mixer.operands(xkq_BTW, dt_BTH)
    dt_BHT, log_kept_BHT = dt_BTH.mT, (dt_BTH * A_H).mT
    decay_BHTT = causal_decays(log_kept_BHT) * dt_BHT[..., None, :]
    products_BGTT = q_BTGK.transpose(1, 2) @ k_BTGK.transpose(1, 2).mT
    products_BHTT = products_BGTT.repeat_interleave(mixer.heads // mixer.groups, dim=1)
    skip_HTT = D_H[:, None, None] * torch.eye(x_BTW.shape[1], dtype=D_H.dtype, device=D_H.device)
    weights_BHTT = products_BHTT * decay_BHTT + skip_HTT
    y_BTHV = (weights_BHTT @ x_BTHV.transpose(1, 2)).transpose(1, 2)
    gates = {"forget": log_kept_BHT.exp()[:, :, None], "input": dt_BHT[:, :, None]}
    maps = decay_BHTT[:, :, None], weights_BHTT[:, :, None]
    return Dynamics(gates, log_kept_BHT[:, :, None], *maps, mixer.merge(y_BTHV, z_BTW))


def gated_deltanet(mixer: GatedDeltaNet, x_BTW: Tensor) -> Dynamics:
    """Equation 10 of Yang et al. 2024, solved for what is written; the input gate is beta. The decay leaves erasing out."""
    qkv_BTW, z_BTW, a_BTH, b_BTH = mixer.qkv_z_a_b(x_BTW).split(mixer.parts, dim=-1)
    if mixer.convolution:
        qkv_BTW = mixer.convolution(qkv_BTW)
    q_BHTK, k_BHTK, v_BHTV = (part.transpose(1, 2) for part in mixer.operands(qkv_BTW, dtype=x_BTW.dtype))
    log_kept_BHT, beta_BHT = (gate_BTH.mT for gate_BTH in mixer.gates(a_BTH, b_BTH))
    kept_BHTT = causal_decays(log_kept_BHT)
    erased_BHTT = (beta_BHT[..., None] * (k_BHTK @ k_BHTK.mT) * kept_BHTT).tril(-1)
    written_BHTT = torch.linalg.solve_triangular(
        erased_BHTT, torch.diag_embed(beta_BHT), upper=False, unitriangular=True
    )
    weights_BHTT = ((q_BHTK @ k_BHTK.mT) * kept_BHTT) @ written_BHTT
    gates = {"forget": log_kept_BHT.exp()[:, :, None], "input": beta_BHT[:, :, None]}
    maps = (kept_BHTT * beta_BHT[..., None, :])[:, :, None], weights_BHTT[:, :, None]
    return Dynamics(gates, log_kept_BHT[:, :, None], *maps, mixer.merge((weights_BHTT @ v_BHTV).transpose(1, 2), z_BTW))


def causal_decays(log_kept_T: Tensor) -> Tensor:
    """Returns decay_TT, what is left at t of what token j wrote, 0 if j > t; any axes may come before T."""
    b_T = log_kept_T.cumsum(-1)
    return decays(-b_T, -b_T)


READ: dict[type[SequenceMixer], Callable[..., Dynamics]] = {
    Attention: attention,
    MLSTM: mlstm,
    SLSTM: slstm,
    Mamba2: mamba2,
    GatedDeltaNet: gated_deltanet,
}
