/* rotation.h: the angles of a rope, computed in double on the CPU for every device. */
#ifndef PN_PLAN_ROTATION_H
#define PN_PLAN_ROTATION_H

#include "plan/operands.h"

/* Radians per position of each pair [n_rot/2], and the magnitude of cos and sin. */
void pn_rotation_init(const pn_rope *rope, double *freqs, float *magnitude);
/* cos and sin times the magnitude for one position: [n_rot/2][2]. */
void pn_rotation_row(const pn_rope *rope, const double *freqs, float magnitude, int32_t position,
                     float *cos_sin);

#endif
