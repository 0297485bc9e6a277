/* message_input.h: lines become messages.
 *
 *   a line                       is a message
 *   a line ending in \           goes on in the next line
 *   """ ... """                  is a message of all between, which may span lines
 *   a line with newlines inside  (pasted) is a message as it is
 *   /word argument               is a command; its argument, too, may stand between quotes
 */
#ifndef PUNA_CLI_MESSAGE_INPUT_H
#define PUNA_CLI_MESSAGE_INPUT_H

#include <stdbool.h>
#include <stddef.h>

#include "text_input.h"

typedef struct message_input {
    text message; /* what there is so far; owned */
    size_t room;
    bool is_command;
    enum { MESSAGE_EMPTY, MESSAGE_CONTINUED, MESSAGE_QUOTED } state;
} message_input;

/* Adds a line (without its newline). True when the message is complete: it is then in m->message,
 * and message_input_clear must come before the next line. */
bool message_input_add(message_input *m, const char *line, size_t n_bytes);
void message_input_clear(message_input *m);
void message_input_free(message_input *m);

#endif
