"""The recurrence of sLSTM over a sequence, with its gradient (Beck et al. 2024, arXiv 2405.04517, equations 8 to 17)."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from models.stacking import is_stacked, of_members

PIECE = 64  # steps for which the gradient holds at once how one acts on the next
InputGate = Literal["exp", "sigmoid"]
Readout = Literal["normalised", "plain", "tanh"]


class SLSTMState(NamedTuple):
    """Output h, memory c, normaliser n (both scaled by exp(-m)) and stabiliser m, -inf while the memory is empty."""

    h_HVB: Tensor
    c_HVB: Tensor
    n_HVB: Tensor
    m_HVB: Tensor


class Cells(NamedTuple):
    """A state with its axes in the order in which a CPU multiplies fastest, or the states of all steps, with T before H."""

    h_HBV: Tensor
    c_HBV: Tensor
    n_HBV: Tensor
    m_HBV: Tensor


def advance(
    gates_HBGV: Tensor, log_f_HBV: Tensor, before: Cells, after: Cells, *, input_gate: InputGate, readout: Readout
) -> None:
    """Writes the state after one more step into `after`: equations 8 to 14 of the paper, stabilised (15 to 17).

    The pre-activations become i and f, scaled to the new stabiliser, z and o; log_f gets the logarithm of the unscaled f.
    """
    i_HBV, f_HBV, z_HBV, o_HBV = gates_HBGV.unbind(2)
    if input_gate == "sigmoid":
        i_HBV.copy_(F.logsigmoid(i_HBV))
    F.logsigmoid(f_HBV, out=log_f_HBV)
    f_HBV.copy_(log_f_HBV).add_(before.m_HBV)  # as an out= that is not contiguous, torch.compile writes it elsewhere
    torch.maximum(f_HBV, i_HBV, out=after.m_HBV)  # (15)
    gates_HBGV[:, :, :2].sub_(after.m_HBV[:, :, None]).exp_()  # (16), (17)
    z_HBV.tanh_()
    o_HBV.sigmoid_()
    torch.mul(f_HBV, before.c_HBV, out=after.c_HBV).addcmul_(i_HBV, z_HBV)  # (8)
    torch.addcmul(i_HBV, f_HBV, before.n_HBV, out=after.n_HBV)  # (9)
    if readout == "normalised":
        torch.div(after.c_HBV, after.n_HBV, out=after.h_HBV)
    else:
        torch.mul(after.c_HBV, torch.exp(after.m_HBV), out=after.h_HBV)
    if readout == "tanh":
        after.h_HBV.tanh_()
    after.h_HBV.mul_(o_HBV)  # (10)


def scan(
    x_THGB: Tensor, R_HGV: Tensor, state: SLSTMState, *, input_gate: InputGate, readout: Readout
) -> Sequence[Tensor]:
    """Returns h_THVB and the last c, n and m; within vmap the heads of all members are read as those of one network."""
    operands = x_THGB, R_HGV, *state, input_gate, readout
    return of_members(scan_of_members, *operands) if is_stacked(x_THGB) else Scan.apply(*operands)


def scan_of_members(x_ETHGB: Tensor, R_EHGV: Tensor, *others: Any) -> tuple[Tensor, ...]:
    """Returns h_ETHVB and the last c, n and m of all members."""
    x_THBG = x_ETHGB.mT.transpose(0, 1).flatten(1, 2)  # so that what a copy there must be is in the order `Scan` reads
    *state, input_gate, readout = others
    R_HGV, *state = (part.flatten(0, 1) for part in (R_EHGV, *state))
    h_THVB, *cnm = Scan.apply(x_THBG.mT, R_HGV, *state, input_gate, readout)
    apart = len(R_EHGV), -1
    return h_THVB.unflatten(1, apart).transpose(0, 1), *(part.unflatten(0, apart) for part in cnm)


class Scan(torch.autograd.Function):
    """The recurrence over all of x_THGB, returning h_THVB and the last c, n and m, with its gradient written out.

    Automatic differentiation would record and replay every small operation of every step. By hand, all that does not
    depend on a later step is computed for many steps at once. No gradient goes through m: its scale cancels in h.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x_THGB: Tensor,
        R_HGV: Tensor,
        h_HVB: Tensor,
        c_HVB: Tensor,
        n_HVB: Tensor,
        m_HVB: Tensor,
        input_gate: InputGate = "exp",
        readout: Readout = "normalised",
    ) -> tuple[Tensor, ...]:
        time, heads, _, batch = x_THGB.shape
        gates_THBGV = x_THGB.new_empty(time, heads, batch, 4, R_HGV.shape[2])
        log_f_THBV = torch.empty_like(gates_THBGV[..., 0, :])
        cells = Cells(*x_THGB.new_empty(4, time + 1, *log_f_THBV.shape[1:]))
        for cell_THBV, initial_HVB in zip(cells, (h_HVB, c_HVB, n_HVB, m_HVB), strict=True):
            cell_THBV[0] = initial_HVB.mT
        R_HVG, at = R_HGV.mT.contiguous(), [Cells(*steps) for steps in zip(*map(torch.unbind, cells), strict=True)]
        for t, (x_HGB, gates_HBGV) in enumerate(zip(x_THGB.unbind(), gates_THBGV.unbind(), strict=True)):
            torch.baddbmm(x_HGB.mT, at[t].h_HBV, R_HVG, out=gates_HBGV.flatten(2))
            advance(gates_HBGV, log_f_THBV[t], at[t], at[t + 1], input_gate=input_gate, readout=readout)
        ctx.save_for_backward(gates_THBGV, log_f_THBV, R_HGV, *cells)
        ctx.input_gate, ctx.readout = input_gate, readout
        c_HVB, n_HVB, m_HVB = (cell_HBV.mT.clone() for cell_HBV in at[-1][1:])
        ctx.mark_non_differentiable(m_HVB)
        return cells.h_HBV[1:].mT, c_HVB, n_HVB, m_HVB

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dh_THVB: Tensor, dc_HVB: Tensor, dn_HVB: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        gates_THBGV, log_f_THBV, R_HGV, *cells = ctx.saved_tensors
        dgates_THBGV, dh_THBV = torch.empty_like(gates_THBGV), dh_THVB.mT
        dh_HBV, dcn_GHBV = torch.zeros_like(dh_THBV[0]), torch.stack([dc_HVB.mT, dn_HVB.mT])
        for end in range(len(dh_THBV), 0, -PIECE):
            piece = slice(max(end - PIECE, 0), end)
            influences = influences_of(
                gates_THBGV[piece],
                log_f_THBV[piece],
                Cells(*(cell_THBV[piece.start : end + 1] for cell_THBV in cells)),
                input_gate=ctx.input_gate,
                readout=ctx.readout,
            )
            retreat(dgates_THBGV[piece], dh_THBV[piece], dh_HBV, dcn_GHBV, R_HGV, influences)
        dgates_THBG = dgates_THBGV.flatten(3)
        dR_HGV = (dgates_THBG.mT @ cells[0][:-1]).sum(0)
        dc_HBV, dn_HBV = dcn_GHBV
        return dgates_THBG.mT, dR_HGV, dh_HBV.mT, dc_HBV.mT, dn_HBV.mT, None, None, None


class Influences(NamedTuple):
    """How at each step the pre-activations act on c, n and h, and how c and n, here the axis G, act on h and on their next."""

    ifz_on_c_THBGV: Tensor
    if_on_n_THBGV: Tensor
    o_on_h_THBV: Tensor
    cn_on_h_TGHBV: Tensor
    cn_on_cn_THBV: Tensor


def influences_of(
    gates_THBGV: Tensor, log_f_THBV: Tensor, cells: Cells, *, input_gate: InputGate, readout: Readout
) -> Influences:
    """Returns the derivatives of `advance`; `cells` begin one step before the gates."""
    i, f, z, o = gates_THBGV.unbind(3)
    h, c_before, n_before, c, n, m = (
        cells.h_HBV[1:],
        cells.c_HBV[:-1],
        cells.n_HBV[:-1],
        *(cell_THBV[1:] for cell_THBV in cells[1:]),
    )
    di = i if input_gate == "exp" else i * (1 - i * torch.exp(m))
    df = -torch.expm1(log_f_THBV) * f
    if readout == "normalised":
        c_on_h, n_on_h = o / n, -h / n
    else:
        c_on_h, n_on_h = o * torch.exp(m), torch.zeros_like(n)
    if readout == "tanh":
        c_on_h = c_on_h * (1 - torch.tanh(c * torch.exp(m)).square())
    return Influences(
        torch.stack([di * z, df * c_before, i * (1 - z * z)], dim=3),
        torch.stack([di, df * n_before], dim=3),
        h * (1 - o),
        torch.stack([c_on_h, n_on_h], dim=1),
        f,
    )


def retreat(
    dgates_THBGV: Tensor, dh_THBV: Tensor, dh_HBV: Tensor, dcn_GHBV: Tensor, R_HGV: Tensor, influences: Influences
) -> None:
    """Writes the gradients of some steps' pre-activations, from their outputs' dh_THBV.

    `dh_HBV` and `dcn_GHBV`, those that come back from the steps after, become those that go on to the steps before.
    """
    dc_HBGV, dn_HBGV = dcn_GHBV[:, :, :, None]
    dgates_THBG, ifz, only_if, only_o = (
        dgates_THBGV.flatten(3),
        dgates_THBGV[:, :, :, :3],
        dgates_THBGV[:, :, :, :2],
        dgates_THBGV[:, :, :, 3],
    )
    steps = zip(*map(torch.unbind, (dh_THBV, dgates_THBG, ifz, only_if, only_o, *influences)), strict=True)
    for above, dgates, difz, dif, do, ifz_on_c, if_on_n, o_on_h, cn_on_h, cn_on_cn in reversed([*steps]):
        dh_HBV.add_(above)
        dcn_GHBV.addcmul_(dh_HBV, cn_on_h)
        torch.mul(dc_HBGV, ifz_on_c, out=difz)
        dif.addcmul_(dn_HBGV, if_on_n)
        torch.mul(dh_HBV, o_on_h, out=do)
        torch.bmm(dgates, R_HGV, out=dh_HBV)
        dcn_GHBV.mul_(cn_on_cn)
