"""
Attention in f64 against a plain softmax, on the processor: python3 -m unittest runner.test_attention, with FLUX2C_BUNDLE naming
a bundle for the tile forms that the compiler makes. Needs PyTorch, no GPU.
"""

import math
import os
import unittest

import torch

from .bundle import Bundle, distinct_launches
from .check import Work, check_launch, sample_coordinates
from .tile import Evaluator

FOLDER = os.environ.get("FLUX2C_BUNDLE", "")

HEADS, TOKENS, SIZE = 2, 40, 16
# Keys of a chunk: as many as a head has numbers, the last chunk is not full.
CHUNK = SIZE


def softmax_attention(query, key, value, seen=None):
    """Of what is indexed by head, token and number; a query that sees no key gives 0."""
    scores = query.double() @ key.double().transpose(1, 2) / query.shape[-1] ** 0.5
    if seen is not None:
        scores = scores.masked_fill(~seen, -math.inf)
    return torch.softmax(scores, -1).nan_to_num(0) @ value.double()


def attention_work():
    """As the compiler describes it: powers of two, a running maximum, what was summed shrinks as it rises."""
    place = f"d+{SIZE}*{{}}+{SIZE * TOKENS}*h"
    nodes = [
        ["load", "a0", place.format("m"), []],
        ["number", SIZE**-0.5 * math.log2(math.e)],
        ["binary", "mul", 0, 1],
        ["convert", "bf16", 2],
        ["number", 0],
        ["number", -1e20],
        ["tile", "q"],
        ["load", "a1", place.format("j"), []],
        ["tile", "s"],
        ["number", -1e30],
        ["when", [["less", "j", str(TOKENS)]], 8, 9],
        ["tile", "largest"],
        ["tile", "next"],
        ["binary", "sub", 11, 12],
        ["unary", "exp2", 13],
        ["binary", "sub", 8, 12],
        ["unary", "exp2", 15],
        ["tile", "sum"],
        ["tile", "shrink"],
        ["binary", "mul", 17, 18],
        ["tile", "out"],
        ["binary", "mul", 20, 18],
        ["convert", "bf16", 8],
        ["load", "a2", place.format("j"), []],
        ["number", 0.5],
        ["binary", "less", 24, 17],
        ["number", 1],
        ["binary", "div", 26, 17],
        ["select", 25, 27, 4],
        ["tile", "inverse"],
        ["binary", "mul", 20, 29],
    ]
    chunk = [
        ["tile", "s", ["m", "j"], 4],
        ["contract", "s", "d", 6, 7],
        ["assign", "s", 10],
        ["tile", "next", ["m"], 11],
        ["reduce", "next", "j", "max", 8],
        ["tile", "shrink", ["m"], 14],
        ["assign", "largest", 12],
        ["assign", "s", 16],
        ["assign", "sum", 19],
        ["reduce", "sum", "j", "add", 8],
        ["assign", "out", 21],
        ["contract", "out", "j", 22, 23],
    ]
    body = [
        ["tile", "q", ["m", "d"], 3],
        ["tile", "out", ["m", "d"], 4],
        ["tile", "largest", ["m"], 5],
        ["tile", "sum", ["m"], 4],
        ["for", "j", chunk],
        ["tile", "inverse", ["m"], 28],
        ["store", "r0", ["m", "d"], place.format("m"), [], 30],
    ]
    axes = [
        {"name": "m", "kind": "grid_x", "extent": str(TOKENS), "tile": TOKENS},
        {"name": "h", "kind": "grid_y", "extent": str(HEADS), "tile": 1},
        {"name": "d", "kind": "whole", "extent": str(SIZE), "tile": SIZE},
        {"name": "j", "kind": "loop", "extent": str(TOKENS), "tile": CHUNK},
    ]
    names = ("a0", "a1", "a2", "r0")
    kernel = {
        "buffers": [{"name": name, "storage": "bf16", "access": "write" if name == "r0" else "read"} for name in names],
        "parameters": [],
        "tile": {"axes": axes, "terms": [], "nodes": nodes, "body": body},
    }
    bindings = [[0, 0, 2 * HEADS * TOKENS * SIZE]] * len(names)
    launch = {"kernel": "attention", "parameters": [], "grid": [1, HEADS, 1], "bindings": bindings}

    class OneKernel:
        kernels = {"attention": kernel}

    return Work(OneKernel(), {"buffers": [{"label": "arena"}]}, launch, "cpu")


def rounded(values):
    return values.to(torch.bfloat16).float()


class AttentionTest(unittest.TestCase):
    def setUp(self):
        torch.manual_seed(1)
        self.work = attention_work()
        self.operands = [self.work.buffers[name].view(HEADS, TOKENS, SIZE) for name in ("a0", "a1", "a2")]

    def write(self, loses_queries=False, never_shrinks=False, sees_beyond=False):
        """In f32 and in chunks, as kernels do it; each argument is a mistake."""
        query, key, value = (operand.float() for operand in self.operands)
        query = rounded(query * (SIZE**-0.5 * math.log2(math.e)))
        out, total, largest = torch.zeros(HEADS, TOKENS, SIZE), torch.zeros(HEADS, TOKENS, 1), torch.full((HEADS, TOKENS, 1), -1e20)
        for start in range(0, TOKENS, CHUNK):
            missing = max(0, start + CHUNK - TOKENS)
            # What is copied of keys that are not there is 0.
            keys, values = (
                torch.nn.functional.pad(each[:, start : start + CHUNK], (0, 0, 0, missing)) for each in (key, value)
            )
            scores = query @ keys.transpose(1, 2)
            if missing > 0 and not sees_beyond:
                scores[:, :, -missing:] = -1e30
            following = torch.maximum(largest, scores.amax(-1, keepdim=True))
            shrink = torch.ones_like(total) if never_shrinks else torch.exp2(largest - following)
            largest, scores = following, torch.exp2(scores - following)
            total = total * shrink + scores.sum(-1, keepdim=True)
            out = out * shrink + rounded(scores) @ values
            if loses_queries:
                # Machine code that keeps both factors in the same registers multiplies the next keys with this chunk's powers.
                query = rounded(scores)
        self.work.buffers["r0"].copy_((out / total).flatten())

    def test_is_a_softmax(self):
        (_, _, mask, values), = Evaluator(self.work.tile, {}, self.work.buffers, sample_coordinates(self.work), "cpu").run()
        self.assertIsNone(mask)
        expected = softmax_attention(*self.operands)
        self.assertLess((values.squeeze().transpose(0, 1) - expected).norm() / expected.norm(), 5e-3)

    def test_holds(self):
        result = check_launch(self.work, self.write)
        self.assertTrue(result["ok"], result)
        self.assertLess(result["l2"], 5e-3)

    def test_finds_mistakes(self):
        for mistake in ("loses_queries", "never_shrinks", "sees_beyond"):
            result = check_launch(self.work, lambda: self.write(**{mistake: True}))
            self.assertFalse(result["ok"], mistake)


@unittest.skipUnless(FOLDER, "FLUX2C_BUNDLE names no bundle")
class BundleTest(unittest.TestCase):
    def test_is_a_softmax_in_all_networks(self):
        torch.manual_seed(1)
        bundle = Bundle(FOLDER)
        launches = {
            launch["kernel"]: (program, launch)
            for program, launch in distinct_launches(bundle.programs)
            if launch["kernel"].startswith("attention")
        }
        masked = 0
        for name, (program, launch) in launches.items():
            work = Work(bundle, bundle.programs[program], launch, "cpu")
            masked += "a3" in work.buffers
            if "a3" in work.buffers:
                # The first query sees nothing.
                work.buffers["a3"][0] = 0
            chosen = sample_coordinates(work)
            (_, _, _, values), = Evaluator(work.tile, work.parameters, work.buffers, chosen, "cpu").run()
            expected = self.expect(work, chosen["m"], chosen["h"])
            values = values.reshape(len(chosen["m"]), len(chosen["h"]), -1).transpose(0, 1)
            self.assertLess((values - expected).norm() / expected.norm(), 5e-3, name)
        self.assertGreater(len(launches), 2)
        self.assertGreater(masked, 0)

    def expect(self, work, tokens, heads):
        """Operands lie by head, token and number; several heads may share keys."""
        sizes = work.extents
        self.assertEqual(sizes["z"], 1)
        query, key, value = (
            work.buffers[name].view(-1, count, sizes["d"]) for name, count in (("a0", sizes["m"]), ("a1", sizes["j"]), ("a2", sizes["j"]))
        )
        shared = heads // (len(query) // len(key))
        seen = torch.ones(1, len(tokens), sizes["j"], dtype=torch.bool)
        if "a3" in work.buffers:
            seen &= work.buffers["a3"] != 0
        if any(node[0] == "when" and ["less", "j", "m+1"] in node[1] for node in work.tile["nodes"]):
            seen &= torch.arange(sizes["j"]) <= tokens[:, None]
        return softmax_attention(query[heads][:, tokens], key[shared], value[shared], seen)


if __name__ == "__main__":
    unittest.main()
