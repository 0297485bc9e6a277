/* upload.c: weights from the mapped file to the card: repacked row by row into two pinned buffers in turn, so
 * that one is filled while the other is copied. */
#include "cuda/cuda_device.h"

#include "base/mem.h"

#include <string.h>

enum { N_BUFFERS = 2 };
#define BUFFER_BYTES ((size_t)4 << 20)

typedef struct ring {
    pn_device *dev;
    unsigned char *memory[N_BUFFERS];
    void *copied[N_BUFFERS]; /* events */
    bool under_way[N_BUFFERS];
    size_t bytes;
    int32_t turn;
} ring;

static void close_ring(ring *r) {
    const pn_cuda_driver *d = &r->dev->driver;
    (void)d->stream_wait(r->dev->stream); /* no copy may still read what is freed */
    for (int32_t i = 0; i < N_BUFFERS; i++) {
        if (r->copied[i]) (void)d->event_destroy(r->copied[i]);
        if (r->memory[i]) (void)d->host_free(r->memory[i]);
    }
}

static puna_status open_ring(ring *r, puna_error *err) {
    const pn_cuda_driver *d = &r->dev->driver;
    for (int32_t i = 0; i < N_BUFFERS; i++) {
        void *memory = NULL;
        if (d->host_alloc(&memory, r->bytes, 0) != 0)
            return pn_fail_nomem(err, r->bytes, "a buffer that the card copies from");
        r->memory[i] = memory;
        PN_TRY(pn_cuda_check(d, d->event_create(&r->copied[i], 2 /* no timing */),
                             "opening the card", err));
    }
    return PUNA_OK;
}

/* The buffer to fill next, when its last copy is done. */
static puna_status next_buffer(ring *r, unsigned char **buffer, puna_error *err) {
    const pn_cuda_driver *d = &r->dev->driver;
    r->turn = (r->turn + 1) % N_BUFFERS;
    *buffer = r->memory[r->turn];
    if (!r->under_way[r->turn]) return PUNA_OK;
    r->under_way[r->turn] = false;
    return pn_cuda_check(d, d->event_wait(r->copied[r->turn]), "copying weights to the card", err);
}

static puna_status send(ring *r, uint64_t to, size_t bytes, puna_error *err) {
    const pn_cuda_driver *d = &r->dev->driver;
    int result = d->copy_in(to, r->memory[r->turn], bytes, r->dev->stream);
    if (result == 0) result = d->event_record(r->copied[r->turn], r->dev->stream);
    r->under_way[r->turn] = true;
    return pn_cuda_check(d, result, "copying weights to the card", err);
}

static puna_status send_weight(ring *r, const pn_cuda_weight *weight, puna_error *err) {
    const pn_weight *w = weight->w;
    const size_t n_rows = (size_t)w->n_out * (size_t)(w->n_expert > 0 ? w->n_expert : 1);
    const size_t row_bytes = weight->row_bytes, per_buffer = r->bytes / row_bytes;
    const unsigned char *rows = w->data;
    for (size_t first = 0; first < n_rows; first += per_buffer) {
        const size_t n = n_rows - first < per_buffer ? n_rows - first : per_buffer;
        unsigned char *buffer;
        PN_TRY(next_buffer(r, &buffer, err));
        for (size_t i = 0; i < n; i++)
            pn_cuda_repack_row(weight->format, rows + (first + i) * w->row_bytes, (int32_t)w->n_in,
                               buffer + i * row_bytes);
        PN_TRY(send(r, weight->address + first * row_bytes, n * row_bytes, err));
    }
    return PUNA_OK;
}

/* n floats that the plan has decoded. */
static puna_status send_vector(ring *r, const float *vector, size_t n, uint64_t to,
                               puna_error *err) {
    const size_t per_buffer = r->bytes / sizeof(float);
    for (size_t first = 0; vector && first < n; first += per_buffer) {
        const size_t m = n - first < per_buffer ? n - first : per_buffer;
        unsigned char *buffer;
        PN_TRY(next_buffer(r, &buffer, err));
        memcpy(buffer, vector + first, m * sizeof(float));
        PN_TRY(send(r, to + first * sizeof(float), m * sizeof(float), err));
    }
    return PUNA_OK;
}

static puna_status send_all(ring *r, puna_error *err) {
    const pn_device *dev = r->dev;
    PN_TRY(open_ring(r, err));
    for (int32_t i = 0; i < dev->plan->n_weights; i++)
        if (dev->weights[i].address) PN_TRY(send_weight(r, &dev->weights[i], err));
    for (int32_t i = 0; i < dev->plan->n_ops; i++) {
        const pn_op *op = &dev->plan->ops[i];
        PN_TRY(send_vector(r, op->norm, (size_t)op->head_dim, dev->ops[i].norm, err));
        for (int32_t k = 0; k < op->n_weights; k++)
            PN_TRY(send_vector(r, op->bias[k], (size_t)op->w[k]->n_out, dev->ops[i].bias[k], err));
    }
    return pn_cuda_check(&dev->driver, dev->driver.stream_wait(dev->stream),
                         "copying weights to the card", err);
}

puna_status pn_cuda_upload(pn_device *dev, puna_error *err) {
    ring r = {.dev = dev, .bytes = BUFFER_BYTES};
    for (int32_t i = 0; i < dev->plan->n_weights; i++)
        if (dev->weights[i].row_bytes > r.bytes) r.bytes = dev->weights[i].row_bytes;
    const puna_status status = send_all(&r, err);
    close_ring(&r);
    return status;
}
