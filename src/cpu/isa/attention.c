/* attention.c: softmax(scale q k) v over KV pages, a page of 64 positions at a time (online
 * softmax: Milakov and Gimelshein 2018; FlashAttention, Dao et al. 2022).
 *
 * The bits of a row depend on its query, its position and the visible keys and values, on nothing
 * else:
 *   - within a chunk of 256 absolute positions, pages follow in order; each updates the running
 * maximum m, the sum of weights l and the weighted values acc[d]; pages without a visible position
 * are skipped;
 *   - every chunk starts from nothing, and the chunks of a row are merged in ascending order by
 * merge_chunk;
 *   - scores and weighted values are one chain of fused multiply-adds each (attention_tile.h), and
 * positions a query cannot see take no part: their weight is 0 and their values are not touched. So
 * work may be cut freely: a few rows over a long context are cut into chunks and merged in a second
 * phase; many rows are cut into groups of rows of one sequence, which share the conversion of pages
 * to float32.
 *
 * Scores that are NaN or infinite make the row NaN. */
#include "cpu/isa/attention_kv.h"
#include "cpu/isa/attention_tile.h"
#include "base/mem.h"
#include "cpu/isa/isa_fns.h"

#include <math.h>
#include <string.h>

enum {
    MAX_QUERIES = 32,  /* of one unit: rows times query heads of one KV head */
    ACC_FLOATS = 8192, /* of one unit */
    MAX_GROUP_ROWS = 32,
    CHUNK_PAGES = 4,
    CHUNK = CHUNK_PAGES * BLOCK,
    SPLIT_ROWS = 4, /* batches of more rows are never cut into chunks: scratch stays small */
    SPLIT_UNITS_PER_THREAD = 8,
    HEADER = 16, /* floats before acc in a partial result: m, l, padding to a cache line */
};

/* ---- how a job is cut into units
 * -------------------------------------------------------------------------- */

typedef struct cut {
    int32_t dim_padded; /* head_dim in multiples of 16 */
    int32_t heads_per_kv;
    int32_t heads_per_block, n_blocks; /* query heads of a KV head are taken in blocks */
    int32_t rows_per_group;
    int32_t n_groups; /* groups of rows of one sequence */
    int32_t n_chunks; /* split: chunks of the longest context; else 1 */
    bool split;
} cut;

static int32_t min_i32(int32_t a, int32_t b) {
    return a < b ? a : b;
}

static int32_t max_i32(int32_t a, int32_t b) {
    return a > b ? a : b;
}

/* The rows of group `group`: [*first, return value). Groups end where the sequence changes or when
 * full. With group < 0 the number of groups is written to *first. */
static int32_t find_group(const pn_batch *batch, int32_t rows_per_group, int32_t group,
                          int32_t *first) {
    int32_t n_groups = 0, row = 0;
    while (row < batch->n_rows) {
        int32_t end = row + 1;
        while (end < batch->n_rows && end - row < rows_per_group &&
               batch->seqs[end] == batch->seqs[row])
            end++;
        if (n_groups == group) {
            *first = row;
            return end;
        }
        n_groups++;
        row = end;
    }
    *first = n_groups;
    return row;
}

static cut cut_job(const pn_attn_job *job, int32_t n_threads) {
    const pn_attention *attn = job->attn;
    const pn_batch *batch = job->batch;
    cut c = {.dim_padded = (attn->head_dim + PN_LANES - 1) / PN_LANES * PN_LANES,
             .heads_per_kv = attn->n_head / attn->n_head_kv,
             .n_chunks = 1};
    const int32_t max_queries = min_i32(MAX_QUERIES, ACC_FLOATS / c.dim_padded);
    c.n_blocks = (c.heads_per_kv + max_queries - 1) / max_queries;
    c.heads_per_block = (c.heads_per_kv + c.n_blocks - 1) / c.n_blocks;
    c.rows_per_group = min_i32(max_queries / c.heads_per_block, MAX_GROUP_ROWS);
    const int32_t n_heads = attn->n_head_kv * c.n_blocks;
    if (batch->n_rows <= SPLIT_ROWS &&
        batch->n_rows * n_heads < SPLIT_UNITS_PER_THREAD * n_threads) {
        for (int32_t r = 0; r < batch->n_rows; r++)
            c.n_chunks = max_i32(c.n_chunks, batch->positions[r] / CHUNK + 1);
        c.split = c.n_chunks > 1;
    }
    if (c.split) c.rows_per_group = 1;
    find_group(batch, c.rows_per_group, -1, &c.n_groups);
    return c;
}

size_t PN_ISA_FN(pn_attn_scratch_bytes)(const pn_attention *attn, int32_t n_rows, int32_t n_ctx) {
    const size_t dim_padded = pn_round_up((size_t)attn->head_dim, PN_LANES);
    const size_t n_chunks = ((size_t)n_ctx + CHUNK - 1) / CHUNK;
    const size_t n_partials = (size_t)min_i32(n_rows, SPLIT_ROWS) * (size_t)attn->n_head * n_chunks;
    return n_partials * (HEADER + dim_padded) * sizeof(float);
}

/* Where the partial result of (row, head, chunk) lies in the scratch. */
static float *partial_at(const pn_attn_job *job, const cut *c, int32_t row, int32_t head,
                         int32_t chunk) {
    const size_t index =
        ((size_t)row * (size_t)job->attn->n_head + (size_t)head) * (size_t)c->n_chunks +
        (size_t)chunk;
    return job->scratch + index * (size_t)(HEADER + c->dim_padded);
}

static float *out_of(const pn_attn_job *job, int32_t row, int32_t head) {
    const size_t index = (size_t)row * (size_t)job->attn->n_head + (size_t)head;
    return job->out + index * (size_t)job->attn->head_dim;
}

/* ---- the queries of one unit
 * ------------------------------------------------------------------------------ */

/* Query i is row first_row + i / n_heads, head first_head + i % n_heads. Rows ascend in position,
 * so the queries that see some span of positions are neighbours. */
typedef struct query_block {
    const pn_attn_job *job;
    int32_t first_row, n_rows, first_head, n_heads, head_kv, dim_padded;
    const float *q[MAX_QUERIES];
    float *scores[MAX_QUERIES]; /* [64]; then weights */
    float *acc[MAX_QUERIES];    /* [dim_padded] of the chunk */
    float m[MAX_QUERIES], l[MAX_QUERIES];
    float all_m[MAX_QUERIES],
        all_l[MAX_QUERIES]; /* of the chunks so far, whose acc is the output row */
    bool merged[MAX_QUERIES];
    _Alignas(64) float score_data[MAX_QUERIES * BLOCK];
    _Alignas(64) float acc_data[ACC_FLOATS];
    _Alignas(64) float block[BLOCK * BLOCK]; /* keys or values as float32 */
} query_block;

typedef struct span {
    int32_t begin, end; /* empty when begin >= end */
} span;

/* Positions in [base, base + n) that the row sees, relative to base. */
static span visible_span(const query_block *qb, int32_t row, int32_t base, int32_t n) {
    const int32_t position = qb->job->batch->positions[qb->first_row + row];
    const int32_t window = qb->job->attn->window;
    const int32_t begin = window > 0 ? max_i32(0, position - window + 1 - base) : 0;
    return (span){begin, min_i32(n, position + 1 - base)};
}

/* Queries that see any of the positions [base, base + n). */
static span seeing_queries(const query_block *qb, int32_t base, int32_t n) {
    span rows = {0, qb->n_rows};
    while (rows.begin < rows.end) {
        const span s = visible_span(qb, rows.begin, base, n);
        if (s.begin < s.end) break;
        rows.begin++;
    }
    while (rows.begin < rows.end) {
        const span s = visible_span(qb, rows.end - 1, base, n);
        if (s.begin < s.end) break;
        rows.end--;
    }
    return (span){rows.begin * qb->n_heads, rows.end * qb->n_heads};
}

static void init_queries(query_block *qb, const pn_attn_job *job, const cut *c, int32_t first_row,
                         int32_t end_row, int32_t head_kv, int32_t block) {
    qb->job = job;
    qb->first_row = first_row;
    qb->n_rows = end_row - first_row;
    qb->head_kv = head_kv;
    const int32_t head_in_kv = block * c->heads_per_block;
    qb->first_head = head_kv * c->heads_per_kv + head_in_kv;
    qb->n_heads = min_i32(c->heads_per_block, c->heads_per_kv - head_in_kv);
    qb->dim_padded = c->dim_padded;
    for (int32_t i = 0; i < qb->n_rows * qb->n_heads; i++) {
        const float *out =
            out_of(job, first_row + i / qb->n_heads, qb->first_head + i % qb->n_heads);
        qb->q[i] = job->q + (out - job->out);
        qb->scores[i] = qb->score_data + (size_t)i * BLOCK;
        qb->acc[i] = qb->acc_data + (size_t)i * (size_t)c->dim_padded;
        qb->merged[i] = false;
    }
}

/* ---- one page
 * ---------------------------------------------------------------------------------------------- */

/* Few queries read float16 where it lies; many share one conversion per block of 64 by 64. */
static bool reads_in_place(const pn_kv_view *kv, span queries) {
    if (kv->type == PN_KV_F32) return true;
    return kv->type == PN_KV_F16 && queries.end - queries.begin <= 2 * TILE_ROWS;
}

static void score_page(query_block *qb, const pn_kv_view *kv, span queries) {
    const bool in_place = reads_in_place(kv, queries);
    memset(qb->scores[queries.begin], 0,
           (size_t)(queries.end - queries.begin) * BLOCK * sizeof(float));
    const tile_matrix keys = {kv->keys, BLOCK, kv->type == PN_KV_F16, kv->values};
    const tile_matrix converted = {qb->block, BLOCK, false, NULL};
    const int32_t step = in_place ? kv->head_dim : BLOCK;
    for (int32_t d = 0; d < kv->head_dim; d += step) {
        const int32_t n = min_i32(step, kv->head_dim - d);
        if (!in_place) load_keys(kv, d, n, qb->block);
        for (int32_t i = queries.begin; i < queries.end; i += TILE_ROWS) {
            const int32_t n_rows = min_i32(TILE_ROWS, queries.end - i);
            const float *q[TILE_ROWS];
            for (int32_t r = 0; r < n_rows; r++) q[r] = qb->q[i + r] + d;
            multiply(in_place ? &keys : &converted, BLOCK, n, n_rows, q, qb->scores + i);
        }
    }
}

/* e^x for x <= 0 or NaN, within 2 units of the last place; exactly 0 below -88 (pn_vf_scale2 takes
 * 2^-127 for 0), so that no weight is subnormal. x = n ln 2 + r; the polynomial is the minimax fit
 * of e^r that keeps the coefficients 1 and 1. */
PN_INLINE pn_vf exp_weight(pn_vf x) {
    const pn_vf one = pn_vf_set1(1.0f), magic = pn_vf_set1(0x1.8p23f);
    x = pn_vf_max(pn_vf_set1(-88.03f), x); /* NaN passes */
    const pn_vf n = pn_vf_sub(pn_vf_fma(x, pn_vf_set1(0x1.715476p+0f), magic), magic);
    pn_vf r = pn_vf_fma(n, pn_vf_set1(-0x1.62e4p-1f), x); /* high bits of ln 2: exact */
    r = pn_vf_fma(n, pn_vf_set1(-0x1.7f7d1cp-20f), r);
    pn_vf p = pn_vf_set1(0x1.6a2434p-10f);
    p = pn_vf_fma(p, r, pn_vf_set1(0x1.1239e4p-7f));
    p = pn_vf_fma(p, r, pn_vf_set1(0x1.5558f2p-5f));
    p = pn_vf_fma(p, r, pn_vf_set1(0x1.555492p-3f));
    p = pn_vf_fma(p, r, pn_vf_set1(0x1.fffffcp-2f));
    p = pn_vf_fma(p, r, one);
    return pn_vf_scale2(pn_vf_fma(p, r, one), n);
}

/* Scores to weights of one query: m, l and acc move to the new maximum. Lane sums end in a fixed
 * tree. */
static void weigh_page(query_block *qb, int32_t i, span s) {
    const pn_attention *attn = qb->job->attn;
    float *scores = qb->scores[i];
    const pn_vf caps = pn_vf_set1(attn->softcap);
    pn_vf x[BLOCK / PN_LANES];
    for (int v = 0; v < BLOCK / PN_LANES; v++) {
        x[v] = pn_vf_mul(pn_vf_load(scores + PN_LANES * v), pn_vf_set1(attn->scale));
        if (attn->softcap > 0.0f) x[v] = pn_vf_mul(caps, pn_vf_tanh(pn_vf_div(x[v], caps)));
    }
    if (s.begin > 0 || s.end < BLOCK) {
        for (int v = 0; v < BLOCK / PN_LANES; v++) pn_vf_store(scores + PN_LANES * v, x[v]);
        for (int32_t j = 0; j < s.begin; j++) scores[j] = -INFINITY;
        for (int32_t j = s.end; j < BLOCK; j++) scores[j] = -INFINITY;
        for (int v = 0; v < BLOCK / PN_LANES; v++) x[v] = pn_vf_load(scores + PN_LANES * v);
    }
    const float page_max = pn_vf_max_lanes(pn_vf_max(pn_vf_max(x[0], x[1]), pn_vf_max(x[2], x[3])));
    const float old = qb->m[i], m = old > page_max ? old : page_max;
    for (int v = 0; v < BLOCK / PN_LANES; v++) {
        x[v] = exp_weight(pn_vf_sub(x[v], pn_vf_set1(m)));
        pn_vf_store(scores + PN_LANES * v, x[v]);
    }
    const float sum = pn_vf_sum(pn_vf_add(pn_vf_add(x[0], x[1]), pn_vf_add(x[2], x[3])));
    if (m != old) { /* otherwise the factor is exactly 1 */
        const pn_vf factor = exp_weight(pn_vf_set1(old - m));
        for (int32_t d = 0; d < qb->dim_padded; d += PN_LANES)
            pn_vf_store(qb->acc[i] + d, pn_vf_mul(pn_vf_load(qb->acc[i] + d), factor));
        float factors[PN_LANES];
        pn_vf_store(factors, factor);
        qb->l[i] *= factors[0];
        qb->m[i] = m;
    }
    qb->l[i] += sum;
}

/* acc += weights * values for up to TILE_ROWS queries from i, columns [d, d + n) of the values.
 * What all of them see goes together; before and after it each takes its own positions, in
 * ascending order. */
static void add_values(query_block *qb, const tile_matrix *values, const span *spans, int32_t i,
                       int32_t n_rows, int32_t d, int32_t n) {
    span common = {0, BLOCK};
    for (int32_t r = 0; r < n_rows; r++) {
        common.begin = max_i32(common.begin, spans[r].begin);
        common.end = min_i32(common.end, spans[r].end);
    }
    if (common.begin > common.end) common.begin = common.end = spans[0].end;
    const float *weights[TILE_ROWS];
    float *acc[TILE_ROWS];
    for (int32_t r = 0; r < n_rows; r++) {
        weights[r] = qb->scores[i + r] + common.begin;
        acc[r] = qb->acc[i + r] + d;
        const int32_t begin = spans[r].begin, end = min_i32(common.begin, spans[r].end);
        if (begin >= end) continue;
        const tile_matrix rows = tile_matrix_from(values, begin);
        const float *w = qb->scores[i + r] + begin;
        multiply(&rows, n, end - begin, 1, &w, acc + r);
    }
    const tile_matrix rows = tile_matrix_from(values, common.begin);
    if (common.begin < common.end)
        multiply(&rows, n, common.end - common.begin, n_rows, weights, acc);
    for (int32_t r = 0; r < n_rows; r++) {
        const int32_t begin = max_i32(common.end, spans[r].begin), end = spans[r].end;
        if (begin >= end) continue;
        const tile_matrix after = tile_matrix_from(values, begin);
        const float *w = qb->scores[i + r] + begin;
        multiply(&after, n, end - begin, 1, &w, acc + r);
    }
}

/* ahead: the keys of the next page. */
static void add_page(query_block *qb, const pn_kv_view *kv, const unsigned char *ahead,
                     span queries, const span *spans) {
    const bool in_place = reads_in_place(kv, queries) && kv->head_dim % PN_LANES == 0;
    const int32_t step = in_place ? kv->head_dim : BLOCK;
    const int32_t last = queries.end - 1;
    for (int32_t d = 0; d < kv->head_dim; d += step) {
        const int32_t n = min_i32(step, kv->head_dim - d);
        const int32_t n_columns = (n + PN_LANES - 1) / PN_LANES * PN_LANES;
        tile_matrix values = {kv->values, (size_t)kv->head_dim, kv->type == PN_KV_F16, ahead};
        if (!in_place) {
            load_values(kv, d, n, spans[queries.begin].begin, spans[last].end, qb->block);
            values = (tile_matrix){qb->block, BLOCK, false, NULL};
        }
        for (int32_t i = queries.begin; i < queries.end; i += TILE_ROWS)
            add_values(qb, &values, spans + i, i, min_i32(TILE_ROWS, queries.end - i), d,
                       n_columns);
    }
}

static void attend_page(query_block *qb, int32_t page_index) {
    const int32_t base = page_index * BLOCK;
    const span queries = seeing_queries(qb, base, BLOCK);
    if (queries.begin >= queries.end) return;
    const pn_batch *batch = qb->job->batch;
    const int32_t *pages = batch->pages[batch->seqs[qb->first_row]];
    const bool is_last = batch->positions[qb->first_row + qb->n_rows - 1] < base + BLOCK;
    const pn_kv_view kv = kv_view_of(qb->job, pages[page_index], qb->head_kv);
    const pn_kv_view next =
        kv_view_of(qb->job, pages[is_last ? page_index : page_index + 1], qb->head_kv);
    score_page(qb, &kv, queries);
    span spans[MAX_QUERIES];
    for (int32_t i = queries.begin; i < queries.end; i++) {
        spans[i] = visible_span(qb, i / qb->n_heads, base, BLOCK);
        weigh_page(qb, i, spans[i]);
    }
    add_page(qb, &kv, next.keys, queries, spans);
}

/* ---- chunks
 * ------------------------------------------------------------------------------------------------
 */

/* Returns the queries that saw anything; their m, l and acc are those of the chunk. */
static span attend_chunk(query_block *qb, int32_t chunk) {
    const span queries = seeing_queries(qb, chunk * CHUNK, CHUNK);
    for (int32_t i = queries.begin; i < queries.end; i++) {
        qb->m[i] = -INFINITY;
        qb->l[i] = 0.0f;
        memset(qb->acc[i], 0, (size_t)qb->dim_padded * sizeof(float));
    }
    if (queries.begin < queries.end)
        for (int32_t p = 0; p < CHUNK_PAGES; p++) attend_page(qb, chunk * CHUNK_PAGES + p);
    return queries;
}

static float exp_scalar(float x) {
    float lanes[PN_LANES];
    pn_vf_store(lanes, exp_weight(pn_vf_set1(x)));
    return lanes[0];
}

/* The chunks of a row so far (m, l, out) with the next one. The only way chunks are ever joined. */
static void merge_chunk(float *m, float *l, float *out, float chunk_m, float chunk_l,
                        const float *acc, int32_t head_dim) {
    const float max = *m > chunk_m ? *m : chunk_m;
    const float before = exp_scalar(*m - max), next = exp_scalar(chunk_m - max);
    *m = max;
    *l = fmaf(*l, before, chunk_l * next);
    for (int32_t d = 0; d < head_dim; d++) out[d] = fmaf(out[d], before, acc[d] * next);
}

static void finish_row(float *out, float l, int32_t head_dim) {
    for (int32_t d = 0; d < head_dim; d++) out[d] /= l;
}

static void merge_queries(query_block *qb, span queries) {
    const int32_t head_dim = qb->job->attn->head_dim;
    for (int32_t i = queries.begin; i < queries.end; i++) {
        float *out = qb->job->out + (qb->q[i] - qb->job->q);
        if (qb->merged[i]) {
            merge_chunk(&qb->all_m[i], &qb->all_l[i], out, qb->m[i], qb->l[i], qb->acc[i],
                        head_dim);
            continue;
        }
        qb->merged[i] = true;
        qb->all_m[i] = qb->m[i];
        qb->all_l[i] = qb->l[i];
        memcpy(out, qb->acc[i], (size_t)head_dim * sizeof(float));
    }
}

static void attend_all_chunks(query_block *qb) {
    const int32_t n_queries = qb->n_rows * qb->n_heads;
    const int32_t *positions = qb->job->batch->positions + qb->first_row;
    const int32_t window = qb->job->attn->window;
    const int32_t first = window > 0 ? max_i32(0, positions[0] - window + 1) / CHUNK : 0;
    for (int32_t chunk = first; chunk <= positions[qb->n_rows - 1] / CHUNK; chunk++)
        merge_queries(qb, attend_chunk(qb, chunk));
    for (int32_t i = 0; i < n_queries; i++)
        finish_row(qb->job->out + (qb->q[i] - qb->job->q), qb->all_l[i], qb->job->attn->head_dim);
}

static void store_partials(query_block *qb, const cut *c, int32_t chunk, span queries) {
    for (int32_t i = queries.begin; i < queries.end; i++) {
        const int32_t row = qb->first_row + i / qb->n_heads,
                      head = qb->first_head + i % qb->n_heads;
        float *partial = partial_at(qb->job, c, row, head, chunk);
        partial[0] = qb->m[i];
        partial[1] = qb->l[i];
        memcpy(partial + HEADER, qb->acc[i], (size_t)c->dim_padded * sizeof(float));
    }
}

/* ---- units
 * -------------------------------------------------------------------------------------------------
 */

int32_t PN_ISA_FN(pn_attn_units)(const pn_attn_job *job, int32_t n_threads) {
    const cut c = cut_job(job, n_threads);
    return c.n_groups * job->attn->n_head_kv * c.n_blocks * c.n_chunks;
}

/* Unit = ((group from the last, KV head, block of heads), chunk): late rows have the most to do and
 * go first. */
void PN_ISA_FN(pn_attn)(const pn_attn_job *job, int32_t n_threads, int32_t unit) {
    const cut c = cut_job(job, n_threads);
    const int32_t chunk = unit % c.n_chunks;
    unit /= c.n_chunks;
    const int32_t block = unit % c.n_blocks;
    unit /= c.n_blocks;
    const int32_t head_kv = unit % job->attn->n_head_kv;
    const int32_t group = c.n_groups - 1 - unit / job->attn->n_head_kv;
    int32_t first_row = 0;
    const int32_t end_row = find_group(job->batch, c.rows_per_group, group, &first_row);
    query_block qb;
    init_queries(&qb, job, &c, first_row, end_row, head_kv, block);
    if (c.split)
        store_partials(&qb, &c, chunk, attend_chunk(&qb, chunk));
    else
        attend_all_chunks(&qb);
}

int32_t PN_ISA_FN(pn_attn_merge_units)(const pn_attn_job *job, int32_t n_threads) {
    return cut_job(job, n_threads).split ? job->batch->n_rows * job->attn->n_head : 0;
}

void PN_ISA_FN(pn_attn_merge)(const pn_attn_job *job, int32_t n_threads, int32_t unit) {
    const cut c = cut_job(job, n_threads);
    const int32_t row = unit / job->attn->n_head, head = unit % job->attn->n_head;
    const int32_t position = job->batch->positions[row], window = job->attn->window;
    const int32_t head_dim = job->attn->head_dim;
    const int32_t first = window > 0 ? max_i32(0, position - window + 1) / CHUNK : 0;
    float *out = out_of(job, row, head);
    const float *partial = partial_at(job, &c, row, head, first);
    float m = partial[0], l = partial[1];
    memcpy(out, partial + HEADER, (size_t)head_dim * sizeof(float));
    for (int32_t chunk = first + 1; chunk <= position / CHUNK; chunk++) {
        partial = partial_at(job, &c, row, head, chunk);
        merge_chunk(&m, &l, out, partial[0], partial[1], partial + HEADER, head_dim);
    }
    finish_row(out, l, head_dim);
}
