#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# must-break.sh CHECK COMMAND…: succeeds when the command fails and names that check as broken.
check=$1
shift
output=$("$@" 2>&1)
status=$?
printf '%s\n' "$output"
if [ "$status" -eq 0 ]; then
	echo "the demo passed although $check was broken on purpose"
	exit 1
fi
printf '%s\n' "$output" | grep -q "^BROKEN  *$check" || {
	echo "the demo failed, but not for $check"
	exit 1
}
