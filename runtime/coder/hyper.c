/* The hyperprior codec: hyper symbols as the plain codec has them, then symbols that each have a table of their own.
 *
 * Which table that is follows from the hyper symbols, by arithmetic that is not done here. Receiving therefore takes
 * two calls with the receiver kept in between. All functions return a length or 0 on success, or one of the negative
 * codes of range.h.
 */
#include "plain.h"

#define MOST_ROWS 256

/* rows: for each of count symbols the row of t that codes it. */
static int put_rows(sender *s, const sp_tables *t, const int32_t *symbols, const uint8_t *rows, size_t count) {
    size_t escapes = 0;
    uint32_t outside = 0;
    any_nonzero(symbols, count, &outside);
    if (outside) return OUT_OF_RANGE;
    for (size_t i = 0; i < count; i++) {
        const uint32_t row = rows[i], escape = t->bins[row] - 1;
        const uint32_t *cumulative = t->cumulative + t->row[row];
        uint32_t bin = (uint32_t)(symbols[i] - t->low[row]);
        if (bin >= escape) {
            bin = escape;
            escapes++;
        }
        put(s, cumulative[bin], cumulative[bin + 1] - cumulative[bin]);
    }
    for (size_t i = 0; escapes > 0 && i < count; i++) {
        const uint32_t row = rows[i];
        if ((uint32_t)(symbols[i] - t->low[row]) < t->bins[row] - 1) continue;
        const uint32_t code = zigzag(symbols[i]);
        put(s, (code >> 8) << 16, 1 << 16);
        put(s, (code & 255) << 16, 1 << 16);
        escapes--;
    }
    return 0;
}

/* hyper: its tables, symbols (channels x cells), and scratch of one byte a channel. Returns the body length. */
EXPORT int64_t sp_encode_hyper(const sp_tables *hyper, const int32_t *hyper_symbols, size_t cells, uint8_t *alive,
                               const sp_tables *scales, const int32_t *symbols, const uint8_t *rows, size_t count,
                               uint8_t *out, size_t room) {
    sender s = {out, room, 0, 0, UINT64_MAX, 0};
    if (room < 8) return NO_ROOM;
    if (put_plain(&s, hyper, hyper_symbols, cells, alive) < 0) return OUT_OF_RANGE;
    if (put_rows(&s, scales, symbols, rows, count) < 0) return OUT_OF_RANGE;
    return finish(&s);
}

/* How many bytes the caller keeps for a receiver between the two calls. */
EXPORT size_t sp_receiver_size(void) { return sizeof(receiver); }

/* Begins to read a body, which must stay where it is, and fills hyper_symbols. Returns 0. */
EXPORT int64_t sp_decode_hyper_begin(const sp_tables *hyper, receiver *r, const uint8_t *body, size_t length,
                                     int32_t *hyper_symbols, size_t cells, uint8_t *alive) {
    start(r, body, length);
    return get_plain(r, hyper, hyper_symbols, cells, alive);
}

/* Goes on where the other left off and fills symbols. Returns 0. */
EXPORT int64_t sp_decode_hyper_end(const sp_tables *scales, receiver *r, int32_t *symbols, const uint8_t *rows,
                                   size_t count) {
    lookup tables[MOST_ROWS];
    size_t escapes = 0;
    for (uint32_t row = 0; row < scales->channels; row++) tables[row] = prepare(scales, row);
    for (size_t i = 0; i < count; i++) {
        const uint32_t row = rows[i];
        const int bin = get_bin(r, &tables[row]);
        if (bin < 0) return CORRUPT;
        const int escaped = bin == (int)scales->bins[row] - 1;
        symbols[i] = escaped ? ESCAPED : scales->low[row] + bin;
        escapes += (size_t)escaped;
    }
    for (size_t i = 0; escapes > 0 && i < count; i++) {
        if (symbols[i] != ESCAPED) continue;
        if (get_escapes(r, symbols + i, 1, scales->low[rows[i]], scales->bins[rows[i]] - 1) < 0) return CORRUPT;
        escapes--;
    }
    return check_end(r);
}
