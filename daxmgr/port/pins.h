/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a process may pin: pages of an instance that the kernel, a device or an
 * I/O in flight holds on to whatever becomes of the mapping. Only what can be
 * looked at and is shown to be free of pins counts as free.
 */
#ifndef DAXMGR_PINS_H
#define DAXMGR_PINS_H

#include "port.h"

struct pins {
	uint32_t bits; /* enum iso_pin */
	char evidence[ISO_EVIDENCE_BYTES]; /* of the first one, printable; empty without bits */
};

/*
 * Looks at the descriptors of all its threads and adds what they pin. Return:
 * 0, also for one that ends meanwhile, which pins nothing that could still be
 * seen; -ESRCH when there is no such process.
 */
int pins_of_process(struct port *port, int32_t pid, struct pins *pins);

/*
 * Are there pins that the kernel has not yet released, of whomever? Adds
 * ISO_PIN_OUTSTANDING when there are at each of a few looks, ISO_PIN_UNKNOWN
 * when the kernel does not tell.
 */
void pins_outstanding(struct port *port, struct pins *pins);

#endif
