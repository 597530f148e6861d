"""Times by device events around graph replays: the gaps between launches stay out."""

import statistics

import torch

REPEATS = 20
# Inputs are taken in turn until they exceed this, so that none is found in the cache.
ROTATION_BYTES = 2**28


def capture(calls):
    """A graph that makes the calls in order. They must have been made before."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for call in calls:
            call()
    torch.cuda.current_stream().wait_stream(stream)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for call in calls:
            call()
    return graph


def time_region(region, repeats=REPEATS, warmup=3):
    """Milliseconds of each repetition."""
    for _ in range(warmup):
        region()
    times = []
    for _ in range(repeats):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        region()
        end.record()
        times.append((start, end))
    torch.cuda.synchronize()
    return [start.elapsed_time(end) for start, end in times]


def time_calls(calls, repeats=REPEATS):
    """Milliseconds of one call, median over repetitions of the mean over calls (one for each set of inputs)."""
    graph = capture(calls)
    once = statistics.median(time_region(graph.replay, repeats=3, warmup=1))
    # An event's clock moves in half microseconds: what is timed takes a millisecond at least.
    rounds = max(1, min(200, int(1.0 / max(once, 1e-3))))
    if rounds > 1:
        graph = capture(calls * rounds)
    times = time_region(graph.replay, repeats)
    spread = statistics.quantiles(times, n=4)
    count = len(calls) * rounds
    return {"ms": statistics.median(times) / count, "spread": (spread[2] - spread[0]) / count}


def sets_for(size):
    return max(1, min(8, -(-ROTATION_BYTES // max(1, size))))


def ceilings():
    """TFLOP/s of a large bf16 product and TB/s of a copy, read and written."""
    a, b = (torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    product = time_calls([lambda: a @ b])
    source = torch.randn(2**30, device="cuda", dtype=torch.float32)
    target = torch.empty_like(source)
    copy = time_calls([lambda: target.copy_(source)])
    return {"tflops": 2 * 8192**3 / product["ms"] / 1e9, "tbps": 2 * source.nbytes / copy["ms"] / 1e9}
