"""The recurrence of `models.slstm_cell` as Triton kernels whose loop over time runs inside the kernel, on one GPU.

One program has a head of a block of sequences to itself. Where the head's recurrent weights fit on the chip they are
read once and stay there; else every step streams them from the cache in tiles, and h, or in the gradient that of the
pre-activations, passes from step to step through global memory. For the gradient only the pre-activations and h are
kept, 5 V float32 numbers a token: a scan without products computes c, n and m again. The input gate is exponential,
the forget gate a sigmoid, and there is a normaliser: no other cell is provided for.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from models.kernels.requirements import missing, require_triton
from models.mixer import UnsupportedKernel

try:
    import triton
    import triton.language as tl
except ModuleNotFoundError as error:
    raise missing("triton", extra="gpu", error=error) from error


def scan(
    x_THGB: Tensor, R_HGV: Tensor, h_HVB: Tensor, c_HVB: Tensor, n_HVB: Tensor, m_HVB: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Returns h_THVB and the last c, n and m as `models.slstm_cell.Scan` does; UnsupportedKernel where this cannot run.

    x and R are float32 or bfloat16, state and results float32. Products are taken in R's type, summed up in float32.
    """
    require_triton(x_THGB, kernel="triton")
    if not {x_THGB.dtype, R_HGV.dtype} <= {torch.float32, torch.bfloat16} or h_HVB.dtype != torch.float32:
        raise UnsupportedKernel(
            f"kernel triton takes x and R in float32 or bfloat16 and the state in float32, not {x_THGB.dtype}, "
            f"{R_HGV.dtype} and {h_HVB.dtype}: change the precision, or use kernel torch"
        )
    if R_HGV.dtype == torch.bfloat16 and not R_HGV.is_cuda:
        raise UnsupportedKernel(
            "kernel triton has no products in bfloat16 where it is interpreted: use float32, or a GPU"
        )
    return Scan.apply(torch.is_grad_enabled(), x_THGB, R_HGV, h_HVB, c_HVB, n_HVB, m_HVB)


class Scan(torch.autograd.Function):
    """`models.slstm_cell.Scan` by the kernels below. In memory the channels come last, after B, T and H: none is moved."""

    @staticmethod
    def forward(ctx: Any, training: bool, x_THGB: Tensor, R_HGV: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        x_BTHG, R_HGV = x_THGB.permute(3, 0, 1, 2).contiguous(), R_HGV.contiguous()
        h_BHV, *first = (tensor_HVB.permute(2, 0, 1).contiguous() for tensor_HVB in state)
        h_BTHV = h_BHV.new_empty(len(x_BTHG), x_BTHG.shape[1] + 1, *h_BHV.shape[1:])
        h_BTHV[:, 0] = h_BHV  # before the first token
        last = [tensor_BHV.clone() for tensor_BHV in first]
        gates_BTHG = torch.empty_like(x_BTHG, dtype=h_BTHV.dtype) if training else x_BTHG
        tensors = (x_BTHG, R_HGV, h_BTHV, *last, gates_BTHG)
        if fits(R_HGV):
            launch(forward_resident, *tensors, KEEP=training, **resident(R_HGV))
        else:
            launch(forward_streamed, *tensors, KEEP=training, **streamed(R_HGV))
        ctx.save_for_backward(gates_BTHG, R_HGV, h_BTHV, *first)
        ctx.type = x_BTHG.dtype
        h_THVB, (c_HVB, n_HVB, m_HVB) = h_BTHV[:, 1:].permute(1, 2, 3, 0), (cell.permute(1, 2, 0) for cell in last)
        ctx.mark_non_differentiable(m_HVB)
        return h_THVB, c_HVB, n_HVB, m_HVB

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dh_THVB: Tensor, dc_HVB: Tensor, dn_HVB: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        gates_BTHG, R_HGV, h_BTHV, *first = ctx.saved_tensors
        dh_BTHV = dh_THVB.permute(3, 0, 1, 2).contiguous()
        dc_BHV, dn_BHV = (
            d_HVB.permute(2, 0, 1).clone(memory_format=torch.contiguous_format) for d_HVB in (dc_HVB, dn_HVB)
        )
        dgates_BTHG = torch.empty_like(gates_BTHG, dtype=ctx.type)
        tensors = (gates_BTHG, R_HGV, dh_BTHV, *memories(gates_BTHG, *first), dc_BHV, dn_BHV, dgates_BTHG)
        if fits(R_HGV):
            launch(backward_resident, *tensors, **resident(R_HGV))
        else:
            launch(backward_streamed, *tensors, **streamed(R_HGV))
        factors_BTHG = dgates_BTHG.to(R_HGV.dtype)
        dR_HGV = torch.einsum("bthg,bthv->hgv", factors_BTHG, h_BTHV[:, :-1].to(R_HGV.dtype))
        dh_HVB = torch.einsum("hgv,bhg->hvb", R_HGV, factors_BTHG[:, 0]).to(h_BTHV.dtype)
        dc_HVB, dn_HVB = dc_BHV.permute(1, 2, 0), dn_BHV.permute(1, 2, 0)
        return None, dgates_BTHG.permute(1, 2, 3, 0), dR_HGV, dh_HVB, dc_HVB, dn_HVB, None


def fits(R_HGV: Tensor) -> bool:
    """Says whether the recurrent weights of one head, padded, stay on the chip of a Hopper GPU beside all else."""
    return 4 * padded(R_HGV.shape[2]) ** 2 * R_HGV.element_size() <= 128 * 1024


def padded(channels: int) -> int:
    """Returns the next power of two, and no fewer than a product takes."""
    return max(16, triton.next_power_of_2(channels))


def launch(kernel: Any, *tensors: Tensor, **options: int) -> None:
    """Runs a kernel for each head and block of sequences: small blocks as long as they have a multiprocessor each."""
    (batch, time, heads, _), R_HGV = tensors[0].shape, tensors[1]
    least = 8 if R_HGV.dtype == torch.bfloat16 else 4
    sequences = min(16, max(least, triton.next_power_of_2(triton.cdiv(heads * batch, 128))))
    grid = triton.cdiv(batch, sequences), heads
    kernel[grid](*tensors, batch, time, heads, R_HGV.shape[2], SEQUENCES=sequences, **options)


def resident(R_HGV: Tensor) -> dict[str, int]:
    channels = padded(R_HGV.shape[2])
    few = R_HGV.dtype == torch.bfloat16 and channels <= 64
    return {"CHANNELS": channels, "num_warps": 4 if few else 8}


def streamed(R_HGV: Tensor) -> dict[str, int]:
    columns = 32 if R_HGV.dtype == torch.bfloat16 else 16
    return {"ROWS": min(256, padded(R_HGV.shape[2])), "COLUMNS": columns, "num_warps": 8}


def memories(gates_BTHG: Tensor, *first: Tensor) -> list[Tensor]:
    """Returns c_BTHV, n_BTHV and m_BTHV before each token, from the first of each."""
    (batch, time, heads, _), channels = gates_BTHG.shape, first[0].shape[2]
    cnm = [first_BHV.new_empty(batch, time, heads, channels) for first_BHV in first]
    grid = triton.cdiv(batch * channels, 128), heads
    memory[grid](gates_BTHG, *first, *cnm, batch, time, heads, channels, CELLS=128, num_warps=4)
    return cnm


@triton.jit(do_not_specialize=["T"])
def forward_resident(
    x_BTHG, R_HGV, h_BTHV, c_BHV, n_BHV, m_BHV, gates_BTHG, B, T, H, V,
    CHANNELS: tl.constexpr, SEQUENCES: tl.constexpr, KEEP: tl.constexpr,
):  # fmt: skip
    """Writes h from slot 1 on, starting from slot 0; c, n and m in their places; with KEEP the pre-activations."""
    head, b_1B = tl.program_id(1), block(SEQUENCES)
    v_V1, k_1V = tl.arange(0, CHANNELS)[:, None], tl.arange(0, CHANNELS)[None, :]
    there = (v_V1 < V) & (b_1B < B)
    R_i, R_f, R_z, R_o = load_four(R_HGV + head * 4 * V * V + v_V1 * V + k_1V, V * V, (v_V1 < V) & (k_1V < V))
    gates_at, h_at = (b_1B * T * H + head) * 4 * V + v_V1, (b_1B * (T + 1) * H + head) * V + v_V1
    at = (b_1B * H + head) * V + v_V1
    h, c, n, m = load(h_BTHV + h_at, there), load(c_BHV + at, there), load(n_BHV + at, there), load(m_BHV + at, there)
    x_i, x_f, x_z, x_o = load_gates(x_BTHG + gates_at, V, there)
    for t in tl.range(0, T, num_stages=1):
        i, f, z, o = added(x_i, R_i, h), added(x_f, R_f, h), added(x_z, R_z, h), added(x_o, R_o, h)
        x_BTHG += H * 4 * V
        x_i, x_f, x_z, x_o = load_gates(x_BTHG + gates_at, V, there & (t + 1 < T))  # ahead: memory answers late
        if KEEP:
            store_gates(gates_BTHG + gates_at, V, there, i, f, z, o)
        i, f, z, o, c, n, m, h = recurrent(i, f, z, o, c, n, m)
        gates_BTHG, h_BTHV = gates_BTHG + H * 4 * V, h_BTHV + H * V
        tl.store(h_BTHV + h_at, h, there)
    store_memory(c_BHV + at, n_BHV + at, m_BHV + at, there, c, n, m)


@triton.jit(do_not_specialize=["T"])
def forward_streamed(
    x_BTHG, R_HGV, h_BTHV, c_BHV, n_BHV, m_BHV, gates_BTHG, B, T, H, V,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, SEQUENCES: tl.constexpr, KEEP: tl.constexpr,
):  # fmt: skip
    """Does what `forward_resident` does, a tile of R at a time."""
    head, b_1B = tl.program_id(1), block(SEQUENCES)
    gates_1B, h_1B, cell_1B = (b_1B * T * H + head) * 4 * V, (b_1B * (T + 1) * H + head) * V, (b_1B * H + head) * V
    R_HGV += head * 4 * V * V
    for _ in tl.range(0, T, num_stages=1):  # steps must not overlap: each reads what the one before it wrote
        for row in tl.range(0, V, ROWS, num_stages=1):
            v_V1 = row + tl.arange(0, ROWS)[:, None]
            gates_at, at, there = gates_1B + v_V1, cell_1B + v_V1, (v_V1 < V) & (b_1B < B)
            i, f, z, o = load_gates(x_BTHG + gates_at, V, there)
            for column in tl.range(0, V, COLUMNS, num_stages=3):
                k_K1, k_1K = column + tl.arange(0, COLUMNS)[:, None], column + tl.arange(0, COLUMNS)[None, :]
                h = load(h_BTHV + h_1B + k_K1, (k_K1 < V) & (b_1B < B))
                R_i, R_f, R_z, R_o = load_four(R_HGV + v_V1 * V + k_1K, V * V, (v_V1 < V) & (k_1K < V))
                i, f, z, o = added(i, R_i, h), added(f, R_f, h), added(z, R_z, h), added(o, R_o, h)
            if KEEP:
                store_gates(gates_BTHG + gates_at, V, there, i, f, z, o)
            c, n, m = load(c_BHV + at, there), load(n_BHV + at, there), load(m_BHV + at, there)
            i, f, z, o, c, n, m, h = recurrent(i, f, z, o, c, n, m)
            store_memory(c_BHV + at, n_BHV + at, m_BHV + at, there, c, n, m)
            tl.store(h_BTHV + H * V + h_1B + v_V1, h, there)
        tl.debug_barrier()
        x_BTHG, gates_BTHG, h_BTHV = x_BTHG + H * 4 * V, gates_BTHG + H * 4 * V, h_BTHV + H * V


@triton.jit(do_not_specialize=["T"])
def memory(gates_BTHG, c_BHV, n_BHV, m_BHV, c_BTHV, n_BTHV, m_BTHV, B, T, H, V, CELLS: tl.constexpr):
    """Writes c, n and m before each token, for as many cells of a head in all sequences."""
    head, cell = tl.program_id(1), tl.program_id(0) * CELLS + tl.arange(0, CELLS)
    b, v, there = (cell // V).to(tl.int64), cell % V, cell < B * V
    first_at, gates_at, at = (b * H + head) * V + v, (b * T * H + head) * 4 * V + v, (b * T * H + head) * V + v
    c, n, m = load(c_BHV + first_at, there), load(n_BHV + first_at, there), load(m_BHV + first_at, there)
    for _ in tl.range(0, T, num_stages=3):
        store_memory(c_BTHV + at, n_BTHV + at, m_BTHV + at, there, c, n, m)
        i, f, z, o = load_gates(gates_BTHG + gates_at, V, there)
        i, f, z, o, c, n, m, _h = recurrent(i, f, z, o, c, n, m)
        gates_BTHG += H * 4 * V
        c_BTHV, n_BTHV, m_BTHV = c_BTHV + H * V, n_BTHV + H * V, m_BTHV + H * V


@triton.jit(do_not_specialize=["T"])
def backward_resident(
    gates_BTHG, R_HGV, dh_BTHV, c_BTHV, n_BTHV, m_BTHV, dc_BHV, dn_BHV, dgates_BTHG, B, T, H, V,
    CHANNELS: tl.constexpr, SEQUENCES: tl.constexpr,
):  # fmt: skip
    """Writes the gradient of the pre-activations, and in their places those of the first c and n."""
    head, b_1B = tl.program_id(1), block(SEQUENCES)
    v_V1, k_1V = tl.arange(0, CHANNELS)[:, None], tl.arange(0, CHANNELS)[None, :]
    there = (v_V1 < V) & (b_1B < B)
    R_i, R_f, R_z, R_o = load_four(R_HGV + head * 4 * V * V + k_1V * V + v_V1, V * V, (v_V1 < V) & (k_1V < V))
    last_1B = (b_1B * T + T - 1) * H + head
    gates_at, h_at, at = last_1B * 4 * V + v_V1, last_1B * V + v_V1, (b_1B * H + head) * V + v_V1
    dc, dn, dh = load(dc_BHV + at, there), load(dn_BHV + at, there), tl.zeros((CHANNELS, SEQUENCES), tl.float32)
    for _ in tl.range(0, T, num_stages=2):
        dh += load(dh_BTHV + h_at, there)
        i, f, z, o = load_gates(gates_BTHG + gates_at, V, there)
        c, n, m = load(c_BTHV + h_at, there), load(n_BTHV + h_at, there), load(m_BTHV + h_at, there)
        di, df, dz, do, dc, dn = gradients(i, f, z, o, c, n, m, dh, dc, dn)
        store_gates(dgates_BTHG + gates_at, V, there, di, df, dz, do)
        dh = added(added(added(added(tl.zeros_like(dh), R_i, di), R_f, df), R_z, dz), R_o, do)
        gates_BTHG, dgates_BTHG, dh_BTHV = gates_BTHG - H * 4 * V, dgates_BTHG - H * 4 * V, dh_BTHV - H * V
        c_BTHV, n_BTHV, m_BTHV = c_BTHV - H * V, n_BTHV - H * V, m_BTHV - H * V
    tl.store(dc_BHV + at, dc, there)
    tl.store(dn_BHV + at, dn, there)


@triton.jit(do_not_specialize=["T"])
def backward_streamed(
    gates_BTHG, R_HGV, dh_BTHV, c_BTHV, n_BTHV, m_BTHV, dc_BHV, dn_BHV, dgates_BTHG, B, T, H, V,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, SEQUENCES: tl.constexpr,
):  # fmt: skip
    """Does what `backward_resident` does, a tile of R at a time."""
    head, b_1B = tl.program_id(1), block(SEQUENCES)
    last_1B, cell_1B = (b_1B * T + T - 1) * H + head, (b_1B * H + head) * V
    R_HGV += head * 4 * V * V
    for t in tl.range(0, T, num_stages=1):  # steps must not overlap: each reads what the one before it wrote
        for row in tl.range(0, V, ROWS, num_stages=1):
            v_V1 = row + tl.arange(0, ROWS)[:, None]
            gates_at, h_at, at = last_1B * 4 * V + v_V1, last_1B * V + v_V1, cell_1B + v_V1
            there = (v_V1 < V) & (b_1B < B)
            dh = load(dh_BTHV + h_at, there)
            for column in tl.range(0, V, COLUMNS, num_stages=3):
                k_K1, k_1K = column + tl.arange(0, COLUMNS)[:, None], column + tl.arange(0, COLUMNS)[None, :]
                later_at, later = last_1B * 4 * V + H * 4 * V + k_K1, (k_K1 < V) & (b_1B < B) & (t > 0)
                di, df, dz, do = load_four(dgates_BTHG + later_at, V, later)
                R_i, R_f, R_z, R_o = load_four(R_HGV + k_1K * V + v_V1, V * V, (v_V1 < V) & (k_1K < V))
                dh = added(added(added(added(dh, R_i, di), R_f, df), R_z, dz), R_o, do)
            i, f, z, o = load_gates(gates_BTHG + gates_at, V, there)
            c, n, m = load(c_BTHV + h_at, there), load(n_BTHV + h_at, there), load(m_BTHV + h_at, there)
            dc, dn = load(dc_BHV + at, there), load(dn_BHV + at, there)
            di, df, dz, do, dc, dn = gradients(i, f, z, o, c, n, m, dh, dc, dn)
            store_gates(dgates_BTHG + gates_at, V, there, di, df, dz, do)
            tl.store(dc_BHV + at, dc, there)
            tl.store(dn_BHV + at, dn, there)
        tl.debug_barrier()
        gates_BTHG, dgates_BTHG, dh_BTHV = gates_BTHG - H * 4 * V, dgates_BTHG - H * 4 * V, dh_BTHV - H * V
        c_BTHV, n_BTHV, m_BTHV = c_BTHV - H * V, n_BTHV - H * V, m_BTHV - H * V


@triton.jit
def block(SEQUENCES: tl.constexpr):
    """Returns b_1B, the sequences of this program, as numbers that can address all of a batch."""
    return (tl.program_id(0) * SEQUENCES + tl.arange(0, SEQUENCES)[None, :]).to(tl.int64)


@triton.jit
def recurrent(i, f, z, o, c, n, m):
    """Returns i, f, z, o after their activations, and the next c, n, m and h: equations as in `models.slstm_cell.advance`."""
    log_f = log_sigmoid(f) + m
    m = tl.maximum(log_f, i)  # (15)
    i, f = tl.exp(i - m), tl.exp(log_f - m)  # (16), (17)
    z, o = 2 * sigmoid(2 * z) - 1, sigmoid(o)
    c = f * c + i * z  # (8)
    n = f * n + i  # (9)
    return i, f, z, o, c, n, m, o * (c / n)  # (10)


@triton.jit
def gradients(i, f, z, o, c, n, m, dh, dc, dn):
    """Returns the gradients of the pre-activations and those of c and n before the token, from those after it."""
    c_before, n_before, slope_of_log_f = c, n, sigmoid(-f)
    i, f, z, o, c, n, m, h = recurrent(i, f, z, o, c, n, m)
    dc, dn = dc + dh * o / n, dn - dh * h / n
    di, df = i * (dc * z + dn), slope_of_log_f * f * (dc * c_before + dn * n_before)
    return di, df, dc * i * (1 - z * z), dh * h * (1 - o), dc * f, dn * f


@triton.jit
def sigmoid(x):
    small = tl.exp(-tl.abs(x))  # which cannot overflow
    return tl.where(x >= 0, 1.0, small) / (1 + small)


@triton.jit
def log_sigmoid(x):
    small = tl.exp(-tl.abs(x))
    more = 1 + small  # rounded, which the quotient makes up for
    log = tl.where(more > 1, tl.log(more) * (small / tl.where(more > 1, more - 1, 1.0)), small)
    return tl.minimum(x, 0.0) - log


@triton.jit
def added(x, R, h):
    """Returns x + R h with the factors in R's type, where float32 is not cut to 19 bits."""
    return tl.dot(R, h.to(R.dtype), x, input_precision="ieee")


@triton.jit
def load(at, there):
    return tl.load(at, there, other=0)


@triton.jit
def load_four(at, stride, there):
    return load(at, there), load(at + stride, there), load(at + 2 * stride, there), load(at + 3 * stride, there)


@triton.jit
def load_gates(at, stride, there):
    i, f, z, o = load_four(at, stride, there)
    return i.to(tl.float32), f.to(tl.float32), z.to(tl.float32), o.to(tl.float32)


@triton.jit
def store_gates(at, stride, there, i, f, z, o):
    tl.store(at, i, there)
    tl.store(at + stride, f, there)
    tl.store(at + 2 * stride, z, there)
    tl.store(at + 3 * stride, o, there)


@triton.jit
def store_memory(c_at, n_at, m_at, there, c, n, m):
    tl.store(c_at, c, there)
    tl.store(n_at, n, there)
    tl.store(m_at, m, there)
