"""The runner without a GPU: python3 -m unittest runner.test_runner, with FLUX2C_BUNDLE naming a bundle."""

import os
import struct
import sys
import unittest

from . import elf
from .bundle import Bundle, check_launch, check_program, distinct_launches, find_problems
from .driver import Driver, DriverError, Functions, Program, copy_on_device
from .fake import FakeLibrary

FOLDER = os.environ.get("FLUX2C_BUNDLE", "")

KERNEL = {
    "entryPoint": "scale",
    "block": 128,
    "shared": 65536,
    "buffers": [{"name": name, "storage": "f32", "access": access} for name, access in (("a", "read"), ("r", "write"))],
    "parameters": ["origin_x", "p0"],
    "cubins": {"sm_90a": "kernels.cubin"},
}
PROGRAM = {
    "buffers": [{"kind": "input", "label": "a", "bytes": 512}, {"kind": "result", "label": "r", "bytes": 512}],
    "launches": [
        {
            "kernel": "scale",
            "label": "first",
            "bindings": [[0, 0, 512], [1, 256, 256]],
            "parameters": [0, -5],
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

    kernels = {"scale": KERNEL}
    architectures = ["sm_90a"]

    def read(self, _):
        return b"machine code"


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
        launch = ("scale", (7, 3, 2), 128, 65536, [first, second + 256], [0, -5])
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

    def test_loads_no_torch(self):
        self.assertNotIn("torch", sys.modules)


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
