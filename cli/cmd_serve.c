/* cmd_serve.c: puna serve: options and messages of the server (server/). */
#define _DEFAULT_SOURCE /* gethostname */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../server/server.h"
#include "atomic_file.h"
#include "cli_print.h"
#include "model_source.h"
#include "session.h"

enum { NAME_CHARS = 256 };

typedef struct serving {
    const options *o;
    progress load;
    text template_text;
    text key_text;
    option_list keys; /* of --api-key and of the file; the items belong to those */
    bool wrote_port;
} serving;

/* ---- what the server tells us ---------------------------------------------------------------- */

static bool on_load(void *user, double fraction) {
    serving *s = user;
    if (fraction >= 1) {
        progress_end(&s->load);
        progress_begin(&s->load, "uploading"); /* which may follow */
    } else {
        progress_update(&s->load, fraction, "");
    }
    return true;
}

static bool on_bound(void *user, int32_t port, puna_error *err) {
    serving *s = user;
    char line[16];
    int n = snprintf(line, sizeof line, "%d\n", port);
    if (!s->o->port_file) return true;
    s->wrote_port = atomic_file_write(s->o->port_file, line, (size_t)n);
    if (s->wrote_port) return true;
    err->code = PUNA_E_IO;
    snprintf(err->msg, sizeof err->msg, "cannot write --port-file %.150s: %.60s", s->o->port_file,
             strerror(errno));
    return false;
}

static bool is_any_address(const char *host) {
    return strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0;
}

static bool is_own_address(const char *host) {
    return strncmp(host, "127.", 4) == 0 || strcmp(host, "::1") == 0 ||
           strcmp(host, "localhost") == 0;
}

/* How to reach a server in a job of a cluster from elsewhere. */
static void print_tunnel(const char *host, int32_t port) {
    const char *login = getenv("SLURM_SUBMIT_HOST");
    const char *node = getenv("SLURMD_NODENAME");
    char name[NAME_CHARS] = "";
    if (!getenv("SLURM_JOB_ID")) return;
    if (gethostname(name, sizeof name - 1) != 0) name[0] = 0;
    if (!node || !*node) node = name;
    if (!login || !*login) login = "LOGIN-NODE";
    print_note("from your own machine, through the login node:");
    if (is_own_address(host)) {
        print_note("  ssh -N -L %d:127.0.0.1:%d -J %s %s", port, port, login, node);
    } else {
        print_note("  ssh -N -L %d:%s:%d %s", port, node, port, login);
    }
    print_note("then http://127.0.0.1:%d", port);
}

static void on_ready(void *user, int32_t port, const char *key, const puna_memory_plan *plan) {
    const serving *s = user;
    const char *host = s->o->host;
    char name[NAME_CHARS] = "";
    if (is_any_address(host) && gethostname(name, sizeof name - 1) == 0 && *name) host = name;
    if (s->o->n_gpu_layers != 0) print_note("%s", plan->where);
    if (s->o->n_ctx == 0 && plan->n_ctx < plan->n_ctx_train) {
        print_note("context %d of the %d the model was trained for: half of the free memory",
                   plan->n_ctx, plan->n_ctx_train);
    }
    bool v6 = strchr(host, ':') != NULL;
    print_note("listening at http://%s%s%s:%d", v6 ? "[" : "", host, v6 ? "]" : "", port);
    if (key) {
        print_plain(
            "other machines can reach this server, so a key was made (--api-key sets one):");
        print_plain("  %s", key);
    }
    print_tunnel(s->o->host, port);
}

static void on_note(void *user, const char *line) {
    (void)user;
    print_note("puna: %s", line);
}

static void on_access(void *user, const char *line) {
    (void)user;
    print_note("%s", line);
}

/* ---- keys ------------------------------------------------------------------------------------ */

static int add_key(serving *s, const char *key, const char *from) {
    size_t n = strlen(key);
    for (size_t i = 0; i < n; i++)
        if (key[i] <= ' ' || key[i] > '~')
            return print_usage_error("%s: a key has printable ASCII characters and no spaces",
                                     from);
    if (n < 4) return print_usage_error("%s: a key has at least 4 characters", from);
    s->keys.items = need_memory(s->keys.items, (size_t)s->keys.n + 1, sizeof *s->keys.items);
    s->keys.items[s->keys.n++] = key;
    return STATUS_DONE;
}

/* One key a line; empty lines and those that begin with # are none. */
static int read_key_file(serving *s) {
    int status = text_read_file(s->o->api_key_path, &s->key_text);
    int32_t n_before = s->keys.n;
    if (status != STATUS_DONE) return status;
    for (char *line = s->key_text.bytes, *next; line && status == STATUS_DONE; line = next) {
        char *end = strchr(line, '\n');
        next = end ? end + 1 : NULL;
        if (end) *end = 0;
        size_t n = strlen(line);
        while (n && strchr(" \t\r", line[n - 1])) line[--n] = 0;
        line += strspn(line, " \t");
        if (*line && *line != '#') status = add_key(s, line, "--api-key-file");
    }
    if (status == STATUS_DONE && s->keys.n == n_before)
        return print_usage_error("--api-key-file %s has no key", s->o->api_key_path);
    return status;
}

static int read_keys(serving *s) {
    int status = STATUS_DONE;
    for (int32_t i = 0; i < s->o->api_keys.n && status == STATUS_DONE; i++)
        status = add_key(s, s->o->api_keys.items[i], "--api-key");
    if (status == STATUS_DONE && s->o->api_key_path) status = read_key_file(s);
    return status;
}

/* ---- the command ----------------------------------------------------------------------------- */

static void set_engine(pn_server_options *server, const options *o) {
    session_engine_options(&server->scheduler.engine, o);
    server->scheduler.engine.prefix_cache = true;
    server->scheduler.engine.n_kv = o->n_kv;
    server->scheduler.max_waiting = o->max_waiting;
    server->model.use_mmap = !o->no_mmap;
    server->model.use_mlock = o->mlock;
}

static void set_http(pn_server_options *server, const serving *s) {
    const options *o = s->o;
    server->host = o->host;
    server->port = o->port;
    server->hosts = o->allowed_hosts.items;
    server->n_hosts = o->allowed_hosts.n;
    server->origins = o->cors.items;
    server->n_origins = o->cors.n;
    server->keys = s->keys.items;
    server->n_keys = s->keys.n;
    server->max_connections = o->max_connections;
    server->max_body_bytes = (int64_t)o->max_body_mb << 20;
    server->header_s = (double)o->header_s;
    server->body_s = (double)o->body_s;
    server->write_s = (double)o->write_s;
    server->ping_s = (double)o->ping_s;
    server->grace_s = (double)o->grace_s;
    server->slots = !o->no_slots;
    server->metrics = !o->no_metrics;
    server->web_page = !o->no_webui;
    server->log_prompts = o->log_prompts;
}

static int serve(serving *s, const char *path) {
    pn_server_options server;
    puna_error err = {0};
    pn_server_options_init(&server);
    server.model_path = path;
    server.alias = s->o->alias;
    server.defaults = s->o->sampler;
    server.chat.format = s->o->chat_template;
    server.chat.template_text = s->template_text.bytes;
    server.chat.template_bytes = s->template_text.n_bytes;
    server.model.progress = on_load;
    server.model.progress_user = s;
    server.program = (pn_server_host){s, on_bound, on_ready, on_note, on_access};
    set_engine(&server, s->o);
    set_http(&server, s);
    progress_begin(&s->load, "loading");
    puna_status status = pn_server_run(&server, &err);
    progress_end(&s->load);
    if (s->wrote_port) remove(s->o->port_file);
    return status == PUNA_OK ? STATUS_DONE : print_failure(&err);
}

int cmd_serve(const options *o) {
    serving s = {.o = o};
    char *path = NULL;
    int status = STATUS_DONE;
    if (o->chat_template && o->template_path)
        return print_usage_error("use --chat-template or --template, not both");
    status = read_keys(&s);
    if (status == STATUS_DONE && o->template_path)
        status = text_read_file(o->template_path, &s.template_text);
    if (status == STATUS_DONE) status = model_source_find(o, &path);
    if (status == STATUS_DONE) status = serve(&s, path);
    free(path);
    free(s.keys.items);
    free(s.key_text.bytes);
    free(s.template_text.bytes);
    return status;
}
