/* Notes how much of an append-only file has been synced to disk. Preloaded into a Redis server.
 *
 * Before each fsync or fdatasync of a file whose name ends in ".aof", the file's size is taken; once
 * the sync has succeeded, that size is written to the file that SYNCED_SIZE_FILE names: so much of
 * it outlives the end of the machine. 8 bytes, in this machine's byte order. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int note = -1;
static int64_t noted = -1;

static int is_log(int fd) {
  char link[64], name[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, name, sizeof name);
  return length > 4 && memcmp(name + length - 4, ".aof", 4) == 0;
}

static int sync_noted(int fd, const char *name) {
  int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
  struct stat before;
  int counts = is_log(fd) && fstat(fd, &before) == 0;
  int result = real(fd);
  if (counts && result == 0) {
    pthread_mutex_lock(&lock);
    if (note < 0) note = open(getenv("SYNCED_SIZE_FILE"), O_WRONLY | O_CREAT, 0600);
    int64_t size = before.st_size;
    /* Two threads may sync; the file only grows. */
    if (size > noted && pwrite(note, &size, sizeof size, 0) == sizeof size) noted = size;
    pthread_mutex_unlock(&lock);
  }
  return result;
}

int fsync(int fd) { return sync_noted(fd, "fsync"); }
int fdatasync(int fd) { return sync_noted(fd, "fdatasync"); }
