/* cards.c: which cards there are, and how much of their memory is free. The driver tells that only to who has a context
 * on the card, which takes a good part of a second to make: it is kept until the cards are closed, and whoever opens the
 * same card meanwhile shares it. */
#include "cuda/card.h"

#include "cuda/cuda_device.h"

puna_status pn_cuda_cards_open(pn_cuda_cards *cards, puna_error *err) {
    if (cards->driver.library) return PUNA_OK;
    *cards = (pn_cuda_cards){0};
    PN_TRY(pn_cuda_have_kernels(err));
    PN_TRY(pn_cuda_driver_open(&cards->driver, err));
    const puna_status status = pn_cuda_count(&cards->driver, &cards->n, err);
    if (cards->n > PUNA_MAX_GPUS) cards->n = PUNA_MAX_GPUS;
    if (status != PUNA_OK) pn_cuda_cards_close(cards);
    return status;
}

void pn_cuda_cards_close(pn_cuda_cards *cards) {
    const pn_cuda_driver *d = &cards->driver;
    for (int32_t i = 0; i < cards->n; i++) {
        int device;
        if (cards->is_held[i] && d->device_get(&device, i) == 0) (void)d->context_release(device);
    }
    pn_cuda_driver_close(&cards->driver);
    *cards = (pn_cuda_cards){0};
}

puna_status pn_cuda_cards_look(pn_cuda_cards *cards, int32_t index, const pn_cuda_card **card,
                               puna_error *err) {
    const pn_cuda_driver *d = &cards->driver;
    if (index < 0 || index >= cards->n)
        return pn_fail(err, PUNA_E_ARG, "there %s %d card%s, and none with the number %d",
                       cards->n == 1 ? "is" : "are", cards->n, cards->n == 1 ? "" : "s", index);
    if (!cards->is_held[index]) {
        int device;
        void *context;
        int result = d->device_get(&device, index);
        if (result == 0) result = d->context_retain(&context, device);
        PN_TRY(pn_cuda_check(d, result, "opening the card", err));
        cards->is_held[index] = true;
        PN_TRY(pn_cuda_look(d, index, true, &cards->list[index], err));
    }
    *card = &cards->list[index];
    return PUNA_OK;
}
