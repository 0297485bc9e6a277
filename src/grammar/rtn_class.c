/* rtn_class.c: a class of characters as nodes over the bytes of their UTF-8.
 *
 * A range of code points is cut into pieces whose UTF-8 is a product of byte ranges, such as
 * U+0800..U+FFFF = E0 A0-BF 80-BF, E1-EF 80-BF 80-BF. In order, two pieces either begin with the
 * same byte or with byte ranges that have nothing in common, at every depth; so they form a tree,
 * and branches that go on alike become one node. */
#include "grammar/rtn.h"

#include "base/utf8.h"

#include <string.h>

/* The characters whose UTF-8 has low[i] .. high[i] as its byte i. */
typedef struct piece {
    uint8_t n_bytes;
    uint8_t low[4], high[4];
} piece;

/* Where first .. last has to be cut: the last code point of the lower part; `last` if nowhere. */
static uint32_t cut_of(uint32_t first, uint32_t last) {
    static const uint32_t longest[] = {0x7f, 0x7ff, 0xffff};
    for (size_t i = 0; i < sizeof longest / sizeof longest[0]; i++)
        if (first <= longest[i] && longest[i] < last) return longest[i];
    if (last < 0x80) return last;
    for (uint32_t bits = 6; bits < 24; bits += 6) {
        const uint32_t mask = (1u << bits) - 1;
        if ((first & ~mask) == (last & ~mask)) break;
        if (first & mask) return first | mask;
        if ((last & mask) != mask) return (last & ~mask) - 1;
    }
    return last;
}

/* Appends the pieces of first .. last, in order. */
static bool cut_range(pn_buf *pieces, uint32_t first, uint32_t last) {
    while (true) {
        /* cuts inside a lower part come first */
        uint32_t end = last;
        for (uint32_t cut; (cut = cut_of(first, end)) < end;) end = cut;
        piece p = {0};
        char low[4], high[4];
        p.n_bytes = (uint8_t)pn_utf8_encode(first, low);
        (void)pn_utf8_encode(end, high);
        memcpy(p.low, low, p.n_bytes);
        memcpy(p.high, high, p.n_bytes);
        if (!pn_buf_append(pieces, &p, sizeof p)) return false;
        if (end == last) return true;
        first = end + 1;
    }
}

typedef struct branch {
    int32_t next;
    pn_byte_set set;
} branch;

/* The nodes of pieces that agree in their first `depth` bytes. */
static int32_t build(pn_rtn_builder *b, const piece *pieces, size_t n, unsigned depth,
                     int32_t next) {
    branch branches[256];
    branches[0] = (branch){.next = -1};
    int n_branches = 0;
    for (size_t i = 0; i < n;) {
        const piece *p = &pieces[i];
        size_t end = i + 1;
        while (end < n && pieces[end].low[depth] == p->low[depth]) end++;
        const bool is_last = depth + 1 == p->n_bytes || depth == 3;
        const int32_t tail = is_last ? next : build(b, p, end - i, depth + 1, next);
        int k = 0;
        while (k < n_branches && branches[k].next != tail) k++;
        if (k == n_branches) branches[n_branches++] = (branch){.next = tail};
        for (unsigned byte = p->low[depth]; byte <= p->high[depth]; byte++)
            branches[k].set.words[byte >> 6] |= (uint64_t)1 << (byte & 63);
        i = end;
    }
    int32_t node = pn_rtn_bytes(b, &branches[0].set, branches[0].next);
    for (int k = 1; k < n_branches; k++)
        node = pn_rtn_split(b, pn_rtn_bytes(b, &branches[k].set, branches[k].next), node);
    return node;
}

int32_t pn_rtn_class(pn_rtn_builder *b, const pn_gbnf_range *ranges, int32_t n_ranges,
                     int32_t next) {
    pn_buf pieces = {0};
    bool ok = true;
    for (int32_t i = 0; i < n_ranges && ok; i++)
        ok = cut_range(&pieces, ranges[i].first, ranges[i].last);
    int32_t node = -1;
    if (!ok && !b->status) b->status = pn_fail_nomem(b->err, pieces.n, "a class of the grammar");
    if (ok && next >= 0)
        node = build(b, (const void *)pieces.data, pieces.n / sizeof(piece), 0, next);
    pn_buf_free(&pieces);
    return node;
}
