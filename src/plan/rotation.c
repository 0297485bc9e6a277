/* rotation.c: angles of RoPE (Su et al. 2021, "RoFormer") with linear scaling, per-frequency
 * divisors, and YaRN (Peng et al. 2023): frequencies above beta_fast rotations in the original
 * context stay, those below beta_slow are interpolated, a linear ramp joins them, and the magnitude
 * grows with the logarithm of the factor.
 *
 * Angles are computed in double and rounded once, so far positions keep their precision. */
#include "plan/rotation.h"

#include <math.h>

static const double pi = 3.14159265358979323846;

/* The dimension (as a real number) whose frequency makes n_turns turns within the original context.
 */
static double turning_dimension(const pn_rope *r, double n_turns) {
    return r->n_rot * log(r->n_ctx_orig / (n_turns * 2.0 * pi)) / (2.0 * log((double)r->base));
}

void pn_rotation_init(const pn_rope *r, double *freqs, float *magnitude) {
    double low = 0, high = 0;
    if (r->ext_factor != 0.0f) {
        low = fmax(0.0, floor(turning_dimension(r, r->beta_fast)));
        high = fmin(r->n_rot - 1.0, ceil(turning_dimension(r, r->beta_slow)));
    }
    for (int32_t i = 0; i < r->n_rot / 2; i++) {
        double own = pow((double)r->base, -2.0 * i / r->n_rot);
        if (r->divisors) own /= (double)r->divisors[i];
        const double slow = own * (double)r->scale;
        const double ramp = 1.0 - fmin(1.0, fmax(0.0, (i - low) / fmax(0.001, high - low)));
        const double keep = r->ext_factor != 0.0f ? ramp * (double)r->ext_factor : 0.0;
        freqs[i] = slow * (1.0 - keep) + own * keep;
    }
    double m = r->attn_factor;
    if (r->ext_factor != 0.0f) m *= 1.0 + 0.1 * log(1.0 / (double)r->scale);
    *magnitude = (float)m;
}

void pn_rotation_row(const pn_rope *rope, const double *freqs, float magnitude, int32_t position,
                     float *cos_sin) {
    for (int32_t i = 0; i < rope->n_rot / 2; i++) {
        const double angle = (double)position * freqs[i];
        cos_sin[2 * i] = (float)cos(angle) * magnitude;
        cos_sin[2 * i + 1] = (float)sin(angle) * magnitude;
    }
}
