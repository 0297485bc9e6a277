/* wheel.h: reading members of a Python wheel, which is a zip archive (PKWARE APPNOTE 6.3, with
 * Zip64). The only file that knows zlib is wheel.c; without it wheel_none.c refuses.
 *
 * Nothing in an archive is believed: every offset and size is held against the file, names are
 * only compared, never used as paths, and a member gives exactly the bytes it announces. */
#ifndef PUNA_HUB_WHEEL_H
#define PUNA_HUB_WHEEL_H

#include "hub_base.h"

typedef struct wheel_member {
    char *name;
    uint64_t offset; /* of its local header */
    uint64_t packed_bytes;
    uint64_t bytes;
    uint32_t crc;
    bool deflated;
} wheel_member;

typedef struct wheel_members {
    wheel_member *items;
    const char **names; /* of items, in the same order */
    size_t n;
} wheel_members;

/* The members that can be read: stored or deflated, not encrypted. what: for messages. */
hub_status wheel_list(int fd, const char *what, wheel_members *out, hub_error *err);
void wheel_members_clear(wheel_members *members);

/* Hands the member's bytes over piece by piece, and checks size and CRC. take returns false to
 * stop, after setting *err. */
hub_status wheel_extract(int fd, const char *what, const wheel_member *member,
                         bool (*take)(void *user, const void *bytes, size_t n), void *user,
                         hub_error *err);

#endif
