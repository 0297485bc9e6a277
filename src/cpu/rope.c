/* rope.c: the rotation tables of a batch (src/plan/rotation.c has the angles). */
#include "cpu/device.h"
#include "plan/rotation.h"

void pn_cpu_rope_init(pn_device *dev) {
    for (int32_t r = 0; r < dev->plan->n_ropes; r++)
        pn_rotation_init(&dev->plan->ropes[r],
                         dev->rope_freqs + (size_t)r * (size_t)(dev->max_rot / 2),
                         &dev->rope_magnitudes[r]);
}

void pn_cpu_rope_row(pn_device *dev, int32_t row) {
    for (int32_t r = 0; r < dev->plan->n_ropes; r++)
        pn_rotation_row(
            &dev->plan->ropes[r], dev->rope_freqs + (size_t)r * (size_t)(dev->max_rot / 2),
            dev->rope_magnitudes[r], dev->batch->positions[row], pn_cpu_rope_at(dev, r, row));
}
