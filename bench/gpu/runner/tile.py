"""
Evaluates a kernel's tile form with PyTorch in f64 at chosen coordinates: what each store must write, and where.

The tile form says what a kernel computes over named axes and leaves out how; the machine code under test was made from it
by lowering, so nothing here is shared with what is tested but the description. Every value is a tensor with one dimension
for each axis, of size 1 where it does not depend on the axis.
"""

import torch

STORAGES = {
    "f32": torch.float32,
    "f16": torch.float16,
    "bf16": torch.bfloat16,
    "f8e4m3": torch.float8_e4m3fn,
    "i32": torch.int32,
    "u32": torch.int32,
    "u8": torch.uint8,
    "bool": torch.uint8,
}
CONVERSIONS = {"bf16": torch.bfloat16, "f16": torch.float16, "f8e4m3": torch.float8_e4m3fn}

UNARY = {
    "neg": torch.neg,
    "abs": torch.abs,
    "exp": torch.exp,
    "exp2": torch.exp2,
    "log": torch.log,
    "sqrt": torch.sqrt,
    "rsqrt": torch.rsqrt,
    "sin": torch.sin,
    "cos": torch.cos,
    "tanh": torch.tanh,
    "floor": torch.floor,
    "sigmoid": torch.sigmoid,
    "silu": lambda x: x * torch.sigmoid(x),
    "gelu": torch.nn.functional.gelu,
    "erf": torch.erf,
    "not": lambda x: x.logical_not() if x.dtype == torch.bool else x.bitwise_not(),
}
BINARY = {
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "min": torch.minimum,
    "max": torch.maximum,
    "pow": torch.pow,
    "xor": torch.bitwise_xor,
    "and": torch.bitwise_and,
    "or": torch.bitwise_or,
    "shift_left": torch.bitwise_left_shift,
    "shift_right": torch.bitwise_right_shift,
    "equal": torch.eq,
    "less": torch.lt,
    "less_equal": torch.le,
    "div": lambda a, b: torch.div(a, b) if a.is_floating_point() else torch.div(a, b, rounding_mode="trunc"),
    "mod": torch.fmod,
}


class Evaluator:
    """
    `parameters`: the launch's values by name. `buffers`: flat tensors by name, of the storage's type, from the binding's
    first byte. `coordinates`: for each axis the coordinates to look at; all of an axis that is summed over.
    """

    def __init__(self, tile, parameters, buffers, coordinates, device):
        self.tile, self.buffers, self.device = tile, buffers, device
        self.axes = [axis["name"] for axis in tile["axes"]]
        self.symbols = dict(parameters)
        for at, name in enumerate(self.axes):
            shape = [1] * len(self.axes)
            shape[at] = -1
            self.symbols[name] = coordinates[name].to(device).reshape(shape)
        self.extents = {name: coordinates[name].numel() for name in self.axes}
        self.code = {}
        for term in tile["terms"]:
            self.symbols[term[1]] = self.term(term)
        self.tiles = {}

    def index(self, text):
        """The value of a polynomial: an int or a tensor."""
        if text not in self.code:
            self.code[text] = compile(text.replace("^", "**"), text, "eval")
        return eval(self.code[text], {"__builtins__": {}}, self.symbols)

    def as_tensor(self, value, dtype=torch.int64):
        if isinstance(value, torch.Tensor):
            return value
        return torch.full([1] * len(self.axes), value, dtype=dtype, device=self.device)

    def term(self, term):
        kind, _, *rest = term
        if kind == "loaded":
            buffer, at, limit = rest
            places = self.as_tensor(self.index(at)) + self.symbols.get(f"{buffer}_base", 0)
            return self.buffers[buffer][places].to(torch.int64).clamp(0, self.index(limit) - 1)
        value = self.index(rest[0])
        if kind == "exclusive_or":
            return value ^ rest[1]
        by = self.index(rest[1])
        return value // by if kind == "floor" else value % by

    def holds(self, conditions):
        """A mask, or None without conditions."""
        mask = None
        for kind, left, right in conditions:
            a, b = self.as_tensor(self.index(left)), self.as_tensor(self.index(right))
            part = a < b if kind == "less" else a >= b
            mask = part if mask is None else mask & part
        return mask

    def load(self, buffer, index, conditions):
        data = self.buffers[buffer]
        places = self.as_tensor(self.index(index)) + self.symbols.get(f"{buffer}_base", 0)
        mask = self.holds(conditions)
        # Coordinates past an extent are clamped by kernels; here there are none, so only guarded addresses may be outside.
        values = take(data, places.clamp(0, data.numel() - 1) if mask is not None else places)
        values = values != 0 if data.dtype == torch.uint8 else values
        if values.is_floating_point():
            values = values.to(torch.float64)
        elif values.dtype != torch.bool:
            values = values.to(torch.int64)
        return values if mask is None else torch.where(mask, values, torch.zeros_like(values))

    def value(self, at, known):
        if at not in known:
            known[at] = self.node(self.tile["nodes"][at], known)
        return known[at]

    def node(self, node, known):
        kind, *parts = node
        if kind == "number":
            return self.as_tensor(float(parts[0]), torch.float64)
        if kind == "tile":
            return self.tiles[parts[0]]
        if kind == "index":
            return self.as_tensor(self.index(parts[0]))
        if kind == "load":
            return self.load(*parts)
        if kind == "unary":
            return UNARY[parts[0]](self.value(parts[1], known))
        if kind == "binary":
            a, b = (self.value(part, known) for part in parts[1:])
            return BINARY[parts[0]](*self.alike(a, b))
        if kind in ("select", "when"):
            mask = self.holds(parts[0]) if kind == "when" else self.value(parts[0], known)
            yes, no = self.alike(*(self.value(part, known) for part in parts[1:]))
            return torch.where(mask.to(torch.bool), yes, no)
        if kind == "convert":
            return convert(parts[0], self.value(parts[1], known))
        if kind == "exchange":
            return self.exchange(parts[0], parts[1], self.value(parts[2], known))
        raise ValueError(f"an expression of kind {kind}")

    def exchange(self, axis, mask, value):
        """The partners' values; an axis with partners is summed over, so all of its coordinates are here, in order."""
        at = self.axes.index(axis)
        if value.shape[at] == 1:
            return value
        return value.index_select(at, torch.arange(value.shape[at], device=self.device) ^ mask)

    @staticmethod
    def alike(a, b):
        """Numbers are written without their type: an integer beside a float is one."""
        if a.is_floating_point() != b.is_floating_point():
            return a.to(torch.float64), b.to(torch.float64)
        return a, b

    def run(self):
        """(buffer, places, mask or None, values) of each store."""
        return list(self.statements(self.tile["body"]))

    def statements(self, body):
        for kind, *rest in body:
            if kind == "tile":
                self.tiles[rest[0]] = self.value(rest[2], {})
            elif kind == "assign":
                self.tiles[rest[0]] = self.value(rest[1], {})
            elif kind == "contract":
                name, over, a, b = rest
                known = {}
                self.tiles[name] = self.tiles[name] + self.contract(over, self.value(a, known), self.value(b, known))
            elif kind == "reduce":
                name, over, operator, value = rest
                self.tiles[name] = self.reduce(self.tiles[name], over, operator, self.value(value, {}))
            elif kind == "for":
                # One chunk that is all of the axis: the order of sums is the kernel's business.
                yield from self.statements(rest[1])
            elif kind == "store":
                buffer, _, index, conditions, value = rest
                yield (buffer, *self.places(buffer, index, conditions), self.value(value, {}))

    def places(self, buffer, index, conditions):
        return self.as_tensor(self.index(index)) + self.symbols.get(f"{buffer}_base", 0), self.holds(conditions)

    def contract(self, over, a, b):
        at = self.axes.index(over)
        if a.shape[at] == 1 and b.shape[at] == 1:
            return a * b * self.extents[over]
        names = "abcdefgh"[: len(self.axes)]
        kept = lambda x: "".join(name for name, size in zip(names, x.shape) if size > 1)
        shape = [max(x, y) for x, y in zip(a.shape, b.shape)]
        shape[at] = 1
        result = "".join(name for name, size in zip(names, shape) if size > 1)
        small = [x.reshape([size for size in x.shape if size > 1]) for x in (a, b)]
        return torch.einsum(f"{kept(a)},{kept(b)}->{result}", *small).reshape(shape)

    def reduce(self, tile, over, operator, value):
        at = self.axes.index(over)
        if operator == "max":
            return torch.maximum(tile, value.amax(at, keepdim=True))
        total = value.sum(at, keepdim=True)
        return tile + (total * self.extents[over] if value.shape[at] == 1 else total)

    def addresses(self):
        """(buffer, places, mask or None) of each store, without values."""

        def walk(body):
            for kind, *rest in body:
                if kind == "for":
                    yield from walk(rest[1])
                elif kind == "store":
                    yield (rest[0], *self.places(rest[0], rest[2], rest[3]))

        return list(walk(self.tile["body"]))


def take(data, places):
    """The numbers at these places; indexing knows no 8-bit floats."""
    if data.dtype == torch.float8_e4m3fn:
        return data.view(torch.uint8)[places].view(data.dtype)
    return data[places]


def beyond_rounding(error, values):
    """
    What of an error is more than rounding to f8e4m3 makes: half of the distance between the numbers about a value, 1/16 of the
    power of two below it and 2^-10 at least. So it does not matter which way a value is rounded that is between two by a hair.
    """
    power = torch.frexp(values.abs().clamp(min=2**-6))[1] - 1
    return (error - torch.ldexp(torch.ones_like(values), power - 4)).clamp(min=0)


def convert(to, value):
    if to == "f8e4m3":
        # PyTorch makes NaN of what is beyond the range, kernels the largest number.
        value = value.clamp(-448, 448)
    if to in CONVERSIONS:
        return value.to(CONVERSIONS[to]).to(torch.float64)
    if to == "f32":
        return value.to(torch.float64)
    if to == "bool":
        return value != 0
    return value.trunc().to(torch.int64) if value.is_floating_point() else value.to(torch.int64)
