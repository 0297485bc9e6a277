/* saved.c: a timeline as bytes, and back.
 *
 *   header   (struct header: magic, version, byte order, checksum of all that follows it, ...)
 *   tokens   int32 [n_tokens]
 *   logits   float32 [n_vocab], when has_logits
 *   KV rows  [n_computed][position_bytes], the layout of pn_backend.read_page
 *
 * Bytes to be loaded are hostile: sizes are checked against the buffer before anything is read, and
 * everything is checked before anything is changed. Values (keys, values, logits) may be anything:
 * the kernels and the sampler survive any. */
#include "run/engine.h"

#include "base/checksum.h"

#include <string.h>

#define MAGIC      "PUNA-SEQ"
#define VERSION    1u
#define BYTE_ORDER UINT32_C(0x01020304)

typedef struct header {
    char magic[8];
    uint32_t version;
    uint32_t byte_order;
    uint64_t checksum; /* of what comes after it */
    uint64_t model;    /* pn_plan_fingerprint */
    uint64_t position_bytes;
    int32_t kv_type;
    int32_t n_vocab;
    int32_t n_tokens;
    int32_t n_computed;
    int32_t has_logits;
    int32_t zero;
} header;

enum { CHECKED_FROM = offsetof(header, model) };
_Static_assert(sizeof(header) == 64, "no padding");

/* What a header promises, in bytes. Counts must not be negative; the sizes of an open engine do not
 * overflow, and no others get here. */
static size_t total_bytes(const header *h) {
    return sizeof *h + (size_t)h->n_tokens * sizeof(int32_t) +
           (h->has_logits ? (size_t)h->n_vocab * sizeof(float) : 0) +
           (size_t)h->n_computed * (size_t)h->position_bytes;
}

static header describe(const puna_seq *s) {
    const puna_engine *e = s->engine;
    return (header){.magic = MAGIC,
                    .version = VERSION,
                    .byte_order = BYTE_ORDER,
                    .model = pn_plan_fingerprint(e->plan),
                    .position_bytes = e->memory.kv_bytes_per_position,
                    .kv_type = (int32_t)e->options.kv_type,
                    .n_vocab = e->plan->n_vocab,
                    .n_tokens = s->n_tokens,
                    .n_computed = s->n_computed,
                    .has_logits = pn_seq_has_logits(s)};
}

static int32_t positions_of_page(const header *h, int32_t page) {
    const int32_t left = h->n_computed - page * PN_PAGE_POSITIONS;
    return left < PN_PAGE_POSITIONS ? left : PN_PAGE_POSITIONS;
}

/* ---- save ------------------------------------------------------------------------------------ */

static puna_status write_all(const puna_seq *s, const header *h, unsigned char *out,
                             puna_error *err) {
    const puna_engine *e = s->engine;
    const size_t tokens_bytes = (size_t)h->n_tokens * sizeof(int32_t);
    unsigned char *at = out + sizeof *h;
    memcpy(out, h, sizeof *h);
    memcpy(at, s->tokens, tokens_bytes);
    at += tokens_bytes;
    if (h->has_logits) {
        memcpy(at, s->logits, (size_t)h->n_vocab * sizeof(float));
        at += (size_t)h->n_vocab * sizeof(float);
    }
    for (int32_t i = 0; i * PN_PAGE_POSITIONS < h->n_computed; i++) {
        const int32_t n = positions_of_page(h, i);
        PN_TRY(e->backend->read_page(e->device, s->pages[i], n, at, err));
        at += (size_t)n * (size_t)h->position_bytes;
    }
    return PUNA_OK;
}

puna_status puna_seq_save(const puna_seq *seq, void *buf, size_t max_bytes, size_t *n_bytes,
                          puna_error *err) {
    header h = describe(seq);
    const size_t n = total_bytes(&h);
    *n_bytes = n;
    if (!buf || max_bytes < n)
        return pn_fail(err, PUNA_E_LIMIT, "the sequence takes %zu bytes: room for %zu", n,
                       buf ? max_bytes : 0);
    unsigned char *out = buf;
    PN_TRY(write_all(seq, &h, out, err));
    h.checksum = pn_checksum(out + CHECKED_FROM, n - CHECKED_FROM, 0);
    memcpy(out, &h, sizeof h);
    return PUNA_OK;
}

/* ---- load ------------------------------------------------------------------------------------ */

/* That the bytes are a whole saved sequence, as it was written. */
static puna_status check_form(const unsigned char *in, size_t n_bytes, header *h, puna_error *err) {
    if (n_bytes < sizeof *h || memcmp(in, MAGIC, sizeof h->magic) != 0)
        return pn_fail(err, PUNA_E_FORMAT, "not a saved sequence (%zu bytes)", n_bytes);
    memcpy(h, in, sizeof *h);
    if (h->byte_order != BYTE_ORDER)
        return pn_fail(err, PUNA_E_UNSUPPORTED,
                       "the sequence was saved on a machine of another byte order");
    if (h->version != VERSION)
        return pn_fail(err, PUNA_E_UNSUPPORTED,
                       "the sequence was saved in format %u, this library reads %u", h->version,
                       VERSION);
    if (pn_checksum(in + CHECKED_FROM, n_bytes - CHECKED_FROM, 0) != h->checksum)
        return pn_fail(err, PUNA_E_FORMAT, "the saved sequence is damaged: its checksum differs");
    return PUNA_OK;
}

/* That it belongs to this model and engine. */
static puna_status check_origin(const puna_seq *s, const header *h, puna_error *err) {
    static const char *const kv_types[] = {"f16", "f32", "q8_0"}; /* ORDER puna_kv_type */
    const header ours = describe(s);
    if (h->model != ours.model || h->n_vocab != ours.n_vocab)
        return pn_fail(err, PUNA_E_ARG, "the sequence was saved from another model");
    if (h->kv_type != ours.kv_type || h->position_bytes != ours.position_bytes) {
        const bool known = h->kv_type >= 0 && h->kv_type <= PUNA_KV_Q8_0;
        return pn_fail(err, PUNA_E_ARG,
                       "the sequence was saved with KV type %s, the engine has %s (kv_type)",
                       known ? kv_types[h->kv_type] : "unknown", kv_types[ours.kv_type]);
    }
    return PUNA_OK;
}

static puna_status check_counts(const puna_seq *s, const header *h, size_t n_bytes,
                                puna_error *err) {
    const bool possible = h->n_tokens >= 0 && h->n_computed >= 0 && h->n_computed <= h->n_tokens &&
                          (h->has_logits == 0 || h->has_logits == 1) &&
                          (!h->has_logits || (h->n_tokens > 0 && h->n_computed == h->n_tokens));
    if (!possible)
        return pn_fail(err, PUNA_E_FORMAT,
                       "the saved sequence contradicts itself: %d tokens, %d computed, logits %d",
                       h->n_tokens, h->n_computed, h->has_logits);
    if (h->n_tokens > s->engine->n_ctx)
        return pn_fail(err, PUNA_E_LIMIT,
                       "the saved sequence has %d tokens, which do not fit the context of %d",
                       h->n_tokens, s->engine->n_ctx);
    if (total_bytes(h) != n_bytes)
        return pn_fail(err, PUNA_E_FORMAT, "the saved sequence has %zu bytes, expected %zu",
                       n_bytes, total_bytes(h));
    return PUNA_OK;
}

static puna_status check_saved_tokens(const header *h, const unsigned char *in, puna_error *err) {
    for (int32_t i = 0; i < h->n_tokens; i++) {
        int32_t token;
        memcpy(&token, in + sizeof *h + (size_t)i * sizeof token, sizeof token);
        if (token < 0 || token >= h->n_vocab)
            return pn_fail(err, PUNA_E_FORMAT,
                           "the saved sequence has token %d at position %d, outside the vocabulary "
                           "of %d",
                           token, i, h->n_vocab);
    }
    return PUNA_OK;
}

static puna_status read_all(puna_seq *s, const header *h, const unsigned char *in,
                            puna_error *err) {
    puna_engine *e = s->engine;
    const size_t tokens_bytes = (size_t)h->n_tokens * sizeof(int32_t);
    const unsigned char *at = in + sizeof *h;
    puna_seq_truncate(s, 0);
    s->is_uncachable = true; /* nobody else need believe what a file says */
    if (h->n_computed > 0) PN_TRY(pn_seq_reserve(s, h->n_computed, err));
    memcpy(s->tokens, at, tokens_bytes);
    at += tokens_bytes;
    if (h->has_logits) {
        memcpy(s->logits, at, (size_t)h->n_vocab * sizeof(float));
        at += (size_t)h->n_vocab * sizeof(float);
    }
    for (int32_t i = 0; i * PN_PAGE_POSITIONS < h->n_computed; i++) {
        const int32_t n = positions_of_page(h, i);
        PN_TRY(e->backend->write_page(e->device, s->pages[i], n, at, err));
        at += (size_t)n * (size_t)h->position_bytes;
    }
    s->n_tokens = s->n_fed = h->n_tokens;
    s->n_computed = h->n_computed;
    s->has_logits = h->has_logits;
    s->is_picked[0] = false;
    s->n_draft = 0;
    return PUNA_OK;
}

puna_status puna_seq_load(puna_seq *seq, const void *buf, size_t n_bytes, puna_error *err) {
    header h;
    if (!buf) return pn_fail(err, PUNA_E_ARG, "no saved sequence was given");
    PN_TRY(check_form(buf, n_bytes, &h, err));
    PN_TRY(check_origin(seq, &h, err));
    PN_TRY(check_counts(seq, &h, n_bytes, err));
    PN_TRY(check_saved_tokens(&h, buf, err));
    return read_all(seq, &h, buf, err);
}
