/* hub_base.h: what every file of hub/ uses: errors, strings, the environment, and the program
 * around.
 *
 * Strings made here are owned by the caller and freed with free(). */
#ifndef PUNA_HUB_BASE_H
#define PUNA_HUB_BASE_H

#include <stdarg.h>

#include "hub.h"

/* Sets *err to one clean line and returns status. */
__attribute__((format(printf, 3, 4))) hub_status hub_fail(hub_error *err, hub_status status,
                                                          const char *format, ...);

/* realloc for count items of each bytes that ends the program when memory is out. */
void *hub_memory(void *old, size_t count, size_t each);
char *hub_copy(const char *text);
char *hub_copy_n(const char *text, size_t n);
__attribute__((format(printf, 1, 2))) char *hub_format(const char *format, ...);
/* Frees *text and puts value, which it takes over, in its place. */
void hub_set(char **text, char *value);

/* A growing list of owned strings. */
typedef struct string_list {
    char **items;
    size_t n;
} string_list;

void string_list_add(string_list *list, char *item); /* takes item over */
bool string_list_has(const string_list *list, const char *item);
void string_list_clear(string_list *list);

bool text_starts(const char *text, const char *start);
bool text_ends(const char *text, const char *end); /* ASCII case does not matter */
bool text_same(const char *a, const char *b);      /* ASCII case does not matter */
/* True when every character is in allowed and there are 1 to max of them. */
bool text_made_of(const char *text, const char *allowed, size_t max);
#define HEX_DIGITS  "0123456789abcdef"
#define LETTERS     "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define LETTERS_ETC LETTERS "0123456789"
/* "4.1 GiB" */
enum { SIZE_CHARS = 32 };
char *text_size(char buf[SIZE_CHARS], uint64_t bytes);

/* The variable's value, or NULL when it is not set or empty. */
const char *environment(const char *name);
/* As the hub's Python client reads flags: 1, on, yes, true. */
bool environment_flag(const char *name);
/* The variable's value in seconds, or fallback. */
double environment_seconds(const char *name, double fallback);
/* ~ and $NAME in a path, as a shell would. */
char *expand_path(const char *path);
/* $XDG_CACHE_HOME or ~/.cache, with /name behind it. */
char *cache_home(const char *name);

bool host_stopped(const hub_host *host);
__attribute__((format(printf, 2, 3))) void host_note(const hub_host *host, const char *format, ...);
/* False when it was interrupted. */
bool host_wait(const hub_host *host, double seconds);
double hub_now(void); /* monotonic seconds */

#endif
