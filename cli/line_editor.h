/* line_editor.h: lines of text from a person at a terminal.
 *
 * Where libedit was found when puna was built and the terminal can move its cursor: editing,
 * history with the arrow keys, Ctrl-R, completion, and pasted text that keeps its newlines.
 * Elsewhere plain lines. What was typed is kept between sessions in a private file
 * (input_history.h). */
#ifndef PUNA_CLI_LINE_EDITOR_H
#define PUNA_CLI_LINE_EDITOR_H

#include <stdbool.h>
#include <stdio.h>

#include "input_history.h"
#include "text_input.h"

typedef enum line_result {
    LINE_READ = 0,
    LINE_END = 1,        /* Ctrl-D */
    LINE_INTERRUPTED = 2 /* Ctrl-C */
} line_result;

/* Returns what Tab appends to the text before the cursor, in static storage, or NULL: nothing is
 * known or several are possible. */
typedef const char *line_complete_fn(const char *before_cursor);

typedef struct line_editor {
    FILE *screen; /* where the prompt appears */
    bool colours;
    line_complete_fn *complete;
    input_history *history; /* NULL: none */
    void *editing;          /* state of libedit; NULL: plain lines */
} line_editor;

/* True when stdin is a terminal, and stdout or stderr shows what is typed there. */
bool line_editor_possible(void);
/* complete may be NULL. Close with line_editor_close. */
void line_editor_open(line_editor *e, input_history *history, line_complete_fn *complete);
void line_editor_close(line_editor *e);

/* Prints the prompt and reads a line into out (owned by the caller), without its newline; pasted
 * text may have newlines inside. After Ctrl-C out is what was typed, where that is known. A signal
 * that ends the program puts the terminal right first. */
line_result line_editor_read(line_editor *e, const char *prompt, text *out);
/* Adds an entry (it may have newlines) to the history of this session and of the next ones. */
void line_editor_remember(line_editor *e, const char *bytes, size_t n_bytes);

#endif
