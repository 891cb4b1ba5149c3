#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# run-criterion.sh TEST [ARG…]: runs a Criterion program under the sanitizers. Criterion calls a test passed whose
# process reported a leak, so sanitizer reports go to files and any file is a failure. It also wants SIGSEGV and
# SIGBUS for itself.
set -u

reports=$(mktemp -d)
trap 'rm -rf "$reports"' EXIT
export ASAN_OPTIONS="handle_segv=0:handle_sigbus=0:handle_abort=0:detect_stack_use_after_return=1:log_path=$reports/asan:${ASAN_OPTIONS:-}"
export UBSAN_OPTIONS="print_stacktrace=1:log_path=$reports/ubsan:${UBSAN_OPTIONS:-}"

test=$1
shift
status=0
"$test" -j1 "$@" || status=$?
for report in "$reports"/*; do
	[ -e "$report" ] || continue
	cat "$report"
	[ "$status" -ne 0 ] || status=99
done
exit "$status"
