/* Versions as PEP 440 orders them (beside its own examples), pip's configuration files, and pages of an index. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hub/pypi_index.h"

/* PEP 440, "Summary of permitted suffixes and relative ordering", and around it. */
static void test_versions(void **state) {
    static const char *const order[] = {"junk",          "0.9",
                                        "1.0.dev456",    "1.0a1",
                                        "1.0a2.dev456",  "1.0a12.dev456",
                                        "1.0a12",        "1.0b1.dev456",
                                        "1.0b2",         "1.0b2.post345.dev456",
                                        "1.0rc1.dev456", "1.0rc1",
                                        "1.0",           "1.0.post456.dev34",
                                        "1.0.post456",   "1.1.dev1",
                                        "1.2",           "1.10",
                                        "2!0.1"};
    enum { N = sizeof order / sizeof *order };
    (void)state;
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < N; j++) {
            /* a post-release of a pre-release (1.0b2.post345) is no version to us, and comes first */
            if (strstr(order[i], "b2.post") || strstr(order[j], "b2.post")) continue;
            int found = pypi_compare_versions(order[i], order[j]);
            if ((found > 0) - (found < 0) != (i > j) - (i < j))
                fail_msg("%s beside %s: %d", order[i], order[j], found);
        }
    }
    assert_true(pypi_is_prerelease("1.0rc1") && pypi_is_prerelease("1.0.dev1"));
    assert_false(pypi_is_prerelease("1.0") || pypi_is_prerelease("1.0.post1"));
    assert_false(pypi_is_prerelease("99999999999999999999.1"));
}

static void test_config(void **state) {
    pip_section global = {0};
    pip_section download = {0};
    (void)state;
    pip_config_parse("index-url = http://lost\n"
                     "# comment\n"
                     "[global]\n"
                     "Index_URL: http://a/simple\n"
                     "unknown = x\n"
                     "   more of it\n"
                     "extra-index-url =\n"
                     "    http://b\n"
                     "  # no value\n"
                     "\thttp://c\n"
                     "cert=/x y.pem  \r\n"
                     "[download]\n"
                     "no-index = true\n"
                     "[install]\n"
                     "cert = /other\n"
                     "  [global]\n" /* indented: no section */
                     "[global]\n"
                     "no-index",
                     &global, &download);
    assert_string_equal(global.index_url, "http://a/simple");
    assert_string_equal(global.extra_index_url, "\nhttp://b\nhttp://c");
    assert_string_equal(global.cert, "/x y.pem");
    assert_null(global.no_index);
    assert_string_equal(download.no_index, "true");
    assert_null(download.index_url);
    pip_section_clear(&global);
    pip_section_clear(&download);
}

static void test_html(void **state) {
    static const char page[] =
        "<!DOCTYPE html><a>no</a><abbr href='x-1-py3-none-any.whl'>"
        "<a href=\"../../p/my_pkg-1.0-py3-none-any.whl#sha256="
        "AB00000000000000000000000000000000000000000000000000000000000000\" "
        "data-requires-python=\"&gt;=3\">x</a>"
        "<A\n HREF = 'https://h/my.pkg-2.0%2Blocal-py3-none-any.whl?a=1&amp;b=2' data-yanked>"
        "<a href=my-pkg-3-py3-none-any.tar.gz><a href=other-1-py3-none-any.whl>"
        "<a title='>' href=my_pkg-4-cp311-cp311-linux_x86_64.whl#md5=0>"
        "<a href=\"my_pkg-5-py3-none-any.whl";
    wheel_files files;
    char *probe = transfer_join("https://index/simple/my-pkg/", "x");
    (void)state;
    if (!probe) skip(); /* a build without libcurl knows no addresses */
    free(probe);
    pypi_parse_html(page, "https://index/simple/my-pkg/", "my-pkg", &files);
    assert_int_equal(files.n, 4);
    assert_string_equal(files.items[0].url, "https://index/p/my_pkg-1.0-py3-none-any.whl");
    assert_string_equal(files.items[0].sha256,
                        "ab00000000000000000000000000000000000000000000000000000000000000");
    assert_false(files.items[0].yanked);
    assert_string_equal(files.items[1].version, "2.0+local");
    assert_true(files.items[1].yanked);
    assert_true(strstr(files.items[1].url, "?a=1&b=2") != NULL);
    assert_string_equal(files.items[2].version, "4");
    assert_string_equal(files.items[2].sha256, "");
    assert_string_equal(files.items[3].version, "5");
    assert_ptr_equal(pypi_choose(&files, NULL), &files.items[3]);
    assert_ptr_equal(pypi_choose(&files, "1"), &files.items[0]);
    assert_null(pypi_choose(&files, "6"));
    wheel_files_clear(&files);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_versions),
                                       cmocka_unit_test(test_config), cmocka_unit_test(test_html)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
