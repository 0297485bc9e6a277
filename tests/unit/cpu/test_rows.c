/* Row kernels against double precision, and every instruction set against the scalar one, bit for
 * bit. */
#include "cpu/kernels.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MAX_N = 4099 };

static const int32_t lengths[] = {1, 2, 15, 16, 17, 31, 64, 80, 576, 1000, 4096, 4099};
enum { N_LENGTHS = sizeof lengths / sizeof lengths[0] };

static uint64_t random_state = 1;

/* Uniform in [-1, 1). */
static float uniform(void) {
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (float)(int32_t)(random_state >> 32) * 0x1p-31f;
}

static void fill(float *x, int32_t n, float scale) {
    for (int32_t i = 0; i < n; i++) x[i] = uniform() * scale;
}

static void assert_near(const float *got, const double *want, int32_t n, double relative,
                        double absolute) {
    for (int32_t i = 0; i < n; i++)
        if (!(fabs(got[i] - want[i]) <= relative * fabs(want[i]) + absolute))
            fail_msg("element %d of %d: got %.9g, want %.9g", (int)i, (int)n, (double)got[i],
                     want[i]);
}

/* What each instruction set computed. */
static float outputs[PN_N_ISAS][MAX_N];

static void assert_same(pn_isa isa, int32_t n) {
    if (memcmp(outputs[PN_ISA_SCALAR], outputs[isa], (size_t)n * sizeof(float)) != 0)
        fail_msg("%s differs from scalar, n = %d", pn_isa_name(isa), (int)n);
}

#define FOR_EACH_ISA(k)                                                                            \
    for (int isa = PN_ISA_SCALAR; isa < PN_N_ISAS; isa++)                                          \
        for (const pn_kernels *k = pn_kernels_get((pn_isa)isa); k != NULL; k = NULL)

static float x[MAX_N], y[MAX_N];
static double want[MAX_N];

static void test_rms_norm(void **state) {
    (void)state;
    for (int c = 0; c < 2 * N_LENGTHS; c++) {
        const int32_t n = lengths[c / 2];
        const float *w = c % 2 ? y : NULL, eps = 1e-5f;
        fill(x, n, 3.0f);
        fill(y, n, 2.0f);
        double sum = 0.0;
        for (int32_t i = 0; i < n; i++) sum += (double)x[i] * x[i];
        for (int32_t i = 0; i < n; i++)
            want[i] = x[i] / sqrt(sum / n + eps) * (w != NULL ? w[i] : 1.0);
        FOR_EACH_ISA(k) {
            memcpy(outputs[isa], x, sizeof x); /* in place */
            k->rms_norm(outputs[isa], w, outputs[isa], n, eps);
            assert_near(outputs[isa], want, n, 1e-6, 1e-12);
            assert_same((pn_isa)isa, n);
        }
    }
}

static void test_rope(void **state) {
    (void)state;
    const int32_t shapes[][3] = {{9, 64, 64},   {1, 16, 16},  {4, 80, 20},
                                 {2, 256, 256}, {3, 128, 96}, {2, 8, 2}};
    for (int c = 0; c < 12; c++) {
        const int32_t n_head = shapes[c / 2][0], dim = shapes[c / 2][1], n = n_head * dim;
        const pn_rope rope = {.n_rot = shapes[c / 2][2], .neox = c % 2};
        float cos_sin[512];
        fill(x, n, 2.0f);
        for (int32_t i = 0; i < rope.n_rot / 2; i++) {
            const double angle = 1000.0 * uniform();
            cos_sin[2 * i] = (float)cos(angle);
            cos_sin[2 * i + 1] = (float)sin(angle);
        }
        for (int32_t i = 0; i < n; i++) want[i] = x[i];
        for (int32_t h = 0; h < n_head; h++)
            for (int32_t i = 0; i < rope.n_rot / 2; i++) {
                const int32_t a = h * dim + (rope.neox ? i : 2 * i);
                const int32_t b = rope.neox ? a + rope.n_rot / 2 : a + 1;
                const double co = cos_sin[2 * i], si = cos_sin[2 * i + 1];
                want[a] = x[a] * co - x[b] * si;
                want[b] = x[a] * si + x[b] * co;
            }
        FOR_EACH_ISA(k) {
            memcpy(outputs[isa], x, sizeof x);
            k->rope(outputs[isa], n_head, dim, &rope, cos_sin);
            assert_near(outputs[isa], want, n, 1e-6, 4e-7);
            assert_same((pn_isa)isa, n);
        }
    }
}

/* v / 2 (1 + tanh u), without its cancellation. */
static double gelu_tanh(double v) {
    const double u = sqrt(2.0 / acos(-1.0)) * (v + 0.044715 * v * v * v);
    return v / (1.0 + exp(-2.0 * u));
}

static void test_glu(void **state) {
    (void)state;
    for (int c = 0; c < 2 * N_LENGTHS; c++) {
        const int32_t n = lengths[c / 2];
        const pn_activation act = c % 2 ? PN_ACT_GELU_TANH : PN_ACT_SILU;
        fill(x, n, c % 3 ? 4.0f : 60.0f);
        fill(y, n, 2.0f);
        for (int32_t i = 0; i < n; i++)
            want[i] =
                y[i] * (act == PN_ACT_SILU ? x[i] / (1.0 + exp(-(double)x[i])) : gelu_tanh(x[i]));
        FOR_EACH_ISA(k) {
            k->glu(act, x, y, outputs[isa], n);
            /* the relative error grows with the argument of exp: GELU's reaches 90 */
            assert_near(outputs[isa], want, n, act == PN_ACT_SILU ? 1e-6 : 2e-5, 1e-30);
            assert_same((pn_isa)isa, n);
        }
    }
}

static void test_sums(void **state) {
    (void)state;
    for (int c = 0; c < N_LENGTHS; c++) {
        const int32_t n = lengths[c];
        fill(x, n, 3.0f);
        fill(y, n, 3.0f);
        FOR_EACH_ISA(k) {
            k->add(x, y, outputs[isa], n);
            for (int32_t i = 0; i < n; i++) assert_true(outputs[isa][i] == x[i] + y[i]);
            k->axpy(outputs[isa], x, 0.37f, n);
            for (int32_t i = 0; i < n; i++)
                assert_true(outputs[isa][i] == fmaf(0.37f, x[i], x[i] + y[i]));
        }
    }
}

static void test_scale_softcap(void **state) {
    (void)state;
    for (int c = 0; c < 2 * N_LENGTHS; c++) {
        const int32_t n = lengths[c / 2];
        const float cap = c % 2 ? 30.0f : 0.0f;
        fill(x, n, 1000.0f);
        for (int32_t i = 0; i < n; i++)
            want[i] = cap > 0 ? cap * tanh(0.25 * x[i] / cap) : 0.25 * x[i];
        FOR_EACH_ISA(k) {
            memcpy(outputs[isa], x, sizeof x);
            k->scale_softcap(outputs[isa], n, 0.25f, cap);
            assert_near(outputs[isa], want, n, 1e-6, 3e-7 * cap);
            assert_same((pn_isa)isa, n);
        }
    }
}

static void test_softmax(void **state) {
    (void)state;
    for (int c = 0; c < N_LENGTHS; c++) {
        const int32_t n = lengths[c];
        fill(x, n, 20.0f);
        if (n > 2) x[1] = -INFINITY;
        double max = -INFINITY, sum = 0.0;
        for (int32_t i = 0; i < n; i++) max = fmax(max, x[i]);
        for (int32_t i = 0; i < n; i++) sum += exp(x[i] - max);
        for (int32_t i = 0; i < n; i++) want[i] = exp(x[i] - max) / sum;
        FOR_EACH_ISA(k) {
            memcpy(outputs[isa], x, sizeof x);
            k->softmax(outputs[isa], n);
            assert_near(outputs[isa], want, n, 4e-6, 1e-30);
            assert_same((pn_isa)isa, n);
        }
    }
}

/* Values that only a broken or hostile model makes: no crash, NaN stays visible. */
static void test_not_finite(void **state) {
    (void)state;
    FOR_EACH_ISA(k) {
        float v[20];
        for (int i = 0; i < 20; i++) v[i] = i == 3 ? NAN : 1.0f;
        k->rms_norm(v, NULL, v, 20, 1e-5f);
        for (int i = 0; i < 20; i++) assert_true(isnan(v[i]));
        k->softmax(v, 20);
        for (int i = 0; i < 20; i++) assert_true(isnan(v[i]));
        float g[3] = {NAN, INFINITY, -1e30f}, one[3] = {1.0f, 1.0f, 1.0f};
        k->glu(PN_ACT_SILU, g, one, v, 3);
        assert_true(isnan(v[0]) && v[1] == INFINITY && v[2] == 0.0f);
        for (int i = 0; i < 5; i++) v[i] = -INFINITY;
        k->softmax(v, 5);
        assert_true(isnan(v[0]));
        float s[3] = {NAN, INFINITY, -INFINITY};
        k->scale_softcap(s, 3, 1.0f, 30.0f);
        assert_true(isnan(s[0]) && s[1] == 30.0f && s[2] == -30.0f);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rms_norm),      cmocka_unit_test(test_rope),
        cmocka_unit_test(test_glu),           cmocka_unit_test(test_sums),
        cmocka_unit_test(test_scale_softcap), cmocka_unit_test(test_softmax),
        cmocka_unit_test(test_not_finite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
