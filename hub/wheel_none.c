/* wheel_none.c: stands in for wheel.c where there is no zlib: wheels cannot be unpacked. */
#include "wheel.h"

static const char reason[] = "this puna was built without zlib and cannot unpack Python packages: "
                             "install its development files and build it again";

hub_status wheel_list(int fd, const char *what, wheel_members *out, hub_error *err) {
    (void)fd;
    (void)what;
    *out = (wheel_members){0};
    return hub_fail(err, HUB_FAILED, "%s", reason);
}

void wheel_members_clear(wheel_members *members) {
    *members = (wheel_members){0};
}

hub_status wheel_extract(int fd, const char *what, const wheel_member *member,
                         bool (*take)(void *user, const void *bytes, size_t n), void *user,
                         hub_error *err) {
    (void)fd;
    (void)what;
    (void)member;
    (void)take;
    (void)user;
    return hub_fail(err, HUB_FAILED, "%s", reason);
}
