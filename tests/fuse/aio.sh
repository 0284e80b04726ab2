#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# Goal: O_DIRECT, AIO and mmap on one file mean what they mean on any file system, whoever carries out the
# device's transfers: alignment, the end of the file, appends, vectors, and unlink, truncate, fsync and close with
# writes under way; and a daemon that has to end, by a signal or an aborted connection, with writes under way,
# answers or drops all of them and leaves a clean image. Method: aio.c; then the kernel's ext4 reads what is left;
# then fio as the load that is cut off.
. "$(dirname "$0")/lib.sh"
need fio pgrep

seed=0
CLIENT=$MBFS_BUILD/tests/t_aio
sums()
{
	(cd "$1" && sha256sum -- *-* append mixed)
}
for opt in io=sync io=threads io=uring direct; do
	make_image 300M -b 4096
	mount_image "$opt"
	timeout 120 "$CLIENT" "$MNT" $((++seed)) >"$T/client" 2>&1 || {
		cat "$T/client"
		fail "-o $opt: t_aio $MNT $seed"
	}
	want=$(sums "$MNT")
	unmount_image
	check_image
	echo "-o $opt: $(wc -l <"$T/client") properties"
done
kernel_mount ro
same "$(sums "$KMNT")" "$want" "read by the kernel"
kernel_unmount

for opt in io=sync io=threads direct; do
	for how in signal abort; do
		mount_image "$opt"
		fio --name=load --directory="$MNT" --ioengine=libaio --direct=1 --rw=randwrite --bs=4k --iodepth=32 \
			--size=32m --fallocate=none --time_based --runtime=30 >"$T/fio" 2>&1 &
		load=$!
		for ((i = 0; i < 100; i++)); do
			[ "$(mbfs-stat "$MNT" | awk '$1 == "requests.write_max" { print $2 }')" -lt 4 ] || break
			sleep 0.1
		done
		[ "$i" -lt 100 ] || fail "-o $opt: no load: $(cat "$T/fio")"
		if [ $how = signal ]; then
			kill -TERM "$(pgrep -f -- "^mbfs .*$IMG $MNT\$")"
		else
			umount -f "$MNT" 2>/dev/null || true
		fi
		mbfs --wait "$IMG" --timeout 20 || fail "-o $opt, $how: the daemon does not end"
		wait $load || true # the mount is gone under it
		! mountpoint -q "$MNT" 2>/dev/null || umount -l "$MNT"
		sanitizer_clean || fail "-o $opt, $how"
		check_image
	done
done
