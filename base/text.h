/* SPDX-License-Identifier: Apache-2.0 */
/* text: a string that grows, and JSON written into it. */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Zeroed to begin with; text_free() at the end. Failure to allocate sticks: later calls do nothing
 * and text_ok() is false, so that a writer checks once, at the end. data is terminated wherever it
 * is not NULL.
 */
struct text {
	char *data;
	size_t bytes; /* without the terminator */
	size_t capacity;
	bool failed;
	bool json_comma; /* the next JSON value needs a comma before it */
};

void text_free(struct text *text);
bool text_ok(const struct text *text);
void text_printf(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_append(struct text *text, const char *data, size_t bytes);

/*
 * JSON (RFC 8259). name is NULL inside arrays and at the top. Strings are escaped; bytes that are
 * not UTF-8 are replaced by U+FFFD. Numbers are written as integers.
 */
void json_begin_object(struct text *text, const char *name);
void json_end_object(struct text *text);
void json_begin_array(struct text *text, const char *name);
void json_end_array(struct text *text);
void json_string(struct text *text, const char *name, const char *value); /* NULL is null */
void json_u64(struct text *text, const char *name, uint64_t value);
void json_bool(struct text *text, const char *name, bool value);
void json_null(struct text *text, const char *name);

#endif
