"""The CUDA driver through ctypes: modules, functions, launches. Standard library only."""

import ctypes

from .tensor_maps import encode

MAX_DYNAMIC_SHARED = 8
MULTIPROCESSORS, COMPUTE_MAJOR, COMPUTE_MINOR = 16, 75, 76
PLAIN_SHARED = 48 * 1024


class DriverError(Exception):
    pass


def open_library():
    for name in ("libcuda.so.1", "libcuda.so", "nvcuda.dll"):
        try:
            library = ctypes.CDLL(name)
        except OSError:
            continue
        library.cuLaunchKernel.argtypes = [
            ctypes.c_void_p,
            *[ctypes.c_uint] * 7,
            ctypes.c_void_p,
            ctypes.POINTER(ctypes.c_void_p),
            ctypes.POINTER(ctypes.c_void_p),
        ]
        return library
    raise DriverError("there is no CUDA driver (libcuda.so.1)")


class Driver:
    """`library`: libcuda, or something with functions of the same names for tests."""

    def __init__(self, library):
        self.library = library

    def call(self, name, *arguments):
        try:
            function = getattr(self.library, name)
        except AttributeError:
            raise DriverError(f"the driver has no {name}: it knows CUDA {self.version()}, 12.0 is needed") from None
        code = function(*arguments)
        if code != 0:
            text = ctypes.c_char_p()
            self.library.cuGetErrorName(code, ctypes.byref(text))
            raise DriverError(f"{name}: {(text.value or b'?').decode()} ({code})")

    def start(self, ordinal=0):
        """Makes the device's primary context current: the one PyTorch uses."""
        self.call("cuInit", 0)
        device, context = ctypes.c_int(), ctypes.c_void_p()
        self.call("cuDeviceGet", ctypes.byref(device), ordinal)
        self.call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        self.call("cuCtxSetCurrent", context)
        self.device = device

    def version(self):
        value = ctypes.c_int()
        self.call("cuDriverGetVersion", ctypes.byref(value))
        return f"{value.value // 1000}.{value.value % 1000 // 10}"

    def attribute(self, number):
        value = ctypes.c_int()
        self.call("cuDeviceGetAttribute", ctypes.byref(value), number, self.device)
        return value.value

    def capability(self):
        return self.attribute(COMPUTE_MAJOR), self.attribute(COMPUTE_MINOR)

    def load(self, image):
        module = ctypes.c_void_p()
        self.call("cuModuleLoadData", ctypes.byref(module), ctypes.c_char_p(image))
        return module

    def function(self, module, name, shared):
        found = ctypes.c_void_p()
        self.call("cuModuleGetFunction", ctypes.byref(found), module, ctypes.c_char_p(name.encode()))
        if shared > PLAIN_SHARED:
            self.call("cuFuncSetAttribute", found, MAX_DYNAMIC_SHARED, shared)
        return found


def started_grid(driver, kernel, grid):
    """Blocks that walk over tiles are one for each multiprocessor at most."""
    if not kernel["walksTiles"]:
        return grid
    return [min(grid[0] * grid[1] * grid[2], driver.attribute(MULTIPROCESSORS)), 1, 1]


class Launch:
    """One launch with its arguments packed: a pointer for each buffer, the tensor maps, then all parameters as one structure."""

    def __init__(self, driver, function, kernel, launch, addresses):
        self.driver = driver
        self.function = function
        self.grid = started_grid(driver, kernel, launch["grid"])
        self.block = kernel["block"]
        self.shared = kernel["shared"]
        # The driver reads the values when the launch is queued; they live as long as this object.
        self.values = [ctypes.c_uint64(address) for address in addresses]
        for described in launch["tensorMaps"]:
            at = described["binding"]
            self.values.append(encode(driver, kernel["buffers"][at]["storage"], addresses[at], described))
        if launch["parameters"]:
            self.values.append((ctypes.c_int32 * len(launch["parameters"]))(*launch["parameters"]))
        places = [ctypes.cast(ctypes.pointer(value), ctypes.c_void_p) for value in self.values]
        self.arguments = (ctypes.c_void_p * len(places))(*places)

    def __call__(self, stream=None):
        self.driver.call(
            "cuLaunchKernel", self.function, *self.grid, self.block, 1, 1, self.shared, stream, self.arguments, None
        )


class Functions:
    """Functions of a bundle's kernels for one architecture; a file of machine code is loaded once."""

    def __init__(self, driver, bundle, architecture):
        self.driver, self.bundle, self.architecture = driver, bundle, architecture
        self.modules, self.found = {}, {}

    def get(self, name):
        if name not in self.found:
            kernel = self.bundle.kernels[name]
            file = kernel["cubins"][self.architecture]
            if file not in self.modules:
                self.modules[file] = self.driver.load(self.bundle.read(file))
            self.found[name] = self.driver.function(self.modules[file], kernel["entryPoint"], kernel["shared"])
        return self.found[name]

    def launch(self, launch, addresses):
        kernel = self.bundle.kernels[launch["kernel"]]
        return Launch(self.driver, self.get(launch["kernel"]), kernel, launch, addresses)


class Program:
    """A program of the bundle on memory: `allocate(buffer, index)` gives the address of a buffer's first byte."""

    def __init__(self, functions, program, allocate, copy):
        self.json = program
        self.addresses = [allocate(buffer, at) for at, buffer in enumerate(program["buffers"])]
        self.steps = []
        for launch in program["launches"]:
            if "copy" in launch:
                (source, start), (target, begin) = launch["from"], launch["to"]
                ends = (self.addresses[source] + start, self.addresses[target] + begin)
                self.steps.append(lambda stream, ends=ends, size=launch["bytes"]: copy(*ends, size, stream))
            else:
                places = [self.addresses[buffer] + offset for buffer, offset, _ in launch["bindings"]]
                self.steps.append(functions.launch(launch, places))

    def run(self, order, stream=None):
        for at in order:
            self.steps[at](stream)

    def run_all(self, stream=None):
        self.run(self.json["before"], stream)
        for order in self.json["iterations"]:
            self.run(order, stream)
        self.run(self.json["after"], stream)


def copy_on_device(driver):
    return lambda source, target, size, stream: driver.call(
        "cuMemcpyDtoDAsync_v2", ctypes.c_uint64(target), ctypes.c_uint64(source), ctypes.c_size_t(size), ctypes.c_void_p(stream)
    )
