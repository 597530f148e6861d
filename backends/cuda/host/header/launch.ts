/** Launches of a run: what they touch, and in how many pieces. */
export const launchText = String.raw`
namespace flux2c {

inline void Run::launch(const Kernel& kernel, const char* label, std::initializer_list<Axis> grid, std::initializer_list<View> views,
                        std::initializer_list<long long> sizes) {
  long long blocks[3];
  for (int axis = 0; axis < 3; axis++) {
    const auto [extent, tile] = grid.begin()[axis];
    if (extent < 0) throw Error{"F2C310", "the grid of a launch is not a size", {function.name, label}, "at least 0", text(extent)};
    blocks[axis] = (extent + tile - 1) / tile;
  }
  if (blocks[0] == 0 || blocks[1] == 0 || blocks[2] == 0) return;
  last_launch = label;
  std::vector<Binding> bindings;
  std::vector<int> bases, parameters;
  for (const View& view : views) {
    const Place& place = places[view.storage];
    const long long width = bytes_of(storages[view.storage].type);
    const long long span = std::max(0LL, view.span);
    if (view.offset < 0) throw Error{"F2C310", "the offset of a view is not a size", {function.name, label}, "at least 0", text(view.offset)};
    index_of(span, label, storages[view.storage].label);
    // A view of nothing, as of no reference pictures, still needs something bound.
    const long long first = std::min(view.offset, std::max(0LL, storages[view.storage].elements - 1));
    const long long begin = first * width / alignment * alignment;
    const long long end = std::min(place.bytes, std::max(begin + 16, round_up((view.offset + span) * width, 16)));
    bindings.push_back({place.pointer + begin, end - begin});
    bases.push_back(index_of(view.offset - begin / width, label, "a base"));
  }
  for (const long long size : sizes) parameters.push_back(index_of(size, label, "a size"));
  static constexpr long long most[3] = FLUX2C_MOST_BLOCKS;
  for (int axis = 0; axis < 3; axis++)
    if (blocks[axis] > most[axis] && !kernel.can_split[axis])
      throw Error{"F2C312", "a launch does not fit the device and cannot be cut", {function.name, label, kernel.name},
                  text("at most ", most[axis], " blocks along ", "xyz"[axis]), text(blocks[axis])};
  for (long long z = 0; z < blocks[2]; z += most[2])
    for (long long y = 0; y < blocks[1]; y += most[1])
      for (long long x = 0; x < blocks[0]; x += most[0]) {
        const int here[3] = {int(std::min(most[0], blocks[0] - x)), int(std::min(most[1], blocks[1] - y)), int(std::min(most[2], blocks[2] - z))};
        unsigned started[3] = {unsigned(here[0]), unsigned(here[1]), unsigned(here[2])};
        if (kernel.walks) {
          const int tiles = index_of((long long)here[0] * here[1] * here[2], label, "all tiles");
          started[0] = unsigned(std::min(tiles, device->multiprocessors));
          started[1] = started[2] = 1;
        }
        const Piece piece = {kernel.name, label, {here[0], here[1], here[2]}, {started[0], started[1], started[2]},
            {index_of(x, label, "origin x"), index_of(y, label, "origin y"), index_of(z, label, "origin z")},
            bindings, bases, parameters};
        kernel.start(piece);
        if (options.checks_launches) wait();
      }
}

}  // namespace flux2c
`;
