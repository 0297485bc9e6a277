/* emulator.cc: fibers, barriers and the order of threads (emulator.h). */
#include "emulator.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

emu_uint3 emu_thread_idx, emu_block_idx, emu_block_dim, emu_grid_dim;
unsigned char *emu_shared;
size_t emu_shared_bytes;

enum { MAX_THREADS = 1024, STACK_BYTES = 256 * 1024 };

/* ---- fibers ---- */

#if defined(__x86_64__)
/* Saves what a function must keep, changes stacks, takes it back. */
extern "C" void emu_switch(void **save, void *to);
asm(".text\n"
    ".type emu_switch, @function\n"
    "emu_switch:\n"
    "  pushq %rbp\n  pushq %rbx\n  pushq %r12\n  pushq %r13\n  pushq %r14\n  pushq %r15\n"
    "  movq %rsp, (%rdi)\n"
    "  movq %rsi, %rsp\n"
    "  popq %r15\n  popq %r14\n  popq %r13\n  popq %r12\n  popq %rbx\n  popq %rbp\n"
    "  ret\n"
    ".size emu_switch, . - emu_switch\n");
typedef void *fiber;
#else
typedef ucontext_t fiber;
#endif

enum thread_state { READY, AT_WARP, AT_BLOCK, DONE };

struct warp {
    emu_lanes
        words[2]; /* of an operation and of the next: a lane may read while another is ahead */
    int arrived, kind;
    unsigned n_ops;
};

struct thread {
    fiber context;
    thread_state state;
    unsigned n_ops;
};

static thread threads[MAX_THREADS];
static warp warps[MAX_THREADS / 32];
static fiber scheduler;
static int current, n_threads, n_done, n_at_block;
static const emu_kernel *kernel;
static const void *kernel_args;
static char *stacks;

void emu_fail(const char *what) {
    fprintf(stderr, "emulator: %s: block (%u, %u, %u), thread %d: %s\n",
            kernel ? kernel->name : "no kernel", emu_block_idx.x, emu_block_idx.y, emu_block_idx.z,
            current, what);
    abort();
}

static void leave(void) {
#if defined(__x86_64__)
    emu_switch(&threads[current].context, scheduler);
#else
    swapcontext(&threads[current].context, &scheduler);
#endif
}

static void fiber_main(void) {
    kernel->run(kernel_args);
    threads[current].state = DONE;
    n_done++;
    leave();
    emu_fail("a finished thread went on");
}

static void start_fiber(int i) {
    char *stack = stacks + (size_t)i * STACK_BYTES;
#if defined(__x86_64__)
    void **top = (void **)(stack + STACK_BYTES);
    *--top = nullptr; /* keeps the stack aligned as after a call */
    *--top = (void *)fiber_main;
    for (int r = 0; r < 6; r++) *--top = nullptr;
    threads[i].context = top;
#else
    getcontext(&threads[i].context);
    threads[i].context.uc_stack.ss_sp = stack;
    threads[i].context.uc_stack.ss_size = STACK_BYTES;
    threads[i].context.uc_link = nullptr;
    makecontext(&threads[i].context, fiber_main, 0);
#endif
    threads[i].state = READY;
    threads[i].n_ops = 0;
}

static void resume(int i) {
    current = i;
    const unsigned x = (unsigned)i, w = emu_block_dim.x, h = emu_block_dim.y;
    emu_thread_idx = emu_uint3{x % w, x / w % h, x / w / h};
#if defined(__x86_64__)
    emu_switch(&scheduler, threads[i].context);
#else
    swapcontext(&scheduler, &threads[i].context);
#endif
}

/* ---- barriers ---- */

int emu_lane(void) {
    return current % 32;
}

static void release_block(void) {
    n_at_block = 0;
    for (int i = 0; i < n_threads; i++)
        if (threads[i].state == AT_BLOCK) threads[i].state = READY;
}

void emu_sync_block(void) {
    threads[current].state = AT_BLOCK;
    n_at_block++;
    if (n_at_block + n_done == n_threads) release_block();
    leave();
}

const emu_lanes *emu_exchange(int kind, const uint32_t *in, int words) {
    thread *t = &threads[current];
    warp *w = &warps[current / 32];
    emu_lanes *slot = &w->words[t->n_ops++ % 2];
    if (words) memcpy((*slot)[current % 32], in, (size_t)words * 4);
    if (w->arrived > 0 && w->kind != kind) emu_fail("lanes of a warp do different things");
    w->kind = kind;
    if (++w->arrived == 32) {
        w->arrived = 0;
        const int first = current / 32 * 32;
        for (int i = first; i < first + 32; i++) threads[i].state = READY;
    } else {
        t->state = AT_WARP;
    }
    leave();
    return slot;
}

/* ---- order ---- */

static uint64_t random_state;

static uint32_t random_below(uint32_t n) {
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((random_state >> 33) * (uint64_t)n >> 31);
}

/* A random order of 0 .. n - 1. */
static void shuffle(int *order, int n) {
    for (int i = 0; i < n; i++) order[i] = i;
    for (int i = n - 1; i > 0; i--) {
        const int j = (int)random_below((uint32_t)i + 1), t = order[i];
        order[i] = order[j];
        order[j] = t;
    }
}

/* Runs the lanes of a warp until all wait for other warps or are done; true if any ran. */
static bool run_warp(int first, const int *lanes) {
    bool ran = false;
    for (bool again = true; again;) {
        again = false;
        for (int i = 0; i < 32; i++) {
            if (threads[first + lanes[i]].state != READY) continue;
            resume(first + lanes[i]);
            ran = again = true;
        }
    }
    return ran;
}

static void run_block(void) {
    int order[MAX_THREADS / 32], lanes[32];
    n_done = n_at_block = 0;
    for (int i = 0; i < n_threads; i++) start_fiber(i);
    for (int i = 0; i < n_threads / 32; i++) warps[i].arrived = 0;
    while (n_done < n_threads) {
        bool ran = false;
        shuffle(order, n_threads / 32);
        shuffle(lanes, 32);
        for (int i = 0; i < n_threads / 32; i++) ran |= run_warp(order[i] * 32, lanes);
        if (ran) continue;
        if (n_at_block == 0 || n_at_block + n_done != n_threads)
            emu_fail("threads wait for each other for ever");
        release_block(); /* the last one to arrive has left the kernel */
    }
}

/* ---- kernels ---- */

static emu_kernel *kernels;

void emu_kernel_add(emu_kernel *k) {
    k->next = kernels;
    kernels = k;
}

const emu_kernel *emu_kernel_find(const char *name) {
    for (const emu_kernel *k = kernels; k; k = k->next)
        if (strcmp(k->name, name) == 0) return k;
    return nullptr;
}

void emu_launch(const emu_kernel *k, const void *args, emu_uint3 grid, emu_uint3 block,
                size_t shared_bytes, uint64_t seed) {
    kernel = k;
    kernel_args = args;
    random_state = seed * 2654435761u + 1;
    n_threads = (int)(block.x * block.y * block.z);
    if (n_threads % 32 != 0 || n_threads > MAX_THREADS) emu_fail("threads that are no whole warps");
    if (n_threads > k->threads) emu_fail("more threads than the kernel's launch bound");
    if (!stacks) {
        stacks = static_cast<char *>(mmap(nullptr, (size_t)MAX_THREADS * STACK_BYTES,
                                          PROT_READ | PROT_WRITE,
                                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
        if (stacks == MAP_FAILED) emu_fail("no memory for stacks");
    }
    emu_block_dim = block;
    emu_grid_dim = grid;
    void *shared;
    if (posix_memalign(&shared, 16, shared_bytes ? shared_bytes : 1)) emu_fail("no shared memory");
    emu_shared = static_cast<unsigned char *>(shared);
    emu_shared_bytes = shared_bytes;
    const unsigned n_blocks = grid.x * grid.y * grid.z;
    int *order = static_cast<int *>(malloc((size_t)n_blocks * sizeof *order));
    shuffle(order, (int)n_blocks);
    for (unsigned i = 0; i < n_blocks; i++) {
        const unsigned b = (unsigned)order[i];
        emu_block_idx = emu_uint3{b % grid.x, b / grid.x % grid.y, b / grid.x / grid.y};
        memset(emu_shared, 0xff, shared_bytes);
        run_block();
    }
    free(order);
    free(emu_shared);
    emu_shared = nullptr;
    kernel = nullptr;
}

/* ---- half floats, from their definition ---- */

float pn_half_bits_to_float(unsigned short h) {
    const int exponent = h >> 10 & 31, mantissa = h & 1023;
    float f;
    if (exponent == 31)
        f = mantissa ? NAN : INFINITY;
    else if (exponent == 0)
        f = ldexpf((float)mantissa, -24);
    else
        f = ldexpf((float)(mantissa + 1024), exponent - 25);
    return h & 0x8000 ? -f : f;
}

unsigned short pn_float_to_half_bits(float f) {
    const unsigned short sign = signbit(f) ? 0x8000 : 0;
    const float a = fabsf(f);
    if (a != a) return 0x7fff;
    if (a >= 65520.0f) return (unsigned short)(sign | 0x7c00);
    int exponent;
    frexpf(a, &exponent); /* a = 0.5..1 * 2^exponent */
    if (exponent < -13) exponent = -13;
    const float steps = nearbyintf(ldexpf(a, 11 - exponent)); /* 1024..2048, less when subnormal */
    return (unsigned short)(sign | ((exponent + 13) * 1024 + (int)steps));
}
