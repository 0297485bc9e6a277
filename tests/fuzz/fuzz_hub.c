/* fuzz_hub.c: what comes from the network and from files of others, to everything in hub/ that reads it.
 *
 * Layout of an input: one letter that says which reader, then its text: n a model's name, q paths (a line each) and
 * on the first line a quantisation, f a page of the hub's list of files, j and h a page of a package index, c pip's
 * configuration, w a wheel. */
#define _POSIX_C_SOURCE 200809L
#include "hub/hf_api.h"
#include "hub/names.h"
#include "hub/pypi_index.h"
#include "hub/quants.h"
#include "hub/wheel.h"
#include "replay.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int64_t fuzz_n_accepted;

/* A zip archive that stores "hello" as m.gguf. */
static const char stored_wheel[] =
    "w"
    "PK\x03\x04\x14\0\0\0\0\0\0\0!\0\x86\xa6\x10\x36\x05\0\0\0\x05\0\0\0\x06\0\0\0m.ggufhello"
    "PK\x01\x02\x14\x03\x14\0\0\0\0\0\0\0!"
    "\0\x86\xa6\x10\x36\x05\0\0\0\x05\0\0\0\x06\0\0\0\0\0\0\0\0\0"
    "\0\0\x80\x01\0\0\0\0m.gguf"
    "PK\x05\x06\0\0\0\0\x01\0\x01\0\x34\0\0\0\x29\0\0\0\0\0";

#define SEED(text)                                                                                 \
    { text, sizeof text - 1 }
static const struct {
    const char *text;
    size_t n;
} seeds[] = {
    SEED("nhttps://huggingface.co/org/repo/resolve/main/sub/m.Q4_K_M.gguf?download=true"),
    SEED("norg/repo:UD-Q4_K_XL@refs/pr/1"),
    SEED("npypi:My_Package==1.0.post1"),
    SEED("qQ4_K_M\nm-Q4_K_M-00001-of-00002.gguf\nm-Q4_K_M-00002-of-00002.gguf\nUD-IQ2_M/"
         "x-UD-IQ2_M.gguf\nmmproj.gguf"),
    SEED("f[{\"type\":\"directory\",\"path\":\"sub\",\"size\":0},{\"type\":\"file\",\"path\":\"sub/"
         "m-Q8_0.gguf\",\"size\":"
         "7,\"oid\":\"e69de29bb2d1d6434b8b29ae775ad8c2e48c5391\",\"lfs\":{\"oid\":"
         "\"e3b0c44298fc1c149afbf4c8996fb92427ae"
         "41e4649b934ca495991b7852b855\",\"size\":7,\"pointerSize\":134}}]"),
    SEED("j{\"meta\":{\"api-version\":\"1.1\"},\"name\":\"pkg\",\"files\":[{\"filename\":\"pkg-1.0-"
         "py3-none-any.whl\",\"url\""
         ":\"../../p/"
         "pkg-1.0-py3-none-any.whl\",\"hashes\":{\"sha256\":"
         "\"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b93"
         "4ca495991b7852b855\"},\"size\":5,\"yanked\":false},{\"filename\":\"pkg-1.1rc1-py3-none-"
         "any.whl\",\"url\":"
         "\"https://h/x.whl\",\"hashes\":{},\"yanked\":\"no\"}]}"),
    SEED("h<html><a "
         "href=\"../../p/"
         "pkg-1.0-py3-none-any.whl#sha256=e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495"
         "991b7852b855\" data-yanked='' data-requires-python=\"&gt;=3\">x</a><a "
         "href=pkg-2.0.dev1-py3-none-any.whl>"),
    SEED("c[global]\nindex-url = https://a/simple\nextra-index-url =\n  https://b\n  "
         "https://c\n[download]\ncert: /x\n"),
    SEED(stored_wheel),
};

size_t fuzz_seed(int32_t index, uint8_t *data, size_t cap) {
    if ((size_t)index >= sizeof seeds / sizeof *seeds || seeds[index].n > cap) return 0;
    memcpy(data, seeds[index].text, seeds[index].n);
    return seeds[index].n;
}

static bool read_name(const char *text) {
    model_name name;
    hub_error err;
    if (names_parse(text, &name, &err) != HUB_OK) return false;
    if (name.kind == NAME_HUB && !names_is_repo(name.repo)) abort();
    if (name.file && !names_is_safe_path(name.file)) abort();
    names_clear(&name);
    return true;
}

static bool read_paths(char *text) {
    string_list paths = {0};
    quant_choice choice;
    hub_error err;
    char *quant = text;
    text += strcspn(text, "\n");
    for (; *text; text += strcspn(text, "\n")) {
        *text++ = 0;
        string_list_add(&paths, hub_copy_n(text, strcspn(text, "\n")));
    }
    for (size_t i = 0; i < paths.n; i++) {
        char label[QUANT_CHARS];
        quant_label(paths.items[i], label);
    }
    quant_wish wish = {.where = "x", .quant = *quant ? quant : NULL};
    bool good =
        quant_choose(&wish, (const char *const *)paths.items, paths.n, &choice, &err) == HUB_OK;
    if (good) free(choice.files);
    wish = (quant_wish){.where = "x", .glob = quant};
    if (quant_choose(&wish, (const char *const *)paths.items, paths.n, &choice, &err) == HUB_OK)
        free(choice.files);
    string_list_clear(&paths);
    return true;
}

static bool read_tree(const char *text, size_t n) {
    hf_tree tree = {0};
    hub_error err;
    bool good = hf_parse_page(&tree, text, n, "x", &err) == HUB_OK;
    for (size_t i = 0; i < tree.n; i++) {
        if (!names_is_safe_path(tree.paths[i])) abort();
    }
    hf_tree_clear(&tree);
    return good;
}

static bool read_page(const char *text, size_t n, bool json) {
    wheel_files files;
    hub_error err;
    bool good = true;
    if (json) {
        good = pypi_parse_json(text, n, "https://h/simple/pkg/", "pkg", &files, &err) == HUB_OK;
    } else {
        pypi_parse_html(text, "https://h/simple/pkg/", "pkg", &files);
    }
    const wheel_file *best = good ? pypi_choose(&files, NULL) : NULL;
    if (best && strncmp(best->url, "file:", 5) == 0) abort();
    wheel_files_clear(&files);
    return good;
}

static bool read_config(const char *text) {
    pip_section global = {0};
    pip_section download = {0};
    pip_config_parse(text, &global, &download);
    pip_section_clear(&global);
    pip_section_clear(&download);
    return true;
}

static bool count(void *user, const void *bytes, size_t n) {
    (void)bytes;
    *(uint64_t *)user += n;
    return true;
}

static bool read_wheel(const uint8_t *data, size_t n) {
    static FILE *file;
    wheel_members members;
    hub_error err;
    if (!file) file = tmpfile();
    if (!file) return false;
    int fd = fileno(file);
    if (ftruncate(fd, 0) != 0 || pwrite(fd, data, n, 0) != (ssize_t)n) return false;
    bool good = wheel_list(fd, "x", &members, &err) == HUB_OK;
    if (!good && strstr(err.msg, "built without zlib")) return true;
    for (size_t i = 0; good && i < members.n; i++) {
        uint64_t n_bytes = 0;
        hub_status status = wheel_extract(fd, "x", &members.items[i], count, &n_bytes, &err);
        if (n_bytes > members.items[i].bytes ||
            (status == HUB_OK && n_bytes != members.items[i].bytes))
            abort();
    }
    wheel_members_clear(&members);
    return good;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) return 0;
    char *text = hub_copy_n((const char *)data + 1, size - 1);
    bool good = false;
    switch (data[0]) {
    case 'n': good = read_name(text); break;
    case 'q': good = read_paths(text); break;
    case 'f': good = read_tree(text, size - 1); break;
    case 'j': good = read_page(text, size - 1, true); break;
    case 'h': good = read_page(text, size - 1, false); break;
    case 'c': good = read_config(text); break;
    case 'w': good = read_wheel(data + 1, size - 1); break;
    default: break;
    }
    if (good) fuzz_n_accepted++;
    free(text);
    return 0;
}
