/* wheel.c: reading members of a Python wheel, which is a zip archive. */
#define _POSIX_C_SOURCE   200809L /* pread */
#define _FILE_OFFSET_BITS 64
#include "wheel.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

enum {
    END_BYTES = 22,     /* end of central directory, without its comment */
    LOCATOR_BYTES = 20, /* Zip64 locator, just before it */
    END64_BYTES = 56,   /* Zip64 end of central directory */
    ENTRY_BYTES = 46,   /* an entry of the directory, without its names */
    LOCAL_BYTES = 30,   /* the header before a member's bytes */
    MAX_COMMENT = 65535,
    MAX_MEMBERS = 100000,
    MAX_DIRECTORY = 64 * 1024 * 1024,
    CHUNK = 256 * 1024
};

/* ---- bytes ----------------------------------------------------------------------------------- */

static uint32_t get16(const unsigned char *at) {
    return (uint32_t)at[0] | (uint32_t)at[1] << 8;
}

static uint32_t get32(const unsigned char *at) {
    return get16(at) | get16(at + 2) << 16;
}

static uint64_t get64(const unsigned char *at) {
    return get32(at) | (uint64_t)get32(at + 4) << 32;
}

static bool read_at(int fd, void *to, size_t n, uint64_t offset) {
    char *at = to;
    while (n > 0) {
        ssize_t got = pread(fd, at, n, (off_t)offset);
        if (got <= 0) return false;
        at += got;
        n -= (size_t)got;
        offset += (uint64_t)got;
    }
    return true;
}

static hub_status broken(const char *what, const char *why, hub_error *err) {
    return hub_fail(err, HUB_FAILED, "%s is no usable wheel: %s", what, why);
}

/* ---- the directory --------------------------------------------------------------------------- */

typedef struct directory {
    uint64_t offset;
    uint64_t bytes;
    uint64_t n;
} directory;

/* With Zip64 the true numbers stand in a record of their own. end_at: where the plain one is. */
static bool read_end64(int fd, uint64_t end_at, directory *d) {
    unsigned char locator[LOCATOR_BYTES];
    unsigned char end[END64_BYTES];
    if (end_at < LOCATOR_BYTES || !read_at(fd, locator, sizeof locator, end_at - LOCATOR_BYTES) ||
        get32(locator) != 0x07064b50)
        return true; /* there is none */
    uint64_t at = get64(locator + 8);
    if (at > end_at || end_at - at < END64_BYTES || !read_at(fd, end, sizeof end, at) ||
        get32(end) != 0x06064b50)
        return false;
    d->n = get64(end + 32);
    d->bytes = get64(end + 40);
    d->offset = get64(end + 48);
    return true;
}

static bool find_directory(int fd, uint64_t file_bytes, directory *d) {
    size_t n = file_bytes < MAX_COMMENT + END_BYTES ? (size_t)file_bytes : MAX_COMMENT + END_BYTES;
    if (n < END_BYTES) return false;
    unsigned char *tail = hub_memory(NULL, n, 1);
    bool found = false;
    if (read_at(fd, tail, n, file_bytes - n)) {
        for (size_t i = n - END_BYTES + 1; i-- > 0 && !found;) {
            if (get32(tail + i) != 0x06054b50) continue;
            uint64_t end_at = file_bytes - n + i;
            d->n = get16(tail + i + 10);
            d->bytes = get32(tail + i + 12);
            d->offset = get32(tail + i + 16);
            found =
                read_end64(fd, end_at, d) && d->offset <= end_at && d->bytes <= end_at - d->offset;
        }
    }
    free(tail);
    return found;
}

/* The 64-bit values of the Zip64 field, for those that are all ones in the entry itself. */
static bool read_extra(const unsigned char *extra, size_t n, wheel_member *m) {
    while (n >= 4) {
        size_t n_field = get16(extra + 2);
        if (n_field > n - 4) return false;
        const unsigned char *value = extra + 4;
        const unsigned char *end = value + n_field;
        uint64_t *wanted[] = {&m->bytes, &m->packed_bytes, &m->offset};
        for (size_t i = 0; get16(extra) == 1 && i < 3; i++) {
            if (*wanted[i] != UINT32_MAX) continue;
            if (end - value < 8) return false;
            *wanted[i] = get64(value);
            value += 8;
        }
        extra += 4 + n_field;
        n -= 4 + n_field;
    }
    return true;
}

/* One entry at at[0..left); *n its length. False when it is cut or nonsense. */
static bool read_entry(const unsigned char *at, size_t left, uint64_t file_bytes, size_t *n,
                       wheel_member *m, bool *usable) {
    if (left < ENTRY_BYTES || get32(at) != 0x02014b50) return false;
    size_t n_name = get16(at + 28);
    size_t n_extra = get16(at + 30);
    *n = ENTRY_BYTES + n_name + n_extra + get16(at + 32);
    if (*n > left || n_name == 0) return false;
    uint32_t method = get16(at + 10);
    *m = (wheel_member){.crc = get32(at + 16),
                        .packed_bytes = get32(at + 20),
                        .bytes = get32(at + 24),
                        .offset = get32(at + 42),
                        .deflated = method == 8};
    if (!read_extra(at + ENTRY_BYTES + n_name, n_extra, m)) return false;
    *usable = (method == 0 || method == 8) && !(get16(at + 8) & 1) &&
              !memchr(at + ENTRY_BYTES, 0, n_name) && m->packed_bytes <= file_bytes &&
              m->offset <= file_bytes - m->packed_bytes &&
              (m->deflated || m->bytes == m->packed_bytes);
    if (*usable) m->name = hub_copy_n((const char *)at + ENTRY_BYTES, n_name);
    return true;
}

hub_status wheel_list(int fd, const char *what, wheel_members *out, hub_error *err) {
    struct stat st;
    directory d = {0};
    *out = (wheel_members){0};
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) ||
        !find_directory(fd, (uint64_t)st.st_size, &d))
        return broken(what, "it has no zip directory", err);
    if (d.n > MAX_MEMBERS || d.bytes > MAX_DIRECTORY)
        return broken(what, "its directory is too long", err);
    unsigned char *bytes = hub_memory(NULL, (size_t)d.bytes, 1);
    bool good = read_at(fd, bytes, (size_t)d.bytes, d.offset);
    out->items = hub_memory(NULL, (size_t)d.n, sizeof *out->items);
    out->names = hub_memory(NULL, (size_t)d.n, sizeof *out->names);
    size_t at = 0;
    for (uint64_t i = 0; good && i < d.n; i++) {
        wheel_member m;
        size_t n;
        bool usable = false;
        good = read_entry(bytes + at, (size_t)d.bytes - at, (uint64_t)st.st_size, &n, &m, &usable);
        if (!good) break;
        at += n;
        if (!usable) continue;
        out->names[out->n] = m.name;
        out->items[out->n++] = m;
    }
    free(bytes);
    if (good) return HUB_OK;
    wheel_members_clear(out);
    return broken(what, "its directory is damaged", err);
}

void wheel_members_clear(wheel_members *members) {
    for (size_t i = 0; i < members->n; i++) free(members->items[i].name);
    free(members->items);
    free(members->names);
    *members = (wheel_members){0};
}

/* ---- a member -------------------------------------------------------------------------------- */

/* One member on its way out. */
typedef struct outlet {
    bool (*take)(void *user, const void *bytes, size_t n);
    void *user;
    uint64_t left; /* bytes it may still give */
    uLong crc;
    bool refused;
} outlet;

static bool give(outlet *o, const unsigned char *bytes, size_t n) {
    if (n > o->left) return false;
    o->left -= n;
    o->crc = crc32(o->crc, bytes, (uInt)n);
    o->refused = !o->take(o->user, bytes, n);
    return !o->refused;
}

static bool copy_stored(int fd, uint64_t at, uint64_t n, unsigned char *chunk, outlet *o) {
    while (n > 0) {
        size_t piece = n < CHUNK ? (size_t)n : CHUNK;
        if (!read_at(fd, chunk, piece, at) || !give(o, chunk, piece)) return false;
        at += piece;
        n -= piece;
    }
    return true;
}

static bool inflate_member(int fd, uint64_t at, uint64_t n, unsigned char *chunk, outlet *o) {
    unsigned char *packed = hub_memory(NULL, CHUNK, 1);
    z_stream stream = {0};
    int result = inflateInit2(&stream, -MAX_WBITS);
    bool good = result == Z_OK;
    while (good && result != Z_STREAM_END) {
        if (stream.avail_in == 0 && n > 0) {
            size_t piece = n < CHUNK ? (size_t)n : CHUNK;
            good = read_at(fd, packed, piece, at);
            at += piece;
            n -= piece;
            stream.next_in = packed;
            stream.avail_in = (uInt)piece;
            if (!good) break;
        }
        stream.next_out = chunk;
        stream.avail_out = CHUNK;
        result = inflate(&stream, Z_NO_FLUSH);
        size_t got = CHUNK - stream.avail_out;
        /* no progress at the end of the input: it is cut */
        good = (result == Z_OK || result == Z_STREAM_END) && give(o, chunk, got) &&
               (got > 0 || n > 0 || stream.avail_in > 0 || result == Z_STREAM_END);
    }
    inflateEnd(&stream);
    free(packed);
    return good;
}

hub_status wheel_extract(int fd, const char *what, const wheel_member *member,
                         bool (*take)(void *user, const void *bytes, size_t n), void *user,
                         hub_error *err) {
    unsigned char local[LOCAL_BYTES];
    outlet o = {take, user, member->bytes, crc32(0, NULL, 0), false};
    if (!read_at(fd, local, sizeof local, member->offset) || get32(local) != 0x04034b50)
        return broken(what, "a member is not where its directory says", err);
    uint64_t at = member->offset + LOCAL_BYTES + get16(local + 26) + get16(local + 28);
    unsigned char *chunk = hub_memory(NULL, CHUNK, 1);
    bool good = member->deflated ? inflate_member(fd, at, member->packed_bytes, chunk, &o)
                                 : copy_stored(fd, at, member->packed_bytes, chunk, &o);
    free(chunk);
    if (o.refused) return HUB_FAILED; /* it has set the error */
    if (!good || o.left > 0 || o.crc != member->crc)
        return broken(what, "a member is damaged", err);
    return HUB_OK;
}
