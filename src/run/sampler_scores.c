/* sampler_scores.c: the scores of a whole vocabulary, and finding the best of them.
 *
 * A vocabulary has up to 262144 tokens and a draw wants about 40 of them. The maximum of every
 * block of 64 scores is kept. The k-th largest of these maxima is a lower bound on the k-th largest
 * score (k different blocks hold a score that high), so only blocks that reach it are searched:
 * fewer than k blocks go beyond it, and of scores equal to it the first k are enough. That bounds
 * what is gathered to 65 k.
 *
 * Sorting goes through integer keys: the upper 32 bits fall as the score rises, the lower 32 are
 * the token id, so ascending keys are descending scores with ties by id. The C library's qsort is
 * not used: it may allocate. */
#include "run/sampler_impl.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* Below this many keys insertion beats counting. */
enum { SMALL_SORT = 48 };

/* exp() of less than this is lost beside a sum of at least 1 even when added once per token of the
 * largest vocabulary: exp(-52) * 2^20 < 2^-54. */
static const double negligible = -52.0;

static int32_t block_length(const pn_sampler *sampler, int32_t block) {
    int32_t left = sampler->n_vocab - block * PN_SCORE_BLOCK;
    return left < PN_SCORE_BLOCK ? left : PN_SCORE_BLOCK;
}

static float block_maximum(const float *scores, int32_t n) {
    float best = -INFINITY;
    for (int32_t i = 0; i < n; i++) best = scores[i] > best ? scores[i] : best;
    return best;
}

/* One whole block: cleans, copies and returns the maximum. On the bits of the floats, because
 * compilers turn integer comparisons into vector code without having to be allowed anything
 * about floating-point exceptions. A sign and a magnitude become an integer that orders like the
 * float, -0 and 0 the same. */
static float load_block(float *restrict to, const float *restrict from) {
    int32_t bits[PN_SCORE_BLOCK], best = INT32_MIN;
    const int32_t infinity = 0x7f800000, sign_bit = INT32_MIN;
    memcpy(bits, from, sizeof bits);
    for (int i = 0; i < PN_SCORE_BLOCK; i++) {
        int32_t magnitude = bits[i] & INT32_MAX, negative = bits[i] >> 31; /* 0 or -1 */
        negative |= -(magnitude > infinity);
        magnitude = magnitude < infinity ? magnitude : infinity - 1 - negative;
        bits[i] = magnitude | (negative & sign_bit);
        int32_t order = (magnitude ^ negative) - negative;
        best = order > best ? order : best;
    }
    memcpy(to, bits, sizeof bits);
    best = best < 0 ? -best | sign_bit : best;
    float maximum;
    memcpy(&maximum, &best, sizeof maximum);
    return maximum;
}

void pn_scores_load(pn_sampler *sampler, const float *logits) {
    sampler->is_clear = false;
    int32_t n_whole = sampler->n_vocab / PN_SCORE_BLOCK;
    for (int32_t b = 0; b < n_whole; b++) {
        size_t at = (size_t)b * PN_SCORE_BLOCK;
        sampler->block_max[b] = load_block(sampler->scores + at, logits + at);
    }
    int32_t rest = sampler->n_vocab - n_whole * PN_SCORE_BLOCK;
    if (rest == 0) return;
    float padded[PN_SCORE_BLOCK], cleaned[PN_SCORE_BLOCK];
    for (int i = 0; i < PN_SCORE_BLOCK; i++) padded[i] = -INFINITY;
    size_t at = (size_t)n_whole * PN_SCORE_BLOCK;
    memcpy(padded, logits + at, (size_t)rest * sizeof(float));
    sampler->block_max[n_whole] = load_block(cleaned, padded);
    memcpy(sampler->scores + at, cleaned, (size_t)rest * sizeof(float));
}

void pn_scores_clear(pn_sampler *sampler) {
    for (int32_t i = 0; i < sampler->n_vocab; i++) sampler->scores[i] = -INFINITY;
    for (int32_t b = 0; b < sampler->n_blocks; b++) sampler->block_max[b] = -INFINITY;
    sampler->is_clear = true;
}

void pn_scores_put(pn_sampler *sampler, int32_t token, float logit) {
    float *const best = &sampler->block_max[token / PN_SCORE_BLOCK], score = pn_logit_clean(logit);
    sampler->is_clear = false;
    sampler->scores[token] = score;
    *best = score > *best ? score : *best;
}

void pn_scores_take(pn_sampler *sampler, int32_t token) {
    sampler->scores[token] = sampler->block_max[token / PN_SCORE_BLOCK] = -INFINITY;
}

void pn_scores_keep(pn_sampler *sampler, const uint64_t *bits) {
    _Static_assert(PN_SCORE_BLOCK == 64, "a block of scores is a word of bits");
    for (int32_t b = 0; b < sampler->n_blocks; b++) {
        float *scores = sampler->scores + (size_t)b * PN_SCORE_BLOCK;
        const int32_t n = block_length(sampler, b);
        if (bits[b] == UINT64_MAX) continue;
        for (int32_t i = 0; i < n; i++)
            if (!(bits[b] >> i & 1)) scores[i] = -INFINITY;
        sampler->block_max[b] = bits[b] ? block_maximum(scores, n) : -INFINITY;
    }
}

void pn_scores_set(pn_sampler *sampler, int32_t token, double value) {
    if (isnan(value)) value = -INFINITY;
    if (value > FLT_MAX) value = FLT_MAX;
    if (value < -FLT_MAX && !isinf(value)) value = -FLT_MAX;
    int32_t block = token / PN_SCORE_BLOCK;
    float before = sampler->scores[token], now = (float)value + 0.0f;
    sampler->scores[token] = now;
    if (now >= sampler->block_max[block])
        sampler->block_max[block] = now;
    else if (before == sampler->block_max[block])
        sampler->block_max[block] = block_maximum(sampler->scores + (size_t)block * PN_SCORE_BLOCK,
                                                  block_length(sampler, block));
}

float pn_scores_max(const pn_sampler *sampler) {
    return block_maximum(sampler->block_max, sampler->n_blocks);
}

int32_t pn_scores_argmax(const pn_sampler *sampler) {
    float best = pn_scores_max(sampler);
    int32_t block = 0;
    while (sampler->block_max[block] < best) block++;
    int32_t token = block * PN_SCORE_BLOCK;
    while (sampler->scores[token] < best) token++;
    return token;
}

void pn_scores_moments(const pn_sampler *sampler, double *mean, double *deviation) {
    double sum = 0, n = 0;
    for (int32_t i = 0; i < sampler->n_vocab; i++) {
        bool possible = sampler->scores[i] > -INFINITY;
        sum += possible ? (double)sampler->scores[i] : 0.0;
        n += possible;
    }
    double center = n > 0 ? sum / n : 0, squares = 0;
    for (int32_t i = 0; i < sampler->n_vocab; i++) {
        double off = sampler->scores[i] > -INFINITY ? (double)sampler->scores[i] - center : 0.0;
        squares += off * off;
    }
    *mean = center;
    *deviation = n > 0 ? sqrt(squares / n) : 0;
}

double pn_score_weight(float score, double best, double scale, double floor) {
    double x = ((double)score - best) * scale;
    return (double)score >= floor && x > negligible ? exp(x) : 0.0;
}

double pn_scores_weigh(pn_sampler *sampler, double best, double scale, double floor) {
    double total = 0;
    for (int32_t b = 0; b < sampler->n_blocks; b++) {
        double sum = 0;
        if (pn_score_weight(sampler->block_max[b], best, scale, floor) > 0) {
            const float *scores = sampler->scores + (size_t)b * PN_SCORE_BLOCK;
            int32_t n = block_length(sampler, b);
            for (int32_t i = 0; i < n; i++) sum += pn_score_weight(scores[i], best, scale, floor);
        }
        sampler->block_sum[b] = sum;
        total += sum;
    }
    return total;
}

int32_t pn_scores_walk(const pn_sampler *sampler, double best, double scale, double floor,
                       double target) {
    double sum = 0;
    int32_t last = -1;
    for (int32_t b = 0; b < sampler->n_blocks; b++) {
        if (sampler->block_sum[b] <= 0) continue;
        bool here = sum + sampler->block_sum[b] > target;
        if (!here) {
            sum += sampler->block_sum[b];
            last = b;
            continue;
        }
        last = b;
        break;
    }
    /* Rounding can leave the target at the very end: the last token with a weight takes it. */
    int32_t token = -1, first = last * PN_SCORE_BLOCK;
    double within = 0;
    for (int32_t i = first; i < first + block_length(sampler, last); i++) {
        double w = pn_score_weight(sampler->scores[i], best, scale, floor);
        if (w <= 0) continue;
        token = i;
        within += w;
        if (sum + within > target) break;
    }
    return token;
}

/* ---- the k best
 * ---------------------------------------------------------------------------------------- */

/* Falls as the score rises; for any float but NaN. */
static uint32_t descending_bits(float score) {
    uint32_t bits;
    score += 0.0f; /* -0 becomes 0 */
    memcpy(&bits, &score, sizeof bits);
    return bits >> 31 ? bits : ~bits & 0x7fffffffu;
}

static float score_of_bits(uint32_t key) {
    uint32_t bits = key >> 31 ? key : ~key & 0x7fffffffu;
    float score;
    memcpy(&score, &bits, sizeof score);
    return score;
}

static void insertion_sort(uint64_t *keys, int32_t n) {
    for (int32_t i = 1; i < n; i++) {
        uint64_t key = keys[i];
        int32_t j = i;
        for (; j > 0 && keys[j - 1] >> 32 > key >> 32; j--) keys[j] = keys[j - 1];
        keys[j] = key;
    }
}

uint64_t *pn_keys_sort(uint64_t *keys, uint64_t *spare, int32_t n) {
    if (n <= SMALL_SORT) {
        insertion_sort(keys, n);
        return keys;
    }
    int32_t count[4][256];
    memset(count, 0, sizeof count);
    for (int32_t i = 0; i < n; i++)
        for (int d = 0; d < 4; d++) count[d][keys[i] >> (32 + 8 * d) & 255]++;
    for (int d = 0; d < 4; d++) {
        if (count[d][keys[0] >> (32 + 8 * d) & 255] == n) continue;
        int32_t at[256], sum = 0;
        for (int v = 0; v < 256; v++) {
            at[v] = sum;
            sum += count[d][v];
        }
        for (int32_t i = 0; i < n; i++) spare[at[keys[i] >> (32 + 8 * d) & 255]++] = keys[i];
        uint64_t *swap = keys;
        keys = spare;
        spare = swap;
    }
    return keys;
}

/* The k-th largest block maximum, 1 <= k <= n_blocks. */
static float kth_block_max(pn_sampler *sampler, int32_t k) {
    int32_t n = 0; /* of blocks where something is possible */
    for (int32_t b = 0; b < sampler->n_blocks; b++)
        if (sampler->block_max[b] > -INFINITY)
            sampler->keys[n++] = (uint64_t)descending_bits(sampler->block_max[b]) << 32;
    if (n < k) return -INFINITY;
    const uint64_t *sorted = pn_keys_sort(sampler->keys, sampler->spare_keys, n);
    return score_of_bits((uint32_t)(sorted[k - 1] >> 32));
}

/* Keys of the scores above bound, and of the first k that equal it, in order of id; returns their
 * number. */
static int32_t gather(pn_sampler *sampler, int32_t k, float bound, double floor) {
    int32_t n = 0, n_equal = 0;
    for (int32_t b = 0; b < sampler->n_blocks; b++) {
        if (!(sampler->block_max[b] > -INFINITY) || sampler->block_max[b] < bound ||
            (double)sampler->block_max[b] < floor)
            continue;
        int32_t first = b * PN_SCORE_BLOCK, end = first + block_length(sampler, b);
        for (int32_t i = first; i < end; i++) {
            float score = sampler->scores[i];
            if (score < bound || (double)score < floor || !(score > -INFINITY)) continue;
            if (score == bound && ++n_equal > k) continue;
            sampler->keys[n++] = (uint64_t)descending_bits(score) << 32 | (uint32_t)i;
        }
    }
    return n;
}

void pn_scores_select(pn_sampler *sampler, int32_t k, double floor) {
    float bound = k < sampler->n_blocks ? kth_block_max(sampler, k) : -INFINITY;
    int32_t n = gather(sampler, k, bound, floor);
    const uint64_t *sorted = pn_keys_sort(sampler->keys, sampler->spare_keys, n);
    if (n > k) n = k;
    for (int32_t i = 0; i < n; i++) {
        sampler->candidates[i].logit = score_of_bits((uint32_t)(sorted[i] >> 32));
        sampler->candidates[i].id = (int32_t)(uint32_t)sorted[i];
    }
    sampler->n_candidates = n;
}
