/* test_os.c: what may be opened and what not, reads at and past the end, mapping, limits, clock and
 * randomness. */
#define _GNU_SOURCE
#include "base/os.h"

#include <errno.h>
#include <setjmp.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/puna-test-os-XXXXXX";
static const char content[] = "0123456789abcdef";
enum { CONTENT_BYTES = sizeof content - 1 };

/* A path inside the folder; valid until the next call. */
static const char *in_folder(const char *name) {
    static char path[512];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static int make_file(const char *name, const char *text) {
    FILE *f = fopen(in_folder(name), "wb");
    if (!f) return -1;
    const int bad = fputs(text, f) < 0;
    return fclose(f) | -bad;
}

static int make_folder(void **state) {
    (void)state;
    if (!mkdtemp(folder) || make_file("file", content) || make_file("empty", "")) return -1;
    if (mkfifo(in_folder("fifo"), 0600) || mkdir(in_folder("directory"), 0700)) return -1;
    return symlink("loop", in_folder("loop")) | symlink("nowhere", in_folder("dangling")) |
           symlink("file", in_folder("link"));
}

static int remove_folder(void **state) {
    (void)state;
    static const char *const names[] = {"file",     "empty", "fifo",  "loop",
                                        "dangling", "link",  "secret"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) (void)unlink(in_folder(names[i]));
    (void)rmdir(in_folder("directory"));
    return rmdir(folder);
}

static void test_open(void **state) {
    (void)state;
    pn_file file;
    puna_error err;
    assert_int_equal(pn_os_open(in_folder("file"), &file, &err), PUNA_OK);
    assert_int_equal(file.bytes, CONTENT_BYTES);
    pn_os_close(&file);
    /* closing again must not close the file that got the same descriptor */
    pn_file other;
    char first;
    assert_int_equal(pn_os_open(in_folder("link"), &other, NULL), PUNA_OK);
    pn_os_close(&file);
    assert_int_equal(pn_os_read(&other, 0, &first, 1, NULL), PUNA_OK);
    assert_int_equal(first, '0');
    pn_os_close(&other);
    assert_int_equal(pn_os_open(in_folder("empty"), &file, NULL), PUNA_OK);
    assert_int_equal(file.bytes, 0);
    pn_os_close(&file);
}

/* The message must name the path and the reason. A FIFO without a writer must not block. */
static void test_open_refuses(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"missing", "No such file or directory"},
        {"directory", "is a directory, not a regular file"},
        {"fifo", "is a pipe, not a regular file"},
        {"loop", "symbolic links"},
        {"dangling", "No such file or directory"},
        {"file/below", "Not a directory"},
    };
    pn_file file = {-7, 7};
    puna_error err;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(pn_os_open(in_folder(cases[i][0]), &file, &err), PUNA_E_IO);
        assert_int_equal(err.code, PUNA_E_IO);
        assert_non_null(strstr(err.msg, in_folder(cases[i][0])));
        assert_non_null(strstr(err.msg, cases[i][1]));
        assert_int_equal(pn_os_open(in_folder(cases[i][0]), &file, NULL), PUNA_E_IO);
    }
    assert_int_equal(pn_os_open("/dev/null", &file, &err), PUNA_E_IO);
    assert_non_null(strstr(err.msg, "is a device"));
    assert_int_equal(pn_os_open("", &file, &err), PUNA_E_IO);
    assert_int_equal(pn_os_open("\033[2Jx", &file, &err), PUNA_E_IO);
    assert_non_null(strstr(err.msg, "\\x1b[2Jx"));
    assert_true(file.fd == -7 && file.bytes == 7); /* written on success only */
    char longest[6000];
    memset(longest, 'n', sizeof longest);
    longest[sizeof longest - 1] = 0;
    assert_int_equal(pn_os_open(longest, &file, &err), PUNA_E_IO);
    assert_non_null(strstr(err.msg, "File name too long"));
}

static void test_open_secret(void **state) {
    (void)state;
    if (geteuid() == 0) skip(); /* root reads everything */
    pn_file file;
    puna_error err;
    assert_int_equal(make_file("secret", "x"), 0);
    assert_int_equal(chmod(in_folder("secret"), 0), 0);
    assert_int_equal(pn_os_open(in_folder("secret"), &file, &err), PUNA_E_IO);
    assert_non_null(strstr(err.msg, "Permission denied"));
}

static void test_read(void **state) {
    (void)state;
    pn_file file;
    puna_error err;
    char got[64];
    assert_int_equal(pn_os_open(in_folder("file"), &file, &err), PUNA_OK);
    assert_int_equal(pn_os_read(&file, 0, got, CONTENT_BYTES, &err), PUNA_OK);
    assert_memory_equal(got, content, CONTENT_BYTES);
    assert_int_equal(pn_os_read(&file, 10, got, 3, &err), PUNA_OK);
    assert_memory_equal(got, "abc", 3);
    assert_int_equal(pn_os_read(&file, CONTENT_BYTES, got, 0, &err), PUNA_OK);
    /* past the end: how far it came and how much is missing */
    assert_int_equal(pn_os_read(&file, 10, got, 7, &err), PUNA_E_IO);
    assert_string_equal(err.msg, "unexpected end of file at byte 16, 1 bytes missing");
    assert_int_equal(pn_os_read(&file, 1000, got, 1, &err), PUNA_E_IO);
    assert_non_null(strstr(err.msg, "byte 1000"));
    assert_int_equal(pn_os_read(&file, UINT64_MAX, got, 1, &err), PUNA_E_IO);
    assert_int_equal(pn_os_read(&file, 0, got, 17, NULL), PUNA_E_IO);
    pn_os_close(&file);
    assert_int_equal(pn_os_read(&file, 0, got, 1, &err), PUNA_E_IO);
    assert_non_null(strstr(err.msg, "Bad file descriptor"));
}

static void test_map(void **state) {
    (void)state;
    pn_file file;
    puna_error err;
    const void *data = NULL;
    assert_int_equal(pn_os_open(in_folder("file"), &file, &err), PUNA_OK);
    assert_int_equal(pn_os_map(&file, &data, &err), PUNA_OK);
    pn_os_close(&file); /* the mapping outlives the descriptor */
    assert_memory_equal(data, content, CONTENT_BYTES);
    pn_os_will_need(data, CONTENT_BYTES);
    (void)pn_os_lock(data, CONTENT_BYTES); /* allowed or not, according to the machine */
    pn_os_unmap(data, CONTENT_BYTES);
    pn_os_unmap(NULL, 0);
    assert_int_equal(pn_os_open(in_folder("empty"), &file, &err), PUNA_OK);
    data = NULL;
    assert_int_equal(pn_os_map(&file, &data, &err), PUNA_E_IO);
    assert_string_equal(err.msg, "cannot map a file of 0 bytes");
    assert_null(data);
    pn_os_close(&file);
    file.bytes = 100;
    assert_int_equal(pn_os_map(&file, &data, &err), PUNA_E_IO);
}

static void test_memory_limit(void **state) {
    (void)state;
    const uint64_t available = pn_os_available_bytes();
    assert_true(available > 0);
#if defined(__SANITIZE_ADDRESS__)
    skip(); /* its shadow memory alone is larger than any limit */
#else
    struct rlimit old, low;
    assert_int_equal(getrlimit(RLIMIT_AS, &old), 0);
    low = old;
    low.rlim_cur = (rlim_t)200 << 20;
    assert_int_equal(setrlimit(RLIMIT_AS, &low), 0);
    const uint64_t limited = pn_os_available_bytes();
    assert_int_equal(setrlimit(RLIMIT_AS, &old), 0);
    assert_true(limited <= (uint64_t)200 << 20 && limited < available);
#endif
}

static void test_cpus(void **state) {
    (void)state;
    const int32_t n = pn_os_n_cpus();
    assert_true(n >= 1);
#if defined(__linux__)
    cpu_set_t old, one;
    assert_int_equal(sched_getaffinity(0, sizeof old, &old), 0);
    assert_true(n <= CPU_COUNT(&old));
    int first = 0;
    while (!CPU_ISSET(first, &old)) first++;
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    if (sched_setaffinity(0, sizeof one, &one) == 0) {
        assert_int_equal(pn_os_n_cpus(), 1);
        assert_int_equal(sched_setaffinity(0, sizeof old, &old), 0);
    }
#endif
}

static void test_clock_and_random(void **state) {
    (void)state;
    double last = pn_os_seconds();
    for (int i = 0; i < 1000; i++) {
        const double now = pn_os_seconds();
        assert_true(now >= last);
        last = now;
    }
    uint64_t any = 0, all = UINT64_MAX;
    for (int i = 0; i < 64; i++) {
        const uint64_t v = pn_os_random();
        any |= v;
        all &= v;
    }
    assert_true(any == UINT64_MAX && all == 0); /* fails once in 2^57 runs */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_open),        cmocka_unit_test(test_open_refuses),
        cmocka_unit_test(test_open_secret), cmocka_unit_test(test_read),
        cmocka_unit_test(test_map),         cmocka_unit_test(test_memory_limit),
        cmocka_unit_test(test_cpus),        cmocka_unit_test(test_clock_and_random),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
