"""Checks of 8-bit numbers, on the processor: python3 -m unittest runner.test_codes. Needs PyTorch, no GPU."""

import unittest

import torch

from .check import Work, check_launch, is_poison, random_codes
from .tile import beyond_rounding, convert, take

ROWS, SIZE = 6, 512
ALL = torch.arange(256, dtype=torch.uint8).view(torch.float8_e4m3fn)


def value_of(code):
    """By the definition of the format; None for NaN."""
    sign, exponent, fraction = -1 if code & 128 else 1, code >> 3 & 15, code & 7
    if code & 127 == 127:
        return None
    return sign * (fraction * 2.0**-9 if exponent == 0 else (1 + fraction / 8) * 2.0 ** (exponent - 7))


class CodesTest(unittest.TestCase):
    def test_are_taken_as_they_are(self):
        found = take(ALL, torch.arange(256).reshape(16, 16)).to(torch.float64).flatten().tolist()
        self.assertEqual([None if value != value else value for value in found], [value_of(code) for code in range(256)])
        self.assertEqual(is_poison(ALL).nonzero().flatten().tolist(), [127, 255])

    def test_are_spread_over_their_range(self):
        codes = random_codes(100_000, "cpu").float()
        self.assertFalse(codes.isnan().any())
        self.assertEqual(codes.abs().max(), 448)
        self.assertAlmostEqual(codes.std().item() / 112, 1, 1)

    def test_may_be_rounded_either_way_between_two(self):
        values = torch.cat([torch.randn(10_000, dtype=torch.float64) * scale for scale in (150, 1, 0.004)] + [torch.zeros(1)])
        values = values.clamp(-448, 448)
        rounded = convert("f8e4m3", values)
        self.assertEqual(beyond_rounding((rounded - values).abs(), values).max(), 0)
        between = torch.tensor([17.0, 1.0625, 2**-10], dtype=torch.float64)
        self.assertEqual(beyond_rounding(torch.tensor([1.0, 2**-4, 2**-10]).double(), between).tolist(), [0, 0, 0])
        self.assertTrue((beyond_rounding(torch.tensor([1.1, 0.07, 0.001]).double(), between) > 0).all())
        self.assertEqual(convert("f8e4m3", torch.tensor([1e6, -500.0])).tolist(), [448, -448])


def quantising_work():
    nodes = [
        ["number", 0],
        ["load", "x", f"c+{SIZE}*m", []],
        ["unary", "abs", 1],
        ["tile", "scale"],
        ["number", 448],
        ["binary", "div", 3, 4],
        ["binary", "div", 1, 3],
    ]
    body = [
        ["tile", "scale", ["m"], 0],
        ["reduce", "scale", "c", "max", 2],
        ["assign", "scale", 5],
        ["store", "s", ["m"], "m", [], 3],
        ["for", "c", [["store", "y", ["m", "c"], f"c+{SIZE}*m", [], 6]]],
    ]
    axes = [
        {"name": "m", "kind": "grid_x", "extent": str(ROWS), "tile": 2},
        {"name": "c", "kind": "loop", "extent": str(SIZE), "tile": 256},
    ]
    buffers = [("x", "bf16", "read", 2 * ROWS * SIZE), ("y", "f8e4m3", "write", ROWS * SIZE), ("s", "f32", "write", 4 * ROWS)]
    kernel = {
        "buffers": [{"name": name, "storage": storage, "access": access} for name, storage, access, _ in buffers],
        "parameters": [],
        "tile": {"axes": axes, "terms": [], "nodes": nodes, "body": body},
    }
    launch = {"kernel": "quantize", "parameters": [], "grid": [ROWS // 2, 1, 1], "bindings": [[0, 0, size] for *_, size in buffers]}

    class OneKernel:
        kernels = {"quantize": kernel}

    return Work(OneKernel(), {"buffers": [{"label": "x"}]}, launch, "cpu")


class QuantisingTest(unittest.TestCase):
    def setUp(self):
        torch.manual_seed(1)
        self.work = quantising_work()

    def write(self, codes=lambda codes: codes, scales=lambda scales: scales):
        """In f32, as kernels do it; what is changed then is a kernel's mistake."""
        x = self.work.buffers["x"].float().view(ROWS, SIZE)
        found = x.abs().amax(1, keepdim=True) / 448
        made = (x / found).clamp(-448, 448).to(torch.float8_e4m3fn).view(torch.uint8).flatten()
        self.work.buffers["y"].view(torch.uint8).copy_(codes(made))
        self.work.buffers["s"].copy_(scales(found.flatten()))

    def check(self, **changes):
        return check_launch(self.work, lambda: self.write(**changes))

    def test_holds(self):
        self.assertTrue(self.check()["ok"])

    def test_finds_mistakes(self):
        def change(at, to):
            def changed(codes):
                codes = codes.clone()
                codes[at] = to(int(codes[at]))
                return codes

            return changed

        largest = self.work.buffers["x"][:SIZE].abs().argmax().item()
        self.assertFalse(self.check(codes=change(largest, lambda code: code - 1))["ok"])
        self.assertEqual(self.check(codes=change(-1, lambda _: 255))["missing"], 1)
        self.assertFalse(self.check(scales=lambda scales: scales * 1.01)["ok"])


if __name__ == "__main__":
    unittest.main()
