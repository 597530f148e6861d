/**
 * What happened before what, in blocks whose threads arrive at barriers and wait for them: vector clocks, exact where epochs of
 * `__syncthreads` (memory.ts) would take one thread's wait for everybody's. Agents are the threads, the matrix units of each warp,
 * which read by themselves between the start of a product and its wait, and the barriers, for the copies that arrive there. Each
 * agent counts; a use has its agent's count, and has happened before what a thread does when the thread knows that count. Threads
 * learn what others know where they wait. After the happens-before of FastTrack (Flanagan and Freund, PLDI 2009).
 */
export const orderingText = String.raw`
namespace f2c {
namespace emulator {

constexpr int max_warps = max_threads / warp_size;
constexpr int max_barriers = 128;
constexpr int max_agents = max_threads + max_warps + max_barriers;

/** Of the block; as long as there are none, its threads meet at __syncthreads only, and epochs say everything. */
static int barrier_count;
/** Starts with the first barrier: what is older is known to all. */
static unsigned barrier_epoch;
/** Row of a thread: the count of each agent that it knows, of itself its own. */
static unsigned knowledge[max_threads][max_agents];

/** Agents of this block: threads, matrix units of warps, barriers. */
inline int matrix_agent(int warp) { return block_size + warp; }
inline int barrier_agent(int barrier) { return block_size + max_warps + barrier; }

inline void learn(unsigned* row, const unsigned* other) {
  const int count = barrier_agent(barrier_count);
  for (int agent = 0; agent < count; agent++) row[agent] = row[agent] < other[agent] ? other[agent] : row[agent];
}

inline void start_ordering() {
  barrier_epoch = ++epoch;
  for (int thread = 0; thread < block_size; thread++) {
    memset(knowledge[thread], 0, sizeof knowledge[thread]);
    knowledge[thread][thread] = 1;
  }
}

/** Threads meet: each learns what the others know; what they do from now on is news. */
inline void meet_all(int first, int end) {
  if (barrier_count == 0) return;
  static unsigned common[max_agents];
  memset(common, 0, sizeof common);
  for (int thread = first; thread < end; thread++) learn(common, knowledge[thread]);
  for (int thread = first; thread < end; thread++) {
    memcpy(knowledge[thread], common, sizeof common);
    knowledge[thread][thread]++;
  }
}

/** Reads of a granule since its last write, one for each agent. */
struct ReadNote {
  int agent;
  unsigned count;
  int line, next;
};
static ReadNote* read_notes;
static int note_count, note_capacity, free_note = -1;

inline void forget_notes() {
  note_count = 0;
  free_note = -1;
}
inline int take_note(ReadNote note) {
  int place = free_note;
  if (place >= 0) {
    free_note = read_notes[place].next;
  } else {
    if (note_count == note_capacity) {
      note_capacity = note_capacity == 0 ? 4096 : 2 * note_capacity;
      read_notes = static_cast<ReadNote*>(realloc(read_notes, size_t(note_capacity) * sizeof(ReadNote)));
    }
    place = note_count++;
  }
  read_notes[place] = note;
  return place;
}

}  // namespace emulator
}  // namespace f2c
`;
