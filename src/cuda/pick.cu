/* pick.cu: the few values of a row of logits from which a sampler can draw (backend/pick.h): the best of
 * them, those of given tokens, and sums of exp().
 *
 * Logits are compared as unsigned integers that ascend with them. The order among equals is by ascending id,
 * so a logit's place is its key in the upper 32 bits and the complement of its id in the lower. The n-th place
 * is found digit by digit, 8 bits at a time from the top: count the digits of all that agree so far, and see
 * in which the n-th lies. Integers alone are counted, so the order of threads changes nothing but the order
 * in which the best are written.
 *
 * Few of the logits are looked at for that: the n-th largest of the maxima of all blocks of 64 is a lower
 * bound of the n-th largest logit, so only blocks that reach it count (src/run/sampler_scores.c). */
#include "cuda/gpu.cuh"

/* Keys up to this one are of logits that are impossible: NaN and -infinity. */
#define PN_KEY_NONE 0x007fffffu

static __device__ __forceinline__ unsigned pn_key_of(float logit) {
    const unsigned bits = __float_as_uint(logit + 0.0f), magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return PN_KEY_NONE;
    if (bits == 0x7f800000u) return 0xff7fffffu; /* the largest float */
    return bits >> 31 ? ~bits : bits | 0x80000000u;
}
static __device__ __forceinline__ float pn_logit_of_key(unsigned key) {
    return __uint_as_float(key >> 31 ? key & 0x7fffffffu : ~key);
}

static __device__ __forceinline__ double pn_shuffle_double(double x, int lane) {
    unsigned words[2];
    memcpy(words, &x, 8);
    words[0] = __shfl_sync(PN_LANES_ALL, words[0], lane);
    words[1] = __shfl_sync(PN_LANES_ALL, words[1], lane);
    memcpy(&x, words, 8);
    return x;
}

/* A warp per block of logits: its largest key, and the sum of its weights where that is wanted. */
PN_KERNEL(pn_pick_blocks, pn_cuda_pick_args, PN_CUDA_BLOCK) {
    const pn_cuda_pick pick = a.picks[blockIdx.y];
    const int lane = threadIdx.x % 32, b = blockIdx.x * (PN_CUDA_BLOCK / 32) + threadIdx.x / 32;
    if (pick.n_best == 0 || b >= a.n_blocks) return;
    const float *logits = a.logits + (size_t)blockIdx.y * (size_t)a.n_vocab;
    const int i = b * PN_CUDA_PICK_BLOCK + lane;
    const unsigned first = i < a.n_vocab ? pn_key_of(logits[i]) : PN_KEY_NONE;
    const unsigned second = i + 32 < a.n_vocab ? pn_key_of(logits[i + 32]) : PN_KEY_NONE;
    unsigned most = first > second ? first : second;
    for (int bits = 16; bits > 0; bits /= 2) {
        const unsigned other = __shfl_xor_sync(PN_LANES_ALL, most, bits);
        most = other > most ? other : most;
    }
    const size_t at = (size_t)blockIdx.y * (size_t)a.n_blocks + (size_t)b;
    if (lane == 0) a.maxima[at] = most;
    if (!(pick.scale > 0.0)) return;
    const double best = (double)pn_logit_of_key(most);
    double sum = 0.0;
    if (first > PN_KEY_NONE) sum += exp(((double)pn_logit_of_key(first) - best) * pick.scale);
    if (second > PN_KEY_NONE) sum += exp(((double)pn_logit_of_key(second) - best) * pick.scale);
    for (int bits = 16; bits > 0; bits /= 2) sum += pn_shuffle_double(sum, lane ^ bits);
    if (lane == 0) a.sums[at] = sum;
}

/* ---- the n-th place -------------------------------------------------------------------------- */

enum { PN_PICK_LIST = 2048 };

typedef struct pn_pick_memory {
    double scan[PN_CUDA_PICK_THREADS];
    int counts[256];             /* of a digit */
    unsigned list[PN_PICK_LIST]; /* blocks that count, when they are no more than that */
    int n_list, n_out;
    int n_left;     /* the place that is looked for, among those that agree so far */
    int n_with;     /* those that agree, with the digit */
    unsigned digit; /* the next one of that place */
    unsigned most;
    int owner; /* the thread that has the block which random falls into */
    int block;
    double before;
} pn_pick_memory;
static_assert(sizeof(pn_pick_memory) <= PN_CUDA_PICK_BYTES, "what the host asks for");

static __device__ __forceinline__ unsigned long long pn_place_of(unsigned key, int id) {
    return (unsigned long long)key << 32 | (unsigned)~id;
}

/* Adds up the digits of the lanes that are in: neighbours mostly have the same ones, so a digit is added once
 * for all lanes that have it. */
static __device__ __forceinline__ void pn_count_digit(int *counts, bool in, unsigned digit) {
    const int lane = threadIdx.x % 32;
    unsigned left = __ballot_sync(PN_LANES_ALL, in);
    while (left != 0u) {
        const int leader = __ffs((int)left) - 1;
        const unsigned of_leader = __shfl_sync(PN_LANES_ALL, digit, leader);
        const unsigned same = __ballot_sync(PN_LANES_ALL, in && digit == of_leader);
        if (lane == leader) atomicAdd(&counts[digit], __popc(same));
        left &= ~same;
    }
}

/* The digit, from above, with which n_left places are reached; 0 when there are no more than that. Of the first
 * warp. */
static __device__ __forceinline__ void pn_find_digit(pn_pick_memory *m) {
    const int lane = threadIdx.x, high = 255 - 8 * lane, wanted = m->n_left;
    int own = 0;
    for (int d = 0; d < 8; d++) own += m->counts[high - d];
    int upto = own;
    for (int bits = 1; bits < 32; bits *= 2) {
        const int other = __shfl_sync(PN_LANES_ALL, upto, lane >= bits ? lane - bits : 0);
        if (lane >= bits) upto += other;
    }
    const int total = __shfl_sync(PN_LANES_ALL, upto, 31);
    __syncwarp(); /* all have read n_left */
    if (total <= wanted) {
        if (lane == 0) {
            m->digit = 0;
            m->n_with = m->n_left = total;
        }
        return;
    }
    int above = upto - own;
    if (above >= wanted || upto < wanted) return;
    for (int d = 0; d < 8; d++) {
        const int n = m->counts[high - d];
        if (above + n >= wanted) {
            m->digit = (unsigned)(high - d);
            m->n_left = wanted - above;
            m->n_with = n;
            return;
        }
        above += n;
    }
}

/* What the threads of a block have of a row. */
typedef struct pn_pick_row {
    const float *logits;
    const unsigned *maxima;
    int n_vocab, n_blocks;
    unsigned least; /* keys below this one do not count */
    unsigned long long
        from; /* nor places before this one, once it is found: all from it on are wanted */
    unsigned long long known; /* its bits that are known */
} pn_pick_row;

/* Goes on in the search for the n-th place after a digit has been counted; false: it is found. */
static __device__ __forceinline__ bool pn_next_digit(pn_pick_memory *m, pn_pick_row *row,
                                                     int shift) {
    __syncthreads();
    if (threadIdx.x < 32) pn_find_digit(m);
    __syncthreads();
    row->from |= (unsigned long long)m->digit << shift;
    row->known |= 255ull << shift;
    return m->n_left != m->n_with;
}

static __device__ __forceinline__ void pn_clear_counts(pn_pick_memory *m) {
    __syncthreads();
    if (threadIdx.x < 256) m->counts[threadIdx.x] = 0;
    __syncthreads();
}

/* A key that the n-th best of the logits has or exceeds: the maxima of n blocks do. */
static __device__ __forceinline__ void pn_find_least(pn_pick_memory *m, pn_pick_row *row) {
    const int whole = (row->n_blocks + 31) / 32 * 32; /* so that whole warps go round */
    bool more = true;
    for (int shift = 56; shift >= 32 && more; shift -= 8) {
        pn_clear_counts(m);
        for (int b = threadIdx.x; b < whole; b += PN_CUDA_PICK_THREADS) {
            const unsigned long long place = b < row->n_blocks ? pn_place_of(row->maxima[b], 0) : 0;
            pn_count_digit(m->counts, b < row->n_blocks && (place & row->known) == row->from,
                           (unsigned)(place >> shift) & 255u);
        }
        more = pn_next_digit(m, row, shift);
    }
    const unsigned key = (unsigned)(row->from >> 32);
    row->least = key > row->least ? key : row->least;
    row->from = row->known = 0;
}

/* Lists the blocks that count, and finds the largest key of all. */
static __device__ __forceinline__ void pn_list_blocks(pn_pick_memory *m, const pn_pick_row *row) {
    const int whole = (row->n_blocks + 31) / 32 * 32, lane = threadIdx.x % 32;
    for (int b = threadIdx.x; b < whole; b += PN_CUDA_PICK_THREADS) {
        const unsigned key = b < row->n_blocks ? row->maxima[b] : 0;
        const unsigned counts = __ballot_sync(PN_LANES_ALL, key >= row->least);
        int at = 0;
        if (lane == 0 && counts != 0u) at = atomicAdd(&m->n_list, __popc(counts));
        at = __shfl_sync(PN_LANES_ALL, at, 0) + __popc(counts & ((1u << lane) - 1u));
        if (key < row->least) continue;
        if (at < PN_PICK_LIST) m->list[at] = (unsigned)b;
        atomicMax(&m->most, key);
    }
    __syncthreads();
}

/* Of the e-th block that counts, or may count, the place of this lane's logit in one of its halves; 0: it does
 * not count. */
static __device__ __forceinline__ unsigned long long
pn_place_in(const pn_pick_memory *m, const pn_pick_row *row, int e, int half) {
    const int b = m->n_list <= PN_PICK_LIST ? (int)m->list[e] : e;
    const int id = b * PN_CUDA_PICK_BLOCK + half * 32 + threadIdx.x % 32;
    const unsigned key = id < row->n_vocab ? pn_key_of(row->logits[id]) : 0;
    return key >= row->least ? pn_place_of(key, id) : 0;
}

/* Sets row->from for the n best; they may be fewer. */
static __device__ __forceinline__ void pn_find_place(pn_pick_memory *m, pn_pick_row *row,
                                                     int n_blocks) {
    bool more = true;
    for (int shift = 56; shift >= 0 && more; shift -= 8) {
        pn_clear_counts(m);
        for (int e = threadIdx.x / 32; e < n_blocks; e += PN_CUDA_PICK_THREADS / 32)
            for (int half = 0; half < 2; half++) {
                const unsigned long long place = pn_place_in(m, row, e, half);
                pn_count_digit(m->counts, place != 0 && (place & row->known) == row->from,
                               (unsigned)(place >> shift) & 255u);
            }
        more = pn_next_digit(m, row, shift);
    }
}

/* ---- what is written ------------------------------------------------------------------------- */

typedef struct pn_pick_scored {
    int id;
    float logit;
} pn_pick_scored;

static __device__ __forceinline__ void pn_write_best(pn_pick_memory *m, const pn_pick_row *row,
                                                     int n_blocks, pn_pick_scored *best) {
    const int lane = threadIdx.x % 32;
    for (int e = threadIdx.x / 32; e < n_blocks; e += PN_CUDA_PICK_THREADS / 32)
        for (int half = 0; half < 2; half++) {
            const unsigned long long place = pn_place_in(m, row, e, half);
            const bool is_wanted = place != 0 && place >= row->from;
            const unsigned wanted = __ballot_sync(PN_LANES_ALL, is_wanted);
            int at = 0;
            if (lane == 0 && wanted != 0u) at = atomicAdd(&m->n_out, __popc(wanted));
            at = __shfl_sync(PN_LANES_ALL, at, 0) + __popc(wanted & ((1u << lane) - 1u));
            if (!is_wanted) continue;
            const int id = (int)~(unsigned)place;
            best[at] = pn_pick_scored{id, row->logits[id]};
        }
    __syncthreads();
}

/* The weight of all of block b. */
static __device__ __forceinline__ double pn_block_weight(const pn_pick_memory *m,
                                                         const pn_pick_row *row, const double *sums,
                                                         int b, double scale) {
    if (row->maxima[b] <= PN_KEY_NONE) return 0.0;
    const double off = (double)pn_logit_of_key(row->maxima[b]) - (double)pn_logit_of_key(m->most);
    return sums[b] * exp(off * scale);
}

/* The sum of all weights, and the block in which it goes beyond random * total. A thread takes neighbouring
 * blocks. */
static __device__ __forceinline__ double pn_add_weights(pn_pick_memory *m, const pn_pick_row *row,
                                                        const double *sums, double scale,
                                                        double random) {
    const int t = threadIdx.x,
              per_thread = (row->n_blocks + PN_CUDA_PICK_THREADS - 1) / PN_CUDA_PICK_THREADS;
    const int first = t * per_thread,
              end = first + per_thread < row->n_blocks ? first + per_thread : row->n_blocks;
    double own = 0.0;
    for (int b = first; b < end; b++) own += pn_block_weight(m, row, sums, b, scale);
    m->scan[t] = own;
    for (int step = 1; step < PN_CUDA_PICK_THREADS; step *= 2) {
        __syncthreads();
        const double other = t >= step ? m->scan[t - step] : 0.0;
        __syncthreads();
        m->scan[t] += other;
    }
    __syncthreads();
    const double total = m->scan[PN_CUDA_PICK_THREADS - 1], target = random * total;
    if (random < 0.0) return total;
    if (m->scan[t] > target) atomicMin(&m->owner, t);
    __syncthreads();
    if (m->owner == t) {
        double sum = t > 0 ? m->scan[t - 1] : 0.0;
        for (int b = first; b < end; b++) {
            const double weight = pn_block_weight(m, row, sums, b, scale);
            if (weight <= 0.0) continue;
            m->block = b;
            m->before = sum;
            sum += weight;
            if (sum > target) break;
        }
    }
    __syncthreads();
    return total;
}

/* A block per row. */
PN_KERNEL(pn_pick, pn_cuda_pick_args, PN_CUDA_PICK_THREADS) {
    PN_SHARED(memory);
    pn_pick_memory *m = reinterpret_cast<pn_pick_memory *>(memory);
    const pn_cuda_pick pick = a.picks[blockIdx.x];
    if (pick.n_best == 0) return;
    const size_t blocks_at = (size_t)blockIdx.x * (size_t)a.n_blocks;
    pn_pick_row row = {a.logits + (size_t)blockIdx.x * (size_t)a.n_vocab,
                       a.maxima + blocks_at,
                       a.n_vocab,
                       a.n_blocks,
                       PN_KEY_NONE + 1,
                       0,
                       0};
    if (threadIdx.x == 0) {
        m->n_list = m->n_out = 0;
        m->n_left = pick.n_best;
        m->most = 0;
        m->owner = PN_CUDA_PICK_THREADS;
        m->block = -1;
        m->before = 0.0;
    }
    if (pick.n_best <= a.n_blocks) pn_find_least(m, &row);
    __syncthreads();
    pn_list_blocks(m, &row);
    if (threadIdx.x == 0) m->n_left = pick.n_best;
    const int n_blocks = m->n_list <= PN_PICK_LIST ? m->n_list : a.n_blocks;
    pn_find_place(m, &row, n_blocks);

    pn_cuda_picked *head = reinterpret_cast<pn_cuda_picked *>(a.out + pick.out_at);
    pn_pick_scored *best = reinterpret_cast<pn_pick_scored *>(head + 1);
    float *of_ids = reinterpret_cast<float *>(best + pick.n_best);
    float *of_block = of_ids + (pick.n_ids + 1) / 2 * 2;
    pn_write_best(m, &row, n_blocks, best);
    for (int i = threadIdx.x; i < pick.n_ids; i += PN_CUDA_PICK_THREADS)
        of_ids[i] = row.logits[a.ids[pick.ids_at + (unsigned)i]];
    double total = 0.0;
    if (pick.scale > 0.0)
        total = pn_add_weights(m, &row, a.sums + blocks_at, pick.scale, pick.random);
    if (threadIdx.x < PN_CUDA_PICK_BLOCK && m->block >= 0) {
        const int id = m->block * PN_CUDA_PICK_BLOCK + threadIdx.x;
        if (id < a.n_vocab) of_block[threadIdx.x] = row.logits[id];
    }
    if (threadIdx.x == 0) *head = pn_cuda_picked{m->n_out, m->block, total, m->before};
}
