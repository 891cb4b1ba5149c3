/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Any bytes as a snapshot from a worker: what is accepted is safe to give to the engine. */
#include "snapshot_file.h"

#include <fcntl.h>
#include <isolate/engine.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void take_in(const struct iso_snapshot *snapshot)
{
	const struct iso_limits limits = {
		.host_bridges = 4,
		.ports = 8,
		.memdevs = 8,
		.windows = 4,
		.regions = 4,
		.instances = 16,
		.leases = 4,
		.operations = 64,
		.incidents = 4,
		.bad_ranges = 4,
	};
	struct iso_event event = {.kind = ISO_EVENT_SNAPSHOT, .now_ns = 1, .snapshot = *snapshot};
	size_t bytes = iso_engine_bytes(&limits);
	void *memory = aligned_alloc(64, (bytes + 63) / 64 * 64);
	struct iso_policy policy;

	if (!memory)
		return;
	iso_policy_default(&policy);
	iso_step(iso_engine_init(memory, bytes, &limits, &policy), &event);
	free(memory);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL;
	struct snapshot_file file = SNAPSHOT_FILE_NULL;
	int fd = memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return 0;
	if (write(fd, data, size) == (ssize_t)size && fcntl(fd, F_ADD_SEALS, seals) == 0 &&
	    snapshot_file_open(fd, &file) == 0) {
		take_in(&file.snapshot);
		snapshot_file_close(&file);
	}
	close(fd);
	return 0;
}
