/* parts.c: the parts of a plan on their devices, as one. */
#include "run/parts.h"

#include "base/mem.h"
#include "cuda/card.h"

#include <string.h>

/* ---- cutting ---- */

static puna_status cut_part(const pn_plan *whole, pn_part *part, puna_error *err) {
    const int32_t end_layer = part->first_layer + part->n_layers;
    const int32_t first = pn_plan_layer_begins(whole, part->first_layer);
    const int32_t end =
        end_layer > whole->n_layer ? whole->n_ops : pn_plan_layer_begins(whole, end_layer);
    if (first == 0 && end == whole->n_ops) {
        part->plan = whole;
        return PUNA_OK;
    }
    part->own = pn_calloc(1, sizeof *part->own);
    if (!part->own) return pn_fail_nomem(err, sizeof *part->own, "a part of the compute plan");
    part->plan = part->own;
    return pn_plan_cut(whole, first, end, part->own, err);
}

puna_status pn_parts_cut(const pn_plan *whole, int32_t n, const int32_t *cards,
                         const int32_t *first_layers, pn_parts *parts, puna_error *err) {
    memset(parts, 0, sizeof *parts);
    parts->whole = whole;
    for (int32_t i = 0; i < n; i++) {
        const int32_t end = i + 1 < n ? first_layers[i + 1] : whole->n_layer + 1;
        if (end <= first_layers[i]) continue;
        pn_part *part = &parts->list[parts->n++];
        part->backend = cards[i] < 0 ? &pn_backend_cpu : &pn_backend_cuda;
        part->card = cards[i];
        part->first_layer = first_layers[i];
        part->n_layers = end - first_layers[i];
        const puna_status status = cut_part(whole, part, err);
        if (status != PUNA_OK) {
            pn_parts_free(parts);
            return status;
        }
    }
    return PUNA_OK;
}

void pn_parts_free(pn_parts *parts) {
    for (int32_t i = 0; i < parts->n; i++) {
        if (parts->list[i].own) pn_plan_free(parts->list[i].own);
        pn_free(parts->list[i].own);
    }
    parts->n = 0;
}

pn_device_config pn_part_config(const pn_part *part, const pn_device_config *config) {
    pn_device_config own = *config;
    own.card = part->card;
    return own;
}

/* ---- the device ---- */

typedef struct member {
    const pn_part *part;
    pn_device *device;
    size_t row_bytes; /* of a saved row */
    const float **entering;
    float **leaving;
} member;

struct pn_device {
    const pn_parts *parts;
    int32_t n;
    member *members;
    float **
        handed; /* [whole->n_values] [n_batch][width] of those that go from part to part, or NULL */
    unsigned char *rows; /* [PN_PAGE_POSITIONS] of the longest row of a member */
    size_t row_bytes;    /* of all */
};

static uint64_t handed_bytes(const pn_plan *plan, const pn_handed *h, int32_t n_batch) {
    return (uint64_t)plan->values[h->value].width * (uint64_t)n_batch * sizeof(float);
}

static size_t row_bytes_of(const pn_part *part, const pn_device_config *config) {
    const pn_device_config own = pn_part_config(part, config);
    pn_device_memory memory;
    part->backend->memory(part->plan, &own, &memory);
    return (size_t)(memory.kv_bytes_per_page / PN_PAGE_POSITIONS);
}

/* Bytes of the rows that pass through read_page and write_page. */
static size_t rows_bytes(const pn_parts *parts, const pn_device_config *config) {
    size_t most = 0;
    for (int32_t i = 0; i < parts->n; i++) {
        const size_t bytes = row_bytes_of(&parts->list[i], config);
        if (bytes > most) most = bytes;
    }
    return most * PN_PAGE_POSITIONS;
}

uint64_t pn_parts_bytes(const pn_parts *parts, const pn_device_config *config) {
    uint64_t bytes = 0;
    if (parts->n < 2) return 0;
    for (int32_t i = 0; i < parts->n; i++) {
        const pn_plan *plan = parts->list[i].plan;
        for (int32_t k = 0; k < plan->n_leaving; k++)
            bytes += handed_bytes(plan, &plan->leaving[k], config->n_batch);
    }
    return bytes + rows_bytes(parts, config);
}

static void parts_close(pn_device *dev) {
    if (!dev) return;
    for (int32_t i = 0; i < dev->n; i++) {
        member *m = &dev->members[i];
        if (m->device) m->part->backend->close(m->device);
        pn_free(m->entering);
        pn_free(m->leaving);
    }
    for (int32_t v = 0; dev->handed && v < dev->parts->whole->n_values; v++)
        pn_free(dev->handed[v]);
    pn_free(dev->handed);
    pn_free(dev->members);
    pn_free(dev->rows);
    pn_free(dev);
}

/* A buffer for every value that leaves, which is where it enters another part too. */
static puna_status take_handed(pn_device *dev, const pn_device_config *config, member *m,
                               puna_error *err) {
    const pn_plan *plan = m->part->plan;
    m->entering = pn_calloc((size_t)plan->n_entering + 1, sizeof *m->entering);
    m->leaving = pn_calloc((size_t)plan->n_leaving + 1, sizeof *m->leaving);
    if (!m->entering || !m->leaving) return pn_fail_nomem(err, sizeof *m, "the devices");
    for (int32_t i = 0; i < plan->n_entering; i++)
        m->entering[i] = dev->handed[plan->entering[i].whole];
    for (int32_t i = 0; i < plan->n_leaving; i++) {
        float **handed = &dev->handed[plan->leaving[i].whole];
        const size_t bytes = (size_t)handed_bytes(plan, &plan->leaving[i], config->n_batch);
        if (!*handed) *handed = pn_calloc(bytes, 1);
        if (!*handed) return pn_fail_nomem(err, bytes, "values that go from device to device");
        m->leaving[i] = *handed;
    }
    return PUNA_OK;
}

static puna_status open_members(pn_device *dev, const pn_device_config *config, puna_error *err) {
    const pn_parts *parts = dev->parts;
    const size_t n_values = (size_t)parts->whole->n_values;
    dev->members = pn_calloc((size_t)parts->n, sizeof *dev->members);
    dev->handed = pn_calloc(n_values, sizeof *dev->handed);
    dev->rows = pn_calloc(rows_bytes(parts, config) + 1, 1);
    if (!dev->members || !dev->handed || !dev->rows)
        return pn_fail_nomem(err, n_values * sizeof *dev->handed, "the devices");
    for (int32_t i = 0; i < parts->n; i++) {
        member *m = &dev->members[dev->n++];
        m->part = &parts->list[i];
        m->row_bytes = row_bytes_of(m->part, config);
        dev->row_bytes += m->row_bytes;
        PN_TRY(take_handed(dev, config, m, err));
        const pn_device_config own = pn_part_config(m->part, config);
        PN_TRY(m->part->backend->open(m->part->plan, &own, &m->device, err));
    }
    return PUNA_OK;
}

static puna_status parts_run(pn_device *dev, const pn_batch *batch, puna_error *err) {
    pn_batch own = *batch;
    for (int32_t i = 0; i < dev->n; i++) {
        member *m = &dev->members[i];
        if (m->part->plan->begins_selected && batch->n_outputs == 0) break;
        own.entering = m->entering;
        own.leaving = m->leaving;
        PN_TRY(m->part->backend->run(m->device, &own, err));
    }
    return PUNA_OK;
}

static puna_status parts_copy_page(pn_device *dev, int32_t from, int32_t to, puna_error *err) {
    for (int32_t i = 0; i < dev->n; i++)
        PN_TRY(dev->members[i].part->backend->copy_page(dev->members[i].device, from, to, err));
    return PUNA_OK;
}

static puna_status parts_read_page(pn_device *dev, int32_t page, int32_t n_positions, void *rows,
                                   puna_error *err) {
    unsigned char *to = rows;
    for (int32_t i = 0; i < dev->n; to += dev->members[i++].row_bytes) {
        const member *m = &dev->members[i];
        PN_TRY(m->part->backend->read_page(m->device, page, n_positions, dev->rows, err));
        for (size_t p = 0; p < (size_t)n_positions; p++)
            memcpy(to + p * dev->row_bytes, dev->rows + p * m->row_bytes, m->row_bytes);
    }
    return PUNA_OK;
}

static puna_status parts_write_page(pn_device *dev, int32_t page, int32_t n_positions,
                                    const void *rows, puna_error *err) {
    const unsigned char *from = rows;
    for (int32_t i = 0; i < dev->n; from += dev->members[i++].row_bytes) {
        const member *m = &dev->members[i];
        for (size_t p = 0; p < (size_t)n_positions; p++)
            memcpy(dev->rows + p * m->row_bytes, from + p * dev->row_bytes, m->row_bytes);
        PN_TRY(m->part->backend->write_page(m->device, page, n_positions, dev->rows, err));
    }
    return PUNA_OK;
}

/* Several devices as one; it is opened by pn_parts_open, and its bytes are those of its parts. */
static const pn_backend backend_of_parts = {
    .name = "parts",
    .close = parts_close,
    .run = parts_run,
    .copy_page = parts_copy_page,
    .read_page = parts_read_page,
    .write_page = parts_write_page,
};

puna_status pn_parts_open(const pn_parts *parts, const pn_device_config *config,
                          const pn_backend **backend, pn_device **device, puna_error *err) {
    if (parts->n == 1) {
        const pn_part *only = &parts->list[0];
        const pn_device_config own = pn_part_config(only, config);
        *backend = only->backend;
        return only->backend->open(only->plan, &own, device, err);
    }
    pn_device *dev = pn_calloc(1, sizeof *dev);
    if (!dev) return pn_fail_nomem(err, sizeof *dev, "the devices");
    dev->parts = parts;
    const puna_status status = open_members(dev, config, err);
    if (status != PUNA_OK) {
        parts_close(dev);
        return status;
    }
    *backend = &backend_of_parts;
    *device = dev;
    return PUNA_OK;
}
