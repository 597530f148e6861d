"""A driver that computes nothing and refuses what a real one would, for tests without a GPU."""

import ctypes
import struct

from . import tensor_maps

INVALID_VALUE, NOT_FOUND, INVALID_ADDRESS = 1, 500, 700


def written(reference):
    """The object behind ctypes.byref."""
    return reference._obj


class FakeLibrary:
    """
    `kernels`: by entry point what the bundle says of it; arguments are read as the driver would read them.
    `regions`: (address, bytes) of what is allocated. `maps`: (type, address, extents, strides, boxes) of what was encoded.
    """

    multiprocessors = 3

    def __init__(self, kernels, capability=(9, 0)):
        self.kernels = {kernel["entryPoint"]: kernel for kernel in kernels.values()}
        self.capability = capability
        self.calls, self.launches, self.regions, self.maps = [], [], [], []
        self.functions, self.allowed = {}, {}
        self.is_started = False

    def allocate(self, size, alignment=256):
        last = self.regions[-1] if self.regions else (2**32, 0)
        address = -(-(last[0] + last[1] + 1) // alignment) * alignment
        self.regions.append((address, size))
        return address

    def room(self, address):
        """Bytes from an address to the end of its allocation; 0 outside of all."""
        return next((start + size - address for start, size in self.regions if start <= address < start + size), 0)

    def cuInit(self, _):
        self.calls.append("cuInit")
        return 0

    def cuDeviceGet(self, device, ordinal):
        written(device).value = ordinal
        return 0

    def cuDevicePrimaryCtxRetain(self, context, _):
        written(context).value = 1
        return 0

    def cuCtxSetCurrent(self, _):
        self.calls.append("cuCtxSetCurrent")
        self.is_started = True
        return 0

    def cuDeviceGetAttribute(self, value, attribute, _):
        values = {16: self.multiprocessors, 75: self.capability[0], 76: self.capability[1]}
        written(value).value = values[attribute]
        return 0

    def cuDriverGetVersion(self, version):
        written(version).value = 11080
        return 0

    def cuTensorMapEncodeTiled(self, target, kind, rank, address, extents, strides, boxes, steps, *modes):
        storage = next((name for name, number in tensor_maps.DATA_TYPES.items() if number == kind), None)
        described = {"extents": list(extents), "strides": list(strides), "boxes": list(boxes)}
        if storage is None or target.value % 64 != 0 or modes != (0, 3, 3, 0) or list(steps) != [1] * rank or len(extents) != rank:
            return INVALID_VALUE
        if address.value % 16 != 0 or tensor_maps.find_problem(storage, 0, described, self.room(address.value)) is not None:
            return INVALID_VALUE
        ctypes.memmove(target.value, struct.pack("<4sI", b"tmap", len(self.maps)), 8)
        self.maps.append((kind, address.value, *described.values()))
        return 0

    def map_at(self, place):
        """What a launch's argument holds, or None."""
        magic, number = struct.unpack("<4sI", ctypes.string_at(place, 8))
        return self.maps[number] if magic == b"tmap" and place % 64 == 0 else None

    def cuGetErrorName(self, code, text):
        written(text).value = f"error {code}".encode()
        return 0

    def cuModuleLoadData(self, module, image):
        if not self.is_started:
            return INVALID_VALUE
        self.calls.append("cuModuleLoadData")
        written(module).value = len(self.calls)
        return 0

    def cuModuleGetFunction(self, function, _, name):
        entry = name.value.decode()
        if entry not in self.kernels:
            return NOT_FOUND
        self.calls.append(f"cuModuleGetFunction {entry}")
        handle = 1000 + len(self.functions)
        self.functions[handle] = entry
        written(function).value = handle
        return 0

    def cuFuncSetAttribute(self, function, attribute, value):
        self.calls.append(f"cuFuncSetAttribute {self.functions[function.value]}")
        if attribute == 8:
            self.allowed[function.value] = value
        return 0

    def cuLaunchKernel(self, function, gx, gy, gz, bx, by, bz, shared, _stream, arguments, _extra):
        entry = self.functions[function.value]
        kernel = self.kernels[entry]
        grid = (gx, gy, gz)
        if min(grid) < 1 or gx >= 2**31 or max(gy, gz) > 65535 or not 1 <= bx * by * bz <= 1024:
            return INVALID_VALUE
        if shared > self.allowed.get(function.value, 48 * 1024):
            return INVALID_VALUE
        count = len(kernel["buffers"])
        pointers = [ctypes.c_uint64.from_address(arguments[at]).value for at in range(count)]
        if any(self.room(pointer) == 0 for pointer in pointers):
            return INVALID_ADDRESS
        count += len(kernel["tensorMaps"])
        maps = [self.map_at(arguments[at]) for at in range(len(pointers), count)]
        if None in maps:
            return INVALID_VALUE
        names = kernel["parameters"]
        values = list((ctypes.c_int32 * len(names)).from_address(arguments[count])) if names else []
        self.launches.append((entry, grid, bx, shared, pointers, maps, values))
        return 0

    def cuMemcpyDtoDAsync_v2(self, target, source, size, _):
        if min(self.room(target.value), self.room(source.value)) < size.value:
            return INVALID_ADDRESS
        self.launches.append(("copy", source.value, target.value, size.value))
        return 0
