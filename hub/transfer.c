/* transfer.c: HTTP requests that can be interrupted, and whose answers are bounded. */
#define _POSIX_C_SOURCE 200809L /* strncasecmp */
#include "transfer.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "puna.h"

enum {
    MAX_HEADER_BYTES = 128 * 1024,
    MAX_ERROR_PAGE = 64 * 1024,
    MAX_REDIRECTS = 10,
    POLL_MS = 100
};

struct transfer {
    const hub_host *host;
    CURLM *multi;
    CURL *easy;
};

/* One request on its way. */
typedef struct flight {
    const http_request *r;
    answer *a;
    CURL *easy;
    size_t n_headers;     /* bytes of the headers that are kept */
    size_t n_all_headers; /* with those of interim answers */
    size_t body_room;
    size_t n_ignored; /* bytes of the page that comes with an error */
    bool started;     /* the sink has */
    bool too_long;
    bool cut; /* enough of an error page was seen: the answer stands */
    bool sink_refused;
} flight;

/* ---- addresses ------------------------------------------------------------------------------- */

static char *url_part(CURLU *url, CURLUPart part, unsigned flags) {
    char *text = NULL;
    if (curl_url_get(url, part, &text, flags) != CURLUE_OK) return NULL;
    char *copy = hub_copy(text);
    curl_free(text);
    return copy;
}

static CURLU *parse_url(const char *text) {
    CURLU *url = curl_url();
    if (url && curl_url_set(url, CURLUPART_URL, text, 0) == CURLUE_OK) return url;
    curl_url_cleanup(url);
    return NULL;
}

char *transfer_origin(const char *text) {
    char *origin = NULL;
    CURLU *url = parse_url(text);
    if (!url) return NULL;
    char *scheme = url_part(url, CURLUPART_SCHEME, 0);
    char *host = url_part(url, CURLUPART_HOST, 0);
    char *port = url_part(url, CURLUPART_PORT, CURLU_DEFAULT_PORT);
    if (scheme && host && port && (text_same(scheme, "https") || text_same(scheme, "http"))) {
        origin = hub_format("%s://%s:%s", scheme, host, port);
        for (char *c = origin; *c; c++) {
            if (*c >= 'A' && *c <= 'Z') *c = (char)(*c - 'A' + 'a');
        }
    }
    free(scheme);
    free(host);
    free(port);
    curl_url_cleanup(url);
    return origin;
}

char *transfer_join(const char *base, const char *relative) {
    char *joined = NULL;
    CURLU *url = parse_url(base);
    if (!url) return NULL;
    if (curl_url_set(url, CURLUPART_URL, relative, CURLU_URLENCODE) == CURLUE_OK)
        joined = url_part(url, CURLUPART_URL, 0);
    curl_url_cleanup(url);
    return joined;
}

char *transfer_file_path(const char *text) {
    CURLU *url = text_starts(text, "file:") ? parse_url(text) : NULL;
    char *path = url ? url_part(url, CURLUPART_PATH, CURLU_URLDECODE) : NULL;
    curl_url_cleanup(url);
    return path;
}

char *transfer_shown(const char *text) {
    CURLU *url = parse_url(text);
    if (!url) return hub_copy(text);
    curl_url_set(url, CURLUPART_USER, NULL, 0);
    curl_url_set(url, CURLUPART_PASSWORD, NULL, 0);
    curl_url_set(url, CURLUPART_QUERY, NULL, 0);
    curl_url_set(url, CURLUPART_FRAGMENT, NULL, 0);
    char *shown = url_part(url, CURLUPART_URL, 0);
    curl_url_cleanup(url);
    return shown ? shown : hub_copy(text);
}

char *transfer_escape(const char *path) {
    static const char digits[] = "0123456789ABCDEF";
    char *out = hub_memory(NULL, strlen(path) * 3 + 1, 1);
    char *to = out;
    for (const char *at = path; *at; at++) {
        if (strchr(LETTERS_ETC "-_.~/", *at)) {
            *to++ = *at;
        } else {
            *to++ = '%';
            *to++ = digits[(unsigned char)*at >> 4];
            *to++ = digits[*at & 15];
        }
    }
    *to = 0;
    return out;
}

/* ---- answers --------------------------------------------------------------------------------- */

void transfer_answer_clear(answer *a) {
    free(a->url);
    free(a->location);
    free(a->headers);
    free(a->body);
    *a = (answer){0};
}

char *transfer_header(const answer *a, const char *name) {
    size_t n_name = strlen(name);
    for (const char *line = a->headers; line && *line;) {
        size_t n = strcspn(line, "\n");
        if (n > n_name && line[n_name] == ':' && strncasecmp(line, name, n_name) == 0) {
            const char *value = line + n_name + 1;
            const char *end = line + n;
            while (value < end && strchr(" \t", *value)) value++;
            while (end > value && strchr(" \t\r", end[-1])) end--;
            return hub_copy_n(value, (size_t)(end - value));
        }
        line += n + (line[n] == '\n');
    }
    return NULL;
}

static size_t on_header(char *bytes, size_t one, size_t n, void *user) {
    flight *f = user;
    n *= one;
    if (n >= 5 && strncmp(bytes, "HTTP/", 5) == 0)
        f->n_headers = 0; /* an interim one came before */
    f->n_all_headers += n;
    if (f->n_all_headers > MAX_HEADER_BYTES) {
        f->too_long = true;
        return 0;
    }
    if (!f->a->headers) f->a->headers = hub_memory(NULL, MAX_HEADER_BYTES + 2, 1);
    memcpy(f->a->headers + f->n_headers, bytes, n);
    f->n_headers += n;
    if (n > 0 && bytes[n - 1] != '\n') f->a->headers[f->n_headers++] = '\n';
    f->a->headers[f->n_headers] = 0;
    return n;
}

static size_t keep_body(flight *f, const char *bytes, size_t n) {
    if (n > f->r->max_body - f->a->n_body) {
        f->too_long = true;
        return 0;
    }
    while (f->body_room < f->a->n_body + n + 1) {
        f->body_room = f->body_room ? f->body_room * 2 : 64 * 1024;
        f->a->body = hub_memory(f->a->body, f->body_room, 1);
    }
    memcpy(f->a->body + f->a->n_body, bytes, n);
    f->a->n_body += n;
    f->a->body[f->a->n_body] = 0;
    return n;
}

static size_t on_body(char *bytes, size_t one, size_t n, void *user) {
    flight *f = user;
    long code = 0;
    n *= one;
    curl_easy_getinfo(f->easy, CURLINFO_RESPONSE_CODE, &code);
    f->a->code = (int)code;
    if (code / 100 != 2) {
        f->n_ignored += n;
        f->cut = f->n_ignored > MAX_ERROR_PAGE;
        return f->cut ? 0 : n;
    }
    if (!f->r->sink) return keep_body(f, bytes, n);
    if (!f->started) {
        f->started = true;
        if (!f->r->sink->start(f->r->sink->user, f->a)) f->sink_refused = true;
    }
    if (!f->sink_refused && !f->r->sink->write(f->r->sink->user, bytes, n)) f->sink_refused = true;
    return f->sink_refused ? 0 : n;
}

/* ---- one request ----------------------------------------------------------------------------- */

transfer *transfer_open(const hub_host *host, hub_error *err) {
    static bool ready;
    if (!ready) ready = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
    transfer *t = hub_memory(NULL, 1, sizeof *t);
    *t = (transfer){.host = host};
    if (ready) t->multi = curl_multi_init();
    if (ready) t->easy = curl_easy_init();
    if (t->multi && t->easy) return t;
    transfer_close(t);
    hub_fail(err, HUB_FAILED, "libcurl cannot be set up");
    return NULL;
}

void transfer_close(transfer *t) {
    if (!t) return;
    if (t->easy) curl_easy_cleanup(t->easy);
    if (t->multi) curl_multi_cleanup(t->multi);
    free(t);
}

static bool is_trusted(const http_request *r, const char *url) {
    char *origin = transfer_origin(url);
    bool trusted = origin && r->trusted && string_list_has(r->trusted, origin);
    free(origin);
    return trusted;
}

static const char *certificates(const http_request *r) {
    static const char *const names[] = {"SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE"};
    if (r->certificates) return r->certificates;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (environment(names[i])) return environment(names[i]);
    }
    return NULL;
}

static struct curl_slist *make_headers(const http_request *r, const char *url) {
    struct curl_slist *list = curl_slist_append(NULL, "Accept-Encoding: identity");
    if (r->accept) {
        char *line = hub_format("Accept: %s", r->accept);
        list = curl_slist_append(list, line);
        free(line);
    }
    if (r->token && is_trusted(r, url)) {
        char *line = hub_format("Authorization: Bearer %s", r->token);
        list = curl_slist_append(list, line);
        free(line);
    }
    return list;
}

static void set_up(CURL *easy, flight *f, const char *url, struct curl_slist *headers,
                   char *message) {
    const http_request *r = f->r;
    curl_easy_reset(easy);
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "puna/" PUNA_VERSION);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, message);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, f);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, f);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, 256L * 1024);
    curl_easy_setopt(easy, CURLOPT_NOBODY, r->head ? 1L : 0L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)(r->stall_s * 1000));
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)(r->total_s * 1000));
    if (certificates(r)) curl_easy_setopt(easy, CURLOPT_CAINFO, certificates(r));
    if (r->from > 0) {
        char range[40];
        snprintf(range, sizeof range, "%llu-", (unsigned long long)r->from);
        curl_easy_setopt(easy, CURLOPT_RANGE, range);
    }
}

/* Runs until the request is done. The stall limit is ours: libcurl's works in whole seconds. */
static CURLcode run(transfer *t, const http_request *r, bool *stopped, bool *stalled) {
    int n_running = 1;
    curl_off_t seen = -1;
    const double begin = hub_now();
    double since = begin;
    CURLcode result = CURLE_OK;
    curl_multi_add_handle(t->multi, t->easy);
    while (n_running > 0 && !*stopped && !*stalled) {
        curl_off_t now_at = 0;
        long n_header_bytes = 0;
        if (curl_multi_perform(t->multi, &n_running) != CURLM_OK) break;
        curl_easy_getinfo(t->easy, CURLINFO_SIZE_DOWNLOAD_T, &now_at);
        curl_easy_getinfo(t->easy, CURLINFO_HEADER_SIZE, &n_header_bytes);
        if (now_at + n_header_bytes != seen) {
            seen = now_at + n_header_bytes;
            since = hub_now();
        }
        if (n_running == 0) break;
        *stalled = hub_now() - since > r->stall_s ||
                   (now_at == 0 && hub_now() - begin > 4 * r->stall_s); /* header by header */
        *stopped = host_stopped(t->host);
        if (!*stalled && !*stopped) curl_multi_poll(t->multi, NULL, 0, POLL_MS, NULL);
    }
    int n_left;
    for (CURLMsg *m; (m = curl_multi_info_read(t->multi, &n_left));) {
        if (m->msg == CURLMSG_DONE) result = m->data.result;
    }
    curl_multi_remove_handle(t->multi, t->easy);
    return result;
}

/* What trying again cannot mend. */
static bool is_final(CURLcode result) {
    return result == CURLE_PEER_FAILED_VERIFICATION || result == CURLE_SSL_CACERT_BADFILE ||
           result == CURLE_URL_MALFORMAT || result == CURLE_UNSUPPORTED_PROTOCOL ||
           result == CURLE_OUT_OF_MEMORY;
}

static hub_status judge(const flight *f, const char *url, CURLcode result, const char *message,
                        hub_error *err) {
    char *shown = transfer_shown(url);
    hub_status status = HUB_OK;
    if (f->sink_refused) {
        status = HUB_FAILED; /* it has set the error */
    } else if (f->too_long) {
        status = hub_fail(err, HUB_FAILED, "%s: the answer is too long to be real", shown);
    } else if (result != CURLE_OK && !f->cut) {
        status = hub_fail(err, is_final(result) ? HUB_FAILED : HUB_NETWORK, "%s: %s", shown,
                          message[0] ? message : curl_easy_strerror(result));
    }
    free(shown);
    return status;
}

static hub_status one_request(transfer *t, const http_request *r, const char *url, answer *a,
                              hub_error *err) {
    char message[CURL_ERROR_SIZE] = "";
    flight f = {.r = r, .a = a, .easy = t->easy};
    bool stopped = false;
    bool stalled = false;
    long code = 0;
    curl_off_t retry_after = 0;
    struct curl_slist *headers = make_headers(r, url);
    set_up(t->easy, &f, url, headers, message);
    CURLcode result = run(t, r, &stopped, &stalled);
    curl_slist_free_all(headers);
    curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &code);
    curl_easy_getinfo(t->easy, CURLINFO_RETRY_AFTER, &retry_after);
    curl_easy_setopt(t->easy, CURLOPT_ERRORBUFFER, NULL);
    a->code = (int)code;
    a->retry_after_s = (double)retry_after;
    a->url = hub_copy(url);
    if (stopped) return hub_fail(err, HUB_STOPPED, "interrupted");
    if (stalled) {
        char *shown = transfer_shown(url);
        hub_fail(err, HUB_NETWORK, "%s: nothing came for %.3g seconds", shown, r->stall_s);
        free(shown);
        return HUB_NETWORK;
    }
    return judge(&f, url, result, message, err);
}

/* Where an answer sends us, absolute; NULL when it is no redirect. */
static char *redirect_target(const answer *a) {
    bool redirect =
        a->code == 301 || a->code == 302 || a->code == 303 || a->code == 307 || a->code == 308;
    char *location = redirect ? transfer_header(a, "location") : NULL;
    char *target = location ? transfer_join(a->url, location) : NULL;
    free(location);
    return target;
}

hub_status transfer_request(transfer *t, const http_request *r, answer *a, hub_error *err) {
    char *url = hub_copy(r->url);
    hub_status status = HUB_OK;
    for (int n_hops = 0;; n_hops++) {
        char *origin = transfer_origin(url);
        char *shown = transfer_shown(url);
        *a = (answer){0};
        if (!origin) status = hub_fail(err, HUB_FAILED, "'%s' is no http or https address", shown);
        if (status == HUB_OK) status = one_request(t, r, url, a, err);
        free(origin);
        free(shown);
        char *target = status == HUB_OK ? redirect_target(a) : NULL;
        if (!target) break;
        if (r->stop_at_foreign && !is_trusted(r, target)) {
            a->location = target;
            break;
        }
        bool downgrade = text_starts(url, "https:") && !text_starts(target, "https:");
        if (downgrade || n_hops == MAX_REDIRECTS) {
            shown = transfer_shown(r->url);
            status = hub_fail(err, HUB_FAILED, "%s redirects %s", shown,
                              downgrade ? "to an address that is not encrypted" : "without end");
            free(shown);
            free(target);
            break;
        }
        transfer_answer_clear(a);
        hub_set(&url, target);
    }
    free(url);
    return status;
}
