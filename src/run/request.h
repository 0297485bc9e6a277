/* request.h: what the files of the scheduler share: the scheduler and its requests.
 *
 * scheduler.c is the public face and the step; request.c makes requests and reports on them;
 * turns.c keeps those that wait in order; admission.c decides who is computed and with which pages,
 * chunks.c with how many rows.
 *
 * Threads: the lock guards the list of those that wait, `running`, the counters, and all that
 * puna_scheduler_requests shows of a request. The stepping thread alone changes a request that
 * runs; it reads what it wrote without the lock. No callback is called while the lock is held. */
#ifndef PN_RUN_REQUEST_H
#define PN_RUN_REQUEST_H

#include "base/lock.h"
#include "run/engine.h"

typedef struct pn_request {
    uint64_t number; /* also its age: larger is younger */
    uint64_t client;
    uint64_t round; /* of turns among clients */
    int32_t priority;
    bool cancelled;
    struct pn_request *next; /* of those that wait */

    int32_t *tokens; /* [n_prompt] */
    int32_t n_prompt;
    pn_seq_setup setup; /* until it runs */
    puna_request_fn on_event;
    void *user;

    puna_seq *seq; /* while it runs */
    puna_request_state state;
    bool is_resting;    /* it has given up its pages */
    puna_error failure; /* what became of its pages on the device; code PUNA_OK: nothing */
    int32_t n_reused, n_computed, n_sampled;
    double submitted, deadline; /* on the clock of pn_os_seconds; deadline 0: none */
    double begun, answered;     /* first step, first token; 0: not yet */
} pn_request;

struct puna_scheduler {
    puna_engine *engine;
    puna_event *events; /* [max_events] */
    int32_t max_events;
    int32_t max_requests; /* running and waiting */
    pn_bell bell;

    double step_s;
    pn_request **order;                   /* [n_seq] for planning a step */
    int32_t n_answer_rows, n_prompt_rows; /* of the step under way */
    double answers_s, prompt_row_s; /* seconds of a step with answers alone, of a prompt's row;
                                             0: not known */

    pn_mutex *lock;
    pn_request *waiting;  /* in the order in which they will begin */
    pn_request **running; /* [n_seq] by slot, NULL: free */
    uint64_t n_numbers, round;
    puna_scheduler_stats stats;
};

/* ---- request.c ------------------------------------------------------------------------------- */

/* Checks and copies; the number is given by whoever queues it. Any thread. */
puna_status pn_request_open(const puna_engine *engine, const puna_request_options *options,
                            pn_request **request, puna_error *err);
/* Without its sequence. */
void pn_request_close(pn_request *request);
void pn_request_report(const pn_request *request, puna_request_event_kind kind,
                       const puna_event *event, const puna_error *error);
void pn_request_describe(const pn_request *request, puna_request_info *info);

/* ---- turns.c: the lock must be held ---------------------------------------------------------- */

void pn_turns_add(puna_scheduler *scheduler, pn_request *request);
pn_request *pn_turns_next(puna_scheduler *scheduler);

/* ---- admission.c ----------------------------------------------------------------------------- */

/* Lets requests go on and begin while slots and pages are free for them. */
void pn_admit(puna_scheduler *scheduler);
bool pn_request_is_senior(const pn_request *a, const pn_request *b);
/* Pages for n_rows more positions, if need be those of its juniors; false when there are none. */
bool pn_reserve(puna_scheduler *scheduler, pn_request *request, int32_t n_rows);

/* ---- chunks.c -------------------------------------------------------------------------------- */

/* Sets the quota of every running sequence for the next step, and reserves its pages. */
void pn_chunks_plan(puna_scheduler *scheduler);
/* The step that was planned took so long. */
void pn_chunks_learn(puna_scheduler *scheduler, double seconds);

#endif
