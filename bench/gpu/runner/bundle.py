"""Loads a bundle and finds what is wrong with it without a GPU. Standard library only."""

import json
import os

from . import elf, tensor_maps

SHARED_LIMIT = {"sm_80": 163, "sm_86": 99, "sm_89": 99, "sm_90a": 227, "sm_120": 99}
GRID_LIMIT = (2**31 - 1, 65535, 65535)
# Machine code runs on its own generation only; code for sm_90a on nothing but 9.0.
CAPABILITY = {"sm_80": (8, 0), "sm_86": (8, 6), "sm_89": (8, 9), "sm_90a": (9, 0), "sm_120": (12, 0)}


class Bundle:
    def __init__(self, folder):
        self.folder = folder
        with open(os.path.join(folder, "bundle.json"), encoding="utf-8") as file:
            self.json = json.load(file)
        if self.json["format"] != 3:
            raise ValueError(f"format {self.json['format']} of the bundle; this runner reads 3")
        self.kernels = self.json["kernels"]
        self.programs = self.json["programs"]
        self.architectures = self.json["architectures"]

    def read(self, name):
        with open(os.path.join(self.folder, name), "rb") as file:
            return file.read()

    def contents(self, place):
        with open(os.path.join(self.folder, place["file"]), "rb") as file:
            file.seek(place["offset"])
            return file.read(place["bytes"])

    def architecture_for(self, capability):
        """The newest of the bundle's that runs on a device of this compute capability, or None."""
        fitting = [
            name
            for name in self.architectures
            if CAPABILITY[name][0] == capability[0]
            and CAPABILITY[name][1] <= capability[1]
            and (not name.endswith("a") or CAPABILITY[name] == tuple(capability))
        ]
        return max(fitting, key=lambda name: CAPABILITY[name], default=None)


def is_copy(launch):
    return "copy" in launch


def find_problems(bundle):
    """Sentences, one for each thing that would fail or overrun on the GPU."""
    problems = []
    cubins = {}
    for name, kernel in bundle.kernels.items():
        for architecture in bundle.architectures:
            file = kernel["cubins"].get(architecture)
            if file is None:
                problems.append(f"{name}: no machine code for {architecture}")
                continue
            if file not in cubins:
                data = bundle.read(file)
                cubins[file] = (elf.entry_points(data), elf.arguments(data))
            problems += check_kernel(name, kernel, architecture, *cubins[file])
    for name, program in bundle.programs.items():
        problems += check_program(bundle, name, program)
    return problems


def check_kernel(name, kernel, architecture, entries, arguments):
    entry = kernel["entryPoint"]
    if entry not in entries:
        return [f"{name}: the machine code for {architecture} has no function {entry}"]
    found = []
    if entry in arguments:
        start, size = arguments[entry]
        expected = argument_bytes(kernel, start)
        if size != expected:
            found.append(f"{name}: {size} bytes of arguments for {architecture}, the bundle passes {expected}")
    if kernel["shared"] > SHARED_LIMIT[architecture] * 1024:
        found.append(f"{name}: {kernel['shared']} bytes of shared memory are too many for {architecture}")
    if not 1 <= kernel["block"] <= 1024:
        found.append(f"{name}: blocks of {kernel['block']} threads")
    return found


def argument_bytes(kernel, start):
    """Of pointers, tensor maps and the structure of parameters, from where the compiler lays them on in the constant bank."""
    end = start + 8 * len(kernel["buffers"])
    if kernel["tensorMaps"]:
        end = -(-end // tensor_maps.ALIGNMENT) * tensor_maps.ALIGNMENT + tensor_maps.BYTES * len(kernel["tensorMaps"])
    return end + 4 * len(kernel["parameters"]) - start


def check_program(bundle, name, program):
    problems = []
    used = [*program["before"], *(at for steps in program["iterations"] for at in steps), *program["after"]]
    if not set(used) <= set(range(len(program["launches"]))):
        problems.append(f"{name}: an order names launches that are not there")
    for launch in program["launches"]:
        if is_copy(launch):
            ends = [(launch["from"], "from"), (launch["to"], "to")]
            for (buffer, offset), _ in ends:
                if offset + launch["bytes"] > program["buffers"][buffer]["bytes"]:
                    problems.append(f"{name}: the copy {launch['copy']} leaves buffer {buffer}")
        else:
            problems += [f"{name}, {launch['label']}: {text}" for text in check_launch(bundle, program, launch)]
    return problems


def check_launch(bundle, program, launch):
    kernel = bundle.kernels.get(launch["kernel"])
    if kernel is None:
        return [f"no kernel {launch['kernel']}"]
    found = []
    if len(launch["bindings"]) != len(kernel["buffers"]):
        found.append(f"{len(launch['bindings'])} bindings for {len(kernel['buffers'])} buffers")
    if len(launch["parameters"]) != len(kernel["parameters"]):
        found.append(f"{len(launch['parameters'])} values for {len(kernel['parameters'])} parameters")
    if not all(1 <= size <= limit for size, limit in zip(launch["grid"], GRID_LIMIT)):
        found.append(f"a grid of {launch['grid']}")
    if not all(-(2**31) <= value < 2**31 for value in launch["parameters"]):
        found.append("a parameter does not fit 32 bits")
    for buffer, offset, size in launch["bindings"]:
        if buffer >= len(program["buffers"]) or offset + size > program["buffers"][buffer]["bytes"]:
            found.append(f"bytes {offset} to {offset + size} are not in buffer {buffer}")
        if offset % 16 != 0:
            found.append(f"an offset of {offset} bytes is not aligned")
    return found + check_tensor_maps(program, kernel, launch)


def check_tensor_maps(program, kernel, launch):
    if len(launch["tensorMaps"]) != len(kernel["tensorMaps"]):
        return [f"{len(launch['tensorMaps'])} tensor maps for {len(kernel['tensorMaps'])}"]
    found = []
    for name, described in zip(kernel["tensorMaps"], launch["tensorMaps"]):
        at = described["binding"]
        buffer, offset, _ = launch["bindings"][at]
        room = program["buffers"][buffer]["bytes"]
        problem = tensor_maps.find_problem(kernel["buffers"][at]["storage"], offset + described["offset"], described, room)
        if problem is not None:
            found.append(f"tensor map {name}: {problem}")
    return found


def base_of(programs, name):
    """The program that the named one is a form of, which may be itself."""
    return programs[name].get("of", name)


def form_of(programs, name, launch):
    """How the launch's kernel is scheduled, where another program does the same by another kernel; otherwise ''."""
    others = [other for other in programs if other != name and base_of(programs, other) == base_of(programs, name)]
    used = {step["kernel"] for other in others for step in programs[other]["launches"] if not is_copy(step)}
    return programs[name]["form"] if others and launch["kernel"] not in used else ""


def distinct_launches(programs):
    """(program name, launch) of each launch that differs in kernel, parameters or grid, in order."""
    seen = {}
    for name, program in programs.items():
        for launch in program["launches"]:
            if not is_copy(launch):
                key = (launch["kernel"], *launch["parameters"], *launch["grid"])
                seen.setdefault(key, (name, launch))
    return list(seen.values())


def shape_of(programs, name, launch):
    """What forms of one launch share."""
    return base_of(programs, name), launch["label"]


def rank(programs, name, launch):
    """0: the plain product, 1: a first block's, 2: others."""
    if programs[name]["function"] == "contraction":
        return 0
    return 1 if launch.get("block") in ("double.0", "single.0") else 2


def order_for_measuring(programs):
    """(program name, launch): plain products, then dev's first blocks, large ones first, forms of one launch side by side."""

    def key(entry):
        name, launch = entry
        return rank(programs, *entry), -launch["flop"], *shape_of(programs, *entry), "of" in programs[name]

    found = distinct_launches(programs)
    return sorted((entry for entry in found if rank(programs, *entry) < 2 and entry[0] != "klein-4b.denoise"), key=key)
