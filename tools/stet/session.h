/* SPDX-License-Identifier: Apache-2.0 */
/* session: the host's end of a command in a guest: its streams, signals and exit code, over the
 * socket that init connects to. What comes from there is hostile: it is checked, and can at most
 * end the session. */
#ifndef TOOLS_STET_SESSION_H
#define TOOLS_STET_SESSION_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/un.h>

#include "tools/init/frame.h"

#define SESSION_POLLS 3
#define SESSION_WHY   256

/* session_init(), then session_listen(). Descriptors are -1 where there is none. */
struct session {
	char directory[64];   /* made for the socket; empty: none */
	char vsock_path[128]; /* for stet_config */
	struct sockaddr_un address;
	int listen_fd, fd;
	struct frame_reader reader;
	struct frame_writer writer;
	struct frame output; /* of it, output_at bytes are written */
	uint32_t output_at;
	uint32_t window;         /* so much input the guest takes now */
	bool started, in_ended;  /* the command runs; its input has ended */
	bool out_gone, err_gone; /* nobody reads what is to be written */
	bool output_failed;      /* and that was an error, which was said */
	bool over;               /* nothing more comes */
	bool exited;             /* code is the command's */
	uint32_t code;
	char why[SESSION_WHY]; /* why there is no code, where the guest said so */
};

void session_init(struct session *session);

/*
 * Listens for the guest: at vsock_path, the user's, or else in a directory of its own. 0, or a
 * negative errno with a sentence in why.
 */
int session_listen(struct session *session, const char *vsock_path);

/* Fills polls; in_fd is where input can be read without waiting, -1: nowhere, or not now. */
void session_polls(const struct session *session, int in_fd, struct pollfd polls[SESSION_POLLS]);
/* What came of it. */
void session_turn(struct session *session, int in_fd, const struct pollfd polls[SESSION_POLLS]);

/* The guest has ended: takes what it sent before. */
void session_drain(struct session *session);

/* False where no command is there to get it. */
bool session_signal(struct session *session, int number);
void session_size(struct session *session, uint16_t columns, uint16_t rows);

/* Closes everything and removes what session_listen() made. */
void session_close(struct session *session);

#endif
