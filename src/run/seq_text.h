/* seq_text.h: the text of a sequence on its way out: tokens become complete characters, and what
 * may be the beginning of a stop text waits until that is decided.
 *
 *   bytes:  | handed out in this step | waits |  room for the next tokens
 *           0                      n_given    n_bytes                    cap
 *
 * What was handed out stays in place until the next step begins. */
#ifndef PN_RUN_SEQ_TEXT_H
#define PN_RUN_SEQ_TEXT_H

#include "run/stops.h"
#include "text/vocab.h"

typedef struct pn_seq_text {
    pn_stops *stops; /* NULL: none */
    pn_detok detok;
    char *bytes;
    size_t cap, n_given, n_bytes;
} pn_seq_text;

/* A piece of text that a token released. */
typedef struct pn_text_piece {
    const char *text; /* valid until the next step begins */
    size_t n_bytes;
    int32_t stop; /* the stop that it ended before, or -1 */
} pn_text_piece;

/* Bytes of the buffer that texts with stops of at most longest_stop bytes need when a step brings
 * up to n_tokens tokens. */
size_t pn_seq_text_bytes(const pn_vocab *vocab, size_t longest_stop, int32_t n_tokens);
/* Copies the stops and takes the buffer. Half-built texts may be closed. */
puna_status pn_seq_text_open(pn_seq_text *text, const pn_vocab *vocab, const char *const *stops,
                             int32_t n_stops, int32_t n_tokens, puna_error *err);
/* The same stops and room, empty. */
puna_status pn_seq_text_copy(const pn_seq_text *text, pn_seq_text *copy, puna_error *err);
void pn_seq_text_close(pn_seq_text *text);

/* A new text begins. */
void pn_seq_text_restart(pn_seq_text *text);
/* A new step begins: what was handed out is forgotten. */
void pn_seq_text_step(pn_seq_text *text);
/* Adds a token. */
pn_text_piece pn_seq_text_push(pn_seq_text *text, const pn_vocab *vocab, int32_t token);
/* Nothing more comes: hands out what waited; an unfinished character as U+FFFD. may_go_on: more may
 * come after all; an unfinished character goes on waiting for its other bytes. */
pn_text_piece pn_seq_text_finish(pn_seq_text *text, bool may_go_on);

#endif
