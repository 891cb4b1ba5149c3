/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "trace_story.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "trace_fields.h"
#include "trace_poison.h"
#include "trace_symbols.h"

/* arch/x86/include/asm/mce.h */
#define MCE_UC      (UINT64_C(1) << 61)
#define MCE_CORRUPT (UINT64_C(1) << 57) /* the processor's own state */

enum {
	PAGE_SHIFT = 12,
	LINE_BYTES = 64,
	CXL_UNCORRECTABLE = 1, /* descriptor */
	POISON_CLEAR = 2,
	HOTPLUG_NAMES = 4,
};

struct line {
	char *text;
	size_t n;
};

__attribute__((format(printf, 2, 3))) static void add(struct line *line, const char *format, ...)
{
	va_list arguments;
	int n;

	va_start(arguments, format);
	n = vsnprintf(line->text + line->n, ISO_TEXT_BYTES - line->n, format, arguments);
	va_end(arguments);
	if (n > 0)
		line->n += (size_t)n;
	if (line->n >= ISO_TEXT_BYTES)
		line->n = ISO_TEXT_BYTES - 1;
}

static const char *comma(const struct line *line)
{
	return line->n ? ", " : "";
}

/* ---- the items of a line ---- */

enum item_style {
	ITEM_END,
	ITEM_WORD,  /* the kernel's word for the value, else name and number */
	ITEM_BITS,  /* words of the bits; nothing when none is set */
	ITEM_TEXT,
	ITEM_HEX,   /* all ones: not known */
	ITEM_COUNT,
};

struct item {
	enum item_style style;
	const char *field;
	const char *name; /* before the value; NULL: nothing */
};

static const struct item media_items[] = {
	{ITEM_BITS, "descriptor", NULL},
	{ITEM_WORD, "type", NULL},
	{ITEM_WORD, "transaction_type", NULL},
	{ITEM_HEX, "dpa", "dpa"},
	{ITEM_HEX, "hpa", "hpa"},
	{ITEM_TEXT, "region_name", "region"},
	{ITEM_BITS, "hdr_flags", NULL},
	{ITEM_END, NULL, NULL},
};
static const struct item poison_items[] = {
	{ITEM_HEX, "dpa", "dpa"},        {ITEM_COUNT, "dpa_length", "bytes"},
	{ITEM_HEX, "hpa", "hpa"},        {ITEM_TEXT, "region", "region"},
	{ITEM_WORD, "source", "source"}, {ITEM_BITS, "flags", NULL},
	{ITEM_END, NULL, NULL},
};
static const struct item module_items[] = {
	{ITEM_WORD, "event_type", NULL},
	{ITEM_BITS, "health_status", "health"},
	{ITEM_WORD, "media_status", "media"},
	{ITEM_COUNT, "life_used", "life used %"},
	{ITEM_COUNT, "device_temp", "temperature"},
	{ITEM_END, NULL, NULL},
};
static const struct item overflow_items[] = {
	{ITEM_COUNT, "count", "records lost in the device's log"},
	{ITEM_END, NULL, NULL},
};
static const struct item protocol_items[] = {
	{ITEM_BITS, "status", NULL},
	{ITEM_BITS, "first_error", "first"},
	{ITEM_END, NULL, NULL},
};
static const struct item sparing_items[] = {
	{ITEM_BITS, "flags", NULL},
	{ITEM_COUNT, "result", "result"},
	{ITEM_COUNT, "res_avail", "available"},
	{ITEM_END, NULL, NULL},
};
static const struct item failure_items[] = {
	{ITEM_HEX, "pfn", "pfn"},
	{ITEM_WORD, "type", NULL},
	{ITEM_WORD, "result", NULL},
	{ITEM_END, NULL, NULL},
};
static const struct item machine_items[] = {
	{ITEM_COUNT, "cpu", "CPU"},    {ITEM_COUNT, "bank", "bank"}, {ITEM_HEX, "status", "status"},
	{ITEM_HEX, "addr", "address"}, {ITEM_HEX, "misc", "misc"},   {ITEM_END, NULL, NULL},
};
static const struct item hotplug_items[] = {
	{ITEM_TEXT, "slot", "slot"},
	{ITEM_END, NULL, NULL},
};

static const struct {
	const char *event;
	const struct item *items;
} event_items[] = {
	{"cxl_general_media", media_items},
	{"cxl_dram", media_items},
	{"cxl_poison", poison_items},
	{"cxl_memory_module", module_items},
	{"cxl_overflow", overflow_items},
	{"cxl_aer_uncorrectable_error", protocol_items},
	{"cxl_aer_correctable_error", protocol_items},
	{"cxl_port_aer_uncorrectable_error", protocol_items},
	{"cxl_port_aer_correctable_error", protocol_items},
	{"cxl_memory_sparing", sparing_items},
	{"memory_failure_event", failure_items},
	{"mce_record", machine_items},
	{"pci_hp_event", hotplug_items},
};

static void add_number(struct line *line, const struct trace_formats *formats,
		       const struct trace_record *record, const struct item *item, uint64_t value)
{
	const char *name = item->name ? item->name : item->field, *word;
	char words[ISO_TEXT_BYTES];

	switch (item->style) {
	case ITEM_WORD:
		word = trace_symbol_of(formats, record->format, item->field, value);
		if (word)
			add(line, "%s%s%s%s", comma(line), item->name ? item->name : "",
			    item->name ? " " : "", word);
		else
			add(line, "%s%s %llu", comma(line), name, (unsigned long long)value);
		break;
	case ITEM_BITS:
		if (trace_symbols_of_bits(formats, record->format, item->field, value, words,
					  sizeof(words)))
			add(line, "%s%s%s%s", comma(line), item->name ? item->name : "",
			    item->name ? " " : "", words);
		else if (value)
			add(line, "%s%s 0x%llx", comma(line), name, (unsigned long long)value);
		break;
	case ITEM_HEX:
		if (value == UINT64_MAX)
			add(line, "%s%s not known", comma(line), name);
		else
			add(line, "%s%s 0x%llx", comma(line), name, (unsigned long long)value);
		break;
	case ITEM_COUNT:
		add(line, "%s%s %llu", comma(line), name, (unsigned long long)value);
		break;
	case ITEM_TEXT:
	case ITEM_END:
		break;
	}
}

static void add_items(struct line *line, const struct trace_formats *formats,
		      const struct trace_record *record, const struct item *items)
{
	char text[64];
	uint64_t value;

	for (const struct item *item = items; item->style != ITEM_END; item++) {
		if (item->style == ITEM_TEXT) {
			if (trace_text_of(formats, record, item->field, text, sizeof(text)) &&
			    text[0])
				add(line, "%s%s %s", comma(line), item->name, text);
		} else if (trace_number_of(formats, record, item->field, &value)) {
			add_number(line, formats, record, item, value);
		}
	}
}

/* An event that nobody described: its fields as long as the line has room. */
static void add_all(struct line *line, const struct trace_formats *formats,
		    const struct trace_record *record)
{
	for (uint32_t i = 0; i < record->format->n_layouts; i++) {
		const char *field = formats->layouts[record->format->layouts + i].name;
		char text[64];
		uint64_t value;
		const char *word;

		if (trace_text_of(formats, record, field, text, sizeof(text))) {
			add(line, "%s%s %s", comma(line), field, text);
			continue;
		}
		if (!trace_number_of(formats, record, field, &value))
			continue;
		word = trace_symbol_of(formats, record->format, field, value);
		if (word)
			add(line, "%s%s %s", comma(line), field, word);
		else
			add(line, "%s%s %llu", comma(line), field, (unsigned long long)value);
	}
}

/* ---- kind by kind ---- */

static void describe_aer(const struct trace_formats *formats, const struct trace_record *record,
			 struct line *line, struct trace_story *ret)
{
	static const struct {
		uint32_t bit;
		const char *name;
	} uncorrectable[] =
		{
			{0x10, "Data Link Protocol Error"},
			{0x20, "Surprise Down Error"},
			{0x1000, "Poisoned TLP"},
			{0x2000, "Flow Control Protocol Error"},
			{0x4000, "Completion Timeout"},
			{0x8000, "Completer Abort"},
			{0x10000, "Unexpected Completion"},
			{0x20000, "Receiver Overflow"},
			{0x40000, "Malformed TLP"},
			{0x80000, "ECRC Error"},
			{0x100000, "Unsupported Request Error"},
			{0x200000, "ACS Violation"},
			{0x400000, "Uncorrectable Internal Error"},
		},
	  correctable[] = {
		  {0x1, "Receiver Error"},
		  {0x40, "Bad TLP"},
		  {0x80, "Bad DLLP"},
		  {0x100, "Replay Number Rollover"},
		  {0x1000, "Replay Timer Timeout"},
		  {0x2000, "Advisory Non-Fatal Error"},
		  {0x4000, "Corrected Internal Error"},
	  };
	uint64_t status = record->aer.status.value, severity = record->aer.severity.value;
	bool corrected = record->aer.severity.has && severity == TRACE_AER_CORRECTABLE;
	size_t n = corrected ? sizeof(correctable) / sizeof(correctable[0])
			     : sizeof(uncorrectable) / sizeof(uncorrectable[0]);

	(void)formats;
	ret->severity = TRACE_SEVERITY_ERROR;
	if (corrected)
		ret->severity = TRACE_SEVERITY_WARNING;
	else if (record->aer.severity.has && severity == TRACE_AER_FATAL)
		ret->severity = TRACE_SEVERITY_FATAL;
	add(line, "%s", record->aer.bus_type.text ? record->aer.bus_type.text : "PCIe");
	add(line, " %s",
	    corrected                               ? "corrected"
	    : ret->severity == TRACE_SEVERITY_FATAL ? "fatal"
	    : record->aer.severity.has              ? "not fatal"
						    : "severity not known");
	for (size_t i = 0; i < n; i++)
		if (status & (corrected ? correctable[i].bit : uncorrectable[i].bit))
			add(line, ", %s", corrected ? correctable[i].name : uncorrectable[i].name);
	add(line, ", status 0x%llx", (unsigned long long)status);
}

static void describe_hotplug(const struct trace_record *record, struct line *line,
			     struct trace_story *ret)
{
	static const char *const names[HOTPLUG_NAMES] = {
		[TRACE_HOTPLUG_LINK_UP] = "link up",
		[TRACE_HOTPLUG_LINK_DOWN] = "link down",
		[TRACE_HOTPLUG_CARD_PRESENT] = "card present",
		[TRACE_HOTPLUG_CARD_NOT_PRESENT] = "card not present",
	};
	uint64_t event = record->hotplug.event.value;

	if (record->hotplug.event.has &&
	    (event == TRACE_HOTPLUG_LINK_DOWN || event == TRACE_HOTPLUG_CARD_NOT_PRESENT))
		ret->severity = TRACE_SEVERITY_ERROR;
	if (record->hotplug.event.has && event < HOTPLUG_NAMES)
		add(line, "%s", names[event]);
	else if (record->hotplug.event.has)
		add(line, "event %llu", (unsigned long long)event);
}

static void describe_failure(const struct trace_record *record, struct trace_story *ret)
{
	ret->severity = TRACE_SEVERITY_ERROR;
	if (!record->memory_failure.pfn.has ||
	    record->memory_failure.pfn.value > UINT64_MAX >> PAGE_SHIFT)
		return;
	ret->is_poison = true;
	ret->has_hpa = true;
	ret->hpa = record->memory_failure.pfn.value << PAGE_SHIFT;
	ret->bytes = UINT64_C(1) << PAGE_SHIFT;
}

static void describe_machine(const struct trace_record *record, struct line *line,
			     struct trace_story *ret)
{
	const struct trace_machine_check *check = &record->machine_check;

	ret->severity = TRACE_SEVERITY_WARNING;
	if (!check->status.has || (check->status.value & MCE_UC))
		ret->severity = TRACE_SEVERITY_ERROR;
	if (check->status.has && (check->status.value & MCE_UC) &&
	    (check->status.value & MCE_CORRUPT))
		ret->severity = TRACE_SEVERITY_FATAL;
	add(line, "%s", ret->severity == TRACE_SEVERITY_WARNING ? "corrected" : "uncorrected");
	if (!trace_names_memory(check))
		return;
	ret->is_poison = true;
	ret->has_hpa = true;
	ret->bytes = trace_machine_check_bytes(check);
	ret->hpa = check->addr.value & ~(ret->bytes - 1);
}

static enum trace_severity severity_of_log(const struct trace_number *log)
{
	static const enum trace_severity severities[] = {
		TRACE_SEVERITY_INFO,
		TRACE_SEVERITY_WARNING,
		TRACE_SEVERITY_ERROR,
		TRACE_SEVERITY_FATAL,
	};

	if (!log->has)
		return TRACE_SEVERITY_WARNING;
	return log->value < 4 ? severities[log->value] : TRACE_SEVERITY_ERROR;
}

static void add_log(const struct trace_number *log, struct line *line)
{
	/* The kernel's own list has names of an enum here, that are no numbers. */
	static const char *const names[] = {"informational", "warning", "failure", "fatal"};

	if (log->has && log->value < 4)
		add(line, "%s", names[log->value]);
	else if (log->has)
		add(line, "log %llu", (unsigned long long)log->value);
}

static void set_bad_range(const struct trace_cxl *cxl, uint64_t bytes, struct trace_story *ret)
{
	ret->is_poison = true;
	ret->bytes = bytes;
	ret->has_dpa = cxl->dpa.has;
	ret->dpa = cxl->dpa.value & ~(uint64_t)(LINE_BYTES - 1);
	/* All ones: no committed region maps it, or nobody can say. */
	ret->has_hpa = cxl->hpa.has && cxl->hpa.value != UINT64_MAX;
	ret->hpa = ret->has_hpa ? cxl->hpa.value & ~(uint64_t)(LINE_BYTES - 1) : 0;
}

static void describe_poison(const struct trace_cxl *cxl, struct line *line, struct trace_story *ret)
{
	static const char *const names[] = {"listed", "injected", "cleared"};

	ret->cleared = cxl->type.has && cxl->type.value == POISON_CLEAR;
	ret->severity = ret->cleared ? TRACE_SEVERITY_INFO : TRACE_SEVERITY_ERROR;
	if (cxl->type.has && cxl->type.value < 3)
		add(line, "%s", names[cxl->type.value]);
	if (cxl->dpa.has || (cxl->hpa.has && cxl->hpa.value != UINT64_MAX))
		set_bad_range(cxl,
			      cxl->dpa_bytes.has && cxl->dpa_bytes.value ? cxl->dpa_bytes.value
									 : LINE_BYTES,
			      ret);
}

static void describe_cxl(const struct trace_record *record, struct line *line,
			 struct trace_story *ret)
{
	const struct trace_cxl *cxl = &record->cxl;

	ret->has_serial = cxl->serial.has;
	ret->serial = cxl->serial.value;
	ret->severity = severity_of_log(&cxl->log);
	add_log(&cxl->log, line);
	if (!strcmp(record->name, "cxl_poison")) {
		describe_poison(cxl, line, ret);
	} else if (!strcmp(record->name, "cxl_overflow")) {
		ret->is_loss = true;
		ret->lost = cxl->count.value;
		if (ret->severity < TRACE_SEVERITY_WARNING)
			ret->severity = TRACE_SEVERITY_WARNING;
	} else if (strstr(record->name, "aer_uncorrectable")) {
		ret->severity = TRACE_SEVERITY_ERROR;
	} else if ((!strcmp(record->name, "cxl_general_media") ||
		    !strcmp(record->name, "cxl_dram")) &&
		   cxl->descriptor.has && (cxl->descriptor.value & CXL_UNCORRECTABLE) &&
		   (cxl->dpa.has || cxl->hpa.has)) {
		set_bad_range(cxl, LINE_BYTES, ret);
	}
}

/* ras:mc_event and those that carry a CPER severity; all others only tell. */
static void describe_other(const struct trace_formats *formats, const struct trace_record *record,
			   struct trace_story *ret)
{
	static const enum trace_severity of_edac[] = {
		TRACE_SEVERITY_WARNING, TRACE_SEVERITY_ERROR, TRACE_SEVERITY_ERROR,
		TRACE_SEVERITY_FATAL,   TRACE_SEVERITY_INFO,
	};
	static const enum trace_severity of_cper[] = {
		TRACE_SEVERITY_ERROR,
		TRACE_SEVERITY_FATAL,
		TRACE_SEVERITY_WARNING,
		TRACE_SEVERITY_INFO,
	};
	uint64_t value;

	if (trace_number_of(formats, record, "error_type", &value) && value < 5)
		ret->severity = of_edac[value];
	else if (trace_number_of(formats, record, "sev", &value) && value < 4)
		ret->severity = of_cper[value];
}

/* Whom it names, by whatever field its event has for that. */
static void find_unit(const struct trace_formats *formats, const struct trace_record *record,
		      struct trace_story *ret)
{
	static const char *const fields[] = {"memdev", "dev_name", "port_name", "device", "host"};

	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
		if (trace_text_of(formats, record, fields[i], ret->unit, sizeof(ret->unit)) &&
		    ret->unit[0])
			return;
	ret->unit[0] = '\0';
}

void trace_describe(const struct trace_formats *formats, const struct trace_record *record,
		    struct trace_story *ret)
{
	struct line line;
	const struct item *items = NULL;

	memset(ret, 0, sizeof(*ret));
	line = (struct line){.text = ret->text};
	find_unit(formats, record, ret);
	switch (record->kind) {
	case TRACE_KIND_AER:
		describe_aer(formats, record, &line, ret);
		return;
	case TRACE_KIND_HOTPLUG:
		describe_hotplug(record, &line, ret);
		break;
	case TRACE_KIND_MEMORY_FAILURE:
		describe_failure(record, ret);
		break;
	case TRACE_KIND_MACHINE_CHECK:
		describe_machine(record, &line, ret);
		break;
	case TRACE_KIND_CXL:
		describe_cxl(record, &line, ret);
		break;
	case TRACE_KIND_OTHER:
	case TRACE_KINDS:
		describe_other(formats, record, ret);
		break;
	}
	for (size_t i = 0; i < sizeof(event_items) / sizeof(event_items[0]); i++)
		if (!strcmp(event_items[i].event, record->name))
			items = event_items[i].items;
	if (items)
		add_items(&line, formats, record, items);
	else
		add_all(&line, formats, record);
}
