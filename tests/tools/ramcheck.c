// A guest program that keeps memory and a file changing, and can always tell whether they are
// right.
//
//   ramcheck run FOLDER PAGES    changes its pages, and those of FOLDER/file, for ever
//   ramcheck check FOLDER        has the running one check all of them: prints "ok CHANGES" and
//                                exits with 0, or says what is wrong and exits with 1
//   ramcheck hold FOLDER         the same, and it changes nothing more until it is released; prints
//                                "page INDEX SEED FRAME" for each page in memory, with its frame of
//                                RAM
//   ramcheck release FOLDER      lets it go on
//
// A page is its index, a seed and what follows from the two, with a CRC-32, so that it can be known
// again outside of the guest; or it is all zeros, its seed 0. Which of these it is to be stands in
// a table. The file is read through the guest's cache, which comes back with its RAM, and from its
// disk.
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { kPage = 4096, kPayload = kPage - 32, kFilePages = 64 };

struct page {
  char magic[8];
  uint64_t index;
  uint64_t seed;
  uint32_t crc;
  uint32_t unused;
  unsigned char payload[kPayload];
};

static uint64_t Next(uint64_t* state) {
  *state ^= *state << 13;
  *state ^= *state >> 7;
  *state ^= *state << 17;
  return *state * 0x2545F4914F6CDD1Du;
}

// Of the high bits: the low ones of one number say too much of the next one's.
static uint64_t Below(uint64_t limit, uint64_t* state) { return (Next(state) >> 33) % limit; }

static uint32_t Crc(const unsigned char* bytes, size_t size) {
  static uint32_t table[256];
  if (table[1] == 0) {
    for (uint32_t i = 0; i < 256; ++i) {
      uint32_t c = i;
      for (int k = 0; k < 8; ++k) c = c & 1 ? 0xEDB88320u ^ (c >> 1) : c >> 1;
      table[i] = c;
    }
  }
  uint32_t crc = 0xFFFFFFFFu;
  for (size_t i = 0; i < size; ++i) crc = table[(crc ^ bytes[i]) & 0xFF] ^ (crc >> 8);
  return crc ^ 0xFFFFFFFFu;
}

static void Fill(struct page* page, uint64_t index, uint64_t seed) {
  if (seed == 0) {
    memset(page, 0, sizeof *page);
    return;
  }
  memcpy(page->magic, "RAMCHECK", 8);
  page->index = index;
  page->seed = seed;
  page->unused = 0;
  uint64_t state = seed * 2654435761u + index + 1;
  for (size_t i = 0; i < kPayload; i += 8) {
    const uint64_t word = Next(&state);
    memcpy(page->payload + i, &word, 8);
  }
  page->crc = Crc(page->payload, kPayload);
}

static char folder[200];

static const char* Path(const char* name) {
  static char path[300];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  return path;
}

static int Check(FILE* out, const struct page* page, uint64_t index, uint64_t seed,
                 const char* where) {
  struct page expected;
  Fill(&expected, index, seed);
  if (memcmp(page, &expected, sizeof expected) == 0) return 1;
  fprintf(out, "BAD %s page %llu: seed %llu expected, %llu found\n", where,
          (unsigned long long)index, (unsigned long long)seed, (unsigned long long)page->seed);
  return 0;
}

static int CheckFile(FILE* out, int flags, const uint64_t* seeds, const char* where) {
  static struct page pages[kFilePages] __attribute__((aligned(kPage)));
  const int file = open("file", O_RDONLY | flags);
  const int read = pread(file, pages, sizeof pages, 0) == (ssize_t)sizeof pages;
  if (!read) fprintf(out, "BAD %s cannot be read\n", where);
  close(file);
  int good = read;
  for (uint64_t i = 0; good && i < kFilePages; ++i)
    good = Check(out, &pages[i], i, seeds[i], where);
  return good;
}

static int List(FILE* out, const struct page* pages, const uint64_t* seeds, uint64_t count) {
  const int map = open("/proc/self/pagemap", O_RDONLY);
  int good = 1;
  for (uint64_t i = 0; good && i < count; ++i) {
    uint64_t entry = 0;
    good = pread(map, &entry, sizeof entry, (off_t)((uintptr_t)&pages[i] / kPage * sizeof entry)) ==
           (ssize_t)sizeof entry;
    fprintf(out, "page %llu %llu %llu\n", (unsigned long long)i, (unsigned long long)seeds[i],
            (unsigned long long)(entry & ((1ull << 55) - 1)));
  }
  close(map);
  return good;
}

static void Report(const struct page* pages, const uint64_t* seeds, uint64_t count,
                   const uint64_t* file_seeds, uint64_t changes, int list) {
  FILE* out = fopen("report.new", "w");
  int good = out != NULL;
  for (uint64_t i = 0; good && i < count; ++i) good = Check(out, &pages[i], i, seeds[i], "memory");
  good = good && CheckFile(out, 0, file_seeds, "file") &&
         CheckFile(out, O_DIRECT, file_seeds, "file on the disk") &&
         (!list || List(out, pages, seeds, count));
  if (good) fprintf(out, "ok %llu\n", (unsigned long long)changes);
  if (out) fclose(out);
  rename("report.new", "report");
}

// Copies of one guest go on with the same numbers: what tells them apart, their host name, is mixed
// in.
static void MixName(uint64_t* state) {
  static char known[65];
  char name[65] = "";
  gethostname(name, sizeof name - 1);
  if (strcmp(name, known) == 0) return;
  strcpy(known, name);
  *state ^= (uint64_t)Crc((const unsigned char*)name, strlen(name)) << 16;
  if (*state == 0) *state = 1;
}

static int Run(uint64_t count) {
  struct page* pages = mmap(NULL, count * kPage, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  uint64_t* seeds = calloc(count, sizeof *seeds);
  static uint64_t file_seeds[kFilePages];
  const int file = open(Path("file"), O_RDWR | O_CREAT | O_TRUNC, 0600);
  if (pages == MAP_FAILED || !seeds || file < 0 || ftruncate(file, kFilePages * kPage) < 0)
    return 1;
  if (chdir(folder) < 0) return 1;

  sigset_t asked;
  sigemptyset(&asked);
  sigaddset(&asked, SIGUSR1);
  sigaddset(&asked, SIGUSR2);
  sigaddset(&asked, SIGCONT);
  sigprocmask(SIG_BLOCK, &asked, NULL);

  uint64_t state = 88172645463325252u;
  for (uint64_t i = 0; i < count; ++i) {
    seeds[i] = Next(&state) >> 1;
    Fill(&pages[i], i, seeds[i]);
  }

  FILE* pid = fopen("pid.new", "w");
  fprintf(pid, "%d\n", (int)getpid());
  fclose(pid);
  rename("pid.new", "pid");

  for (uint64_t changes = 0;; ++changes) {
    const struct timespec pause = {0, 2000000};
    const int signal = sigtimedwait(&asked, NULL, &pause);
    if (signal == SIGUSR1) Report(pages, seeds, count, file_seeds, changes, 0);
    if (signal == SIGUSR2) {
      Report(pages, seeds, count, file_seeds, changes, 1);
      sigset_t go_on;
      sigemptyset(&go_on);
      sigaddset(&go_on, SIGCONT);
      sigwaitinfo(&go_on, NULL);
    }
    MixName(&state);
    for (int i = 0; i < 8; ++i) {
      const uint64_t index = Below(count, &state);
      // Every fourth change is back to zeros.
      seeds[index] = Below(4, &state) == 0 ? 0 : Next(&state) >> 1;
      Fill(&pages[index], index, seeds[index]);
    }
    const uint64_t index = Below(kFilePages, &state);
    struct page page;
    file_seeds[index] = Below(4, &state) == 0 ? 0 : Next(&state) >> 1;
    Fill(&page, index, file_seeds[index]);
    if (pwrite(file, &page, sizeof page, (off_t)(index * kPage)) != (ssize_t)sizeof page) return 1;
  }
}

static int Ask(int signal) {
  FILE* file = fopen(Path("pid"), "r");
  int pid = 0;
  if (!file || fscanf(file, "%d", &pid) != 1) return 1;
  fclose(file);
  unlink(Path("report"));
  if (kill(pid, signal) < 0) return 1;
  if (signal == SIGCONT) return 0;
  while ((file = fopen(Path("report"), "r")) == NULL) {
    if (kill(pid, 0) < 0) return 1;
    usleep(2000);
  }
  char line[300];
  int good = 0;
  while (fgets(line, sizeof line, file)) {
    fputs(line, stdout);
    good = strncmp(line, "ok ", 3) == 0;
  }
  return good ? 0 : 1;
}

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  snprintf(folder, sizeof folder, "%s", argv[2]);
  if (strcmp(argv[1], "run") == 0 && argc == 4) return Run(strtoull(argv[3], NULL, 10));
  if (strcmp(argv[1], "check") == 0) return Ask(SIGUSR1);
  if (strcmp(argv[1], "hold") == 0) return Ask(SIGUSR2);
  if (strcmp(argv[1], "release") == 0) return Ask(SIGCONT);
  return 2;
}
