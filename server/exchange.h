/* exchange.h: the inside of an exchange, for http.c and tests: the request as it came, the response as it
 * grows, and how the HTTP thread hears that there is something to do.
 *
 * Two kinds of references: users are those that may still respond (pn_exchange_retain); owners keep the
 * memory: the users together are one, the HTTP side is one, a place in the wake list is one.
 *
 * What is written under the lock is marked; the rest is written by the HTTP thread before the handler
 * runs, or by it alone. */
#ifndef PUNA_SERVER_EXCHANGE_H
#define PUNA_SERVER_EXCHANGE_H

#include <pthread.h>
#include <stdatomic.h>

#include "http.h"
#include "router.h"
#include "workers.h"

/* Exchanges that the HTTP thread is to look at. */
typedef struct pn_wake_list {
    pthread_mutex_t lock;
    pn_exchange *first;
    int event_fd; /* readable while there are any */
} pn_wake_list;

typedef enum pn_response_state {
    PN_RESPONSE_NONE = 0,
    PN_RESPONSE_WHOLE,  /* a reply; out is its body */
    PN_RESPONSE_STREAM, /* out is what has not been sent yet */
    PN_RESPONSE_ENDED,  /* a stream that ends with out */
    PN_RESPONSE_BROKEN  /* a stream that ends without having been ended: the connection is closed */
} pn_response_state;

typedef struct pn_bytes {
    char *at;
    size_t begin, end, room;
} pn_bytes;

typedef struct pn_header_list {
    char *text; /* name NUL value NUL ... */
    size_t n_bytes;
} pn_header_list;

struct pn_exchange {
    atomic_int n_users;
    atomic_int n_owners;
    pn_wake_list *wake;
    pn_job job; /* runs the handler */
    void *http; /* whose job it is */
    void *peer; /* the connection while it is one, for the HTTP thread alone */

    /* the request */
    uint64_t number;
    uint64_t client;
    double begun_s;
    char method[16]; /* cut: longer ones are unknown anyway */
    char *target;    /* owned; path and query point into it */
    char *path;
    char *query;
    char *pairs; /* of the query, decoded, or NULL */
    size_t n_pairs;
    pn_header_list headers;
    pn_route_match match;
    pn_bytes body; /* with a NUL behind */
    int32_t n_prompt, n_sampled;

    /* the response: under the lock */
    pthread_mutex_t lock;
    pn_response_state state;
    int status;
    char *content_type;
    pn_header_list out_headers;
    pn_bytes out;
    double written_s; /* when something was put into out last */
    bool at_event;    /* what was written ends an event of a text/event-stream: a ping may follow */
    bool is_events;
    bool complete; /* all was sent: nobody leaves any more */
    bool gone;     /* nobody reads any more */
    bool no_more;  /* the client says that it sends nothing any more */
    bool parked;   /* the connection is suspended until there is something to do */
    bool queued;   /* in the wake list */
    pn_exchange *next;

    pthread_mutex_t gone_lock; /* recursive; held while gone_fn runs */
    pn_gone_fn gone_fn;
    void *gone_user;
};

/* With one owner, the HTTP side, and no users. Takes a copy of target. NULL without memory. */
pn_exchange *pn_exchange_open(pn_wake_list *wake, const char *target);
/* The HTTP side lets go: nobody will read any more. complete: all was sent. */
void pn_exchange_close(pn_exchange *x, bool complete);
/* The handler may run now: it has the first user's reference, to be released after it. */
void pn_exchange_begin(pn_exchange *x);

bool pn_header_add(pn_header_list *list, const char *name, const char *value);
const char *pn_header_find(const pn_header_list *list, const char *name);
/* False without memory. The room is a power of two. */
bool pn_bytes_reserve(pn_bytes *b, size_t n_more);
bool pn_bytes_add(pn_bytes *b, const char *bytes, size_t n_bytes);

/* The client has left, or (no_more) says that it will send nothing more: on_gone is called. HTTP thread. */
void pn_exchange_leave(pn_exchange *x, bool no_more);
typedef enum pn_take { PN_TAKE_BYTES, PN_TAKE_WAIT, PN_TAKE_END, PN_TAKE_BROKEN } pn_take;
/* Hands out up to max bytes of the stream. WAIT: there are none yet, and the exchange counts as parked. */
pn_take pn_exchange_take(pn_exchange *x, char *buf, size_t max, size_t *n_bytes);
/* Adds a ping where the stream has been silent since before_s. HTTP thread. */
void pn_exchange_ping(pn_exchange *x, double before_s, double now_s);

/* Makes it an exchange that is not in the list again. HTTP thread. What is to be done about it: */
typedef struct pn_wake_reason {
    bool parked; /* its connection waits, and is to be resumed */
    bool gone;   /* nothing more can be sent */
} pn_wake_reason;
pn_wake_reason pn_exchange_woken(pn_exchange *x);
/* Takes the list of those that are to be looked at, linked by next; each is an owner to be dropped with
 * pn_exchange_drop. */
pn_exchange *pn_wake_take(pn_wake_list *wake);
void pn_exchange_drop(pn_exchange *x);

double pn_server_now(void);

#endif
