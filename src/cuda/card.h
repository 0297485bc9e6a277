/* card.h: what the engine sees of src/cuda besides the backend itself. */
#ifndef PN_CUDA_CARD_H
#define PN_CUDA_CARD_H

#include "backend/backend.h"
#include "cuda/driver.h"

/* One NVIDIA card as a backend: pn_device_config.card says which (CUDA_VISIBLE_DEVICES chooses and orders them). */
extern const pn_backend pn_backend_cuda;

/* The cards of this machine while an engine is planned: the first PUNA_MAX_GPUS. Each is looked at once, when it is
 * asked for. Begins zeroed; may be closed and opened at any time. */
typedef struct pn_cuda_cards {
    pn_cuda_driver driver;
    int32_t n;
    bool is_held[PUNA_MAX_GPUS];
    pn_cuda_card list[PUNA_MAX_GPUS];
} pn_cuda_cards;

/* Does nothing when they are open; fails with the reason why no card can be used. */
puna_status pn_cuda_cards_open(pn_cuda_cards *cards, puna_error *err);
void pn_cuda_cards_close(pn_cuda_cards *cards);
/* Card `index` with its free memory. */
puna_status pn_cuda_cards_look(pn_cuda_cards *cards, int32_t index, const pn_cuda_card **card,
                               puna_error *err);

#endif
