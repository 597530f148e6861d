"""What a kernel's tile form says of its products: how large their factors should be, how many columns there are. Standard library only."""

LARGEST_CODE = 448.0
# Of some thousands of normal numbers, a row's, the largest is about four deviations away: quantising makes it LARGEST_CODE.
CODE_DEVIATION = LARGEST_CODE / 4


def flatten(body):
    for statement in body:
        yield statement
        if statement[0] == "for":
            yield from flatten(statement[2])


def below(tile, at):
    node = tile["nodes"][at]
    yield at
    first = {"unary": 2, "convert": 2, "binary": 2, "select": 1, "when": 2, "exchange": 3}
    for operand in node[first[node[0]] :] if node[0] in first else []:
        yield from below(tile, operand)


def loads(tile, at, names):
    """Whether an expression reads one of the buffers."""
    return any(tile["nodes"][each][0] == "load" and tile["nodes"][each][1] in names for each in below(tile, at))


def count_columns(tile, extents):
    """Columns of a product: heads of them are columns, and so are those of another sum over the same rows (SwiGLU)."""
    sums = sum(statement[0] == "contract" for statement in flatten(tile["body"]))
    return sums * (extents["n"] if "n" in extents else extents["h"] * extents["d"])


def magnitude(tile, extents, name):
    """The second factor of a product shrinks with the length of the sum, so that results stay about 1."""
    for kind, *rest in tile["body"]:
        if kind == "contract" and loads(tile, rest[3], {name}):
            return extents[rest[1]] ** -0.5
    return 1.0


def find_scales(kernel, extents):
    """
    Scales of quantised factors by buffer name, as large as makes results about 1: what sums of products of codes are
    multiplied with at first, a number for each row of the left factor, then one for each of the right.
    """
    tile = kernel["tile"]
    codes = {buffer["name"] for buffer in kernel["buffers"] if buffer["storage"] == "f8e4m3" and buffer["access"] == "read"}
    sums = {rest[0]: extents[rest[1]] for kind, *rest in flatten(tile["body"]) if kind == "contract" and loads(tile, rest[2], codes)}
    found, level = {}, {at: node[1] for at, node in enumerate(tile["nodes"]) if node[0] == "tile" and node[1] in sums}
    for _ in range(2):
        scaled = {}
        for at, (kind, *parts) in enumerate(tile["nodes"]):
            if kind == "binary" and parts[0] == "mul" and parts[1] in level and tile["nodes"][parts[2]][0] == "load":
                scaled[at] = level[parts[1]]
                found[tile["nodes"][parts[2]][1]] = sums[level[parts[1]]] ** -0.25 / CODE_DEVIATION
        level = scaled
    return found
