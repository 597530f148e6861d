/**
 * Threads of a block as fibers: each runs until it waits for others or ends. `swapcontext` would ask the kernel for signal
 * masks at every switch (0.3 µs); the few instructions below take 2 ns.
 */
export const fibersText = String.raw`
namespace f2c {
namespace emulator {

constexpr int max_threads = 1024;
constexpr int warp_size = 32;
constexpr long stack_bytes = 256 * 1024;

/** Threads that wait at one place for one thing; the order is WaitReport's in deadlocks.ts. */
struct WaitReport {
  long long kind, line, thread, count, object, index, parity, phase, arrivals, bytes;
};
constexpr int reported_waits = 6;

/** What a launch that fails says of it; the order is FailureReport's in failures.ts. */
struct Report {
  long long code, line, thread, block_x, block_y, block_z, object, index, length, other_thread, other_line, count;
  WaitReport waits[reported_waits];
};

/** at_barrier: of __syncthreads; at_phase: of a barrier in shared memory. */
enum class State { ready, at_barrier, at_collective, at_phase, finished };

#if defined(__x86_64__)
using Context = void*;
asm(R"(
.text
.type f2c_switch, @function
f2c_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size f2c_switch, .-f2c_switch
)");
extern "C" __attribute__((visibility("hidden"))) void f2c_switch(void** from, void* to);
inline void switch_context(Context& from, Context& to) { f2c_switch(&from, to); }
inline void start_context(Context& context, unsigned char* stack, void (*entry)()) {
  // A function finds the stack 8 bytes off a multiple of 16, as if it had been called.
  void** top = reinterpret_cast<void**>(stack + stack_bytes) - 2;
  *top = reinterpret_cast<void*>(entry);
  context = top - 6;
}
#else
using Context = ucontext_t;
inline void switch_context(Context& from, Context& to) { swapcontext(&from, &to); }
inline void start_context(Context& context, unsigned char* stack, void (*entry)()) {
  getcontext(&context);
  context.uc_stack.ss_sp = stack;
  context.uc_stack.ss_size = stack_bytes;
  context.uc_link = nullptr;
  makecontext(&context, entry, 0);
}
#endif

/** An operation that all lanes of a warp come to, and what each gives to it. */
struct Collective {
  void (*perform)(int parameter, void** lanes);
  int parameter;
  int line;
  void* lane;
};

/** The barrier (its number) and the phase that a thread waits for. */
struct PhaseWait {
  int barrier;
  int parity;
  int line;
};

struct Thread {
  Context context;
  unsigned char* stack;
  State state;
  int barrier_line;
  Collective collective;
  PhaseWait phase;
};

static Thread threads[max_threads];
static Context scheduler;
static int current;
static int block_size;
static int block_index[3];
static unsigned grid_size[3];
static void (*kernel_call)();
static Report report;
static unsigned char* free_stacks[max_threads];
static int free_stack_count;
/** Barriers since the library was loaded: every one starts an epoch, and so does every block. */
static unsigned epoch;
static unsigned block_epoch;
/** Times the lanes of each warp met to see each other's memory. */
static unsigned short warp_epochs[max_threads / warp_size];
/** Fences of each thread between its writes and the matrix units that read shared memory by themselves; those before the barrier. */
static unsigned proxy_fences[max_threads];
static unsigned published_fences[max_threads];

struct ThreadIndex {
  unsigned x, y, z;
};
inline ThreadIndex thread_index() { return {unsigned(current), 0u, 0u}; }
inline ThreadIndex grid_dimensions() { return {grid_size[0], grid_size[1], grid_size[2]}; }
inline ThreadIndex block_number() {
  return {unsigned(block_index[0]), unsigned(block_index[1]), unsigned(block_index[2])};
}

/** Ends the launch: control never comes back to this thread. Called from every access, so never inlined. */
[[noreturn]] __attribute__((noinline, cold)) inline void fail(int code, int line, long long object = -1, long long index = 0, long long length = 0,
                              int other_thread = -1, int other_line = 0) {
  report = {code, line, current, block_index[0], block_index[1], block_index[2], object, index, length, other_thread, other_line, 0};
  switch_context(threads[current].context, scheduler);
  __builtin_unreachable();
}

inline void wait_as(State state) {
  Thread& self = threads[current];
  self.state = state;
  switch_context(self.context, scheduler);
}

inline void barrier(int line) {
  threads[current].barrier_line = line;
  wait_as(State::at_barrier);
}

inline void collective(void (*perform)(int, void**), int parameter, void* lane, int line) {
  threads[current].collective = {perform, parameter, line, lane};
  wait_as(State::at_collective);
}

inline void thread_main() {
  kernel_call();
  wait_as(State::finished);
}

inline void resume(int thread) {
  current = thread;
  Thread& next = threads[thread];
  if (next.stack == nullptr) {
    next.stack = free_stacks[--free_stack_count];
    start_context(next.context, next.stack, thread_main);
  }
  switch_context(scheduler, next.context);
  // Threads that never wait follow each other on one stack, which stays in the cache.
  if (next.state == State::finished) {
    free_stacks[free_stack_count++] = next.stack;
    next.stack = nullptr;
  }
}

/** Guard pages below each stack: an overflow is a crash, not another thread's data. */
inline bool make_stacks(int count) {
  static int made = 0;
  for (; made < count; made++) {
    void* memory = mmap(nullptr, stack_bytes + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) return false;
    mprotect(memory, 4096, PROT_NONE);
    free_stacks[free_stack_count++] = static_cast<unsigned char*>(memory) + 4096;
  }
  return true;
}

/** After a failure threads may hold stacks in the middle of their work. */
inline void reclaim_stacks() {
  for (int thread = 0; thread < max_threads; thread++) {
    if (threads[thread].stack == nullptr) continue;
    free_stacks[free_stack_count++] = threads[thread].stack;
    threads[thread].stack = nullptr;
  }
}

}  // namespace emulator
}  // namespace f2c
`;
