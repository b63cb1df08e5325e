/* SPDX-License-Identifier: Apache-2.0 */
/* devices: the values of --disk, --net and --vsock, lists of KEY=VALUE, as the library's
 * structures. */
#ifndef TOOLS_STET_DEVICES_H
#define TOOLS_STET_DEVICES_H

#include "tools/stet/run_options.h"
#include "vmm/stet.h"

#define DEVICES_FORWARDS_MAX 64

/* A parsed device; text is what its strings point into. */
struct disk_option {
	struct stet_disk disk;
	char *text;
};

struct net_option {
	struct stet_net net;
	struct stet_forward forwards[DEVICES_FORWARDS_MAX];
	char *text;
};

/* path is NULL where there is none; else it points into text. */
struct vsock_option {
	const char *path;
	uint32_t cid;
	char *text;
};

/* All devices of a command line, and the lists of them that the library takes. Zeroed to begin
 * with. */
struct devices {
	uint32_t disk_count, net_count;
	struct disk_option disks[OPTION_LIST_MAX];
	struct net_option nets[OPTION_LIST_MAX];
	struct vsock_option vsock;
	const struct stet_disk *disk_list[OPTION_LIST_MAX];
	const struct stet_net *net_list[OPTION_LIST_MAX];
};

/*
 * A disk is "PATH" or
 * "path=PATH[,ro][,direct][,id=SERIAL][,bw=SIZE][,bw-burst=SIZE][,iops=N][,iops-burst=N]"; a
 * network device "user[,forward=[udp:]HOST[:GUEST]]..." or "tap=NAME[,queues=N]", both with
 * [,mac=MAC][,mtu=N] and the limits of a disk for each direction ("rx-bw", "tx-iops" ...); a vsock
 * "uds=PATH[,cid=N]". 0, or -1 with error filled; devices_free() either way.
 */
int devices_parse(struct devices *devices, const struct run_options *wanted,
		  struct options_error *error);
void devices_free(struct devices *devices);

#endif
