"""Tensor maps: 128 bytes that tell the hardware where boxes of a buffer lie. Standard library only."""

import ctypes

BYTES, ALIGNMENT = 128, 64
WIDTHS = {"f32": 4, "f16": 2, "bf16": 2, "f8e4m3": 1, "i32": 4, "u32": 4, "u8": 1, "bool": 1}
# CUtensorMapDataType of cuda.h, which has no 8-bit floats: bytes are copied as they are.
DATA_TYPES = {"u8": 0, "bool": 0, "f8e4m3": 0, "u32": 2, "i32": 3, "f16": 6, "f32": 7, "bf16": 9}
# As in runtime/cuda/tensor-map-values.ts: not interleaved, rows of 128 bytes swizzled, 256 bytes into the L2 cache, zeros outside.
MODES = (0, 3, 3, 0)


def aligned_bytes():
    memory = ctypes.create_string_buffer(BYTES + ALIGNMENT)
    return (ctypes.c_ubyte * BYTES).from_buffer(memory, -ctypes.addressof(memory) % ALIGNMENT)


def encode(driver, storage, binding_address, described):
    """`described`: an entry of a launch's `tensorMaps`."""
    encoded = aligned_bytes()
    rank = len(described["extents"])
    driver.call(
        "cuTensorMapEncodeTiled",
        ctypes.c_void_p(ctypes.addressof(encoded)),
        DATA_TYPES[storage],
        rank,
        ctypes.c_void_p(binding_address + described["offset"]),
        (ctypes.c_uint64 * rank)(*described["extents"]),
        (ctypes.c_uint64 * (rank - 1))(*described["strides"]),
        (ctypes.c_uint32 * rank)(*described["boxes"]),
        (ctypes.c_uint32 * rank)(*[1] * rank),
        *MODES,
    )
    return encoded


def find_problem(storage, start, described, room):
    """What the driver would refuse of a map that begins `start` bytes into a buffer of `room`, or reaches out of it; or None."""
    extents, strides, boxes = described["extents"], described["strides"], described["boxes"]
    width, rank = WIDTHS[storage], len(extents)
    if not 2 <= rank <= 5 or len(strides) != rank - 1 or len(boxes) != rank:
        return f"{rank} extents, {len(strides)} strides, {len(boxes)} boxes"
    if not all(1 <= extent <= 2**32 for extent in extents):
        return f"extents {extents}"
    if not all(0 <= stride < 2**40 and stride % 16 == 0 for stride in strides):
        return f"strides {strides}"
    if not all(1 <= box <= 256 for box in boxes) or boxes[0] * width != 128:
        return f"boxes {boxes}"
    if start % 16 != 0:
        return f"an offset of {start} bytes"
    end = start + sum((extent - 1) * stride for extent, stride in zip(extents[1:], strides)) + extents[0] * width
    if start < 0 or end > room:
        return f"bytes {start} to {end} of {room}"
    return None
