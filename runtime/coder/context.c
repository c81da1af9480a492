/* The context codec: a symbol's table depends on six neighbours that were coded before it.
 *
 * docs/wire-format.md states the rule. All functions return a length or 0 on success, or one of the negative codes of
 * range.h.
 */
#include <string.h>

#include "range.h"

#define NEIGHBOURS 6
#define CLIP 7      /* a neighbour counts as -7 to 7 */
#define MIDDLE 630  /* NEIGHBOURS * 15 * CLIP: where a sum of 0 stands in the lookups */
#define SUMS (2 * MIDDLE + 1)
#define ABOVE 2     /* rows of zeros over the picture, and columns of zeros left of it */
#define CHUNK 16    /* symbols that are copied at once */
#define AROUND 3    /* columns of zeros on both sides together */

/* Tables of one bundle, laid out flat so that Python can hand them over as arrays. Context k of channel c has its
 * bins[c] cumulative weights, and the total, from cumulative[row[c] + k * (bins[c] + 1)] on. */
typedef struct {
    uint32_t channels;
    const uint32_t *row;
    const uint32_t *bins;
    const int32_t *low;
    const uint32_t *zero_weight;
    const uint32_t *cumulative;
    const uint16_t *likeliest;     /* bin of each context's greatest weight, contexts counted over all channels */
    const uint32_t *first;         /* a channel's first context in that count */
    const int8_t *activity;        /* NEIGHBOURS a channel, to be multiplied by magnitudes */
    const int8_t *direction;       /* the same, by signed values */
    const int16_t *activity_steps; /* sums at which the next level begins */
    const int16_t *direction_steps;
    const uint8_t *activity_level; /* the same as lookups, SUMS a channel, and ready to be added up to a context */
    const uint8_t *direction_level;
    const uint8_t *modelled;
    uint32_t activities, directions; /* levels */
    const uint32_t *plain_row;
    const uint32_t *plain_cost;    /* what each bin costs with the plain table, in 4096ths of a bit */
} sp_contexts;

/* Room for one channel: its values as neighbours see them, and both sums of each. */
typedef struct {
    int8_t *plane, *flat;
    int16_t *activity, *direction;
    uint16_t *context;
} scratch;

static inline int8_t clipped(int32_t value) {
    return (int8_t)(value < -CLIP ? -CLIP : value > CLIP ? CLIP : value);
}

static inline int16_t magnitude(int16_t value) { return (int16_t)(value < 0 ? -value : value); }

static inline size_t stride_of(size_t width) { return width + AROUND; }

/* Bytes of scratch for one channel: two arrays of sums, contexts, and its values with and without zeros around. */
EXPORT size_t sp_context_scratch(size_t height, size_t width) {
    const size_t cells = (height + ABOVE) * stride_of(width);
    return 8 * (cells + CHUNK);
}

static scratch divide(uint8_t *memory, size_t height, size_t width) {
    const size_t cells = (height + ABOVE) * stride_of(width), size = cells + CHUNK;
    scratch s;
    s.activity = (int16_t *)memory; /* the caller's memory is aligned */
    s.direction = s.activity + size;
    s.context = (uint16_t *)(s.direction + size);
    s.plane = (int8_t *)(s.context + size);
    s.flat = s.plane + size;
    for (size_t i = 0; i < size; i++) s.plane[i] = 0;
    return s;
}

/* On x86-64 the loops that vectorise are compiled twice, and the loader takes the one that the CPU can run. */
#if defined(__x86_64__) && defined(__gnu_linux__) && defined(__GNUC__) && !defined(__clang__)
#define VECTORISED __attribute__((noinline, target_clones("avx2", "default")))
#else
#define VECTORISED
#endif

/* Values as neighbours see them, between zeros. Rows are copied in whole chunks; what one writes beyond its end is
 * written again, by the next row or as zeros. */
VECTORISED static void fill_plane(int8_t *restrict to, int8_t *restrict flat, const int32_t *restrict from,
                                  size_t stride, size_t height, size_t width) {
    for (size_t i = 0; i < height * width; i++) flat[i] = clipped(from[i]);
    for (size_t y = 0; y < height; y++, to += stride, flat += width) {
        for (size_t x = 0; x < width; x += CHUNK) memcpy(to + x, flat + x, CHUNK);
        for (size_t x = width; x < stride; x++) to[x] = 0;
    }
}

/* Both sums of each symbol: over all six neighbours for a sender; without the two to the left for a receiver, who does
 * not know them yet. One loop without branches, so that compilers vectorise it. */
VECTORISED static void sum_up(const int8_t *at, size_t stride, size_t count, const int8_t *a, const int8_t *d, int left,
                          int16_t *restrict activity, int16_t *restrict direction) {
    const int8_t *up = at - stride, *far = at - 2 * stride;
    const int16_t a0 = left ? a[0] : 0, a1 = a[1], a2 = a[2], a3 = a[3], a4 = left ? a[4] : 0, a5 = a[5];
    const int16_t d0 = left ? d[0] : 0, d1 = d[1], d2 = d[2], d3 = d[3], d4 = left ? d[4] : 0, d5 = d[5];
    for (size_t i = 0; i < count; i++) {
        const int16_t w = at[i - 1], n = up[i], nw = up[i - 1], ne = up[i + 1], ww = at[i - 2], nn = far[i];
        direction[i] = (int16_t)(d0 * w + d1 * n + d2 * nw + d3 * ne + d4 * ww + d5 * nn);
        activity[i] = (int16_t)(a0 * magnitude(w) + a1 * magnitude(n) + a2 * magnitude(nw) + a3 * magnitude(ne) +
                                a4 * magnitude(ww) + a5 * magnitude(nn));
    }
}

/* Adds to each context what the steps that its sum has reached are worth, four steps at a time. */
VECTORISED static void number(uint16_t *restrict context, const int16_t *restrict sums, size_t count,
                              const int16_t *steps, uint32_t how_many, int16_t worth) {
    for (uint32_t k = 0; k < how_many && steps[k] <= MIDDLE; k += 4) {
        int16_t four[4];
        for (uint32_t j = 0; j < 4; j++) four[j] = k + j < how_many ? steps[k + j] : INT16_MAX;
        const int16_t s0 = four[0], s1 = four[1], s2 = four[2], s3 = four[3];
        for (size_t i = 0; i < count; i++) {
            const int16_t sum = sums[i];
            const int16_t reached = (int16_t)((sum >= s0) + (sum >= s1) + (sum >= s2) + (sum >= s3));
            context[i] = (uint16_t)(context[i] + reached * worth);
        }
    }
}

/* Contexts of all symbols of one channel, in rows that are a stride apart. */
static void find_contexts(const sp_contexts *t, uint32_t c, const int32_t *from, size_t height, size_t width,
                          const scratch *own) {
    const size_t stride = stride_of(width), count = (height - 1) * stride + width;
    int8_t *first = own->plane + ABOVE * stride + ABOVE;
    for (size_t i = 0; i < count; i++) own->context[i] = 0;
    if (!t->modelled[c]) return;
    fill_plane(first, own->flat, from, stride, height, width);
    sum_up(first, stride, count, t->activity + c * NEIGHBOURS, t->direction + c * NEIGHBOURS, 1, own->activity,
           own->direction);
    number(own->context, own->activity, count, t->activity_steps + c * (t->activities - 1), t->activities - 1,
           (int16_t)t->directions);
    number(own->context, own->direction, count, t->direction_steps + c * (t->directions - 1), t->directions - 1, 1);
}

/* By value: a sender whose address is known elsewhere cannot stay in registers. */
static sender put_escaped(sender s, int32_t value) {
    const uint32_t code = zigzag(value);
    put(&s, (code >> 8 & 255) << 16, 1 << 16);
    put(&s, (code & 255) << 16, 1 << 16);
    return s;
}

/* symbols: channels x height x width; alive: scratch of one byte a channel; memory: sp_context_scratch bytes, aligned
 * to two. Returns the body length; *plain is what the plain codec would take, in 4096ths of a bit. */
EXPORT int64_t sp_encode_context(const sp_contexts *t, const int32_t *symbols, size_t height, size_t width,
                                 uint8_t *alive, uint8_t *memory, uint8_t *out, size_t room, uint64_t *plain) {
    sender s = {out, room, 0, 0, UINT64_MAX, 0};
    const scratch own = divide(memory, height, width);
    const size_t cells = height * width, stride = stride_of(width);
    uint64_t cost = 0;
    if (room < 8) return NO_ROOM;
    if (put_flags(&s, t->zero_weight, t->channels, symbols, cells, alive) < 0) return OUT_OF_RANGE;
    for (uint32_t c = 0; c < t->channels; c++) {
        const int32_t *from = symbols + c * cells;
        const uint32_t escape = t->bins[c] - 1, size = t->bins[c] + 1;
        const uint32_t *base = t->cumulative + t->row[c], *price = t->plain_cost + t->plain_row[c];
        const int32_t low = t->low[c];
        if (!alive[c]) continue;
        find_contexts(t, c, from, height, width, &own);
        for (size_t y = 0; y < height; y++) {
            const uint16_t *context = own.context + y * stride;
            for (size_t x = 0; x < width; x++) {
                const int32_t value = *from++;
                const uint32_t *cumulative = base + context[x] * size;
                uint32_t bin = (uint32_t)(value - low);
                if (bin >= escape) bin = escape;
                put(&s, cumulative[bin], cumulative[bin + 1] - cumulative[bin]);
                cost += price[bin];
                if (bin == escape) s = put_escaped(s, value);
            }
        }
    }
    *plain = cost;
    return finish(&s);
}

ALWAYS static inline int get_bin(receiver *r, const uint32_t *cumulative, uint32_t bins, uint32_t likeliest) {
    const uint64_t scale = r->range >> PRECISION;
    const uint32_t left = cumulative[likeliest], weight = cumulative[likeliest + 1] - left;
    /* Below the bin this wraps to more than the range, which no bin is as wide as. */
    if (r->above - scale * left < scale * weight) {
        take(r, scale, left, weight);
        return (int)likeliest;
    }
    const uint64_t quantile = r->above / scale;
    if (quantile >= TOTAL) return CORRUPT;
    uint32_t bin = 0, last = bins - 1;
    while (bin < last) {
        const uint32_t middle = (bin + last + 1) / 2;
        if (cumulative[middle] <= quantile)
            bin = middle;
        else
            last = middle - 1;
    }
    take(r, scale, cumulative[bin], cumulative[bin + 1] - cumulative[bin]);
    return (int)bin;
}

/* A value that has a bin of its own is never escaped by the sender, so it is refused. */
static int get_escaped(receiver *r, int32_t low, uint32_t escape, int32_t *value) {
    const int upper = get_byte(r);
    const int lower = upper < 0 ? CORRUPT : get_byte(r);
    if (lower < 0) return CORRUPT;
    const uint32_t code = (uint32_t)upper << 8 | (uint32_t)lower;
    *value = (int32_t)(code >> 1) ^ -(int32_t)(code & 1);
    return (uint32_t)(*value - low) < escape ? CORRUPT : 0;
}

/* One channel that is not all zero. */
static int get_channel(receiver *shared, const sp_contexts *t, uint32_t c, int32_t *to, size_t height, size_t width,
                       const scratch *own) {
    const size_t stride = stride_of(width), begin = ABOVE * stride + ABOVE;
    const uint32_t bins = t->bins[c], escape = bins - 1, size = bins + 1;
    const uint32_t *base = t->cumulative + t->row[c];
    const uint16_t *likeliest = t->likeliest + t->first[c];
    const int8_t *wa = t->activity + c * NEIGHBOURS, *wd = t->direction + c * NEIGHBOURS;
    const uint8_t *a = t->activity_level + (size_t)c * SUMS + MIDDLE;
    const uint8_t *d = t->direction_level + (size_t)c * SUMS + MIDDLE;
    const int32_t low = t->low[c];
    receiver r = *shared; /* a copy stays in registers */
    int32_t any = 0;
    for (size_t y = 0; y < height; y++) {
        int8_t *row = own->plane + begin + y * stride;
        int w = 0, ww = 0;
        sum_up(row, stride, width, wa, wd, 0, own->activity, own->direction);
        for (size_t x = 0; x < width; x++) {
            const int active = own->activity[x] + wa[0] * (w < 0 ? -w : w) + wa[4] * (ww < 0 ? -ww : ww);
            const uint32_t k = (uint32_t)(a[active] + d[own->direction[x] + wd[0] * w + wd[4] * ww]);
            const int bin = get_bin(&r, base + k * size, bins, likeliest[k]);
            int32_t value = low + bin;
            if (bin < 0) return CORRUPT;
            if (bin == (int)escape) {
                receiver after = r;
                if (get_escaped(&after, low, escape, &value) < 0) return CORRUPT;
                r = after;
            }
            *to++ = value;
            any |= value;
            ww = w;
            w = row[x] = clipped(value);
        }
    }
    *shared = r;
    return any ? 0 : CORRUPT; /* the sender flags such a channel instead of coding its zeros */
}

/* Fills symbols (channels x height x width). alive and memory: scratch, as for the sender. Returns 0. */
EXPORT int64_t sp_decode_context(const sp_contexts *t, const uint8_t *body, size_t length, int32_t *symbols,
                                 size_t height, size_t width, uint8_t *alive, uint8_t *memory) {
    receiver r;
    const scratch own = divide(memory, height, width);
    const size_t cells = height * width;
    start(&r, body, length);
    if (get_flags(&r, t->zero_weight, t->channels, alive) < 0) return CORRUPT;
    for (uint32_t c = 0; c < t->channels; c++) {
        int32_t *to = symbols + c * cells;
        if (alive[c]) {
            if (get_channel(&r, t, c, to, height, width, &own) < 0) return CORRUPT;
        } else {
            for (size_t i = 0; i < cells; i++) to[i] = 0;
        }
    }
    return check_end(&r);
}
