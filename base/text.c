/* SPDX-License-Identifier: Apache-2.0 */
/* text: a string that grows. */
#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_BYTES_MIN 256

/* Makes room for bytes more and the terminator. */
static bool text_reserve(struct text *text, size_t bytes)
{
	size_t capacity = text->capacity ? text->capacity : TEXT_BYTES_MIN;
	char *data;

	if (text->failed)
		return false;
	if (bytes >= SIZE_MAX / 2 - text->bytes)
		goto fail;
	while (capacity <= text->bytes + bytes)
		capacity *= 2;
	if (capacity == text->capacity)
		return true;
	data = realloc(text->data, capacity);
	if (!data)
		goto fail;
	if (!text->data)
		data[0] = '\0';
	text->data = data;
	text->capacity = capacity;
	return true;
fail:
	text->failed = true;
	return false;
}

void text_free(struct text *text)
{
	free(text->data);
	memset(text, 0, sizeof(*text));
}

bool text_ok(const struct text *text)
{
	return !text->failed;
}

void text_append(struct text *text, const char *data, size_t bytes)
{
	if (!text_reserve(text, bytes))
		return;
	if (bytes)
		memcpy(text->data + text->bytes, data, bytes);
	text->bytes += bytes;
	text->data[text->bytes] = '\0';
}

void text_printf(struct text *text, const char *format, ...)
{
	va_list args, again;
	int length;

	if (!text_reserve(text, 0))
		return;
	va_start(args, format);
	va_copy(again, args);
	length = vsnprintf(text->data + text->bytes, text->capacity - text->bytes, format, args);
	if (length < 0) {
		text->failed = true;
	} else if ((size_t)length < text->capacity - text->bytes) {
		text->bytes += (size_t)length;
	} else if (text_reserve(text, (size_t)length)) {
		(void)vsnprintf(text->data + text->bytes, text->capacity - text->bytes, format,
				again);
		text->bytes += (size_t)length;
	}
	if (text->failed)
		text->data[text->bytes] = '\0';
	va_end(again);
	va_end(args);
}
