/* SPDX-License-Identifier: Apache-2.0 */
/* terminal: standard input in raw mode while the guest has it, and as it was at every kind of end.
 */
#ifndef TOOLS_STET_TERMINAL_H
#define TOOLS_STET_TERMINAL_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Prepares for raw mode: starts the guard and sees to it that exit() and fatal signals restore.
 * Call once, while the process has one thread. 0 or a negative errno.
 */
int terminal_open(void);

/* Takes the terminal: raw mode, where this process is in its foreground. Says whether it is raw
 * now. */
bool terminal_take(void);

/* As it was before terminal_take(). Safe in a signal handler. */
void terminal_give_back(void);

/* Is it raw now? */
bool terminal_taken(void);

/* The size in characters of the terminal that is standard output or, else, input. False, and both
 * 0, where neither is one or it does not know. */
bool terminal_size(uint16_t *columns, uint16_t *rows);

/* Gives it back and ends the guard. Also the exit() path; may be called twice. */
void terminal_close(void);

#endif
