/* choice.h: one answer as it grows, from the scheduler's events to what pn_choice says. */
#ifndef PUNA_SERVER_CHOICE_H
#define PUNA_SERVER_CHOICE_H

#include "generate.h"

/* A copy of one event, made on the engine's thread. */
typedef struct pn_note pn_note;
struct pn_note {
    pn_note *next;
    struct pn_choice_state *choice;
    bool is_last;
    int32_t token;
    float logprob;
    int32_t n_reused;
    double waiting_s, prefill_s, decode_s;
    int32_t n_top, n_text;
    puna_token_logprob top[]; /* [n_top], and behind them n_text bytes of text */
};

/* How an answer ended. */
typedef struct pn_ending {
    puna_error error; /* code PUNA_OK: it was completed */
    puna_finish finish;
    int32_t stop;
    char *text; /* what came with the end, malloc'ed, or NULL */
    size_t n_text;
} pn_ending;

typedef struct pn_choice_state {
    pn_choice out;
    pn_generation *generation;
    uint64_t request; /* 0: not submitted */
    pn_note last;     /* always there for the end */
    pn_ending ending;
    bool lost;    /* memory for a note was missing */
    bool begun;   /* BEGIN was written */
    bool is_over; /* the ending was read */
    bool is_said; /* FINISH was written */
    /* Read by the text's own reader: what was sampled, with the texts of control tokens; how much of that was
     * visible text; and where in the visible text each token begins, and in all of it ends. */
    pn_text text;
    size_t n_visible, n_parsed;
    size_t *begins, *ends;
    int32_t n_seen, cap_seen; /* tokens, and room for them */
    int32_t last_token;
    size_t n_content, n_reasoning; /* bytes that deltas have had */
    int32_t n_reported;            /* tokens that deltas have had */
} pn_choice_state;

/* Notes a token or the end. False without memory. */
bool pn_choice_take(pn_choice_state *c, const pn_note *note);
/* Brings `out` up to date; write gets what is new. False without memory. */
typedef void (*pn_delta_fn)(void *user, const pn_delta *delta);
bool pn_choice_flush(pn_choice_state *c, const pn_chat_turn *turn, pn_delta_fn write, void *user);
void pn_choice_free(pn_choice_state *c);

#endif
