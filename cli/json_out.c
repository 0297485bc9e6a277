/* json_out.c: the few things every command with --json needs on top of jansson. */
#include "json_out.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "cli_print.h"

json_t *json_text(const char *bytes, size_t n_bytes) {
    json_t *text = json_stringn(bytes, n_bytes);
    if (text) return text;
    char *clean = need_memory(NULL, n_bytes, 3); /* each bad byte becomes three */
    size_t n_clean = 0;
    for (size_t i = 0; i < n_bytes;) {
        size_t length = utf8_bytes((const unsigned char *)bytes + i, n_bytes - i);
        memcpy(clean + n_clean, length ? bytes + i : "\xEF\xBF\xBD", length ? length : 3);
        n_clean += length ? length : 3;
        i += length ? length : 1;
    }
    text = json_stringn(clean, n_clean);
    free(clean);
    return text;
}

json_t *json_number(double value) {
    return isfinite(value) ? json_real(value) : json_null();
}

json_t *json_id_array(const int32_t *ids, int32_t n_ids) {
    json_t *array = json_array();
    for (int32_t i = 0; i < n_ids; i++) json_array_append_new(array, json_integer(ids[i]));
    return array;
}

json_t *json_read_string(const char *line, size_t n_bytes, long number) {
    json_error_t problem;
    json_t *value = json_loadb(line, n_bytes, JSON_DECODE_ANY | JSON_ALLOW_NUL, &problem);
    if (json_is_string(value)) return value;
    print_error("line %ld of standard input is not a JSON string%s%s", number, value ? "" : ": ",
                value ? "" : problem.text);
    json_decref(value);
    return NULL;
}

int json_print(json_t *value, bool pretty) {
    size_t flags = JSON_ENCODE_ANY | JSON_REAL_PRECISION(9) | (pretty ? JSON_INDENT(2) : 0);
    char *text = value ? json_dumps(value, flags) : NULL;
    json_decref(value);
    if (!text) {
        print_error("out of memory while writing JSON");
        return STATUS_FAILED;
    }
    out_printf("%s\n", text);
    free(text);
    return STATUS_DONE;
}
