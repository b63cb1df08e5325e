/* SPDX-License-Identifier: Apache-2.0 */
/* error: a code and a sentence, made where the failure is, with context added on the way up. */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#define ERROR_TEXT_BYTES 512

/* Owned by the caller; no thread rules beyond that. text is always terminated; an empty text means
 * "no error yet". */
struct error {
	int code; /* positive errno */
	char text[ERROR_TEXT_BYTES];
};

/*
 * Sets code (a positive errno) and the sentence: what happened, to what, and what to do next.
 * Returns -code, so that `return error_set(...)` is how a function fails. error may be NULL. A text
 * that is too long is cut.
 */
int error_set(struct error *error, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Puts "CONTEXT: " before the sentence. Returns -error->code (-EIO where error is NULL). */
int error_context(struct error *error, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* The text of an errno value; thread-safe, never NULL. */
const char *error_name(int code);

#endif
