/* SPDX-License-Identifier: Apache-2.0 */
/* net: a backend for network devices whose other ends are sockets in the test's hands. */
#include "tests/fake/net.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"

static struct fake_net *to_fake(struct net_backend *backend)
{
	return (struct fake_net *)backend;
}

/* As a tap does: the header's last two bytes are left alone, what does not fit is cut off. */
static ssize_t fake_receive(struct net_backend *backend, unsigned int pair, const struct iovec *iov,
			    unsigned int count)
{
	ssize_t got = readv(to_fake(backend)->ours[pair], iov, (int)count);

	return got < 0 ? -errno : got;
}

static int fake_send(struct net_backend *backend, unsigned int pair, const struct iovec *iov,
		     unsigned int count)
{
	struct fake_net *net = to_fake(backend);
	struct msghdr message = { .msg_iov = (struct iovec *)iov, .msg_iovlen = count };

	if (atomic_load(&net->send_error))
		return -atomic_load(&net->send_error);
	return sendmsg(net->ours[pair], &message, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static int fake_fd(const struct net_backend *backend, unsigned int pair)
{
	return ((const struct fake_net *)backend)->ours[pair];
}

static int fake_set_features(struct net_backend *backend, uint64_t accepted)
{
	atomic_store(&to_fake(backend)->accepted, accepted);
	return 0;
}

static int fake_set_pairs(struct net_backend *backend, unsigned int pairs)
{
	atomic_store(&to_fake(backend)->active_pairs, pairs);
	return 0;
}

static void fake_destroy(struct net_backend *backend)
{
	struct fake_net *net = to_fake(backend);

	for (unsigned int i = 0; i < backend->pairs; i++)
		fd_close(&net->ours[i]);
	atomic_fetch_add(&net->destroyed, 1);
}

static const struct net_backend_ops fake_ops = {
	.name = "fake",
	.receive = fake_receive,
	.send = fake_send,
	.fd = fake_fd,
	.set_features = fake_set_features,
	.set_pairs = fake_set_pairs,
	.destroy = fake_destroy,
};

void fake_net_init(struct fake_net *net, uint16_t pairs, uint64_t features)
{
	memset(net, 0, sizeof(*net));
	net->backend.ops = &fake_ops;
	net->backend.features = features;
	net->backend.frame_bytes = 1518;
	net->backend.pairs = pairs;
	for (unsigned int i = 0; i < pairs && i < FAKE_NET_PAIRS; i++) {
		int ends[2];

		if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends))
			abort();
		net->ours[i] = ends[0];
		net->peers[i] = ends[1];
	}
}

void fake_net_close_peers(struct fake_net *net)
{
	for (unsigned int i = 0; i < net->backend.pairs && i < FAKE_NET_PAIRS; i++)
		fd_close(&net->peers[i]);
}
