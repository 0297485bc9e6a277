/* seq_text.c: one buffer, written by the detokenizer, read by the stop texts. */
#include "run/seq_text.h"

#include "base/mem.h"

#include <string.h>

size_t pn_seq_text_bytes(const pn_vocab *vocab, size_t longest_stop, int32_t n_tokens) {
    return longest_stop + (size_t)n_tokens * pn_detok_max_bytes(vocab) +
           sizeof(((pn_detok *)0)->pending);
}

static puna_status take_buffer(pn_seq_text *text, size_t cap, puna_error *err) {
    text->bytes = pn_alloc(cap);
    if (!text->bytes) return pn_fail_nomem(err, cap, "a sequence's text");
    text->cap = cap;
    return PUNA_OK;
}

puna_status pn_seq_text_open(pn_seq_text *text, const pn_vocab *vocab, const char *const *stops,
                             int32_t n_stops, int32_t n_tokens, puna_error *err) {
    *text = (pn_seq_text){0};
    const puna_status status = pn_stops_open(stops, n_stops, &text->stops, err);
    if (status != PUNA_OK) return status;
    return take_buffer(text, pn_seq_text_bytes(vocab, pn_stops_longest(text->stops), n_tokens),
                       err);
}

puna_status pn_seq_text_copy(const pn_seq_text *text, pn_seq_text *copy, puna_error *err) {
    *copy = (pn_seq_text){0};
    const puna_status status = pn_stops_copy(text->stops, &copy->stops, err);
    return status == PUNA_OK ? take_buffer(copy, text->cap, err) : status;
}

void pn_seq_text_close(pn_seq_text *text) {
    pn_stops_free(text->stops);
    pn_free(text->bytes);
    *text = (pn_seq_text){0};
}

void pn_seq_text_restart(pn_seq_text *text) {
    pn_stops_restart(text->stops);
    text->detok = (pn_detok){0};
    text->n_given = text->n_bytes = 0;
}

void pn_seq_text_step(pn_seq_text *text) {
    text->n_bytes -= text->n_given;
    memmove(text->bytes, text->bytes + text->n_given, text->n_bytes);
    text->n_given = 0;
}

/* Reads the n bytes just written and hands out all but what is held. */
static pn_text_piece give(pn_seq_text *text, size_t n, bool at_end) {
    size_t held;
    pn_text_piece piece = {.text = text->bytes + text->n_given};
    piece.stop = pn_stops_read(text->stops, text->bytes + text->n_bytes, n, &held);
    if (at_end && piece.stop < 0) held = 0;
    text->n_bytes += n;
    /* of a stop that began before a finish, that much has been handed out */
    if (held > text->n_bytes - text->n_given) held = text->n_bytes - text->n_given;
    piece.n_bytes = text->n_bytes - held - text->n_given;
    text->n_given += piece.n_bytes;
    return piece;
}

pn_text_piece pn_seq_text_push(pn_seq_text *text, const pn_vocab *vocab, int32_t token) {
    return give(text, pn_detok_push(vocab, &text->detok, token, true, text->bytes + text->n_bytes),
                false);
}

pn_text_piece pn_seq_text_finish(pn_seq_text *text, bool may_go_on) {
    char *end = text->bytes + text->n_bytes;
    return give(text, may_go_on ? 0 : pn_detok_finish(&text->detok, end), true);
}
