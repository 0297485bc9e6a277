/* rows.c: kernels over one row of float32 values: norms, rotation, activations, softmax, sums.
 *
 * Everything elementwise is written as one expression per element with every fused multiply-add
 * spelled out, so vector width cannot change bits. Sums over a row run in 16 lanes (lane = i mod
 * 16, ascending i) and end in the fixed tree of pn_vf_sum; a row whose length is no multiple of 16
 * is padded with the neutral value. */
#include "cpu/isa/isa_fns.h"
#include "simd/simd.h"

#include <math.h>

static float sum_squares(const float *x, int32_t n) {
    pn_vf sum = pn_vf_zero();
    int32_t i = 0;
    for (; i + PN_LANES <= n; i += PN_LANES) {
        const pn_vf v = pn_vf_load(x + i);
        sum = pn_vf_fma(v, v, sum);
    }
    if (i < n) {
        const pn_vf v = pn_vf_load_n(x + i, n - i);
        sum = pn_vf_fma(v, v, sum);
    }
    return pn_vf_sum(sum);
}

void PN_ISA_FN(pn_rms_norm)(const float *x, const float *w, float *out, int32_t n, float eps) {
    const float inv = 1.0f / sqrtf(sum_squares(x, n) / (float)n + eps);
    if (w == NULL) {
        for (int32_t i = 0; i < n; i++) out[i] = x[i] * inv;
        return;
    }
    for (int32_t i = 0; i < n; i++) out[i] = x[i] * inv * w[i];
}

/* (a, b) turned by the angle: a' = a cos - b sin, b' = a sin + b cos; the second product is the
 * rounded one. */
static void rotate_pair(float *a, float *b, const float *cos_sin) {
    const float x = *a, y = *b;
    *a = fmaf(x, cos_sin[0], -(y * cos_sin[1]));
    *b = fmaf(x, cos_sin[1], y * cos_sin[0]);
}

void PN_ISA_FN(pn_rope)(float *x, int32_t n_head, int32_t head_dim, const pn_rope *rope,
                        const float *cos_sin) {
    const int32_t n_pairs = rope->n_rot / 2;
    for (int32_t h = 0; h < n_head; h++, x += head_dim) {
        if (rope->neox)
            for (int32_t i = 0; i < n_pairs; i++)
                rotate_pair(x + i, x + i + n_pairs, cos_sin + 2 * i);
        else
            for (int32_t i = 0; i < n_pairs; i++)
                rotate_pair(x + 2 * i, x + 2 * i + 1, cos_sin + 2 * i);
    }
}

/* x / (1 + exp(-x)): SiLU; GELU's tanh form is the same of 2 sqrt(2/pi) (x + 0.044715 x^3)
 * (Hendrycks and Gimpel 2016), since (1 + tanh u) / 2 = 1 / (1 + exp(-2u)). */
static pn_vf gate_by_sigmoid(pn_vf x, pn_vf minus_u) {
    const pn_vf one = pn_vf_set1(1.0f);
    return pn_vf_div(x, pn_vf_add(one, pn_vf_exp(minus_u)));
}

static pn_vf activate(pn_activation act, pn_vf x) {
    const pn_vf zero = pn_vf_zero();
    if (act == PN_ACT_SILU) return gate_by_sigmoid(x, pn_vf_sub(zero, x));
    const float c = 1.5957691216057308f; /* 2 sqrt(2/pi) */
    const pn_vf square = pn_vf_mul(x, x);
    const pn_vf factor = pn_vf_fma(square, pn_vf_set1(-0.044715f * c), pn_vf_set1(-c));
    return gate_by_sigmoid(x, pn_vf_mul(x, factor));
}

void PN_ISA_FN(pn_glu)(pn_activation act, const float *gate, const float *up, float *out,
                       int32_t n) {
    for (int32_t i = 0; i < n; i += PN_LANES) {
        const int32_t m = n - i < PN_LANES ? n - i : PN_LANES;
        const pn_vf g = activate(act, pn_vf_load_n(gate + i, m));
        pn_vf_store_n(out + i, pn_vf_mul(g, pn_vf_load_n(up + i, m)), m);
    }
}

void PN_ISA_FN(pn_add)(const float *a, const float *b, float *out, int32_t n) {
    for (int32_t i = 0; i < n; i++) out[i] = a[i] + b[i];
}

void PN_ISA_FN(pn_scale_softcap)(float *x, int32_t n, float scale, float cap) {
    if (cap <= 0.0f) {
        for (int32_t i = 0; i < n; i++) x[i] *= scale;
        return;
    }
    const pn_vf scales = pn_vf_set1(scale), caps = pn_vf_set1(cap);
    for (int32_t i = 0; i < n; i += PN_LANES) {
        const int32_t m = n - i < PN_LANES ? n - i : PN_LANES;
        const pn_vf v = pn_vf_mul(pn_vf_load_n(x + i, m), scales);
        pn_vf_store_n(x + i, pn_vf_mul(caps, pn_vf_tanh(pn_vf_div(v, caps))), m);
    }
}

/* Lanes [0, n) from x, the rest -infinity. */
static pn_vf load_padded(const float *x, int32_t n) {
    return pn_vf_first_n(pn_vf_load_n(x, n), pn_vf_set1(-INFINITY), n);
}

static float max_value(const float *x, int32_t n) {
    pn_vf max = pn_vf_set1(-INFINITY);
    int32_t i = 0;
    for (; i + PN_LANES <= n; i += PN_LANES) max = pn_vf_max(max, pn_vf_load(x + i));
    if (i < n) max = pn_vf_max(max, load_padded(x + i, n - i));
    return pn_vf_max_lanes(max);
}

/* x = exp(x - max); returns the sum. */
static float exp_and_sum(float *x, int32_t n, float max) {
    const pn_vf offset = pn_vf_set1(max);
    pn_vf sum = pn_vf_zero();
    for (int32_t i = 0; i < n; i += PN_LANES) {
        const int32_t m = n - i < PN_LANES ? n - i : PN_LANES;
        const pn_vf e = pn_vf_exp(pn_vf_sub(load_padded(x + i, m), offset));
        pn_vf_store_n(x + i, e, m);
        sum = pn_vf_add(sum, e);
    }
    return pn_vf_sum(sum);
}

void PN_ISA_FN(pn_softmax)(float *x, int32_t n) {
    const float sum = exp_and_sum(x, n, max_value(x, n));
    for (int32_t i = 0; i < n; i++) x[i] /= sum;
}

void PN_ISA_FN(pn_axpy)(float *acc, const float *x, float weight, int32_t n) {
    for (int32_t i = 0; i < n; i++) acc[i] = fmaf(weight, x[i], acc[i]);
}
