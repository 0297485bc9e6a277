/* json_out.h: the few things every command with --json needs on top of jansson. */
#ifndef PUNA_CLI_JSON_OUT_H
#define PUNA_CLI_JSON_OUT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A JSON string of any bytes: what is not UTF-8 becomes U+FFFD. */
json_t *json_text(const char *bytes, size_t n_bytes);
/* A number; null where JSON has none (NaN, infinity). */
json_t *json_number(double value);
json_t *json_id_array(const int32_t *ids, int32_t n_ids);
/* The JSON string on a line of standard input, or NULL after a message that names the line. */
json_t *json_read_string(const char *line, size_t n_bytes, long number);
/* Prints value and a newline on stdout and releases it. pretty: over several lines. Returns an
 * exit status. */
int json_print(json_t *value, bool pretty);

#endif
