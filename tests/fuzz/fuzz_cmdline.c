/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_cmdline: cmdline_copy() with any text and any room, against a decoder that is written
 * otherwise. */
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "boot/boot.h"

#define TEXT_BYTES 256

/* The code point at *text, which is moved behind it; UINT32_MAX where it is malformed: decodes
 * first, then asks whether the shortest form was used. */
static uint32_t decode(const uint8_t **text)
{
	static const uint32_t shortest[] = { 0, 0x80, 0x800, 0x10000 };
	const uint8_t *at = *text;
	uint32_t code = *at++;
	int tail = 0;
	int i;

	if (code >= 0xf8 || (code & 0xc0) == 0x80)
		return UINT32_MAX;
	if (code >= 0xf0)
		tail = 3;
	else if (code >= 0xe0)
		tail = 2;
	else if (code >= 0xc0)
		tail = 1;
	if (tail)
		code &= 0x3fu >> tail;
	for (i = 0; i < tail; i++) {
		if ((*at & 0xc0) != 0x80)
			return UINT32_MAX;
		code = code << 6 | (*at++ & 0x3f);
	}
	*text = at;
	if (code < shortest[tail] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
		return UINT32_MAX;
	return code;
}

static bool is_clean(const uint8_t *text)
{
	uint32_t code;

	while (*text) {
		code = decode(&text);
		if (code == UINT32_MAX || code < 0x20 || (code >= 0x7f && code < 0xa0))
			return false;
	}
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct error error = { 0 };
	uint64_t capacity;
	uint64_t length;
	char *text;
	char *out;
	int wanted;
	int result;

	if (!size)
		return 0;
	capacity = data[0];
	size = num_min(size - 1, TEXT_BYTES);
	text = malloc(size + 1); /* of exactly these sizes, so that ASan sees a step too far */
	out = malloc(capacity ? capacity : 1);
	if (!text || !out)
		abort();
	memcpy(text, data + 1, size);
	text[size] = 0;
	length = strlen(text);

	result = cmdline_copy(out, capacity, text, &error);
	wanted = length < capacity ? 0 : -E2BIG;
	if (!is_clean((const uint8_t *)text))
		wanted = -EINVAL;
	if (result != wanted || (!result && strcmp(text, out)))
		abort();
	free(text);
	free(out);
	return 0;
}
