/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is dangerous or missing on this host, from the API's replies and the
 * kernel's settings. Pure: the verb fetches, this judges.
 */
#ifndef CTL_DOCTOR_H
#define CTL_DOCTOR_H

#include <systemd/sd-json.h>

enum { DOCTOR_UNKNOWN = -1 };

struct doctor_facts {
	sd_json_variant *status;   /* GetStatus() */
	sd_json_variant *topology; /* GetTopology() */
	sd_json_variant *what_if;  /* array of WhatIf() replies, one per root port */
	int panic_on_warn;         /* kernel.panic_on_warn, or DOCTOR_UNKNOWN */
	int panic_on_oops;
	int vhost_zero_copy; /* vhost_net.experimental_zcopytx */
};

/*
 * Array of {topic, object, text, consequence, remedy}, the most dangerous
 * first; empty when all is well. Return: 0 or negative errno.
 */
int doctor_examine(const struct doctor_facts *facts, sd_json_variant **ret);

#endif
