/* SPDX-License-Identifier: Apache-2.0 */
/* devices: the values of --disk, --net and --vsock as the library's structures. */
#include "tools/stet/devices.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DISK_KEYS "path ro direct id bw bw-burst iops iops-burst"
#define NET_KEYS                                                                         \
	"user tap forward queues mac mtu rx-bw rx-bw-burst rx-iops rx-iops-burst tx-bw " \
	"tx-bw-burst tx-iops tx-iops-burst"
#define VSOCK_KEYS "uds cid"

/* One KEY or KEY=VALUE of a list. value is NULL without "=". */
struct pair {
	const char *option; /* "--disk" */
	char *key;
	char *value;
};

__attribute__((format(printf, 2, 3))) static int wrong(struct options_error *error,
						       const char *format, ...)
{
	va_list list;

	va_start(list, format);
	(void)vsnprintf(error->why, sizeof(error->why), format, list);
	va_end(list);
	return -1;
}

/* Cuts the next pair off *rest; false at the end. */
static bool next_pair(char **rest, struct pair *pair)
{
	char *comma;

	if (!*rest)
		return false;
	pair->key = *rest;
	comma = strchr(*rest, ',');
	if (comma)
		*comma = 0;
	*rest = comma ? comma + 1 : NULL;
	pair->value = strchr(pair->key, '=');
	if (pair->value)
		*pair->value++ = 0;
	return true;
}

static int need_value(const struct pair *pair, struct options_error *error)
{
	if (pair->value && *pair->value)
		return 0;
	return wrong(error, "%s: %s needs a value: %s=...", pair->option, pair->key, pair->key);
}

static int need_none(const struct pair *pair, struct options_error *error)
{
	if (!pair->value)
		return 0;
	return wrong(error, "%s: %s takes no value", pair->option, pair->key);
}

static int read_number_from(const struct pair *pair, uint64_t min, uint64_t max, uint64_t *number,
			    struct options_error *error)
{
	char *end;

	if (need_value(pair, error))
		return -1;
	errno = 0;
	*number = strtoull(pair->value, &end, 10);
	if (*end || errno || pair->value[0] < '0' || pair->value[0] > '9' || *number > max ||
	    *number < min)
		return wrong(error, "%s: %s=%s: not a number from %llu to %llu", pair->option,
			     pair->key, pair->value, (unsigned long long)min,
			     (unsigned long long)max);
	return 0;
}

static int read_number(const struct pair *pair, uint64_t max, uint64_t *number,
		       struct options_error *error)
{
	return read_number_from(pair, 1, max, number, error);
}

/* Bandwidths have suffixes; without one they count bytes, unlike memory. */
static int read_bandwidth(const struct pair *pair, uint64_t *bytes, struct options_error *error)
{
	size_t length;

	if (need_value(pair, error))
		return -1;
	length = strlen(pair->value);
	if (pair->value[length - 1] >= '0' && pair->value[length - 1] <= '9')
		return read_number(pair, UINT64_MAX, bytes, error);
	if (options_size(pair->value, bytes) || !*bytes)
		return wrong(error, "%s: %s=%s: not a size such as 100M", pair->option, pair->key,
			     pair->value);
	return 0;
}

/* A limit's key without its prefix ("rx-"). 1: it is none of them. */
static int read_rate(const struct pair *pair, const char *key, struct stet_rate *rate,
		     struct options_error *error)
{
	if (!strcmp(key, "bw"))
		return read_bandwidth(pair, &rate->bytes_per_s, error);
	if (!strcmp(key, "bw-burst"))
		return read_bandwidth(pair, &rate->bytes_burst, error);
	if (!strcmp(key, "iops"))
		return read_number(pair, UINT64_MAX, &rate->ops_per_s, error);
	if (!strcmp(key, "iops-burst"))
		return read_number(pair, UINT64_MAX, &rate->ops_burst, error);
	return 1;
}

static int unknown(const struct pair *pair, const char *known, struct options_error *error)
{
	return wrong(error, "%s: unknown key '%s'; known: %s", pair->option, pair->key, known);
}

/* ---- Disks ---- */

static int disk_pair(struct stet_disk *disk, const struct pair *pair, struct options_error *error)
{
	int ret;

	if (!strcmp(pair->key, "path") || !strcmp(pair->key, "id")) {
		if (need_value(pair, error))
			return -1;
		*(pair->key[0] == 'p' ? &disk->path : &disk->serial) = pair->value;
		return 0;
	}
	if (!strcmp(pair->key, "ro") || !strcmp(pair->key, "direct")) {
		*(pair->key[0] == 'r' ? &disk->read_only : &disk->direct) = 1;
		return need_none(pair, error);
	}
	ret = read_rate(pair, pair->key, &disk->rate, error);
	return ret == 1 ? unknown(pair, DISK_KEYS, error) : ret;
}

static int parse_disk(struct disk_option *option, const char *value, struct options_error *error)
{
	struct pair pair = { .option = "--disk" };
	char *rest;

	stet_disk_init(&option->disk);
	option->text = strdup(value);
	if (!option->text)
		return wrong(error, "no memory");
	rest = option->text;
	/* A path alone may stand first. */
	if (*rest && !strchr(rest, '=') && !strchr(rest, ',')) {
		option->disk.path = rest;
		return 0;
	}
	while (next_pair(&rest, &pair)) {
		if (pair.key == option->text && !pair.value) {
			option->disk.path = pair.key;
			continue;
		}
		if (disk_pair(&option->disk, &pair, error))
			return -1;
	}
	if (!option->disk.path || !*option->disk.path)
		return wrong(error, "--disk '%s' has no path=FILE", value);
	return 0;
}

/* ---- Network devices ---- */

static int read_mac(const struct pair *pair, uint8_t mac[6], struct options_error *error)
{
	unsigned int byte[6];
	int end = 0;

	if (need_value(pair, error))
		return -1;
	if (sscanf(pair->value, "%2x:%2x:%2x:%2x:%2x:%2x%n", &byte[0], &byte[1], &byte[2], &byte[3],
		   &byte[4], &byte[5], &end) != 6 ||
	    end != 17 || pair->value[end])
		return wrong(error, "--net: mac=%s: not an address such as 52:54:00:12:34:56",
			     pair->value);
	if (byte[0] & 1)
		return wrong(error, "--net: mac=%s: this is a multicast address", pair->value);
	for (size_t i = 0; i < 6; i++)
		mac[i] = (uint8_t)byte[i];
	return 0;
}

static bool read_port(const char *text, char **end, uint16_t *port)
{
	unsigned long number = strtoul(text, end, 10);

	*port = (uint16_t)number;
	return *text >= '0' && *text <= '9' && number >= 1 && number <= 65535;
}

/* [udp:|tcp:]HOST[:GUEST] */
static int add_forward(struct net_option *option, const struct pair *pair,
		       struct options_error *error)
{
	struct stet_forward *forward = &option->forwards[option->net.forward_count];
	const char *at = pair->value;
	char *end;
	bool good;

	if (need_value(pair, error))
		return -1;
	if (option->net.forward_count == DEVICES_FORWARDS_MAX)
		return wrong(error, "--net: more than %d forwards", DEVICES_FORWARDS_MAX);
	forward->udp = !strncmp(at, "udp:", 4);
	if (forward->udp || !strncmp(at, "tcp:", 4))
		at += 4;
	good = read_port(at, &end, &forward->host_port);
	forward->guest_port = forward->host_port;
	if (good && *end == ':')
		good = read_port(end + 1, &end, &forward->guest_port);
	if (!good || *end)
		return wrong(error, "--net: forward=%s: not [udp:]HOSTPORT[:GUESTPORT]",
			     pair->value);
	option->net.forwards = option->forwards;
	option->net.forward_count++;
	return 0;
}

static int net_number(const struct pair *pair, uint16_t max, uint16_t *field,
		      struct options_error *error)
{
	uint64_t number;

	if (read_number(pair, max, &number, error))
		return -1;
	*field = (uint16_t)number;
	return 0;
}

static int net_pair(struct net_option *option, const struct pair *pair, bool *kind_given,
		    struct options_error *error)
{
	struct stet_net *net = &option->net;
	int ret = 1;

	if (!strcmp(pair->key, "user") || !strcmp(pair->key, "tap")) {
		if (*kind_given)
			return wrong(error, "--net: either tap=NAME or user");
		*kind_given = true;
		net->kind = pair->key[0] == 'u' ? STET_NET_USER : STET_NET_TAP;
		net->tap = pair->value;
		return pair->key[0] == 'u' ? need_none(pair, error) : need_value(pair, error);
	}
	if (!strcmp(pair->key, "forward"))
		return add_forward(option, pair, error);
	if (!strcmp(pair->key, "mac"))
		return read_mac(pair, net->mac, error);
	if (!strcmp(pair->key, "mtu"))
		return net_number(pair, UINT16_MAX, &net->mtu, error);
	if (!strcmp(pair->key, "queues"))
		return net_number(pair, 32, &net->queue_pairs, error);
	if (!strncmp(pair->key, "rx-", 3))
		ret = read_rate(pair, pair->key + 3, &net->receive, error);
	else if (!strncmp(pair->key, "tx-", 3))
		ret = read_rate(pair, pair->key + 3, &net->send, error);
	return ret == 1 ? unknown(pair, NET_KEYS, error) : ret;
}

static int parse_net(struct net_option *option, const char *value, struct options_error *error)
{
	struct pair pair = { .option = "--net" };
	bool kind_given = false;
	char *rest;

	stet_net_init(&option->net);
	option->text = strdup(value);
	if (!option->text)
		return wrong(error, "no memory");
	rest = option->text;
	while (next_pair(&rest, &pair))
		if (net_pair(option, &pair, &kind_given, error))
			return -1;
	if (!kind_given)
		return wrong(error, "--net '%s' is neither tap=NAME nor user", value);
	if (option->net.forward_count && option->net.kind != STET_NET_USER)
		return wrong(error, "--net: forward= goes with user, not with a tap");
	if (option->net.queue_pairs > 1 && option->net.kind == STET_NET_USER)
		return wrong(error, "--net: queues= goes with a tap, not with user");
	return 0;
}

/* ---- Sockets ---- */

static int vsock_pair(struct vsock_option *option, const struct pair *pair,
		      struct options_error *error)
{
	uint64_t cid;

	if (!strcmp(pair->key, "uds")) {
		option->path = pair->value;
		return need_value(pair, error);
	}
	if (strcmp(pair->key, "cid") != 0)
		return unknown(pair, VSOCK_KEYS, error);
	if (read_number_from(pair, STET_VSOCK_CID_MIN, STET_VSOCK_CID_MAX, &cid, error))
		return -1;
	option->cid = (uint32_t)cid;
	return 0;
}

static int parse_vsock(struct vsock_option *option, const struct option_list *list,
		       struct options_error *error)
{
	struct pair pair = { .option = "--vsock" };
	char *rest;

	if (!list->count)
		return 0;
	if (list->count > 1)
		return wrong(error, "--vsock is given twice: a guest has one such device");
	option->cid = STET_VSOCK_CID_MIN;
	option->text = strdup(list->values[0]);
	if (!option->text)
		return wrong(error, "no memory");
	rest = option->text;
	while (next_pair(&rest, &pair))
		if (vsock_pair(option, &pair, error))
			return -1;
	if (!option->path)
		return wrong(error, "--vsock '%s' has no uds=PATH", list->values[0]);
	return 0;
}

/* Two devices of one name cannot be told apart by the guest. */
static int check_serials(const struct devices *devices, struct options_error *error)
{
	for (uint32_t i = 0; i < devices->disk_count; i++) {
		const char *serial = devices->disks[i].disk.serial;

		for (uint32_t j = 0; serial && j < i; j++)
			if (devices->disks[j].disk.serial &&
			    !strcmp(devices->disks[j].disk.serial, serial))
				return wrong(error, "--disk: two disks have id=%s", serial);
	}
	return 0;
}

int devices_parse(struct devices *devices, const struct run_options *wanted,
		  struct options_error *error)
{
	const struct option_list *disks = &wanted->disks, *nets = &wanted->nets;

	for (uint32_t i = 0; i < disks->count; i++) {
		devices->disk_list[i] = &devices->disks[i].disk;
		devices->disk_count++;
		if (parse_disk(&devices->disks[i], disks->values[i], error))
			return -1;
	}
	for (uint32_t i = 0; i < nets->count; i++) {
		devices->net_list[i] = &devices->nets[i].net;
		devices->net_count++;
		if (parse_net(&devices->nets[i], nets->values[i], error))
			return -1;
	}
	if (parse_vsock(&devices->vsock, &wanted->vsocks, error))
		return -1;
	return check_serials(devices, error);
}

void devices_free(struct devices *devices)
{
	for (uint32_t i = 0; i < devices->disk_count; i++)
		free(devices->disks[i].text);
	for (uint32_t i = 0; i < devices->net_count; i++)
		free(devices->nets[i].text);
	free(devices->vsock.text);
}
