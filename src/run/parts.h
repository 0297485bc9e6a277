/* parts.h: a model's plan on one device or on several: which computes which layers, and all of them as one
 * device to the engine.
 *
 * Devices follow one another: each computes its layers for the whole batch and hands the values that the next
 * one needs over through the machine's memory (plan/cut.c says which). Weights and KV pages are on the device
 * whose layers they belong to; a page number means the same page on each, and a saved row is their rows behind
 * one another, so a saved sequence does not show how the model was split. */
#ifndef PN_RUN_PARTS_H
#define PN_RUN_PARTS_H

#include "backend/backend.h"

enum { PN_MAX_PARTS = PUNA_MAX_DEVICES };

typedef struct pn_part {
    const pn_backend *backend;
    int32_t card;                  /* its number; -1: the CPU */
    int32_t first_layer, n_layers; /* the output counts as one more, behind the last */
    const pn_plan *plan;           /* own, or the model's where one device has all */
    pn_plan *own;
} pn_part;

typedef struct pn_parts {
    const pn_plan *whole;
    int32_t n;
    pn_part list[PN_MAX_PARTS];
} pn_parts;

/* Device i is card cards[i] (-1: the CPU) and computes layers [first_layers[i], first_layers[i + 1]), the last
 * one up to the output. whole must outlive the parts, which may be moved. Free with pn_parts_free. */
puna_status pn_parts_cut(const pn_plan *whole, int32_t n, const int32_t *cards,
                         const int32_t *first_layers, pn_parts *parts, puna_error *err);
void pn_parts_free(pn_parts *parts);

/* What a part is opened with. */
pn_device_config pn_part_config(const pn_part *part, const pn_device_config *config);
/* The machine's memory that goes from device to device, in bytes. */
uint64_t pn_parts_bytes(const pn_parts *parts, const pn_device_config *config);

/* Opens all devices; *backend is how to use *device. parts must outlive it, where it is. */
puna_status pn_parts_open(const pn_parts *parts, const pn_device_config *config,
                          const pn_backend **backend, pn_device **device, puna_error *err);

#endif
