/* SPDX-License-Identifier: Apache-2.0 */
/* relay: carries the command's streams, signals and exit code over the socket. */
#include "tools/init/relay.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tools/init/command.h"
#include "tools/init/frame.h"

/* A terminal's last output takes a moment to its other end, which then says that it is over. */
#define TERMINAL_DRAIN_MS 500

enum {
	WATCH_SOCKET,
	WATCH_CHILD,
	WATCH_IN,
	WATCH_OUT,
	WATCH_ERR,
	WATCH_COUNT,
};

/* Input on its way to the command. */
struct input {
	size_t at, end;
	uint8_t buffer[FRAME_WINDOW];
};

struct relay {
	int socket_fd, child_fd;
	struct command command;
	struct frame_reader reader;
	struct frame_writer writer;
	struct input input;
	uint32_t taken; /* bytes of input not told of yet */
	bool in_ended;  /* no more comes behind what is in the buffer */
	bool exited;
	uint32_t code;
	bool failed; /* the socket: nobody is there */
};

static void close_once(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* ---- To the command ---- */

static void flush_input(struct relay *relay)
{
	struct input *input = &relay->input;

	while (relay->command.in_fd >= 0 && input->at < input->end) {
		ssize_t n = write(relay->command.in_fd, input->buffer + input->at,
				  input->end - input->at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0) /* it does not read any more */
			close_once(&relay->command.in_fd);
		else
			input->at += (size_t)n, relay->taken += (uint32_t)n;
	}
	if (relay->command.in_fd < 0) { /* goes nowhere, but the host need not wait */
		relay->taken += (uint32_t)(input->end - input->at);
		input->at = input->end;
	}
	if (input->at == input->end && relay->in_ended && relay->command.terminal_fd < 0)
		close_once(&relay->command.in_fd);
}

static void keep_input(struct relay *relay, const struct frame *frame)
{
	struct input *input = &relay->input;

	memmove(input->buffer, input->buffer + input->at, input->end - input->at);
	input->end -= input->at;
	input->at = 0;
	if (sizeof(input->buffer) - input->end < frame->bytes) {
		relay->failed = true; /* more than was allowed: not our stet */
		return;
	}
	memcpy(input->buffer + input->end, frame->data, frame->bytes);
	input->end += frame->bytes;
	flush_input(relay);
}

static void on_frame(struct relay *relay, const struct frame *frame)
{
	uint32_t number;

	switch (frame->type) {
	case FRAME_IN:
		keep_input(relay, frame);
		break;
	case FRAME_IN_END:
		relay->in_ended = true;
		flush_input(relay);
		break;
	case FRAME_SIGNAL:
		command_signal(&relay->command, (int)frame_number(frame));
		break;
	case FRAME_SIZE:
		number = frame_number(frame);
		command_resize(&relay->command, (uint16_t)number, (uint16_t)(number >> 16));
		break;
	case FRAME_CLOSED: /* its next write gets SIGPIPE */
		close_once(frame_number(frame) == FRAME_ERR ? &relay->command.err_fd
							    : &relay->command.out_fd);
		break;
	default:
		relay->failed = true;
	}
}

static void read_socket(struct relay *relay)
{
	struct frame frame;
	size_t room;
	uint8_t *to = frame_room(&relay->reader, &room);
	ssize_t n = read(relay->socket_fd, to, room);
	int ret;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		relay->failed = true;
		return;
	}
	frame_came(&relay->reader, (size_t)n);
	while (!relay->failed && (ret = frame_next(&relay->reader, &frame)) != 0) {
		if (ret < 0)
			relay->failed = true;
		else
			on_frame(relay, &frame);
	}
}

/* ---- From the command ---- */

/* Passes one piece on. False where there is nothing now, or no room for it. */
static bool read_stream(struct relay *relay, int *fd, enum frame_type type)
{
	uint8_t data[FRAME_BYTES_MAX];
	size_t room = frame_data_room(&relay->writer);
	ssize_t n;

	if (*fd < 0 || !room)
		return false;
	n = read(*fd, data, room);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n <= 0) { /* EIO: a terminal that nobody has open */
		close_once(fd);
		return false;
	}
	return frame_put(&relay->writer, type, data, (size_t)n);
}

static uint32_t code_of(int status)
{
	return WIFSIGNALED(status) ? 128 + (uint32_t)WTERMSIG(status)
				   : (uint32_t)WEXITSTATUS(status);
}

static void reap(struct relay *relay)
{
	struct signalfd_siginfo info;
	int status;
	pid_t pid;

	while (read(relay->child_fd, &info, sizeof(info)) > 0)
		;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid != relay->command.pid)
			continue;
		relay->exited = true;
		relay->code = code_of(status);
	}
}

/* ---- All of it ---- */

static void turn(struct relay *relay, int timeout_ms)
{
	bool room = frame_data_room(&relay->writer) > 0;
	bool input = relay->input.at < relay->input.end;
	struct pollfd polls[WATCH_COUNT] = {
		[WATCH_SOCKET] = { .fd = relay->socket_fd, .events = POLLIN },
		[WATCH_CHILD] = { .fd = relay->child_fd, .events = POLLIN },
		[WATCH_IN] = { .fd = input ? relay->command.in_fd : -1, .events = POLLOUT },
		[WATCH_OUT] = { .fd = room ? relay->command.out_fd : -1, .events = POLLIN },
		[WATCH_ERR] = { .fd = room ? relay->command.err_fd : -1, .events = POLLIN },
	};

	if (frame_waiting(&relay->writer))
		polls[WATCH_SOCKET].events |= POLLOUT;
	if (poll(polls, WATCH_COUNT, timeout_ms) < 0)
		return;
	if (polls[WATCH_SOCKET].revents & ~POLLOUT)
		read_socket(relay);
	if (polls[WATCH_CHILD].revents)
		reap(relay);
	if (polls[WATCH_IN].revents)
		flush_input(relay);
	if (polls[WATCH_OUT].revents)
		read_stream(relay, &relay->command.out_fd, FRAME_OUT);
	if (polls[WATCH_ERR].revents)
		read_stream(relay, &relay->command.err_fd, FRAME_ERR);
	if (relay->taken && frame_put_number(&relay->writer, FRAME_TAKEN, relay->taken))
		relay->taken = 0;
	if (frame_send(&relay->writer, relay->socket_fd))
		relay->failed = true;
}

/* Sends what waits, down to the last byte. */
static void flush(struct relay *relay)
{
	while (!relay->failed && frame_waiting(&relay->writer)) {
		struct pollfd poll_out = { .fd = relay->socket_fd, .events = POLLOUT };

		(void)poll(&poll_out, 1, -1);
		if (frame_send(&relay->writer, relay->socket_fd))
			relay->failed = true;
	}
}

/* What the command wrote before its end is in the pipes; processes that it left behind may hold
 * them open, but are not waited for. */
static void drain(struct relay *relay)
{
	bool more = true;

	while (more && !relay->failed) {
		more = read_stream(relay, &relay->command.out_fd, FRAME_OUT);
		more |= read_stream(relay, &relay->command.err_fd, FRAME_ERR);
		flush(relay);
		if (!more && relay->command.terminal_fd >= 0 && relay->command.out_fd >= 0) {
			struct pollfd poll_in = { .fd = relay->command.out_fd, .events = POLLIN };

			more = poll(&poll_in, 1, TERMINAL_DRAIN_MS) > 0;
		}
	}
}

/* stet hangs up when it has read the last frame: from then on the machine may go. */
static void wait_for_hangup(struct relay *relay)
{
	while (!relay->failed) {
		struct pollfd poll_in = { .fd = relay->socket_fd, .events = POLLIN };

		(void)poll(&poll_in, 1, -1);
		read_socket(relay);
	}
}

/* Static: these buffers are no matter for a stack. */
static struct relay the_relay;

void relay_run(int socket_fd, const struct settings *settings)
{
	struct relay *relay = &the_relay;
	sigset_t child;
	int ret;

	memset(relay, 0, sizeof(*relay));
	relay->socket_fd = socket_fd;
	(void)signal(SIGPIPE, SIG_IGN);
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, NULL);
	relay->child_fd = signalfd(-1, &child, SFD_NONBLOCK | SFD_CLOEXEC);
	frame_put_number(&relay->writer, FRAME_HELLO, FRAME_VERSION);
	ret = command_start(&relay->command, settings);
	if (ret || relay->child_fd < 0) {
		char why[128];
		int bytes = snprintf(why, sizeof(why), "cannot start a process: %s",
				     strerror(ret ? -ret : errno));

		frame_put(&relay->writer, FRAME_FAIL, why, (size_t)bytes);
		flush(relay);
		wait_for_hangup(relay);
		return;
	}
	while (!relay->exited && !relay->failed)
		turn(relay, -1);
	drain(relay);
	frame_put_number(&relay->writer, FRAME_EXIT, relay->code);
	flush(relay);
	wait_for_hangup(relay);
}
