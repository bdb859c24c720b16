"""In which numbers a step computes: 16 bits where the device is fast at them. Weights and optimizer keep 32."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

PRECISIONS = ("auto", "fp32", "bf16", "fp16")
_FAST_AT_BF16 = {"avx512_bf16", "amx_bf16", "bf16"}  # what Linux calls it on x86, and on Arm


def chosen(wanted: str, device: torch.device) -> str:
    """One of `PRECISIONS` but "auto", for which it is what ``device`` is fast at."""
    import torch

    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    return "bf16" if device.type == "cpu" and _cpu_is_fast_at_bf16() else "fp32"


def autocast(precision: str, device: torch.device) -> Any:
    """The context in which a model computes its loss."""
    import torch

    kind = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision, torch.bfloat16)
    return torch.autocast(device.type, dtype=kind, enabled=precision != "fp32")


def scaler(precision: str, device: torch.device) -> Any:
    """Keeps small gradients above what 16 bits can tell from 0; with any but fp16 it does nothing."""
    import torch

    return torch.amp.GradScaler(device.type, enabled=precision == "fp16")


@lru_cache
def _cpu_is_fast_at_bf16() -> bool:
    # torch tells of AVX-512 with bf16 by private names only.
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return bool(_FAST_AT_BF16 & set(flags.split()))
