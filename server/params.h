/* params.h: what a request says about sampling, length and form of its answers: one list for every API
 * (params.def), read from the request's JSON, where every value is checked and named when it is wrong.
 *
 * Integers are read exactly; null counts as absent; fields that are not in the list are ignored. */
#ifndef PUNA_SERVER_PARAMS_H
#define PUNA_SERVER_PARAMS_H

#include <jansson.h>

#include "api_error.h"
#include "puna.h"
#include "service.h"

/* Which API's request it is; rows of the list are for some of them. */
typedef enum pn_api {
    PN_API_CHAT = 1,        /* /v1/chat/completions */
    PN_API_COMPLETIONS = 2, /* /v1/completions */
    PN_API_RESPONSES = 4,   /* /v1/responses */
    PN_API_MESSAGES = 8     /* Anthropic's /v1/messages */
} pn_api;

#define PN_MAX_STOPS        64        /* stop texts of a request, */
#define PN_MAX_STOP_BYTES   65536     /* all of them together */
#define PN_MAX_N            16        /* n and best_of, or the slots where there are more */
#define PN_MAX_JSON_DEPTH   128       /* lists and objects in one another */
#define PN_MAX_CHOICES      2048      /* prompts times candidates */
#define PN_MAX_LOGPROBS     (1 << 24) /* log-probabilities that an answer could have */
#define PN_MAX_JSON_VALUES  (1 << 20) /* in a body: each takes some 40 bytes */
#define PN_MAX_TOP_LOGPROBS 20
#define PN_MAX_PROMPTS      2048 /* prompts or inputs of one request */

typedef struct pn_params {
    json_t *body; /* a reference: texts below point into it */
    /* Of the first choice; further ones have seed + 1, ... unless it is random. Its lists and its
     * grammar belong to this. */
    puna_sampler_params sampler;
    int32_t max_tokens; /* -1: until the context is full */
    int32_t n;
    int32_t best_of;    /* candidates of which n are taken, at least n */
    int32_t n_logprobs; /* most likely tokens to report; -1: no log-probabilities at all */
    bool stream;
    bool include_usage; /* of a stream, at its end */
    bool timings_per_token;
    bool echo;
    const char **stops;
    int32_t n_stops;
    /* The grammar came from a schema or "any JSON": it is for what is said, and whatever the answer has
     * before (reasoning) or in its place (calls) is not bound by it. */
    bool grammar_is_content;
    bool own_breakers; /* sampler.dry_sequence_breakers belongs to this */
} pn_params;

/* Reads the fields of the list. On failure *e says which and why, and *p needs no freeing. */
bool pn_params_read(pn_params *p, const pn_service *service, pn_api api, json_t *body,
                    pn_api_error *e);
void pn_params_free(pn_params *p);
/* Adds a grammar from a JSON schema, or with schema NULL any JSON object. param: the field it came
 * from. A second grammar is refused. */
bool pn_params_schema(pn_params *p, json_t *schema, const char *param, pn_api_error *e);

/* ---- reading JSON ------------------------------------------------------------------------------ */

/* The request's body: a JSON object without NUL, duplicate keys, deep nesting or numbers that do not fit,
 * to be released with json_decref; NULL with *e, which says where it is wrong. */
json_t *pn_body_read(const pn_exchange *x, pn_api_error *e);
json_t *pn_body_parse(const char *text, size_t n_bytes, pn_api_error *e);
/* "PARAM: expected WHAT, got a string"; returns false. value NULL: "is missing". */
bool pn_refuse_value(pn_api_error *e, const char *param, const char *what, const json_t *value);
/* The member, or NULL where it is absent or null. */
json_t *pn_field(const json_t *object, const char *name);
/* The string member, NULL where it is absent or null; false with *e when it is none. */
bool pn_field_text(const json_t *object, const char *name, const char **text, pn_api_error *e);
/* The same for booleans: *value stays as it is when the member is absent. */
bool pn_field_flag(const json_t *object, const char *name, bool *value, pn_api_error *e);
/* An integer of the range; absent: *value stays. */
bool pn_field_int(const json_t *object, const char *name, int64_t low, int64_t high, int64_t *value,
                  pn_api_error *e);

#endif
