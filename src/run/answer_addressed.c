/* answer_addressed.c: answers whose parts say whom they are for.
 *
 *   gpt-oss        <|channel|>analysis<|message|>...<|end|><|start|>assistant<|channel|>final...
 *                  <|channel|>commentary to=functions.NAME <|constrain|>json<|message|>{...}
 *   Muse           to=self<|message|>...<|eom|><|start|>assistant to=NAME<|message|><atem:...>
 *   Functionary 2  all\n<|content|>...\n<|from|>assistant\n<|recipient|>NAME\n<|content|>{...}
 *   Functionary 3  all\n...>>>NAME\n{...}            Functionary 0   to=functions.NAME:\n{...}
 *   chatml-function-calling   message:\n...   or   functions.NAME:\n{...}
 *
 * Each is a list of parts: an address, then what is said until the next part. */
#include "run/answer.h"

#include <string.h>

static bool is_word(pn_slice word, const char *text) {
    return word.n == strlen(text) && memcmp(word.s, text, word.n) == 0;
}

static bool prompt_ends(const pn_answer *a, const char *with) {
    if (!a->prompt) return false;
    return pn_slice_ends((pn_slice){a->prompt->out.text, a->prompt->out.n_bytes}, with);
}

/* Where the first of the marks, which all begin with the same character, stands; the end of text
 * without one. */
static size_t first_mark(pn_slice text, const char *const *marks, int *which) {
    for (size_t i = 0; i < text.n; i++) {
        const char *at = memchr(text.s + i, marks[0][0], text.n - i);
        if (!at) break;
        i = (size_t)(at - text.s);
        for (int k = 0; marks[k]; k++)
            if (pn_slice_begins(pn_slice_from(text, i), marks[k])) {
                *which = k;
                return i;
            }
    }
    return text.n;
}

/* Adds a part to what was said before of its kind. */
static void add_part(pn_answer *a, pn_buf *to, pn_slice text) {
    if (text.n > 0 && to->n > 0) pn_answer_say(a, to, pn_slice_of("\n"));
    pn_answer_say(a, to, text);
}

/* A call with an object for arguments, or (code) with any text as its code. False: neither. */
static bool add_call(pn_answer *a, pn_slice name, pn_slice text) {
    pn_slice rest = pn_slice_trim(text), object = pn_slice_of("{}");
    (void)pn_slice_take(&name, "functions.");
    if (!a->takes_calls || name.n == 0) return false;
    if (rest.n == 0 || (pn_answer_take_object(a, &rest, &object) && pn_slice_trim(rest).n == 0)) {
        pn_answer_add_call(a, name, object);
        return true;
    }
    if (!is_word(name, "python")) return false;
    pn_buf code = {0};
    text = pn_slice_trim(text);
    if (pn_buf_put(&code, "{\"code\": ") && pn_json_put(&code, text.s, text.n) &&
        pn_buf_put(&code, "}"))
        pn_answer_add_call(a, name, (pn_slice){code.data, code.n});
    else
        a->no_memory = true;
    pn_buf_free(&code);
    return true;
}

/* Without what may be the beginning of a mark, while the answer goes on. */
static pn_slice hold_back(const pn_answer *a, pn_slice text, const char *const *marks) {
    size_t most = 0;
    if (!a->is_partial) return text;
    for (; *marks; marks++) {
        const size_t n = pn_slice_open_end(text, *marks);
        if (n > most) most = n;
    }
    text.n -= most;
    return text;
}

/* ---- gpt-oss --------------------------------------------------------------------------------- */

/* The first of them end a part and are dropped. */
static const char *const harmony_ends[] = {"<|end|>", "<|call|>",  "<|return|>",  "<|eom|>",
                                           "<|eot|>", "<|start|>", "<|channel|>", NULL};
#define N_DROPPED_ENDS 5

/* The word after what in a header, up to a space or the next mark. */
static pn_slice word_after(pn_slice header, const char *what) {
    const size_t at = pn_slice_find(header, what, 0);
    if (at == SIZE_MAX) return (pn_slice){"", 0};
    pn_slice word = pn_slice_from(header, at + strlen(what));
    size_t n = 0;
    while (n < word.n && word.s[n] != ' ' && word.s[n] != '<' && word.s[n] != '\n') n++;
    return (pn_slice){word.s, n};
}

static void add_harmony(pn_answer *a, pn_slice header, pn_slice text, bool is_open) {
    const pn_slice to = word_after(header, "to="), channel = word_after(header, "<|channel|>");
    const bool thought = is_word(channel, "analysis") || is_word(to, "self");
    if (to.n > 0 && !is_word(to, "self") && !is_word(to, "user")) {
        if (is_open && a->is_partial) return;
        if (add_call(a, to, text)) return;
        pn_answer_marked(a, text); /* a call in tags, or content after all */
        return;
    }
    if (is_open) text = hold_back(a, text, harmony_ends);
    add_part(a, thought ? &a->reasoning : &a->content, text);
}

static void read_harmony(pn_answer *a, pn_slice text) {
    while (text.n > 0 && !a->no_memory) {
        const size_t at = pn_slice_find(text, "<|message|>", 0);
        if (at == SIZE_MAX) {
            if (!a->is_partial) add_part(a, &a->content, text);
            return;
        }
        const pn_slice header = {text.s, at};
        const pn_slice body = pn_slice_from(text, at + strlen("<|message|>"));
        int mark = -1;
        const size_t end = first_mark(body, harmony_ends, &mark);
        add_harmony(a, header, (pn_slice){body.s, end}, end == body.n);
        text = pn_slice_from(body, end);
        if (mark >= 0 && mark < N_DROPPED_ENDS) (void)pn_slice_take(&text, harmony_ends[mark]);
    }
}

/* ---- Functionary ----------------------------------------------------------------------------- */

static void add_recipient(pn_answer *a, pn_slice to, pn_slice text, bool is_open,
                          const char *const *marks) {
    to = pn_slice_trim(to);
    if (is_word(to, "all")) {
        if (is_open) text = hold_back(a, text, marks);
        add_part(a, &a->content, pn_slice_trim(text));
    } else if (!(is_open && a->is_partial) && !add_call(a, to, text)) {
        add_part(a, &a->content, pn_slice_trim(text));
    }
}

static void read_functionary_2(pn_answer *a, pn_slice text) {
    static const char *const marks[] = {"\n<|from|>", "<|from|>", "<|stop|>", NULL};
    bool named = !prompt_ends(a, "<|content|>");
    while (text.n > 0 && !a->no_memory) {
        pn_slice to = pn_slice_of("all");
        if (named) {
            const size_t at = pn_slice_find(text, "<|content|>", 0);
            if (at == SIZE_MAX) {
                if (!a->is_partial) add_part(a, &a->content, text);
                return;
            }
            to = (pn_slice){text.s, at};
            const size_t recipient = pn_slice_find(to, "<|recipient|>", 0);
            if (recipient != SIZE_MAX) to = pn_slice_from(to, recipient + strlen("<|recipient|>"));
            text = pn_slice_from(text, at + strlen("<|content|>"));
        }
        named = true;
        int mark = -1;
        const size_t end = first_mark(text, marks + 1, &mark);
        add_recipient(a, to, (pn_slice){text.s, end}, end == text.n, marks);
        text = pn_slice_from(text, end);
        if (pn_slice_take(&text, "<|stop|>")) break;
    }
}

static void read_functionary_3(pn_answer *a, pn_slice text) {
    static const char *const marks[] = {">>>", NULL};
    (void)pn_slice_take(&text, ">>>");
    while (text.n > 0 && !a->no_memory) {
        const size_t line = pn_slice_find(text, "\n", 0);
        if (line == SIZE_MAX) {
            if (!a->is_partial) add_part(a, &a->content, text);
            return;
        }
        const pn_slice to = {text.s, line};
        text = pn_slice_from(text, line + 1);
        int mark = -1;
        const size_t end = first_mark(text, marks, &mark);
        add_recipient(a, to, (pn_slice){text.s, end}, end == text.n, marks);
        text = pn_slice_from(text, end);
        (void)pn_slice_take(&text, ">>>");
    }
}

/* " to=functions.NAME:\n{json}" or ":\ncontent", where the prompt ends with "assistant". */
static void read_functionary_0(pn_answer *a, pn_slice text) {
    pn_slice name = pn_slice_trim_left(text);
    if (pn_slice_take(&name, "to=functions.")) {
        const size_t at = pn_slice_find(name, ":", 0);
        if (a->is_partial) return;
        if (at != SIZE_MAX && add_call(a, (pn_slice){name.s, at}, pn_slice_from(name, at + 1)))
            return;
    } else if (a->is_partial && pn_slice_open_end(name, "to=functions.") == name.n) {
        return;
    }
    if (pn_slice_take(&text, ":\n") || pn_slice_take(&text, ":")) text = pn_slice_trim_left(text);
    pn_answer_say(a, &a->content, text);
}

/* ---- chatml-function-calling ----------------------------------------------------------------- */

/* The calls that text is made of, with nothing between. */
static bool read_function_lines(pn_answer *a, pn_slice text) {
    for (text = pn_slice_trim(text); text.n > 0; text = pn_slice_trim_left(text)) {
        pn_slice object;
        if (!pn_slice_take(&text, "functions.")) return false;
        const size_t at = pn_slice_find(text, ":", 0);
        if (at == SIZE_MAX) return false;
        const pn_slice name = {text.s, at};
        text = pn_slice_from(text, at + 1);
        if (!pn_answer_take_object(a, &text, &object)) return false;
        pn_answer_add_call(a, name, object);
    }
    return a->n_calls > 0;
}

static void read_function_calling(pn_answer *a, pn_slice text) {
    pn_slice said = pn_slice_trim_left(text);
    if (a->is_partial && (pn_slice_open_end(said, "message:") == said.n ||
                          pn_slice_open_end(said, "functions.") == said.n))
        return;
    if (pn_slice_take(&said, "message:")) {
        pn_answer_say(a, &a->content, pn_slice_trim_left(said));
    } else if (pn_slice_begins(said, "functions.") && a->takes_calls) {
        const size_t n = a->calls.n;
        if (a->is_partial || read_function_lines(a, said)) return;
        a->calls.n = n;
        a->n_calls = 0;
        pn_answer_say(a, &a->content, text);
    } else {
        pn_answer_say(a, &a->content, text);
    }
}

bool pn_answer_addressed(pn_answer *a, pn_slice text) {
    if (pn_answer_writes(a, "<|message|>") &&
        (pn_answer_writes(a, "<|channel|>") || pn_answer_writes(a, "<atem:")))
        read_harmony(a, text);
    else if (pn_answer_writes(a, "<|recipient|>") && pn_answer_writes(a, "<|content|>"))
        read_functionary_2(a, text);
    else if (pn_answer_writes(a, "recipient==all") && pn_answer_writes(a, ">>>"))
        read_functionary_3(a, text);
    else if (pn_answer_writes(a, "assistant to=functions."))
        read_functionary_0(a, text);
    else if (pn_answer_writes(a, "functions.<function_name>:"))
        read_function_calling(a, text);
    else
        return false;
    return true;
}
