/* Attention over KV pages against softmax(scale q k) v in double precision, and the same bits on
 * every instruction set, for a row alone or beside others, cut in any way. Pages hold NaN where
 * nothing was stored. */
#include "cpu/kernels.h"

#include "base/threads.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MAX_SEQS = 3, MAX_PAGES = 12, POOL_PAGES = MAX_SEQS * MAX_PAGES };

/* What is stored: n_positions of each sequence. Values are exact in the type. */
typedef struct world {
    pn_attention attn;
    pn_kv_type type;
    int32_t n_seqs, n_positions;
    float *k, *v, *q; /* [n_seqs][n_positions][width] */
    int32_t page_of[MAX_SEQS][MAX_PAGES];
    unsigned char *kv[PN_N_ISAS];
    size_t page_bytes;
} world;

static uint64_t random_state;

static uint32_t random_u32(void) {
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random_state >> 33);
}

/* n / 64, |n| <= 127, the first of every 32 extreme: exact in float16 and in q8_0. */
static void fill_exact(float *x, size_t n, int32_t head_dim) {
    for (size_t i = 0; i < n; i++) {
        const size_t in_head = i % (size_t)head_dim;
        x[i] = in_head % 32 == 0 ? 127.0f / 64.0f
                                 : (float)((int32_t)(random_u32() % 255) - 127) / 64.0f;
    }
}

static float *new_floats(size_t n) {
    float *x = calloc(n, sizeof *x);
    assert_non_null(x);
    return x;
}

static pn_attn_job job_of(const world *w, pn_isa isa) {
    return (pn_attn_job){
        .attn = &w->attn, .kv_type = w->type, .kv = w->kv[isa], .page_bytes = w->page_bytes};
}

static void store_all(world *w, pn_isa isa, const pn_kernels *k) {
    const size_t width = (size_t)(w->attn.n_head_kv * w->attn.head_dim);
    w->page_bytes = k->kv_page_bytes(&w->attn, w->type);
    assert_int_equal(w->page_bytes % 64, 0);
    w->kv[isa] = aligned_alloc(64, w->page_bytes * POOL_PAGES);
    assert_non_null(w->kv[isa]);
    memset(w->kv[isa], 0xff, w->page_bytes * POOL_PAGES);
    const pn_attn_job job = job_of(w, isa);
    for (int32_t s = 0; s < w->n_seqs; s++)
        for (int32_t p = 0; p < w->n_positions; p++) {
            const size_t at = ((size_t)s * (size_t)w->n_positions + (size_t)p) * width;
            k->kv_store(&job, w->page_of[s][p / 64], p % 64, w->k + at, w->v + at);
        }
}

static void open_world(world *w, const pn_attention *attn, pn_kv_type type, int32_t n_seqs,
                       int32_t n_positions) {
    *w = (world){.attn = *attn, .type = type, .n_seqs = n_seqs, .n_positions = n_positions};
    random_state = (uint64_t)(attn->head_dim * 1000 + attn->n_head * 10 + (int)type);
    const size_t rows = (size_t)(n_seqs * n_positions);
    const size_t kv_floats = rows * (size_t)(attn->n_head_kv * attn->head_dim);
    const size_t q_floats = rows * (size_t)(attn->n_head * attn->head_dim);
    w->k = new_floats(kv_floats);
    w->v = new_floats(kv_floats);
    w->q = new_floats(q_floats);
    fill_exact(w->k, kv_floats, attn->head_dim);
    fill_exact(w->v, kv_floats, attn->head_dim);
    for (size_t i = 0; i < q_floats; i++) w->q[i] = (float)random_u32() * 0x1p-30f - 1.0f;
    for (int32_t i = 0; i < POOL_PAGES; i++)
        w->page_of[i % MAX_SEQS][i / MAX_SEQS] = (i * 7 + 3) % POOL_PAGES;
    for (int isa = 0; isa < PN_N_ISAS; isa++) {
        const pn_kernels *k = pn_kernels_get((pn_isa)isa);
        if (k != NULL) store_all(w, (pn_isa)isa, k);
    }
}

static void close_world(world *w) {
    free(w->k);
    free(w->v);
    free(w->q);
    for (int isa = 0; isa < PN_N_ISAS; isa++) free(w->kv[isa]);
}

/* ---- the reference ---- */

static void attend_reference(const world *w, int32_t seq, int32_t position, int32_t head,
                             double *out) {
    const pn_attention *a = &w->attn;
    const int32_t dim = a->head_dim, head_kv = head / (a->n_head / a->n_head_kv);
    const size_t first = (size_t)seq * (size_t)w->n_positions;
    const float *q =
        w->q + ((first + (size_t)position) * (size_t)a->n_head + (size_t)head) * (size_t)dim;
    double *score = calloc((size_t)position + 1, sizeof *score), max = -INFINITY, sum = 0.0;
    const int32_t begin =
        a->window > 0 && position - a->window + 1 > 0 ? position - a->window + 1 : 0;
    for (int32_t d = 0; d < dim; d++) out[d] = 0.0;
    for (int32_t j = begin; j <= position; j++) {
        const float *k =
            w->k + ((first + (size_t)j) * (size_t)a->n_head_kv + (size_t)head_kv) * (size_t)dim;
        double s = 0.0;
        for (int32_t d = 0; d < dim; d++) s += (double)q[d] * k[d];
        s *= a->scale;
        if (a->softcap > 0.0f) s = a->softcap * tanh(s / a->softcap);
        score[j] = s;
        max = fmax(max, s);
    }
    for (int32_t j = begin; j <= position; j++) sum += exp(score[j] - max);
    for (int32_t j = begin; j <= position; j++) {
        const float *v =
            w->v + ((first + (size_t)j) * (size_t)a->n_head_kv + (size_t)head_kv) * (size_t)dim;
        const double p = exp(score[j] - max) / sum;
        for (int32_t d = 0; d < dim; d++) out[d] += p * v[d];
    }
    free(score);
}

/* ---- running a batch ---- */

typedef struct row {
    int32_t seq, position;
} row;

typedef struct phase_job {
    const pn_kernels *k;
    const pn_attn_job *job;
    pn_team *team;
    int32_t n_threads;
} phase_job;

static void walk_phases(void *ctx, int32_t thread, int32_t n_threads) {
    (void)thread, (void)n_threads;
    const phase_job *p = ctx;
    const int32_t n_units = p->k->attn_units(p->job, p->n_threads);
    for (int32_t u; (u = pn_team_claim(p->team, n_units)) >= 0;)
        p->k->attn(p->job, p->n_threads, u);
    pn_team_barrier(p->team);
    const int32_t n_merges = p->k->attn_merge_units(p->job, p->n_threads);
    for (int32_t u; (u = pn_team_claim(p->team, n_merges)) >= 0;)
        p->k->attn_merge(p->job, p->n_threads, u);
}

/* Computes the rows as one batch; n_threads is what the kernels are told.
 * out [n_rows][n_head * head_dim]. */
static void run_batch(const world *w, pn_isa isa, const row *rows, int32_t n_rows,
                      int32_t n_threads, float *out) {
    const pn_kernels *k = pn_kernels_get(isa);
    const size_t width = (size_t)(w->attn.n_head * w->attn.head_dim);
    float *q = new_floats((size_t)n_rows * width);
    int32_t *positions = calloc((size_t)n_rows, sizeof *positions),
            *seqs = calloc((size_t)n_rows, sizeof *seqs);
    const int32_t *pages[MAX_SEQS] = {w->page_of[0], w->page_of[1], w->page_of[2]};
    for (int32_t r = 0; r < n_rows; r++) {
        positions[r] = rows[r].position;
        seqs[r] = rows[r].seq;
        const size_t at = (size_t)(rows[r].seq * w->n_positions + rows[r].position);
        memcpy(q + (size_t)r * width, w->q + at * width, width * sizeof *q);
    }
    const pn_batch batch = {.n_rows = n_rows, .positions = positions, .seqs = seqs, .pages = pages};
    pn_attn_job job = job_of(w, isa);
    const size_t scratch_bytes = k->attn_scratch_bytes(&w->attn, n_rows, w->n_positions);
    job.batch = &batch;
    job.q = q;
    job.out = out;
    job.scratch = malloc(scratch_bytes);
    memset(job.scratch, 0xff, scratch_bytes);
    phase_job phases = {k, &job, NULL, n_threads};
    assert_int_equal(pn_team_open(n_threads < 3 ? n_threads : 3, &phases.team, NULL), PUNA_OK);
    pn_team_run(phases.team, walk_phases, &phases);
    pn_team_close(phases.team);
    free(job.scratch);
    free(q);
    free(positions);
    free(seqs);
}

/* ---- checks ---- */

static void check_against_reference(const world *w, const row *rows, int32_t n_rows,
                                    const float *got) {
    const int32_t dim = w->attn.head_dim;
    double want[512];
    for (int32_t i = 0; i < n_rows * w->attn.n_head; i++) {
        const row *r = &rows[i / w->attn.n_head];
        attend_reference(w, r->seq, r->position, i % w->attn.n_head, want);
        for (int32_t d = 0; d < dim; d++) /* |v| <= 2 */
            if (!(fabs(got[(size_t)(i * dim + d)] - want[d]) < 1e-5))
                fail_msg("position %d head %d dimension %d: got %.9g, want %.9g", (int)r->position,
                         (int)(i % w->attn.n_head), (int)d, (double)got[i * dim + d], want[d]);
    }
}

/* The rows in batches of n_batch with n_threads must have the bits of `want`. */
static void check_bits(const world *w, pn_isa isa, const row *rows, int32_t n_rows, int32_t n_batch,
                       int32_t n_threads, const float *want) {
    const size_t width = (size_t)(w->attn.n_head * w->attn.head_dim);
    float *out = new_floats((size_t)n_rows * width);
    for (int32_t r = 0; r < n_rows; r += n_batch)
        run_batch(w, isa, rows + r, r + n_batch < n_rows ? n_batch : n_rows - r, n_threads,
                  out + (size_t)r * width);
    for (size_t i = 0; i < (size_t)n_rows * width; i++)
        if (memcmp(out + i, want + i, sizeof *out) != 0)
            fail_msg("%s, batches of %d, %d threads: row %d value %d: %.9g is not %.9g",
                     pn_isa_name(isa), (int)n_batch, (int)n_threads, (int)(i / width),
                     (int)(i % width), (double)out[i], (double)want[i]);
    free(out);
}

/* Rows around the ends of pages and chunks, in runs, of every sequence. */
static int32_t pick_rows(const world *w, row *rows, int32_t run) {
    const int32_t edges[] = {0, 64, 256, 320, 512, w->n_positions};
    int32_t n = 0;
    for (int32_t s = 0; s < w->n_seqs; s++)
        for (int32_t p = 0; p < w->n_positions; p++)
            for (size_t e = 0; e < sizeof edges / sizeof edges[0]; e++)
                if (p >= edges[e] - run && p < edges[e] + run) {
                    rows[n++] = (row){s, p};
                    break;
                }
    return n;
}

static void check_world(const pn_attention *attn, pn_kv_type type, int32_t n_seqs,
                        int32_t n_positions, int32_t run) {
    world w;
    open_world(&w, attn, type, n_seqs, n_positions);
    row rows[512] = {{0, 0}};
    const int32_t n_rows = pick_rows(&w, rows, run);
    float *want = new_floats((size_t)(n_rows * attn->n_head * attn->head_dim));
    run_batch(&w, PN_ISA_SCALAR, rows, n_rows, 1, want);
    check_against_reference(&w, rows, n_rows, want);
    for (int isa = 0; isa < PN_N_ISAS; isa++) {
        if (pn_kernels_get((pn_isa)isa) == NULL) continue;
        check_bits(&w, (pn_isa)isa, rows, n_rows, n_rows, 3, want);
        check_bits(&w, (pn_isa)isa, rows, n_rows, 1, 1, want);
        check_bits(&w, (pn_isa)isa, rows, n_rows, 1, 1000, want); /* cut into chunks */
        check_bits(&w, (pn_isa)isa, rows, n_rows, 3, 1000, want);
        check_bits(&w, (pn_isa)isa, rows, n_rows, 7, 2, want);
    }
    free(want);
    close_world(&w);
}

static pn_attention attention(int32_t n_head, int32_t n_head_kv, int32_t head_dim, int32_t window,
                              float softcap) {
    return (pn_attention){n_head, n_head_kv, head_dim, window, 1.0f / sqrtf((float)head_dim),
                          softcap};
}

static const pn_kv_type types[] = {PN_KV_F16, PN_KV_F32, PN_KV_Q8_0};

static void test_head_shapes(void **state) {
    (void)state;
    const pn_attention shapes[] = {
        attention(3, 3, 16, 0, 0.0f), attention(9, 3, 64, 0, 0.0f),  attention(4, 1, 80, 0, 0.0f),
        attention(8, 1, 96, 0, 0.0f), attention(2, 2, 128, 0, 0.0f), attention(4, 1, 256, 0, 0.0f),
        attention(2, 1, 24, 0, 0.0f), attention(40, 1, 8, 0, 0.0f),  attention(1, 1, 512, 0, 0.0f),
    };
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        for (int t = 0; t < 3; t++) check_world(&shapes[i], types[t], 1, 140, 3);
}

static void test_long_contexts(void **state) {
    (void)state;
    const pn_attention attn = attention(3, 1, 64, 0, 0.0f);
    for (int t = 0; t < 3; t++) check_world(&attn, types[t], 1, 600, 4);
}

static void test_windows(void **state) {
    (void)state;
    const int32_t windows[] = {1, 2, 5, 64, 65, 300};
    for (size_t i = 0; i < sizeof windows / sizeof windows[0]; i++) {
        const pn_attention attn = attention(2, 1, 32, windows[i], 0.0f);
        check_world(&attn, types[i % 3], 1, 590, 5);
    }
}

static void test_softcap(void **state) {
    (void)state;
    const pn_attention attn = attention(4, 2, 32, 40, 2.0f);
    check_world(&attn, PN_KV_F16, 1, 300, 4);
}

static void test_sequences_side_by_side(void **state) {
    (void)state;
    const pn_attention attn = attention(6, 2, 32, 0, 0.0f);
    check_world(&attn, PN_KV_F16, 3, 280, 3);
}

/* Positions after the row may hold anything, also within the row's own page, and change no bit. */
static void test_future_is_unseen(void **state) {
    (void)state;
    const pn_attention attn = attention(4, 2, 64, 0, 0.0f);
    world w;
    open_world(&w, &attn, PN_KV_F16, 1, 70);
    row rows[70];
    for (int32_t p = 0; p < 70; p++) rows[p] = (row){0, p};
    float *want = new_floats(70 * 256);
    run_batch(&w, PN_ISA_SCALAR, rows, 70, 1, want);
    float bad[128];
    for (int i = 0; i < 128; i++) bad[i] = i % 2 ? NAN : INFINITY;
    for (int isa = 0; isa < PN_N_ISAS; isa++) {
        const pn_kernels *k = pn_kernels_get((pn_isa)isa);
        if (k == NULL) continue;
        const pn_attn_job job = job_of(&w, (pn_isa)isa);
        for (int32_t p = 66; p < 70; p++) k->kv_store(&job, w.page_of[0][1], p % 64, bad, bad);
        check_bits(&w, (pn_isa)isa, rows, 66, 66, 1, want);
        check_bits(&w, (pn_isa)isa, rows, 66, 1, 100, want);
        float
            out[70 *
                256]; /* together with the rows that see it: those are NaN, the others untouched */
        run_batch(&w, (pn_isa)isa, rows, 70, 1, out);
        assert_memory_equal(out, want, 66 * 256 * sizeof *out);
        assert_true(isnan(out[69 * 256]) && isnan(out[70 * 256 - 1]));
    }
    free(want);
    close_world(&w);
}

/* A single visible position gives back its value: what each type keeps of random values. */
static void test_stored_precision(void **state) {
    (void)state;
    const pn_attention attn = attention(1, 1, 80, 1, 0.0f);
    for (int t = 0; t < 3; t++) {
        world w;
        open_world(&w, &attn, types[t], 1, 10);
        for (int i = 0; i < 800; i++)
            w.v[i] = ((float)random_u32() * 0x1p-30f - 1.0f) * (i < 80 ? 1e-4f : 1.0f);
        for (int isa = 0; isa < PN_N_ISAS; isa++) {
            if (pn_kernels_get((pn_isa)isa) == NULL) continue;
            free(w.kv[isa]);
            store_all(&w, (pn_isa)isa, pn_kernels_get((pn_isa)isa));
            for (int32_t p = 0; p < 10; p++) {
                float out[80];
                run_batch(&w, (pn_isa)isa, &(row){0, p}, 1, 1, out);
                const float max = p == 0 ? 1e-4f : 1.0f;
                const float bound[] = {max * 0x1p-11f, 0.0f, max / 127.0f * 0.501f};
                for (int d = 0; d < 80; d++)
                    assert_true(fabsf(out[d] - w.v[p * 80 + d]) <= bound[t] + 3e-8f * (t == 0));
            }
        }
        close_world(&w);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_head_shapes),
        cmocka_unit_test(test_long_contexts),
        cmocka_unit_test(test_windows),
        cmocka_unit_test(test_softcap),
        cmocka_unit_test(test_sequences_side_by_side),
        cmocka_unit_test(test_future_is_unseen),
        cmocka_unit_test(test_stored_precision),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
