"""The GPU at hand: driver, functions of the bundle for it, memory from PyTorch so that it computes on the same data."""

import torch

from .driver import Driver, Functions, Program, copy_on_device, open_library
from .tile import STORAGES


class NoMachine(Exception):
    pass


class Machine:
    def __init__(self, bundle):
        if not torch.cuda.is_available():
            raise NoMachine("PyTorch sees no GPU")
        torch.zeros(1, device="cuda")
        self.bundle = bundle
        self.driver = Driver(open_library())
        self.driver.start(torch.cuda.current_device())
        capability = self.driver.capability()
        self.architecture = bundle.architecture_for(capability)
        if self.architecture is None:
            raise NoMachine(f"the bundle has no machine code for compute capability {capability}")
        self.functions = Functions(self.driver, bundle, self.architecture)
        properties = torch.cuda.get_device_properties(0)
        self.name = properties.name
        self.description = (
            f"{self.name}, {properties.multi_processor_count} multiprocessors, {properties.total_memory / 2**30:.0f} GiB, "
            f"PyTorch {torch.__version__}, machine code for {self.architecture} by nvcc {bundle.json['compiler']}"
        )

    def launch_of(self, work):
        launch = self.functions.launch(work.launch, work.addresses())
        return lambda: launch(torch.cuda.current_stream().cuda_stream)

    def load(self, name):
        return LoadedProgram(self, self.bundle.programs[name])


class LoadedProgram:
    """A program with memory for all of its buffers, weights included, and random contents."""

    def __init__(self, machine, json):
        self.machine, self.json = machine, json
        self.notes = []
        weights = sum(buffer["bytes"] for buffer in json["buffers"] if buffer["kind"] == "weight")
        others = sum(buffer["bytes"] for buffer in json["buffers"]) - weights
        torch.cuda.empty_cache()
        free, _ = torch.cuda.mem_get_info()
        # What references and graphs need beside it.
        self.shares = weights + others + 3 * 2**30 > free
        if self.shares:
            self.notes.append(f"weights of one shape share memory: {weights / 1e9:.1f} GB do not fit {free / 1e9:.1f} GB")
        self.tensors, self.shared = {}, {}
        self.program = Program(machine.functions, json, self.allocate, copy_on_device(machine.driver))
        self.fill()

    def allocate(self, buffer, at):
        key = None
        if self.shares and buffer["kind"] == "weight":
            key = tuple(self.json["weights"][buffer["weight"]]["shape"])
        if key is None or key not in self.shared:
            memory = torch.empty(max(16, buffer["bytes"]), dtype=torch.uint8, device="cuda")
            if key is not None:
                self.shared[key] = memory
        else:
            memory = self.shared[key]
        self.tensors[at] = memory
        return memory.data_ptr()

    def fill(self):
        """Weights once; `reset` what runs change."""
        done = set()
        for at, buffer in enumerate(self.json["buffers"]):
            memory = self.tensors[at]
            if buffer["kind"] != "weight" or memory.data_ptr() in done:
                continue
            done.add(memory.data_ptr())
            name = buffer["weight"]
            weight = self.json["weights"][name]
            fill_weight(memory.view(STORAGES[weight["storage"]]), name, weight["shape"])
        self.reset()

    def reset(self):
        for at, buffer in enumerate(self.json["buffers"]):
            memory, contents = self.tensors[at], buffer.get("contents")
            if isinstance(contents, dict):
                data = bytearray(self.machine.bundle.contents(contents))
                memory[: len(data)].copy_(torch.frombuffer(data, dtype=torch.uint8))
            elif contents == "normal" and buffer["kind"] != "result":
                values = memory[: memory.numel() // 4 * 4].view(STORAGES[buffer["storage"]])
                if values.dtype.is_floating_point:
                    values.normal_(generator=torch.Generator("cuda").manual_seed(at + 1))
            elif buffer["kind"] in ("arena", "result"):
                memory.fill_(255)

    def value(self, entry):
        """A tensor of an input or a result."""
        dtype = STORAGES[entry["storage"]]
        count = 1
        for size in entry["shape"]:
            count *= size
        memory = self.tensors[entry["buffer"]][entry["offset"] : entry["offset"] + count * dtype.itemsize]
        return memory.view(dtype).view(entry["shape"])

    def input(self, name):
        """An input's values, or None when the function has none of that name."""
        known = self.json["values"].get(name)
        if known is not None:
            data = bytearray(self.machine.bundle.contents(known["contents"]))
            return torch.frombuffer(data, dtype=STORAGES[known["storage"]]).view(known["shape"]).cuda()
        return next((self.value(entry) for entry in self.json["inputs"] if entry["name"] == name), None)

    def result(self, at=0):
        return self.value(self.json["results"][at])

    def run_all(self):
        self.program.run_all(torch.cuda.current_stream().cuda_stream)

    def steps(self, order):
        return lambda: self.program.run(order, torch.cuda.current_stream().cuda_stream)

    def weights(self):
        """A function from names of the checkpoint's tensors to what the packed weights hold of them."""
        places = {}
        for at, buffer in enumerate(self.json["buffers"]):
            if buffer["kind"] != "weight":
                continue
            weight = self.json["weights"][buffer["weight"]]
            count = 1
            for size in weight["shape"]:
                count *= size
            stored = self.tensors[at].view(STORAGES[weight["storage"]])[:count].view(weight["shape"])
            places.update(unpack(weight["source"], stored))

        def find(name):
            key = next((key for key in (name, f"vae.{name}", f"transformer.{name}") if key in places), None)
            if key is None:
                raise KeyError(f"no packed weight holds the tensor {name}")
            return places[key]

        return find


def unpack(source, stored):
    """(tensor's name, view or copy) of all tensors that a packed weight was made of."""
    kind = source["kind"]
    if kind == "tensor":
        return [(source["tensor"], stored)]
    if kind == "permute":
        inverse = [source["permutation"].index(axis) for axis in range(stored.dim())]
        return unpack(source["of"]["source"], stored.permute(inverse))
    parts = source["parts"]
    rows = [part["shape"][0] for part in parts]
    if kind == "concat_rows":
        pieces = stored.split(rows)
    else:
        apart = stored.unflatten(0, (-1, len(parts), source["group"]))
        pieces = [apart[:, at].flatten(0, 1) for at in range(len(parts))]
    return [found for part, piece in zip(parts, pieces) for found in unpack(part["source"], piece)]


def fill_weight(memory, name, shape):
    if not memory.dtype.is_floating_point:
        memory.zero_()
        return
    # In pieces: the generator makes f32 first.
    fan_in = 1
    for size in shape[1:]:
        fan_in *= size
    if len(shape) > 1:
        for piece in memory.split(2**28):
            piece.normal_(0, fan_in**-0.5)
    elif "running_var" in name:
        memory.normal_().abs_().add_(0.5)
    elif name.endswith("weight"):
        memory.normal_(1, 0.1)
    else:
        memory.normal_(0, 0.1)
