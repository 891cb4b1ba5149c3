/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "isolation.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../cleanup.h"
#include "../isolation/access.h"
#include "../isolation/component_block.h"
#include "../isolation/config_space.h"
#include "../isolation/registers.h"
#include "isolation_link.h"
#include "sysfs.h"

/* RP Busy is a matter of outstanding accesses: when it has not ended by then it does not end. */
enum { BUSY_SECONDS = 5 };

#define ATTRIBUTES "/sys/bus/pci/devices/%s/cxl_isolation/"

struct block {
	struct isolation_access access;
	uint32_t at; /* of the capability in it */
	uint32_t source;
};

static void block_close(struct block *block)
{
	isolation_access_close(&block->access);
}

#define _cleanup_block_ _cleanup_(block_close)

static bool is_locked_down(const char *root)
{
	char text[128];

	return !sysfs_read(root, text, sizeof(text), "/sys/kernel/security/lockdown") &&
	       !strstr(text, "[none]");
}

/*
 * The words of a kernel that has the feature itself. Which of its attributes
 * there are says what can be set; whether the port takes its link down is the
 * kernel's affair, and so is not said.
 */
static bool read_attributes(struct port *port, const char *name, struct job_isolation_found *ret)
{
	uint64_t isolation, timeout = 0;
	char range[32] = "";
	uint32_t code = 0;
	bool has_timeout, has_range;

	if (sysfs_read_u64(port->root, &isolation, ATTRIBUTES "isolation_ctrl", name) < 0)
		return false;
	has_timeout = sysfs_read_u64(port->root, &timeout, ATTRIBUTES "timeout_ctrl", name) == 0;
	has_range =
		sysfs_read(port->root, range, sizeof(range), ATTRIBUTES "timeout_range", name) == 0;
	if (has_range)
		isolation_range_attribute(range, &code);
	*ret = (struct job_isolation_found){
		.source = ISO_ISOLATION_SYSFS,
		.capability = (uint32_t)ISOLATION_CONTROL_ISOLATION |
			      (has_timeout ? (uint32_t)ISOLATION_CONTROL_TIMEOUT : 0) |
			      (has_range ? (uint32_t)ISOLATION_CONTROL_RANGE : 0),
		.control = code | (timeout ? (uint32_t)ISOLATION_CONTROL_TIMEOUT : 0) |
			   (isolation ? (uint32_t)ISOLATION_CONTROL_ISOLATION : 0),
	};
	return true;
}

static int read_component_place(struct port *port, const char *name, struct component_place *ret)
{
	uint8_t config[4096];
	_cleanup_close_ int fd = -1;
	char path[PATH_MAX];
	ssize_t bytes;
	int r;

	snprintf(path, sizeof(path), "%s/sys/bus/pci/devices/%s/config", port->root, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return port_fail(port, -errno, "%s: %s", path, strerror(errno));
	bytes = pread(fd, config, sizeof(config), 0);
	if (bytes < 0)
		return port_fail(port, -errno, "%s: %s", path, strerror(errno));
	r = config_space_component(config, (size_t)bytes, ret);
	if (r < 0 && r != -ENOENT)
		port_fail(port, r, "%s: its capabilities make no sense: %s", name, strerror(-r));
	return r;
}

/* Where the port's block is: in its own BAR, or where configuration says. */
static int locate(struct port *port, const struct job_isolation *wanted,
		  char name[PORT_PCI_NAME_BYTES], struct component_place *ret, uint32_t *ret_source)
{
	port_pci_name(wanted->has_stand_in ? wanted->function : wanted->port, name);
	*ret_source = ISO_ISOLATION_REGISTERS;
	if (!wanted->has_stand_in)
		return read_component_place(port, name, ret);
	*ret_source = ISO_ISOLATION_STAND_IN;
	*ret = (struct component_place){.bar = wanted->bar, .offset = wanted->offset};
	sysfs_write(port->root, "1", "/sys/bus/pci/devices/%s/enable", name);
	return 0;
}

static int read_block(void *userdata, uint32_t offset, uint32_t *ret)
{
	return isolation_read32(userdata, offset, ret);
}

/* Return: 0; -ENOENT when it is not offered; -EPERM under lockdown; or another negative errno, told. */
static int block_open(struct port *port, const struct job_isolation *wanted, struct block *ret)
{
	char name[PORT_PCI_NAME_BYTES], path[PATH_MAX];
	struct component_place place;
	int r, fd;

	r = locate(port, wanted, name, &place, &ret->source);
	if (r < 0)
		return r;
	snprintf(path, sizeof(path), "%s/sys/bus/pci/devices/%s/resource%u", port->root, name,
		 place.bar);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return errno == EPERM && is_locked_down(port->root)
			       ? -EPERM
			       : port_fail(port, -errno, "%s: %s", path, strerror(errno));
	r = isolation_access_open(fd, place.offset, COMPONENT_BLOCK_BYTES, true, &ret->access);
	if (r == -EPERM && is_locked_down(port->root))
		return r;
	if (r < 0)
		return port_fail(port, r, "%s: cannot be mapped: %s", path, strerror(-r));
	r = component_find_isolation(read_block, &ret->access, &ret->at);
	return r < 0 && r != -ENOENT ? port_fail(port, r, "%s: no component registers there: %s",
						 path, strerror(-r))
				     : r;
}

static int block_words(struct port *port, struct block *block, struct job_isolation_found *ret)
{
	int r;

	*ret = (struct job_isolation_found){
		.source = block->source,
		.offset = block->access.offset + block->at,
	};
	r = isolation_read32(&block->access, block->at + ISOLATION_CAPABILITY, &ret->capability);
	if (r == 0)
		r = isolation_read32(&block->access, block->at + ISOLATION_CONTROL, &ret->control);
	if (r == 0)
		r = isolation_read32(&block->access, block->at + ISOLATION_STATUS, &ret->status);
	if (r == 0 && ret->status == UINT32_MAX)
		r = -ENODEV;
	return r < 0 ? port_fail(port, r, "its registers cannot be read: %s", strerror(-r)) : 0;
}

/* As block_open() and block_words(), where it is no failure that there are none. Return: whether there are. */
static bool block_try(struct port *port, const struct job_isolation *wanted, struct block *ret,
		      struct job_isolation_found *words)
{
	struct iso_completion before = *port->completion;
	bool told = port->told;

	if (block_open(port, wanted, ret) == 0 && block_words(port, ret, words) == 0)
		return true;
	*port->completion = before;
	port->told = told;
	return false;
}

/* Where the kernel has the feature its attributes say what is set, and the registers, if they can be mapped, what came of it. */
static void find_status(struct port *port, const struct job_isolation *wanted,
			struct job_isolation_found *ret, int *ret_fd)
{
	_cleanup_block_ struct block block = {.access = ISOLATION_ACCESS_NULL};
	struct job_isolation_found words;

	if (!block_try(port, wanted, &block, &words))
		return;
	ret->status = words.status;
	ret->offset = words.offset;
	*ret_fd = block.access.fd;
	block.access.fd = -1;
}

int isolation_find(struct port *port, const struct job_isolation *wanted,
		   struct job_isolation_found *ret, int *ret_fd)
{
	_cleanup_block_ struct block block = {.access = ISOLATION_ACCESS_NULL};
	char name[PORT_PCI_NAME_BYTES];
	int r;

	port_pci_name(wanted->port, name);
	if (!wanted->has_stand_in && read_attributes(port, name, ret)) {
		find_status(port, wanted, ret, ret_fd);
		return 0;
	}
	r = block_open(port, wanted, &block);
	if (r == 0)
		r = block_words(port, &block, ret);
	if (r == 0) {
		*ret_fd = block.access.fd; /* goes out with the answer */
		block.access.fd = -1;
		return 0;
	}
	*ret = (struct job_isolation_found){
		.source = r == -ENOENT                                ? ISO_ISOLATION_NONE
			  : r == -EPERM && is_locked_down(port->root) ? ISO_ISOLATION_LOCKED
								      : ISO_ISOLATION_FAILED,
	};
	return 0;
}

static void answer(struct port *port, const struct job_isolation_found *found)
{
	port->completion->has_isolation = true;
	port->completion->control = found->control;
	port->completion->status = found->status;
}

static int reopen(struct port *port, const struct job_isolation *wanted, struct block *ret,
		  struct job_isolation_found *words)
{
	int r = block_open(port, wanted, ret);

	if (r == -ENOENT)
		return port_fail(port, r, "the port does not offer isolation any more");
	if (r == -EPERM)
		return port_fail(port, r, "the kernel is locked down: registers cannot be mapped");
	return r < 0 ? r : block_words(port, ret, words);
}

/* The range first, and only where there is a choice. */
static int write_timeout(struct port *port, const char *name, const struct job_isolation *wanted,
			 uint32_t capability)
{
	const struct isolation_range *range = isolation_range_of(wanted->range);
	int r = 0;

	if (wanted->arm && range && capability & ISOLATION_CONTROL_RANGE)
		r = sysfs_write(port->root, wanted->range ? range->name : "0x0",
				ATTRIBUTES "timeout_range", name);
	if (r == 0 && capability & ISOLATION_CONTROL_TIMEOUT)
		r = sysfs_write(port->root, wanted->arm ? "1" : "0", ATTRIBUTES "timeout_ctrl",
				name);
	return r;
}

/* As with registers: isolation is the last to be enabled, and the first not to be any more. */
static int arm_attributes(struct port *port, const char *name, const struct job_isolation *wanted,
			  struct job_isolation_found *words)
{
	int r = 0;

	if (!wanted->arm)
		r = sysfs_write(port->root, "0", ATTRIBUTES "isolation_ctrl", name);
	if (r == 0)
		r = write_timeout(port, name, wanted, words->capability);
	if (r == 0 && wanted->arm)
		r = sysfs_write(port->root, "1", ATTRIBUTES "isolation_ctrl", name);
	if (r < 0)
		return port_fail(port, r, "%s: cxl_isolation: %s", name, strerror(-r));
	read_attributes(port, name, words);
	answer(port, words);
	return 0;
}

int isolation_arm(struct port *port, const struct job_isolation *wanted)
{
	_cleanup_block_ struct block block = {.access = ISOLATION_ACCESS_NULL};
	struct job_isolation_found words;
	char name[PORT_PCI_NAME_BYTES];
	uint32_t control;
	int r;

	port_pci_name(wanted->port, name);
	if (!wanted->has_stand_in && read_attributes(port, name, &words))
		return arm_attributes(port, name, wanted, &words);
	r = reopen(port, wanted, &block, &words);
	if (r < 0)
		return r;
	answer(port, &words);
	if (words.status & ISOLATION_STATUS_ISOLATED)
		return port_fail(port, -EBUSY, "it is isolated now");
	/* First what it is to do, then that it does it. */
	control = wanted->arm
			  ? isolation_control_armed(words.capability, words.control, wanted->range)
			  : isolation_control_disarmed(words.control);
	r = isolation_write32(&block.access, block.at + ISOLATION_CONTROL,
			      control & ~(uint32_t)ISOLATION_CONTROL_ISOLATION);
	if (r == 0)
		r = isolation_write32(&block.access, block.at + ISOLATION_CONTROL, control);
	if (r < 0)
		return port_fail(port, r, "control register: %s", strerror(-r));
	r = block_words(port, &block, &words);
	answer(port, &words);
	return r;
}

static bool has_time(const struct port *port, uint64_t until_ns)
{
	return port_now_ns() < until_ns && port_pause(port, 1);
}

static int wait_idle(struct port *port, struct block *block, struct job_isolation_found *words)
{
	uint64_t until_ns = port_now_ns() + BUSY_SECONDS * UINT64_C(1000000000);
	int r;

	do {
		r = block_words(port, block, words);
		answer(port, words);
		if (r < 0 || !(words->status & ISOLATION_STATUS_RP_BUSY))
			return r;
	} while (has_time(port, until_ns));
	return port_fail(port, -EBUSY, "RP Busy has not ended within %d s", BUSY_SECONDS);
}

/* A device model takes a moment to see what was written. */
static int wait_cleared(struct port *port, struct block *block, struct job_isolation_found *words)
{
	uint64_t until_ns = port_now_ns() + UINT64_C(1000000000);
	int r;

	do {
		r = block_words(port, block, words);
		answer(port, words);
		if (r < 0 || !(words->status & ISOLATION_STATUS_ISOLATED))
			return r;
	} while (has_time(port, until_ns));
	return port_fail(port, -EIO, "the status is still set after it was cleared");
}

int isolation_clear(struct port *port, const struct job_isolation *wanted)
{
	_cleanup_block_ struct block block = {.access = ISOLATION_ACCESS_NULL};
	struct job_isolation_found words;
	char name[PORT_PCI_NAME_BYTES];
	int r;

	if (wanted->link_only)
		return isolation_link_give_back(port, wanted->port);
	port_pci_name(wanted->port, name);
	if (!wanted->has_stand_in && read_attributes(port, name, &words) &&
	    !block_try(port, wanted, &block, &(struct job_isolation_found){0})) {
		answer(port, &words); /* its status is the kernel's own affair */
	} else {
		block_close(&block);
		r = reopen(port, wanted, &block, &words);
		if (r == 0)
			r = wait_idle(port, &block, &words);
		if (r < 0)
			return r;
		if (words.status & ISOLATION_STATUS_CLEARABLE)
			r = isolation_write32(&block.access, block.at + ISOLATION_STATUS,
					      words.status & ISOLATION_STATUS_CLEARABLE);
		if (r < 0)
			return port_fail(port, r, "status register: %s", strerror(-r));
		r = wait_cleared(port, &block, &words);
		if (r < 0)
			return r;
	}
	return isolation_link_give_back(port, wanted->port);
}

int isolation_force_link_down(struct port *port, const struct job_isolation *wanted)
{
	return isolation_link_take_down(port, wanted->port);
}
