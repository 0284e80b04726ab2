# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# What tools/quickstart and tools/check share. Sourced; the caller has set ROOT, STEPS and -euo pipefail.

STEP=0
export DEBIAN_FRONTEND=noninteractive

# step TEXT - the next numbered line of progress
step()
{
	STEP=$((STEP + 1))
	printf '[%d/%d] %s\n' "$STEP" "$STEPS" "$*"
}

# die WHAT REMEDY - one line, and out
die()
{
	printf '%s: %s. %s\n' "${0##*/}" "$1" "$2" >&2
	exit 1
}

# as_root COMMAND... - with sudo unless we are root; never asks for a password in CI
as_root()
{
	if [ "$(id -u)" = 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		if [ "${CI:-}" = true ]; then
			sudo -n "$@"
		else
			sudo "$@"
		fi
	else
		return 1
	fi
}

# packages_missing SCOPE... - names of packages of these scopes that dpkg does not have
packages_missing()
{
	local name scope want
	while read -r name scope _; do
		case $name in '' | '#'*) continue ;; esac
		for want in "$@"; do
			[ "$scope" = "$want" ] || continue
			dpkg-query -W -f '${db:Status-Status}\n' "$name" 2>/dev/null |
				grep -qx installed || echo "$name"
		done
	done <"$ROOT/tools/packages"
}

# packages_install SCOPE... - nothing is asked of the network when all are there already
packages_install()
{
	local missing log
	command -v dpkg-query >/dev/null ||
		die "this is no Debian" "Install what tools/packages lists, and run cmake and ninja by hand"
	mapfile -t missing < <(packages_missing "$@")
	if [ ${#missing[@]} = 0 ]; then
		echo "      all there"
		return
	fi
	echo "      installing: ${missing[*]}"
	log=$(mktemp)
	if ! { as_root apt-get update && as_root apt-get install -y --no-install-recommends "${missing[@]}"; } \
		>"$log" 2>&1; then
		tail -n 5 "$log" >&2
		rm -f "$log"
		die "apt-get failed" "Run as root: apt-get install ${missing[*]}"
	fi
	rm -f "$log"
}

# build DIR CMAKE-ARG... - configure and build; the log is shown only when it fails
build()
{
	local dir=$1 log=$1/build.log
	shift
	mkdir -p "$dir"
	if ! cmake -S "$ROOT" -B "$dir" -G Ninja "$@" >"$log" 2>&1; then
		tail -n 20 "$log" >&2
		die "cmake failed" "The whole log is $log; remove $dir to start afresh"
	fi
	if ! ninja -C "$dir" >>"$log" 2>&1; then
		grep -m 20 -A 3 -E 'error:|FAILED|undefined reference' "$log" >&2 || tail -n 20 "$log" >&2
		die "the build failed" "The whole log is $log; remove $dir to start afresh"
	fi
}

# fuse_usable - can FUSE file systems be mounted here?
fuse_usable()
{
	[ -r /dev/fuse ] && [ -w /dev/fuse ]
}
