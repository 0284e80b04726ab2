#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Goal: POSIX ACLs are kept, inherited and obeyed as by ext4. Method: the same commands on a mount and on the
# kernel's ext4, all that shows compared; then each reads the other's image.
. "$(dirname "$0")/lib.sh"
need getfacl setfacl setpriv
private

as_nobody()
{
	setpriv --reuid 65534 --regid 65534 --clear-groups "$@"
}

# Runs in the root of a file system.
commands()
{
	umask 027
	mkdir plain shared
	echo x >plain/f && chmod 640 plain/f
	setfacl -m u:65534:rw,g:100:r plain/f
	as_nobody sh -c 'echo nobody >>plain/f' 2>/dev/null || echo "not through plain"
	chmod 755 plain
	as_nobody sh -c 'echo nobody >>plain/f' && cat plain/f
	chmod 600 plain/f && getfacl -n plain/f && stat -c %a plain/f
	as_nobody cat plain/f 2>/dev/null || echo "masked"
	chmod 660 plain/f
	setfacl -m m::r plain/f && stat -c %a plain/f
	cp -a plain/f plain/copy && getfacl -n plain/copy
	setfacl -b plain/f && stat -c %a plain/f
	setfacl -m u::rwx,g::r,o::- plain/f && getfacl -n plain/f && stat -c %a plain/f
	setfacl -d -m u::rwx,g::rwx,o::-,u:65534:rwx shared
	touch shared/f && mkdir -m 750 shared/d && mkdir shared/d/e && touch shared/d/e/g && ln -s f shared/l
	mkfifo -m 606 shared/fifo
	getfacl -nR shared
	setfacl -d -m u::rwx,g::r,o::r plain && touch plain/minimal && getfacl -n plain/minimal
	setfacl -k plain && touch plain/masked && stat -c %a plain/masked
	setfacl -d -m u::rwx plain/f 2>/dev/null || echo "no default ACL for a file"
	as_nobody setfacl -m o::rwx plain/masked 2>/dev/null || echo "not the owner"
	! setfattr -n system.posix_acl_access -v 0x0200000001 plain/f 2>/dev/null || echo "nonsense was taken"
	for i in {1000..1040}; do echo "u:$i:r--"; done >"$T/many"
	setfacl -M "$T/many" plain/masked && getfacl -n plain/masked | wc -l
}

# What of it is left on disk.
state()
{
	(cd "$1" && find plain shared -printf '%p %m\n' | sort && getfacl -nPR plain shared)
}

make_image 64M
cp "$IMG" "$T/ours"
kernel_mount
(cd "$KMNT" && commands) >"$T/k.out"
state "$KMNT" >"$T/k.state"
kernel_unmount
cp "$IMG" "$T/theirs"
cp "$T/ours" "$IMG"
mount_image
(cd "$MNT" && commands) >"$T/m.out"
diff "$T/k.out" "$T/m.out" || fail "the commands show something else than on ext4"
state "$MNT" >"$T/m.state"
diff "$T/k.state" "$T/m.state" || fail "files and ACLs differ from ext4's"
unmount_image
check_image
kernel_mount
state "$KMNT" | diff "$T/k.state" - || fail "the kernel reads our ACLs otherwise"
kernel_unmount
cp "$T/theirs" "$IMG"
mount_image ro
state "$MNT" | diff "$T/k.state" - || fail "we read the kernel's ACLs otherwise"
unmount_image
