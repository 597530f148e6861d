/** Runs the threads of a block until all have ended, wait for each other for ever, or one has failed. */
export const schedulerText = String.raw`
namespace f2c {
namespace emulator {

inline void fail_at(int code, int line, int thread, int other_line, int count) {
  report = {code, line, thread, block_index[0], block_index[1], block_index[2], -1, 0, 0, -1, other_line, count};
}

/** Runs the lanes of a warp until all have ended or wait for other warps. False after a failure. */
inline bool run_warp(int first) {
  const int end = first + warp_size < block_size ? first + warp_size : block_size;
  for (;;) {
    int arrived = 0;
    int leader = -1;
    bool is_held = false;
    for (int thread = first; thread < end; thread++) {
      if (threads[thread].state == State::ready) {
        resume(thread);
        if (report.code != 0) return false;
      }
      is_held |= threads[thread].state == State::at_phase;
      if (threads[thread].state == State::at_collective) {
        arrived++;
        if (leader < 0) leader = thread;
      }
    }
    if (arrived == 0) return true;
    const Collective& wanted = threads[leader].collective;
    if (arrived != warp_size) {
      // Lanes that wait for a barrier may still come; the last one to run may have let them go on.
      if (is_held) return true;
      int other_line = 0;
      for (int thread = first; thread < end; thread++)
        if (threads[thread].state == State::at_barrier) other_line = threads[thread].barrier_line;
      fail_at(247, wanted.line, leader, other_line, arrived);
      return false;
    }
    void* lanes[warp_size];
    for (int thread = first; thread < end; thread++) {
      const Collective& found = threads[thread].collective;
      if (found.perform != wanted.perform || found.parameter != wanted.parameter || found.line != wanted.line) {
        fail_at(247, wanted.line, thread, found.line, arrived);
        return false;
      }
      lanes[thread - first] = found.lane;
      threads[thread].state = State::ready;
    }
    current = leader;
    wanted.perform(wanted.parameter, lanes);
    if (report.code != 0) return false;
  }
}

/** What keeps a thread that has not ended. */
inline WaitReport wait_of(int thread) {
  const Thread& self = threads[thread];
  WaitReport wait = {int(self.state), 0, thread, 1, -1, 0, 0, 0, 0, 0};
  if (self.state == State::at_barrier) wait.line = self.barrier_line;
  if (self.state == State::at_collective) wait.line = self.collective.line;
  if (self.state == State::at_phase) {
    const Barrier& barrier = barriers[self.phase.barrier];
    wait.line = self.phase.line;
    wait.object = barrier.object;
    wait.index = barrier.index;
    wait.parity = self.phase.parity;
    wait.phase = barrier.phase;
    wait.arrivals = barrier.missing;
    wait.bytes = barrier.bytes;
  }
  return wait;
}
/** Nothing can go on any more. */
inline void report_deadlock() {
  int count = 0;
  for (int thread = 0; thread < block_size; thread++) {
    if (threads[thread].state == State::finished) continue;
    const WaitReport wait = wait_of(thread);
    int at = 0;
    while (at < count && (report.waits[at].line != wait.line || report.waits[at].object != wait.object ||
                          report.waits[at].index != wait.index))
      at++;
    if (at == reported_waits) continue;
    if (at < count) {
      report.waits[at].count++;
      continue;
    }
    if (count == 0 || (report.object < 0 && wait.object >= 0)) {
      report.code = 236;
      report.line = wait.line;
      report.thread = thread;
      report.object = wait.object;
    }
    report.waits[count++] = wait;
  }
  for (int axis = 0; axis < 3; axis++) (&report.block_x)[axis] = block_index[axis];
}

/** All that have not ended are at one __syncthreads, or this is a failure. */
inline bool pass_barrier(int waiting, int leader) {
  for (int thread = 0; thread < block_size; thread++) {
    const bool is_here = threads[thread].state == State::at_barrier;
    if (!is_here || threads[thread].barrier_line != threads[leader].barrier_line) {
      fail_at(243, threads[leader].barrier_line, thread, is_here ? threads[thread].barrier_line : 0, waiting);
      return false;
    }
  }
  for (int thread = 0; thread < block_size; thread++) threads[thread].state = State::ready;
  memcpy(published_fences, proxy_fences, sizeof proxy_fences);
  epoch++;
  meet_all(0, block_size);
  return true;
}

inline void run_block() {
  for (int thread = 0; thread < block_size; thread++) threads[thread].state = State::ready;
  block_epoch = ++epoch;
  for (;;) {
    for (int first = 0; first < block_size; first += warp_size)
      if (!run_warp(first)) return;
    int waiting = 0;
    int leader = -1;
    bool is_any_ready = false;
    bool is_any_held = false;
    for (int thread = 0; thread < block_size; thread++) {
      const State state = threads[thread].state;
      is_any_ready |= state == State::ready;
      is_any_held |= state == State::at_phase || state == State::at_collective;
      if (state != State::at_barrier) continue;
      if (leader < 0) leader = thread;
      if (threads[thread].barrier_line == threads[leader].barrier_line) waiting++;
    }
    if (is_any_ready) continue;
    if (is_any_held) {
      // As late as can be: somebody waits, and nobody can do anything else.
      if (land_copies()) continue;
      report_deadlock();
      return;
    }
    if (waiting == 0) {
      report_left_copies();
      return;
    }
    if (!pass_barrier(waiting, leader)) return;
  }
}

}  // namespace emulator
}  // namespace f2c
`;
