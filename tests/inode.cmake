# SPDX-License-Identifier: GPL-2.0-only
mbfs_test(model_file model model/model_file.c support/t_fs.c)
