"""Where there is no CUDA device, Triton interprets kernels; it must know before anything, torch included, imports it."""

import os

import torch

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")
