/* chat_formats.c: the named formats, and which of them a model without a template wants. */
#include "run/chat.h"

#include "base/error.h"

#include <ctype.h>
#include <string.h>

#define STOPS(...)                                                                                 \
    { __VA_ARGS__ }
#define FORMAT(name, bos, eos, stops, text) {name, bos, eos, stops, text},
static const pn_chat_format rows[] = {
#include "run/chat_formats.def"
};
#undef FORMAT
#undef STOPS

enum { N_ROWS = sizeof rows / sizeof *rows };

const char *puna_chat_format(int32_t index) {
    return index >= 0 && index < N_ROWS ? rows[index].name : NULL;
}

const pn_chat_format *pn_chat_format_find(const char *name) {
    for (int i = 0; i < N_ROWS; i++)
        if (strcmp(rows[i].name, name) == 0) return &rows[i];
    return NULL;
}

puna_status pn_chat_fail_with_names(puna_status code, const char *text, puna_error *err) {
    pn_buf names = {0};
    for (int i = 0; i < N_ROWS; i++)
        if (!pn_buf_printf(&names, "%s%s", i ? ", " : "", rows[i].name)) break;
    code = pn_fail(err, code, "%s: %s", text, names.data ? names.data : "");
    pn_buf_free(&names);
    return code;
}

const pn_chat_format *pn_chat_format_guess(const puna_model *model) {
    (void)model;
    return NULL;
}
