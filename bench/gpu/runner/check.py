"""Holds each distinct launch against the f64 evaluation of its kernel's tile form."""

import random

import torch

from .products import CODE_DEVIATION, LARGEST_CODE, find_scales, flatten, magnitude
from .tile import STORAGES, Evaluator, beyond_rounding, take

# What one evaluation may hold at once, in numbers.
ROOM = 2**26
SAMPLES = {"contract": (96, 512), "attention": (64, 3)}


class Work:
    """A launch with memory of its own: no two bindings share a byte, whatever the plan says."""

    def __init__(self, bundle, program, launch, device, generator=None):
        self.launch, self.device = launch, device
        self.kernel = bundle.kernels[launch["kernel"]]
        self.tile = self.kernel["tile"]
        self.parameters = dict(zip(self.kernel["parameters"], launch["parameters"]))
        self.labels = [program["buffers"][binding[0]]["label"] for binding in launch["bindings"]]
        self.extents = {axis["name"]: extent_of(axis, self.parameters) for axis in self.tile["axes"]}
        self.scales = find_scales(self.kernel, self.extents)
        self.buffers = {}
        for buffer, (_, _, size), label in zip(self.kernel["buffers"], launch["bindings"], self.labels):
            self.buffers[buffer["name"]] = self.make(buffer, size, label, generator)

    def make(self, buffer, size, label, generator):
        dtype = STORAGES[buffer["storage"]]
        count = size // dtype.itemsize
        if buffer["access"] == "write":
            return poisoned(size, dtype, self.device)
        if not dtype.is_floating_point:
            limit = next((term[4] for term in self.tile["terms"] if term[0] == "loaded" and term[2] == buffer["name"]), None)
            high = 2 if limit is None else int(eval(limit, {"__builtins__": {}}, dict(self.parameters)))
            return torch.randint(0, high, (count,), dtype=dtype, device=self.device, generator=generator)
        if dtype == torch.float8_e4m3fn:
            return random_codes(count, self.device, generator)
        if buffer["name"] in self.scales:
            values = torch.empty(count, dtype=dtype, device=self.device).uniform_(0.5, 1.5, generator=generator)
            return values * self.scales[buffer["name"]]
        values = torch.empty(count, dtype=dtype, device=self.device).normal_(generator=generator)
        values *= magnitude(self.tile, self.extents, buffer["name"])
        # What roots are taken of.
        return values.abs_() + 0.5 if "running_var" in label or "combine" in self.launch["kernel"] else values

    def addresses(self):
        return [self.buffers[buffer["name"]].data_ptr() for buffer in self.kernel["buffers"]]

    def written(self):
        return [buffer["name"] for buffer in self.kernel["buffers"] if buffer["access"] != "read"]

    def has(self, kind):
        return any(statement[0] == kind for statement in flatten(self.tile["body"]))

    def ranges(self):
        """First and last coordinate of each axis that this launch covers; a cut launch covers a part."""
        found = {}
        for axis in self.tile["axes"]:
            low, high = 0, self.extents[axis["name"]]
            if axis["kind"].startswith("grid"):
                at = axis["kind"][-1]
                first = self.parameters.get(f"origin_{at}", 0)
                low = first * axis["tile"]
                high = min(high, (first + self.launch["grid"]["xyz".index(at)]) * axis["tile"])
            found[axis["name"]] = (low, high)
        return found


def extent_of(axis, parameters):
    return int(eval(axis["extent"].replace("^", "**"), {"__builtins__": {}}, dict(parameters)))


def random_codes(count, device, generator=None):
    """Rows of f8e4m3 as quantising leaves them: over the whole range, no NaN."""
    codes = torch.empty(count, dtype=torch.float8_e4m3fn, device=device)
    # In pieces: random numbers are f32 first.
    for piece in codes.split(2**26):
        wide = torch.empty(piece.numel(), device=device).normal_(0, CODE_DEVIATION, generator=generator)
        piece.copy_(wide.clamp_(-LARGEST_CODE, LARGEST_CODE))
    return codes


def poisoned(size, dtype, device):
    """All bits set: not a number in any float type."""
    return torch.full((size,), 255, dtype=torch.uint8, device=device).view(dtype)


def is_poison(data):
    if data.dtype == torch.float8_e4m3fn:
        # Either sign: seven bits that are set.
        return data.view(torch.uint8).bitwise_and(127) == 127
    return data.isnan() if data.dtype.is_floating_point else data == (255 if data.dtype == torch.uint8 else -1)


def choose(low, high, count, device):
    """Coordinates in order, the first and the last among them."""
    if high - low <= count:
        return torch.arange(low, high, device=device)
    inner = random.sample(range(low + 1, high - 1), count - 2)
    return torch.tensor(sorted([low, high - 1, *inner]), device=device)


def sample_coordinates(work):
    ranges = work.ranges()
    grid = [axis["name"] for axis in work.tile["axes"] if axis["kind"].startswith("grid")]
    counts = {name: high - low for name, (low, high) in ranges.items()}
    if work.has("contract"):
        limits = SAMPLES["attention" if work.has("for") else "contract"]
        for name, limit in zip(grid, (*limits, 1)):
            counts[name] = min(counts[name], limit)
    while product(counts.values()) > ROOM * 16 if work.has("contract") else product(counts.values()) > ROOM:
        widest = max(grid, key=lambda name: counts[name])
        if counts[widest] <= 2:
            break
        counts[widest] = max(2, counts[widest] // 2)
    return {name: choose(*ranges[name], counts[name], work.device) for name in ranges}


def product(sizes):
    total = 1
    for size in sizes:
        total *= size
    return total


def tolerance(work):
    """Relative L2, and the largest error of one number against the typical size."""
    if any(buffer["storage"] == "f8e4m3" and buffer["access"] != "read" for buffer in work.kernel["buffers"]):
        # Rows are quantised in f32, and rounding to 8 bits is no error, see `beyond_rounding`.
        return 1e-4, 1e-3
    if work.scales:
        # Of sums of 8-bit products tensor cores may keep 13 bits of fraction and cut off the rest, every 32 products.
        return 2e-2 + work.extents["k"] / 32 * 2**-14, 0.15
    halves = any(buffer["storage"] in ("bf16", "f16") for buffer in work.kernel["buffers"])
    return (2e-2, 0.15) if halves or work.has("contract") else (1e-4, 1e-3)


def check_values(work, before=None):
    """Errors at sampled coordinates: {l2, worst, count}. `before`: read-write buffers as they were."""
    inputs = {**work.buffers, **(before or {})}
    evaluator = Evaluator(work.tile, work.parameters, inputs, sample_coordinates(work), work.device)
    difference = reference = 0.0
    count, worst = 0, 0.0
    for buffer, places, mask, values in evaluator.run():
        places, values = torch.broadcast_tensors(places, values.to(torch.float64))
        if mask is not None:
            mask = mask.expand_as(places)
            places, values = places[mask], values[mask]
        if places.numel() == 0:
            continue
        data = work.buffers[buffer]
        error = (take(data, places).to(torch.float64) - values).abs()
        if data.dtype == torch.float8_e4m3fn:
            error = beyond_rounding(error, values)
        typical = values.square().mean().sqrt() + 1e-30
        difference += error.square().sum().item()
        reference += values.square().sum().item()
        worst = max(worst, (error / (typical + values.abs())).max().nan_to_num(nan=float("inf")).item())
        count += values.numel()
    l2 = (difference / max(reference, 1e-60)) ** 0.5
    return {"l2": l2, "worst": worst, "count": count}


def check_written(work):
    """Which poison must be gone and which must stay: (never written, written beside)."""
    ranges = work.ranges()
    masks = {name: torch.zeros(work.buffers[name].numel(), dtype=torch.bool, device=work.device) for name in work.written()}
    grid = [axis["name"] for axis in work.tile["axes"] if axis["kind"].startswith("grid")]
    used = store_axes(work)
    counts = {name: high - low if name in used else 1 for name, (low, high) in ranges.items()}
    widest = max(grid, key=lambda name: counts[name])
    piece = max(1, counts[widest] * ROOM // max(1, product(counts.values())))
    low, high = ranges[widest][0], ranges[widest][0] + counts[widest]
    for start in range(low, high, piece):
        coordinates = {
            name: torch.arange(first, first + counts[name], device=work.device) for name, (first, _) in ranges.items()
        }
        coordinates[widest] = torch.arange(start, min(high, start + piece), device=work.device)
        for buffer, places, mask in Evaluator(work.tile, work.parameters, work.buffers, coordinates, work.device).addresses():
            places = places if mask is None else places.expand(torch.broadcast_shapes(places.shape, mask.shape))[
                mask.expand(torch.broadcast_shapes(places.shape, mask.shape))
            ]
            masks[buffer][places.reshape(-1)] = True
    missing = beside = 0
    for name, mask in masks.items():
        data = work.buffers[name]
        poison = is_poison(data)
        missing += (poison & mask).sum().item()
        beside += (~poison & ~mask).sum().item()
    return missing, beside


def store_axes(work):
    return {axis for statement in flatten(work.tile["body"]) if statement[0] == "store" for axis in statement[2]} | {
        axis["name"] for axis in work.tile["axes"] if axis["kind"].startswith("grid")
    }


def check_launch(work, run):
    """Runs the launch on poisoned outputs and judges: {l2, worst, count, missing, beside, ok}."""
    before = {
        buffer["name"]: work.buffers[buffer["name"]].clone()
        for buffer in work.kernel["buffers"]
        if buffer["access"] == "read_write"
    }
    run()
    torch.cuda.synchronize() if work.device == "cuda" else None
    errors = check_values(work, before)
    missing, beside = check_written(work) if not before else (0, 0)
    l2, worst = tolerance(work)
    ok = errors["l2"] <= l2 and errors["worst"] <= worst and missing == 0 and beside == 0 and errors["count"] > 0
    return {**errors, "missing": missing, "beside": beside, "ok": ok}
