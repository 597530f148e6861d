"""What PyTorch does for the same work as one launch, on the same shapes."""

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from .check import random_codes
from .products import count_columns
from .measure import sets_for, time_calls

BACKENDS = (SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION)


def random(*shape):
    return torch.randn(*shape, device="cuda", dtype=torch.bfloat16)


def time_product(m, n, k):
    weight = random(n, k) * k**-0.5
    inputs = [random(m, k) for _ in range(sets_for(2 * (m * k + n * k + m * n)))]
    out = torch.empty(m, n, device="cuda", dtype=torch.bfloat16)
    return time_calls([lambda x=x: torch.mm(x, weight.t(), out=out) for x in inputs]) | {"by": "mm"}


def time_quantised_product(m, n, k, note):
    """
    The faster one of a scale for a whole matrix and one for each row: they are different kernels. A PyTorch that has no such
    product, or another one, or not for this GPU, says so in a note. None when none can be measured.
    """
    weight = random_codes(n * k, "cuda").view(n, k)
    inputs = [random_codes(m * k, "cuda").view(m, k) for _ in range(sets_for(m * k + n * k + 2 * m * n))]
    best = None
    for kind, left, right in (("one scale", (), ()), ("a scale a row", (m, 1), (1, n))):
        scales = {name: torch.full(shape, 1e-3, device="cuda") for name, shape in (("scale_a", left), ("scale_b", right))}
        # Sums in the tensor cores' own precision, as ours are.
        call = lambda x: torch._scaled_mm(x, weight.t(), **scales, out_dtype=torch.bfloat16, use_fast_accum=True)
        try:
            found = time_calls([lambda x=x: call(x) for x in inputs]) | {"by": f"_scaled_mm, {kind}"}
        except Exception as error:  # A peer that fails is no result of ours.
            note(f"_scaled_mm with {kind}: {type(error).__name__}: {str(error)[:120]}")
            continue
        if best is None or found["ms"] < best["ms"]:
            best = found
    return best


def time_attention(batch, heads, tokens, size):
    """The fastest of the backends that take the shape."""
    q, k, v = (random(batch, heads, tokens, size) for _ in range(3))
    best = None
    for backend in BACKENDS:
        try:
            with sdpa_kernel(backend):
                found = time_calls([lambda: F.scaled_dot_product_attention(q, k, v)]) | {"by": f"sdpa {backend.name}"}
        except RuntimeError:
            continue
        if best is None or found["ms"] < best["ms"]:
            best = found
    return best


def time_convolution(pixels, channels_out, k, input_pixels):
    """Square pictures; the input may be twice or half as wide (stride 2, or nearest doubling before)."""
    taps = 9 if k % 9 == 0 else 1
    channels_in = k // taps
    width = round(input_pixels**0.5)
    x = random(1, channels_in, width, width).contiguous(memory_format=torch.channels_last)
    weight = (random(channels_out, channels_in, *(2 * [3 if taps == 9 else 1])) * k**-0.5).contiguous(
        memory_format=torch.channels_last
    )
    bias = random(channels_out)
    up, stride = pixels > input_pixels, 2 if pixels < input_pixels else 1

    def run():
        y = F.interpolate(x, scale_factor=2, mode="nearest") if up else x
        return F.conv2d(y, weight, bias, stride=stride, padding=taps // 9)

    return time_calls([run]) | {"by": "conv2d"}


def time_baseline(work, note):
    """A timing for launches that one call of PyTorch matches, otherwise None. `note` takes sentences on what could not be measured."""
    name = work.launch["kernel"]
    sizes = work.extents
    if name.startswith("attention"):
        return time_attention(sizes.get("z", 1), sizes.get("h", 1), sizes["m"], sizes["d"])
    if not work.has("contract") or not {"m", "k"} <= set(sizes):
        return None
    if "conv2d" in name:
        dtype = work.buffers["a0"].element_size()
        if sizes.get("z") == 4:
            # Filters of 2 x 2 for each of four positions: those of 3 x 3 on a picture twice as wide.
            return time_convolution(4 * sizes["m"], sizes["n"], sizes["k"] // 4 * 9, sizes["m"])
        taps = 9 if sizes["k"] % 9 == 0 else 1
        pixels = work.launch["bindings"][0][2] // dtype // (sizes["k"] // taps)
        return time_convolution(sizes["m"], sizes["n"], sizes["k"], pixels)
    columns = count_columns(work.tile, sizes)
    if work.scales:
        return time_quantised_product(sizes["m"], columns, sizes["k"], note)
    return time_product(sizes["m"], columns, sizes["k"])
