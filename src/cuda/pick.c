/* pick.c: how logits leave the card: whole rows, or what was picked of them (backend/pick.h, pick.cu).
 *
 * One block on the card, and one of pinned memory:
 *
 *   wanted   pn_cuda_pick [n_logits of the batch], then the ids that they ask for; sent with the batch
 *   maxima, sums   of the blocks of the rows whose logits are there now; on the card alone
 *   out      what was picked of those rows, one after another
 *
 * The kernels read nothing else, so they may be part of a graph. */
#include "cuda/cuda_device.h"

#include "base/mem.h"

#include <string.h>

_Static_assert((int)PN_CUDA_PICK_BLOCK == (int)PN_PICK_BLOCK, "one size of blocks");
_Static_assert(sizeof(pn_scored) == 8, "as the kernels write it");

enum { WORD = 8 };

/* Words of what comes back for a pick. */
static size_t words_of(int32_t n_best, int32_t n_ids, bool has_block) {
    return sizeof(pn_cuda_picked) / WORD + (size_t)n_best + ((size_t)n_ids + 1) / 2 +
           (has_block ? PN_PICK_BLOCK / 2 : 0);
}

static size_t n_blocks_of(const pn_plan *plan) {
    return ((size_t)plan->n_vocab + PN_PICK_BLOCK - 1) / PN_PICK_BLOCK;
}

pn_cuda_pick_sizes pn_cuda_measure_picks(const pn_plan *plan, const pn_device_config *c) {
    pn_cuda_pick_sizes s = {0};
    if (c->n_picks == 0 || plan->n_vocab == 0) return s; /* no logits in this part */
    const size_t n_rows = (size_t)c->n_logits, n_blocks = n_blocks_of(plan);
    s.maxima_at = pn_round_up((size_t)c->n_batch * sizeof(pn_cuda_pick) +
                                  (size_t)c->n_picks * PN_PICK_MAX_IDS * sizeof(int32_t),
                              16);
    s.sums_at = s.maxima_at + pn_round_up(n_rows * n_blocks * sizeof(uint32_t), 16);
    s.out_at = s.sums_at + n_rows * n_blocks * sizeof(double);
    s.out_bytes = n_rows * words_of(PN_PICK_MAX_BEST, PN_PICK_MAX_IDS, true) * WORD;
    s.bytes = s.out_at + s.out_bytes;
    s.host_bytes = s.maxima_at + s.out_bytes;
    return s;
}

/* ---- what is wanted -------------------------------------------------------------------------- */

static pn_cuda_pick *wanted(const pn_device *dev) {
    return (pn_cuda_pick *)(void *)dev->host_picks;
}

static bool is_possible(const pn_pick *pick, int32_t n_vocab) {
    return pick->n_best > 0 && pick->n_best <= PN_PICK_MAX_BEST && pick->n_best <= n_vocab &&
           pick->n_ids >= 0 && pick->n_ids <= PN_PICK_MAX_IDS;
}

puna_status pn_cuda_send_picks(pn_device *dev, const pn_batch *batch, puna_error *err) {
    const pn_device_config *c = &dev->config;
    const size_t max_ids = (size_t)c->n_picks * PN_PICK_MAX_IDS;
    size_t n_ids = 0, at = 0;
    dev->n_picks = 0;
    if (!batch->picks || dev->sizes.picks.bytes == 0) return PUNA_OK;
    int32_t *ids = (int32_t *)(void *)(wanted(dev) + batch->n_logits);
    for (int32_t i = 0; i < batch->n_logits; i++) {
        const pn_pick *pick = &batch->picks[i];
        pn_cuda_pick *w = &wanted(dev)[i];
        *w = (pn_cuda_pick){.random = -1};
        if (i % c->n_logits == 0) at = 0;
        if (!is_possible(pick, dev->plan->n_vocab) || n_ids + (size_t)pick->n_ids > max_ids)
            continue;
        *w = (pn_cuda_pick){.n_best = pick->n_best,
                            .n_ids = pick->n_ids,
                            .ids_at = (uint32_t)n_ids,
                            .out_at = (uint32_t)at,
                            .scale = pick->scale,
                            .random = pick->scale > 0 ? pick->random : -1};
        if (pick->n_ids > 0) memcpy(ids + n_ids, pick->ids, (size_t)pick->n_ids * sizeof *ids);
        n_ids += (size_t)pick->n_ids;
        at += words_of(w->n_best, w->n_ids, w->random >= 0);
        dev->n_picks++;
    }
    if (dev->n_picks == 0) return PUNA_OK;
    const size_t bytes = (size_t)batch->n_logits * sizeof(pn_cuda_pick) + n_ids * sizeof(int32_t);
    return pn_cuda_check(&dev->driver,
                         dev->driver.copy_in(dev->picks, dev->host_picks, bytes, dev->stream),
                         "copying a batch to the card", err);
}

/* Bytes that come back for rows [at, at + n). */
static size_t bytes_picked(const pn_device *dev, int32_t at, int32_t n) {
    size_t words = 0;
    for (int32_t i = at; i < at + n && dev->n_picks > 0; i++) {
        const pn_cuda_pick *w = &wanted(dev)[i];
        if (w->n_best > 0) words += words_of(w->n_best, w->n_ids, w->random >= 0);
    }
    return words * WORD;
}

puna_status pn_cuda_pick_rows(pn_device *dev, const pn_batch *batch, int32_t at, int32_t n,
                              puna_error *err) {
    if (bytes_picked(dev, at, n) == 0) return PUNA_OK;
    const pn_cuda_pick_sizes *s = &dev->sizes.picks;
    const uint64_t ids = dev->picks + (uint64_t)batch->n_logits * sizeof(pn_cuda_pick);
    const pn_cuda_pick_args args = {
        .logits = pn_cuda_pointer(dev->logits),
        .picks = pn_cuda_pointer(dev->picks + (uint64_t)at * sizeof(pn_cuda_pick)),
        .ids = pn_cuda_pointer(ids),
        .maxima = pn_cuda_pointer(dev->picks + s->maxima_at),
        .sums = pn_cuda_pointer(dev->picks + s->sums_at),
        .out = pn_cuda_pointer(dev->picks + s->out_at),
        .n_vocab = dev->plan->n_vocab,
        .n_blocks = (int32_t)n_blocks_of(dev->plan),
    };
    void *parameters[] = {(void *)(uintptr_t)&args};
    const unsigned warps = PN_CUDA_BLOCK / 32, n_blocks = (unsigned)args.n_blocks;
    int result =
        dev->driver.launch(dev->kernels.pick_blocks, (n_blocks + warps - 1) / warps, (unsigned)n, 1,
                           PN_CUDA_BLOCK, 1, 1, 0, dev->stream, parameters, NULL);
    if (result == 0)
        result = dev->driver.launch(dev->kernels.pick, (unsigned)n, 1, 1, PN_CUDA_PICK_THREADS, 1,
                                    1, PN_CUDA_PICK_BYTES, dev->stream, parameters, NULL);
    return pn_cuda_check(&dev->driver, result, "picking from the logits", err);
}

/* ---- what comes back ------------------------------------------------------------------------- */

static bool is_whole(const pn_device *dev, int32_t i) {
    return dev->n_picks == 0 || wanted(dev)[i].n_best == 0;
}

/* Begins to copy rows [first, first + n) of those whose logits are there now. */
static int copy_rows(const pn_device *dev, int32_t first, int32_t n) {
    const size_t row_bytes = (size_t)dev->plan->n_vocab * sizeof(float);
    const size_t from = (size_t)first * row_bytes;
    return dev->driver.copy_out(dev->host_out + from, dev->logits + from, (size_t)n * row_bytes,
                                dev->stream);
}

static const float *row_of(const pn_device *dev, int32_t i) {
    return (const float *)(const void *)dev->host_out + (size_t)i * (size_t)dev->plan->n_vocab;
}

/* What was picked of a row, in the pinned memory. */
static pn_picked picked_of(const pn_device *dev, int32_t i) {
    const pn_cuda_pick *w = &wanted(dev)[i];
    const unsigned char *at =
        dev->host_picks + dev->sizes.picks.maxima_at + (size_t)w->out_at * WORD;
    const pn_cuda_picked *head = (const void *)at;
    const pn_scored *best = (const void *)(at + sizeof *head);
    const float *of_ids = (const void *)(best + w->n_best);
    return (pn_picked){.n_best = head->n_best,
                       .block = head->block,
                       .total = head->total,
                       .before = head->before,
                       .best = best,
                       .of_ids = of_ids,
                       .of_block = of_ids + (w->n_ids + 1) / 2 * 2};
}

static puna_status copy_back(const pn_device *dev, int32_t at, int32_t n, puna_error *err) {
    const pn_cuda_pick_sizes *s = &dev->sizes.picks;
    const size_t bytes = bytes_picked(dev, at, n);
    int result = 0;
    if (bytes > 0)
        result = dev->driver.copy_out(dev->host_picks + s->maxima_at, dev->picks + s->out_at, bytes,
                                      dev->stream);
    for (int32_t i = 0; i < n && result == 0;) {
        int32_t end = i;
        while (end < n && is_whole(dev, at + end)) end++;
        if (end > i) result = copy_rows(dev, i, end - i);
        i = end + 1;
    }
    if (result == 0) result = dev->driver.stream_wait(dev->stream);
    return pn_cuda_check(&dev->driver, result, "reading results from the card", err);
}

puna_status pn_cuda_hand_out_logits(pn_device *dev, const pn_batch *batch, int32_t at, int32_t n,
                                    puna_error *err) {
    PN_TRY(copy_back(dev, at, n, err));
    for (int32_t i = 0; i < n; i++) {
        const int32_t row = batch->output_rows[batch->logit_outputs[at + i]];
        if (!is_whole(dev, at + i)) {
            const pn_picked picked = picked_of(dev, at + i);
            if (batch->on_picked(batch->user, row, &picked)) continue;
            int result = copy_rows(dev, i, 1);
            if (result == 0) result = dev->driver.stream_wait(dev->stream);
            PN_TRY(pn_cuda_check(&dev->driver, result, "reading results from the card", err));
        }
        batch->on_logits(batch->user, row, row_of(dev, i));
    }
    return PUNA_OK;
}
