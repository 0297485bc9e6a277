/* request.c: a request from its options to its last event. */
#include "run/request.h"

#include "base/mem.h"
#include "base/os.h"
#include "run/options.h"

#include <math.h>
#include <string.h>

void puna_request_options_init(puna_request_options *options) {
    *options = (puna_request_options){.size = sizeof *options};
    puna_seq_options_init(&options->seq);
}

static puna_status fill(const puna_engine *engine, const puna_request_options *o, pn_request *r,
                        puna_error *err) {
    if (isnan(o->deadline_s))
        return pn_fail(err, PUNA_E_ARG, "deadline_s is not a number of seconds");
    PN_TRY(pn_tokens_check(engine, o->tokens, o->n_tokens, err));
    r->tokens = pn_calloc((size_t)o->n_tokens, sizeof *r->tokens);
    if (!r->tokens) return pn_fail_nomem(err, (size_t)o->n_tokens * sizeof *r->tokens, "a prompt");
    memcpy(r->tokens, o->tokens, (size_t)o->n_tokens * sizeof *r->tokens);
    r->n_prompt = o->n_tokens;
    r->client = o->client;
    r->priority = o->priority;
    r->on_event = o->on_event;
    r->user = o->user;
    r->submitted = pn_os_seconds();
    if (o->deadline_s != 0) r->deadline = r->submitted + o->deadline_s;
    return pn_seq_setup_open(engine, &o->seq, &r->setup, err);
}

puna_status pn_request_open(const puna_engine *engine, const puna_request_options *options,
                            pn_request **request, puna_error *err) {
    puna_request_options o;
    puna_request_options_init(&o);
    pn_options_copy(&o, sizeof o, options);
    pn_request *r = pn_calloc(1, sizeof *r);
    if (!r) return pn_fail_nomem(err, sizeof *r, "a request");
    const puna_status status = fill(engine, &o, r, err);
    if (status != PUNA_OK) {
        pn_request_close(r);
        return status;
    }
    *request = r;
    return PUNA_OK;
}

void pn_request_close(pn_request *r) {
    if (!r) return;
    pn_seq_setup_close(&r->setup);
    pn_free(r->tokens);
    pn_free(r);
}

/* From one moment to another, either of which may not have come yet (0). */
static double between(double from, double to) {
    return from == 0 || to < from ? 0 : to - from;
}

void pn_request_report(const pn_request *r, puna_request_event_kind kind, const puna_event *event,
                       const puna_error *error) {
    const double now = pn_os_seconds();
    const puna_request_event e = {
        .kind = kind,
        .request = r->number,
        .event = event,
        .error = error,
        .n_prompt = r->n_prompt,
        .n_reused = r->n_reused,
        .n_computed = r->n_computed,
        .n_sampled = r->n_sampled,
        .waiting_s = between(r->submitted, r->begun ? r->begun : now),
        .prefill_s = between(r->begun, r->answered ? r->answered : now),
        .decode_s = between(r->answered, now),
    };
    if (r->on_event) r->on_event(r->user, &e);
}

void pn_request_describe(const pn_request *r, puna_request_info *info) {
    const puna_request_info ours = {
        .size = sizeof ours,
        .request = r->number,
        .client = r->client,
        .state = r->state,
        .slot = r->seq ? r->seq->slot : -1,
        .priority = r->priority,
        .n_prompt = r->n_prompt,
        .n_reused = r->n_reused,
        .n_computed = r->n_computed,
        .n_sampled = r->n_sampled,
        .age_s = pn_os_seconds() - r->submitted,
    };
    pn_options_fill(info, &ours, sizeof ours);
}
