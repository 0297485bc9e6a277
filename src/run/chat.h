/* chat.h: inside a puna_chat: which template, with which tokens' texts, and what answers look like.
 *
 * chat.c opens one, chat_formats.c knows the named formats, chat_input.c turns messages into the
 * template's variables and repairs them, prompt.c renders and tokenizes, answer_*.c take answers
 * apart. Immutable once open. */
#ifndef PN_RUN_CHAT_H
#define PN_RUN_CHAT_H

#include "base/json.h"
#include "run/model.h"
#include "tmpl/tmpl.h"

#define PN_CHAT_MAX_STOPS 4
#define PN_CHAT_MAX_KNOWN 7

/* A row of chat_formats.def. */
typedef struct pn_chat_format {
    const char *name;
    const char *bos, *eos;                /* used where there is no model */
    const char *stops[PN_CHAT_MAX_STOPS]; /* NULL ends the list */
    const char *known[PN_CHAT_MAX_KNOWN]; /* patterns of models, NULL ends the list */
    const char *text;                     /* a Jinja template */
} pn_chat_format;

/* NULL for a name that is none. */
const pn_chat_format *pn_chat_format_find(const char *name);
/* The format that a model without a template is known to want, or NULL. */
const pn_chat_format *pn_chat_format_guess(const puna_model *model);
/* True when the vocabulary has the text as one token. */
bool pn_chat_has_token(const puna_model *model, const char *text, size_t n);
/* PUNA_E_UNSUPPORTED or PUNA_E_ARG with a beginning and all names. */
puna_status pn_chat_fail_with_names(puna_status code, const char *text, puna_error *err);

/* What a template may ask for of a vocabulary, by name. */
enum { PN_CHAT_BOS, PN_CHAT_EOS, PN_CHAT_UNK, PN_CHAT_PAD, PN_CHAT_SEP, PN_CHAT_CLS, PN_CHAT_MASK };
#define PN_CHAT_N_SPECIALS 7
extern const char *const pn_chat_special_names[PN_CHAT_N_SPECIALS];

struct puna_chat {
    pn_arena arena;
    puna_model *model; /* NULL: prompts have no tokens */
    pn_tmpl *tmpl;
    const char *text; /* the template's source */
    const char *source;
    const char *specials[PN_CHAT_N_SPECIALS]; /* NULL: the vocabulary has none */
    const char *stops[PN_CHAT_MAX_STOPS];     /* NULL ends the list */
    bool exact;                               /* no repairs */
};

/* ---- messages -------------------------------------------------------------------------------- */

/* What is changed in messages that a template does not take as they are: bits of `fixes`. */
enum pn_chat_fix {
    PN_FIX_CONTENT = 1u << 0,        /* content that is null or missing becomes "" */
    PN_FIX_PARTS = 1u << 1,          /* a list of text parts becomes one text */
    PN_FIX_ARGUMENTS = 1u << 2,      /* arguments of calls: JSON in a string becomes the value */
    PN_FIX_ARGUMENTS_TEXT = 1u << 3, /* and the other way round */
    PN_FIX_TOOLS = 1u << 4,          /* no tools: an empty list in place of null */
    PN_FIX_DEVELOPER = 1u << 5,      /* role developer becomes system */
    PN_FIX_SYSTEM = 1u << 6,         /* a system message is put before the next user message */
    PN_FIX_TURNS = 1u << 7           /* neighbours of one role become one message */
};
#define PN_N_FIXES 8

typedef struct pn_messages {
    pn_json json;
    int32_t *nodes; /* of each message: the node of its object */
    int32_t n;
    unsigned fixes; /* those that would change something */
} pn_messages;

/* Reads and checks the messages. text must outlive them. Free with pn_messages_free. */
puna_status pn_messages_read(const char *text, size_t n_bytes, bool exact, pn_messages *messages,
                             puna_error *err);
void pn_messages_free(pn_messages *messages);
/* Writes the messages with these fixes as JSON. origins[i], room for n: which message the i-th
 * written one is; *n_out: how many there are. */
puna_status pn_messages_write(const pn_messages *messages, unsigned fixes, pn_buf *out,
                              int32_t *origins, int32_t *n_out, puna_error *err);
/* The fixes that a rendering which went through shows to be needed after all: lists and JSON that
 * came out as a programming language or a string spells them. origins: as pn_messages_write gave
 * them for what was rendered. */
puna_status pn_messages_misread(const pn_messages *messages, const pn_tmpl_output *out,
                                const int32_t *origins, int32_t n_origins, unsigned *fixes,
                                puna_error *err);

#endif
