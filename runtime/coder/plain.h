/* Factorized tables and the plain coding of a symbol array with them: what the plain codec consists of, and what a
 * hyperprior's stream begins with.
 */
#ifndef SPLITPORT_PLAIN_H
#define SPLITPORT_PLAIN_H

#include "range.h"

#define BUCKET_BITS 8 /* a lookup by the top bits of the 24-bit quantile */
#define BUCKETS (1 << BUCKET_BITS)
#define ESCAPED INT32_MIN /* stands in the output until the escaped values have been read */

/* Tables of one bundle, laid out flat so that Python can hand them over as arrays. Channel c has bins[c] bins (the
 * last is the escape); its cumulative weights are cumulative[row[c]] .. cumulative[row[c] + bins[c]]. */
typedef struct {
    uint32_t channels;
    const uint32_t *row;
    const uint32_t *bins;
    const int32_t *low;            /* value of bin 0 */
    const uint32_t *zero_weight;   /* weight of "this channel is all zero", of TOTAL */
    const uint32_t *cumulative;
    const uint16_t *bucket;        /* BUCKETS + 1 entries a channel: first bin that reaches into the bucket */
} sp_tables;

/* The table of one channel, with its likeliest bin apart: at useful rates most symbols are that one, and telling so
 * takes two multiplications instead of a division. */
typedef struct {
    const uint32_t *cumulative;
    const uint16_t *bucket;
    uint32_t likeliest, left, weight;
} lookup;

static inline lookup prepare(const sp_tables *t, uint32_t channel) {
    lookup l = {t->cumulative + t->row[channel], t->bucket + (size_t)channel * (BUCKETS + 1), 0, 0, 0};
    for (uint32_t bin = 0; bin < t->bins[channel]; bin++) {
        const uint32_t weight = l.cumulative[bin + 1] - l.cumulative[bin];
        if (weight > l.weight) {
            l.likeliest = bin;
            l.left = l.cumulative[bin];
            l.weight = weight;
        }
    }
    return l;
}

static inline int get_bin(receiver *r, const lookup *l) {
    const uint64_t scale = r->range >> PRECISION;
    /* Below the bin this wraps to more than the range, which no bin is as wide as. */
    if (r->above - scale * l->left < scale * l->weight) {
        take(r, scale, l->left, l->weight);
        return (int)l->likeliest;
    }
    const uint64_t quantile = r->above / scale;
    if (quantile >= TOTAL) return CORRUPT;
    const uint32_t q = (uint32_t)quantile;
    uint32_t bin = l->bucket[q >> (PRECISION - BUCKET_BITS)];
    uint32_t last = l->bucket[(q >> (PRECISION - BUCKET_BITS)) + 1];
    while (bin < last) { /* almost always the bucket lies inside one bin and there is nothing to search */
        const uint32_t middle = (bin + last + 1) / 2;
        if (l->cumulative[middle] <= q)
            bin = middle;
        else
            last = middle - 1;
    }
    take(r, scale, l->cumulative[bin], l->cumulative[bin + 1] - l->cumulative[bin]);
    return (int)bin;
}

/* symbols: channels x cells, channel after channel; alive: scratch of one byte a channel. 0, or OUT_OF_RANGE. */
static inline int put_plain(sender *s, const sp_tables *t, const int32_t *symbols, size_t cells, uint8_t *alive) {
    size_t escapes = 0;
    if (put_flags(s, t->zero_weight, t->channels, symbols, cells, alive) < 0) return OUT_OF_RANGE;
    for (uint32_t c = 0; c < t->channels; c++) {
        const int32_t *from = symbols + c * cells;
        const uint32_t *cumulative = t->cumulative + t->row[c];
        const uint32_t escape = t->bins[c] - 1;
        const int32_t low = t->low[c];
        if (!alive[c]) continue;
        for (size_t i = 0; i < cells; i++) {
            uint32_t bin = (uint32_t)(from[i] - low);
            if (bin >= escape) {
                bin = escape;
                escapes++;
            }
            put(s, cumulative[bin], cumulative[bin + 1] - cumulative[bin]);
        }
    }
    for (uint32_t c = 0; c < t->channels && escapes > 0; c++) {
        const int32_t *from = symbols + c * cells;
        const uint32_t escape = t->bins[c] - 1;
        if (!alive[c]) continue;
        for (size_t i = 0; i < cells; i++) {
            if ((uint32_t)(from[i] - t->low[c]) < escape) continue;
            const uint32_t code = zigzag(from[i]);
            put(s, (code >> 8) << 16, 1 << 16);
            put(s, (code & 255) << 16, 1 << 16);
            escapes--;
        }
    }
    return 0;
}

/* Reads the escaped values of one channel in place. A value that has a bin of its own is never escaped by the
 * sender, so it is refused. */
static inline int get_escapes(receiver *r, int32_t *to, size_t cells, int32_t low, uint32_t escape) {
    for (size_t i = 0; i < cells; i++) {
        if (to[i] != ESCAPED) continue;
        const int upper = get_byte(r);
        const int lower = upper < 0 ? CORRUPT : get_byte(r);
        if (lower < 0) return CORRUPT;
        const uint32_t code = (uint32_t)upper << 8 | (uint32_t)lower;
        to[i] = (int32_t)(code >> 1) ^ -(int32_t)(code & 1);
        if ((uint32_t)(to[i] - low) < escape) return CORRUPT;
    }
    return 0;
}

/* Fills symbols (channels x cells). alive: scratch of one byte a channel. 0, or CORRUPT. */
static inline int get_plain(receiver *r, const sp_tables *t, int32_t *symbols, size_t cells, uint8_t *alive) {
    int escapes = 0;
    if (get_flags(r, t->zero_weight, t->channels, alive) < 0) return CORRUPT;
    for (uint32_t c = 0; c < t->channels; c++) {
        int32_t *to = symbols + c * cells;
        const int escape = (int)t->bins[c] - 1;
        const int32_t low = t->low[c];
        int32_t any = 0;
        if (!alive[c]) {
            for (size_t i = 0; i < cells; i++) to[i] = 0;
            continue;
        }
        const lookup table = prepare(t, c);
        for (size_t i = 0; i < cells; i++) {
            const int bin = get_bin(r, &table);
            if (bin < 0) return CORRUPT;
            to[i] = bin == escape ? ESCAPED : low + bin;
            escapes |= bin == escape;
            any |= to[i];
        }
        if (!any) return CORRUPT; /* the sender flags such a channel instead of coding its zeros */
    }
    for (uint32_t c = 0; escapes && c < t->channels; c++)
        if (alive[c] && get_escapes(r, symbols + c * cells, cells, t->low[c], t->bins[c] - 1) < 0) return CORRUPT;
    return 0;
}

#endif
