/** The loop over the blocks of a launch. */
export const launchText = String.raw`
namespace f2c {
namespace emulator {
/** Runs every block of a grid, one after the other; what went wrong is in the report, 0 when nothing did. */
inline int run_grid(const unsigned* grid, int threads_a_block, int shared, int shift, void (*call)(), long long* out) {
  report = {};
  block_size = threads_a_block;
  shared_length = shared;
  granule_shift = shift;
  kernel_call = call;
  memcpy(grid_size, grid, sizeof grid_size);
  reclaim_stacks();
  if (!make_stacks(threads_a_block)) {
    report.code = 502;
  } else {
    for (unsigned z = 0; z < grid[2] && report.code == 0; z++)
      for (unsigned y = 0; y < grid[1] && report.code == 0; y++)
        for (unsigned x = 0; x < grid[0] && report.code == 0; x++) {
          block_index[0] = int(x);
          block_index[1] = int(y);
          block_index[2] = int(z);
          memset(shared_bytes, 0xff, size_t(shared));
          forget_copies();
          forget_products();
          forget_barriers();
          forget_tensor_copies();
          run_block();
        }
  }
  memcpy(out, &report, sizeof report);
  return int(report.code);
}
}  // namespace emulator

}  // namespace f2c
`;
