/*
 * A libcuda.so.1 for tests of the bindings on machines without a GPU: NVIDIA's own header declares what it exports, so
 * calls with other types than the real library's do not compile here or go wrong. Memory is the computer's, work is done
 * at once, two kernels exist: vector_add(a, b, out, {count, scale}), and copy_box(x, out, map of x, {count}), which writes the
 * numbers of the map's first box to out, one after another.
 */
#include <cuda.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#undef cuEventElapsedTime
#define live_magic 0x6c697665u
#define most_nodes 64

/* What the fake keeps in the 128 bytes of a CUtensorMap: little of what the real one does. */
typedef struct {
  unsigned magic, rank;
  const unsigned short *address;
  cuuint64_t extents[2], row_bytes;
  cuuint32_t box[2];
} Map;

typedef struct {
  Map map;
  const float *a, *b;
  float *out;
  int count, scale;
  unsigned grid, block;
  CUevent event;
} Node;

struct CUgraph_st { int count; Node nodes[most_nodes]; };
struct CUgraphExec_st { int count; Node nodes[most_nodes]; };
struct CUevent_st { unsigned magic; double at; int timed; int queries; };
struct CUstream_st { unsigned magic; CUgraph capture; };
struct CUmod_st { unsigned magic; };
struct CUfunc_st { int shared; };

static int fake_live = 0, fake_current = 0, fake_retained = 0;
static struct CUfunc_st fake_function, fake_copy_box;

/** Things allocated and not freed; for the test. */
int fake_live_count(void) { return fake_live + fake_retained; }

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1e3 + time.tv_nsec / 1e6;
}
static void *make(size_t bytes) { fake_live++; return calloc(1, bytes ? bytes : 1); }
static CUresult drop(void *memory) { fake_live--; free(memory); return CUDA_SUCCESS; }

CUresult cuInit(unsigned int flags) { return flags == 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE; }
CUresult cuDriverGetVersion(int *version) { *version = 13000; return CUDA_SUCCESS; }
CUresult cuDeviceGetCount(int *count) { *count = 1; return CUDA_SUCCESS; }
CUresult cuDeviceGet(CUdevice *device, int ordinal) {
  *device = 7;
  return ordinal == 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}
CUresult cuDeviceGetName(char *name, int length, CUdevice device) {
  strncpy(name, "Fake GPU", length);
  return device == 7 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}
CUresult cuDeviceTotalMem(size_t *bytes, CUdevice device) { *bytes = 80ull << 30; return CUDA_SUCCESS; }
CUresult cuDeviceGetAttribute(int *value, CUdevice_attribute attribute, CUdevice device) {
  switch (attribute) {
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR: *value = 9; return CUDA_SUCCESS;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR: *value = 0; return CUDA_SUCCESS;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN: *value = 227 * 1024; return CUDA_SUCCESS;
    case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT: *value = 132; return CUDA_SUCCESS;
    default: return CUDA_ERROR_INVALID_VALUE;
  }
}
CUresult cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice device) {
  fake_retained++;
  *context = (CUcontext)&fake_current;
  return CUDA_SUCCESS;
}
CUresult cuDevicePrimaryCtxRelease(CUdevice device) { fake_retained--; return CUDA_SUCCESS; }
CUresult cuCtxSetCurrent(CUcontext context) {
  fake_current = context == (CUcontext)&fake_current;
  return CUDA_SUCCESS;
}

CUresult cuModuleLoadData(CUmodule *module, const void *image) {
  if (memcmp(image, "fake ", 5) != 0) return CUDA_ERROR_INVALID_IMAGE;
  *module = make(sizeof(struct CUmod_st));
  return CUDA_SUCCESS;
}
CUresult cuModuleUnload(CUmodule module) { return drop(module); }
CUresult cuModuleGetFunction(CUfunction *function, CUmodule module, const char *name) {
  *function = strcmp(name, "copy_box") == 0 ? &fake_copy_box : &fake_function;
  return *function == &fake_copy_box || strcmp(name, "vector_add") == 0 ? CUDA_SUCCESS : CUDA_ERROR_NOT_FOUND;
}
CUresult cuFuncSetAttribute(CUfunction function, CUfunction_attribute attribute, int value) {
  if (attribute != CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES) return CUDA_ERROR_INVALID_VALUE;
  function->shared = value;
  return CUDA_SUCCESS;
}

CUresult cuMemAlloc(CUdeviceptr *pointer, size_t bytes) {
  if (!fake_current) return CUDA_ERROR_INVALID_CONTEXT;
  if (bytes > (80ull << 30)) return CUDA_ERROR_OUT_OF_MEMORY;
  *pointer = (CUdeviceptr)make(bytes);
  return CUDA_SUCCESS;
}
CUresult cuMemFree(CUdeviceptr pointer) { return drop((void *)pointer); }
CUresult cuMemGetInfo(size_t *available, size_t *total) {
  *available = 79ull << 30;
  *total = 80ull << 30;
  return CUDA_SUCCESS;
}
CUresult cuMemHostAlloc(void **memory, size_t bytes, unsigned int flags) {
  *memory = make(bytes);
  return flags == 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}
CUresult cuMemFreeHost(void *memory) { return drop(memory); }
CUresult cuMemcpyHtoDAsync(CUdeviceptr to, const void *from, size_t bytes, CUstream stream) {
  memcpy((void *)to, from, bytes);
  return stream->magic == live_magic ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}
CUresult cuMemcpyDtoHAsync(void *to, CUdeviceptr from, size_t bytes, CUstream stream) {
  memcpy(to, (void *)from, bytes);
  return stream->magic == live_magic ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}
CUresult cuMemcpyDtoDAsync(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream) {
  memcpy((void *)to, (void *)from, bytes);
  return stream->magic == live_magic ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}
CUresult cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t bytes, CUstream stream) {
  memset((void *)to, value, bytes);
  return stream->magic == live_magic ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

CUresult cuStreamCreate(CUstream *stream, unsigned int flags) {
  *stream = make(sizeof(struct CUstream_st));
  (*stream)->magic = live_magic;
  return flags == CU_STREAM_NON_BLOCKING ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}
CUresult cuStreamDestroy(CUstream stream) { return drop(stream); }
CUresult cuStreamSynchronize(CUstream stream) {
  return stream->magic == live_magic ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}
CUresult cuStreamWaitEvent(CUstream stream, CUevent event, unsigned int flags) {
  return event->magic == live_magic && flags == 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}
CUresult cuEventCreate(CUevent *event, unsigned int flags) {
  *event = make(sizeof(struct CUevent_st));
  (*event)->magic = live_magic;
  (*event)->timed = flags == CU_EVENT_DEFAULT;
  return CUDA_SUCCESS;
}
CUresult cuEventRecordWithFlags(CUevent event, CUstream stream, unsigned int flags) {
  if (event->magic != live_magic) return CUDA_ERROR_INVALID_HANDLE;
  if (stream->capture && flags == CU_EVENT_RECORD_EXTERNAL)
    stream->capture->nodes[stream->capture->count++].event = event;
  event->at = now();
  event->queries = 0;
  return CUDA_SUCCESS;
}
CUresult cuEventQuery(CUevent event) {
  if (event->magic != live_magic) return CUDA_ERROR_INVALID_HANDLE;
  return event->queries++ == 0 ? CUDA_ERROR_NOT_READY : CUDA_SUCCESS;
}
CUresult cuEventSynchronize(CUevent event) {
  return event->magic == live_magic ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}
CUresult cuEventElapsedTime(float *milliseconds, CUevent start, CUevent end) {
  *milliseconds = (float)(end->at - start->at);
  return start->timed && end->timed ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}
CUresult cuEventDestroy(CUevent event) { return drop(event); }

#ifndef FAKE_WITHOUT_TENSOR_MAPS
/* Two dimensions of 16-bit floats, as flux2c asks for them; each rule of the real call that such a map can break. */
CUresult cuTensorMapEncodeTiled(CUtensorMap *map, CUtensorMapDataType type, cuuint32_t rank, void *address,
                                const cuuint64_t *extents, const cuuint64_t *strides, const cuuint32_t *box,
                                const cuuint32_t *steps, CUtensorMapInterleave interleave, CUtensorMapSwizzle swizzle,
                                CUtensorMapL2promotion promotion, CUtensorMapFloatOOBfill fill) {
  Map made = {live_magic, rank, address, {extents[0], extents[1]}, strides[0], {box[0], box[1]}};
  if ((size_t)map % 64 || (size_t)address % 16 || rank != 2 || strides[0] % 16) return CUDA_ERROR_INVALID_VALUE;
  if (type != CU_TENSOR_MAP_DATA_TYPE_BFLOAT16 && type != CU_TENSOR_MAP_DATA_TYPE_FLOAT16) return CUDA_ERROR_INVALID_VALUE;
  if (!extents[0] || !extents[1] || box[0] != 64 || box[1] < 1 || box[1] > 256) return CUDA_ERROR_INVALID_VALUE;
  if (steps[0] != 1 || steps[1] != 1 || interleave != CU_TENSOR_MAP_INTERLEAVE_NONE) return CUDA_ERROR_INVALID_VALUE;
  if (swizzle != CU_TENSOR_MAP_SWIZZLE_128B || promotion != CU_TENSOR_MAP_L2_PROMOTION_L2_256B) return CUDA_ERROR_INVALID_VALUE;
  if (fill != CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) return CUDA_ERROR_INVALID_VALUE;
  memset(map, 0, sizeof *map);
  memcpy(map, &made, sizeof made);
  return CUDA_SUCCESS;
}
#endif

static void copy_box(const Map *map, unsigned short *out, int count) {
  for (int at = 0; at < count; at++) {
    unsigned row = at / map->box[0], column = at % map->box[0];
    int inside = row < map->extents[1] && column < map->extents[0];
    out[at] = inside ? map->address[row * (map->row_bytes / 2) + column] : 0;
  }
}

static void run_node(Node *node) {
  if (node->event) {
    node->event->at = now();
    return;
  }
  if (node->map.magic) {
    copy_box(&node->map, (unsigned short *)node->out, node->count);
    return;
  }
  for (unsigned block = 0; block < node->grid; block++)
    for (unsigned thread = 0; thread < node->block; thread++) {
      int index = (int)(block * node->block + thread);
      if (index < node->count) node->out[index] = node->a[index] + (float)node->scale * node->b[index];
    }
}
CUresult cuLaunchKernel(CUfunction function, unsigned int gx, unsigned int gy, unsigned int gz, unsigned int bx,
                        unsigned int by, unsigned int bz, unsigned int shared, CUstream stream, void **arguments,
                        void **extra) {
  Node node = {0};
  int copies = function == &fake_copy_box;
  if ((function != &fake_function && !copies) || stream->magic != live_magic || extra || gy != 1 || gz != 1 || by != 1 || bz != 1)
    return CUDA_ERROR_INVALID_VALUE;
  node.a = *(const float **)arguments[0];
  if (copies) {
    /* One block a multiprocessor at most. */
    if ((size_t)arguments[2] % 64 || gx > 132) return CUDA_ERROR_INVALID_VALUE;
    memcpy(&node.map, arguments[2], sizeof node.map);
    if (node.map.magic != live_magic || (const void *)node.map.address != (const void *)node.a) return CUDA_ERROR_INVALID_VALUE;
    node.out = *(float **)arguments[1];
    node.count = ((int *)arguments[3])[0];
  } else {
    node.b = *(const float **)arguments[1];
    node.out = *(float **)arguments[2];
    node.count = ((int *)arguments[3])[0];
    node.scale = ((int *)arguments[3])[1];
  }
  node.grid = gx;
  node.block = bx;
  if (stream->capture) stream->capture->nodes[stream->capture->count++] = node;
  else run_node(&node);
  return CUDA_SUCCESS;
}

CUresult cuStreamBeginCapture(CUstream stream, CUstreamCaptureMode mode) {
  stream->capture = make(sizeof(struct CUgraph_st));
  return mode == CU_STREAM_CAPTURE_MODE_THREAD_LOCAL ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}
CUresult cuStreamEndCapture(CUstream stream, CUgraph *graph) {
  *graph = stream->capture;
  stream->capture = NULL;
  return CUDA_SUCCESS;
}
CUresult cuGraphInstantiateWithFlags(CUgraphExec *exec, CUgraph graph, unsigned long long flags) {
  *exec = make(sizeof(struct CUgraphExec_st));
  memcpy(*exec, graph, sizeof(struct CUgraph_st));
  return flags == 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}
CUresult cuGraphLaunch(CUgraphExec exec, CUstream stream) {
  for (int index = 0; index < exec->count; index++) run_node(&exec->nodes[index]);
  return stream->magic == live_magic ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}
CUresult cuGraphExecDestroy(CUgraphExec exec) { return drop(exec); }
CUresult cuGraphDestroy(CUgraph graph) { return drop(graph); }

CUresult cuGetErrorName(CUresult error, const char **text) {
  *text = error == CUDA_ERROR_OUT_OF_MEMORY ? "CUDA_ERROR_OUT_OF_MEMORY" : "CUDA_ERROR_OTHER";
  return CUDA_SUCCESS;
}
CUresult cuGetErrorString(CUresult error, const char **text) {
  *text = "an error of the fake driver";
  return CUDA_SUCCESS;
}
