/* stops.c: the stop texts run side by side as automata of Knuth, Morris and Pratt (1977): for each,
 * how many of its bytes the text ends with. A byte of text costs a few steps for each stop, however
 * long they are. */
#include "run/stops.h"

#include "base/mem.h"
#include "base/utf8.h"

#include <string.h>

typedef struct stop {
    const char *text;
    int32_t n;     /* bytes */
    int32_t at;    /* the text so far ends with text[0..at) */
    int32_t *fall; /* [n] fall[i]: the longest proper beginning that text[0..i] ends with */
} stop;

/* One block of memory: rows, then what they point to. */
struct pn_stops {
    int32_t n;
    size_t longest;
    stop rows[]; /* [n] */
};

static puna_status check(const char *const *texts, int32_t n, puna_error *err) {
    if (n < 0 || n > PN_MAX_STOPS)
        return pn_fail(err, n < 0 ? PUNA_E_ARG : PUNA_E_LIMIT, "n_stops is %d, allowed: 0 to %d", n,
                       PN_MAX_STOPS);
    if (n > 0 && !texts) return pn_fail(err, PUNA_E_ARG, "stops: NULL with n_stops = %d", n);
    for (int32_t i = 0; i < n; i++) {
        if (!texts[i] || !texts[i][0])
            return pn_fail(err, PUNA_E_ARG, "stops[%d]: empty; it would end every text", i);
        const size_t bytes = strlen(texts[i]);
        if (bytes > PN_MAX_STOP_BYTES)
            return pn_fail(err, PUNA_E_LIMIT, "stops[%d]: %zu bytes, at most %d", i, bytes,
                           PN_MAX_STOP_BYTES);
        if (pn_utf8_valid(texts[i], bytes) != bytes)
            return pn_fail(err, PUNA_E_ARG, "stops[%d]: not valid UTF-8", i);
    }
    return PUNA_OK;
}

/* One more byte of text: how many bytes of the stop it ends with now. A stop that was complete goes
 * on from its longest proper beginning. */
static int32_t follow(const stop *s, int32_t at, char byte) {
    while (at > 0 && (at == s->n || s->text[at] != byte)) at = s->fall[at - 1];
    return s->text[at] == byte ? at + 1 : at;
}

static void fill_falls(stop *s) {
    s->fall[0] = 0;
    for (int32_t i = 1; i < s->n; i++) s->fall[i] = follow(s, s->fall[i - 1], s->text[i]);
}

/* Lays the stops out behind the rows: all the falls, then all the texts. */
static void fill(pn_stops *stops, const char *const *texts, size_t n_bytes) {
    int32_t *falls = (int32_t *)(void *)(stops->rows + stops->n);
    char *copies = (char *)(falls + n_bytes);
    for (int32_t i = 0; i < stops->n; i++) {
        stop *s = &stops->rows[i];
        const size_t n = strlen(texts[i]);
        memcpy(copies, texts[i], n + 1);
        *s = (stop){.text = copies, .n = (int32_t)n, .fall = falls};
        fill_falls(s);
        copies += n + 1;
        falls += n;
        if (n > stops->longest) stops->longest = n;
    }
}

puna_status pn_stops_open(const char *const *texts, int32_t n, pn_stops **stops, puna_error *err) {
    const puna_status status = check(texts, n, err);
    *stops = NULL;
    if (status != PUNA_OK || n == 0) return status;
    size_t n_bytes = 0; /* at most PN_MAX_STOPS * PN_MAX_STOP_BYTES */
    for (int32_t i = 0; i < n; i++) n_bytes += strlen(texts[i]);
    const size_t total =
        sizeof **stops + (size_t)n * (sizeof(stop) + 1) + n_bytes * (sizeof(int32_t) + 1);
    pn_stops *s = pn_calloc(1, total);
    if (!s) return pn_fail_nomem(err, total, "stop texts");
    s->n = n;
    fill(s, texts, n_bytes);
    *stops = s;
    return PUNA_OK;
}

puna_status pn_stops_copy(const pn_stops *stops, pn_stops **copy, puna_error *err) {
    const char *texts[PN_MAX_STOPS];
    const int32_t n = stops ? stops->n : 0;
    for (int32_t i = 0; i < n; i++) texts[i] = stops->rows[i].text;
    return pn_stops_open(texts, n, copy, err);
}

void pn_stops_free(pn_stops *stops) {
    pn_free(stops);
}

size_t pn_stops_longest(const pn_stops *stops) {
    return stops ? stops->longest : 0;
}

void pn_stops_restart(pn_stops *stops) {
    for (int32_t i = 0; stops && i < stops->n; i++) stops->rows[i].at = 0;
}

int32_t pn_stops_read(pn_stops *stops, const char *text, size_t n, size_t *held) {
    *held = 0;
    if (!stops) return -1;
    for (size_t b = 0; b < n; b++) {
        int32_t found = -1;
        for (int32_t i = 0; i < stops->n; i++) {
            stop *s = &stops->rows[i];
            s->at = follow(s, s->at, text[b]);
            if (s->at == s->n && (found < 0 || s->n > stops->rows[found].n)) found = i;
        }
        if (found < 0) continue;
        *held = (size_t)stops->rows[found].n + (n - 1 - b);
        return found;
    }
    for (int32_t i = 0; i < stops->n; i++)
        if ((size_t)stops->rows[i].at > *held) *held = (size_t)stops->rows[i].at;
    return -1;
}
