/* The plain codec of factorized tables: one table a channel.
 *
 * All functions return a length or 0 on success, or one of the negative codes of range.h.
 */
#include "plain.h"

/* symbols: channels x cells, channel after channel; alive: scratch of one byte a channel. Returns the body length. */
EXPORT int64_t sp_encode_plain(const sp_tables *t, const int32_t *symbols, size_t cells, uint8_t *alive, uint8_t *out,
                               size_t room) {
    sender s = {out, room, 0, 0, UINT64_MAX, 0};
    if (room < 8) return NO_ROOM;
    if (put_plain(&s, t, symbols, cells, alive) < 0) return OUT_OF_RANGE;
    return finish(&s);
}

/* Fills symbols (channels x cells). alive: scratch of one byte a channel. Returns 0. */
EXPORT int64_t sp_decode_plain(const sp_tables *t, const uint8_t *body, size_t length, int32_t *symbols, size_t cells,
                               uint8_t *alive) {
    receiver r;
    start(&r, body, length);
    if (get_plain(&r, t, symbols, cells, alive) < 0) return CORRUPT;
    return check_end(&r);
}
