/* upload.c: weights from the mapped file to the card, through a ring of staging buffers: while one is copied the
 * threads of the engine repack rows into the next. The buffers are pinned memory, or pageable memory where the system
 * gives none, and then a buffer waits for its copy. What the ring takes is in the memory plan. */
#include "cuda/cuda_device.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/threads.h"

#include <string.h>

enum { N_BUFFERS = PN_CUDA_RING_BUFFERS };
#define BUFFER_BYTES ((size_t)8 << 20)
#define UNIT_BYTES   ((size_t)32 << 10) /* of rows that a thread repacks at a time */

typedef struct ring {
    pn_device *dev;
    pn_team *team;
    unsigned char *memory[N_BUFFERS];
    void *copied[N_BUFFERS]; /* events */
    bool under_way[N_BUFFERS];
    bool pinned;
    int32_t turn;
    uint64_t done_bytes;
} ring;

size_t pn_cuda_ring_bytes(size_t largest_bytes, size_t row_bytes) {
    const size_t bytes = largest_bytes < BUFFER_BYTES ? largest_bytes : BUFFER_BYTES;
    return pn_round_up(bytes > row_bytes ? bytes : row_bytes, 16);
}

static void close_ring(ring *r) {
    const pn_cuda_driver *d = &r->dev->driver;
    (void)d->stream_wait(r->dev->stream); /* no copy may still read what is freed */
    for (int32_t i = 0; i < N_BUFFERS; i++) {
        if (r->copied[i]) (void)d->event_destroy(r->copied[i]);
        if (r->memory[i] && r->pinned) (void)d->host_free(r->memory[i]);
        if (r->memory[i] && !r->pinned) pn_free(r->memory[i]);
    }
    pn_team_close(r->team);
}

/* Pinned memory for all buffers, or for none. */
static bool take_pinned(ring *r) {
    const pn_cuda_driver *d = &r->dev->driver;
    r->pinned = true;
    for (int32_t i = 0; i < N_BUFFERS; i++) {
        void *memory = NULL;
        if (d->host_alloc(&memory, r->dev->sizes.ring, 0) != 0) {
            for (int32_t k = 0; k < i; k++) {
                (void)d->host_free(r->memory[k]);
                r->memory[k] = NULL;
            }
            return r->pinned = false;
        }
        r->memory[i] = memory;
    }
    return true;
}

static puna_status open_ring(ring *r, puna_error *err) {
    const pn_cuda_driver *d = &r->dev->driver;
    const int32_t n_threads = r->dev->config.n_threads;
    PN_TRY(pn_team_open(n_threads > 0 ? n_threads : 1, &r->team, err));
    if (!take_pinned(r)) {
        pn_log(PUNA_LOG_INFO, "no pinned memory for the upload to the card: slower without");
        for (int32_t i = 0; i < N_BUFFERS; i++)
            if (!(r->memory[i] = pn_alloc(r->dev->sizes.ring)))
                return pn_fail_nomem(err, r->dev->sizes.ring, "a buffer that the card copies from");
    }
    for (int32_t i = 0; i < N_BUFFERS; i++)
        PN_TRY(pn_cuda_check(d, d->event_create(&r->copied[i], 2 /* no timing */),
                             "opening the card", err));
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

static puna_status report(ring *r, size_t bytes, puna_error *err) {
    const pn_device_config *c = &r->dev->config;
    const uint64_t all = r->dev->sizes.weights + r->dev->sizes.vectors;
    r->done_bytes += bytes;
    if (!c->progress || c->progress(c->progress_user, (double)r->done_bytes / (double)all))
        return PUNA_OK;
    return pn_fail(err, PUNA_E_CANCELLED, "stopped while weights were copied to the card");
}

static puna_status send(ring *r, uint64_t to, size_t bytes, puna_error *err) {
    const pn_cuda_driver *d = &r->dev->driver;
    int result;
    if (r->pinned) {
        result = d->copy_in(to, r->memory[r->turn], bytes, r->dev->stream);
        if (result == 0) result = d->event_record(r->copied[r->turn], r->dev->stream);
        r->under_way[r->turn] = true;
    } else {
        result = d->copy_in_now(to, r->memory[r->turn], bytes);
    }
    PN_TRY(pn_cuda_check(d, result, "copying weights to the card", err));
    return report(r, bytes, err);
}

/* Rows of one weight into one buffer, by all threads. */
typedef struct repacking {
    pn_team *team;
    const pn_cuda_weight *weight;
    const unsigned char *rows;
    unsigned char *out;
    size_t n_rows, unit_rows;
} repacking;

static void repack(void *ctx, int32_t thread, int32_t n_threads) {
    const repacking *p = ctx;
    const pn_cuda_weight *weight = p->weight;
    const int32_t n_units = (int32_t)((p->n_rows + p->unit_rows - 1) / p->unit_rows);
    (void)thread;
    (void)n_threads;
    for (int32_t unit; (unit = pn_team_claim(p->team, n_units)) >= 0;) {
        const size_t first = (size_t)unit * p->unit_rows, end = first + p->unit_rows;
        for (size_t i = first; i < end && i < p->n_rows; i++)
            pn_cuda_repack_row(weight->format, p->rows + i * weight->w->row_bytes,
                               (int32_t)weight->w->n_in, p->out + i * weight->row_bytes);
    }
}

static puna_status send_weight(ring *r, const pn_cuda_weight *weight, puna_error *err) {
    const pn_weight *w = weight->w;
    const size_t n_rows = (size_t)w->n_out * (size_t)(w->n_expert > 0 ? w->n_expert : 1);
    const size_t row_bytes = weight->row_bytes, per_buffer = r->dev->sizes.ring / row_bytes;
    const unsigned char *rows = w->data;
    repacking p = {.team = r->team, .weight = weight};
    p.unit_rows = row_bytes < UNIT_BYTES ? UNIT_BYTES / row_bytes : 1;
    for (size_t first = 0; first < n_rows; first += per_buffer) {
        p.n_rows = n_rows - first < per_buffer ? n_rows - first : per_buffer;
        p.rows = rows + first * w->row_bytes;
        PN_TRY(next_buffer(r, &p.out, err));
        pn_team_run(r->team, repack, &p);
        PN_TRY(send(r, weight->address + first * row_bytes, p.n_rows * row_bytes, err));
    }
    return PUNA_OK;
}

/* n floats that the plan has decoded. */
static puna_status send_vector(ring *r, const float *vector, size_t n, uint64_t to,
                               puna_error *err) {
    const size_t per_buffer = r->dev->sizes.ring / sizeof(float);
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
    if (dev->config.progress && r->done_bytes > 0 &&
        !dev->config.progress(dev->config.progress_user, 1.0))
        return pn_fail(err, PUNA_E_CANCELLED, "stopped while weights were copied to the card");
    if (!r->pinned) /* which may still be on their way from the driver's own buffers */
        PN_TRY(pn_cuda_check(&dev->driver, dev->driver.stream_wait(NULL),
                             "copying weights to the card", err));
    return pn_cuda_check(&dev->driver, dev->driver.stream_wait(dev->stream),
                         "copying weights to the card", err);
}

puna_status pn_cuda_upload(pn_device *dev, puna_error *err) {
    ring r = {.dev = dev};
    const puna_status status = send_all(&r, err);
    close_ring(&r);
    return status;
}
