#include "tokenizer/alphabet.h"

uint32_t alphabet_of_byte(uint8_t b) {
    if (b <= 0x20) return 0x100u + b;
    if (b >= 0x7f && b <= 0xa0) return 0x121u + (b - 0x7fu);
    return b == 0xad ? 0x143 : b;
}

int byte_of_alphabet(uint32_t cp) {
    if (cp >= 0x100 && cp <= 0x120) return (int)(cp - 0x100);
    if (cp >= 0x121 && cp <= 0x142) return (int)(cp - 0x121 + 0x7f);
    if (cp == 0x143) return 0xad;
    return cp <= 0xff && alphabet_of_byte((uint8_t)cp) == cp ? (int)cp : -1;
}

void alphabet_decode(Str piece, Buf *out) {
    size_t start = out->n;
    for (size_t i = 0; i < piece.n;) {
        int len = utf8_len(piece.s + i, piece.n - i);
        int byte = len > 0 ? byte_of_alphabet(utf8_decode(piece.s + i, &len)) : -1;
        if (byte < 0) {
            out->n = start;
            buf_put(out, piece.s, piece.n);
            return;
        }
        buf_char(out, (char)byte);
        i += (size_t)len;
    }
}
