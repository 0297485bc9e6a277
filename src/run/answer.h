/* answer.h: what the files that take answers apart share. */
#ifndef PN_RUN_ANSWER_H
#define PN_RUN_ANSWER_H

#include "run/prompt.h"

typedef struct pn_slice {
    const char *s;
    size_t n;
} pn_slice;

/* The message being built. */
typedef struct pn_answer {
    const puna_chat *chat;
    const puna_prompt *prompt; /* or NULL */
    bool is_partial;
    bool takes_calls; /* tools were given, or it is not known */
    pn_json tools;    /* of the prompt; no nodes: unknown */
    pn_buf content, reasoning;
    pn_buf calls; /* JSON objects with commas between */
    int32_t n_calls;
    bool no_memory;
} pn_answer;

/* ---- texts ----------------------------------------------------------------------------------- */

pn_slice pn_slice_of(const char *text);
pn_slice pn_slice_from(pn_slice text, size_t from); /* from <= n */
pn_slice pn_slice_trim(pn_slice text);
pn_slice pn_slice_trim_left(pn_slice text);
pn_slice pn_slice_trim_right(pn_slice text);
bool pn_slice_begins(pn_slice text, const char *with);
bool pn_slice_ends(pn_slice text, const char *with);
/* Offset of the first occurrence at or after from, or SIZE_MAX. */
size_t pn_slice_find(pn_slice text, const char *what, size_t from);
/* Bytes at the end of text that what may begin with, the whole of it excepted. */
size_t pn_slice_open_end(pn_slice text, const char *what);
/* Takes what off the beginning of text if it is there. */
bool pn_slice_take(pn_slice *text, const char *what);

/* ---- values: each appends JSON text to out and is false when text is no such value ----------- */

/* On success *text is moved behind the value. */
bool pn_value_python(pn_slice *text, pn_buf *out); /* 'x', True, [1, 2], {"a": None} */
bool pn_value_gemma(pn_slice *text, pn_buf *out);  /* {a:<|"|>x<|"|>,b:[1,2]} */
/* NAME(a=1, b='x') with its name and its arguments as an object. */
bool pn_value_python_call(pn_slice *text, pn_slice *name, pn_buf *out);
/* The value of a parameter that was written as plain text: as its schema says, else JSON or Python
 * where it is such a value, else a string. False only when memory is out. */
bool pn_value_of_text(const pn_answer *a, pn_slice function, pn_slice parameter, pn_slice text,
                      pn_buf *out);

/* ---- calls ----------------------------------------------------------------------------------- */

/* arguments: JSON text. */
void pn_answer_add_call(pn_answer *a, pn_slice name, pn_slice arguments);
/* Takes a JSON object off text: true and *json, the object's text. */
bool pn_answer_take_object(pn_answer *a, pn_slice *text, pn_slice *json);
/* The calls that JSON describes: objects with a name and arguments, or lists of such, one after the
 * other. True when all of text is that; then they are added. */
bool pn_answer_add_json_calls(pn_answer *a, pn_slice text);

typedef enum pn_found { PN_NO_CALL, PN_CALL, PN_UNFINISHED } pn_found;
/* What begins at text[at], where an opening mark stands. *end: behind it. */
typedef enum pn_body {
    BODY_ANY,
    BODY_JSON,
    BODY_FUNCTION,
    BODY_PYTHON_TAG,
    BODY_MISTRAL,
    BODY_DEEPSEEK,
    BODY_INVOKE,
    BODY_KIMI,
    BODY_SOLAR,
    BODY_GEMMA,
    BODY_PYTHON,
    BODY_COLON
} pn_body;
/* Adds the calls of a body; open is what stood before it. True when it is one. */
bool pn_answer_body(pn_answer *a, pn_body body, const char *open, pn_slice text);
/* The same where nothing marks the end: *used gets the bytes of it. */
pn_found pn_answer_open_body(pn_answer *a, pn_body body, pn_slice text, size_t *used);

/* ---- whole answers --------------------------------------------------------------------------- */

/* Formats that address each part of an answer (channels, recipients). False: the chat's is none of
 * them. */
bool pn_answer_addressed(pn_answer *a, pn_slice text);
/* Reasoning, content and calls by the marks of answer_syntaxes.def. */
void pn_answer_marked(pn_answer *a, pn_slice text);
/* True when the chat's template has the text. */
bool pn_answer_writes(const pn_answer *a, const char *text);
/* Appends; no_memory is noted. */
void pn_answer_say(pn_answer *a, pn_buf *to, pn_slice text);

#endif
