/* SPDX-License-Identifier: Apache-2.0 */
/* error: a code and a sentence, made where the failure is, with context added on the way up. */
#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

int error_set(struct error *error, int code, const char *format, ...)
{
	va_list args;

	if (!error)
		return -code;
	error->code = code;
	va_start(args, format);
	if (vsnprintf(error->text, sizeof(error->text), format, args) < 0)
		error->text[0] = '\0';
	va_end(args);
	return -code;
}

int error_context(struct error *error, const char *format, ...)
{
	char context[ERROR_TEXT_BYTES];
	size_t text_bytes, room;
	int length;
	va_list args;

	if (!error)
		return -EIO;
	va_start(args, format);
	length = vsnprintf(context, sizeof(context) - 2, format, args);
	va_end(args);
	if (length < 0)
		return -error->code;
	length = (int)strlen(context);
	memcpy(context + length, ": ", 2);
	length += 2;

	/* The end of the old sentence is what gets lost where both do not fit. */
	room = sizeof(error->text) - 1 - (size_t)length;
	text_bytes = strnlen(error->text, room);
	memmove(error->text + length, error->text, text_bytes);
	memcpy(error->text, context, (size_t)length);
	error->text[(size_t)length + text_bytes] = '\0';
	return -error->code;
}

const char *error_name(int code)
{
	const char *name = strerrordesc_np(code);

	return name ? name : "unknown error";
}
