/* Range coder of splitport: one C99 file, no dependencies, no allocation, no global state.
 *
 * It writes the same numbers as constriction's default range coder (32-bit words, 64-bit state, 24-bit
 * probabilities) and flushes them tightly: words big-endian, cut to the shortest byte string that still decodes
 * when padded with zero bytes. docs/wire-format.md states the rule; tests/golden holds vectors for it.
 *
 * All functions return a length or 0 on success, or one of the negative codes below.
 */
#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#define EXPORT __declspec(dllexport)
#else
#define EXPORT __attribute__((visibility("default")))
#endif

#define PRECISION 24
#define TOTAL ((uint32_t)1 << PRECISION)
#define BUCKET_BITS 8 /* a lookup by the top bits of the 24-bit quantile */
#define BUCKETS (1 << BUCKET_BITS)
#define ESCAPED INT32_MIN /* stands in the output until the escaped values have been read */

enum { CORRUPT = -1, LEFT_OVER = -2, OUT_OF_RANGE = -3, NO_ROOM = -4 };

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

/* ---- sending ---- */

typedef struct {
    uint8_t *out;
    size_t room, length;
    uint64_t low, range;
    int full;
} sender;

/* The interval crossed a word boundary upwards: add one to the bytes already written. */
static void carry(sender *s) {
    size_t i = s->length;
    while (i > 0 && ++s->out[--i] == 0) {
    }
}

static inline void put(sender *s, uint32_t left, uint32_t weight) {
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
static int shortest(uint64_t low, uint64_t range, uint64_t *distance) {
    for (int bytes = 0; bytes < 8; bytes++) {
        const uint64_t below = UINT64_MAX >> (8 * bytes);
        *distance = (0 - low) & below;
        if (*distance < range) return bytes;
    }
    *distance = 0;
    return 8;
}

static int64_t finish(sender *s) {
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

static void start(receiver *r, const uint8_t *body, size_t length) {
    r->body = body;
    r->length = length;
    r->read = 0;
    r->point = (uint64_t)next_word(r) << 32;
    r->point |= next_word(r);
    r->above = r->point;
    r->range = UINT64_MAX;
}

static inline void take(receiver *r, uint64_t scale, uint32_t left, uint32_t weight) {
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

/* The table of one channel, with its likeliest bin apart: at useful rates most symbols are that one, and telling so
 * takes two multiplications instead of a division. */
typedef struct {
    const uint32_t *cumulative;
    const uint16_t *bucket;
    uint32_t likeliest, left, weight;
} lookup;

static lookup prepare(const sp_tables *t, uint32_t channel) {
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

/* A body is accepted only if it is the very string the sender would have written for these symbols. (One that was cut
 * short cannot be told from a shorter message: it is the checksum around it that knows.) */
static int check_end(const receiver *r) {
    uint64_t distance;
    const int bytes = shortest(r->point - r->above, r->range, &distance);
    const size_t needed = r->read - 8 + (size_t)bytes;
    if (r->above == distance && r->length <= needed && (r->length == 0 || r->body[r->length - 1] != 0)) return 0;
    return LEFT_OVER;
}

/* ---- the plain codec of factorized tables ---- */

static inline uint32_t zigzag(int32_t value) { return ((uint32_t)value << 1) ^ (uint32_t)(value >> 31); }

/* Bits outside int16 end up above bit 15 of *outside; both loops over it vectorise. */
static int32_t any_nonzero(const int32_t *from, size_t cells, uint32_t *outside) {
    int32_t any = 0;
    uint32_t beyond = 0;
    for (size_t i = 0; i < cells; i++) {
        any |= from[i];
        beyond |= (uint32_t)from[i] + 0x8000u;
    }
    *outside |= beyond >> 16;
    return any;
}

/* symbols: channels x cells, channel after channel; alive: scratch of one byte a channel. Returns the body length. */
EXPORT int64_t sp_encode_plain(const sp_tables *t, const int32_t *symbols, size_t cells, uint8_t *alive, uint8_t *out,
                               size_t room) {
    sender s = {out, room, 0, 0, UINT64_MAX, 0};
    size_t escapes = 0;
    uint32_t outside = 0;
    if (room < 8) return NO_ROOM;
    for (uint32_t c = 0; c < t->channels; c++) {
        const uint32_t weight = t->zero_weight[c];
        alive[c] = any_nonzero(symbols + c * cells, cells, &outside) != 0;
        put(&s, alive[c] ? 0 : TOTAL - weight, alive[c] ? TOTAL - weight : weight);
    }
    if (outside) return OUT_OF_RANGE;
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
            put(&s, cumulative[bin], cumulative[bin + 1] - cumulative[bin]);
        }
    }
    for (uint32_t c = 0; c < t->channels && escapes > 0; c++) {
        const int32_t *from = symbols + c * cells;
        const uint32_t escape = t->bins[c] - 1;
        if (!alive[c]) continue;
        for (size_t i = 0; i < cells; i++) {
            if ((uint32_t)(from[i] - t->low[c]) < escape) continue;
            const uint32_t code = zigzag(from[i]);
            put(&s, (code >> 8) << 16, 1 << 16);
            put(&s, (code & 255) << 16, 1 << 16);
            escapes--;
        }
    }
    return finish(&s);
}

/* Reads the escaped values of one channel in place. A value that has a bin of its own is never escaped by the
 * sender, so it is refused. */
static int64_t get_escapes(receiver *r, int32_t *to, size_t cells, int32_t low, uint32_t escape) {
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

/* Fills symbols (channels x cells). alive: scratch of one byte a channel. Returns 0. */
EXPORT int64_t sp_decode_plain(const sp_tables *t, const uint8_t *body, size_t length, int32_t *symbols, size_t cells,
                               uint8_t *alive) {
    receiver r;
    int escapes = 0;
    start(&r, body, length);
    for (uint32_t c = 0; c < t->channels; c++) {
        const int zero = get_flag(&r, t->zero_weight[c]);
        if (zero < 0) return CORRUPT;
        alive[c] = !zero;
    }
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
            const int bin = get_bin(&r, &table);
            if (bin < 0) return CORRUPT;
            to[i] = bin == escape ? ESCAPED : low + bin;
            escapes |= bin == escape;
            any |= to[i];
        }
        if (!any) return CORRUPT; /* the sender flags such a channel instead of coding its zeros */
    }
    for (uint32_t c = 0; escapes && c < t->channels; c++)
        if (alive[c] && get_escapes(&r, symbols + c * cells, cells, t->low[c], t->bins[c] - 1) < 0) return CORRUPT;
    return check_end(&r);
}
