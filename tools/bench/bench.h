/* SPDX-License-Identifier: Apache-2.0 */
/* bench: what guest.c and peer.c agree on. */
#ifndef TOOLS_BENCH_BENCH_H
#define TOOLS_BENCH_BENCH_H

#define BENCH_PEER  "172.16.0.1"
#define BENCH_GUEST "172.16.0.2"
#define BENCH_SINK  7001 /* TCP: reads to the end, then closes */
#define BENCH_SOURCE                                                                             \
	7002             /* TCP: reads a uint64_t of the host's byte order, writes as many bytes \
			  */
#define BENCH_ECHO  7003 /* UDP: sends back what comes */
#define BENCH_CHUNK 65536
#define BENCH_BYTES 16384 /* of TCP for each round trip of UDP */

#endif
