/* SPDX-License-Identifier: Apache-2.0 */
/* causes: who took guest memory out of stage 2, by what event, and what to do about it. */
#ifndef VMM_CAUSES_H
#define VMM_CAUSES_H

#include <stdint.h>

#include "tools/host-kernel/include/stet_kvm.h"

/*
 * Names of the two halves of a bucket of KVM's mn_hit_cause_hist (with stet's patches). Stable:
 * they stand in JSON. Any number is fine; what is not known is "other".
 */
const char *cause_who(unsigned int who);
const char *cause_event(unsigned int event);

/* What keeps it from happening again; one line. */
const char *cause_remedy(unsigned int who, unsigned int event);

static inline unsigned int cause_who_of(uint32_t bucket)
{
	return bucket / STET_KVM_MN_EVENTS;
}

static inline unsigned int cause_event_of(uint32_t bucket)
{
	return bucket % STET_KVM_MN_EVENTS;
}

#endif
