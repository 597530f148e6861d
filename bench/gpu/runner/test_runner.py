"""The runner without a GPU: python3 -m unittest runner.test_runner, with FLUX2C_BUNDLE naming a bundle."""

import ast
import os
import struct
import sys
import unittest

from . import elf
from .bundle import (
    Bundle,
    argument_bytes,
    check_launch,
    check_program,
    distinct_launches,
    find_problems,
    form_of,
    order_for_measuring,
)
from .choice import NAMES, UnknownSection, choose_sections
from .driver import Driver, DriverError, Functions, Program, copy_on_device
from .fake import FakeLibrary

FOLDER = os.environ.get("FLUX2C_BUNDLE", "")

KERNEL = {
    "entryPoint": "scale",
    "block": 128,
    "shared": 65536,
    "buffers": [{"name": name, "storage": "f32", "access": access} for name, access in (("a", "read"), ("r", "write"))],
    "parameters": ["origin_x", "p0"],
    "tensorMaps": [],
    "walksTiles": False,
    "cubins": {"sm_90a": "kernels.cubin"},
}
# Copies boxes of 64 by 8 numbers out of both of its inputs.
WALKING = {
    **KERNEL,
    "entryPoint": "walk",
    "shared": 1024,
    "buffers": [{"name": name, "storage": "bf16", "access": "read"} for name in ("a", "b")],
    "tensorMaps": ["a_map", "b_map"],
    "walksTiles": True,
}
PROGRAM = {
    "form": "cp.async ring",
    "function": "denoise",
    "buffers": [{"kind": "input", "label": "a", "bytes": 512}, {"kind": "result", "label": "r", "bytes": 512}],
    "launches": [
        {
            "kernel": "scale",
            "label": "first",
            "bindings": [[0, 0, 512], [1, 256, 256]],
            "parameters": [0, -5],
            "tensorMaps": [],
            "grid": [7, 3, 2],
            "flop": 1,
            "bytes": 1,
        },
        {"copy": "back", "from": [1, 0], "to": [0, 256], "bytes": 256},
    ],
    "before": [0],
    "iterations": [[1, 0], [1]],
    "after": [],
}


class SmallBundle:
    """What `Bundle` is to the driver, without files."""

    kernels = {"scale": KERNEL, "walk": WALKING}
    architectures = ["sm_90a"]

    def read(self, _):
        return b"machine code"


def map_of(binding, **changed):
    """8 rows of 64 numbers, 256 bytes apart."""
    return {"binding": binding, "offset": 0, "extents": [64, 8], "strides": [256], "boxes": [64, 8], **changed}


def walking_program(*maps, grid=(2, 1, 1)):
    launch = {
        **PROGRAM["launches"][0],
        "kernel": "walk",
        "bindings": [[0, 256, 2048], [1, 0, 2048]],
        "tensorMaps": list(maps),
        "grid": list(grid),
    }
    buffers = [{"kind": "input", "label": name, "bytes": 2304} for name in "ab"]
    return {**PROGRAM, "buffers": buffers, "launches": [launch], "before": [0], "iterations": []}


class LaunchTest(unittest.TestCase):
    def setUp(self):
        self.library = FakeLibrary(SmallBundle.kernels)
        self.driver = Driver(self.library)

    def program(self, program=PROGRAM):
        functions = Functions(self.driver, SmallBundle(), "sm_90a")
        return Program(functions, program, lambda buffer, _: self.library.allocate(buffer["bytes"]), copy_on_device(self.driver))

    def test_packs_pointers_and_one_structure(self):
        self.driver.start()
        program = self.program()
        program.run_all()
        first, second = program.addresses
        launch = ("scale", (7, 3, 2), 128, 65536, [first, second + 256], [], [0, -5])
        copy = ("copy", second, first + 256, 256)
        self.assertEqual(self.library.launches, [launch, copy, launch, copy])

    def test_calls_in_order_and_loads_once(self):
        self.driver.start()
        self.program().run_all()
        expected = ["cuInit", "cuCtxSetCurrent", "cuModuleLoadData", "cuModuleGetFunction scale", "cuFuncSetAttribute scale"]
        self.assertEqual(self.library.calls, expected)

    def test_fails_without_a_context(self):
        with self.assertRaisesRegex(DriverError, "cuModuleLoadData"):
            self.program()

    def test_refuses_too_large_a_grid(self):
        self.driver.start()
        launch = {**PROGRAM["launches"][0], "grid": [1, 65536, 1]}
        with self.assertRaisesRegex(DriverError, "cuLaunchKernel"):
            self.program({**PROGRAM, "launches": [launch], "before": [0], "iterations": []}).run_all()

    def test_finds_bindings_outside_of_buffers(self):
        launch = {**PROGRAM["launches"][0], "bindings": [[0, 0, 512], [1, 256, 512]]}
        self.assertIn("not in buffer 1", check_launch(SmallBundle(), PROGRAM, launch)[0])
        copy = {"copy": "far", "from": [0, 512], "to": [1, 0], "bytes": 4}
        self.assertEqual(len(check_program(SmallBundle(), "p", {**PROGRAM, "launches": [copy], "before": [0]})), 1 + 1)

    def test_passes_tensor_maps_and_starts_a_block_a_multiprocessor(self):
        self.driver.start()
        for grid, started in (((2, 1, 1), 2), ((5, 4, 2), 3)):
            program = self.program(walking_program(map_of(0), map_of(1, offset=16, extents=[60, 8]), grid=grid))
            program.run_all()
            first, second = program.addresses
            maps = [(9, first + 256, [64, 8], [256], [64, 8]), (9, second + 16, [60, 8], [256], [64, 8])]
            expected = ("walk", (started, 1, 1), 128, 1024, [first + 256, second], maps, [0, -5])
            self.assertEqual(self.library.launches[-1], expected)

    def test_refuses_a_launch_without_its_tensor_maps(self):
        self.driver.start()
        with self.assertRaisesRegex(DriverError, "cuLaunchKernel"):
            # What stands where the second map belongs is the structure of parameters.
            self.program(walking_program(map_of(0))).run_all()

    def test_copies_8_bit_floats_as_bytes(self):
        codes = [{"name": name, "storage": "f8e4m3", "access": "read"} for name in "ab"]
        kernels = {**SmallBundle.kernels, "walk": {**WALKING, "buffers": codes}}
        bundle = SmallBundle()
        bundle.kernels = kernels
        rows = [map_of(at, extents=[128, 8], boxes=[128, 8]) for at in (0, 1)]
        self.assertEqual(check_program(bundle, "p", walking_program(*rows)), [])
        self.assertIn("boxes [64, 8]", check_program(bundle, "p", walking_program(map_of(0), rows[1]))[0])
        self.driver.start()
        functions = Functions(self.driver, bundle, "sm_90a")
        Program(functions, walking_program(*rows), lambda buffer, _: self.library.allocate(buffer["bytes"]), None)
        self.assertEqual([kind for kind, *_ in self.library.maps], [0, 0])

    def test_refuses_tensor_maps_that_the_driver_would(self):
        self.driver.start()
        broken = [
            map_of(0, offset=8),
            map_of(0, offset=2048),
            map_of(0, strides=[136]),
            map_of(0, boxes=[32, 8]),
            map_of(0, boxes=[64, 257]),
            map_of(0, extents=[64, 9]),
            map_of(0, extents=[64, 0]),
        ]
        for described in broken:
            with self.assertRaisesRegex(DriverError, "cuTensorMapEncodeTiled", msg=described):
                self.program(walking_program(described, map_of(1)))
            found = check_program(SmallBundle(), "p", walking_program(described, map_of(1)))
            self.assertEqual(len(found), 1, described)
            self.assertRegex(found[0], "^p, first: tensor map a_map: ")
        self.assertEqual(check_program(SmallBundle(), "p", walking_program(map_of(0), map_of(1))), [])
        many = check_program(SmallBundle(), "p", walking_program(map_of(0, strides=[256, 2048]), map_of(1)))
        self.assertIn("a_map: 2 extents, 2 strides, 2 boxes", many[0])
        self.assertIn("1 tensor maps for 2", check_program(SmallBundle(), "p", walking_program(map_of(0)))[0])

    def test_says_when_the_driver_is_too_old_for_tensor_maps(self):
        class OldLibrary(FakeLibrary):
            @property
            def cuTensorMapEncodeTiled(self):
                raise AttributeError

        self.library = OldLibrary(SmallBundle.kernels)
        self.driver = Driver(self.library)
        self.driver.start()
        self.program().run_all()
        with self.assertRaisesRegex(DriverError, "no cuTensorMapEncodeTiled: it knows CUDA 11.8, 12.0 is needed"):
            self.program(walking_program(map_of(0), map_of(1)))

    def test_counts_argument_bytes(self):
        # As nvcc 13 has them on sm_90, whose arguments begin at byte 528: maps lie at a multiple of 64.
        self.assertEqual(argument_bytes(KERNEL, 528), 2 * 8 + 2 * 4)
        self.assertEqual(argument_bytes(WALKING, 528), 48 + 2 * 128 + 2 * 4)
        three = {**WALKING, "buffers": [*WALKING["buffers"], KERNEL["buffers"][1]], "parameters": ["p0"] * 8}
        self.assertEqual(argument_bytes(three, 528), 336)

    def test_loads_no_torch(self):
        self.assertNotIn("torch", sys.modules)


class SectionsTest(unittest.TestCase):
    def test_chooses_by_name(self):
        self.assertEqual([name for name, _, _ in choose_sections("")], list(NAMES))
        self.assertEqual([name for name, _, _ in choose_sections("kernels, check")], ["check", "kernels"])
        with self.assertRaisesRegex(UnknownSection, "no section 'kernel'; of check, kernels, step, klein, encode"):
            choose_sections("check,kernel")

    def test_every_name_has_a_function(self):
        with open(os.path.join(os.path.dirname(__file__), "sections.py"), encoding="utf-8") as file:
            tree = ast.parse(file.read())
        tables = [node.value for node in tree.body if isinstance(node, ast.Assign) and node.targets[0].id == "FUNCTIONS"]
        self.assertEqual([key.value for key in tables[0].keys], list(NAMES))


class FormsTest(unittest.TestCase):
    def setUp(self):
        def program(form, product, **more):
            launch = PROGRAM["launches"][0]
            made = {**launch, "kernel": product, "label": "double.0.product", "block": "double.0", "flop": 9e9}
            small = {**launch, "label": "double.0.small", "block": "double.0"}
            return {**PROGRAM, "form": form, "launches": [small, made], **more}

        self.programs = {
            "contraction": program("tensor copies, walking tiles", "walk", launches=[], function="contraction"),
            "dev.denoise": program("tensor copies, walking tiles", "walk"),
            "dev.denoise, cp.async ring": program("cp.async ring", "ring", of="dev.denoise"),
            "klein-4b.denoise": program("cp.async ring", "other"),
        }

    def test_stand_side_by_side_where_kernels_differ(self):
        order = order_for_measuring(self.programs)
        found = [(launch["kernel"], form_of(self.programs, name, launch)) for name, launch in order]
        self.assertEqual(found, [("walk", "tensor copies, walking tiles"), ("ring", "cp.async ring"), ("scale", "")])


    def test_put_plain_products_first_whatever_their_operands(self):
        flop = {**PROGRAM["launches"][0], "flop": 1e9, "label": "w.f8", "kernel": "codes"}
        self.programs["contraction, fp8"] = {**self.programs["contraction"], "launches": [flop]}
        self.assertEqual([name for name, _ in order_for_measuring(self.programs)][:2], ["contraction, fp8", "dev.denoise"])


class ElfTest(unittest.TestCase):
    def test_refuses_other_files(self):
        with self.assertRaises(ValueError):
            elf.sections(struct.pack("<Q", 0))


@unittest.skipUnless(FOLDER, "FLUX2C_BUNDLE names no bundle")
class BundleTest(unittest.TestCase):
    def setUp(self):
        self.bundle = Bundle(FOLDER)

    def test_holds_together(self):
        has_code = self.bundle.read(next(iter(self.bundle.kernels.values()))["cubins"][self.bundle.architectures[0]])[:4] == b"\x7fELF"
        if has_code:
            self.assertEqual(find_problems(self.bundle), [])
        for name, program in self.bundle.programs.items():
            self.assertEqual(check_program(self.bundle, name, program), [])

    def test_runs_on_the_fake_driver(self):
        library = FakeLibrary(self.bundle.kernels)
        driver = Driver(library)
        driver.start()
        functions = Functions(driver, self.bundle, self.bundle.architectures[0])
        for program in self.bundle.programs.values():
            made = Program(functions, program, lambda buffer, _: library.allocate(buffer["bytes"]), copy_on_device(driver))
            made.run_all()
            for step, launch in zip(made.steps, program["launches"]):
                if "copy" in launch:
                    continue
                for value, (_, _, size) in zip(step.values, launch["bindings"]):
                    self.assertLessEqual(size, library.room(value.value), launch["label"])
        self.assertGreater(len(library.launches), 0)

    def test_has_distinct_launches(self):
        launches = distinct_launches(self.bundle.programs)
        self.assertEqual({launch["kernel"] for _, launch in launches}, set(self.bundle.kernels))


if __name__ == "__main__":
    unittest.main()
