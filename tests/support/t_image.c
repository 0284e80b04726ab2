// SPDX-License-Identifier: GPL-2.0-only
#include "support/t_image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CHUNK_BYTES = 64 << 10 };

/* Debian keeps e2fsprogs where an ordinary user's PATH does not reach. */
#define SBIN "PATH=\"$PATH:/usr/sbin:/sbin\"; export PATH LC_ALL=C MKE2FS_SKIP_PROGRESS=1; "

/* Not for e2fsck: what mbfs has written since would lie in its future. */
#define FAKE_TIME "E2FSPROGS_FAKE_TIME=1700000000 "

char *t_run_status(const char *cmd, int *status)
{
	size_t bytes = 0, room = 4096;
	char *line, *out = malloc(room);
	FILE *fp;

	ck_assert_int_gt(asprintf(&line, SBIN "{ %s\n} 2>&1 </dev/null", cmd), 0);
	fflush(NULL);
	fp = popen(line, "re");
	ck_assert_ptr_nonnull(fp);
	for (size_t n; (n = fread(out + bytes, 1, room - bytes - 1, fp)) > 0;) {
		bytes += n;
		if (bytes + 1 == room)
			out = realloc(out, room *= 2);
		ck_assert_ptr_nonnull(out);
	}
	out[bytes] = 0;
	*status = pclose(fp);
	*status = WIFEXITED(*status) ? WEXITSTATUS(*status) : 128;
	free(line);
	return out;
}

char *t_run(const char *cmd)
{
	int status;
	char *out = t_run_status(cmd, &status);

	ck_assert_msg(status == 0, "exit status %d: %s\n%s", status, cmd, out);
	return out;
}

char *t_runf(const char *fmt, ...)
{
	char *cmd, *out;
	va_list ap;

	va_start(ap, fmt);
	ck_assert_int_ge(vasprintf(&cmd, fmt, ap), 0);
	va_end(ap);
	out = t_run(cmd);
	free(cmd);
	return out;
}

char *t_temp(void)
{
	const char *dir = getenv("TMPDIR");
	char *path;
	int fd;

	ck_assert_int_gt(asprintf(&path, "%s/mbfs-t-XXXXXX", dir && *dir ? dir : "/tmp"), 0);
	fd = mkstemp(path);
	ck_assert_msg(fd >= 0, "%s: %s", path, strerror(errno));
	close(fd);
	return path;
}

static void temp_drop(char *path)
{
	unlink(path);
	free(path);
}

bool t_image_have(void)
{
	/* Not t_run_status(): Check's assertions work only while a test runs. */
	return system(SBIN "for tool in mkfs.ext4 debugfs e2fsck; do "
			   "command -v $tool >/dev/null || exit 1; done") == 0;
}

/* ---- files and devices ---- */

struct mbfs_bdev *t_image_load(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	off_t size = lseek(fd, 0, SEEK_END), from = 0;
	struct mbfs_bdev *dev;

	ck_assert_msg(fd >= 0 && size > 0, "%s: %s", path, strerror(errno));
	ck_assert_int_eq(mbfs_bdev_open_mem((uint64_t)size, &dev), 0);
	while ((from = lseek(fd, from, SEEK_DATA)) >= 0) {
		off_t end = lseek(fd, from, SEEK_HOLE);

		while (from < end) {
			ssize_t n = pread(fd, mbfs_bdev_mem_bytes(dev) + from, (size_t)(end - from),
					  from);

			ck_assert_msg(n > 0, "%s: read: %s", path, strerror(errno));
			from += n;
		}
	}
	ck_assert_int_eq(errno, ENXIO);
	close(fd);
	return dev;
}

static bool all_zero(const uint8_t *p, size_t bytes)
{
	return bytes == 0 || (p[0] == 0 && memcmp(p, p + 1, bytes - 1) == 0);
}

void t_image_save(struct mbfs_bdev *dev, const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	uint8_t *buf = malloc(CHUNK_BYTES);

	ck_assert_msg(fd >= 0 && ftruncate(fd, (off_t)dev->size_bytes) == 0, "%s: %s", path,
		      strerror(errno));
	for (uint64_t at = 0; at < dev->size_bytes; at += CHUNK_BYTES) {
		uint64_t left = dev->size_bytes - at;
		size_t n = left < CHUNK_BYTES ? (size_t)left : CHUNK_BYTES;

		ck_assert_int_eq(mbfs_bdev_read(dev, at, buf, n), 0);
		if (!all_zero(buf, n))
			ck_assert_int_eq(pwrite(fd, buf, n, (off_t)at), (ssize_t)n);
	}
	free(buf);
	close(fd);
}

static char *temp_image(struct mbfs_bdev *dev)
{
	char *path = t_temp();

	t_image_save(dev, path);
	return path;
}

/* The file's bytes replace the device's, which has the same size. */
static void reload(struct mbfs_bdev *mem, const char *path)
{
	struct mbfs_bdev *now = t_image_load(path);

	ck_assert_uint_eq(now->size_bytes, mem->size_bytes);
	memcpy(mbfs_bdev_mem_bytes(mem), mbfs_bdev_mem_bytes(now), mem->size_bytes);
	mbfs_bdev_close(now);
}

/* ---- making images ---- */

static struct mbfs_bdev *image_make(const char *mkfs_args, uint64_t size_bytes, bool must)
{
	char *path = t_temp(), *cmd, *out;
	struct mbfs_bdev *dev = NULL;
	int status;

	ck_assert_int_eq(truncate(path, (off_t)size_bytes), 0);
	/* A later -U or -E of the caller's replaces these. */
	ck_assert_int_gt(asprintf(&cmd,
				  FAKE_TIME
				  "mkfs.ext4 -q -F -U 6d626673-7465-4374-8469-6d6167650001 -E "
				  "hash_seed=6d626673-7365-4564-8000-000000000002,nodiscard,"
				  "lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0 %s %s",
				  mkfs_args, path),
			 0);
	out = t_run_status(cmd, &status);
	ck_assert_msg(status == 0 || !must, "exit status %d: %s\n%s", status, cmd, out);
	if (status == 0)
		dev = t_image_load(path);
	free(out);
	free(cmd);
	temp_drop(path);
	return dev;
}

struct mbfs_bdev *t_image_mem(const char *mkfs_args, uint64_t size_bytes)
{
	return image_make(mkfs_args, size_bytes, true);
}

struct mbfs_bdev *t_image_mem_try(const char *mkfs_args, uint64_t size_bytes)
{
	return image_make(mkfs_args, size_bytes, false);
}

/* ---- debugfs ---- */

static void text_save(const char *path, const char *text)
{
	FILE *fp = fopen(path, "we");

	ck_assert_ptr_nonnull(fp);
	ck_assert_int_ge(fputs(text, fp), 0);
	ck_assert_int_eq(fclose(fp), 0);
}

void t_image_debugfs(struct mbfs_bdev *mem, const char *script)
{
	char *path = temp_image(mem), *cmds = t_temp(), *out;

	text_save(cmds, script);
	/* debugfs -f continues after a failed command and exits with 0; a complaint names its
	 * command. */
	out = t_runf(FAKE_TIME "debugfs -w -f %s %s", cmds, path);
	for (char *line = strtok(out, "\n"); line; line = strtok(NULL, "\n")) {
		bool fine = strncmp(line, "debugfs", 7) == 0 ||
			    strncmp(line, "Allocated inode: ", 17) == 0 ||
			    strncmp(line, "Checksum set ", 13) == 0;

		ck_assert_msg(fine, "debugfs: %s", line);
	}
	free(out);
	reload(mem, path);
	temp_drop(cmds);
	temp_drop(path);
}

char *t_image_ask(struct mbfs_bdev *dev, const char *request)
{
	char *path = temp_image(dev), *out;

	out = t_runf("debugfs -R '%s' %s 2>/dev/null", request, path);
	temp_drop(path);
	return out;
}

/* ---- content ---- */

/* One chunk of 4 KiB in @one_of has data, the others are holes. */
static char *host_file(uint64_t bytes, unsigned one_of)
{
	enum { HOST_CHUNK_BYTES = 4096 };
	uint8_t buf[HOST_CHUNK_BYTES];
	char *path = t_temp();
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	for (uint64_t at = 0; at < bytes; at += (uint64_t)one_of * HOST_CHUNK_BYTES) {
		size_t n = bytes - at < HOST_CHUNK_BYTES ? (size_t)(bytes - at) : HOST_CHUNK_BYTES;

		for (size_t i = 0; i < n; i++)
			buf[i] = t_image_byte(at + i);
		ck_assert_int_eq(pwrite(fd, buf, n, (off_t)at), (ssize_t)n);
	}
	ck_assert_int_eq(ftruncate(fd, (off_t)bytes), 0);
	close(fd);
	return path;
}

static void add_tree(FILE *script, char *host[8])
{
	for (unsigned f = 0; f < 8; f++)
		host[f] = host_file((uint64_t)f * 3000, 1);
	for (unsigned d = 0; d < 4; d++) {
		fprintf(script, "mkdir /d%u\n", d);
		for (unsigned f = 0; f < 8; f++)
			fprintf(script, "write %s /d%u/f%u\n", host[f], d, f);
	}
}

static void add_links(FILE *script)
{
	fprintf(script, "symlink /fast d0/f1\nsymlink /slow ");
	for (int i = 0; i < 20; i++)
		fprintf(script, "d0/../");
	fprintf(script, "d0/f1\nln /d0/f1 /hard\nset_inode_field /d0/f1 links_count 2\n");
}

static void add_xattrs(FILE *script)
{
	fprintf(script, "ea_set /d0/f1 user.small mbfs\nea_set /d0/f2 user.big ");
	for (int i = 0; i < 400; i++)
		fputc('a' + i % 26, script);
	fputc('\n', script);
}

static void add_names(FILE *script, const char *empty)
{
	fprintf(script, "mkdir /big\n");
	for (unsigned i = 0; i < 1300; i++)
		fprintf(script, "write %s /big/%05u-%090u\n", empty, i, 0);
}

/* debugfs does not index directories; e2fsck -D does (its exit status is 1: changed). */
static void index_dirs(struct mbfs_bdev *mem)
{
	char *path = temp_image(mem), *cmd, *out;
	int status;

	ck_assert_int_gt(asprintf(&cmd, "e2fsck -fyD %s", path), 0);
	out = t_run_status(cmd, &status);
	ck_assert_msg(status <= 1, "exit status %d: %s\n%s", status, cmd, out);
	reload(mem, path);
	free(cmd);
	free(out);
	temp_drop(path);
}

void t_image_populate(struct mbfs_bdev *mem, unsigned content)
{
	char *host[8] = { NULL }, *empty = t_temp(), *sparse = NULL, *text = NULL;
	size_t bytes = 0;
	FILE *script = open_memstream(&text, &bytes);

	ck_assert_ptr_nonnull(script);
	if (content & (T_IMAGE_LINKS | T_IMAGE_XATTRS))
		content |= T_IMAGE_TREE;
	if (content & T_IMAGE_TREE)
		add_tree(script, host);
	if (content & T_IMAGE_LINKS)
		add_links(script);
	if (content & T_IMAGE_XATTRS)
		add_xattrs(script);
	if (content & T_IMAGE_EXTENTS) {
		sparse = host_file(2400 * 4096, 3);
		fprintf(script, "write %s /sparse\n", sparse);
	}
	if (content & T_IMAGE_HTREE)
		add_names(script, empty);
	ck_assert_int_eq(fclose(script), 0);
	t_image_debugfs(mem, text);
	if (content & T_IMAGE_HTREE)
		index_dirs(mem);
	for (unsigned f = 0; f < 8; f++)
		if (host[f])
			temp_drop(host[f]);
	if (sparse)
		temp_drop(sparse);
	temp_drop(empty);
	free(text);
}

/* ---- the judge ---- */

/* Lines that e2fsck -fn prints about what it would change; a tree deeper than need be is no fault.
 */
static bool complains(const char *out)
{
	const char *q = out;

	while ((q = strstr(q, "? no"))) {
		static const char harmless[] = "Optimize";
		size_t n = sizeof(harmless) - 1;

		if (q < out + n || strncmp(q - n, harmless, n) != 0)
			return true;
		q++;
	}
	return strstr(out, " wrong ") || strstr(out, "WARNING") ||
	       strstr(out, "skipping journal recovery");
}

int t_image_fsck(struct mbfs_bdev *dev)
{
	char *path = temp_image(dev), *cmd, *out;
	int status;

	ck_assert_int_gt(asprintf(&cmd, "e2fsck -fn %s", path), 0);
	out = t_run_status(cmd, &status);
	if (status == 0 && complains(out))
		status = 1;
	if (status)
		printf("e2fsck -fn: %d\n%s\n", status, out);
	free(out);
	free(cmd);
	temp_drop(path);
	return status;
}
