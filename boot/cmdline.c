/* SPDX-License-Identifier: Apache-2.0 */
/* cmdline: checks the kernel's command line. */
#include <errno.h>
#include <inttypes.h>

#include "base/num.h"
#include "boot/boot.h"

/* How many bytes follow the first one of a UTF-8 sequence; -1 where none begins so (RFC 3629). */
static int utf8_tail(uint8_t first)
{
	if (first < 0x80)
		return 0;
	if (first >= 0xc2 && first <= 0xdf)
		return 1;
	if (first >= 0xe0 && first <= 0xef)
		return 2;
	if (first >= 0xf0 && first <= 0xf4)
		return 3;
	return -1;
}

/* The length of the character at text, or 0 where it is not UTF-8 or a control character. The
 * terminator ends a sequence as any other byte does that is not a continuation. */
static uint64_t character_bytes(const uint8_t *text)
{
	int tail = utf8_tail(text[0]);
	int i;

	if (tail < 0 || text[0] < 0x20 || text[0] == 0x7f)
		return 0;
	for (i = 1; i <= tail; i++) {
		if ((text[i] & 0xc0) != 0x80)
			return 0;
	}
	if (text[0] == 0xc2 && text[1] < 0xa0) /* U+0080 to U+009f: controls */
		return 0;
	if (text[0] == 0xe0 && text[1] < 0xa0) /* longer than need be */
		return 0;
	if (text[0] == 0xed && text[1] > 0x9f) /* surrogates */
		return 0;
	if (text[0] == 0xf0 && text[1] < 0x90) /* longer than need be */
		return 0;
	if (text[0] == 0xf4 && text[1] > 0x8f) /* beyond U+10ffff */
		return 0;
	return (uint64_t)tail + 1;
}

int cmdline_copy(char *out, uint64_t capacity, const char *text, struct error *error)
{
	const uint8_t *bytes = (const uint8_t *)(text ? text : "");
	uint64_t length = 0;
	uint64_t step;

	while (bytes[length]) {
		step = character_bytes(bytes + length);
		if (!step)
			return error_set(error, EINVAL,
					 "command line: byte 0x%02x at position %" PRIu64
					 " is a control character or not UTF-8; remove it",
					 bytes[length], length);
		length += step;
	}
	if (length >= capacity)
		return error_set(error, E2BIG,
				 "command line: %" PRIu64 " bytes, the kernel takes %" PRIu64
				 " at most",
				 length, capacity ? capacity - 1 : 0);
	memcpy(out, bytes, length + 1);
	return 0;
}
