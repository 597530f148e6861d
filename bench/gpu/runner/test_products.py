"""What tile forms say of products: python3 -m unittest runner.test_products, with FLUX2C_BUNDLE naming a bundle."""

import os
import unittest

from .bundle import Bundle, distinct_launches
from .products import count_columns, find_scales, flatten

FOLDER = os.environ.get("FLUX2C_BUNDLE", "")


class ProductsTest(unittest.TestCase):
    # (x · wᵀ) · s · t · gate, and a second sum of the same rows.
    kernel = {
        "buffers": [
            *({"name": name, "storage": "f8e4m3", "access": "read"} for name in ("x", "w", "v")),
            *({"name": name, "storage": "f32", "access": "read"} for name in ("s", "t", "u", "gate")),
        ],
        "tile": {
            "nodes": [
                ["load", "x", "k", []],
                ["load", "w", "k", []],
                ["load", "v", "k", []],
                ["tile", "acc"],
                ["load", "s", "m", []],
                ["binary", "mul", 3, 4],
                ["load", "t", "n", []],
                ["binary", "mul", 5, 6],
                ["load", "gate", "n", []],
                ["binary", "mul", 7, 8],
                ["tile", "acc2"],
                ["binary", "mul", 10, 4],
                ["load", "u", "n", []],
                ["binary", "mul", 11, 12],
                ["binary", "mul", 9, 13],
            ],
            "body": [["for", "k", [["contract", "acc", "k", 0, 1], ["contract", "acc2", "k", 0, 2]]], ["store", "y", ["m"], "m", [], 14]],
        },
    }

    def test_have_scales_for_their_codes(self):
        found = find_scales(self.kernel, {"k": 256})
        self.assertEqual(set(found), {"s", "t", "u"})
        # Codes have a deviation of 112, sums of 256 products one of 112² · 16.
        self.assertAlmostEqual(found["s"] * found["t"] * 112**2 * 16, 1)
        plain = [{**buffer, "storage": "bf16"} for buffer in self.kernel["buffers"]]
        self.assertEqual(find_scales({**self.kernel, "buffers": plain}, {"k": 256}), {})

    def test_count_columns_of_all_sums(self):
        self.assertEqual(count_columns(self.kernel["tile"], {"n": 10}), 20)
        self.assertEqual(count_columns(self.kernel["tile"], {"h": 3, "d": 8}), 48)


@unittest.skipUnless(FOLDER, "FLUX2C_BUNDLE names no bundle")
class BundleTest(unittest.TestCase):
    def setUp(self):
        self.bundle = Bundle(FOLDER)

    def test_has_a_scale_for_each_factor_of_codes(self):
        products = 0
        for kernel in self.bundle.kernels.values():
            codes = [buffer for buffer in kernel["buffers"] if (buffer["storage"], buffer["access"]) == ("f8e4m3", "read")]
            extents = {axis["name"]: 128 for axis in kernel["tile"]["axes"]}
            scales = find_scales(kernel, extents)
            self.assertEqual(len(scales), len(codes), kernel["entryPoint"])
            self.assertLessEqual(
                set(scales), {buffer["name"] for buffer in kernel["buffers"] if (buffer["storage"], buffer["access"]) == ("f32", "read")}
            )
            products += len(codes) > 0
        self.assertGreater(products, 0)

    def test_counts_columns_as_the_work_says(self):
        for _, launch in distinct_launches(self.bundle.programs):
            kernel = self.bundle.kernels[launch["kernel"]]
            tile, values = kernel["tile"], dict(zip(kernel["parameters"], launch["parameters"]))
            extents = {axis["name"]: eval(axis["extent"].replace("^", "**"), {}, dict(values)) for axis in tile["axes"]}
            is_product = any(statement[0] == "contract" for statement in flatten(tile["body"])) and {"m", "k"} <= set(extents)
            if is_product and launch["flop"] > 1e11:
                flop = 2 * extents.get("z", 1) * extents["m"] * extents["k"] * count_columns(tile, extents)
                self.assertAlmostEqual(launch["flop"] / flop, 1, 1, launch["label"])


if __name__ == "__main__":
    unittest.main()
