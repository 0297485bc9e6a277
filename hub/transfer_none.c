/* transfer_none.c: stands in for transfer.c where there is no libcurl: nothing can be fetched. */
#include "transfer.h"

transfer *transfer_open(const hub_host *host, hub_error *err) {
    (void)host;
    hub_fail(err, HUB_FAILED,
             "this puna was built without libcurl and cannot download models: "
             "install its development files and build it again");
    return NULL;
}

void transfer_close(transfer *t) {
    (void)t;
}

void transfer_answer_clear(answer *a) {
    *a = (answer){0};
}

char *transfer_header(const answer *a, const char *name) {
    (void)a;
    (void)name;
    return NULL;
}

hub_status transfer_request(transfer *t, const http_request *r, answer *a, hub_error *err) {
    (void)t;
    (void)r;
    *a = (answer){0};
    return hub_fail(err, HUB_FAILED, "this puna was built without libcurl");
}

char *transfer_origin(const char *url) {
    (void)url;
    return NULL;
}

char *transfer_join(const char *base, const char *relative) {
    (void)base;
    (void)relative;
    return NULL;
}

char *transfer_shown(const char *url) {
    return hub_copy(url);
}

char *transfer_escape(const char *path) {
    return hub_copy(path);
}

char *transfer_file_path(const char *url) {
    (void)url;
    return NULL;
}
