/* stand_in.cc: the functions of the CUDA driver that src/cuda uses, without a card: the kernels of
 * src/cuda/kernels.cu run through the emulator.
 *
 * Cards are apart: each has its blocks, its work and its context, and may be lost alone. While the work of one
 * runs, memory of the others has no access rights; copies between cards and streams of another card's context are
 * misuse. Work given to a stream waits until someone synchronises: buffers that the host reuses too early show. Memory
 * of the device has no access rights except while that work runs, so the host cannot touch it; each block
 * ends at a page without rights, and begins behind one; what is left of its own pages is looked at after every
 * kernel. New memory is filled with ones (floats: NaN).
 * Asynchronous copies must use memory from cuMemHostAlloc. Between the beginning and the end of a capture work is recorded
 * and not run; a graph that is launched is that work once more. Misuse ends the program with a message. */
#include "emulator.h"
#include "stand_in.h"

#include <map>
#include <mutex>
#include <stdio.h>
#include <stdlib.h>
#include <string>
#include <sys/mman.h>
#include <vector>

#define EXPORT extern "C" __attribute__((visibility("default")))

enum { /* CUresult */
       SUCCESS = 0,
       INVALID_VALUE = 1,
       OUT_OF_MEMORY = 2,
       NO_DEVICE = 100,
       INVALID_DEVICE = 101,
       INVALID_CONTEXT = 201,
       NOT_FOUND = 500,
       LAUNCH_FAILED = 719,
       CAPTURE_UNSUPPORTED = 900,
       CAPTURE_INVALIDATED = 901
};

static stand_in at_first(void) {
    stand_in s = {};
    s.version = 13000;
    s.n_devices = 1;
    s.total_bytes = (size_t)2 << 30;
    s.seed = 1;
    s.image_result = 209;
    return s;
}
EXPORT stand_in pn_stand_in;
stand_in pn_stand_in = at_first();

namespace {
enum { PAGE = 4096 };

struct block {
    unsigned char *mapping;
    size_t mapping_bytes, bytes;
};
struct work {
    enum { IN, OUT, WITHIN, LAUNCH } kind;
    uint64_t to, from;
    unsigned char *host;
    size_t bytes;
    const emu_kernel *kernel;
    std::vector<unsigned char> args;
    emu_uint3 grid, threads;
    size_t shared_bytes;
};

struct card {
    std::map<uint64_t, block> blocks; /* by address */
    std::vector<work> queue;
    int n_contexts;
    bool is_lost;
};

std::recursive_mutex mutex;
card cards[STAND_IN_CARDS];
std::map<unsigned char *, size_t> pinned;
struct graph {
    const card *on;
    std::vector<work> works;
};
graph *captured; /* what is being captured now, or NULL */
bool is_captured_in_vain;
thread_local card *current;

int number(const card *c) {
    return static_cast<int>(c - cards);
}
size_t total_bytes(int device) {
    const size_t own = pn_stand_in.total_of[device];
    return own ? own : pn_stand_in.total_bytes;
}

[[noreturn]] void misuse(const char *what) {
    fprintf(stderr, "stand-in driver: %s\n", what);
    abort();
}

/* True once, when a countdown ends. */
bool ends(long *countdown) {
    return *countdown > 0 && --*countdown == 0;
}

void set_rights(int rights) {
    for (auto &b : current->blocks)
        if (mprotect(b.second.mapping + PAGE, b.second.mapping_bytes - 2 * PAGE, rights) != 0)
            misuse("mprotect");
}

/* That a range lies in one block of the current card. */
void check_range(uint64_t address, size_t bytes) {
    auto after = current->blocks.upper_bound(address);
    if (after == current->blocks.begin()) misuse("a copy outside of device memory");
    --after;
    if (address + bytes > after->first + after->second.bytes)
        misuse("a copy beyond the end of a block of device memory");
}
void check_pinned(const unsigned char *host, size_t bytes) {
    auto after = pinned.upper_bound(const_cast<unsigned char *>(host));
    if (after == pinned.begin()) misuse("an asynchronous copy with memory that is not pinned");
    --after;
    if (host + bytes > after->first + after->second)
        misuse("an asynchronous copy with memory that is not pinned");
}

/* The bytes of a block's pages that are not its own. */
enum { CANARY = 0xc3 };
void guard(const block &b, unsigned char *at) {
    memset(b.mapping + PAGE, CANARY, (size_t)(at - b.mapping) - PAGE);
    memset(at + b.bytes, CANARY, (size_t)(b.mapping + b.mapping_bytes - PAGE - at) - b.bytes);
}
bool is_whole(const unsigned char *from, const unsigned char *end) {
    for (; from < end; from++)
        if (*from != CANARY) return false;
    return true;
}
void check_guards(const char *kernel) {
    for (const auto &entry : current->blocks) {
        const block &b = entry.second;
        const unsigned char *const at = reinterpret_cast<unsigned char *>(entry.first);
        if (is_whole(b.mapping + PAGE, at) &&
            is_whole(at + b.bytes, b.mapping + b.mapping_bytes - PAGE))
            continue;
        fprintf(stderr, "stand-in driver: %s wrote beside a block of %zu bytes\n", kernel, b.bytes);
        abort();
    }
}

void run(const work &w) {
    switch (w.kind) {
    case work::IN: memcpy(reinterpret_cast<void *>(w.to), w.host, w.bytes); break;
    case work::OUT: memcpy(w.host, reinterpret_cast<void *>(w.from), w.bytes); break;
    case work::WITHIN:
        memmove(reinterpret_cast<void *>(w.to), reinterpret_cast<void *>(w.from), w.bytes);
        break;
    case work::LAUNCH:
        pn_stand_in.n_kernels++;
        emu_launch(w.kernel, w.args.data(), w.grid, w.threads, w.shared_bytes, pn_stand_in.seed++);
        check_guards(w.kernel->name);
        break;
    }
}

void add(const work &w) {
    (captured ? captured->works : current->queue).push_back(w);
}

/* What the current card has to do. */
int finish(void) {
    if (captured) { /* waiting for what is not run */
        is_captured_in_vain = true;
        return CAPTURE_UNSUPPORTED;
    }
    std::vector<work> &queue = current->queue;
    if (current->is_lost) {
        queue.clear();
        return LAUNCH_FAILED;
    }
    if (queue.empty()) return SUCCESS;
    set_rights(PROT_READ | PROT_WRITE);
    for (const work &w : queue) run(w);
    set_rights(PROT_NONE);
    queue.clear();
    return SUCCESS;
}

int usable(void) {
    if (!current) return INVALID_CONTEXT;
    return current->is_lost ? LAUNCH_FAILED : SUCCESS;
}

/* A stream is its card; NULL is the default one of the current card. */
void check_stream(const void *stream) {
    if (stream && stream != current) misuse("a stream of another card's context");
}
} // namespace

#define LOCK const std::lock_guard<std::recursive_mutex> lock(mutex)
#define NEED_CONTEXT                                                                               \
    LOCK;                                                                                          \
    if (const int unusable = usable()) return unusable

EXPORT int cuInit(unsigned) {
    return pn_stand_in.init_result ? pn_stand_in.init_result
           : pn_stand_in.n_devices ? SUCCESS
                                   : NO_DEVICE;
}
EXPORT int cuDriverGetVersion(int *version) {
    *version = pn_stand_in.version;
    return SUCCESS;
}
EXPORT int cuDeviceGetCount(int *n) {
    *n = pn_stand_in.n_devices;
    return SUCCESS;
}
EXPORT int cuDeviceGet(int *device, int ordinal) {
    if (ordinal < 0 || ordinal >= pn_stand_in.n_devices) return INVALID_DEVICE;
    *device = ordinal;
    return SUCCESS;
}
EXPORT int cuDeviceGetName(char *name, int max_bytes, int) {
    snprintf(name, (size_t)max_bytes, "Emulated Card");
    return SUCCESS;
}
EXPORT int cuDeviceGetAttribute(int *value, int attribute, int) {
    *value = attribute == 75 ? 9 : attribute == 76 ? 0 : attribute == 16 ? 132 : 0;
    return SUCCESS;
}
EXPORT int cuDeviceTotalMem_v2(size_t *bytes, int device) {
    *bytes = total_bytes(device);
    return SUCCESS;
}

EXPORT int cuDevicePrimaryCtxRetain(void **context, int device) {
    LOCK;
    pn_stand_in.n_contexts++;
    if (cards[device].n_contexts++ == 0) pn_stand_in.n_contexts_made++;
    *context = &cards[device];
    return SUCCESS;
}
EXPORT int cuDevicePrimaryCtxRelease_v2(int device) {
    LOCK;
    pn_stand_in.n_contexts--;
    if (--cards[device].n_contexts < 0) misuse("a context is given back twice");
    if (cards[device].n_contexts == 0) cards[device].is_lost = false;
    return SUCCESS;
}
EXPORT int cuCtxSetCurrent(void *context) {
    LOCK;
    current = static_cast<card *>(context);
    if (current && current->n_contexts == 0) misuse("a context that was given back");
    return SUCCESS;
}
EXPORT int cuMemGetInfo_v2(size_t *free_bytes, size_t *all_bytes) {
    NEED_CONTEXT;
    *all_bytes = total_bytes(number(current));
    *free_bytes = *all_bytes - pn_stand_in.bytes_of[number(current)];
    return SUCCESS;
}

EXPORT int cuMemAlloc_v2(uint64_t *address, size_t bytes) {
    NEED_CONTEXT;
    if (bytes == 0) return INVALID_VALUE;
    if (captured) misuse("memory is taken while a graph is captured");
    pn_stand_in.n_allocs++;
    if (ends(&pn_stand_in.fail_alloc)) return OUT_OF_MEMORY;
    size_t *taken = &pn_stand_in.bytes_of[number(current)];
    if (bytes > total_bytes(number(current)) - *taken) return OUT_OF_MEMORY;
    block b;
    const size_t room = (bytes + 15) / 16 * 16;
    b.bytes = bytes;
    b.mapping_bytes = (room + PAGE - 1) / PAGE * PAGE + 2 * PAGE;
    b.mapping = static_cast<unsigned char *>(mmap(
        nullptr, b.mapping_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    if (b.mapping == MAP_FAILED) return OUT_OF_MEMORY;
    unsigned char *at = b.mapping + b.mapping_bytes - PAGE - room;
    mprotect(b.mapping + PAGE, b.mapping_bytes - 2 * PAGE, PROT_READ | PROT_WRITE);
    memset(at, 0xff, bytes);
    guard(b, at);
    mprotect(b.mapping + PAGE, b.mapping_bytes - 2 * PAGE, PROT_NONE);
    *address = reinterpret_cast<uint64_t>(at);
    current->blocks[*address] = b;
    pn_stand_in.bytes += bytes;
    *taken += bytes;
    return SUCCESS;
}
EXPORT int cuMemFree_v2(uint64_t address) {
    LOCK;
    if (!current) return INVALID_CONTEXT;
    (void)finish();
    auto b = current->blocks.find(address);
    if (b == current->blocks.end()) misuse("memory is freed that was not taken");
    munmap(b->second.mapping, b->second.mapping_bytes);
    pn_stand_in.bytes -= b->second.bytes;
    pn_stand_in.bytes_of[number(current)] -= b->second.bytes;
    current->blocks.erase(b);
    return SUCCESS;
}
EXPORT int cuMemHostAlloc(void **memory, size_t bytes, unsigned) {
    NEED_CONTEXT;
    if (ends(&pn_stand_in.fail_host_alloc)) return OUT_OF_MEMORY;
    unsigned char *p = static_cast<unsigned char *>(malloc(bytes));
    if (!p) return OUT_OF_MEMORY;
    pinned[p] = bytes;
    pn_stand_in.host_bytes += bytes;
    if (pn_stand_in.host_bytes > pn_stand_in.host_peak)
        pn_stand_in.host_peak = pn_stand_in.host_bytes;
    *memory = p;
    return SUCCESS;
}
EXPORT int cuMemFreeHost(void *memory) {
    LOCK;
    if (!current) return INVALID_CONTEXT;
    for (const work &w : current->queue)
        if (w.kind != work::LAUNCH && w.host == memory)
            misuse("pinned memory is freed while in use");
    auto p = pinned.find(static_cast<unsigned char *>(memory));
    if (p == pinned.end()) misuse("pinned memory is freed that was not taken");
    pn_stand_in.host_bytes -= p->second;
    free(p->first);
    pinned.erase(p);
    return SUCCESS;
}

EXPORT int cuMemcpyHtoDAsync_v2(uint64_t to, const void *from, size_t bytes, void *stream) {
    NEED_CONTEXT;
    check_stream(stream);
    check_range(to, bytes);
    unsigned char *host = static_cast<unsigned char *>(const_cast<void *>(from));
    check_pinned(host, bytes);
    add(work{work::IN, to, 0, host, bytes, nullptr, {}, {}, {}, 0});
    return SUCCESS;
}
/* With pageable memory: read before it returns, there when the default stream has been waited for. */
EXPORT int cuMemcpyHtoD_v2(uint64_t to, const void *from, size_t bytes) {
    NEED_CONTEXT;
    check_range(to, bytes);
    if (const int result = finish()) return result;
    set_rights(PROT_READ | PROT_WRITE);
    memcpy(reinterpret_cast<void *>(to), from, bytes);
    set_rights(PROT_NONE);
    pn_stand_in.n_pageable++;
    return SUCCESS;
}
EXPORT int cuMemcpyDtoHAsync_v2(void *to, uint64_t from, size_t bytes, void *stream) {
    NEED_CONTEXT;
    check_stream(stream);
    check_range(from, bytes);
    unsigned char *host = static_cast<unsigned char *>(to);
    check_pinned(host, bytes);
    pn_stand_in.n_copies_out++;
    pn_stand_in.bytes_out += bytes;
    add(work{work::OUT, 0, from, host, bytes, nullptr, {}, {}, {}, 0});
    return SUCCESS;
}
EXPORT int cuMemcpyDtoDAsync_v2(uint64_t to, uint64_t from, size_t bytes, void *stream) {
    NEED_CONTEXT;
    check_stream(stream);
    check_range(from, bytes);
    check_range(to, bytes);
    add(work{work::WITHIN, to, from, nullptr, bytes, nullptr, {}, {}, {}, 0});
    return SUCCESS;
}

EXPORT int cuStreamCreate(void **stream, unsigned) {
    NEED_CONTEXT;
    pn_stand_in.n_streams++;
    *stream = current;
    return SUCCESS;
}
EXPORT int cuStreamDestroy_v2(void *) {
    LOCK;
    pn_stand_in.n_streams--;
    return SUCCESS;
}
EXPORT int cuStreamSynchronize(void *stream) {
    LOCK;
    if (current) check_stream(stream);
    return current ? finish() : INVALID_CONTEXT;
}
EXPORT int cuEventCreate(void **event, unsigned) {
    NEED_CONTEXT;
    pn_stand_in.n_events++;
    *event = malloc(1);
    return SUCCESS;
}
EXPORT int cuEventDestroy_v2(void *event) {
    LOCK;
    pn_stand_in.n_events--;
    free(event);
    return SUCCESS;
}
EXPORT int cuEventRecord(void *, void *) {
    NEED_CONTEXT;
    return SUCCESS;
}
EXPORT int cuEventSynchronize(void *) {
    LOCK;
    return current ? finish() : INVALID_CONTEXT;
}

EXPORT int cuModuleLoadData(void **module, const void *image) {
    NEED_CONTEXT;
    if (!image) return INVALID_VALUE;
    const char *text = static_cast<const char *>(image);
    if (strncmp(text, "refused", 7) == 0) return pn_stand_in.image_result;
    snprintf(pn_stand_in.image, sizeof pn_stand_in.image, "%s", text);
    pn_stand_in.n_modules++;
    *module = current;
    return SUCCESS;
}
EXPORT int cuModuleUnload(void *) {
    LOCK;
    pn_stand_in.n_modules--;
    return SUCCESS;
}
EXPORT int cuModuleGetFunction(void **function, void *, const char *name) {
    NEED_CONTEXT;
    const emu_kernel *kernel = emu_kernel_find(name);
    if (!kernel || ends(&pn_stand_in.fail_function)) return NOT_FOUND;
    *function = const_cast<emu_kernel *>(kernel);
    return SUCCESS;
}
EXPORT int cuLaunchKernel(void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx,
                          unsigned by, unsigned bz, unsigned shared_bytes, void *stream,
                          void **parameters, void **) {
    NEED_CONTEXT;
    check_stream(stream);
    const emu_kernel *kernel = static_cast<const emu_kernel *>(function);
    if (!kernel || gx == 0 || gy == 0 || gz == 0 || gy > 65535 || gz > 65535 || gx > 0x7fffffff ||
        bx * by * bz > 1024 || shared_bytes > 48 * 1024)
        return INVALID_VALUE;
    pn_stand_in.n_launches++;
    if (ends(&pn_stand_in.fail_launch)) {
        current->is_lost = true;
        return LAUNCH_FAILED;
    }
    const unsigned char *args = static_cast<const unsigned char *>(parameters[0]);
    add(work{work::LAUNCH, 0, 0, nullptr, 0, kernel,
             std::vector<unsigned char>(args, args + kernel->args_bytes), emu_uint3{gx, gy, gz},
             emu_uint3{bx, by, bz}, shared_bytes});
    return SUCCESS;
}

EXPORT int cuStreamBeginCapture_v2(void *stream, int mode) {
    NEED_CONTEXT;
    check_stream(stream);
    if (mode < 0 || mode > 2 || captured) return INVALID_VALUE;
    if (ends(&pn_stand_in.fail_capture_begin)) return OUT_OF_MEMORY;
    captured = new graph{current, {}};
    is_captured_in_vain = false;
    return SUCCESS;
}
EXPORT int cuStreamEndCapture(void *, void **out) {
    LOCK;
    graph *const g = captured;
    *out = nullptr;
    captured = nullptr;
    if (!g) return INVALID_VALUE;
    const bool is_lost = g->on->is_lost;
    if (is_lost || is_captured_in_vain || ends(&pn_stand_in.fail_capture_end)) {
        delete g;
        return is_lost ? LAUNCH_FAILED : CAPTURE_INVALIDATED;
    }
    pn_stand_in.n_captures++;
    pn_stand_in.n_graphs++;
    *out = g;
    return SUCCESS;
}
EXPORT int cuGraphInstantiateWithFlags(void **exec, void *g, unsigned long long flags) {
    NEED_CONTEXT;
    if (flags != 0 || ends(&pn_stand_in.fail_instantiate)) return OUT_OF_MEMORY;
    *exec = new graph(*static_cast<const graph *>(g));
    pn_stand_in.n_graphs++;
    return SUCCESS;
}
EXPORT int cuGraphLaunch(void *exec, void *stream) {
    NEED_CONTEXT;
    check_stream(stream);
    if (static_cast<const graph *>(exec)->on != current) misuse("a graph of another card");
    if (ends(&pn_stand_in.fail_graph_launch)) return OUT_OF_MEMORY;
    pn_stand_in.n_graph_launches++;
    for (const work &w : static_cast<const graph *>(exec)->works) add(w);
    return SUCCESS;
}
EXPORT int cuGraphDestroy(void *g) {
    LOCK;
    pn_stand_in.n_graphs--;
    delete static_cast<graph *>(g);
    return SUCCESS;
}
EXPORT int cuGraphExecDestroy(void *exec) {
    return cuGraphDestroy(exec);
}

EXPORT int cuGetErrorName(int error, const char **name) {
    static const std::map<int, const char *> names = {
        {INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE"},
        {OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY"},
        {NO_DEVICE, "CUDA_ERROR_NO_DEVICE"},
        {INVALID_DEVICE, "CUDA_ERROR_INVALID_DEVICE"},
        {INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT"},
        {NOT_FOUND, "CUDA_ERROR_NOT_FOUND"},
        {LAUNCH_FAILED, "CUDA_ERROR_LAUNCH_FAILED"}};
    auto n = names.find(error);
    if (n == names.end()) return INVALID_VALUE;
    *name = n->second;
    return SUCCESS;
}
EXPORT int cuGetErrorString(int error, const char **text) {
    *text = error == LAUNCH_FAILED ? "unspecified launch failure" : "";
    return SUCCESS;
}
