/* answer_marked.c: answers in which marks stand around what is not said: reasoning at the
 * beginning, calls anywhere (answer_syntaxes.def). */
#include "run/answer.h"

#include <string.h>

typedef struct think_row {
    const char *needs, *open, *close;
} think_row;

typedef struct call_row {
    const char *needs, *open, *close;
    pn_body body;
} call_row;

typedef struct mark_row {
    const char *needs, *text;
} mark_row;

#define THINK(needs, open, close)
#define CALL(needs, open, close, body)
#define MARK(needs, text)
#undef THINK
#define THINK(needs, open, close) {needs, open, close},
static const think_row thinks[] = {
#include "run/answer_syntaxes.def"
};
#undef THINK
#define THINK(needs, open, close)
#undef CALL
#define CALL(needs, open, close, body) {needs, open, close, body},
static const call_row calls[] = {
#include "run/answer_syntaxes.def"
};
#undef CALL
#define CALL(needs, open, close, body)
#undef MARK
#define MARK(needs, text) {needs, text},
static const mark_row marks[] = {
#include "run/answer_syntaxes.def"
};

#define AFTER_FUNCTION "</tool_call>"
/* Texts of marks without calls are not read forever, but this often as long as the answer is. */
#define MAX_WASTE 64

enum {
    N_THINKS = sizeof thinks / sizeof *thinks,
    N_CALLS = sizeof calls / sizeof *calls,
    N_MARKS = sizeof marks / sizeof *marks
};

/* ---- reasoning ------------------------------------------------------------------------------- */

/* True when the prompt ends where reasoning has begun. */
static bool prompt_opens(const pn_answer *a, const think_row *row) {
    if (!a->prompt) return false;
    const pn_slice text = {a->prompt->out.text, a->prompt->out.n_bytes};
    return a->prompt->n_spans > 0 && a->prompt->spans[a->prompt->n_spans - 1].from_template &&
           pn_slice_ends(pn_slice_trim_right(text), row->open);
}

/* Takes what was thought off the text. False: the text goes on inside of it, or may begin it. */
static bool take_reasoning(pn_answer *a, pn_slice *text, const think_row *row) {
    const bool opened = prompt_opens(a, row);
    pn_slice inside = pn_slice_trim_left(*text);
    if (a->is_partial && inside.n < strlen(row->open) &&
        pn_slice_open_end(inside, row->open) == inside.n)
        return false;
    const bool begun = pn_slice_take(&inside, row->open) || opened;
    const size_t close = pn_slice_find(inside, row->close, 0);
    if (!begun && (a->prompt || close == SIZE_MAX || !pn_answer_writes(a, row->close))) return true;
    pn_slice thought = {inside.s, close == SIZE_MAX ? inside.n : close};
    if (close == SIZE_MAX && a->is_partial) thought.n -= pn_slice_open_end(thought, row->close);
    pn_answer_say(a, &a->reasoning, pn_slice_trim(thought));
    if (close == SIZE_MAX) return false;
    *text = pn_slice_trim_left(pn_slice_from(inside, close + strlen(row->close)));
    return true;
}

static bool take_all_reasoning(pn_answer *a, pn_slice *text) {
    for (int i = 0; i < N_THINKS && a->reasoning.n == 0; i++) {
        const char *before = text->s;
        if (!pn_answer_writes(a, thinks[i].needs)) continue;
        if (!take_reasoning(a, text, &thinks[i])) return false;
        if (text->s != before) break;
    }
    return true;
}

/* ---- content and calls ----------------------------------------------------------------------- */

typedef struct scan {
    pn_answer *a;
    pn_slice text;
    size_t next[N_CALLS];  /* where the next opening mark of a row stands; SIZE_MAX: nowhere */
    size_t close[N_CALLS]; /* the closing mark found last */
    size_t wasted;         /* bytes read for what was no call */
    pn_body last;          /* of the last call */
    bool active[N_CALLS];
    bool dropped[N_MARKS];
} scan;

static void begin_scan(scan *s) {
    for (int i = 0; i < N_CALLS; i++) {
        s->active[i] = s->a->takes_calls && pn_answer_writes(s->a, calls[i].needs);
        s->next[i] = s->active[i] ? pn_slice_find(s->text, calls[i].open, 0) : SIZE_MAX;
        s->close[i] = 0;
    }
    for (int i = 0; i < N_MARKS; i++) s->dropped[i] = pn_answer_writes(s->a, marks[i].needs);
}

/* The row whose mark stands first at or after from, or -1. */
static int first_open(scan *s, size_t from) {
    int first = -1;
    for (int i = 0; i < N_CALLS; i++) {
        if (s->next[i] != SIZE_MAX && s->next[i] < from)
            s->next[i] = pn_slice_find(s->text, calls[i].open, from);
        if (s->next[i] != SIZE_MAX && (first < 0 || s->next[i] < s->next[first])) first = i;
    }
    return first;
}

/* Where the row's closing mark stands after from. */
static size_t find_close(scan *s, int row, size_t from) {
    if (s->close[row] < from) s->close[row] = pn_slice_find(s->text, calls[row].close, from);
    return s->close[row];
}

static pn_found read_call(scan *s, int row, size_t at, size_t *end) {
    const call_row *r = &calls[row];
    const size_t from = at + strlen(r->open);
    const pn_slice rest = pn_slice_from(s->text, from);
    if (!*r->close) {
        size_t used = 0;
        const pn_found found = pn_answer_open_body(s->a, r->body, rest, &used);
        *end = from + used;
        return found;
    }
    const size_t close = find_close(s, row, from);
    const pn_slice body = {rest.s, (close == SIZE_MAX ? s->text.n : close) - from};
    if (close == SIZE_MAX && s->a->is_partial) return PN_UNFINISHED;
    *end = close == SIZE_MAX ? s->text.n : close + strlen(r->close);
    if (!pn_answer_body(s->a, r->body, r->open, body)) return PN_NO_CALL;
    if (r->body == BODY_FUNCTION) { /* Qwen3-Coder forgets to open what it closes */
        pn_slice after = pn_slice_trim_left(pn_slice_from(s->text, *end));
        if (pn_slice_take(&after, AFTER_FUNCTION)) *end = (size_t)(after.s - s->text.s);
    }
    return PN_CALL;
}

/* Bytes of the dropped mark that text begins with, or 0. All begin with '<'. */
static size_t dropped_mark(const scan *s, pn_slice text) {
    for (int i = 0; i < N_MARKS; i++)
        if (s->dropped[i] && pn_slice_begins(text, marks[i].text)) return strlen(marks[i].text);
    return 0;
}

/* Says text without the marks that are dropped. */
static void say(scan *s, pn_slice text) {
    size_t said = 0;
    for (size_t i = 0; i < text.n;) {
        const char *mark = memchr(text.s + i, '<', text.n - i);
        if (!mark) break;
        i = (size_t)(mark - text.s);
        const size_t n = dropped_mark(s, pn_slice_from(text, i));
        if (n > 0) {
            pn_answer_say(s->a, &s->a->content, (pn_slice){text.s + said, i - said});
            said = i + n;
        }
        i += n ? n : 1;
    }
    pn_answer_say(s->a, &s->a->content, pn_slice_from(text, said));
}

static bool has_marks(const scan *s) {
    for (int i = 0; i < N_CALLS; i++)
        if (s->active[i]) return true;
    for (int i = 0; i < N_MARKS; i++)
        if (s->dropped[i]) return true;
    return false;
}

/* What may still become a mark is not said yet. */
static pn_slice hold_back(const scan *s, pn_slice text) {
    size_t most = 0;
    for (int i = 0; i < N_CALLS; i++) {
        const size_t n = s->active[i] ? pn_slice_open_end(text, calls[i].open) : 0;
        if (n > most) most = n;
    }
    for (int i = 0; i < N_MARKS; i++) {
        const size_t n = s->dropped[i] ? pn_slice_open_end(text, marks[i].text) : 0;
        if (n > most) most = n;
    }
    text.n -= most;
    return text;
}

static void trim_content(pn_answer *a) {
    const pn_slice text = pn_slice_trim_right((pn_slice){a->content.data, a->content.n});
    a->content.n = text.n;
}

static void scan_calls(pn_answer *a, pn_slice text) {
    scan s = {.a = a, .text = text};
    size_t from = 0, said = 0;
    bool cut = false;
    begin_scan(&s);
    for (int row; !cut && !a->no_memory && (row = first_open(&s, from)) >= 0;) {
        const size_t at = s.next[row];
        size_t end = 0;
        const pn_found found = read_call(&s, row, at, &end);
        from = at + 1;
        if (found == PN_NO_CALL) {
            s.wasted += (*calls[row].close ? end : text.n) - at;
            if (s.wasted / MAX_WASTE > text.n) break;
            continue;
        }
        say(&s, (pn_slice){text.s + said, at - said});
        trim_content(a);
        cut = found == PN_UNFINISHED;
        s.last = calls[row].body;
        from = said = end;
    }
    if (cut) return;
    pn_slice rest = pn_slice_from(text, said);
    if (a->n_calls > 0) rest = pn_slice_trim(rest);
    if (a->is_partial) rest = hold_back(&s, rest);
    if (a->is_partial && a->n_calls > 0 && s.last == BODY_FUNCTION &&
        pn_slice_open_end(rest, AFTER_FUNCTION) == rest.n)
        return;
    if (a->n_calls > 0 && a->content.n > 0 && rest.n > 0)
        pn_answer_say(a, &a->content, pn_slice_of("\n\n"));
    say(&s, rest);
    if (a->n_calls > 0 || (a->is_partial && has_marks(&s))) trim_content(a);
}

/* Llama 3: the whole answer is the JSON of a call. */
static bool is_bare_json(pn_answer *a, pn_slice text) {
    text = pn_slice_trim(text);
    if (!a->takes_calls || text.n == 0 || text.s[0] != '{' ||
        !pn_answer_writes(a, "{\"name\": function name, \"parameters\""))
        return false;
    return a->is_partial || pn_answer_add_json_calls(a, text); /* text may follow yet */
}

void pn_answer_marked(pn_answer *a, pn_slice text) {
    if (!take_all_reasoning(a, &text) || a->no_memory) return;
    if (!is_bare_json(a, text)) scan_calls(a, text);
}
