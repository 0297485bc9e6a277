/* card.h: what the engine sees of src/cuda besides the backend itself. */
#ifndef PN_CUDA_CARD_H
#define PN_CUDA_CARD_H

#include "backend/backend.h"
#include "cuda/driver.h"

/* One NVIDIA card as a backend: the first that the driver shows (CUDA_VISIBLE_DEVICES chooses). */
extern const pn_backend pn_backend_cuda;

/* Card `index` (0 is what the backend would open) with its free memory, and how many there are; or why none can be
 * used. */
puna_status pn_cuda_get_card(int32_t index, pn_cuda_card *card, int32_t *n, puna_error *err);

#endif
