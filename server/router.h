/* router.h: from a method and a path to the row of routes.def that answers. */
#ifndef PUNA_SERVER_ROUTER_H
#define PUNA_SERVER_ROUTER_H

#include "service.h"

typedef enum pn_access { PN_ACCESS_OPEN = 0, PN_ACCESS_KEY = 1 } pn_access;

typedef struct pn_route {
    const char *method;
    const char *path;
    pn_handler *handler;
    pn_access access;
    pn_dialect dialect;
} pn_route;

enum { PN_ALLOW_CHARS = 64 };

typedef struct pn_route_match {
    const pn_route *route;      /* NULL: nothing answers */
    const pn_route *other;      /* a row of this path with whatever method, or NULL: unknown path */
    size_t rest_at;             /* where in the path the part begins that "*" stands for */
    char allow[PN_ALLOW_CHARS]; /* the methods of this path, "GET, HEAD, OPTIONS" */
} pn_route_match;

/* path: percent-decoded. HEAD is answered by rows of GET. */
void pn_route_find(const char *method, const char *path, pn_route_match *match);

/* Every handler is a function api_<handler> of some file. */
#define ROUTE(method, path, handler, access, dialect) pn_handler api_##handler;
#include "routes.def"
#undef ROUTE

#endif
