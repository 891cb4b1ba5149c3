/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* topology: the lists of GetTopology() put together as a tree. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "pin_words.h"
#include "verb.h"

enum column {
	COLUMN_NAME,
	COLUMN_KIND,
	COLUMN_STATE,
	COLUMN_SIZE,
	COLUMN_DEVICE,
	COLUMN_DETAIL,
	COLUMNS
};

struct tree {
	struct libscols_table *table;
	sd_json_variant *ports, *memdevs, *regions, *instances, *leases;
};

static struct libscols_line *add(struct tree *tree, struct libscols_line *parent, const char *name,
				 const char *kind, const char *state)
{
	struct libscols_line *line = format_line(tree->table, parent);

	format_cell(line, COLUMN_NAME, name);
	format_cell(line, COLUMN_KIND, kind);
	format_cell(line, COLUMN_STATE, state);
	return line;
}

static sd_json_variant *find(sd_json_variant *list, const char *key, const char *value)
{
	sd_json_variant *item;

	FORMAT_EACH(item, list)
	if (!strcmp(format_text(item, key), value))
		return item;
	return NULL;
}

static void add_vm(struct tree *tree, struct libscols_line *parent, const char *name)
{
	sd_json_variant *lease = find(tree->leases, "name", name);
	struct libscols_line *line = add(tree, parent, name, "VM", format_text(lease, "state"));
	char pins[PIN_WORDS_BYTES], text[160];

	format_words(format_list(lease, "pins"), ",", pins, sizeof(pins));
	if (format_has(lease, "pid")) {
		snprintf(text, sizeof(text), "process %" PRIu64 "%s%s", format_number(lease, "pid"),
			 *pins ? ", pins: " : "", pins);
		format_cell(line, COLUMN_DETAIL, text);
	} else {
		format_cell(line, COLUMN_DETAIL, format_text(lease, "waitsFor"));
	}
}

static void add_instances(struct tree *tree, struct libscols_line *parent, const char *region)
{
	sd_json_variant *instance;

	FORMAT_EACH(instance, tree->instances)
	{
		const char *name = format_text(instance, "device"),
			   *lease = format_text(instance, "lease");
		struct libscols_line *line;

		if (strcmp(format_text(instance, "region"), region))
			continue;
		line = add(tree, parent, *name ? name : "(no name yet)", "instance",
			   format_text(instance, "state"));
		format_cell_size(line, COLUMN_SIZE, format_number(instance, "bytes"));
		if (format_flag(instance, "lost"))
			format_cell(line, COLUMN_DETAIL, "lost");
		if (*lease)
			add_vm(tree, line, lease);
	}
}

static void describe_region(sd_json_variant *region, char *text, size_t room)
{
	const char *reason = format_text(region, "reason");

	if (format_has(region, "wait"))
		snprintf(text, room, "waits for %s%s%s", format_text(region, "wait"),
			 *reason ? ": " : "", reason);
	else if (*reason)
		snprintf(text, room, "%s", reason);
	else
		snprintf(text, room, "%" PRIu64 "-way%s%s", format_number(region, "ways"),
			 format_flag(region, "draining") ? ", draining" : "",
			 format_flag(region, "locked") ? ", locked by firmware" : "");
}

/* Bytes as the hardware said of a memdev, whole units of a region; and whether nobody is placed there. */
static void describe_bad(sd_json_variant *object, char *text, size_t room)
{
	const char *closed = format_text(object, "closed");
	uint64_t bytes = format_number(object, "badBytes");
	size_t used = strlen(text);

	if (bytes)
		used += snprintf(text + used, room - used, "%s%" PRIu64 " bytes bad",
				 used ? ", " : "", bytes);
	if (*closed && used < room)
		snprintf(text + used, room - used, "%sclosed: %s", used ? ", " : "", closed);
}

/* What stands on a region is shown below its first leg only. */
static void add_region(struct tree *tree, struct libscols_line *parent, const char *name,
		       const char *serial)
{
	sd_json_variant *region = find(tree->regions, "name", name);
	sd_json_variant *first = sd_json_variant_by_index(format_list(region, "memdevs"), 0);
	struct libscols_line *line;
	char detail[160];

	line = add(tree, parent, name, "region", format_text(region, "state"));
	format_cell_size(line, COLUMN_SIZE, format_number(region, "bytes"));
	format_cell(line, COLUMN_DEVICE, format_text(region, "device"));
	if (sd_json_variant_is_string(first) && strcmp(sd_json_variant_string(first), serial)) {
		snprintf(detail, sizeof(detail), "see %s", sd_json_variant_string(first));
		format_cell(line, COLUMN_DETAIL, detail);
		return;
	}
	describe_region(region, detail, sizeof(detail));
	describe_bad(region, detail, sizeof(detail));
	format_cell(line, COLUMN_DETAIL, detail);
	add_instances(tree, line, name);
}

static const char *memdev_state(sd_json_variant *memdev)
{
	if (!format_flag(memdev, "present"))
		return "gone";
	if (format_flag(memdev, "duplicateSerial"))
		return "duplicate";
	if (format_flag(memdev, "settling"))
		return "settling";
	return format_flag(memdev, "bound") ? "bound" : "unbound";
}

static void add_memdev(struct tree *tree, struct libscols_line *parent, sd_json_variant *memdev)
{
	const char *serial = format_text(memdev, "serial");
	struct libscols_line *line = add(tree, parent, serial, "memdev", memdev_state(memdev));
	sd_json_variant *region;
	char device[64], detail[200] = "";

	format_cell_size(line, COLUMN_SIZE,
			 format_number(memdev, "volatileBytes") +
				 format_number(memdev, "persistentBytes"));
	snprintf(device, sizeof(device), "%s %s", format_text(memdev, "name"),
		 format_text(memdev, "address"));
	format_cell(line, COLUMN_DEVICE, device);
	describe_bad(memdev, detail, sizeof(detail));
	format_cell(line, COLUMN_DETAIL, detail);
	FORMAT_EACH(region, format_list(memdev, "regions"))
	add_region(tree, line, sd_json_variant_string(region), serial);
}

/* Ports below `parent`, or the root ports of `bridge` when it is empty. */
static void add_ports(struct tree *tree, struct libscols_line *above, const char *bridge,
		      const char *parent)
{
	sd_json_variant *port, *memdev;

	FORMAT_EACH(port, tree->ports)
	{
		const char *path = format_text(port, "path");
		struct libscols_line *line;

		if (strcmp(format_text(port, "hostBridge"), bridge) ||
		    strcmp(format_text(port, "parent"), parent))
			continue;
		line = add(tree, above, path, format_text(port, "kind"),
			   format_flag(port, "present") ? format_text(port, "state") : "gone");
		format_cell(line, COLUMN_DEVICE, format_text(port, "address"));
		format_cell(line, COLUMN_DETAIL,
			    format_has(port, "reason") || !format_flag(port, "flapping")
				    ? format_text(port, "reason")
				    : "flapping");
		FORMAT_EACH(memdev, tree->memdevs)
		if (!strcmp(format_text(memdev, "port"), path))
			add_memdev(tree, line, memdev);
		add_ports(tree, line, bridge, path);
	}
}

/* Regions none of whose memory devices has ever been seen have no other place. */
static void add_homeless_regions(struct tree *tree)
{
	sd_json_variant *region, *serial;
	char detail[160];

	FORMAT_EACH(region, tree->regions)
	{
		struct libscols_line *line;
		bool placed = false;

		FORMAT_EACH(serial, format_list(region, "memdevs"))
		placed |= find(tree->memdevs, "serial", sd_json_variant_string(serial)) != NULL;
		if (placed)
			continue;
		line = add(tree, NULL, format_text(region, "name"), "region",
			   format_text(region, "state"));
		describe_region(region, detail, sizeof(detail));
		describe_bad(region, detail, sizeof(detail));
		format_cell(line, COLUMN_DETAIL, detail);
	}
}

static void show(sd_json_variant *reply)
{
	static const char *const columns[COLUMNS] = {"=NAME", "KIND",   "STATE",
						     ">SIZE", "DEVICE", "DETAIL"};
	struct tree tree = {
		.table = format_table(columns, COLUMNS),
		.ports = format_list(reply, "ports"),
		.memdevs = format_list(reply, "memdevs"),
		.regions = format_list(reply, "regions"),
		.instances = format_list(reply, "instances"),
		.leases = format_list(reply, "leases"),
	};
	sd_json_variant *bridge;

	FORMAT_EACH(bridge, format_list(reply, "hostBridges"))
	{
		const char *path = format_text(bridge, "path");

		add_ports(&tree, add(&tree, NULL, path, "host-bridge", ""), path, "");
	}
	add_homeless_regions(&tree);
	format_print(tree.table, "There is no CXL host bridge.");
}

int verb_topology(struct context *context, int argc, char *argv[])
{
	return verb_ask_and_show(context, argc, argv, CLIENT_METHOD("GetTopology"), show);
}
