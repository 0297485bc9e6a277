/* api_error.c: errors in the form that each API has for them. */
#include "api_error.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server_fail.h"

bool pn_api_refuse(pn_api_error *e, int status, const char *type, const char *code,
                   const char *param, const char *format, ...) {
    va_list args;
    e->status = status;
    e->type = type;
    e->code = code;
    snprintf(e->param, sizeof e->param, "%s", param ? param : "");
    pn_clean_line(e->param);
    va_start(args, format);
    vsnprintf(e->message, sizeof e->message, format, args);
    va_end(args);
    pn_clean_line(e->message);
    return false;
}

bool pn_api_refuse_status(pn_api_error *e, const puna_error *err, const char *param) {
    const char *message = err->msg[0] ? err->msg : puna_status_name(err->code);
    switch (err->code) {
    case PUNA_E_ARG:
    case PUNA_E_FORMAT:
    case PUNA_E_UNSUPPORTED:
        return pn_api_refuse(e, 400, PN_INVALID_REQUEST, NULL, param, "%s", message);
    case PUNA_E_LIMIT:
        return pn_api_refuse(e, 400, PN_INVALID_REQUEST, "context_length_exceeded", param, "%s",
                             message);
    case PUNA_E_STATE:
        return pn_api_refuse(e, 429, "rate_limit_error", "queue_full", NULL, "%s", message);
    case PUNA_E_TIMEOUT:
        return pn_api_refuse(e, 408, "timeout_error", "timeout", NULL, "%s", message);
    default: return pn_api_refuse(e, 500, "server_error", NULL, NULL, "%s", message);
    }
}

/* The names that the Anthropic API has for statuses. */
static const char *anthropic_type(int status) {
    switch (status) {
    case 401: return "authentication_error";
    case 403: return "permission_error";
    case 404: return "not_found_error";
    case 413: return "request_too_large";
    case 429: return "rate_limit_error";
    case 503: return "overloaded_error";
    case 408:
    case 504: return "timeout_error";
    default: return status >= 500 ? "api_error" : "invalid_request_error";
    }
}

static json_t *text_or_null(const char *text) {
    return text && *text ? json_string(text) : json_null();
}

char *pn_api_error_json(const pn_exchange *x, const pn_api_error *e) {
    json_t *object =
        x && pn_exchange_dialect(x) == PN_DIALECT_ANTHROPIC
            ? json_pack("{s:s, s:{s:s, s:s}}", "type", "error", "error", "type",
                        anthropic_type(e->status), "message", e->message)
            : json_pack("{s:{s:s, s:s, s:o, s:o}}", "error", "message", e->message, "type", e->type,
                        "param", text_or_null(e->param), "code", text_or_null(e->code));
    char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
    json_decref(object);
    return text;
}

void pn_api_error_reply(pn_exchange *x, const pn_api_error *e) {
    static const char no_memory[] = "{\"error\": {\"message\": \"out of memory\", \"type\": "
                                    "\"server_error\", \"param\": null, \"code\": null}}";
    char *text = pn_api_error_json(x, e);
    const char *body = text ? text : no_memory;
    if (e->status == 429 || e->status == 503) pn_exchange_set_header(x, "Retry-After", "1");
    if (e->status == 401) pn_exchange_set_header(x, "WWW-Authenticate", "Bearer");
    pn_exchange_reply(x, text ? e->status : 500, "application/json", body, strlen(body));
    free(text);
}
