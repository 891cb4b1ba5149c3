/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One raw trace record into typed fields. Pure: no I/O, no clock, no
 * allocation, never a byte outside the record. Where fields lie differs
 * between kernels, so the table comes from the kernel's own format files
 * (trace_formats.h) and a field that this kernel does not have is said to be
 * missing, never guessed.
 */
#ifndef DAXMGR_SOURCE_TRACE_DECODE_H
#define DAXMGR_SOURCE_TRACE_DECODE_H

#include <isolate/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum trace_kind {
	TRACE_KIND_AER,            /* ras:aer_event */
	TRACE_KIND_HOTPLUG,        /* pci:pci_hp_event, since 7.0 */
	TRACE_KIND_MEMORY_FAILURE, /* ras:memory_failure_event */
	TRACE_KIND_MACHINE_CHECK,  /* mce:mce_record */
	TRACE_KIND_CXL,            /* any event of system cxl */
	TRACE_KIND_OTHER,          /* written down only: others of ras and pci */
	TRACE_KINDS,
};

enum trace_outcome {
	TRACE_DECODED,
	TRACE_PARTIAL,       /* filled, but a field of this kernel lies outside the record */
	TRACE_UNKNOWN_EVENT, /* its type is not in the table; nothing filled */
	TRACE_TOO_SHORT,     /* not even a type; nothing filled */
};

/* include/linux/aer.h */
enum trace_aer_severity {
	TRACE_AER_NONFATAL = 0,
	TRACE_AER_FATAL = 1,
	TRACE_AER_CORRECTABLE = 2,
};

/* Uncorrectable error status, PCI Express Base Specification 7.8.4.2. */
#define TRACE_AER_SURPRISE_DOWN UINT64_C(0x20)

/* include/uapi/linux/pci.h */
enum trace_hotplug_event {
	TRACE_HOTPLUG_LINK_UP = 0,
	TRACE_HOTPLUG_LINK_DOWN = 1,
	TRACE_HOTPLUG_CARD_PRESENT = 2,
	TRACE_HOTPLUG_CARD_NOT_PRESENT = 3,
};

struct trace_number {
	uint64_t value; /* sign-extended when the kernel's field is signed */
	bool has;
};

/* Points into the raw record and ends with NUL inside it; NULL: missing. */
struct trace_text {
	const char *text;
	uint32_t bytes; /* without the NUL */
};

struct trace_aer {
	struct trace_text device; /* PCI address of the function that reports */
	struct trace_number status;
	struct trace_number severity; /* enum trace_aer_severity */
	struct trace_text bus_type;   /* "PCIe" or "CXL", since 7.0 */
};

struct trace_hotplug {
	struct trace_text port; /* PCI address of the port */
	struct trace_text slot;
	struct trace_number event; /* enum trace_hotplug_event */
};

struct trace_memory_failure {
	struct trace_number pfn;
	struct trace_number type;
	struct trace_number result;
};

struct trace_machine_check {
	struct trace_number status;
	struct trace_number addr;
	struct trace_number misc;
	struct trace_number mcgstatus;
	struct trace_number cpu;
	struct trace_number bank;
	struct trace_number vendor;
};

struct trace_cxl {
	struct trace_text memdev;
	struct trace_text host;
	struct trace_text region;
	struct trace_number serial;
	struct trace_number log;   /* 0 info, 1 warning, 2 failure, 3 fatal */
	struct trace_number flags; /* header flags; of cxl_poison its own flags */
	struct trace_number descriptor;
	struct trace_number type;  /* of cxl_poison: 0 list, 1 inject, 2 clear */
	struct trace_number dpa;
	struct trace_number dpa_bytes;
	struct trace_number hpa; /* all ones: not mapped by a committed region */
	struct trace_number status;
	struct trace_number count; /* cxl_overflow: records the device lost */
};

struct trace_format;

/* Everything in it is borrowed from the raw record and the table. */
struct trace_record {
	enum trace_kind kind;
	const struct trace_format *format;
	const char *system;
	const char *name;
	uint64_t at_ns; /* the kernel's own timestamp, CLOCK_BOOTTIME; set by the pump */
	uint32_t cpu;   /* set by the pump */
	uint64_t page;  /* place in the spool, set by the pump; 0: none */
	uint32_t index;
	bool replayed;  /* read by an earlier daemon; set by the pump */
	const void *raw;
	uint32_t raw_bytes;
	union {
		struct trace_aer aer;
		struct trace_hotplug hotplug;
		struct trace_memory_failure memory_failure;
		struct trace_machine_check machine_check;
		struct trace_cxl cxl;
	};
};

enum {
	TRACE_EVENTS_MAX = 48, /* the kernel has 5 and some 13 of cxl */
	TRACE_FIELDS_MAX = 16,
	TRACE_NAME_BYTES = 64,
	TRACE_LAYOUTS_MAX = 1536, /* fields of all events together */
	TRACE_SYMBOLS_MAX = 2048,
	TRACE_FIELD_NAME_BYTES = 32,
	TRACE_SYMBOL_BYTES = 40,
};

enum trace_shape {
	TRACE_SHAPE_UNSIGNED,
	TRACE_SHAPE_SIGNED,
	TRACE_SHAPE_CHARACTERS,        /* char[N] in place */
	TRACE_SHAPE_LOCATION,          /* __data_loc: offset from the record's start */
	TRACE_SHAPE_RELATIVE_LOCATION, /* __rel_loc: offset from the field's end */
};

/* One wanted field as this kernel lays it out. */
struct trace_field {
	uint32_t offset;
	uint32_t bytes;
	enum trace_shape shape;
	uint32_t target; /* offset of the trace_number or trace_text in struct trace_record */
};

enum trace_layout_shape {
	TRACE_LAYOUT_UNSIGNED,
	TRACE_LAYOUT_SIGNED,
	TRACE_LAYOUT_TEXT,
	TRACE_LAYOUT_BYTES, /* shown as hexadecimal digits */
	TRACE_LAYOUT_UUID,
};

/* Any own field of an event: one value, or an array of `element_bytes` each. */
struct trace_layout {
	char name[TRACE_FIELD_NAME_BYTES];
	uint32_t offset;
	uint32_t bytes;         /* in place; of a dynamic one those of its location */
	uint8_t element_bytes;
	uint8_t shape;          /* enum trace_layout_shape, of an element */
	bool is_array;
	bool is_dynamic, is_relative;
	bool passes; /* trace_likeness_passes() */
};

/* What the kernel's own print format calls a value, or a bit, of a field. */
struct trace_symbol {
	uint64_t value;
	uint32_t layout; /* index in the table */
	bool is_bits;
	char name[TRACE_SYMBOL_BYTES];
};

struct trace_format {
	uint32_t type; /* common_type */
	enum trace_kind kind;
	uint64_t stored;     /* number of its text in the store, the caller's; 0: none */
	uint32_t layouts, n_layouts;
	uint32_t symbols, n_symbols;
	uint32_t n_left_out; /* fields that found no room in the table */
	uint32_t n_fields;
	struct trace_field fields[TRACE_FIELDS_MAX];
	char system[TRACE_NAME_BYTES];
	char name[TRACE_NAME_BYTES];
};

struct trace_formats {
	uint32_t n;
	struct trace_format formats[TRACE_EVENTS_MAX];
	uint32_t n_layouts, n_symbols;
	struct trace_layout layouts[TRACE_LAYOUTS_MAX];
	struct trace_symbol symbols[TRACE_SYMBOLS_MAX];
};

/*
 * Says which part of struct trace_record a kernel field fills.
 * Return: false when nobody wants it.
 */
bool trace_wanted(enum trace_kind kind, const char *field, bool *ret_is_text, uint32_t *ret_target);

/*
 * Decodes one record of `bytes` bytes that starts with the common fields.
 * `ret` borrows from `record` and `formats`, and its time and CPU are 0.
 */
enum trace_outcome trace_decode(const struct trace_formats *formats, const void *record,
				size_t bytes, struct trace_record *ret);

/*
 * Says whether a record means "contain now": a fatal AER error of a function,
 * or a slot that lost its link or card. All others are for the store.
 * Return: true and a complete `ret`, or false and `ret` untouched.
 */
bool trace_fault(const struct trace_record *record, struct iso_fault *ret);

#endif
