/* editing_libedit.c: line editing with libedit.
 *
 * Three things libedit leaves to us:
 *   characters  are read here (EL_GETCFN) as UTF-8, whatever the locale says;
 *   pasting     the terminal is asked to bracket pasted text (ESC [ 200 ~ ... ESC [ 201 ~); the
 *               first mark becomes a key whose function inserts all up to the second, newlines too;
 *   signals     are blocked except while waiting for a key, so that they are acted on here, outside
 *               of any handler: Ctrl-C gives the line up; Ctrl-Z and signals that end the program
 *               put the terminal right before they do what they do; a new window size draws anew.
 */
#define _XOPEN_SOURCE 700 /* pselect, kill, wcwidth; setlocale is C */
#include "line_editing.h"

#include <errno.h>
#include <histedit.h>
#include <langinfo.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <termios.h>
#include <unistd.h>
#include <wchar.h>

#include "cli_print.h"

typedef struct editing {
    const line_editor *editor;
    EditLine *el;
    struct termios
        before; /* the terminal as it was: what libedit leaves between lines is its own */
    HistoryW *history;
    char *prompt; /* with its colours, between marks that count as no columns */
    /* keys that are read but not yet handed on */
    unsigned char keys[4096];
    size_t n_keys;
    size_t at;
    sigset_t waiting; /* the signal mask while waiting for a key */
    enum { GOES_ON, GIVEN_UP } state;
} editing;

/* ACT and PASTE are keys (Ctrl-] and Ctrl-^) that are made up here to have the editor call a
 * function of ours, whatever its mode. */
enum { MAX_PASTE = 1 << 24, MARK = '\1', ACT = 0x1D, PASTE = 0x1E };

/* ---- signals --------------------------------------------------------------------------------- */

static const int caught[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGWINCH, SIGCONT};
enum { N_CAUGHT = sizeof caught / sizeof *caught };
static volatile sig_atomic_t arrived[N_CAUGHT];

typedef struct signals {
    sigset_t mask;
    struct sigaction actions[N_CAUGHT];
} signals;

static void on_signal(int number) {
    for (int i = 0; i < N_CAUGHT; i++)
        if (caught[i] == number) arrived[i] = 1;
}

static bool take_signal(int number) {
    for (int i = 0; i < N_CAUGHT; i++) {
        if (caught[i] != number || !arrived[i]) continue;
        arrived[i] = 0;
        return true;
    }
    return false;
}

/* A signal that the program ignores stays ignored (nohup). */
static void catch_signals(signals *before, sigset_t *waiting) {
    struct sigaction action;
    sigset_t blocked;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    sigemptyset(&action.sa_mask);
    sigemptyset(&blocked);
    for (int i = 0; i < N_CAUGHT; i++) {
        sigaddset(&blocked, caught[i]);
        arrived[i] = 0;
    }
    sigprocmask(SIG_BLOCK, &blocked, &before->mask);
    *waiting = before->mask;
    for (int i = 0; i < N_CAUGHT; i++) {
        sigaction(caught[i], &action, &before->actions[i]);
        if (before->actions[i].sa_handler == SIG_IGN)
            sigaction(caught[i], &before->actions[i], NULL);
        sigdelset(waiting, caught[i]);
    }
}

static void release_signals(const signals *before) {
    for (int i = 0; i < N_CAUGHT; i++) sigaction(caught[i], &before->actions[i], NULL);
    sigprocmask(SIG_SETMASK, &before->mask, NULL);
}

static void bracket_paste(const editing *e, bool on) {
    fputs(on ? "\033[?2004h" : "\033[?2004l", e->editor->screen);
    fflush(e->editor->screen);
}

/* With the terminal as it was before editing, lets a signal do what it does by default. Comes back
 * after it only from a stop. */
static void obey(editing *e, int number) {
    struct sigaction action;
    struct sigaction before;
    sigset_t only;
    memset(&action, 0, sizeof action);
    action.sa_handler = SIG_DFL;
    sigemptyset(&action.sa_mask);
    bracket_paste(e, false);
    el_set(e->el, EL_PREP_TERM, 0);
    tcsetattr(STDIN_FILENO, TCSADRAIN, &e->before);
    sigaction(number, &action, &before);
    sigemptyset(&only);
    sigaddset(&only, number);
    raise(number);
    sigprocmask(SIG_UNBLOCK, &only, NULL);
    sigprocmask(SIG_BLOCK, &only, NULL);
    sigaction(number, &before, NULL);
    el_set(e->el, EL_PREP_TERM, 1);
    bracket_paste(e, true);
}

/* Draws the line below what others may have written. */
static void draw_below(editing *e) {
    el_resize(e->el);
    el_set(e->el, EL_REFRESH);
}

/* True when the editor is to call act. */
static bool act_on_signals(editing *e) {
    static const int deadly[] = {SIGTERM, SIGHUP, SIGQUIT};
    for (int i = 0; i < 3; i++)
        if (take_signal(deadly[i])) obey(e, deadly[i]);
    if (take_signal(SIGINT)) {
        e->state = GIVEN_UP;
        return true;
    }
    bool stopped = take_signal(SIGTSTP);
    if (stopped) obey(e, SIGTSTP);
    bool went_on = take_signal(SIGCONT);
    if (went_on && !stopped) { /* stopped by somebody who asked nobody: SIGSTOP */
        el_set(e->el, EL_PREP_TERM, 1);
        bracket_paste(e, true);
    }
    if (went_on || stopped) draw_below(e);
    return take_signal(SIGWINCH);
}

/* What a signal wants of the editor: the cursor behind the line that is given up, or the line drawn
 * for the new size of the window. */
static unsigned char act(EditLine *el, int key) {
    editing *e;
    (void)key;
    el_get(el, EL_CLIENTDATA, &e);
    if (e->state == GOES_ON) {
        el_resize(el);
        return CC_REDISPLAY;
    }
    el_cursor(el, 1 << 24);
    return CC_CURSOR;
}

/* ---- keys ------------------------------------------------------------------------------------ */

/* Waits until there is a key. 1, 0 at the end of input, -1 when the line is over. */
static int read_keys(editing *e) {
    for (;;) {
        fd_set ready;
        if (e->state == GIVEN_UP) return -1;
        FD_ZERO(&ready);
        FD_SET(STDIN_FILENO, &ready);
        int n_ready = pselect(STDIN_FILENO + 1, &ready, NULL, NULL, NULL, &e->waiting);
        if (n_ready < 0 && errno != EINTR) return -1;
        e->at = 0;
        e->n_keys = 0;
        if (act_on_signals(e)) {
            e->keys[e->n_keys++] = ACT;
            return 1;
        }
        if (n_ready <= 0) continue;
        ssize_t n = read(STDIN_FILENO, e->keys, sizeof e->keys);
        if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
        if (n <= 0) return (int)n;
        e->n_keys = (size_t)n;
        return 1;
    }
}

static int next_byte(editing *e, unsigned char *byte) {
    if (e->at == e->n_keys) {
        int got = read_keys(e);
        if (got <= 0) return got;
    }
    *byte = e->keys[e->at++];
    return 1;
}

/* One character; bytes that are no UTF-8 are passed over. */
static int next_char(editing *e, wchar_t *out) {
    unsigned char bytes[4];
    size_t n = 0;
    for (;;) {
        int got = next_byte(e, &bytes[n]);
        if (got <= 0) return got;
        size_t wanted = bytes[0] < 0x80 ? 1 : bytes[0] < 0xE0 ? 2 : bytes[0] < 0xF0 ? 3 : 4;
        bool follows = n == 0 || (bytes[n] & 0xC0) == 0x80;
        n++;
        if (follows && n < wanted) continue;
        if (!follows) { /* the beginning of another character */
            e->at--;
        } else if (utf8_bytes(bytes, n) == n) {
            break;
        }
        n = 0;
    }
    *out = (wchar_t)utf8_code_point(bytes, n);
    return 1;
}

/* Whether more keys come at once, as those of one sequence do. */
static bool more_keys(editing *e) {
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    memmove(e->keys, e->keys + e->at, e->n_keys - e->at);
    e->n_keys -= e->at;
    e->at = 0;
    if (poll(&input, 1, 50) <= 0) return false;
    ssize_t n = read(STDIN_FILENO, e->keys + e->n_keys, sizeof e->keys - e->n_keys);
    if (n > 0) e->n_keys += (size_t)n;
    return n > 0;
}

/* After ESC: takes the rest of the mark that begins pasted text, if it is that. */
static bool begins_paste(editing *e) {
    static const char mark[] = "[200~";
    for (;;) {
        size_t n = e->n_keys - e->at;
        if (n > sizeof mark - 1) n = sizeof mark - 1;
        if (memcmp(e->keys + e->at, mark, n) != 0) return false;
        if (n == sizeof mark - 1) {
            e->at += n;
            return true;
        }
        if (!more_keys(e)) return false;
    }
}

static int read_char(EditLine *el, wchar_t *out) {
    editing *e;
    el_get(el, EL_CLIENTDATA, &e);
    int got = next_char(e, out);
    if (got > 0 && *out == '\033' && begins_paste(e)) *out = PASTE;
    return got;
}

/* ---- editor functions ------------------------------------------------------------------------ */

/* True when the text, which is at the end of out, was the mark. */
static bool ends_paste(const wchar_t *pasted, size_t n) {
    static const wchar_t mark[] = L"\033[201~";
    return n >= 6 && wmemcmp(pasted + n - 6, mark, 6) == 0;
}

/* Inserts all up to the closing mark. Terminals send a newline as CR; other control characters
 * could only be an accident or a trick, newlines at the end only hide the text from view. */
static unsigned char insert_pasted(EditLine *el, int key) {
    editing *e;
    wchar_t *pasted = NULL;
    size_t n = 0;
    size_t room = 0;
    (void)key;
    el_get(el, EL_CLIENTDATA, &e);
    for (;;) {
        wchar_t c;
        if (next_char(e, &c) <= 0) {
            free(pasted);
            return CC_ERROR;
        }
        if (n + 2 > room) {
            room = room ? room * 2 : 1024;
            pasted = need_memory(pasted, room, sizeof *pasted);
        }
        pasted[n++] = c;
        if (ends_paste(pasted, n)) break;
        if (n == MAX_PASTE) { /* what is beyond is dropped, the mark still found */
            wmemmove(pasted + n - 11, pasted + n - 5, 5);
            n -= 6;
        }
    }
    size_t n_kept = 0;
    for (size_t i = 0; i < n - 6; i++) {
        const wchar_t c = pasted[i];
        bool control = (c < 0x20 && c != '\n' && c != '\r' && c != '\t') || (c >= 0x7F && c < 0xA0);
        if (!control) pasted[n_kept++] = c == '\r' ? L'\n' : c;
    }
    while (n_kept > 0 && pasted[n_kept - 1] == '\n') n_kept--;
    pasted[n_kept] = 0;
    int inserted = n_kept > 0 ? el_winsertstr(el, pasted) : 0;
    free(pasted);
    return inserted == 0 ? CC_REFRESH : CC_REFRESH_BEEP;
}

static unsigned char complete_word(EditLine *el, int key) {
    editing *e;
    (void)key;
    el_get(el, EL_CLIENTDATA, &e);
    const LineInfo *line = el_line(el);
    size_t n = (size_t)(line->cursor - line->buffer);
    char before[128];
    if (!e->editor->complete || n >= sizeof before) return CC_REFRESH_BEEP;
    memcpy(before, line->buffer, n);
    before[n] = 0;
    const char *more = e->editor->complete(before);
    return more && el_insertstr(el, more) == 0 ? CC_REFRESH : CC_REFRESH_BEEP;
}

static char *give_prompt(EditLine *el) {
    editing *e;
    el_get(el, EL_CLIENTDATA, &e);
    return e->prompt;
}

/* ---- opening and reading --------------------------------------------------------------------- */

/* libedit asks the C library how wide characters are and how to write them. */
static void speak_utf8(void) {
    setlocale(LC_CTYPE, "");
    if (strcmp(nl_langinfo(CODESET), "UTF-8") != 0) setlocale(LC_CTYPE, "C.UTF-8");
}

static void bind_keys(EditLine *el) {
    el_set(el, EL_EDITOR, "emacs");
    el_set(el, EL_ADDFN, "puna-paste", "insert pasted text", insert_pasted);
    el_set(el, EL_ADDFN, "puna-complete", "complete a command", complete_word);
    el_source(el, NULL); /* what the user wants of every program with libedit: ~/.editrc */
    el_set(el, EL_ADDFN, "puna-act", "answer a signal", act);
    el_set(el, EL_BIND, "^]", "puna-act", NULL);
    el_set(el, EL_BIND, "-a", "^]", "puna-act", NULL); /* the command mode of vi */
    el_set(el, EL_BIND, "^^", "puna-paste", NULL);
    el_set(el, EL_BIND, "-a", "^^", "puna-paste", NULL);
    el_set(el, EL_BIND, "^I", "puna-complete", NULL);
}

void *editing_open(const line_editor *editor) {
    const char *term = getenv("TERM");
    HistEventW event;
    if (!term || !*term || strcmp(term, "dumb") == 0) return NULL;
    speak_utf8();
    editing *e = need_memory(NULL, 1, sizeof *e);
    *e = (editing){.editor = editor, .history = history_winit()};
    tcgetattr(STDIN_FILENO, &e->before);
    e->el = el_init("puna", stdin, editor->screen, stderr);
    if (!e->el || !e->history) {
        editing_close(e);
        return NULL;
    }
    history_w(e->history, &event, H_SETSIZE, (int)HISTORY_MAX_ENTRIES);
    el_set(e->el, EL_CLIENTDATA, e);
    el_set(e->el, EL_GETCFN, read_char);
    el_set(e->el, EL_PROMPT_ESC, give_prompt, MARK);
    el_wset(e->el, EL_HIST, history_w, e->history);
    bind_keys(e->el);
    return e;
}

void editing_close(void *state) {
    editing *e = state;
    if (e->el) el_end(e->el);
    if (e->history) history_wend(e->history);
    free(e->prompt);
    free(e);
}

static void set_prompt(editing *e, const char *prompt) {
    size_t room = strlen(prompt) + 32;
    e->prompt = need_memory(e->prompt, room, 1);
    snprintf(e->prompt, room, e->editor->colours ? "\1\033[1m\1%s\1\033[0m\1" : "%s", prompt);
}

/* UTF-8 of a line without its newline. */
static void encode(const wchar_t *line, int n_chars, text *out) {
    if (n_chars > 0 && line[n_chars - 1] == L'\n') n_chars--;
    out->bytes = need_memory(NULL, (size_t)n_chars * 4 + 1, 1);
    char *to = out->bytes;
    for (int i = 0; i < n_chars; i++) to += utf8_write(to, (uint32_t)line[i]);
    *to = 0;
    out->n_bytes = (size_t)(to - out->bytes);
}

line_result editing_read(void *state, const char *prompt, text *out) {
    editing *e = state;
    signals before;
    int n_chars = 0;
    set_prompt(e, prompt);
    e->state = GOES_ON;
    fflush(stdout);
    catch_signals(&before, &e->waiting);
    bracket_paste(e, true);
    const wchar_t *line = el_wgets(e->el, &n_chars);
    bracket_paste(e, false);
    if (e->state == GIVEN_UP) {
        const LineInfoW *info = el_wline(e->el);
        encode(info->buffer, (int)(info->lastchar - info->buffer), out);
    } else if (line && n_chars > 0) {
        encode(line, n_chars, out);
    }
    release_signals(&before);
    if (e->state == GIVEN_UP) return LINE_INTERRUPTED;
    return line && n_chars > 0 ? LINE_READ : LINE_END;
}

void editing_remember(void *state, const char *entry) {
    editing *e = state;
    HistEventW event;
    size_t room = strlen(entry) + 1;
    wchar_t *wide = need_memory(NULL, room, sizeof *wide);
    size_t n = 0;
    for (const unsigned char *at = (const unsigned char *)entry; *at;) {
        size_t length = utf8_bytes(at, strlen((const char *)at));
        if (length) wide[n++] = (wchar_t)utf8_code_point(at, length);
        at += length ? length : 1;
    }
    wide[n] = 0;
    history_w(e->history, &event, H_ENTER, wide);
    free(wide);
}
