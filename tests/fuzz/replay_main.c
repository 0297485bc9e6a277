/* replay_main.c: a main for fuzz targets where libFuzzer is absent, with the same kind of command line.
 *
 *   fuzz_x FILE|FOLDER...              runs each file once: the replay of a corpus
 *   fuzz_x -runs=N [-seed=S] FILES...  then runs N mutations of them (or of nothing)
 *   fuzz_x -crash=FILE ...             writes every mutation to FILE before it runs, so that a crash leaves it behind
 *
 * Linked with one LLVMFuzzerTestOneInput, and the seeds that the target makes itself (replay.h), which run and are
 * mutated like files. Mutations: bytes changed, ranges copied, removed, repeated, inserted, small
 * and extreme numbers written over 4 or 8 bytes. The same seed and files give the same inputs. */
#define _POSIX_C_SOURCE 200809L
#include "replay.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MAX_INPUT_BYTES ((size_t)1 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* for targets that define neither */
__attribute__((weak)) int64_t fuzz_n_accepted;
__attribute__((weak)) size_t fuzz_seed(int32_t index, uint8_t *data, size_t cap) {
    (void)index, (void)data, (void)cap;
    return 0;
}

typedef struct input {
    uint8_t *data;
    size_t n;
} input;

static input *corpus;
static size_t n_corpus;

static void add_input(uint8_t *data, size_t n) {
    corpus = realloc(corpus, (n_corpus + 1) * sizeof *corpus);
    if (!corpus) exit(2);
    corpus[n_corpus++] = (input){data, n};
}

static void read_file(const char *path) {
    FILE *file = fopen(path, "rb");
    uint8_t *data = malloc(MAX_INPUT_BYTES);
    if (!file || !data) {
        (void)fprintf(stderr, "%s: cannot be read\n", path);
        exit(2);
    }
    const size_t n = fread(data, 1, MAX_INPUT_BYTES, file);
    (void)fclose(file);
    add_input(data, n);
}

static void read_path(const char *path) {
    struct stat st;
    DIR *dir = stat(path, &st) == 0 && S_ISDIR(st.st_mode) ? opendir(path) : NULL;
    if (!dir) {
        read_file(path);
        return;
    }
    for (const struct dirent *entry; (entry = readdir(dir));) {
        char name[4096];
        if (entry->d_name[0] == '.') continue;
        (void)snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        read_path(name);
    }
    (void)closedir(dir);
}

static uint64_t random_state;

/* xorshift64* (Vigna 2016) */
static uint64_t random_below(uint64_t n) {
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return n ? (random_state * 0x2545f4914f6cdd1du >> 11) % n : 0;
}

static size_t insert_range(uint8_t *buf, size_t n, size_t at, const uint8_t *from, size_t n_from) {
    if (n + n_from > MAX_INPUT_BYTES) return n;
    memmove(buf + at + n_from, buf + at, n - at);
    memcpy(buf + at, from, n_from);
    return n + n_from;
}

static size_t mutate(uint8_t *buf, size_t n) {
    static const uint64_t numbers[] = {
        0, 1, 0x7f, 0xff, 0x7fff, 0xffff, 0x7fffffff, 0xffffffff, 0x7fffffffffffffff, UINT64_MAX};
    static uint8_t copy[64];
    const size_t at = random_below(n + 1);
    const size_t len = 1 + random_below(n - at < sizeof copy ? n - at : sizeof copy);
    const bool inside = at + len <= n;
    switch (random_below(6)) {
    case 0:
        if (at < n) buf[at] = (uint8_t)random_below(256);
        return n;
    case 1:
        if (at < n) buf[at] ^= (uint8_t)(1u << random_below(8));
        return n;
    case 2:
        if (!inside) return n;
        memmove(buf + at, buf + at + len, n - at - len);
        return n - len;
    case 3:
        if (!inside) return n;
        memcpy(copy, buf + at, len);
        return insert_range(buf, n, random_below(n + 1), copy, len);
    case 4: {
        const uint64_t number = numbers[random_below(sizeof numbers / sizeof numbers[0])];
        const size_t width = random_below(2) ? 4 : 8;
        if (at + width <= n) memcpy(buf + at, &number, width);
        return n;
    }
    default:
        for (size_t i = 0; i < sizeof copy; i++)
            copy[i] = (uint8_t)random_below(random_below(2) ? 256 : 128);
        return insert_range(buf, n, at, copy, 1 + random_below(sizeof copy));
    }
}

static void write_file(const char *path, const uint8_t *data, size_t n) {
    FILE *file = fopen(path, "wb");
    if (!file) return;
    (void)fwrite(data, 1, n, file);
    (void)fclose(file);
}

static void run_mutations(long runs, const char *crash_path) {
    uint8_t *buf = malloc(MAX_INPUT_BYTES);
    if (!buf) exit(2);
    for (long i = 0; i < runs; i++) {
        const input *base = &corpus[random_below(n_corpus)];
        size_t n = base->n;
        memcpy(buf, base->data, n);
        for (uint64_t k = 1 + random_below(8); k > 0; k--) n = mutate(buf, n);
        if (crash_path) write_file(crash_path, buf, n);
        /* a block of exactly n bytes, so that a sanitizer sees reads past it */
        uint8_t *exact = malloc(n ? n : 1);
        if (!exact) exit(2);
        memcpy(exact, buf, n);
        (void)LLVMFuzzerTestOneInput(exact, n);
        free(exact);
    }
    free(buf);
}

static void add_seeds(void) {
    for (int32_t index = 0;; index++) {
        uint8_t *data = malloc(MAX_INPUT_BYTES);
        if (!data) exit(2);
        const size_t n = fuzz_seed(index, data, MAX_INPUT_BYTES);
        if (n == 0) {
            free(data);
            return;
        }
        add_input(data, n);
    }
}

/* Runs every input as it is; false when the target refuses a seed of its own. */
static bool run_corpus(size_t n_seeds) {
    bool good = true;
    for (size_t i = 0; i < n_corpus; i++) {
        const int64_t before = fuzz_n_accepted;
        (void)LLVMFuzzerTestOneInput(corpus[i].data, corpus[i].n);
        if (i >= n_seeds || fuzz_n_accepted > before) continue;
        (void)fprintf(stderr, "seed %zu is refused\n", i);
        good = false;
    }
    return good;
}

int main(int argc, char **argv) {
    long runs = 0;
    const char *crash_path = NULL;
    random_state = 1;
    add_seeds();
    const size_t n_seeds = n_corpus;
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], "-runs=", 6) == 0)
            runs = strtol(argv[i] + 6, NULL, 10);
        else if (strncmp(argv[i], "-seed=", 6) == 0)
            random_state = strtoull(argv[i] + 6, NULL, 10) * 2 + 1;
        else if (strncmp(argv[i], "-crash=", 7) == 0)
            crash_path = argv[i] + 7;
        else
            read_path(argv[i]);
    }
    const size_t n_files = n_corpus - n_seeds;
    bool good = run_corpus(n_seeds);
    if (n_corpus == 0) add_input(calloc(1, 1), 0);
    const int64_t before = fuzz_n_accepted;
    run_mutations(runs, crash_path);
    const int64_t n_accepted = fuzz_n_accepted - before;
    (void)printf("%zu seeds, %zu files, %ld mutations, of which %lld accepted: no crash\n", n_seeds,
                 n_files, runs, (long long)n_accepted);
    if (n_seeds > 0 && n_accepted < runs / REPLAY_ACCEPTED_SHARE) {
        (void)fprintf(stderr, "too few mutations were accepted\n");
        good = false;
    }
    for (size_t i = 0; i < n_corpus; i++) free(corpus[i].data);
    free(corpus);
    return good ? 0 : 1;
}
