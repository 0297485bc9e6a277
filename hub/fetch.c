/* fetch.c: one file from an address to a verified file on disk, whatever happens in between. */
#define _POSIX_C_SOURCE   200809L /* openat, pwrite, ftruncate */
#define _FILE_OFFSET_BITS 64
#include "fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "digest.h"

enum {
    MAX_TRIES = 5,      /* in a row, without much coming */
    MUCH = 1024 * 1024, /* bytes after which tries are counted anew */
    CHUNK = 1024 * 1024,
    ANSWER_TRIES = 3,
    MAX_RETRY_AFTER_S = 300
};
static const double first_pause_s = 0.5;
/* What a file without an announced size may grow to. */
static const uint64_t max_unknown = (uint64_t)64 << 30;

/* A file being fetched. */
typedef struct work {
    fetch_job *job;
    const hub_host *host;
    hub_error *err;
    int fd;
    uint64_t n_bytes; /* in the partial file, all of them hashed */
    digest hash;
    uint64_t resumed; /* how many of them were there before this run */
    bool spoilt;      /* the sink gave up for good */
    bool damaged;     /* the resumed part was, and is gone: start again */
    uint64_t before;  /* progress->done_bytes without this file */
} work;

/* ---- trying again ---------------------------------------------------------------------------- */

static bool may_pass(int code) {
    return code == 408 || code == 425 || code == 429 || code == 500 || code == 502 || code == 503 ||
           code == 504;
}

/* Waits before the next try, the n-th one after a failure: HUB_OK, or why not to try. */
static hub_status pause_before(const hub_host *host, int n, const answer *a, const char *what,
                               hub_error *err) {
    double seconds = first_pause_s;
    for (int i = 1; i < n; i++) seconds *= 2;
    if (a && a->retry_after_s > 0) {
        if (a->retry_after_s > MAX_RETRY_AFTER_S) {
            return hub_fail(err, HUB_FAILED,
                            "%s: the server asks to come back in %.0f seconds (status %d)", what,
                            a->retry_after_s, a->code);
        }
        seconds = a->retry_after_s;
        host_note(host, "%s: the server asks to wait %.0f s", what, seconds);
    }
    return host_wait(host, seconds) ? HUB_OK : hub_fail(err, HUB_STOPPED, "interrupted");
}

hub_status fetch_answer(transfer *t, const hub_host *host, const http_request *r, answer *a,
                        hub_error *err) {
    for (int n = 1;; n++) {
        hub_status status = transfer_request(t, r, a, err);
        bool again = status == HUB_NETWORK || (status == HUB_OK && may_pass(a->code));
        if (!again || n == ANSWER_TRIES) {
            if (status != HUB_OK) transfer_answer_clear(a);
            return status;
        }
        char *shown = transfer_shown(r->url);
        hub_status pause = pause_before(host, n, status == HUB_OK ? a : NULL, shown, err);
        free(shown);
        transfer_answer_clear(a);
        if (pause != HUB_OK) return pause;
    }
}

/* ---- the disk -------------------------------------------------------------------------------- */

hub_status fetch_check_space(int dir, const char *folder, uint64_t bytes, const char *what,
                             hub_error *err) {
    struct statvfs fs;
    char need[SIZE_CHARS];
    char have[SIZE_CHARS];
    if (fstatvfs(dir, &fs) != 0) return HUB_OK; /* writing will tell */
    uint64_t free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
    if (free_bytes >= bytes) return HUB_OK;
    return hub_fail(err, HUB_FAILED,
                    "not enough disk space for %s: it needs %s (%" PRIu64 " bytes) more, but %s "
                    "has %s (%" PRIu64 " bytes) free",
                    what, text_size(need, bytes), bytes, folder, text_size(have, free_bytes),
                    free_bytes);
}

static hub_status disk_error(work *w, const char *doing, int code) {
    const fetch_job *job = w->job;
    const char *advice = code == ENOSPC || code == EDQUOT || code == EFBIG
                             ? ": make room, then pull again: it goes on from there"
                             : "";
    return hub_fail(w->err, HUB_FAILED, "cannot %s %s/%s: %s after %" PRIu64 " bytes%s", doing,
                    job->folder, job->partial, strerror(code), w->n_bytes, advice);
}

static void begin_hash(work *w) {
    if (w->job->sha256 || !w->job->git_id) {
        digest_begin_sha256(&w->hash);
    } else {
        digest_begin_git_blob(&w->hash, w->job->size);
    }
}

static void show_progress(work *w) {
    hub_progress *progress = w->job->progress;
    if (!progress || !w->host || !w->host->progress) return;
    progress->done_bytes = w->before + w->n_bytes;
    w->host->progress(w->host->user, progress);
}

static hub_status start_over(work *w) {
    if (w->job->progress) w->job->progress->resumed_bytes -= w->resumed;
    w->n_bytes = 0;
    w->resumed = 0;
    begin_hash(w);
    if (ftruncate(w->fd, 0) == 0) return HUB_OK;
    return disk_error(w, "empty", errno);
}

/* Opens the partial file and takes in the bytes that are there. */
static hub_status open_partial(work *w) {
    const fetch_job *job = w->job;
    struct stat st;
    w->fd = openat(job->dir, job->partial, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK,
                   0666);
    if (w->fd < 0) return disk_error(w, "open", errno);
    if (fstat(w->fd, &st) != 0 || !S_ISREG(st.st_mode)) return disk_error(w, "use", EINVAL);
    uint64_t there = (uint64_t)st.st_size;
    begin_hash(w);
    if (there > job->size || (job->size == FETCH_SIZE_UNKNOWN && there > max_unknown))
        return start_over(w);
    char *chunk = hub_memory(NULL, CHUNK, 1);
    hub_status status = HUB_OK;
    while (w->n_bytes < there && status == HUB_OK) {
        ssize_t n = pread(w->fd, chunk, CHUNK, (off_t)w->n_bytes);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) {
            status = disk_error(w, "read", n < 0 ? errno : EIO);
        } else {
            digest_add(&w->hash, chunk, (size_t)n);
            w->n_bytes += (uint64_t)n;
            if (host_stopped(w->host)) status = hub_fail(w->err, HUB_STOPPED, "interrupted");
        }
    }
    free(chunk);
    w->resumed = w->n_bytes;
    if (job->progress) job->progress->resumed_bytes += w->n_bytes;
    return status;
}

/* ---- the body -------------------------------------------------------------------------------- */

static bool spoil(work *w) {
    w->spoilt = true;
    return false;
}

/* "bytes 5-9/10": the first number, and the last one (unknown for "*"). False for anything else. */
static bool parse_content_range(const char *text, uint64_t *from, uint64_t *total) {
    unsigned long long a = 0;
    unsigned long long b = 0;
    unsigned long long c = 0;
    char rest = 0;
    *total = FETCH_SIZE_UNKNOWN;
    if (sscanf(text, "bytes %19llu-%19llu/%19llu%c", &a, &b, &c, &rest) == 3 && b < c) {
        *total = c;
    } else if (sscanf(text, "bytes %19llu-%19llu/*%c", &a, &b, &rest) != 2) {
        return false;
    }
    *from = a;
    return a <= b;
}

static bool set_size(work *w, uint64_t total) {
    fetch_job *job = w->job;
    if (total == FETCH_SIZE_UNKNOWN) return true;
    if (job->size == FETCH_SIZE_UNKNOWN) {
        job->size = total;
        if (job->progress) job->progress->total_bytes += total;
        return true;
    }
    if (job->size == total) return true;
    hub_fail(w->err, HUB_FAILED, "%s: the server has %" PRIu64 " bytes, announced were %" PRIu64,
             job->what, total, job->size);
    return spoil(w);
}

static bool on_start(void *user, const answer *a) {
    work *w = user;
    uint64_t from = 0;
    uint64_t total = FETCH_SIZE_UNKNOWN;
    bool good = a->code == 200;
    if (a->code == 206) {
        char *range = transfer_header(a, "content-range");
        good = range && parse_content_range(range, &from, &total) && from == w->n_bytes;
        free(range);
    } else if (good) {
        char *length = transfer_header(a, "content-length");
        if (length && text_made_of(length, "0123456789", 19)) total = strtoull(length, NULL, 10);
        free(length);
        /* the server does not know ranges: the whole file comes */
        if (w->n_bytes > 0 && start_over(w) != HUB_OK) return spoil(w);
    }
    if (!good) {
        hub_fail(w->err, HUB_FAILED, "%s: the server sends another part than was asked for",
                 w->job->what);
        return spoil(w);
    }
    return set_size(w, total);
}

static bool on_write(void *user, const char *bytes, size_t n) {
    work *w = user;
    uint64_t most = w->job->size == FETCH_SIZE_UNKNOWN ? max_unknown : w->job->size;
    if (n > most - w->n_bytes) {
        hub_fail(w->err, HUB_FAILED,
                 "%s: the server sends more than the %" PRIu64 " bytes it announced", w->job->what,
                 most);
        return spoil(w);
    }
    while (n > 0) {
        ssize_t done = pwrite(w->fd, bytes, n, (off_t)w->n_bytes);
        if (done < 0 && errno == EINTR) continue;
        if (done <= 0) {
            disk_error(w, "write", done < 0 ? errno : EIO);
            return spoil(w);
        }
        digest_add(&w->hash, bytes, (size_t)done);
        w->n_bytes += (uint64_t)done;
        bytes += done;
        n -= (size_t)done;
    }
    show_progress(w);
    return true;
}

/* ---- the whole ------------------------------------------------------------------------------- */

/* One request for what is missing. HUB_NETWORK: it may be tried again. */
static hub_status try_once(transfer *t, work *w, answer *a) {
    fetch_job *job = w->job;
    body_sink sink = {w, on_start, on_write};
    http_request r = {0};
    hub_status status = job->locate(job->user, &r, w->err);
    if (status != HUB_OK) return status;
    r.sink = &sink;
    r.from = w->n_bytes;
    status = transfer_request(t, &r, a, w->err);
    if (status != HUB_OK) return status;
    if (a->code == 416) { /* it has no more than we have */
        char *range = transfer_header(a, "content-range");
        bool whole = range && job->size == FETCH_SIZE_UNKNOWN && text_starts(range, "bytes */") &&
                     strtoull(range + 8, NULL, 10) == w->n_bytes;
        free(range);
        if (whole) {
            job->size = w->n_bytes;
            return HUB_OK;
        }
        status = start_over(w);
        return status != HUB_OK ? status
                                : hub_fail(w->err, HUB_NETWORK,
                                           "%s: the part that was here is "
                                           "longer than the file",
                                           job->what);
    }
    if (a->code / 100 != 2) {
        char *shown = transfer_shown(a->url);
        hub_fail(w->err, may_pass(a->code) || a->code == 403 ? HUB_NETWORK : HUB_FAILED,
                 "%s answers with status %d", shown, a->code);
        free(shown);
        return may_pass(a->code) || a->code == 403 ? HUB_NETWORK : HUB_FAILED;
    }
    if (job->size == FETCH_SIZE_UNKNOWN) job->size = w->n_bytes;
    if (w->n_bytes == job->size) return HUB_OK;
    return hub_fail(w->err, HUB_NETWORK, "%s: the connection ended early", job->what);
}

/* Adds to the error what is kept, for the next run. */
static void tell_kept(const work *w) {
    char kept[SIZE_CHARS];
    char all[SIZE_CHARS];
    if (w->n_bytes == 0 || w->job->size == FETCH_SIZE_UNKNOWN) return;
    char *why = hub_copy(w->err->msg);
    hub_fail(w->err, HUB_FAILED, "%s; %s of %s are kept: pull again to go on from there", why,
             text_size(kept, w->n_bytes), text_size(all, w->job->size));
    free(why);
}

static hub_status receive(transfer *t, work *w) {
    uint64_t counted_from = w->n_bytes;
    for (int n = 1; w->n_bytes != w->job->size; n++) {
        answer a = {0};
        hub_status status = try_once(t, w, &a);
        if (w->n_bytes > counted_from && w->n_bytes - counted_from >= MUCH) n = 1;
        counted_from = n == 1 ? w->n_bytes : counted_from;
        if (status == HUB_NETWORK && !w->spoilt && n < MAX_TRIES) {
            char *why = hub_copy(w->err->msg);
            status = pause_before(w->host, n, &a, w->job->what, w->err);
            if (status == HUB_OK) host_note(w->host, "%s; trying again", why);
            free(why);
        }
        transfer_answer_clear(&a);
        if (status == HUB_OK) continue;
        if (status == HUB_NETWORK || status == HUB_STOPPED) tell_kept(w);
        return status;
    }
    return HUB_OK;
}

/* Compares hashes. When they differ, the part that was here before may be to blame: it is thrown
 * away, and damaged says so. */
static hub_status verify(work *w) {
    const fetch_job *job = w->job;
    char found[DIGEST_HEX_CHARS];
    const char *expected = job->sha256 ? job->sha256 : job->git_id;
    digest_end(&w->hash, found);
    if (!expected || strcmp(found, expected) == 0) return HUB_OK;
    if (w->resumed) {
        host_note(w->host, "%s: what was here of it was damaged; starting again", job->what);
        w->damaged = true;
        return start_over(w);
    }
    unlinkat(job->dir, job->partial, 0);
    return hub_fail(w->err, HUB_FAILED,
                    "%s is not what was announced: %s %s expected, %s found; it was removed",
                    job->what, job->sha256 ? "sha256" : "git id", expected, found);
}

hub_status fetch_file(transfer *t, const hub_host *host, fetch_job *job, hub_error *err) {
    work w = {.job = job, .host = host, .err = err, .fd = -1};
    char kept[SIZE_CHARS];
    if (job->progress) w.before = job->progress->done_bytes;
    hub_status status = open_partial(&w);
    if (status == HUB_OK && w.resumed)
        host_note(host, "%s: going on after the %s that are here", job->what,
                  text_size(kept, w.n_bytes));
    if (status == HUB_OK) {
        show_progress(&w);
        status = receive(t, &w);
    }
    if (status == HUB_OK) status = verify(&w);
    if (status == HUB_OK && w.damaged) {
        status = receive(t, &w);
        if (status == HUB_OK) status = verify(&w);
    }
    if (status == HUB_OK && fsync(w.fd) != 0 && errno != EINVAL && errno != EROFS)
        status = disk_error(&w, "write", errno);
    if (w.fd >= 0 && close(w.fd) != 0 && status == HUB_OK) status = disk_error(&w, "write", errno);
    return status;
}
