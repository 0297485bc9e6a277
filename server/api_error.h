/* api_error.h: what a request gets that cannot be answered, in the form its API has for errors. */
#ifndef PUNA_SERVER_API_ERROR_H
#define PUNA_SERVER_API_ERROR_H

#include "http.h"
#include "puna.h"

#define PN_INVALID_REQUEST "invalid_request_error"

typedef struct pn_api_error {
    int status; /* 400, 401, 404, ... ; 0: no error */
    const char
        *type; /* PN_INVALID_REQUEST, "rate_limit_error", "server_error", "unavailable_error" */
    const char *code;  /* "context_length_exceeded", ... or NULL; static */
    char param[64];    /* the field, as "messages[2].content", or "" */
    char message[512]; /* one line of valid UTF-8 without control characters */
} pn_api_error;

/* Fills in *e and returns false, so that "return pn_api_refuse(...)" says both. param may be NULL. */
bool pn_api_refuse(pn_api_error *e, int status, const char *type, const char *code,
                   const char *param, const char *format, ...)
    __attribute__((format(printf, 6, 7)));
/* The same from what the library says: PUNA_E_ARG, FORMAT, UNSUPPORTED are 400, LIMIT is 400 with
 * context_length_exceeded, STATE 429 with queue_full, TIMEOUT 408, NOMEM and the rest 500. */
bool pn_api_refuse_status(pn_api_error *e, const puna_error *err, const char *param);

/* The body of an error in the form of the exchange's route (NULL: OpenAI's), to be freed by the caller; NULL without
 * memory. */
char *pn_api_error_json(const pn_exchange *x, const pn_api_error *e);
/* Replies with it, and with Retry-After where the status is 429 or 503. */
void pn_api_error_reply(pn_exchange *x, const pn_api_error *e);

#endif
