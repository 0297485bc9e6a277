/* test_matmul.c: matrix products of every format with kernels, on every instruction set this CPU
 * has.
 *
 * Two claims. Right: against weights decoded by the scalar reference of src/fmt and summed in
 * double, the error is that of int8 activations (NMSE below 1e-4; 1e-10 for float weights).
 * Deterministic: the same bits on every instruction set, and for a row alone as among others. */
#include "cpu/kernels.h"

#include "base/mem.h"
#include "fmt/fmt.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static uint64_t random_state = 88172645463325252u;
static uint32_t random_u32(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 32);
}
/* About normal, mean 0, deviation 1. */
static float random_float(void) {
    float sum = 0;
    for (int i = 0; i < 6; i++) sum += (float)(random_u32() >> 8) * 0x1p-24f - 0.5f;
    return sum * 1.4142f;
}

typedef struct problem {
    pn_weight w;
    unsigned char *bytes; /* with nothing readable behind it, as at the end of a mapped file */
    float *x, *bias;
    int32_t n_rows;
} problem;

static bool is_float_format(const pn_format_info *f) {
    return f->block_weights == 1;
}

/* Ordinary numbers for the half floats of every block. */
static void put_scales(const pn_format_info *f, unsigned char *p, size_t n_bytes) {
    /* Where they lie; the second is such that weights are about as often
     * negative as positive (else all outputs hang together and their errors do not average). */
    size_t at = 0;
    float second = 0;
    switch (f->id) {
    case PN_FMT_Q4_1: second = -7.5f; break;
    case PN_FMT_Q5_1: second = -15.5f; break;
    case PN_FMT_Q4_K: second = 7.5f; break;
    case PN_FMT_Q5_K: second = 15.5f; break;
    case PN_FMT_Q2_K: at = 80, second = 1.5f; break;
    case PN_FMT_Q3_K: at = 108; break;
    case PN_FMT_Q6_K: at = 208; break;
    default: break;
    }
    for (size_t b = 0; b < n_bytes; b += (size_t)f->block_bytes) {
        const float d = (random_float() + 2.5f) * 0.01f;
        const uint16_t halves[2] = {pn_float_to_half(d), pn_float_to_half(d * second)};
        memcpy(p + b + at, halves, second != 0 ? 4 : 2);
    }
}

/* Random codes; scales that are ordinary numbers unless garbage is asked for. */
static void fill_weights(const pn_format_info *f, unsigned char *p, size_t n_bytes, bool garbage) {
    if (!garbage && is_float_format(f)) {
        for (size_t at = 0; at < n_bytes; at += (size_t)f->block_bytes) {
            const float v = random_float();
            uint32_t u;
            memcpy(&u, &v, sizeof u);
            const uint16_t half = f->id == PN_FMT_F16 ? pn_float_to_half(v) : (uint16_t)(u >> 16);
            if (f->id == PN_FMT_F32)
                memcpy(p + at, &u, 4);
            else
                memcpy(p + at, &half, 2);
        }
        return;
    }
    for (size_t i = 0; i < n_bytes; i++) p[i] = (unsigned char)random_u32();
    if (!garbage) put_scales(f, p, n_bytes);
}

static problem make_problem(const pn_format_info *f, int32_t n_in, int32_t n_out, int32_t n_rows,
                            bool garbage) {
    problem p = {.n_rows = n_rows};
    const size_t row_bytes = (size_t)(n_in / f->block_weights) * (size_t)f->block_bytes;
    p.bytes = malloc(row_bytes * (size_t)n_out);
    assert_non_null(p.bytes);
    fill_weights(f, p.bytes, row_bytes * (size_t)n_out, garbage);
    p.w = (pn_weight){.name = f->name,
                      .format = f,
                      .n_in = n_in,
                      .n_out = n_out,
                      .n_expert = 1,
                      .row_bytes = row_bytes,
                      .data = p.bytes};
    p.x = malloc(sizeof(float) * (size_t)n_in * (size_t)n_rows);
    p.bias = malloc(sizeof(float) * (size_t)n_out);
    for (int64_t i = 0; i < (int64_t)n_in * n_rows; i++) p.x[i] = random_float();
    for (int32_t o = 0; o < n_out; o++) p.bias[o] = random_float();
    return p;
}

static void free_problem(problem *p) {
    free(p->bytes);
    free(p->x);
    free(p->bias);
}

/* out [n_rows][n_out] for rows first .. first + n_rows - 1 of x. */
static void run(const pn_kernels *k, const problem *p, int32_t first, int32_t n_rows, float *out) {
    const int32_t n_in = (int32_t)p->w.n_in, n_out = (int32_t)p->w.n_out;
    int32_t *index = malloc(sizeof *index * (size_t)n_rows);
    for (int32_t r = 0; r < n_rows; r++) index[r] = first + r;
    const size_t acts_bytes = k->acts_bytes(n_in, n_rows);
    pn_acts acts = {.n_in = n_in, .n_rows = n_rows, .data = pn_alloc_aligned(acts_bytes, 64)};
    void *scratch = pn_alloc_aligned(k->matmul_scratch_bytes(n_in, n_rows), 64);
    assert_non_null(acts.data);
    assert_non_null(scratch);
    memset(acts.data, 0xff, acts_bytes); /* stale memory must not matter: these are NaNs */
    const pn_matmul mm = {.w = &p->w, .bias = p->bias, .out = out, .ld_out = (size_t)n_out};
    for (int32_t u = k->pack_units(&acts); u-- > 0;)
        k->pack(&acts, p->x, (size_t)n_in, index, &mm, 1, u);
    for (int32_t u = k->matmul_units(&mm, n_rows); u-- > 0;) k->matmul(&mm, &acts, u, scratch);
    pn_free_aligned(acts.data);
    pn_free_aligned(scratch);
    free(index);
}

static double nmse(const problem *p, const float *out) {
    const int64_t n_in = p->w.n_in, n_out = p->w.n_out;
    float *row = malloc(sizeof(float) * (size_t)n_in);
    double error = 0, power = 0;
    for (int64_t o = 0; o < n_out; o++) {
        p->w.format->decode(p->bytes + p->w.row_bytes * (size_t)o, row, n_in);
        for (int64_t r = 0; r < p->n_rows; r++) {
            double sum = p->bias[o];
            for (int64_t i = 0; i < n_in; i++) sum += (double)row[i] * (double)p->x[r * n_in + i];
            const double e = (double)out[r * n_out + o] - sum;
            error += e * e;
            power += sum * sum;
        }
    }
    free(row);
    return error / power;
}

static const pn_kernels *kernels_of(int isa) {
    return pn_kernels_get((pn_isa)isa);
}

static void check_same(const char *what, const float *a, const float *b, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (memcmp(&a[i], &b[i], sizeof a[i]) == 0 || (isnan(a[i]) && isnan(b[i]))) continue;
        fail_msg("%s: output %zu is %.9g, not %.9g", what, i, (double)a[i], (double)b[i]);
    }
}

static void check_problem(const problem *p, bool garbage) {
    const size_t n_out = (size_t)p->w.n_out, n = n_out * (size_t)p->n_rows;
    float *reference = malloc(sizeof(float) * n), *out = malloc(sizeof(float) * n);
    char what[128];
    run(kernels_of(PN_ISA_SCALAR), p, 0, p->n_rows, reference);
    if (!garbage) {
        /* Over a handful of outputs the mean is not one. */
        const double ints = n < 100 ? 2e-2 : 1e-4, e = nmse(p, reference);
        const double limit = is_float_format(p->w.format) ? 1e-10 : ints;
        if (!(e < limit))
            fail_msg("%s [%d, %d] x %d: NMSE %g", p->w.name, (int)p->w.n_out, (int)p->w.n_in,
                     (int)p->n_rows, e);
    }
    for (int isa = PN_ISA_SCALAR; isa < PN_N_ISAS; isa++) {
        const pn_kernels *k = kernels_of(isa);
        if (k == NULL) continue;
        (void)snprintf(what, sizeof what, "%s [%d, %d] %s, %d rows", p->w.name, (int)p->w.n_out,
                       (int)p->w.n_in, pn_isa_name((pn_isa)isa), (int)p->n_rows);
        memset(out, 0xff, sizeof(float) * n);
        run(k, p, 0, p->n_rows, out);
        check_same(what, out, reference, n);
        (void)strncat(what, ", alone", sizeof what - strlen(what) - 1);
        for (int32_t r = 0; r < p->n_rows; r += 1 + p->n_rows / 4) {
            run(k, p, r, 1, out);
            check_same(what, out, reference + n_out * (size_t)r, n_out);
        }
    }
    free(reference);
    free(out);
}

static const int32_t row_counts[] = {1, 2, 3, 5, 8, 13, 64};
enum { N_ROW_COUNTS = sizeof row_counts / sizeof *row_counts };

static void check_format(const pn_format_info *f) {
    const bool is_256 = f->block_weights == 256;
    const int32_t shapes[][2] = {
        {is_256 ? 256 : 32, 1}, {is_256 ? 1280 : 576, 37}, {is_256 ? 4352 : 4384, 48}};
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        for (int i = 0; i < N_ROW_COUNTS; i++) {
            if (s == 2 && i % 3 != 0) continue; /* the large one is slow in scalar */
            for (int garbage = 0; garbage < 2; garbage++) {
                problem p = make_problem(f, shapes[s][0], shapes[s][1], row_counts[i], garbage);
                check_problem(&p, garbage);
                free_problem(&p);
            }
        }
    }
}

static void test_formats(void **state) {
    (void)state;
    int32_t n;
    const pn_format_info *f = pn_format_all(&n);
    for (int32_t i = 0; i < n; i++)
        if (f[i].has_kernels) check_format(&f[i]);
}

/* A NaN or infinity among the activations must show in every output; tiny and zero rows are
 * fine. */
static void test_odd_activations(void **state) {
    (void)state;
    const float odd[] = {NAN, INFINITY, -INFINITY, 0.0f, 1e-40f, 1e-30f, 3e38f};
    for (int32_t rows = 1; rows <= 8; rows += 7) {
        for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
            problem p = make_problem(pn_format_get(PN_FMT_Q5_K), 512, 16, rows, false);
            for (int j = 0; j < 512; j++) p.x[j] = isfinite(odd[i]) ? odd[i] : p.x[j];
            p.x[300] = odd[i];
            check_problem(&p, true);
            float *out = malloc(sizeof(float) * 16 * (size_t)rows);
            run(kernels_of(PN_ISA_SCALAR), &p, 0, rows, out);
            for (int o = 0; o < 16; o++)
                if (!isfinite(odd[i])) assert_true(isnan(out[o]));
            free(out);
            free_problem(&p);
        }
    }
}

/* All codes and activations as large as they get, of one sign or of both in turn: no sum on the way
 * may overflow. */
static void test_extremes(void **state) {
    (void)state;
    static const unsigned char bytes[] = {0x00, 0x7f, 0x80, 0xff};
    int32_t n;
    const pn_format_info *f = pn_format_all(&n);
    for (int32_t i = 0; i < n; i++) {
        if (!f[i].has_kernels || is_float_format(&f[i])) continue;
        for (size_t b = 0; b < sizeof bytes; b++) {
            for (int32_t period = 1; period <= 64; period *= 2) {
                problem p = make_problem(&f[i], 512, 16, 13, false);
                memset(p.bytes, bytes[b], p.w.row_bytes * 16);
                put_scales(&f[i], p.bytes, p.w.row_bytes * 16);
                for (int j = 0; j < 13 * 512; j++)
                    p.x[j] = (period < 64 && j / period % 2 ? -1.0f : 1.0f) * (j < 512 ? -1 : 1);
                check_problem(&p, true);
                free_problem(&p);
            }
        }
    }
}

/* The second matrix of three. */
static void test_experts(void **state) {
    (void)state;
    problem p = make_problem(pn_format_get(PN_FMT_Q6_K), 256, 60, 3, false);
    float all[3 * 60], one[3 * 20];
    run(kernels_of(PN_ISA_SCALAR), &p, 0, 3, all);
    for (int isa = 0; isa < PN_N_ISAS; isa++) {
        const pn_kernels *k = kernels_of(isa);
        if (k == NULL) continue;
        pn_weight w = p.w;
        w.n_out = 20;
        w.n_expert = 3;
        pn_acts acts = {
            .n_in = 256, .n_rows = 3, .data = pn_alloc_aligned(k->acts_bytes(256, 3), 64)};
        void *scratch = pn_alloc_aligned(k->matmul_scratch_bytes(256, 3), 64);
        const pn_matmul mm = {.w = &w, .expert = 1, .bias = p.bias + 20, .out = one, .ld_out = 20};
        for (int32_t u = 0; u < k->pack_units(&acts); u++)
            k->pack(&acts, p.x, 256, NULL, &mm, 1, u);
        for (int32_t u = 0; u < k->matmul_units(&mm, 3); u++) k->matmul(&mm, &acts, u, scratch);
        for (int r = 0; r < 3; r++) check_same("expert 1", one + 20 * r, all + 60 * r + 20, 20);
        pn_free_aligned(acts.data);
        pn_free_aligned(scratch);
    }
    free_problem(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_formats), cmocka_unit_test(test_odd_activations),
        cmocka_unit_test(test_extremes), cmocka_unit_test(test_experts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
