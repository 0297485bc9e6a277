/* cmd_show.c: puna show: what a model file is, and whether puna could run it.
 *
 * The file is opened at three levels in turn: the container, the tokenizer, everything. What the
 * first level can tell is printed even when a later one fails; the failure is the fault shown,
 * and decides the exit status. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json_out.h"
#include "cli_print.h"
#include "session.h"

/* One row of the table of tensor types. */
typedef struct mix_row {
    const char *type;
    bool supported;
    int32_t n_tensors;
    uint64_t n_params;
    uint64_t bytes;
} mix_row;

enum { MAX_TYPES = 64, MAX_VALUE = 120 };

typedef struct report {
    const options *o;
    session file;  /* opened at PUNA_OPEN_FILE */
    session vocab; /* at PUNA_OPEN_VOCAB */
    session full;  /* at PUNA_OPEN_FULL */
    puna_model_info info;
    puna_error fault; /* of the first level that failed */
    const char *fault_at;
    bool vocab_usable;
    bool runnable;
    mix_row mix[MAX_TYPES];
    int n_types;
    uint64_t tensor_bytes;
} report;

static puna_model *best_model(const report *r) {
    return r->full.model ? r->full.model : r->vocab.model ? r->vocab.model : r->file.model;
}

static bool open_level(report *r, session *s, puna_open_level level, const char *name) {
    puna_model_options model_options;
    puna_error err = {0};
    puna_model_options_init(&model_options);
    model_options.level = level;
    model_options.use_mmap = !r->o->no_mmap;
    if (puna_model_open(r->file.path, &model_options, &s->model, &err) == PUNA_OK) return true;
    if (!r->fault_at) {
        r->fault = err;
        r->fault_at = name;
    }
    return false;
}

static puna_tensor_info tensor_at(const report *r, int32_t index) {
    puna_tensor_info tensor = {.size = sizeof tensor};
    puna_model_tensor(r->file.model, index, &tensor);
    return tensor;
}

static uint64_t n_elements(const puna_tensor_info *tensor) {
    uint64_t n = 1;
    for (int i = 0; i < 4; i++) n *= (uint64_t)tensor->dims[i];
    return n;
}

static int by_bytes(const void *a, const void *b) {
    const mix_row *x = a;
    const mix_row *y = b;
    return x->bytes < y->bytes ? 1 : x->bytes > y->bytes ? -1 : strcmp(x->type, y->type);
}

static void count_types(report *r) {
    for (int32_t i = 0; i < r->info.n_tensors; i++) {
        puna_tensor_info tensor = tensor_at(r, i);
        int t = 0;
        while (t < r->n_types && strcmp(r->mix[t].type, tensor.type) != 0) t++;
        if (t == MAX_TYPES) continue;
        if (t == r->n_types)
            r->mix[r->n_types++] = (mix_row){.type = tensor.type, .supported = tensor.supported};
        r->mix[t].n_tensors++;
        r->mix[t].n_params += n_elements(&tensor);
        r->mix[t].bytes += tensor.bytes;
        r->tensor_bytes += tensor.bytes;
    }
    qsort(r->mix, (size_t)r->n_types, sizeof *r->mix, by_bytes);
}

/* ---- as text --------------------------------------------------------------------------------- */

static void print_fact(const char *name, const char *value) {
    if (!*value) return;
    out_printf("%-15s", name);
    out_clean(value, 0);
    out_printf("\n");
}

static void print_number(const char *name, int32_t value) {
    if (value > 0) out_printf("%-15s%d\n", name, value);
}

static void print_facts(const report *r) {
    const puna_model_info *info = &r->info;
    char a[NUMBER_CHARS];
    char b[NUMBER_CHARS];
    print_fact("file", r->file.path);
    out_printf("%-15s%s bytes (%s), %d %s\n", "size", format_digits(a, info->file_bytes),
               format_bytes(b, info->file_bytes), info->n_parts,
               info->n_parts == 1 ? "part" : "parts");
    print_fact("name", info->name);
    print_fact("architecture", info->architecture);
    out_printf("%-15s%s (%s) in %d tensors\n", "parameters", format_count(a, info->n_params),
               format_digits(b, info->n_params), info->n_tensors);
    print_fact("quantization", info->quantization);
    print_number("context", info->n_ctx_train);
    print_number("layers", info->n_layer);
    print_number("width", info->n_embd);
    if (info->n_head > 0)
        out_printf("%-15s%d, %d for keys and values\n", "heads", info->n_head, info->n_head_kv);
    print_number("feed-forward", info->n_ff);
    if (info->n_expert > 0)
        out_printf("%-15s%d, %d used\n", "experts", info->n_expert, info->n_expert_used);
    print_fact("tokenizer", info->tokenizer);
    print_number("vocabulary", info->n_vocab);
    if (*info->chat_template) {
        out_printf("%-15syes, %zu bytes\n", "chat template", strlen(info->chat_template));
    } else {
        print_fact("chat template", "none");
    }
}

static void print_special(const report *r) {
    static const char *const names[] = {"BOS", "EOS", "EOT",  "UNK", "PAD",
                                        "SEP", "CLS", "MASK", "NL"};
    const session *s = r->full.model ? &r->full : &r->vocab;
    if (!s->model) return;
    out_printf("%-15s", "special tokens");
    for (int i = 0; i <= PUNA_SPECIAL_NL; i++) {
        int32_t id = puna_token_special(s->model, (puna_special)i);
        if (id >= 0) out_printf("%s %d  ", names[i], id);
    }
    out_printf("%s%s\n", puna_model_adds_bos(s->model) ? "(adds BOS)" : "",
               puna_model_adds_eos(s->model) ? "(adds EOS)" : "");
}

static void print_mix(const report *r) {
    char a[NUMBER_CHARS];
    if (r->n_types == 0) return;
    out_printf("\n%-10s %8s %18s %8s\n", "type", "tensors", "bytes", "share");
    for (int i = 0; i < r->n_types; i++) {
        const mix_row *row = &r->mix[i];
        double share = r->tensor_bytes ? 100.0 * (double)row->bytes / (double)r->tensor_bytes : 0;
        out_printf("%-10s %8d %18s %6.1f %%%s\n", row->type, row->n_tensors,
                   format_digits(a, row->bytes), share,
                   row->supported ? "" : "  not supported yet");
    }
}

static void print_tensors(const report *r) {
    char a[NUMBER_CHARS];
    out_printf("\n");
    for (int32_t i = 0; i < r->info.n_tensors; i++) {
        puna_tensor_info tensor = tensor_at(r, i);
        char shape[96];
        size_t n = 0;
        shape[0] = 0;
        for (int d = 0; d < tensor.n_dims && d < 4; d++) {
            n += (size_t)snprintf(shape + n, sizeof shape - n, "%s%lld", d ? " x " : "",
                                  (long long)tensor.dims[d]);
        }
        out_clean(tensor.name, 36);
        out_printf(" %-8s %18s bytes  %s\n", tensor.type, format_digits(a, tensor.bytes), shape);
    }
}

/* The i-th metadata key and its whole value; free(*value). */
static const char *meta_at(const report *r, int32_t i, char **value) {
    size_t n = 0;
    puna_model_meta(r->file.model, i, NULL, 0, &n);
    *value = need_memory(NULL, n + 1, 1);
    return puna_model_meta(r->file.model, i, *value, n + 1, NULL);
}

static void print_meta(const report *r) {
    out_printf("\n");
    for (int32_t i = 0; i < puna_model_n_meta(r->file.model); i++) {
        char *value;
        const char *key = meta_at(r, i, &value);
        json_t *quoted = json_text(value, strlen(value));
        char *line = json_dumps(quoted, JSON_ENCODE_ANY); /* one line, whatever the value holds */
        size_t n_bytes = line ? strlen(line) : 0;
        out_clean(key, 42);
        if (n_bytes > MAX_VALUE + 2) {
            size_t cut = MAX_VALUE;
            while (cut > 0 && (line[cut + 1] & 0xC0) == 0x80) cut--; /* between characters */
            memcpy(line + 1 + cut, " ...", 5);
        } else if (n_bytes > 0) {
            line[n_bytes - 1] = 0; /* the closing quote; the opening one is skipped below */
        }
        out_printf(" ");
        out_clean(line ? line + 1 : "", 0);
        out_printf("\n");
        free(line);
        json_decref(quoted);
        free(value);
    }
}

static void print_text(const report *r) {
    print_facts(r);
    print_special(r);
    print_mix(r);
    if (r->o->list_meta) print_meta(r);
    if (r->o->list_tensors) print_tensors(r);
    out_printf("\n");
    if (r->fault_at) out_printf("fault: %s: %s\n", r->fault_at, r->fault.msg);
    out_printf("puna can %s\n", r->runnable       ? "run this model"
                                : r->vocab_usable ? "use the tokenizer of this file, but not run it"
                                                  : "not use this file");
}

/* ---- as JSON --------------------------------------------------------------------------------- */

static json_t *json_facts(const report *r) {
    const puna_model_info *i = &r->info;
    json_t *object = json_object();
    json_object_set_new(object, "file", json_text(r->file.path, strlen(r->file.path)));
    json_object_set_new(object, "file_bytes", json_integer((json_int_t)i->file_bytes));
    json_object_set_new(object, "n_parts", json_integer(i->n_parts));
    json_object_set_new(object, "name", json_text(i->name, strlen(i->name)));
    json_object_set_new(object, "architecture",
                        json_text(i->architecture, strlen(i->architecture)));
    json_object_set_new(object, "n_params", json_integer((json_int_t)i->n_params));
    json_object_set_new(object, "n_tensors", json_integer(i->n_tensors));
    json_object_set_new(object, "quantization",
                        json_text(i->quantization, strlen(i->quantization)));
    json_object_set_new(object, "n_ctx_train", json_integer(i->n_ctx_train));
    json_object_set_new(object, "n_layer", json_integer(i->n_layer));
    json_object_set_new(object, "n_embd", json_integer(i->n_embd));
    json_object_set_new(object, "n_head", json_integer(i->n_head));
    json_object_set_new(object, "n_head_kv", json_integer(i->n_head_kv));
    json_object_set_new(object, "n_ff", json_integer(i->n_ff));
    json_object_set_new(object, "n_expert", json_integer(i->n_expert));
    json_object_set_new(object, "n_expert_used", json_integer(i->n_expert_used));
    json_object_set_new(object, "tokenizer", json_text(i->tokenizer, strlen(i->tokenizer)));
    json_object_set_new(object, "n_vocab", json_integer(i->n_vocab));
    json_object_set_new(object, "chat_template",
                        json_text(i->chat_template, strlen(i->chat_template)));
    return object;
}

static json_t *json_mix(const report *r) {
    json_t *list = json_array();
    for (int i = 0; i < r->n_types; i++) {
        const mix_row *row = &r->mix[i];
        json_array_append_new(list, json_pack("{s:s, s:b, s:i, s:I, s:I}", "type", row->type,
                                              "supported", row->supported, "tensors",
                                              row->n_tensors, "params", (json_int_t)row->n_params,
                                              "bytes", (json_int_t)row->bytes));
    }
    return list;
}

static json_t *json_tensors(const report *r) {
    json_t *list = json_array();
    for (int32_t i = 0; i < r->info.n_tensors; i++) {
        puna_tensor_info tensor = tensor_at(r, i);
        json_t *entry = json_object();
        json_t *dims = json_array();
        for (int d = 0; d < tensor.n_dims && d < 4; d++)
            json_array_append_new(dims, json_integer(tensor.dims[d]));
        json_object_set_new(entry, "name", json_text(tensor.name, strlen(tensor.name)));
        json_object_set_new(entry, "type", json_string(tensor.type));
        json_object_set_new(entry, "dims", dims);
        json_object_set_new(entry, "bytes", json_integer((json_int_t)tensor.bytes));
        json_array_append_new(list, entry);
    }
    return list;
}

static json_t *json_meta(const report *r) {
    json_t *object = json_object();
    for (int32_t i = 0; i < puna_model_n_meta(r->file.model); i++) {
        char *value;
        const char *key = meta_at(r, i, &value);
        json_object_set_new(object, key, json_text(value, strlen(value)));
        free(value);
    }
    return object;
}

static int print_object(const report *r) {
    json_t *object = json_facts(r);
    json_object_set_new(object, "types", json_mix(r));
    if (r->o->list_meta) json_object_set_new(object, "meta", json_meta(r));
    if (r->o->list_tensors) json_object_set_new(object, "tensors", json_tensors(r));
    json_object_set_new(object, "fault", r->fault_at ? json_string(r->fault.msg) : json_null());
    json_object_set_new(object, "vocab_usable", json_boolean(r->vocab_usable));
    json_object_set_new(object, "runnable", json_boolean(r->runnable));
    return json_print(object, true);
}

int cmd_show(const options *o) {
    report r = {.o = o, .info = {.size = sizeof r.info}};
    int status = session_open_model(&r.file, o, PUNA_OPEN_FILE);
    if (status == STATUS_DONE) {
        r.vocab_usable = open_level(&r, &r.vocab, PUNA_OPEN_VOCAB, "tokenizer");
        r.runnable = open_level(&r, &r.full, PUNA_OPEN_FULL, "model") && r.vocab_usable;
        puna_model_get_info(best_model(&r), &r.info);
        count_types(&r);
        if (o->json) {
            status = print_object(&r);
        } else {
            print_text(&r);
        }
        if (!(o->vocab ? r.vocab_usable : r.runnable)) {
            print_error("%s", r.fault.msg);
            status = STATUS_FAILED;
        }
    }
    session_close(&r.full);
    session_close(&r.vocab);
    session_close(&r.file);
    return status;
}
