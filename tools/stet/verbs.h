/* SPDX-License-Identifier: Apache-2.0 */
/* verbs: what the program can be told to do, one file each, and the exit codes they share. */
#ifndef TOOLS_STET_VERBS_H
#define TOOLS_STET_VERBS_H

#include <stdint.h>

/* Documented in stet(1); a signal that ends stet gives 128 and its number. */
enum exit_code {
	EXIT_POWEROFF = 0,
	EXIT_STET = 1,  /* stet's own error: nothing ran, or the host failed under the guest */
	EXIT_USAGE = 2, /* the command line was not understood */
	EXIT_NOT_POSSIBLE = 3, /* stet info: this host cannot give zero faults */
	EXIT_RESET = 32,
	EXIT_CRASH = 33,
	EXIT_PANIC = 34,
	EXIT_SIGNAL = 128,
};

/* arguments is what follows the verb, ended by NULL; start_ns is CLOCK_MONOTONIC at main(). Each
 * returns the exit code. */
int verb_run(char **arguments, uint64_t start_ns);
int verb_info(char **arguments, uint64_t start_ns);
int verb_why(char **arguments, uint64_t start_ns);

/* The command line was not understood: says why, and where help is. Returns EXIT_USAGE. */
int usage_error(const char *verb, const char *why);

#endif
