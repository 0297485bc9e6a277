/* editing_none.c: no line editing library was found when puna was built: plain lines. */
#include "line_editing.h"

void *editing_open(const line_editor *e) {
    (void)e;
    return NULL;
}

void editing_close(void *editing) {
    (void)editing;
}

line_result editing_read(void *editing, const char *prompt, text *out) {
    (void)editing;
    (void)prompt;
    (void)out;
    return LINE_END;
}

void editing_remember(void *editing, const char *entry) {
    (void)editing;
    (void)entry;
}
