/* SPDX-License-Identifier: Apache-2.0 */
/* init: what the parts of the lab guests' first process share. */
#ifndef TESTS_GUEST_INIT_H
#define TESTS_GUEST_INIT_H

#include <stdint.h>

#define MARK_USER   0x7b /* user space is reached */
#define MARK_DONE   0x7c /* all is said about the machine */
#define MARK_SERVED 0x7d /* the sockets were served */

/* Says to stet and its host's tracepoints: here I am. */
void mark(uint8_t value);

/* "guest: NAME VALUE" on the console. */
void fact(const char *name, const char *value);

/* A guest that failed must not look like one that did its work. */
void __attribute__((noreturn)) fail(const char *what);

/* sockets.c: serves until "off" is typed. */
void sockets_serve(void);

#endif
