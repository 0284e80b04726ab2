# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# What the mounted tests share. Sourced first; sets T (scratch directory), IMG, MNT and a trap that unmounts.
#
#   need COMMAND...            skip (77) without these
#   fail TEXT                  the test has failed
#   make_image SIZE [ARG...]   a fresh $IMG by mkfs.ext4 with these arguments
#   mount_image [OPT,...]      mbfs $IMG on $MNT; unmount_image waits until the last byte is down
#   check_image                e2fsck -fn: status 0 and not a word of complaint
#   refused TEXT COMMAND...    the command fails, and what it prints contains TEXT
#   make_tree DIR [N [BYTES]]  a tree of all kinds of files; manifest DIR prints all that can be compared
#   check_priv                 setuid bits and capabilities go when they must
#   kernel_mount [OPT,...]     $IMG on $KMNT by the kernel's ext4; skips where it cannot
set -euo pipefail
export PATH=$MBFS_BUILD/bin:$PATH:/usr/sbin:/sbin
export LC_ALL=C

T=$(mktemp -d "${TMPDIR:-/tmp}/mbfs-fuse.XXXXXX")
IMG=$T/image
MNT=$T/mnt
KMNT=$T/kernel
mkdir "$MNT" "$KMNT"
chmod 755 "$T"
# The daemon's stderr is gone when it serves: sanitizers write to files, which unmount_image looks for.
export ASAN_OPTIONS="${ASAN_OPTIONS:-}:log_path=$T/sanitizer"
export UBSAN_OPTIONS="${UBSAN_OPTIONS:-}:log_path=$T/sanitizer:print_stacktrace=1"
export TSAN_OPTIONS="${TSAN_OPTIONS:-}:log_path=$T/sanitizer"

skip()
{
	echo "SKIP: $*"
	exit 77
}

fail()
{
	echo "FAIL: $*" >&2
	exit 1
}

need()
{
	local c

	for c in "$@"; do
		command -v "$c" >/dev/null || skip "$c is not installed"
	done
}

cleanup()
{
	local rc=$?

	trap - EXIT
	cd /
	mountpoint -q "$KMNT" && umount "$KMNT"
	if mountpoint -q "$MNT" || ! stat "$MNT" >/dev/null 2>&1; then
		umount -l "$MNT" || true
	fi
	[ ! -e "$IMG" ] || mbfs --wait "$IMG" --timeout 20 || true
	sanitizer_clean || rc=1
	rm -rf "$T"
	exit $rc
}
trap cleanup EXIT

sanitizer_clean()
{
	local f

	for f in "$T"/sanitizer.*; do
		[ -e "$f" ] || continue
		echo "FAIL: the daemon's sanitizer says:" >&2
		head -60 "$f" >&2
		return 1
	done
}

# private [COMMAND] - run the script again, once, where its mounts and /dev are nobody else's
private()
{
	[ -z "${MBFS_PRIVATE:-}" ] || return 0
	need unshare
	unshare -m true 2>/dev/null || skip "no private mounts here"
	trap - EXIT
	rm -rf "$T"
	MBFS_PRIVATE=1 exec unshare -m --propagation private bash "$0"
}

[ -c /dev/fuse ] && [ -r /dev/fuse ] || skip "/dev/fuse cannot be opened"
[ "$(id -u)" = 0 ] || skip "not root"
need fusermount3 mkfs.ext4 e2fsck

make_image()
{
	local size=$1

	shift
	rm -f "$IMG"
	truncate -s "$size" "$IMG"
	mkfs.ext4 -q -F "$@" "$IMG" 2>"$T/mkfs.err" || fail "mkfs.ext4 $*: $(cat "$T/mkfs.err")"
}

mount_image()
{
	mbfs ${1:+-o "$1"} "$IMG" "$MNT" || fail "mount $*"
	mountpoint -q "$MNT" || fail "mbfs returned before $MNT was mounted"
}

unmount_image()
{
	umount "$MNT" || fail "umount"
	mbfs --wait "$IMG" --timeout 60 || fail "the image is still in use"
	sanitizer_clean || fail "sanitizer"
}

# The only lines that a clean image gives: the passes and the summary. "Optimize?" lines are advice.
check_image()
{
	local rc=0

	e2fsck -fn "$IMG" >"$T/fsck" 2>&1 || rc=$?
	if [ $rc != 0 ] ||
	   grep -qvE '^(e2fsck 1\.|Pass [1-5]:|.*: [0-9]+/[0-9]+ files |.*Optimize\? no$|$)' "$T/fsck"; then
		cat "$T/fsck" >&2
		fail "e2fsck -fn: status $rc"
	fi
}

refused()
{
	local text=$1 rc=0

	shift
	"$@" >"$T/out" 2>&1 || rc=$?
	[ $rc != 0 ] || fail "not refused: $*"
	grep -qF -- "$text" "$T/out" || fail "$*: no \"$text\" in: $(cat "$T/out")"
	[ "$(wc -l <"$T/out")" = 1 ] || fail "$*: more than one line: $(cat "$T/out")"
}

# same GOT WANT [TEXT]
same()
{
	[ "$1" != "$2" ] || return 0
	diff <(printf '%s\n' "$1") <(printf '%s\n' "$2") | cut -c1-200 | sed -n 1,20p >&2 || true
	fail "${3:-values differ} (< is what was found, > what should be)"
}

# Regular files of many sizes, sparse and preallocated ones, links of both kinds, devices, odd names and
# modes, attributes, a directory large enough for an index.
make_tree()
{
	local dir=$1 n=${2:-300} d i # $3: bytes of the largest attribute

	mkdir -p "$dir"
	for d in a b c; do
		mkdir "$dir/$d"
		for ((i = 0; i < n; i++)); do
			printf '%*d' $((i * 37 % 9000 + 1)) "$i" >"$dir/$d/file-$i-with-a-name-to-fill-directory-blocks"
		done
	done
	head -c 3000000 /dev/urandom >"$dir/random"
	: >"$dir/empty"
	truncate -s 5G "$dir/hole"
	printf end | dd of="$dir/hole" bs=1 seek=4000000000 conv=notrunc status=none
	for ((i = 0; i < 40; i++)); do
		printf x | dd of="$dir/sparse" bs=1 seek=$((i * 100000)) conv=notrunc status=none
	done
	fallocate -l 1M "$dir/unwritten" && printf written | dd of="$dir/unwritten" bs=1 seek=300000 conv=notrunc status=none
	: >"$dir/beyond" && fallocate -n -l 1M "$dir/beyond"
	ln "$dir/random" "$dir/hard"
	ln -s random "$dir/fast-link"
	ln -s "$(printf 'l%.0s' {1..900})" "$dir/slow-link"
	mkfifo -m 640 "$dir/fifo"
	mknod "$dir/char" c 240 70000
	mknod "$dir/block" b 7 3
	chmod 4755 "$dir/a/file-1-with-a-name-to-fill-directory-blocks"
	chmod 1777 "$dir/b"
	chown 70000:80000 "$dir/c"
	mkdir -p "$dir/deep/1/2/3/4/5/6/7/8"
	: >"$dir/$(printf 'n%.0s' {1..255})"
	: >"$dir/"$'odd \n name \\ \xff'
	touch -d '1969-12-31 23:59:58.123456789' "$dir/a"
	touch -d '2040-02-03 04:05:06.987654321' "$dir/random"
	if command -v setfattr >/dev/null; then
		setfattr -n user.small -v value "$dir/empty"
		setfattr -n user.big -v "$(printf "%${3:-2500}s" | tr ' ' v)" "$dir/random"
		setfattr -n trusted.t -v 0x00ff "$dir/b"
		setfattr -n user.dir -v d "$dir/c"
	fi
}

# Kind, mode, owner, links, size, time, target of each; contents; attributes. Sizes of directories differ
# between file systems, so they are left out; times of directories that are still written to, too.
manifest()
{
	(
		cd "$1"
		find . -mindepth 1 -name lost+found -prune -o -mindepth 1 -type d -printf '%p %y %m %U %G\n' -o \
			-mindepth 1 -printf '%p %y %m %U %G %n %s %T@ %l\n' | sort
		find . \( -type b -o -type c \) -exec stat -c '%n %t %T' {} + | sort
		find . -name lost+found -prune -o -type f ! -name hole -print0 | sort -z | xargs -0 sha256sum
		if [ -e hole ]; then
			dd if=hole bs=1M skip=3800 count=100 status=none | sha256sum
		fi
		! command -v getfattr >/dev/null || getfattr -R -h -d -m '^(user|trusted)\.' -e hex . 2>/dev/null | sort
	)
}

# What setuid bits and capabilities must not survive, on $MNT, whoever of kernel and daemon does it.
check_priv()
{
	local f=$MNT/suid cap=0x0100000200040000000000000000000000000000

	as_nobody()
	{
		setpriv --reuid 65534 --clear-groups "$@"
	}
	: >"$f" && chmod 6777 "$f"
	as_nobody sh -c "echo x >>$f" && same "$(stat -c %a "$f")" 777 "setuid after a write"
	chmod 6777 "$f" && echo x >>"$f" && same "$(stat -c %a "$f")" 6777 "setuid after root's write"
	chmod 6755 "$f" && chown 1:1 "$f" && same "$(stat -c %a "$f")" 755 "setuid after chown"
	chmod 6777 "$f" && as_nobody truncate -s 0 "$f"
	same "$(stat -c %a "$f")" 777 "setuid after truncate"
	chmod 6777 "$f" && as_nobody fallocate -l 10000 "$f"
	same "$(stat -c %a "$f")" 777 "setuid after fallocate"
	chmod 2666 "$f" && as_nobody sh -c "echo x >>$f"
	same "$(stat -c %a "$f")" 2666 "setgid without group execution"
	for change in "echo x >>$f" "truncate -s 5 $f" "chown 2 $f" "fallocate -l 20000 $f"; do
		setfattr -n security.capability -v $cap "$f"
		getfattr -n security.capability "$f" >/dev/null 2>&1 || fail "no capability was set"
		sh -c "$change"
		! getfattr -n security.capability "$f" >/dev/null 2>&1 || fail "capability after $change"
	done
}

kernel_mount()
{
	mount -o "loop${1:+,$1}" -t ext4 "$IMG" "$KMNT" 2>"$T/kmount" ||
		skip "the kernel cannot mount the image: $(cat "$T/kmount")"
}

kernel_unmount()
{
	umount "$KMNT"
}
