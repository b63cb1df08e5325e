/* SPDX-License-Identifier: Apache-2.0 */
/*
 * terminal: standard input in raw mode while the guest has it, and as it was at every kind of end:
 * return and exit(), SIGTERM and its like (which the program waits for), fatal signals (a handler
 * here) and SIGKILL (the guard).
 */
#include "tools/stet/terminal.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "tools/stet/guard.h"
#include "tools/stet/message.h"

static const int fatal_signals[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS, SIGTRAP };
#define FATAL_COUNT (sizeof(fatal_signals) / sizeof(fatal_signals[0]))

/* The process has one standard input, hence one of these. modes is written before taken is set. */
static struct {
	struct termios modes; /* as they were */
	bool remembered;      /* modes are there */
	atomic_bool taken;
	struct guard guard;
	struct sigaction before[FATAL_COUNT]; /* what the fatal signals did */
} terminal = { .guard.fd = -1 };

void terminal_give_back(void)
{
	if (!atomic_exchange(&terminal.taken, false))
		return;
	(void)tcsetattr(STDIN_FILENO, TCSANOW, &terminal.modes);
	guard_tell(&terminal.guard, NULL);
	message_set_raw(false);
}

/*
 * Restores, then lets the signal do what it did without us (a core dump, a sanitizer's report): a
 * fault happens again on return, anything else is sent again.
 */
static void on_fatal_signal(int number, siginfo_t *info, void *context)
{
	int saved_errno = errno;

	(void)context;
	terminal_give_back();
	for (size_t i = 0; i < FATAL_COUNT; i++)
		if (fatal_signals[i] == number)
			(void)sigaction(number, &terminal.before[i], NULL);
	if (info->si_code <= 0 || number == SIGSYS || number == SIGTRAP)
		(void)raise(number);
	errno = saved_errno;
}

int terminal_open(void)
{
	struct sigaction action = { .sa_sigaction = on_fatal_signal,
				    .sa_flags = SA_SIGINFO | SA_ONSTACK };
	int result = guard_start(&terminal.guard, STDIN_FILENO);

	if (result)
		return result;
	if (atexit(terminal_close)) {
		guard_dismiss(&terminal.guard);
		return -ENOMEM;
	}
	sigfillset(&action.sa_mask);
	for (size_t i = 0; i < FATAL_COUNT; i++)
		(void)sigaction(fatal_signals[i], &action, &terminal.before[i]);
	return 0;
}

/* In the background the terminal belongs to someone else: the shell, most likely. One that is not
 * our controlling terminal (ENOTTY) has no foreground. */
static bool in_foreground(void)
{
	pid_t group = tcgetpgrp(STDIN_FILENO);

	return group < 0 ? errno == ENOTTY : group == getpgrp();
}

/* A terminal that comes back in raw mode has it from us (a shell gives a job its modes again): not
 * what is to be restored. */
static bool remember_modes(void)
{
	struct termios now;

	if (tcgetattr(STDIN_FILENO, &now))
		return false;
	if (!terminal.remembered || (now.c_lflag & ICANON))
		terminal.modes = now;
	terminal.remembered = true;
	return true;
}

bool terminal_take(void)
{
	struct termios raw;

	if (!in_foreground()) {
		/* Whoever took it saw to its modes. */
		if (atomic_exchange(&terminal.taken, false))
			guard_tell(&terminal.guard, NULL);
		message_set_raw(false);
		return false;
	}
	/* Already ours, but a shell may have changed the modes while the process was stopped. */
	if (!atomic_load(&terminal.taken) && !remember_modes())
		return false;
	raw = terminal.modes;
	cfmakeraw(&raw);
	guard_tell(&terminal.guard, &terminal.modes);
	atomic_store(&terminal.taken, true);
	message_set_raw(true);
	if (tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0)
		return true;
	terminal_give_back();
	return false;
}

bool terminal_taken(void)
{
	return atomic_load(&terminal.taken);
}

bool terminal_size(uint16_t *columns, uint16_t *rows)
{
	struct winsize size = { .ws_col = 0 };

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) && ioctl(STDIN_FILENO, TIOCGWINSZ, &size))
		size = (struct winsize){ .ws_col = 0 };
	*columns = size.ws_col;
	*rows = size.ws_row;
	return size.ws_col && size.ws_row;
}

void terminal_close(void)
{
	terminal_give_back();
	guard_dismiss(&terminal.guard);
}
