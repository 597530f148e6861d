"""Loads a bundle and finds what is wrong with it without a GPU. Standard library only."""

import json
import os

from . import elf

SHARED_LIMIT = {"sm_80": 163, "sm_86": 99, "sm_89": 99, "sm_90a": 227, "sm_120": 99}
GRID_LIMIT = (2**31 - 1, 65535, 65535)
# Machine code runs on its own generation only; code for sm_90a on nothing but 9.0.
CAPABILITY = {"sm_80": (8, 0), "sm_86": (8, 6), "sm_89": (8, 9), "sm_90a": (9, 0), "sm_120": (12, 0)}


class Bundle:
    def __init__(self, folder):
        self.folder = folder
        with open(os.path.join(folder, "bundle.json"), encoding="utf-8") as file:
            self.json = json.load(file)
        if self.json["format"] != 1:
            raise ValueError(f"format {self.json['format']} of the bundle; this runner reads 1")
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
                cubins[file] = (elf.entry_points(data), elf.argument_bytes(data))
            problems += check_kernel(name, kernel, architecture, *cubins[file])
    for name, program in bundle.programs.items():
        problems += check_program(bundle, name, program)
    return problems


def check_kernel(name, kernel, architecture, entries, arguments):
    entry = kernel["entryPoint"]
    if entry not in entries:
        return [f"{name}: the machine code for {architecture} has no function {entry}"]
    found = []
    expected = 8 * len(kernel["buffers"]) + 4 * len(kernel["parameters"])
    if arguments.get(entry, expected) != expected:
        found.append(f"{name}: {arguments[entry]} bytes of arguments for {architecture}, the bundle passes {expected}")
    if kernel["shared"] > SHARED_LIMIT[architecture] * 1024:
        found.append(f"{name}: {kernel['shared']} bytes of shared memory are too many for {architecture}")
    if not 1 <= kernel["block"] <= 1024:
        found.append(f"{name}: blocks of {kernel['block']} threads")
    return found


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
    return found


def distinct_launches(programs):
    """(program name, launch) of each launch that differs in kernel, parameters or grid, in order."""
    seen = {}
    for name, program in programs.items():
        for launch in program["launches"]:
            if not is_copy(launch):
                key = (launch["kernel"], *launch["parameters"], *launch["grid"])
                seen.setdefault(key, (name, launch))
    return list(seen.values())
