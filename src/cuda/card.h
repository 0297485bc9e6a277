/* card.h: what the engine sees of src/cuda besides the backend itself. */
#ifndef PN_CUDA_CARD_H
#define PN_CUDA_CARD_H

#include "backend/backend.h"
#include "cuda/driver.h"

/* One NVIDIA card as a backend: the first that the driver shows (CUDA_VISIBLE_DEVICES chooses). */
extern const pn_backend pn_backend_cuda;

/* The card that the backend would open, with its free memory; or why there is none. */
puna_status pn_cuda_first_card(pn_cuda_card *card, puna_error *err);

#endif
