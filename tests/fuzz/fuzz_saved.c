/* fuzz_saved.c: any bytes as a saved sequence; what is loaded must be good enough to go on from.
 *
 * Byte 0 of an input says what is made good again before it is loaded, so that mutations get past the door:
 * 1: the checksum, 2: the header up to the counts, 4: the length. The rest is the saved sequence. */
#include "base/checksum.h"
#include "replay.h"
#include "unit/run/tiny_llama.h"

#include "puna.h"

#include <unistd.h>

enum { CHECKSUM_AT = 16, CHECKED_FROM = 24, COUNTS_AT = 48, HEADER_BYTES = 64 };

int64_t fuzz_n_accepted;
static puna_engine *engine;
static puna_seq *seq;
static unsigned char seeds[3][1 << 16]; /* nothing, a prompt with its logits, a completion */
static size_t seed_bytes[3];

static void need(puna_status status) {
    if (status != PUNA_OK) abort();
}

static void save_seed(int i) {
    puna_error err;
    need(puna_seq_save(seq, seeds[i], sizeof seeds[i], &seed_bytes[i], &err));
}

static void complete(const int32_t *tokens, int32_t n, int32_t max_tokens) {
    puna_event events[2];
    puna_error err;
    puna_seq_set_max_tokens(seq, max_tokens);
    need(puna_seq_feed(seq, tokens, n, &err));
    while (!puna_engine_is_idle(engine)) need(puna_engine_step(engine, events, 2, &n, &err));
}

static void open_all(void) {
    static const int32_t prompt[] = {1, 50, 60, 70};
    char path[64];
    puna_error err;
    puna_model *model = NULL;
    puna_engine_options eo;
    puna_seq_options so;
    (void)snprintf(path, sizeof path, "/tmp/puna-fuzz-%ld.gguf", (long)getpid());
    tiny_llama_write(path, PN_FMT_Q8_0);
    need(puna_model_open(path, NULL, &model, &err));
    (void)unlink(path);
    puna_engine_options_init(&eo);
    eo.n_ctx = 128;
    eo.n_batch = 64;
    eo.n_threads = 1;
    eo.kv_type = PUNA_KV_Q8_0;
    need(puna_engine_open(model, &eo, &engine, &err));
    puna_model_free(model);
    puna_seq_options_init(&so);
    so.sampler.seed = 1;
    need(puna_seq_open(engine, &so, &seq, &err));
    save_seed(0);
    complete(prompt, 4, 0);
    save_seed(1);
    complete(prompt, 4, 3);
    save_seed(2);
}

size_t fuzz_seed(int32_t index, uint8_t *data, size_t cap) {
    if (!engine) open_all();
    if (index >= 3 * 8 || cap < 1 + sizeof seeds[0]) return 0;
    data[0] = (uint8_t)(index % 8);
    memcpy(data + 1, seeds[index / 8], seed_bytes[index / 8]);
    return 1 + seed_bytes[index / 8];
}

/* The length that the counts of a header promise, or the one it has when they are out of range. */
static size_t promised(const unsigned char *saved, size_t n) {
    int32_t counts[3]; /* tokens, computed, logits */
    uint64_t position_bytes;
    memcpy(counts, saved + COUNTS_AT, sizeof counts);
    memcpy(&position_bytes, seeds[0] + 32, sizeof position_bytes);
    if (counts[0] < 0 || counts[0] > 128 || counts[1] < 0 || counts[1] > 128) return n;
    return HEADER_BYTES + (size_t)counts[0] * 4 + (counts[2] ? TINY_VOCAB * 4 : 0) +
           (size_t)counts[1] * (size_t)position_bytes;
}

static void go_on(void) {
    int32_t tokens[128], n;
    const int32_t *all = puna_seq_tokens(seq, &n);
    if (n > 128) abort();
    memcpy(tokens, all, (size_t)n * sizeof *tokens);
    if (n == 0) tokens[n++] = 1;
    complete(tokens, n, 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!engine) open_all();
    if (size < 1) return 0;
    const int good = data[0];
    size_t n = size - 1;
    const size_t length = n >= HEADER_BYTES && (good & 4) ? promised(data + 1, n) : n;
    unsigned char *saved = calloc(length ? length : 1, 1);
    if (!saved) abort();
    memcpy(saved, data + 1, n < length ? n : length);
    n = length;
    if (n >= HEADER_BYTES && (good & 2)) {
        memcpy(saved, seeds[0], CHECKSUM_AT);
        memcpy(saved + CHECKED_FROM, seeds[0] + CHECKED_FROM, COUNTS_AT - CHECKED_FROM);
    }
    if (n >= HEADER_BYTES && (good & 1)) {
        const uint64_t sum = pn_checksum(saved + CHECKED_FROM, n - CHECKED_FROM, 0);
        memcpy(saved + CHECKSUM_AT, &sum, sizeof sum);
    }
    puna_error err;
    if (puna_seq_load(seq, saved, n, &err) == PUNA_OK) {
        fuzz_n_accepted++;
        go_on();
    }
    free(saved);
    return 0;
}
