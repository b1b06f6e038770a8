/* GPT-2's byte alphabet: every byte as one printable character, so that a vocabulary of byte strings can be spelled as
 * text. Printable Latin-1 stands for itself, the other 68 bytes are U+0100 ... U+0143 in order.
 * Source: bytes_to_unicode in OpenAI's gpt-2, src/encoder.py. */
#ifndef TOKENIZER_ALPHABET_H
#define TOKENIZER_ALPHABET_H

#include "core/base.h"

uint32_t alphabet_of_byte(uint8_t b);
int byte_of_alphabet(uint32_t cp); /* -1 when cp spells no byte */
/* Appends the bytes that `piece` spells; as it stands when a character of it spells none, or
 * when it is no text at all. */
void alphabet_decode(Str piece, Buf *out);

#endif
