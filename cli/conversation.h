/* conversation.h: what was said, as the messages of OpenAI's API, in memory and in files.
 *
 * A turn is a message of the user with what follows it up to the next one. Turns may be left out of
 * what is sent to the model (the context is finite) and are kept all the same. An answer that did
 * not end by itself has a member "finish" that says why; it is not sent.
 *
 * The file is {"model": text, "messages": [...], "settings": {...}}; a bare list of messages is
 * read as well. Files are hostile: all that the program relies on is checked before anything
 * changes. */
#ifndef PUNA_CLI_CONVERSATION_H
#define PUNA_CLI_CONVERSATION_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct conversation {
    json_t *messages; /* a list of objects; owned */
    size_t n_unsent;  /* turns, from the oldest, that are left out */
} conversation;

/* What can be wrong with a file; enough for a line that names the message and the member. */
enum { CONVERSATION_FAULT_BYTES = 256 };

void conversation_open(conversation *c);
void conversation_close(conversation *c);

/* The system message, or NULL. It is the first message and has a text. */
const char *conversation_system(const conversation *c);
/* Sets it; an empty text takes it away. */
void conversation_set_system(conversation *c, const char *text, size_t n_bytes);
/* Adds {"role", "content"}. */
void conversation_add(conversation *c, const char *role, const char *text, size_t n_bytes);
/* Adds a message that is an object; takes it over. */
void conversation_add_message(conversation *c, json_t *message);
/* Forgets all but the system message. */
void conversation_clear(conversation *c);

size_t conversation_n_turns(const conversation *c);
/* Takes the last turn away. False when there is none. */
bool conversation_undo(conversation *c);
/* Takes away what follows the last message of the user. False when there is none. */
bool conversation_undo_answer(conversation *c);
/* The text of the last message with this role, or NULL. */
const char *conversation_last(const conversation *c, const char *role);

/* A new list: the messages that the model gets, without the members that are only for us. */
json_t *conversation_sent(const conversation *c);

/* Writes the file (atomic_file.h). An existing file is replaced only if it is a saved conversation
 * itself. settings: an object, borrowed. Returns an exit status, after a message. */
int conversation_save(const conversation *c, const char *path, const char *model,
                      const json_t *settings);
/* Reads a file into *c, which is opened here; on failure there is a message and nothing is open.
 * *model and *settings are what the file says, owned by the caller, NULL when it says nothing. */
int conversation_load(conversation *c, const char *path, json_t **model, json_t **settings);

#endif
