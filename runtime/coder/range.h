/* Range coder of splitport: C99, no dependencies, no allocation, no global state. What both codecs are made of.
 *
 * It writes the same numbers as constriction's default range coder (32-bit words, 64-bit state, 24-bit
 * probabilities) and flushes them tightly: words big-endian, cut to the shortest byte string that still decodes
 * when padded with zero bytes. docs/wire-format.md states the rule; tests/golden holds vectors for it.
 */
#ifndef SPLITPORT_RANGE_H
#define SPLITPORT_RANGE_H

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#define EXPORT __declspec(dllexport)
#else
#define EXPORT __attribute__((visibility("default")))
#endif

/* Called from loops that keep the coder's state in registers, which a call would spill. */
#if defined(__GNUC__)
#define ALWAYS __attribute__((always_inline))
#else
#define ALWAYS
#endif

#define PRECISION 24
#define TOTAL ((uint32_t)1 << PRECISION)

enum { CORRUPT = -1, LEFT_OVER = -2, OUT_OF_RANGE = -3, NO_ROOM = -4 };

/* ---- sending ---- */

typedef struct {
    uint8_t *out;
    size_t room, length;
    uint64_t low, range;
    int full;
} sender;

/* The interval crossed a word boundary upwards: add one to the bytes already written. */
static inline void carry(sender *s) {
    size_t i = s->length;
    while (i > 0 && ++s->out[--i] == 0) {
    }
}

ALWAYS static inline void put(sender *s, uint32_t left, uint32_t weight) {
    const uint64_t scale = s->range >> PRECISION;
    const uint64_t low = s->low + scale * left;
    if (low < s->low) carry(s);
    s->low = low;
    s->range = scale * weight;
    if (s->range >> 32 == 0) {
        if (s->room - s->length < 4) {
            s->full = 1;
            s->length = 0; /* keep going harmlessly; the caller is told at the end */
        }
        const uint32_t word = (uint32_t)(s->low >> 32);
        uint8_t *at = s->out + s->length;
        at[0] = (uint8_t)(word >> 24);
        at[1] = (uint8_t)(word >> 16);
        at[2] = (uint8_t)(word >> 8);
        at[3] = (uint8_t)word;
        s->length += 4;
        s->low <<= 32;
        s->range <<= 32;
    }
}

/* Smallest number of bytes of the 64-bit window that can name a point of [low, low + range), and that point's
 * distance from low. */
static inline int shortest(uint64_t low, uint64_t range, uint64_t *distance) {
    for (int bytes = 0; bytes < 8; bytes++) {
        const uint64_t below = UINT64_MAX >> (8 * bytes);
        *distance = (0 - low) & below;
        if (*distance < range) return bytes;
    }
    *distance = 0;
    return 8;
}

static inline int64_t finish(sender *s) {
    uint64_t distance;
    const int bytes = shortest(s->low, s->range, &distance);
    const uint64_t point = s->low + distance;
    if (point < s->low) carry(s);
    if (s->full || s->room - s->length < (size_t)bytes) return NO_ROOM;
    for (int i = 0; i < bytes; i++) s->out[s->length++] = (uint8_t)(point >> (56 - 8 * i));
    while (s->length > 0 && s->out[s->length - 1] == 0) s->length--;
    return (int64_t)s->length;
}

/* ---- receiving ---- */

typedef struct {
    const uint8_t *body;
    size_t length, read;
    uint64_t point, above, range; /* above = point - low: all that decoding needs */
} receiver;

/* Past the end there are zeros, by definition of the tight flush. */
static inline uint32_t next_word(receiver *r) {
    uint32_t word = 0;
    if (r->read + 4 <= r->length) {
        const uint8_t *at = r->body + r->read;
        word = (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
    } else {
        for (size_t i = r->read; i < r->length; i++) word |= (uint32_t)r->body[i] << (24 - 8 * (i - r->read));
    }
    r->read += 4;
    return word;
}

static inline void start(receiver *r, const uint8_t *body, size_t length) {
    r->body = body;
    r->length = length;
    r->read = 0;
    r->point = (uint64_t)next_word(r) << 32;
    r->point |= next_word(r);
    r->above = r->point;
    r->range = UINT64_MAX;
}

ALWAYS static inline void take(receiver *r, uint64_t scale, uint32_t left, uint32_t weight) {
    r->above -= scale * left;
    r->range = scale * weight;
    if (r->range >> 32 == 0) {
        const uint32_t word = next_word(r);
        r->point = r->point << 32 | word;
        r->above = r->above << 32 | word;
        r->range <<= 32;
    }
}

/* One symbol of a two-entry table; returns the bit, or CORRUPT. */
static inline int get_flag(receiver *r, uint32_t weight_of_one) {
    const uint64_t scale = r->range >> PRECISION;
    const uint32_t weight_of_zero = TOTAL - weight_of_one;
    if (r->above >= scale << PRECISION) return CORRUPT;
    const int bit = r->above >= scale * weight_of_zero;
    take(r, scale, bit ? weight_of_zero : 0, bit ? weight_of_one : weight_of_zero);
    return bit;
}

static inline int get_byte(receiver *r) {
    const uint64_t scale = r->range >> PRECISION;
    const uint64_t quantile = r->above / scale;
    if (quantile >= TOTAL) return CORRUPT;
    const uint32_t byte = (uint32_t)(quantile >> 16);
    take(r, scale, byte << 16, 1 << 16);
    return (int)byte;
}

/* A body is accepted only if it is the very string the sender would have written for these symbols. (One that was cut
 * short cannot be told from a shorter message: it is the checksum around it that knows.) */
static inline int check_end(const receiver *r) {
    uint64_t distance;
    const int bytes = shortest(r->point - r->above, r->range, &distance);
    const size_t needed = r->read - 8 + (size_t)bytes;
    if (r->above == distance && r->length <= needed && (r->length == 0 || r->body[r->length - 1] != 0)) return 0;
    return LEFT_OVER;
}

/* ---- symbols ---- */

static inline uint32_t zigzag(int32_t value) { return ((uint32_t)value << 1) ^ (uint32_t)(value >> 31); }

/* Bits outside int16 end up above bit 15 of *outside; both loops over it vectorise. */
static inline int32_t any_nonzero(const int32_t *from, size_t cells, uint32_t *outside) {
    int32_t any = 0;
    uint32_t beyond = 0;
    for (size_t i = 0; i < cells; i++) {
        any |= from[i];
        beyond |= (uint32_t)from[i] + 0x8000u;
    }
    *outside |= beyond >> 16;
    return any;
}

/* A flag for each channel, 1 if it is all zero; alive[c] becomes the opposite. 0, or OUT_OF_RANGE. */
static inline int put_flags(sender *s, const uint32_t *zero_weight, uint32_t channels, const int32_t *symbols,
                            size_t cells, uint8_t *alive) {
    uint32_t outside = 0;
    for (uint32_t c = 0; c < channels; c++) {
        const uint32_t weight = zero_weight[c];
        alive[c] = any_nonzero(symbols + c * cells, cells, &outside) != 0;
        put(s, alive[c] ? 0 : TOTAL - weight, alive[c] ? TOTAL - weight : weight);
    }
    return outside ? OUT_OF_RANGE : 0;
}

static inline int get_flags(receiver *r, const uint32_t *zero_weight, uint32_t channels, uint8_t *alive) {
    for (uint32_t c = 0; c < channels; c++) {
        const int zero = get_flag(r, zero_weight[c]);
        if (zero < 0) return CORRUPT;
        alive[c] = !zero;
    }
    return 0;
}

#endif
