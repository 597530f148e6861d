"""What is checked and measured, one function a section; `Clock` says when its time is over."""

import contextlib
import signal
import statistics
import time

import torch

from .baselines import time_baseline
from .bundle import base_of, distinct_launches, form_of, is_copy, order_for_measuring, rank, shape_of
from .check import Work, check_launch
from .measure import capture, sets_for, time_calls, time_region
from .reference import Decoder, Transformer, rope_tables
from .report import describe_check


class Clock:
    def __init__(self, seconds):
        self.end = time.monotonic() + seconds

    def left(self):
        return self.end - time.monotonic()


@contextlib.contextmanager
def limit(seconds):
    """Raises TimeoutError in the block after so many seconds."""

    def stop(*_):
        raise TimeoutError(f"took more than {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, max(0.1, seconds))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def name_of(machine, launch, program):
    programs = machine.bundle.programs
    form = form_of(programs, program, launch)
    name = f"{base_of(programs, program)}: {launch['label'].replace('transformer.', '')} [{launch['kernel']}]"
    return f"{name}, {form}" if form else name


def check_kernels(machine, report, clock, quick):
    """Every distinct launch, plain products and those of a double and a single block first."""
    found = distinct_launches(machine.bundle.programs)
    programs = machine.bundle.programs
    found.sort(key=lambda entry: rank(programs, *entry))
    for at, (program, launch) in enumerate(found):
        if clock.left() < 0 or (quick and rank(programs, program, launch) > 1):
            report.note(f"checks: {len(found) - at} of {len(found)} distinct launches were not reached")
            break
        name = name_of(machine, launch, program)
        try:
            work = Work(machine.bundle, machine.bundle.programs[program], launch, "cuda")
            result = check_launch(work, machine.launch_of(work))
        except torch.cuda.OutOfMemoryError:
            torch.cuda.empty_cache()
            report.note(f"check of {name}: no memory")
            continue
        report.checks.append({"name": name, **result})
        if not result["ok"]:
            print(f"  FAILS {name}: {describe_check(result)}", flush=True)
        del work
    torch.cuda.empty_cache()


def measure_kernels(machine, report, clock, quick):
    """Plain products, then each distinct launch of one double and one single block of dev; what has several forms in all of them."""
    # Plain products by their operands.
    plain, peers = {}, {}
    for program, launch in order_for_measuring(machine.bundle.programs):
        described = machine.bundle.programs[program]
        if clock.left() < 0:
            report.note("kernels: the time was over before all were measured")
            break
        if quick and launch["flop"] < 1e11:
            continue
        work = Work(machine.bundle, described, launch, "cuda")
        size = sum(binding[2] for binding in launch["bindings"])
        works = [work, *(Work(machine.bundle, described, launch, "cuda") for _ in range(sets_for(size) - 1))]
        own = time_calls([machine.launch_of(each) for each in works])
        shape = shape_of(machine.bundle.programs, program, launch)
        if shape not in peers:
            peers[shape] = time_baseline(work, report.note)
        peer = peers[shape]
        # Another form stands beside the one that has the goal.
        is_other = "of" in described
        goal, met = ("", None) if is_other else goal_of(described, launch, own["ms"], peer, plain.get(described["operands"]))
        if is_plain(described, launch) and not is_other:
            plain[described["operands"]] = own["ms"]
        report.row(
            "kernel",
            name_of(machine, launch, program),
            own["ms"],
            launch["flop"],
            launch["bytes"],
            peer and peer["ms"],
            peer["by"] if peer else "",
            goal,
            met,
            own["spread"],
        )
        del work, works
        torch.cuda.empty_cache()


def is_plain(program, launch):
    return program["function"] == "contraction" and launch["flop"] > 1e12


def goal_of(program, launch, ms, peer, plain):
    if is_plain(program, launch):
        return (">= 95 % of the vendor's", ms <= peer["ms"] / 0.95) if peer else ("", None)
    if "attention" in launch["kernel"]:
        return ">= 600 TFLOP/s", launch["flop"] / ms / 1e9 >= 600
    if "to_qkv_mlp_proj" in launch["label"] and plain is not None and program["variant"] == "dev":
        return "<= 1.03 of the plain product", ms <= 1.03 * plain
    return "", None


def block_orders(program):
    """Launches of the first double and the first single block, by name."""
    orders = {}
    for at in program["iterations"][0]:
        launch = program["launches"][at]
        if not is_copy(launch) and launch.get("block") in ("double.0", "single.0"):
            orders.setdefault(launch["block"], []).append(at)
    return orders


def flop_of(program, order):
    return sum(program["launches"][at].get("flop", 0) for at in order)


def run_transformer(machine, report, clock, quick, name):
    """One step and two blocks, by time and by value, against plain PyTorch on the same weights."""
    loaded = machine.load(name)
    for note in loaded.notes:
        report.note(f"{name}: {note}")
    program, config = loaded.json, loaded.json["config"]
    weights = loaded.weights()
    ropes = [rope_tables(loaded.input(ids), config, "cuda") for ids in ("txt_ids", "img_ids")]
    noise = loaded.input("noise")[0].clone()
    times, deltas = loaded.input("timesteps").clone(), loaded.input("sigma_deltas").clone()
    guidance = loaded.input("guidance")
    prompt = loaded.input("prompt_embeds")[0]
    loaded.run_all()
    torch.cuda.synchronize()
    got = loaded.result()[0].float().clone()
    with torch.no_grad():
        if clock.left() > 20:
            exact = Transformer(config, weights, torch.float32)
            expected = exact.denoise(noise, prompt, ropes, times, deltas, guidance)
            moved, error = (expected - noise).norm(), (got - expected).norm()
            result = {"l2": (error / moved).item(), "worst": ((got - expected).abs().max() / moved * got.numel() ** 0.5).item()}
            result["ok"] = result["l2"] < 5e-2
            report.checks.append({"name": f"{name}: latents against PyTorch in f32", **result})
            print(f"  {name}: latents against PyTorch in f32: {describe_check(result)}", flush=True)
        own = {block: time_calls([loaded.steps(order)]) for block, order in block_orders(program).items()}
        order = program["iterations"][0]
        step = statistics.median(time_region(capture([loaded.steps(order)]).replay, 5 if quick else 20))
        whole = statistics.median(time_region(capture([loaded.run_all]).replay, 5 if quick else 20))
        plain = Transformer(config, weights, torch.bfloat16)
        peers = time_peers(plain, config, ropes, noise, prompt, times, guidance, report, clock, quick)
    variant = program["variant"]
    for block, timing in own.items():
        peer = peers.get(block, {})
        flop = flop_of(program, block_orders(program)[block])
        report.row("block", f"{variant} {block}", timing["ms"], flop, 0, peer.get("ms"), peer.get("by", ""), spread=timing["spread"])
    goal = ("<= 400 ms", step <= 400) if variant == "dev" else ("", None)
    peer = peers.get("step", {})
    report.row("step", f"{variant} one step", step, flop_of(program, order), 0, peer.get("ms"), peer.get("by", ""), *goal)
    report.row("step", f"{variant} {len(program['iterations'])} steps, all that is in the function", whole)
    return whole


def time_peers(plain, config, ropes, noise, prompt, times, guidance, report, clock, quick):
    text = plain.linear(prompt.to(plain.dtype), "context_embedder")
    image = plain.linear(noise.to(plain.dtype), "x_embedder")
    image_parts, text_parts, single_parts, _ = plain.modulations(times[0], guidance)
    joint_tokens, joint = torch.cat((text, image)), [torch.cat(pair) for pair in zip(*ropes)]
    calls = {
        "double.0": lambda: plain.double(0, text, image, (image_parts, text_parts), ropes),
        "single.0": lambda: plain.single(0, joint_tokens, single_parts, joint),
    }
    peers = {}
    for block, call in calls.items():
        peers[block] = time_calls([call]) | {"by": "eager"}
        if quick or clock.left() < 45:
            report.note(f"torch.compile of {block}: skipped for time")
            continue
        try:
            with limit(min(60, clock.left() - 15)):
                fast = time_calls([torch.compile(call, dynamic=False)])
            if fast["ms"] < peers[block]["ms"]:
                peers[block] = fast | {"by": "compiled"}
        except Exception as error:  # A peer that fails is no result of ours.
            report.note(f"torch.compile of {block}: {type(error).__name__}: {str(error)[:120]}")
    if clock.left() > 10:
        call = lambda: plain.velocity(noise, text, times[0], guidance, ropes)
        peers["step"] = {"ms": statistics.median(time_region(call, 5, 1)), "by": "eager"}
    return peers


def run_stage(machine, report, clock, quick, name, label):
    """A function without a loop: milliseconds of all of it."""
    loaded = machine.load(name)
    loaded.run_all()
    torch.cuda.synchronize()
    for at, entry in enumerate(loaded.json["results"]):
        result = loaded.result(at).float()
        report.checks.append(finite(f"{name}: {entry['name']}", result))
    peer = None
    if name.endswith("vae_decoder"):
        peer = compare_decoder(loaded, report, name)
    timing = statistics.median(time_region(capture([loaded.run_all]).replay, 5 if quick else 20))
    goal = ("<= 25 ms", timing <= 25) if name.endswith("vae_decoder") else ("", None)
    flop = flop_of(loaded.json, loaded.json["before"])
    report.row("stage", label, timing, flop, 0, peer, "eager, channels last" if peer else "", *goal)
    return timing


def finite(name, values):
    ok = bool(values.isfinite().all())
    return {"name": f"{name} is finite", "ok": ok, **({} if ok else {"error": "there are infinities or NaN"})}


def compare_decoder(loaded, report, name):
    latents, got = loaded.input("latents"), loaded.result().float()
    with torch.no_grad():
        expected = Decoder(loaded.json["config"], loaded.weights(), torch.float32).decode(latents)
        error = (got - expected).norm() / expected.norm()
        worst = (got - expected).abs().max() / expected.square().mean().sqrt()
        report.checks.append(
            {"name": f"{name}: picture against PyTorch in f32", "l2": error.item(), "worst": worst.item(), "ok": error.item() < 5e-2}
        )
        plain = Decoder(loaded.json["config"], loaded.weights(), torch.bfloat16)
        plain.decode(latents)
        return statistics.median(time_region(lambda: plain.decode(latents), 10, 2))


def run_dev(machine, report, clock, quick):
    run_transformer(machine, report, clock, quick, "dev.denoise")


def run_klein(machine, report, clock, quick):
    steps = run_transformer(machine, report, clock, quick, "klein-4b.denoise")
    torch.cuda.empty_cache()
    stages = [("klein-4b.text_encoder", "klein-4b prompt"), ("klein-4b.vae_decoder", "decode 1024²")]
    missing = [name for name, _ in stages if name not in machine.bundle.programs]
    if missing:
        report.note(f"the bundle lacks {', '.join(missing)}: no time for a whole picture")
    total = steps + sum(run_stage(machine, report, clock, quick, *stage) for stage in stages if stage[0] not in missing)
    if not missing:
        report.row("klein", "prompt, 4 steps, decode", total, goal="<= 450 ms", met=total <= 450)


def run_encode(machine, report, clock, quick):
    run_stage(machine, report, clock, quick, "klein-4b.vae_encoder", "encode a reference of 1024²")


# By the names of choice.SECTIONS.
FUNCTIONS = {"check": check_kernels, "kernels": measure_kernels, "step": run_dev, "klein": run_klein, "encode": run_encode}
