/* SPDX-License-Identifier: Apache-2.0 */
/* signals: blocked in every thread; while the VM is made they end the program, then they are read.
 */
#include "tools/stet/signals.h"

#include <errno.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "tools/stet/terminal.h"

static const int read_signals[] = { SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGTSTP, SIGCONT, SIGWINCH };
static const int fault_signals[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS, SIGTRAP };

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* The process dies of it, as if it had never been blocked. */
static void die_of(int number)
{
	sigset_t set;

	terminal_close();
	(void)signal(number, SIG_DFL);
	sigemptyset(&set);
	sigaddset(&set, number);
	(void)raise(number);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

static void *wait_for_signal(void *opaque)
{
	const struct signals *signals = opaque;
	sigset_t set = signals->read;

	sigaddset(&set, SIGUSR1);
	for (;;) {
		siginfo_t info;
		int number = sigwaitinfo(&set, &info);

		if (number == SIGUSR1 && info.si_pid == getpid())
			return NULL; /* signals_ready() */
		if (number == SIGTSTP)
			(void)raise(SIGSTOP);
		else if (number > 0 && number != SIGCONT && number != SIGWINCH && number != SIGUSR1)
			die_of(number);
	}
}

int signals_open(struct signals *signals)
{
	sigset_t blocked;
	int result;

	sigemptyset(&signals->read);
	for (size_t i = 0; i < COUNT(read_signals); i++) {
		struct sigaction action;

		sigaction(read_signals[i], NULL, &action);
		if (action.sa_handler != SIG_IGN)
			sigaddset(&signals->read, read_signals[i]);
	}
	sigfillset(&blocked);
	for (size_t i = 0; i < COUNT(fault_signals); i++)
		sigdelset(&blocked, fault_signals[i]);
	pthread_sigmask(SIG_SETMASK, &blocked, NULL);
	signals->fd = signalfd(-1, &signals->read, SFD_CLOEXEC | SFD_NONBLOCK);
	if (signals->fd < 0)
		return -errno;
	result = pthread_create(&signals->waiter, NULL, wait_for_signal, signals);
	if (result) {
		close(signals->fd);
		return -result;
	}
	signals->waiter_runs = true;
	return 0;
}

void signals_ready(struct signals *signals)
{
	if (!signals->waiter_runs)
		return;
	pthread_kill(signals->waiter, SIGUSR1);
	pthread_join(signals->waiter, NULL);
	signals->waiter_runs = false;
}

int signals_next(struct signals *signals)
{
	struct signalfd_siginfo info;

	if (read(signals->fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return 0;
	return (int)info.ssi_signo;
}

void signals_close(struct signals *signals)
{
	signals_ready(signals);
	close(signals->fd);
}
