/* SPDX-License-Identifier: Apache-2.0 */
/* session: the host's end of a command in a guest: its streams, signals and exit code. */
#include "tools/stet/session.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/stet/message.h"

/* In the order of the polls. */
enum {
	SESSION_SOCKET,
	SESSION_OUTPUT,
	SESSION_INPUT,
};

#define CODE_MAX       255
/* The guest is gone: how long whoever reads its output may take over a piece of it. */
#define DRAIN_LIMIT_MS 1000

void session_init(struct session *session)
{
	memset(session, 0, sizeof(*session));
	session->listen_fd = session->fd = -1;
}

static void close_once(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* ---- The socket ---- */

static int fail(struct session *session, const char *what)
{
	int code = errno ? errno : EIO;

	snprintf(session->why, sizeof(session->why), "%s: %s", what, strerror(code));
	return -code;
}

static int make_directory(struct session *session)
{
	const char *parent = getenv("TMPDIR");

	/* The name of a socket has 108 bytes. */
	if (!parent || strlen(parent) > 32)
		parent = "/tmp";
	snprintf(session->directory, sizeof(session->directory), "%s/stet.XXXXXX", parent);
	if (!mkdtemp(session->directory)) {
		session->directory[0] = 0;
		return fail(session, "cannot make a directory for a socket");
	}
	snprintf(session->vsock_path, sizeof(session->vsock_path), "%s/vsock", session->directory);
	return 0;
}

/* A socket file that nobody listens at any more is in the way. */
static void remove_dead(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return;
	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) &&
	    errno == ECONNREFUSED)
		(void)unlink(address->sun_path);
	close(fd);
}

static int bind_private(int fd, const struct sockaddr_un *address)
{
	mode_t before = umask(077); /* the program has one thread yet */
	int ret = bind(fd, (const struct sockaddr *)address, sizeof(*address));

	umask(before);
	return ret;
}

int session_listen(struct session *session, const char *vsock_path)
{
	struct sockaddr_un *address = &session->address;
	int used;

	if (!vsock_path) {
		int ret = make_directory(session);

		if (ret)
			return ret;
		vsock_path = session->vsock_path;
	} else {
		snprintf(session->vsock_path, sizeof(session->vsock_path), "%s", vsock_path);
	}
	address->sun_family = AF_UNIX;
	used = snprintf(address->sun_path, sizeof(address->sun_path), "%s_%u", vsock_path,
			FRAME_PORT);
	if (used < 0 || (size_t)used >= sizeof(address->sun_path)) {
		errno = ENAMETOOLONG;
		address->sun_path[0] = 0;
		return fail(session, vsock_path);
	}
	session->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (session->listen_fd < 0)
		return fail(session, "cannot make a socket");
	remove_dead(address);
	if (bind_private(session->listen_fd, address) || listen(session->listen_fd, 1)) {
		int ret = fail(session, address->sun_path);

		address->sun_path[0] = 0; /* not ours to remove */
		return ret;
	}
	return 0;
}

/* One connection, init's: the command must not be able to make another. */
static void unlisten(struct session *session)
{
	close_once(&session->listen_fd);
	if (session->address.sun_path[0])
		(void)unlink(session->address.sun_path);
	session->address.sun_path[0] = 0;
}

static void take_connection(struct session *session)
{
	session->fd = accept4(session->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (session->fd < 0)
		return;
	unlisten(session);
	session->window = FRAME_WINDOW;
}

/* ---- Frames from the guest ---- */

/* It does not keep to the rules, or is gone. */
static void give_up(struct session *session, const char *why)
{
	if (!session->why[0])
		snprintf(session->why, sizeof(session->why), "%s", why);
	session->over = true;
}

/* Text of the guest's, without what a terminal would obey. */
static void keep_why(struct session *session, const struct frame *frame)
{
	size_t i;

	for (i = 0; i < frame->bytes && i < SESSION_WHY - 1; i++)
		session->why[i] =
			(char)(frame->data[i] >= ' ' && frame->data[i] < 127 ? frame->data[i]
									     : '?');
	session->why[i] = 0;
}

static void on_taken(struct session *session, uint32_t bytes)
{
	if (bytes > FRAME_WINDOW - session->window)
		give_up(session, "the guest took more input than it was given");
	else
		session->window += bytes;
}

static void on_frame(struct session *session, const struct frame *frame)
{
	if (!session->started && frame->type != FRAME_HELLO) {
		give_up(session, "the guest's init does not begin with a greeting");
		return;
	}
	switch (frame->type) {
	case FRAME_HELLO:
		if (session->started || frame_number(frame) != FRAME_VERSION)
			give_up(session, "the guest's init is of another version");
		session->started = true;
		break;
	case FRAME_OUT:
	case FRAME_ERR:
		session->output = *frame;
		session->output_at = 0;
		break;
	case FRAME_TAKEN:
		on_taken(session, frame_number(frame));
		break;
	case FRAME_EXIT:
		session->code = frame_number(frame);
		session->exited = session->code <= CODE_MAX;
		give_up(session, session->exited ? "" : "no such exit code");
		break;
	case FRAME_FAIL:
		keep_why(session, frame);
		session->over = true;
		break;
	default:
		give_up(session, "the guest sent what only stet may send");
	}
	if (session->over) /* tells init that all was read */
		close_once(&session->fd);
}

/* ---- Output ---- */

static bool *gone_of(struct session *session)
{
	return session->output.type == FRAME_ERR ? &session->err_gone : &session->out_gone;
}

static int output_fd(const struct session *session)
{
	return session->output.type == FRAME_ERR ? STDERR_FILENO : STDOUT_FILENO;
}

static void output_done(struct session *session)
{
	session->output = (struct frame){ 0 };
}

/* Nobody reads it any more: nor need the command write it. */
static void output_broken(struct session *session, int code)
{
	if (code != EPIPE) {
		message("cannot write standard %s: %s",
			output_fd(session) == STDERR_FILENO ? "error" : "output", strerror(code));
		session->output_failed = true;
	}
	*gone_of(session) = true;
	frame_put_number(&session->writer, FRAME_CLOSED, session->output.type);
	output_done(session);
}

/* Not more than a pipe takes without waiting. */
static void write_output(struct session *session)
{
	uint32_t left = session->output.bytes - session->output_at;
	ssize_t n;

	if (*gone_of(session)) {
		output_done(session);
		return;
	}
	n = write(output_fd(session), session->output.data + session->output_at,
		  left < PIPE_BUF ? left : PIPE_BUF);
	if (n < 0 && errno != EAGAIN && errno != EINTR)
		output_broken(session, errno);
	if (n > 0)
		session->output_at += (uint32_t)n;
	if (n > 0 && session->output_at == session->output.bytes)
		output_done(session);
}

/* Frames up to one with output, which has to be written before the next. */
static void read_frames(struct session *session)
{
	while (!session->over && !session->output.bytes) {
		struct frame frame;
		int ret = frame_next(&session->reader, &frame);

		if (ret < 0)
			give_up(session, "the guest's init sent what is no frame");
		if (ret <= 0)
			return;
		on_frame(session, &frame);
	}
}

static void read_socket(struct session *session)
{
	size_t room;
	uint8_t *to = frame_room(&session->reader, &room);
	ssize_t n = read(session->fd, to, room);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		give_up(session, "the guest's init hung up");
		return;
	}
	frame_came(&session->reader, (size_t)n);
	read_frames(session);
}

/* ---- Input ---- */

static size_t input_room(const struct session *session)
{
	size_t room = frame_data_room(&session->writer);

	if (!session->started || session->in_ended)
		return 0;
	return room < session->window ? room : session->window;
}

static void read_input(struct session *session, int in_fd)
{
	uint8_t data[FRAME_BYTES_MAX];
	ssize_t n = read(in_fd, data, input_room(session));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		session->in_ended = true;
		frame_put(&session->writer, FRAME_IN_END, NULL, 0);
		return;
	}
	frame_put(&session->writer, FRAME_IN, data, (size_t)n);
	session->window -= (uint32_t)n;
}

/* ---- All of it ---- */

void session_polls(const struct session *session, int in_fd, struct pollfd polls[SESSION_POLLS])
{
	polls[SESSION_SOCKET] = (struct pollfd){ .fd = -1, .events = POLLIN };
	polls[SESSION_OUTPUT] = (struct pollfd){ .fd = -1, .events = POLLOUT };
	polls[SESSION_INPUT] = (struct pollfd){ .fd = -1, .events = POLLIN };
	if (session->over)
		return;
	polls[SESSION_SOCKET].fd = session->fd >= 0 ? session->fd : session->listen_fd;
	if (session->output.bytes) {
		polls[SESSION_OUTPUT].fd = output_fd(session);
		polls[SESSION_SOCKET].events = 0;
		/* Broken, it would be reported again and again. */
		if (!frame_waiting(&session->writer))
			polls[SESSION_SOCKET].fd = -1;
	}
	if (session->fd >= 0 && frame_waiting(&session->writer))
		polls[SESSION_SOCKET].events |= POLLOUT;
	if (input_room(session))
		polls[SESSION_INPUT].fd = in_fd;
}

void session_turn(struct session *session, int in_fd, const struct pollfd polls[SESSION_POLLS])
{
	if (polls[SESSION_SOCKET].revents && session->fd < 0 && session->listen_fd >= 0)
		take_connection(session);
	else if (polls[SESSION_SOCKET].revents & ~POLLOUT && !session->output.bytes)
		read_socket(session);
	if (polls[SESSION_OUTPUT].revents) {
		write_output(session);
		read_frames(session);
	}
	if (polls[SESSION_INPUT].revents)
		read_input(session, in_fd);
	if (session->fd >= 0 && !session->over && frame_send(&session->writer, session->fd))
		give_up(session, "the guest's init hung up");
}

void session_drain(struct session *session)
{
	while (!session->over && session->fd >= 0) {
		struct pollfd readable = { .fd = session->fd, .events = POLLIN };
		struct pollfd writable = { .fd = output_fd(session), .events = POLLOUT };

		if (session->output.bytes) {
			if (poll(&writable, 1, DRAIN_LIMIT_MS) <= 0)
				return;
			write_output(session);
			read_frames(session);
		} else if (poll(&readable, 1, 0) > 0) {
			read_socket(session);
		} else {
			return;
		}
	}
}

bool session_signal(struct session *session, int number)
{
	if (!session->started || session->over)
		return false;
	return frame_put_number(&session->writer, FRAME_SIGNAL, (uint32_t)number);
}

void session_size(struct session *session, uint16_t columns, uint16_t rows)
{
	if (session->started && !session->over)
		(void)frame_put_number(&session->writer, FRAME_SIZE,
				       columns | (uint32_t)rows << 16);
}

void session_close(struct session *session)
{
	unlisten(session);
	close_once(&session->fd);
	if (session->directory[0])
		(void)rmdir(session->directory);
	session->directory[0] = 0;
}
