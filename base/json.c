/* SPDX-License-Identifier: Apache-2.0 */
/* json: JSON (RFC 8259) written into a text. */
#include <inttypes.h>
#include <string.h>

#include "base/text.h"

static void append(struct text *text, const char *string)
{
	text_append(text, string, strlen(string));
}

/*
 * The length of the UTF-8 sequence at string, 0 where it is none (RFC 3629: no overlong forms, no
 * surrogates, nothing above U+10FFFF). A terminator is no continuation byte, so nothing is read
 * beyond it.
 */
static size_t utf8_length(const unsigned char *string)
{
	unsigned char first = string[0], low = 0x80, high = 0xbf;
	size_t length, i;

	if (first < 0x80)
		return 1;
	if (first < 0xc2 || first > 0xf4)
		return 0;
	length = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
	if (first == 0xe0)
		low = 0xa0;
	if (first == 0xed)
		high = 0x9f;
	if (first == 0xf0)
		low = 0x90;
	if (first == 0xf4)
		high = 0x8f;
	if (string[1] < low || string[1] > high)
		return 0;
	for (i = 2; i < length; i++)
		if ((string[i] & 0xc0) != 0x80)
			return 0;
	return length;
}

static void append_escaped(struct text *text, unsigned char byte)
{
	switch (byte) {
	case '"':
		append(text, "\\\"");
		break;
	case '\\':
		append(text, "\\\\");
		break;
	case '\n':
		append(text, "\\n");
		break;
	case '\r':
		append(text, "\\r");
		break;
	case '\t':
		append(text, "\\t");
		break;
	default:
		text_printf(text, "\\u%04x", byte);
		break;
	}
}

static bool is_plain(unsigned char byte)
{
	return byte >= 0x20 && byte < 0x7f && byte != '"' && byte != '\\';
}

static void append_quoted(struct text *text, const char *string)
{
	const unsigned char *at = (const unsigned char *)string;

	append(text, "\"");
	while (*at) {
		size_t length = 0;

		while (is_plain(at[length]))
			length++;
		if (length == 0 && *at >= 0x80)
			length = utf8_length(at);
		if (length) {
			text_append(text, (const char *)at, length);
			at += length;
			continue;
		}
		if (*at >= 0x80)
			append(text, "\xef\xbf\xbd");
		else
			append_escaped(text, *at);
		at++;
	}
	append(text, "\"");
}

/* The comma and the name before a value. */
static void begin_value(struct text *text, const char *name)
{
	if (text->json_comma)
		append(text, ",");
	text->json_comma = true;
	if (name) {
		append_quoted(text, name);
		append(text, ":");
	}
}

static void begin_nest(struct text *text, const char *name, const char *bracket)
{
	begin_value(text, name);
	append(text, bracket);
	text->json_comma = false;
}

static void end_nest(struct text *text, const char *bracket)
{
	append(text, bracket);
	text->json_comma = true;
}

void json_begin_object(struct text *text, const char *name)
{
	begin_nest(text, name, "{");
}

void json_end_object(struct text *text)
{
	end_nest(text, "}");
}

void json_begin_array(struct text *text, const char *name)
{
	begin_nest(text, name, "[");
}

void json_end_array(struct text *text)
{
	end_nest(text, "]");
}

void json_string(struct text *text, const char *name, const char *value)
{
	begin_value(text, name);
	if (value)
		append_quoted(text, value);
	else
		append(text, "null");
}

void json_u64(struct text *text, const char *name, uint64_t value)
{
	begin_value(text, name);
	text_printf(text, "%" PRIu64, value);
}

void json_bool(struct text *text, const char *name, bool value)
{
	begin_value(text, name);
	append(text, value ? "true" : "false");
}

void json_null(struct text *text, const char *name)
{
	json_string(text, name, NULL);
}
