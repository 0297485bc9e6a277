/* line_editing.h: what line_editor.c needs of an editing library. editing_libedit.c is built where
 * libedit is found, editing_none.c elsewhere. */
#ifndef PUNA_CLI_LINE_EDITING_H
#define PUNA_CLI_LINE_EDITING_H

#include "line_editor.h"

/* NULL: this terminal, or this build, has plain lines only. */
void *editing_open(const line_editor *e);
void editing_close(void *editing);
line_result editing_read(void *editing, const char *prompt, text *out);
void editing_remember(void *editing, const char *entry);

#endif
