/* http_url.h: the target of a request: path, query, percent signs. */
#ifndef PUNA_SERVER_HTTP_URL_H
#define PUNA_SERVER_HTTP_URL_H

#include <stdbool.h>
#include <stddef.h>

/* Replaces %HH in place; with plus, "+" is a space. False, and the text cut anyhow, when a percent sign
 * is not followed by two digits, or a byte would be NUL. */
bool pn_url_decode(char *text, bool plus);

/* Cuts a target in two in place: what comes behind "?" is the query ("" without one), the path is
 * decoded. An absolute target (http://host/path) loses its beginning. False when it is no path: it does
 * not begin with "/", has control characters, or wrong percent signs. */
bool pn_url_split(char *target, char **path, char **query);

/* Writes the pairs of a query to out as name, NUL, value, NUL ..., decoded; returns how many there are.
 * Pairs that cannot be decoded are left out. out has room for 2 * strlen(query) + 2 bytes. */
size_t pn_url_pairs(const char *query, char *out);

#endif
