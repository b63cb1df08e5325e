/* SPDX-License-Identifier: Apache-2.0 */
/* net_stream: the backend that is a stream socket of frames behind their lengths. */
#include "devices/net_stream.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "base/num.h"
#include "devices/virtq.h"

#define LENGTH_BYTES 4
#define INPUT_BYTES  (2 * (LENGTH_BYTES + NET_FRAME_BYTES_MAX))

/*
 * Lock: the device's. Input holds what was received and not yet taken, in whole or in part; output
 * the rest of a frame that the socket took only the beginning of. That rest survives a reset of the
 * device: without it the stream would be out of step.
 */
struct net_stream {
	struct net_backend backend;
	struct net_backend_ops ops; /* with the name of the other end */
	int fd;
	uint32_t input_first, input_bytes;
	uint32_t output_first, output_bytes;
	uint8_t input[INPUT_BYTES];
	uint8_t output[LENGTH_BYTES + NET_FRAME_BYTES_MAX];
};

static struct net_stream *to_stream(struct net_backend *backend)
{
	return (struct net_stream *)backend;
}

/* ---- Receiving ---- */

/* The length of the frame at the front: 0 where that is not there yet, -EPROTO where it cannot be.
 */
static int32_t next_frame(const struct net_stream *stream)
{
	uint32_t length;

	if (stream->input_bytes < LENGTH_BYTES)
		return 0;
	memcpy(&length, stream->input + stream->input_first, sizeof(length));
	length = ntohl(length);
	if (length < ETH_HLEN || length > NET_FRAME_BYTES_MAX)
		return -EPROTO;
	return stream->input_bytes - LENGTH_BYTES >= length ? (int32_t)length : 0;
}

static ssize_t receive_more(struct net_stream *stream)
{
	uint32_t end;
	ssize_t got;

	if (stream->input_first) {
		memmove(stream->input, stream->input + stream->input_first, stream->input_bytes);
		stream->input_first = 0;
	}
	/* There is room: a whole frame would have been taken, and two of the largest fit. */
	end = stream->input_bytes;
	do {
		got = recv(stream->fd, stream->input + end, INPUT_BYTES - end, MSG_DONTWAIT);
	} while (got < 0 && errno == EINTR);
	if (got < 0)
		return -errno;
	if (!got)
		return -ENOLINK;
	stream->input_bytes += (uint32_t)got;
	return got;
}

/* Copies to iov from a place in it on, as much as fits; the next place. */
static size_t scatter(const struct iovec *iov, unsigned int count, size_t at, const uint8_t *data,
		      size_t bytes)
{
	size_t offset = at;

	for (unsigned int i = 0; i < count && bytes; i++) {
		size_t part;

		if (offset >= iov[i].iov_len) {
			offset -= iov[i].iov_len;
			continue;
		}
		part = num_min(bytes, iov[i].iov_len - offset);
		memcpy((uint8_t *)iov[i].iov_base + offset, data, part);
		offset = 0;
		data += part;
		bytes -= part;
		at += part;
	}
	return at;
}

static ssize_t stream_receive(struct net_backend *backend, unsigned int pair,
			      const struct iovec *iov, unsigned int count)
{
	static const uint8_t header[NET_HEADER_BYTES];
	struct net_stream *stream = to_stream(backend);
	int32_t frame;
	ssize_t got;
	size_t end;

	(void)pair;
	for (frame = next_frame(stream); !frame; frame = next_frame(stream)) {
		got = receive_more(stream);
		if (got < 0)
			return got;
	}
	if (frame < 0)
		return frame;
	end = scatter(iov, count, 0, header, sizeof(header));
	end = scatter(iov, count, end, stream->input + stream->input_first + LENGTH_BYTES,
		      (size_t)frame);
	stream->input_first += LENGTH_BYTES + (uint32_t)frame;
	stream->input_bytes -= LENGTH_BYTES + (uint32_t)frame;
	return (ssize_t)end;
}

/* ---- Sending ---- */

static int send_error(int code)
{
	if (code == EAGAIN || code == EINTR || code == ENOBUFS)
		return -EAGAIN;
	return -ENOLINK;
}

static int stream_flush(struct net_backend *backend, unsigned int pair)
{
	struct net_stream *stream = to_stream(backend);

	(void)pair;
	while (stream->output_bytes) {
		ssize_t sent = send(stream->fd, stream->output + stream->output_first,
				    stream->output_bytes, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (sent < 0)
			return send_error(errno);
		stream->output_first += (uint32_t)sent;
		stream->output_bytes -= (uint32_t)sent;
	}
	return 0;
}

/* Keeps what is left of a frame after its first sent bytes, the length before it included. */
static void keep_rest(struct net_stream *stream, const struct iovec *iov, unsigned int count,
		      size_t sent)
{
	stream->output_first = stream->output_bytes = 0;
	for (unsigned int i = 0; i < count; i++) {
		size_t skip = num_min(sent, iov[i].iov_len);

		memcpy(stream->output + stream->output_bytes, (uint8_t *)iov[i].iov_base + skip,
		       iov[i].iov_len - skip);
		stream->output_bytes += (uint32_t)(iov[i].iov_len - skip);
		sent -= skip;
	}
}

/* The packet's buffers without its header, behind the length. Their count. */
static unsigned int with_length(struct iovec *out, uint8_t *length, const struct iovec *iov,
				unsigned int count, uint32_t *frame_bytes)
{
	size_t skip = NET_HEADER_BYTES;
	unsigned int filled = 1;
	uint32_t big_endian;

	*frame_bytes = 0;
	for (unsigned int i = 0; i < count; i++) {
		size_t part = num_min(skip, iov[i].iov_len);

		skip -= part;
		if (part == iov[i].iov_len)
			continue;
		out[filled++] =
			(struct iovec){ (uint8_t *)iov[i].iov_base + part, iov[i].iov_len - part };
		*frame_bytes += (uint32_t)(iov[i].iov_len - part);
	}
	big_endian = htonl(*frame_bytes);
	memcpy(length, &big_endian, LENGTH_BYTES);
	out[0] = (struct iovec){ length, LENGTH_BYTES };
	return filled;
}

static int stream_send(struct net_backend *backend, unsigned int pair, const struct iovec *iov,
		       unsigned int count)
{
	struct net_stream *stream = to_stream(backend);
	uint8_t length[LENGTH_BYTES];
	struct iovec out[VIRTQ_SIZE_MAX + 1];
	struct msghdr message = { .msg_iov = out };
	uint32_t frame_bytes;
	int ret = stream_flush(backend, pair);
	ssize_t sent;

	if (ret)
		return ret;
	if (count > VIRTQ_SIZE_MAX)
		return -EINVAL;
	message.msg_iovlen = with_length(out, length, iov, count, &frame_bytes);
	if (frame_bytes > NET_FRAME_BYTES_MAX)
		return -EMSGSIZE;
	sent = sendmsg(stream->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (sent < 0)
		return send_error(errno);
	if ((size_t)sent < LENGTH_BYTES + frame_bytes)
		keep_rest(stream, out, (unsigned int)message.msg_iovlen, (size_t)sent);
	return 0;
}

/* ---- The record ---- */

static int stream_fd(const struct net_backend *backend, unsigned int pair)
{
	(void)pair;
	return ((const struct net_stream *)backend)->fd;
}

static void stream_destroy(struct net_backend *backend)
{
	struct net_stream *stream = to_stream(backend);

	fd_close(&stream->fd);
	free(stream);
}

int net_stream_create(struct net_backend **backend, const char *name, int fd, struct error *error)
{
	struct net_stream *stream = calloc(1, sizeof(*stream));

	if (!stream) {
		fd_close(&fd);
		return error_set(error, ENOMEM, "no memory for a network connection");
	}
	stream->ops = (struct net_backend_ops){
		.name = name,
		.receive = stream_receive,
		.send = stream_send,
		.flush = stream_flush,
		.fd = stream_fd,
		.destroy = stream_destroy,
	};
	stream->backend.ops = &stream->ops;
	stream->backend.frame_bytes = NET_FRAME_BYTES_MAX;
	stream->backend.pairs = 1;
	stream->fd = fd;
	*backend = &stream->backend;
	return 0;
}
