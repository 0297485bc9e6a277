/* chat_session.h: a conversation with a model: messages are written as the model wants them, fed,
 * answered, and the answer joins the conversation. Nothing here reads from a terminal.
 *
 * Each turn feeds the whole conversation and computes what is new (token_reuse.h). Before that the
 * room in the context is looked at, and what to do without room is asked for or was said before.
 * Each answer begins with a sampler of its own: it depends on the messages, the settings and the
 * seed. */
#ifndef PUNA_CLI_CHAT_SESSION_H
#define PUNA_CLI_CHAT_SESSION_H

#include "conversation.h"
#include "generation.h"

/* What to do when a prompt leaves no room for an answer. */
typedef enum chat_choice {
    CHAT_STOP = 0,  /* do not send the message */
    CHAT_DROP = 1,  /* leave out the oldest turns */
    CHAT_CLEAR = 2, /* leave out all earlier turns */
    CHAT_SEND = 3   /* send it all the same: only where it fits at all */
} chat_choice;

/* What there is and what is missing, in tokens. */
typedef struct chat_room {
    int32_t n_prompt; /* the conversation with the new message */
    int32_t n_ctx;
    int32_t n_wanted; /* what an answer should have */
} chat_room;

typedef struct chat chat;
typedef chat_choice chat_ask_fn(chat *c, const chat_room *room);

struct chat {
    options o; /* a copy, which settings change; texts and lists are borrowed */
    session s;
    puna_chat *format;
    puna_grammar *grammar; /* of every answer, or NULL */
    text template_text;
    conversation talk;
    generation answer; /* the last one; its sequence holds the conversation */
    bool thinking;     /* its prompt ended with the mark that opens the model's thoughts */
    int32_t n_ctx;
    chat_ask_fn *ask; /* NULL: without --context-overflow a message without room is an error */
};

/* Opens model, format, engine and the system message as the options say. give gets the text of the
 * answers. Zero *c before; chat_close may be called at any time. */
int chat_open(chat *c, const options *o, generation_text_fn *give);
void chat_close(chat *c);

/* Sends a message and adds it and the answer to the conversation. STATUS_INTERRUPTED: Ctrl-C, what
 * had come of the answer is kept. STATUS_FAILED, after a message: the conversation is as before. */
int chat_send(chat *c, const char *message, size_t n_bytes);
/* Answers the last message again in place of its answer. There must be a turn. */
int chat_answer_again(chat *c);

/* Whether the model's format takes this conversation; else there is a message. */
bool chat_accepts(chat *c, const conversation *talk);
/* Tokens of the conversation that are computed or fed. */
int32_t chat_context_used(const chat *c);

#endif
