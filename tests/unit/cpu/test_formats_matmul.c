/* test_formats_matmul.c: the matrix product of every tensor type, on every instruction set this CPU
 * has.
 *
 * Each case is computed three ways: by the kernels; in double precision from the decoded weights
 * and the activations as the kernels quantise them (within float rounding: a wrong code, scale or
 * order of weights shows); and in double precision from the activations as given (the error of the
 * method). Then the bits must not depend on the instruction set, on how many rows are multiplied at
 * once, or on the unit. Weights end at a page that may not be touched, as the last tensor of a
 * mapped file does. */
#define _GNU_SOURCE
#include "base/mem.h"
#include "cpu/kernels.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

enum { MAX_IN = 4352, MAX_OUT = 80, MAX_ROWS = 530, CANARY = 3 };

static uint64_t random_state = 1;

static uint32_t random_bits(void) {
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random_state >> 32);
}

/* Nearly normal, standard deviation 1. */
static float random_normal(void) {
    double sum = 0;
    for (int i = 0; i < 12; i++) sum += (double)random_bits() * 0x1p-32;
    return (float)(sum - 6.0);
}

/* ---- weights ---- */

/* Bytes of the binary16 scales in a block, ended by -1, and their typical size: small where codes
 * are large, so that weights are of size 1. */
static const struct {
    pn_format format;
    int at[3];
    float size;
} scales[] = {
    {PN_FMT_Q4_0, {0, -1}, 0.2f},      {PN_FMT_Q4_1, {0, 2, -1}, 0.2f},
    {PN_FMT_Q5_0, {0, -1}, 0.1f},      {PN_FMT_Q5_1, {0, 2, -1}, 0.1f},
    {PN_FMT_Q8_0, {0, -1}, 0.01f},     {PN_FMT_Q2_K, {80, 82, -1}, 0.05f},
    {PN_FMT_Q3_K, {108, -1}, 0.02f},   {PN_FMT_Q4_K, {0, 2, -1}, 0.003f},
    {PN_FMT_Q5_K, {0, 2, -1}, 0.002f}, {PN_FMT_Q6_K, {208, -1}, 0.0005f},
    {PN_FMT_IQ4_NL, {0, -1}, 0.02f},   {PN_FMT_IQ4_XS, {0, -1}, 0.001f},
};
enum { N_SCALES = sizeof scales / sizeof *scales };

static void put_half(uint8_t *at, float f) {
    const uint16_t h = pn_float_to_half(f);
    at[0] = (uint8_t)h;
    at[1] = (uint8_t)(h >> 8);
}

static void fill_float_weight(pn_format format, uint8_t *at) {
    const float f = random_normal();
    uint32_t u;
    memcpy(&u, &f, 4);
    if (format == PN_FMT_F16) {
        put_half(at, f);
    } else { /* BF16 is the upper half of F32 */
        if (format == PN_FMT_BF16) u >>= 16;
        for (int i = 0; i < (format == PN_FMT_F32 ? 4 : 2); i++) at[i] = (uint8_t)(u >> (8 * i));
    }
}

/* Random codes; blocks of ones and of zeros are among them. */
static void fill_weights(const pn_format_info *f, uint8_t *data, size_t n_blocks) {
    for (size_t b = 0; b < n_blocks; b++, data += f->block_bytes) {
        if (f->block_weights == 1) {
            fill_float_weight(f->id, data);
            continue;
        }
        for (int i = 0; i < f->block_bytes; i++)
            data[i] = b % 11 == 3 ? 255 : b % 11 == 7 ? 0 : (uint8_t)(random_bits() >> 9);
        for (int s = 0; s < N_SCALES; s++)
            for (int i = 0; scales[s].format == f->id && scales[s].at[i] >= 0; i++)
                put_half(data + scales[s].at[i], scales[s].size * random_normal());
    }
}

/* ---- one case ---- */

typedef struct product {
    pn_weight w;
    pn_matmul mm;
    unsigned char *pages; /* the weights end where the last, forbidden page begins */
    size_t page_bytes, n_page_bytes;
    float *x, *decoded;
    int32_t *row_index; /* or NULL */
} product;

static void open_product(product *p, const pn_format_info *f, int32_t n_in, int32_t n_out,
                         bool with_bias, bool with_index) {
    *p = (product){.w = {"w", f, n_in, n_out, 2, 0, NULL}};
    p->w.row_bytes = (size_t)(n_in / f->block_weights) * (size_t)f->block_bytes;
    const size_t bytes = 2 * (size_t)n_out * p->w.row_bytes;
    p->page_bytes = (size_t)sysconf(_SC_PAGESIZE);
    p->n_page_bytes = pn_round_up(bytes, p->page_bytes) + p->page_bytes;
    p->pages =
        mmap(NULL, p->n_page_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(p->pages != MAP_FAILED);
    uint8_t *data = p->pages + p->n_page_bytes - p->page_bytes - bytes;
    fill_weights(f, data, bytes / (size_t)f->block_bytes);
    assert_int_equal(mprotect(data + bytes, p->page_bytes, PROT_NONE), 0);
    p->w.data = data;
    p->mm = (pn_matmul){.w = &p->w, .expert = 1, .ld_out = (size_t)n_out + CANARY};
    p->decoded = pn_calloc((size_t)n_in * (size_t)n_out, sizeof(float));
    p->x = pn_calloc((size_t)n_in * MAX_ROWS, sizeof(float));
    for (int32_t o = 0; o < n_out; o++)
        f->decode(data + (size_t)(n_out + o) * p->w.row_bytes,
                  p->decoded + (size_t)o * (size_t)n_in, n_in);
    for (size_t i = 0; i < (size_t)n_in * MAX_ROWS; i++) p->x[i] = random_normal();
    static float bias[MAX_OUT];
    for (int32_t o = 0; o < n_out; o++) bias[o] = random_normal();
    if (with_bias) p->mm.bias = bias;
    static int32_t index[MAX_ROWS];
    for (int32_t r = 0; r < MAX_ROWS; r++) index[r] = (r * 7 + 3) % MAX_ROWS;
    if (with_index) p->row_index = index;
}

static void close_product(product *p) {
    assert_int_equal(munmap(p->pages, p->n_page_bytes), 0);
    pn_free(p->decoded);
    pn_free(p->x);
}

/* out [n_rows][n_out + CANARY]; what the kernels must not touch keeps its value. */
static void multiply(const pn_kernels *k, product *p, int32_t n_rows, bool backwards, float *out) {
    const int32_t n_in = (int32_t)p->w.n_in;
    const size_t n = (size_t)n_rows * p->mm.ld_out;
    for (size_t i = 0; i < n; i++) out[i] = -12345.0f;
    p->mm.out = out;
    pn_acts acts = {n_in, n_rows, pn_alloc_aligned(k->acts_bytes(n_in, n_rows), 64)};
    void *scratch = pn_alloc_aligned(k->matmul_scratch_bytes(n_in, n_rows), 64);
    assert_true(acts.data != NULL && scratch != NULL);
    memset(acts.data, 0xa5, k->acts_bytes(n_in, n_rows));
    memset(scratch, 0xa5, k->matmul_scratch_bytes(n_in, n_rows));
    for (int32_t u = 0; u < k->pack_units(&acts); u++)
        k->pack(&acts, p->x, (size_t)n_in, p->row_index, &p->mm, 1, u);
    const int32_t n_units = k->matmul_units(&p->mm, n_rows);
    for (int32_t u = 0; u < n_units; u++)
        k->matmul(&p->mm, &acts, backwards ? n_units - 1 - u : u, scratch);
    pn_free_aligned(acts.data);
    pn_free_aligned(scratch);
    for (int32_t r = 0; r < n_rows; r++)
        for (size_t o = (size_t)p->w.n_out; o < p->mm.ld_out; o++)
            assert_true(out[(size_t)r * p->mm.ld_out + o] == -12345.0f);
}

/* The activations that meet integer codes: 127 steps for every run as long as a block of
 * weights. */
static void quantize(const float *x, float *out, int32_t n, int32_t run) {
    for (int32_t g = 0; g < n; g += run) {
        float max = 0;
        for (int32_t i = g; i < g + run; i++) max = fmaxf(max, fabsf(x[i]));
        for (int32_t i = g; i < g + run; i++)
            out[i] = rintf(x[i] * (127.0f / max)) * (max / 127.0f);
    }
}

/* Against double precision. */
static void check_values(const product *p, int32_t n_rows, const float *out) {
    const int32_t n_in = (int32_t)p->w.n_in;
    static float steps[MAX_IN];
    double error = 0, power = 0;
    for (int32_t r = 0; r < n_rows; r++) {
        const float *x = p->x + (size_t)(p->row_index ? p->row_index[r] : r) * (size_t)n_in;
        memcpy(steps, x, (size_t)n_in * sizeof *x);
        const int32_t run = p->w.format->block_weights;
        if (run > 1) quantize(x, steps, n_in, run);
        for (int32_t o = 0; o < p->w.n_out; o++) {
            const float *w = p->decoded + (size_t)o * (size_t)n_in;
            double exact = 0, stepped = p->mm.bias ? p->mm.bias[o] : 0, size = fabs(stepped);
            for (int32_t i = 0; i < n_in; i++) {
                exact += (double)w[i] * x[i];
                stepped += (double)w[i] * steps[i];
                size += fabs((double)w[i] * steps[i]);
            }
            const double got = out[(size_t)r * p->mm.ld_out + (size_t)o];
            if (!(fabs(got - stepped) <= 3e-6 * size))
                fail_msg("%s, %d inputs: row %d output %d is %.9g, expected %.9g",
                         p->w.format->name, (int)n_in, (int)r, (int)o, got, stepped);
            const double e = got - (p->mm.bias ? p->mm.bias[o] : 0) - exact;
            error += e * e;
            power += exact * exact;
        }
    }
    /* a handful of outputs may cancel out and say little */
    const double steps_error = n_rows * p->w.n_out < 200 ? 1e-3 : 1e-4;
    assert_true(error <= (p->w.format->block_weights > 1 ? steps_error : 1e-10) * power);
}

static void check_bits(const product *p, pn_isa isa, int32_t n_rows, const float *got,
                       const float *want) {
    const size_t n = (size_t)n_rows * p->mm.ld_out;
    for (size_t i = 0; i < n; i++)
        if (memcmp(&got[i], &want[i], sizeof *got) != 0)
            fail_msg("%s on %s, %d inputs, %d outputs, %d rows at once: row %zu output %zu is %a, "
                     "elsewhere %a",
                     p->w.format->name, pn_isa_name(isa), (int)p->w.n_in, (int)p->w.n_out,
                     (int)n_rows, i / p->mm.ld_out, i % p->mm.ld_out, (double)got[i],
                     (double)want[i]);
}

/* Numbers of rows on both sides of every switch between paths. */
static void check_product(product *p, int32_t max_rows) {
    static const int32_t some_rows[] = {1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 13, 24, 25, MAX_ROWS};
    static float want[MAX_ROWS * (MAX_OUT + CANARY)], got[MAX_ROWS * (MAX_OUT + CANARY)];
    multiply(pn_kernels_get(PN_ISA_SCALAR), p, max_rows, false, want);
    check_values(p, max_rows, want);
    for (int isa = PN_ISA_SCALAR; isa < PN_N_ISAS; isa++) {
        const pn_kernels *k = pn_kernels_get((pn_isa)isa);
        if (k == NULL) continue;
        for (size_t i = 0; i < sizeof some_rows / sizeof *some_rows && some_rows[i] <= max_rows;
             i++) {
            multiply(k, p, some_rows[i], i % 2 != 0, got);
            check_bits(p, (pn_isa)isa, some_rows[i], got, want);
        }
    }
}

static void check_format(const pn_format_info *f) {
    static const int32_t inputs_256[] = {256, 768, 2304, MAX_IN};
    static const int32_t inputs_32[] = {32, 96, 224, 288, 544, 1056, 2304};
    static const int32_t inputs_1[] = {1, 15, 16, 17, 100, 576, 2304};
    const int32_t *inputs = f->block_weights == 256  ? inputs_256
                            : f->block_weights == 32 ? inputs_32
                                                     : inputs_1;
    const size_t n_inputs = f->block_weights == 256 ? 4 : 7;
    static const int32_t outputs[] = {1, 5, 16, 33, 77};
    product p;
    for (size_t i = 0; i < n_inputs; i++) {
        const int32_t n_out = outputs[i % 5];
        open_product(&p, f, inputs[i], n_out, i % 2 == 0, i % 3 == 0);
        check_product(&p, inputs[i] < 1000 ? 25 : 13);
        close_product(&p);
    }
    open_product(&p, f, inputs[0], 2, true, false);
    check_product(&p, MAX_ROWS);
    close_product(&p);
}

static void test_format(void **state) {
    check_format(*state);
}

int main(void) {
    static struct CMUnitTest tests[64];
    size_t n_tests = 0;
    int32_t n;
    const pn_format_info *all = pn_format_all(&n);
    for (int32_t i = 0; i < n; i++)
        if (all[i].has_kernels)
            tests[n_tests++] = (struct CMUnitTest){all[i].name, test_format, NULL, NULL,
                                                   (void *)(uintptr_t)&all[i]};
    return _cmocka_run_group_tests("formats_matmul", tests, n_tests, NULL, NULL);
}
