/* test_bank_conflicts.cc: how often lanes of a warp meet in a bank of shared memory, in the kernels of products.
 *
 * The kernels are compiled once more, so that the compiler calls a function at every access to memory
 * (-fsanitize=kernel-address; nothing of its runtime is used). The accesses of a warp that belong together are
 * those of one place in the program, the k-th time that each lane comes there. As the hardware has it: 32
 * banks of 4 bytes; 32, 16 or 8 lanes at a time for accesses of 4, 8 or 16 bytes; a word is read for all who want
 * it; what remains in one bank takes a turn each. The compiler for the card may join or drop accesses: these are
 * counts of the source. */
#include "emulator.h"

#include "cuda/args.h"

#include <algorithm>
#include <map>
#include <set>
#include <stdio.h>
#include <stdlib.h>
#include <tuple>
#include <vector>

namespace {
struct access {
    int lane;
    uintptr_t word;
    int bytes;
};
typedef std::tuple<unsigned, unsigned, const void *, int> together; /* block, warp, place, time */

std::map<together, std::vector<access>> accesses;
std::map<std::tuple<unsigned, unsigned, const void *>, int> times; /* block, thread, place */

void see(const void *place, uintptr_t at, int bytes) {
    const uintptr_t shared = reinterpret_cast<uintptr_t>(emu_shared);
    if (!emu_shared || at < shared || at >= shared + emu_shared_bytes) return;
    const unsigned thread = emu_thread_idx.x;
    const unsigned block =
        (emu_block_idx.z * emu_grid_dim.y + emu_block_idx.y) * emu_grid_dim.x + emu_block_idx.x;
    const int time = times[{block, thread, place}]++;
    accesses[{block, thread / 32, place, time}].push_back(
        access{static_cast<int>(thread % 32), (at - shared) / 4, bytes});
}

/* Turns that these accesses take, and how many they would take without conflicts. */
void count(const std::vector<access> &all, long *turns, long *least) {
    const int lanes = all[0].bytes <= 4 ? 32 : all[0].bytes == 8 ? 16 : 8;
    for (int first = 0; first < 32; first += lanes) {
        std::set<uintptr_t> banks[32];
        size_t most = 0;
        for (const access &a : all)
            if (a.lane >= first && a.lane < first + lanes)
                for (int w = 0; w < (a.bytes + 3) / 4; w++)
                    banks[(a.word + w) % 32].insert(a.word + w);
        for (const auto &bank : banks) most = std::max(most, bank.size());
        *turns += static_cast<long>(most);
        *least += most > 0;
    }
}

template <class T> T *zeros(size_t n) {
    T *p = static_cast<T *>(aligned_alloc(16, (n * sizeof(T) + 15) / 16 * 16));
    memset(p, 0, n * sizeof(T));
    return p;
}

struct format {
    const char *name;
    pn_cuda_layout layout;
    bool is_256;
};

enum { N_IN = 5 * PN_CUDA_GROUP, N_OUT = 64 };

/* Extra turns for each turn that is needed, in percent. */
double measure(const format &f, const char *kind, int n_rows, size_t shared_bytes,
               unsigned per_block, unsigned columns) {
    char name[64];
    snprintf(name, sizeof name, "pn_%s_%s", kind, f.name);
    const emu_kernel *kernel = emu_kernel_find(name);
    if (!kernel) emu_fail(name);
    const size_t groups = static_cast<size_t>(n_rows) * (N_IN / PN_CUDA_GROUP);
    pn_cuda_linear_args a = {};
    uint8_t *weights = zeros<uint8_t>(size_t{N_OUT} * f.layout.row_bytes);
    a.parts[0].weights = weights;
    a.parts[0].out = zeros<float>(size_t{N_OUT} * n_rows);
    a.parts[0].n_out = N_OUT;
    a.acts.q = zeros<int8_t>(groups * PN_CUDA_GROUP);
    a.acts.sum_16 = zeros<int16_t>(groups * 16);
    a.acts.d = zeros<float>(groups * 8);
    a.n_in = N_IN;
    a.n_rows = n_rows;
    a.n_parts = 1;
    accesses.clear();
    times.clear();
    emu_launch(kernel, &a, emu_uint3{N_OUT / per_block, (n_rows + columns - 1) / columns, 1},
               emu_uint3{PN_CUDA_BLOCK, 1, 1}, shared_bytes, 1);
    long turns = 0, least = 0;
    for (const auto &entry : accesses) count(entry.second, &turns, &least);
    if (least == 0) emu_fail("no access to shared memory was seen");
    const double extra = 100.0 * static_cast<double>(turns - least) / static_cast<double>(least);
    printf("%-16s %7ld accesses in turns without conflicts, %5.1f%% more with them\n", name, least,
           extra);
    free(weights);
    free(a.parts[0].out);
    free(a.acts.q);
    free(a.acts.sum_16);
    free(a.acts.d);
    return extra;
}

/* That the count sees conflicts: all lanes in one bank, and none. */
bool counts_right() {
    std::vector<access> same, apart, wide;
    for (int lane = 0; lane < 32; lane++) {
        same.push_back(access{lane, static_cast<uintptr_t>(32 * lane), 4});
        apart.push_back(access{lane, static_cast<uintptr_t>(33 * lane), 4});
        wide.push_back(
            access{lane, static_cast<uintptr_t>(8 * lane), 16}); /* two lanes in each bank */
    }
    long turns[3] = {0, 0, 0}, least[3] = {0, 0, 0};
    count(same, &turns[0], &least[0]);
    count(apart, &turns[1], &least[1]);
    count(wide, &turns[2], &least[2]);
    return turns[0] == 32 && least[0] == 1 && turns[1] == 1 && turns[2] == 8 && least[2] == 4;
}
} // namespace

#define SEEN(kind, bytes)                                                                          \
    extern "C" void __asan_##kind##bytes##_noabort(uintptr_t at);                                  \
    void __asan_##kind##bytes##_noabort(uintptr_t at) {                                            \
        see(__builtin_return_address(0), at, bytes);                                               \
    }
SEEN(load, 1)
SEEN(load, 2) SEEN(load, 4) SEEN(load, 8) SEEN(load, 16) SEEN(store, 1) SEEN(store, 2)
    SEEN(store, 4) SEEN(store, 8)
        SEEN(store, 16) extern "C" void __asan_loadN_noabort(uintptr_t, size_t);
void __asan_loadN_noabort(uintptr_t, size_t) {
}
extern "C" void __asan_storeN_noabort(uintptr_t, size_t);
void __asan_storeN_noabort(uintptr_t, size_t) {
}
extern "C" void __asan_before_dynamic_init(const void *);
void __asan_before_dynamic_init(const void *) {
}
extern "C" void __asan_after_dynamic_init(void);
void __asan_after_dynamic_init(void) {
}
extern "C" void __asan_handle_no_return(void);
void __asan_handle_no_return(void) {
}

int main() {
    const format formats[] = {
#define CODES(name, low, high, of_256, sub, minimum, offset, levels)                               \
    {#name, pn_cuda_codes_layout(low, high, of_256, sub, minimum, N_IN), of_256 != 0},
#include "cuda/cuda_formats.def"
#undef CODES
    };
    const double most[] = {1, 5, 10}; /* percent; the kernels for one row, for few and for many */
    bool is_right = counts_right();
    if (!is_right) printf("the count is wrong\n");
    for (const format &f : formats) {
        const double extra[] = {
            measure(f, "few_1", 1, PN_CUDA_ONE_BYTES(f.is_256), PN_CUDA_FEW_WARPS, 1),
            measure(f, "few_8", 8, PN_CUDA_FEW_BYTES, PN_CUDA_FEW_WARPS, PN_CUDA_FEW),
            measure(f, "many", 64, PN_CUDA_MANY_BYTES, PN_CUDA_MANY_ROWS, PN_CUDA_MANY_COLUMNS)};
        for (int i = 0; i < 3; i++) is_right = is_right && extra[i] <= most[i];
    }
    return is_right ? 0 : 1;
}
