/* Exchanges without HTTP: who may do what when, what memory that runs out does to them, errors, workers. */
#define _POSIX_C_SOURCE 200809L
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api_error.h"
#include "exchange.h"
#include "metrics.h"

/* ---- allocations that fail: the linker leads those of the server here (tests/CMakeLists.txt) --- */

static int n_until_failure = -1; /* -1: never */

static bool fails(void) {
    return n_until_failure >= 0 && n_until_failure-- == 0;
}

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t each);
void *__real_realloc(void *old, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t each);
void *__wrap_realloc(void *old, size_t n);
void *__wrap_malloc(size_t n) {
    return fails() ? NULL : __real_malloc(n);
}
void *__wrap_calloc(size_t n, size_t each) {
    return fails() ? NULL : __real_calloc(n, each);
}
void *__wrap_realloc(void *old, size_t n) {
    return fails() ? NULL : __real_realloc(old, n);
}

/* ---- helpers --------------------------------------------------------------------------------- */

static pn_wake_list wake = {PTHREAD_MUTEX_INITIALIZER, NULL, -1};

/* An exchange whose handler runs; the HTTP side is this test. */
static pn_exchange *open_exchange(void) {
    pn_exchange *x = pn_exchange_open(&wake, "/health");
    if (!x) return NULL;
    pn_exchange_begin(x);
    return x;
}

/* How many exchanges were in the list. */
static int drop_woken(void) {
    int n = 0;
    for (pn_exchange *x = pn_wake_take(&wake), *next; x; x = next, n++) {
        next = x->next;
        pn_exchange_woken(x);
        pn_exchange_drop(x);
    }
    return n;
}

static void count_call(void *user) {
    ++*(int *)user;
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void test_stream(void **state) {
    (void)state;
    char buf[8];
    size_t n;
    pn_exchange *x = open_exchange();
    assert_false(pn_exchange_write(x, "early", 5)); /* nothing has begun */
    pn_exchange_stream(x, "text/event-stream");
    pn_exchange_reply(x, 200, "text/plain", "no", 2); /* too late */
    assert_true(pn_exchange_write(x, "data: a\n\n", 9));
    assert_int_equal(drop_woken(), 1);
    assert_int_equal(pn_exchange_take(x, buf, 8, &n), PN_TAKE_BYTES);
    assert_memory_equal(buf, "data: a\n", 8);
    assert_int_equal(pn_exchange_take(x, buf, 8, &n), PN_TAKE_BYTES);
    assert_int_equal(n, 1);
    assert_int_equal(pn_exchange_take(x, buf, 8, &n), PN_TAKE_WAIT);
    assert_true(pn_exchange_write(x, "b", 1)); /* the reader waits, and is woken */
    assert_int_equal(drop_woken(), 1);
    double now = pn_server_now();
    assert_int_equal(pn_exchange_take(x, buf, 8, &n), PN_TAKE_BYTES);
    assert_int_equal(pn_exchange_take(x, buf, 8, &n), PN_TAKE_WAIT);
    pn_exchange_ping(x, now + 1, now); /* in the middle of an event: none */
    assert_int_equal(pn_exchange_take(x, buf, 8, &n), PN_TAKE_WAIT);
    assert_true(pn_exchange_write(x, "\n\n", 2));
    assert_int_equal(pn_exchange_take(x, buf, 8, &n), PN_TAKE_BYTES);
    assert_int_equal(pn_exchange_take(x, buf, 8, &n), PN_TAKE_WAIT);
    drop_woken();
    assert_int_equal(pn_exchange_take(x, buf, 8, &n), PN_TAKE_WAIT);
    pn_exchange_ping(x, now - 60, now); /* not silent for so long */
    assert_int_equal(pn_exchange_take(x, buf, 8, &n), PN_TAKE_WAIT);
    pn_exchange_ping(x, now + 1, now);
    assert_int_equal(pn_exchange_take(x, buf, 8, &n), PN_TAKE_BYTES);
    assert_memory_equal(buf, ": ping\n\n", 8);
    pn_exchange_end(x);
    assert_int_equal(pn_exchange_take(x, buf, 8, &n), PN_TAKE_END);
    assert_false(pn_exchange_write(x, "late", 4));
    pn_exchange_release(x);
    pn_exchange_close(x, true);
    drop_woken();
}

static void test_let_go(void **state) {
    (void)state;
    char buf[8];
    size_t n;
    pn_exchange *x = open_exchange();
    pn_exchange_retain(x);
    pn_exchange_release(x);
    assert_int_equal(x->state, PN_RESPONSE_NONE); /* somebody may still respond */
    pn_exchange_release(x);
    assert_int_equal(x->state, PN_RESPONSE_WHOLE);
    assert_int_equal(x->status, 500);
    pn_exchange_close(x, true);
    x = open_exchange();
    pn_exchange_stream(x, "text/plain");
    assert_true(pn_exchange_write(x, "a", 1));
    pn_exchange_release(x);
    assert_int_equal(pn_exchange_take(x, buf, 8, &n), PN_TAKE_BYTES);
    assert_int_equal(pn_exchange_take(x, buf, 8, &n), PN_TAKE_BROKEN);
    pn_exchange_close(x, false);
    drop_woken();
}

static void test_gone(void **state) {
    (void)state;
    int n_calls = 0;
    pn_exchange *x = open_exchange();
    pn_exchange_on_gone(x, count_call, &n_calls);
    pn_exchange_stream(x, "text/event-stream");
    pn_exchange_leave(x, false);
    pn_exchange_leave(x, false);
    assert_int_equal(n_calls, 1);
    assert_false(pn_exchange_write(x, "a", 1));
    assert_int_equal(drop_woken(), 1);
    assert_int_equal(drop_woken(), 0); /* one that stays for long does not keep the thread busy */
    pn_exchange_release(x);
    pn_exchange_close(x, false);
    assert_int_equal(n_calls, 1);
    drop_woken();

    /* one that has left before anybody asked; one that was forgotten again */
    x = open_exchange();
    pn_exchange_leave(x, true);
    pn_exchange_on_gone(x, count_call, &n_calls);
    assert_int_equal(n_calls, 1); /* the HTTP thread calls, not this one */
    drop_woken();
    assert_int_equal(n_calls, 2);
    pn_exchange_on_gone(x, count_call, &n_calls);
    pn_exchange_on_gone(x, NULL, NULL);
    pn_exchange_close(x, false);
    pn_exchange_release(x);
    drop_woken();
    assert_int_equal(n_calls, 2);

    /* a complete answer is no departure */
    x = open_exchange();
    pn_exchange_on_gone(x, count_call, &n_calls);
    pn_exchange_reply(x, 200, "text/plain", "a", 1);
    pn_exchange_close(x, true);
    pn_exchange_release(x);
    drop_woken();
    assert_int_equal(n_calls, 2);

    /* who sends no more, but waits for an answer */
    x = open_exchange();
    pn_exchange_leave(x, true);
    assert_false(x->gone);
    pn_exchange_reply(x, 200, "text/plain", "a", 1);
    pn_exchange_release(x);
    pn_exchange_close(x, true);
    drop_woken();
}

static void test_headers(void **state) {
    (void)state;
    pn_exchange *x = open_exchange();
    pn_exchange_set_header(x, "X-One", "1");
    pn_exchange_set_header(x, "X-Two", "2\r\nSet-Cookie: a");
    pn_exchange_set_header(x, "X\nThree", "3");
    assert_string_equal(pn_header_find(&x->out_headers, "x-one"), "1");
    assert_null(pn_header_find(&x->out_headers, "X-Two"));
    assert_null(pn_exchange_header(x, "X-One")); /* those of the request are others */
    assert_null(pn_exchange_query(x, "a"));
    size_t n = 1;
    assert_string_equal(pn_exchange_body(x, &n), "");
    assert_int_equal(n, 0);
    pn_exchange_release(x);
    pn_exchange_close(x, true);
    drop_woken();
}

static void test_unread(void **state) {
    (void)state;
    char *megabyte = calloc(1 << 20, 1);
    int n = 0;
    pn_exchange *x = open_exchange();
    pn_exchange_stream(x, "text/plain");
    while (n < 100 && pn_exchange_write(x, megabyte, 1 << 20)) n++;
    assert_int_equal(n, 16); /* then nobody reads */
    assert_false(pn_exchange_write(x, "a", 1));
    pn_exchange_release(x);
    pn_exchange_close(x, false);
    drop_woken();
    free(megabyte);
}

/* Every allocation fails once: an answer, or none, but never a lost exchange. */
static void test_memory_runs_out(void **state) {
    (void)state;
    int n_whole = 0;
    for (int i = 0; i < 40; i++) {
        n_until_failure = i;
        pn_exchange *x = open_exchange();
        if (x) {
            pn_api_error e;
            pn_exchange_set_header(x, "X-One", "1");
            if (i % 2) {
                pn_api_refuse(&e, 429, "rate_limit_error", "queue_full", NULL, "later");
                pn_api_error_reply(x, &e);
            } else {
                char buf[64];
                size_t n;
                pn_exchange_stream(x, "text/event-stream");
                if (pn_exchange_write(x, "data: a\n\n", 9)) pn_exchange_end(x);
                while (pn_exchange_take(x, buf, sizeof buf, &n) == PN_TAKE_BYTES) {
                }
            }
            n_whole += x->state == PN_RESPONSE_WHOLE && x->status == 429 && n_until_failure > 0;
            pn_exchange_release(x);
            pn_exchange_close(x, true);
        }
        n_until_failure = -1;
        drop_woken();
    }
    assert_true(n_whole > 5);
}

static void test_error_forms(void **state) {
    (void)state;
    pn_api_error e;
    pn_exchange *x = open_exchange();
    const pn_route anthropic = {.dialect = PN_DIALECT_ANTHROPIC};
    assert_false(
        pn_api_refuse(&e, 400, PN_INVALID_REQUEST, NULL, "messages[0]", "a \"b\"\n\x1b%s", "\xff"));
    char *text = pn_api_error_json(x, &e);
    assert_string_equal(text,
                        "{\"error\":{\"message\":\"a \\\"b\\\"???\",\"type\":"
                        "\"invalid_request_error\",\"param\":\"messages[0]\",\"code\":null}}");
    free(text);
    x->match.other = &anthropic;
    text = pn_api_error_json(x, &e);
    assert_string_equal(text, "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\","
                              "\"message\":\"a \\\"b\\\"???\"}}");
    free(text);
    static const struct {
        puna_status status;
        int http;
    } rows[] = {{PUNA_E_ARG, 400},   {PUNA_E_FORMAT, 400},  {PUNA_E_UNSUPPORTED, 400},
                {PUNA_E_LIMIT, 400}, {PUNA_E_STATE, 429},   {PUNA_E_TIMEOUT, 408},
                {PUNA_E_NOMEM, 500}, {PUNA_E_NUMERIC, 500}, {PUNA_E_CANCELLED, 500}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        puna_error err = {.code = rows[i].status};
        pn_api_refuse_status(&e, &err, NULL);
        assert_int_equal(e.status, rows[i].http);
        assert_true(e.message[0] != 0);
    }
    pn_exchange_release(x);
    pn_exchange_close(x, true);
    drop_woken();
}

typedef struct counted {
    pn_job job;
    atomic_int *n;
    pn_workers *workers;
    int again;
} counted;

static void run_counted(pn_job *job) {
    counted *c = (counted *)job; /* its first member */
    atomic_fetch_add(c->n, 1);
    if (c->again-- > 0) pn_workers_post(c->workers, job);
}

static void test_workers(void **state) {
    (void)state;
    pn_workers *workers = NULL;
    atomic_int n = 0;
    counted jobs[50];
    assert_int_equal(pn_workers_open(3, &workers, NULL), PUNA_OK);
    for (int i = 0; i < 50; i++) {
        jobs[i] = (counted){{run_counted, NULL}, &n, workers, 20};
        pn_workers_post(workers, &jobs[i].job);
    }
    pn_workers_wait(workers);
    assert_int_equal(n, 50 * 21);
    for (int i = 0; i < 50; i++) pn_workers_post(workers, &jobs[i].job);
    pn_workers_free(workers); /* runs what is left */
    assert_int_equal(n, 50 * 22);
    pn_workers_free(NULL);
}

static void test_histograms(void **state) {
    (void)state;
    pn_metrics *m = pn_metrics_open();
    puna_request_event event = {.kind = PUNA_REQUEST_TOKEN, .n_sampled = 3};
    pn_metrics_request(m, &event); /* none that ends a request */
    event.kind = PUNA_REQUEST_FINISHED;
    event.waiting_s = 0.25;
    event.prefill_s = 0.5;
    event.decode_s = 4;
    pn_metrics_request(m, &event);
    pn_metrics_response(m, 200);
    pn_metrics_response(m, -5);
    pn_metrics_response(m, 70000);
    pn_metrics_free(m);
    pn_metrics_free(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stream),      cmocka_unit_test(test_let_go),
        cmocka_unit_test(test_gone),        cmocka_unit_test(test_headers),
        cmocka_unit_test(test_unread),      cmocka_unit_test(test_memory_runs_out),
        cmocka_unit_test(test_error_forms), cmocka_unit_test(test_workers),
        cmocka_unit_test(test_histograms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
