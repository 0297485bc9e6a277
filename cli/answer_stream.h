/* answer_stream.h: the text of an answer on its way to stdout. On a terminal it cannot command
 * it, and what the model thinks before it speaks (<think> ... </think>) is dim where there are
 * colours. */
#ifndef PUNA_CLI_ANSWER_STREAM_H
#define PUNA_CLI_ANSWER_STREAM_H

#include <stdbool.h>
#include <stddef.h>

typedef struct answer_stream {
    bool on_terminal;
    bool shades;
    bool begun;   /* whether the answer begins with <think> is known */
    char held[8]; /* until then: what may be that mark */
    size_t n_held;
    bool thinking; /* what comes is dim */
    size_t n_mark; /* bytes of the mark that ends the thoughts which have come */
} answer_stream;

/* Once for the program. */
void answer_stream_open(answer_stream *a);
/* Before each answer. thinking: the prompt has opened the thoughts. */
void answer_stream_begin(answer_stream *a, bool thinking);
/* False when stdout takes no more. */
bool answer_stream_write(answer_stream *a, const char *bytes, size_t n_bytes);
/* After each answer, however it ended. */
void answer_stream_end(answer_stream *a);

#endif
