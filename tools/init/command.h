/* SPDX-License-Identifier: Apache-2.0 */
/* command: starts the user's command with pipes or a pseudo-terminal. */
#ifndef TOOLS_INIT_COMMAND_H
#define TOOLS_INIT_COMMAND_H

#include <sys/types.h>

#include "tools/init/settings.h"

#define COMMAND_NOT_EXECUTABLE 126
#define COMMAND_NOT_FOUND      127

/* Our ends; they do not block, and are -1 where there is none. */
struct command {
	pid_t pid;       /* also its process group and session */
	int in_fd;       /* to its standard input */
	int out_fd;      /* from its standard output */
	int err_fd;      /* from its standard error, where that is apart */
	int terminal_fd; /* the master of its terminal; in_fd and out_fd are duplicates */
};

/* 0, or a negative errno where not even a child could be made. A program that cannot be executed
 * shows as an exit code, with a line on its standard error. */
int command_start(struct command *command, const struct settings *settings);

/* A signal that was meant for it: with a terminal those of the keyboard go to the foreground. */
void command_signal(const struct command *command, int number);

void command_resize(const struct command *command, uint16_t columns, uint16_t rows);

#endif
