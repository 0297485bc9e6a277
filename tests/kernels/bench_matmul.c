/* bench_matmul.c: speed of the matrix products, per format, instruction set and number of rows.
 *
 * bench_matmul [-f FORMAT] [-i ISA] [-k N_IN] [-r ROWS] [-t THREADS] [-m MBYTES] [-o N_OUT] [-s SECONDS]
 * -m 0 (default): a matrix of N_OUT (256) rows of weights, cache-hot; otherwise one of that size, from DRAM.
 * Printed: the best repetition, as clocks per 256 weights and row of activations, GB/s of weights, GMAC/s, MAC/clock.
 * Clocks are core clocks: the time stamp counter scaled by a chain of additions timed beside every repetition. */
#include "cpu/kernels.h"

#include "base/mem.h"
#include "base/os.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <x86intrin.h>

typedef struct job {
    const pn_kernels *k;
    const pn_matmul *mm;
    const pn_acts *acts;
    void *scratch[64];
    atomic_int next, start, left;
    int32_t n_units;
    bool quit;
} job;

static void work(job *j, int thread) {
    for (;;) {
        const int32_t u = atomic_fetch_add(&j->next, 1);
        if (u >= j->n_units) return;
        j->k->matmul(j->mm, j->acts, u, j->scratch[thread]);
    }
}

typedef struct helper {
    job *j;
    int thread;
} helper;

static void *help(void *arg) {
    const helper *h = arg;
    int seen = 0;
    for (;;) {
        while (atomic_load(&h->j->start) == seen) _mm_pause();
        seen++;
        if (h->j->quit) return NULL;
        work(h->j, h->thread);
        atomic_fetch_sub(&h->j->left, 1);
    }
}

/* Core clocks per tick of the time stamp counter: dependent additions take one clock each. */
static double clock_ratio(void) {
    double best = 0;
    for (int r = 0; r < 5; r++) {
        const uint64_t t0 = __rdtsc();
        uint64_t x = t0;
        for (int i = 0; i < 2000; i++) {
            __asm__ volatile("add $1,%0\n add $1,%0\n add $1,%0\n add $1,%0\n add $1,%0\n"
                             "add $1,%0\n add $1,%0\n add $1,%0\n add $1,%0\n add $1,%0\n"
                             : "+r"(x));
        }
        const double ratio = 20000.0 / (double)(__rdtsc() - t0);
        if (ratio > best) best = ratio;
    }
    return best;
}

static double time_once(job *j, int n_threads, double *clocks) {
    const double ratio = clock_ratio();
    atomic_store(&j->next, 0);
    atomic_store(&j->left, n_threads - 1);
    const double s0 = pn_os_seconds();
    const uint64_t t0 = __rdtsc();
    atomic_fetch_add(&j->start, 1);
    work(j, 0);
    while (atomic_load(&j->left) > 0) _mm_pause();
    *clocks = (double)(__rdtsc() - t0) * ratio;
    return pn_os_seconds() - s0;
}

typedef struct options {
    const char *format, *isa;
    int32_t n_in, rows, threads, mbytes, hot_rows;
    double seconds;
} options;

static void bench(const options *o, const pn_format_info *f, const pn_kernels *k) {
    const size_t row_bytes = (size_t)(o->n_in / f->block_weights) * (size_t)f->block_bytes;
    const int64_t n_out =
        o->mbytes ? (int64_t)(((size_t)o->mbytes << 20) / row_bytes) : o->hot_rows;
    unsigned char *bytes = pn_alloc_aligned(row_bytes * (size_t)n_out, 4096);
    for (size_t i = 0; i < row_bytes * (size_t)n_out; i++)
        bytes[i] = (unsigned char)(i * 2654435761u >> 13);
    const pn_weight w = {.name = f->name,
                         .format = f,
                         .n_in = o->n_in,
                         .n_out = n_out,
                         .n_expert = 1,
                         .row_bytes = row_bytes,
                         .data = bytes};
    float *x = pn_calloc((size_t)o->n_in * (size_t)o->rows, sizeof(float));
    for (int32_t i = 0; i < o->n_in * o->rows; i++) x[i] = (float)(i * 7919 % 1001 - 500) * 0.002f;
    float *out = pn_calloc((size_t)n_out * (size_t)o->rows, sizeof(float));
    const pn_acts acts = {.n_in = o->n_in,
                          .n_rows = o->rows,
                          .data = pn_alloc_aligned(k->acts_bytes(o->n_in, o->rows), 64)};
    const pn_matmul mm = {.w = &w, .out = out, .ld_out = (size_t)n_out};
    double pack = 1e18;
    for (int r = 0; r < 3; r++) {
        const uint64_t p0 = __rdtsc();
        for (int32_t u = 0; u < k->pack_units(&acts); u++)
            k->pack(&acts, x, (size_t)o->n_in, NULL, &mm, 1, u);
        const double once = (double)(__rdtsc() - p0) / ((double)o->n_in * o->rows);
        if (once < pack) pack = once;
    }
    job j = {.k = k, .mm = &mm, .acts = &acts, .n_units = k->matmul_units(&mm, o->rows)};
    pthread_t threads[64];
    helper helpers[64];
    for (int t = 0; t < o->threads; t++) {
        j.scratch[t] = pn_alloc_aligned(k->matmul_scratch_bytes(o->n_in, o->rows), 64);
        helpers[t] = (helper){&j, t};
        if (t > 0) (void)pthread_create(&threads[t], NULL, help, &helpers[t]);
    }
    double best = 1e9, best_clocks = 1e18;
    const double end = pn_os_seconds() + o->seconds;
    for (int r = 0; r < 3 || pn_os_seconds() < end; r++) {
        double clocks;
        const double s = time_once(&j, o->threads, &clocks);
        if (s < best) best = s;
        if (clocks < best_clocks) best_clocks = clocks;
    }
    const double macs = (double)o->n_in * (double)n_out * o->rows;
    printf("%-7s %-7s k %5d rows %4d threads %d %s  %8.1f clk/256  %7.2f GB/s  %7.1f GMAC/s  %6.2f "
           "MAC/clk"
           "  pack %.2f tsc\n",
           f->name, pn_isa_name(k->isa), (int)o->n_in, (int)o->rows, (int)o->threads,
           o->mbytes ? "DRAM" : "hot ", best_clocks * o->threads / (macs / 256),
           (double)row_bytes * (double)n_out / best * 1e-9, macs / best * 1e-9,
           macs / best_clocks / o->threads, pack);
    j.quit = true;
    atomic_fetch_add(&j.start, 1);
    for (int t = 1; t < o->threads; t++) (void)pthread_join(threads[t], NULL);
    for (int t = 0; t < o->threads; t++) pn_free_aligned(j.scratch[t]);
    pn_free_aligned(bytes);
    pn_free_aligned(acts.data);
    pn_free(x);
    pn_free(out);
}

int main(int argc, char **argv) {
    options o = {.n_in = 4096, .rows = 0, .threads = 1, .hot_rows = 256, .seconds = 0.3};
    for (int i = 1; i + 1 < argc; i += 2) {
        const char *v = argv[i + 1];
        switch (argv[i][1]) {
        case 'f': o.format = v; break;
        case 'i': o.isa = v; break;
        case 'k': o.n_in = atoi(v); break;
        case 'r': o.rows = atoi(v); break;
        case 't': o.threads = atoi(v); break;
        case 'm': o.mbytes = atoi(v); break;
        case 'o': o.hot_rows = atoi(v); break;
        case 's': o.seconds = atof(v); break;
        default: return 2;
        }
    }
    const int32_t all_rows[] = {1, 4, 16, 512};
    int32_t n;
    const pn_format_info *f = pn_format_all(&n);
    for (int32_t i = 0; i < n; i++) {
        if (!f[i].has_kernels || (o.format && strcmp(o.format, f[i].name) != 0)) continue;
        for (int isa = PN_N_ISAS - 1; isa >= 0; isa--) {
            const pn_kernels *k = pn_kernels_get((pn_isa)isa);
            if (k == NULL || (o.isa ? strcmp(o.isa, pn_isa_name(k->isa)) != 0 : isa == 0)) continue;
            options one = o;
            for (int r = 0; r < 4; r++) {
                if (o.rows == 0) one.rows = all_rows[r];
                bench(&one, &f[i], k);
                if (o.rows != 0) break;
            }
        }
    }
    return 0;
}
