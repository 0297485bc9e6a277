/* session.h: what the commands do with the library in the same way: open a model and an engine as
 * the options say, turn text into tokens and back, step until a sequence is done, and stop on
 * Ctrl-C.
 *
 * Functions that can fail print the message themselves and return an exit status. */
#ifndef PUNA_CLI_SESSION_H
#define PUNA_CLI_SESSION_H

#include "cli_options.h"
#include "progress.h"
#include "text_input.h"

typedef struct session {
    puna_model *model;
    puna_engine *engine;
    char *path; /* of the model file */
    progress load;
    progress prefill;
} session;

/* Zero a session with {0} before; session_close releases what is open and may be called at any
 * time. */
int session_open_model(session *s, const options *o, puna_open_level level);
/* n_ctx: positions per sequence; 0: as the options say. Says on stderr when the context had to
 * be cut. */
int session_open_engine(session *s, const options *o, int32_t n_ctx);
void session_close(session *s);

/* The engine options that the command line asks for. */
void session_engine_options(puna_engine_options *engine_options, const options *o);

/* Ctrl-C asks the engine to stop; a second one ends the program. A model file that is cut while
 * it is mapped ends it with a message. */
void session_catch_signals(void);
bool session_interrupted(void);
/* A Ctrl-C that came has been dealt with: the next one is the first again. */
void session_forget_interrupt(void);

typedef struct tokens {
    int32_t *ids; /* owned */
    int32_t n;
} tokens;

int session_tokenize(const session *s, const char *bytes, size_t n_bytes, uint32_t flags,
                     tokens *out);
/* The flags of puna_tokenize as --no-bos and --special ask. */
uint32_t session_tokenize_flags(const options *o);
/* Ids separated by spaces, commas, newlines or brackets, each within the vocabulary. */
int session_parse_ids(const session *s, const char *list, tokens *out);
int session_detokenize(const session *s, const int32_t *ids, int32_t n_ids, uint32_t flags,
                       text *out);

/* Handles one line of stdin, its newline included; number counts from 1. Returns an exit status. */
typedef int session_line_fn(void *user, const options *o, const char *line, size_t n_bytes,
                            long number);
/* Hands every line of stdin over until one fails or nobody reads the output any more. */
int session_each_line(void *user, const options *o, session_line_fn *handle);

/* Refuses a prompt that leaves no room in the context for a token after it. */
int session_check_fits(const session *s, int32_t n_tokens);
/* Steps until the sequence is done and throws away what it says. */
int session_finish(session *s, puna_seq *seq);

#endif
