// SPDX-License-Identifier: GPL-2.0-only
#include "race/small_image.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"

#define TEMPLATE "/tmp/mbfs-small-XXXXXX"

int small_image_make(const struct small_scenario *s, void **out, struct mbfs_diag *diag)
{
	char path[] = TEMPLATE, command[256];
	int fd, err = 0;

	*out = NULL;
	if (!s->mkfs)
		return 0;
	fd = mkstemp(path);
	if (fd < 0)
		return diag_set(diag, -errno, "%s: %s", path, strerror(errno));
	snprintf(command, sizeof(command),
		 "PATH=$PATH:/usr/sbin:/sbin mkfs.ext4 %s %s %lluk >/dev/null 2>&1", s->mkfs, path,
		 (unsigned long long)s->image_bytes >> 10);
	if (system(command) != 0)
		err = diag_set(diag, -ENOENT,
			       "mkfs.ext4 is wanted for %s (package e2fsprogs), and failed",
			       s->name);
	else
		*out = mmap(NULL, s->image_bytes, PROT_READ, MAP_PRIVATE, fd, 0);
	if (*out == MAP_FAILED) {
		*out = NULL;
		err = diag_set(diag, -ENOMEM, "no memory for the image");
	}
	close(fd);
	unlink(path);
	return err;
}

void small_image_free(const struct small_scenario *s, void *image)
{
	if (image)
		munmap(image, s->image_bytes);
}

/* The first line of e2fsck's that is about something; the pass headings and the version are not. */
static void first_words(FILE *from, char *wrong, size_t bytes)
{
	char line[256];

	snprintf(wrong, bytes, "e2fsck finds the image damaged");
	while (fgets(line, sizeof(line), from)) {
		line[strcspn(line, "\n")] = '\0';
		if (!line[0] || strncmp(line, "e2fsck ", 7) == 0 || strncmp(line, "Pass ", 5) == 0)
			continue;
		snprintf(wrong, bytes, "e2fsck: %s", line);
		break;
	}
	while (fgets(line, sizeof(line), from))
		;
}

/* Wrong counts are printed although the exit status is 0. */
static bool count_is_wrong(const char *words)
{
	return strstr(words, "wrong") || strstr(words, "differences") || strstr(words, "Fix");
}

bool small_image_damaged(const void *bytes, size_t nr, char *wrong, size_t wrong_bytes)
{
	char path[] = TEMPLATE, command[256];
	int fd = mkstemp(path), status;
	FILE *out = NULL;

	if (fd < 0 || write(fd, bytes, nr) != (ssize_t)nr) {
		snprintf(wrong, wrong_bytes, "%s: %s", path, strerror(errno));
	} else {
		snprintf(command, sizeof(command),
			 "PATH=$PATH:/usr/sbin:/sbin e2fsck -fn %s 2>&1", path);
		out = popen(command, "re");
	}
	if (out)
		first_words(out, wrong, wrong_bytes);
	status = out ? pclose(out) : 1;
	if (fd >= 0) {
		close(fd);
		unlink(path);
	}
	return !out || !WIFEXITED(status) || WEXITSTATUS(status) != 0 || count_is_wrong(wrong);
}
