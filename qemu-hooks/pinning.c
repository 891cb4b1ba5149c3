/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pinning.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <isolate/types.h>

#include "cleanup.h"
#include "qemu_options.h"

/* One kind of pin as people are told about it. */
struct cause {
	uint32_t pin;
	const char *why;
	const char *remedy;
};

static const struct cause direct_io = {
	ISO_PIN_DIRECT_IO, "O_DIRECT disk I/O pins the pages it reads into or writes from",
	"cache=writeback instead, and no aio=native"};
static const struct cause scsi_commands = {
	ISO_PIN_DIRECT_IO, "SCSI commands that are passed through pin the pages they transfer",
	"scsi-hd with cache=writeback instead"};
static const struct cause libblkio = {ISO_PIN_IO_URING,
				      "this block driver registers the VM's memory with io_uring",
				      "driver=file or host_device, and aio=io_uring if wanted"};
static const struct cause vfio = {
	ISO_PIN_VFIO, "a device passed through has all of the memory pinned", "no passthrough"};
static const struct cause vhost = {ISO_PIN_VHOST,
				   "another process or the kernel works on the memory directly",
				   "a device that QEMU emulates itself"};
static const struct cause rdma = {ISO_PIN_RDMA, "RDMA registers the memory, which pins it",
				  "another transport"};
static const struct cause encrypted = {ISO_PIN_UNKNOWN,
				       "the memory of an encrypted guest is pinned as a whole",
				       "no memory encryption"};

/* A name, or with '*' at its end what names begin with. */
struct rule {
	const char *name;
	const struct cause *cause;
};

static const struct rule device_rules[] = {
	{"vfio-*", &vfio},
	{"vhost-user-*", &vhost},
	{"vhost-vdpa-*", &vhost},
	{"vhost-scsi*", &vhost},
	{"scsi-block", &scsi_commands},
	{"scsi-generic", &scsi_commands},
	{"pvrdma", &rdma},
	{NULL, NULL},
};
static const struct rule network_rules[] = {{"vhost-user", &vhost},
					    {"vhost-vdpa", &vhost},
					    {NULL, NULL}};
static const struct rule object_rules[] = {
	{"iommufd", &vfio},        {"vhost-user-backend", &vhost}, {"cryptodev-vhost*", &vhost},
	{"sev-guest", &encrypted}, {"sev-snp-guest", &encrypted},  {NULL, NULL},
};
static const struct rule block_driver_rules[] = {
	{"nvme", &vfio},         {"virtio-blk-vfio-pci", &vfio}, {"virtio-blk-vhost-*", &vhost},
	{"io_uring", &libblkio}, {"nvme-io_uring", &libblkio},   {NULL, NULL},
};
static const struct rule block_file_rules[] = {{"nvme://*", &vfio},
					       {"iser:*", &rdma},
					       {"gluster+rdma:*", &rdma},
					       {NULL, NULL}};
static const struct rule cache_rules[] = {{"none", &direct_io},
					  {"directsync", &direct_io},
					  {NULL, NULL}};
static const struct rule aio_rules[] = {{"native", &direct_io}, {NULL, NULL}};
static const struct rule incoming_rules[] = {{"rdma:*", &rdma}, {"rdma", &rdma}, {NULL, NULL}};

/* What an option is about; the group of that name in a -readconfig file is, too. */
enum subject { BLOCK, DEVICE, NETWORK, OBJECT, INCOMING, SET, READCONFIG, OTHER };

struct option_name {
	const char *name;
	enum subject subject;
	const char *implied; /* key of a first value without one */
};

static const struct option_name option_names[] = {
	{"drive", BLOCK, NULL},
	{"blockdev", BLOCK, "driver"},
	{"device", DEVICE, "driver"},
	{"netdev", NETWORK, "type"},
	{"nic", NETWORK, "type"},
	{"net", NETWORK, "type"},
	{"object", OBJECT, "qom-type"},
	{"incoming", INCOMING, "uri"},
	{"set", SET, NULL},
	{"readconfig", READCONFIG, NULL},
};

/* One option while it is read. */
struct reading {
	struct pinning *result;
	const char *option;   /* "-drive" */
	const char *argument; /* all of it */
	enum subject subject;
	bool cached_direct;   /* by cache=, which cache.direct= overrides */
	bool direct_is_off;
	char mode[32];        /* "cache=none" */
};

static const struct option_name *option_named(const char *name, size_t length)
{
	for (size_t i = 0; i < sizeof(option_names) / sizeof(option_names[0]); i++)
		if (strlen(option_names[i].name) == length &&
		    !memcmp(option_names[i].name, name, length))
			return &option_names[i];
	return NULL;
}

static const struct cause *cause_of(const struct rule *rules, const char *value)
{
	for (; rules->name; rules++) {
		size_t length = strlen(rules->name) - 1;

		if (rules->name[length] == '*' ? !strncmp(rules->name, value, length)
					       : !strcmp(rules->name, value))
			return rules->cause;
	}
	return NULL;
}

/* JSON carries it to the daemon, which shows it to people. */
static void make_printable(char *text)
{
	for (; *text; text++)
		if (*text < ' ' || *text > '~')
			*text = '?';
}

/* The option as it was given, or its beginning and what is wrong with it. */
static void format_evidence(const struct reading *reading, const char *what,
			    char text[PINNING_EVIDENCE_BYTES])
{
	int length =
		snprintf(text, PINNING_EVIDENCE_BYTES, "%s %s", reading->option, reading->argument);

	if (length >= PINNING_EVIDENCE_BYTES)
		snprintf(text, PINNING_EVIDENCE_BYTES, "%s %.32s...%.40s", reading->option,
			 reading->argument, what);
	make_printable(text);
}

static void find(struct reading *reading, const struct cause *cause, const char *key,
		 const char *value)
{
	struct pinning *result = reading->result;
	struct pinning_finding finding;
	char what[64];

	if (!cause)
		return;
	result->pins |= cause->pin;
	finding = (struct pinning_finding){
		.pin = cause->pin, .why = cause->why, .remedy = cause->remedy};
	snprintf(what, sizeof(what), "%.20s=%.40s", key, value);
	format_evidence(reading, what, finding.evidence);
	/* One option says it once, however many of its keys do. */
	for (size_t i = 0; i < result->n; i++)
		if (result->findings[i].pin == finding.pin &&
		    !strcmp(result->findings[i].evidence, finding.evidence))
			return;
	if (result->n < PINNING_FINDINGS_MAX)
		result->findings[result->n++] = finding;
	else
		result->n_more++;
}

/* Is `key` that one, or one of that name in something nested? */
static bool is_key(const char *key, const char *name)
{
	size_t length = strlen(key), tail = strlen(name);

	return length >= tail && !strcmp(key + length - tail, name) &&
	       (length == tail || key[length - tail - 1] == '.');
}

static bool is_on(const char *value)
{
	return !strcmp(value, "on") || !strcmp(value, "yes") || !strcmp(value, "true") ||
	       !strcmp(value, "y");
}

static void block_pair(struct reading *reading, const char *key, const char *value)
{
	if (!strcmp(key, "cache") && cause_of(cache_rules, value)) {
		reading->cached_direct = true;
		snprintf(reading->mode, sizeof(reading->mode), "%s", value);
	} else if (is_key(key, "cache.direct") && is_on(value)) {
		find(reading, &direct_io, key, value);
	} else if (!strcmp(key, "cache.direct")) {
		reading->direct_is_off = true;
	} else if (is_key(key, "aio")) {
		find(reading, cause_of(aio_rules, value), key, value);
	} else if (is_key(key, "driver") || is_key(key, "format")) {
		find(reading, cause_of(block_driver_rules, value), key, value);
	} else if (is_key(key, "file") || is_key(key, "filename")) {
		find(reading, cause_of(block_file_rules, value), key, value);
	}
}

static void unseen(struct pinning *result, const char *format, const char *what)
{
	if (result->unseen[0])
		return;
	snprintf(result->unseen, sizeof(result->unseen), format, what);
	make_printable(result->unseen);
}

static void on_pair(void *userdata, const char *key, const char *value);

/* A file name may be a whole block device description of its own. */
static void follow_json_name(struct reading *reading, const char *key, const char *value)
{
	if ((is_key(key, "file") || is_key(key, "filename")) && !strncmp(value, "json:", 5) &&
	    !qemu_options_each_json(value + 5, key, on_pair, reading))
		unseen(reading->result, "the JSON in %.80s cannot be read", reading->argument);
}

static void on_pair(void *userdata, const char *key, const char *value)
{
	struct reading *reading = userdata;

	switch (reading->subject) {
	case BLOCK:
		block_pair(reading, key, value);
		follow_json_name(reading, key, value);
		break;
	case DEVICE:
		if (!strcmp(key, "driver"))
			find(reading, cause_of(device_rules, value), key, value);
		break;
	case NETWORK:
		if (!strcmp(key, "type"))
			find(reading, cause_of(network_rules, value), key, value);
		break;
	case OBJECT:
		if (!strcmp(key, "qom-type"))
			find(reading, cause_of(object_rules, value), key, value);
		break;
	case INCOMING:
		find(reading, cause_of(incoming_rules, value), key, value);
		break;
	case SET:
	case READCONFIG:
	case OTHER:
		break;
	}
}

/* What only the whole of an option tells. */
static void end_option(struct reading *reading)
{
	if (reading->cached_direct && !reading->direct_is_off)
		find(reading, &direct_io, "cache", reading->mode);
}

static void read_option(struct reading *reading, const char *text, const char *implied)
{
	if (!qemu_options_each(text, implied, on_pair, reading))
		unseen(reading->result, "%.80s cannot be read", text);
}

/* GROUP.ID.KEY=VALUE */
static void read_set(struct reading *reading)
{
	const struct option_name *group;
	const char *id = strchr(reading->argument, '.'), *key = id ? strchr(id + 1, '.') : NULL;

	group = id ? option_named(reading->argument, (size_t)(id - reading->argument)) : NULL;
	if (!group || !key)
		return;
	reading->subject = group->subject;
	read_option(reading, key + 1, NULL);
}

static void on_config_pair(void *userdata, const char *group, const char *key, const char *value)
{
	struct pinning *result = userdata;
	const struct option_name *name = option_named(group, strlen(group));
	char option[32], argument[QEMU_KEY_BYTES];
	struct reading reading = {.result = result, .option = option, .argument = argument};

	if (!name)
		return;
	reading.subject = name->subject;
	snprintf(option, sizeof(option), "[%s]", name->name);
	snprintf(argument, sizeof(argument), "%.60s=%.150s", key, value);
	on_pair(&reading, key, value);
	end_option(&reading);
}

static void read_config(struct pinning *result, const char *path, pinning_read_t read,
			void *userdata)
{
	_cleanup_free_ char *text = read(userdata, path);

	if (text)
		qemu_config_each(text, on_config_pair, result);
	else
		unseen(result, "-readconfig %.80s cannot be read", path);
}

static void examine_option(struct pinning *result, const char *word, const char *argument,
			   pinning_read_t read, void *userdata)
{
	const char *bare = word + 1 + (word[1] == '-');
	const struct option_name *name = option_named(bare, strlen(bare));
	struct reading reading = {.result = result, .option = word, .argument = argument};

	if (!name)
		return;
	reading.subject = name->subject;
	if (name->subject == READCONFIG)
		read_config(result, argument, read, userdata);
	else if (name->subject == SET)
		read_set(&reading);
	else
		read_option(&reading, argument, name->implied);
	end_option(&reading);
}

/* The program itself, or what something like numactl starts. */
static bool names_qemu(const char *word)
{
	const char *slash = strrchr(word, '/'), *name = slash ? slash + 1 : word;

	return !strncmp(name, "qemu-system-", 12) || !strcmp(name, "qemu") ||
	       !strcmp(name, "qemu-kvm") || !strcmp(name, "kvm");
}

void pinning_examine(char *const command[], pinning_read_t read, void *userdata,
		     struct pinning *ret)
{
	bool is_qemu = false;

	*ret = (struct pinning){0};
	for (size_t i = 0; command[i]; i++)
		is_qemu |= names_qemu(command[i]);
	if (!is_qemu && command[0])
		unseen(ret, "%.80s is not QEMU by its name", command[0]);
	for (size_t i = 0; command[i]; i++) {
		if (command[i][0] == '@')
			unseen(ret, "what %.80s holds", command[i]);
		else if (command[i][0] == '-' && command[i + 1])
			examine_option(ret, command[i], command[i + 1], read, userdata);
	}
}
