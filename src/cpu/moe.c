/* moe.c: mixture of experts (Shazeer et al. 2017; as in Mixtral): a router scores the experts for
 * each row, the best n_used are computed, and their outputs are summed by weight.
 *
 * Rows are gathered by expert, so an expert's matrices are read once per batch. Experts run in
 * ascending order and each adds to its rows, so a row's sum has the same order in every batch. */
#include "cpu/device.h"

#include <string.h>

/* Buffers of one MOE operation, carved out of the device's moe block; all sized for n_batch rows.
 */
typedef struct routing {
    float *scores;      /* [n_rows][n_expert] */
    int32_t *chosen;    /* [n_rows][n_used] */
    float *weights;     /* [n_rows][n_used] */
    int32_t *first;     /* [n_expert + 1] into rows */
    int32_t *rows;      /* [n_rows * n_used] rows by expert, ascending */
    float *row_weights; /* the weight of each entry of rows */
    float *gate, *up;   /* [n_rows][n_ff] */
    float *down;        /* [n_rows][n_embd] */
} routing;

/* Lays the buffers out from base (NULL to measure) and returns the bytes. */
static size_t carve(routing *r, unsigned char *base, const pn_op *op, int32_t n_batch) {
    const size_t n = (size_t)n_batch, used = (size_t)op->moe.n_used,
                 experts = (size_t)op->moe.n_expert;
    const size_t ff = (size_t)op->moe.n_ff, embd = (size_t)op->w[0]->n_in;
    size_t at = 0;
    const size_t sizes[] = {n * experts, n * used, n * used, experts + 1, n * used,
                            n * used,    n * ff,   n * ff,   n * embd};
    void *parts[9];
    for (size_t i = 0; i < 9; i++) {
        parts[i] = base ? base + at : NULL;
        at += pn_round_up(sizes[i] * 4, 64);
    }
    *r = (routing){parts[0], parts[1], parts[2], parts[3], parts[4],
                   parts[5], parts[6], parts[7], parts[8]};
    return at;
}

size_t pn_cpu_moe_bytes(const pn_plan *plan, int32_t n_batch) {
    size_t most = 0;
    for (int32_t i = 0; i < plan->n_ops; i++) {
        if (plan->ops[i].kind != PN_OP_MOE) continue;
        routing r;
        const size_t bytes = carve(&r, NULL, &plan->ops[i], n_batch);
        if (bytes > most) most = bytes;
    }
    return most;
}

/* Softmax over all experts, then the n_used largest (ties: lower index), renormalised and scaled.
 */
static void choose(const pn_kernels *k, const pn_moe *moe, float *scores, int32_t *chosen,
                   float *weights) {
    k->softmax(scores, moe->n_expert);
    float sum = 0.0f;
    for (int32_t u = 0; u < moe->n_used; u++) {
        int32_t best = -1;
        for (int32_t e = 0; e < moe->n_expert; e++) {
            bool taken = false;
            for (int32_t t = 0; t < u; t++) taken = taken || chosen[t] == e;
            if (!taken && (best < 0 || scores[e] > scores[best])) best = e;
        }
        chosen[u] = best;
        weights[u] = scores[best];
        sum += scores[best];
    }
    for (int32_t u = 0; u < moe->n_used; u++) {
        if (moe->norm_weights) weights[u] /= sum;
        weights[u] *= moe->weight_scale;
    }
}

/* Counting sort of (row, choice) pairs by expert; rows stay ascending. */
static void group_rows(const pn_moe *moe, int32_t n_rows, const routing *r) {
    memset(r->first, 0, ((size_t)moe->n_expert + 1) * sizeof(int32_t));
    for (int32_t i = 0; i < n_rows * moe->n_used; i++) r->first[r->chosen[i] + 1]++;
    for (int32_t e = 0; e < moe->n_expert; e++) r->first[e + 1] += r->first[e];
    for (int32_t i = 0; i < n_rows * moe->n_used; i++) {
        const int32_t at = r->first[r->chosen[i]]++;
        r->rows[at] = i / moe->n_used;
        r->row_weights[at] = r->weights[i];
    }
    for (int32_t e = moe->n_expert; e > 0; e--) r->first[e] = r->first[e - 1];
    r->first[0] = 0;
}

static void run_expert(const pn_walk *walk, const pn_op *op, const routing *r, int32_t expert) {
    const pn_device *dev = walk->dev;
    const int32_t *rows = r->rows + r->first[expert];
    const float *weights = r->row_weights + r->first[expert];
    const int32_t n = r->first[expert + 1] - r->first[expert], n_ff = op->moe.n_ff;
    const int32_t n_embd = pn_cpu_width(dev, op->in[0]);
    const pn_matmul in[2] = {{op->w[0], expert, NULL, r->gate, (size_t)n_ff},
                             {op->w[1], expert, NULL, r->up, (size_t)n_ff}};
    pn_cpu_matmul(walk, pn_cpu_value(dev, op->in[0]), (size_t)n_embd, rows, n, n_embd, in, 2);
    pn_cpu_glu(walk, op->moe.act, r->gate, r->up, r->gate, (size_t)n * (size_t)n_ff);
    const pn_matmul out = {op->w[2], expert, NULL, r->down, (size_t)n_embd};
    pn_cpu_matmul(walk, r->gate, (size_t)n_ff, NULL, n, n_ff, &out, 1);
    for (int32_t i; (i = pn_team_claim(dev->team, n)) >= 0;)
        dev->kernels->axpy(pn_cpu_value(dev, op->out[0]) + (size_t)rows[i] * (size_t)n_embd,
                           r->down + (size_t)i * (size_t)n_embd, weights[i], n_embd);
    pn_team_barrier(dev->team);
}

void pn_cpu_moe(const pn_walk *walk, const pn_op *op) {
    const pn_device *dev = walk->dev;
    const pn_moe *moe = &op->moe;
    const int32_t n_embd = pn_cpu_width(dev, op->in[0]);
    routing r;
    (void)carve(&r, dev->moe, op, dev->config.n_batch);
    const pn_matmul router = {op->router, 0, NULL, r.scores, (size_t)moe->n_expert};
    pn_cpu_matmul(walk, pn_cpu_value(dev, op->in[0]), (size_t)n_embd, NULL, walk->n_rows, n_embd,
                  &router, 1);
    for (int32_t row; (row = pn_team_claim(dev->team, walk->n_rows)) >= 0;) {
        const size_t at = (size_t)row * (size_t)moe->n_used;
        choose(dev->kernels, moe, r.scores + (size_t)row * (size_t)moe->n_expert, r.chosen + at,
               r.weights + at);
        memset(pn_cpu_value(dev, op->out[0]) + (size_t)row * (size_t)n_embd, 0,
               (size_t)n_embd * sizeof(float));
    }
    pn_team_barrier(dev->team);
    if (walk->thread == 0) group_rows(moe, walk->n_rows, &r);
    pn_team_barrier(dev->team);
    for (int32_t e = 0; e < moe->n_expert; e++)
        if (r.first[e + 1] > r.first[e]) run_expert(walk, op, &r, e);
}
