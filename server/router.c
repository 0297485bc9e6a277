/* router.c: the table of routes.def. */
#include "router.h"

#include <stdio.h>
#include <string.h>

static const pn_route routes[] = {
#define ROUTE(method, path, handler, access, dialect)                                              \
    {#method, path, api_##handler, PN_ACCESS_##access, PN_DIALECT_##dialect},
#include "routes.def"
#undef ROUTE
};

enum { N_ROUTES = sizeof routes / sizeof *routes };

/* Whether a row's path fits; *rest_at: the length of what it names, so longer is more exact. */
static bool fits(const char *pattern, const char *path, size_t *rest_at) {
    size_t n = strlen(pattern);
    if (n && pattern[n - 1] == '*') {
        *rest_at = n - 1;
        return strncmp(pattern, path, n - 1) == 0 && path[n - 1];
    }
    *rest_at = n;
    return strcmp(pattern, path) == 0;
}

static bool answers(const pn_route *route, const char *method) {
    return strcmp(route->method, method) == 0 ||
           (strcmp(route->method, "GET") == 0 && strcmp(method, "HEAD") == 0);
}

static void add_allowed(pn_route_match *match, const char *method) {
    size_t n = strlen(match->allow);
    snprintf(match->allow + n, sizeof match->allow - n, "%s%s", n ? ", " : "", method);
}

/* The pattern that fits best: a path that is written out before any with a star. */
static const char *best_pattern(const char *path, size_t *rest_at) {
    const char *best = NULL;
    bool best_exact = false;
    for (int i = 0; i < N_ROUTES; i++) {
        size_t at;
        if (!fits(routes[i].path, path, &at)) continue;
        bool exact = strcmp(routes[i].path, path) == 0;
        if (best && (best_exact > exact || (best_exact == exact && *rest_at >= at))) continue;
        best = routes[i].path;
        best_exact = exact;
        *rest_at = at;
    }
    return best;
}

void pn_route_find(const char *method, const char *path, pn_route_match *match) {
    memset(match, 0, sizeof *match);
    const char *pattern = best_pattern(path, &match->rest_at);
    if (!pattern) return;
    for (int i = 0; i < N_ROUTES; i++) {
        const pn_route *route = &routes[i];
        if (strcmp(route->path, pattern) != 0) continue;
        if (!match->other) match->other = route;
        if (!match->route && answers(route, method)) match->route = route;
        add_allowed(match, route->method);
        if (strcmp(route->method, "GET") == 0) add_allowed(match, "HEAD");
    }
    add_allowed(match, "OPTIONS");
}
