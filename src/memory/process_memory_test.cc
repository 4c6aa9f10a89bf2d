#include "memory/process_memory.h"

#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>

#include <thread>

#include "memory/test_machine.h"
#include "memory/written_pages.h"
#include "os/files.h"

namespace wrenn::memory {
namespace {

constexpr uint64_t kPages = 2500;
constexpr uint64_t kSize = kPages * kPageSize;

class ProcessMemoryTest : public testing::Test {
 protected:
  void SetUp() override {
    dir_ = os::TemporaryDirectory::Make();
    ASSERT_TRUE(dir_);
    base_ = dir_->path() + "/base";
    // Data in the first half, a hole in the second.
    std::string content(kSize / 2, 'b');
    ASSERT_TRUE(WriteFileAtomically(base_, content));
    ASSERT_EQ(::truncate(base_.c_str(), kSize), 0);
  }

  Result<os::TemporaryDirectory> dir_ = Fail(Code::kUnknown, "not made");
  std::string base_;
};

TEST_F(ProcessMemoryTest, WrittenIsExact) {
  auto machine = TestMachine::Start(base_, kSize);
  ASSERT_TRUE(machine);
  auto memory = machine->Memory();
  ASSERT_TRUE(memory) << memory.error().ToString();
  EXPECT_EQ(memory->size(), kSize);
  EXPECT_EQ(*memory->Written(), Ranges{});
  for (uint64_t page = 0; page < kPages; page += 3) machine->Make({Change::kRead, page});
  EXPECT_EQ(*memory->Written(), Ranges{}) << "reading is not writing";
  machine->Make({Change::kScribble, 5});
  machine->Make({Change::kZeros, 6});
  machine->Make({Change::kSame, 9});
  machine->Make({Change::kZeros, kPages - 1});
  const Ranges wanted{{5 * kPageSize, 2 * kPageSize},
                      {9 * kPageSize, kPageSize},
                      {(kPages - 1) * kPageSize, kPageSize}};
  EXPECT_EQ(*memory->Written(), wanted);
  ASSERT_TRUE(memory->Write(100 * kPageSize + 1, std::string("x")));
  EXPECT_EQ(memory->Written()->size(), wanted.size() + 1);
}

// More pieces than one answer of the kernel holds.
TEST_F(ProcessMemoryTest, BothWaysToFindWrittenPagesAgree) {
  auto machine = TestMachine::Start(base_, kSize);
  ASSERT_TRUE(machine);
  for (uint64_t page = 0; page < kPages; ++page) {
    if (page % 2 == 1) machine->Make({Change::kRead, page});
    if (page % 2 == 0 || page % 50 < 8) machine->Make({Change::kByte, page});
  }
  const auto mappings = FindMappings(machine->pid(), base_);
  ASSERT_TRUE(mappings);
  ASSERT_EQ(mappings->size(), 1u);
  const UniqueFd pagemap(
      ::open(fmt::format("/proc/{}/pagemap", machine->pid()).c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(pagemap);
  const uint64_t begin = mappings->front().address;
  const auto read = ReadWrittenPages(pagemap.get(), begin, begin + kSize);
  ASSERT_TRUE(read) << read.error().ToString();
  EXPECT_GT(read->size(), 512u);
  const auto scanned = ScanWrittenPages(pagemap.get(), begin, begin + kSize);
  if (!scanned && scanned.error().code == Code::kUnimplemented) {
    GTEST_SKIP() << "needs Linux 6.7 (PAGEMAP_SCAN)";
  }
  ASSERT_TRUE(scanned) << scanned.error().ToString();
  EXPECT_TRUE(*scanned == *read);
}

TEST_F(ProcessMemoryTest, ReadsAndWritesRanges) {
  auto machine = TestMachine::Start(base_, kSize);
  ASSERT_TRUE(machine);
  auto memory = machine->Memory();
  ASSERT_TRUE(memory);
  std::vector<char> model(kSize, 0);
  ASSERT_TRUE(memory->Read(0, model));
  EXPECT_EQ(std::count(model.begin(), model.end(), 'b'), static_cast<long>(kSize / 2));
  // More pieces than a call takes (IOV_MAX).
  Ranges ranges;
  for (uint64_t page = 0; page < kPages; page += 2) {
    Append(ranges, {page * kPageSize, kPageSize});
  }
  std::vector<char> data(TotalLength(ranges));
  for (size_t i = 0; i < data.size() / kPageSize; ++i) Scribble(data.data(), i, i + 1);
  ASSERT_TRUE(memory->WriteRanges(ranges, data));
  const char* from = data.data();
  for (const Range& range : ranges) {
    std::memcpy(model.data() + range.offset, from, range.length);
    from += range.length;
  }
  EXPECT_EQ(machine->Digest(), os::Sha256Bytes({model.data(), model.size()}));
  std::vector<char> back(data.size());
  ASSERT_TRUE(memory->ReadRanges(ranges, back));
  EXPECT_TRUE(back == data);

  EXPECT_EQ(memory->Read(kSize - 1, std::span(back).first(2)).error().code, Code::kOutOfRange);
  EXPECT_EQ(memory->Write(UINT64_MAX, std::span(back).first(1)).error().code, Code::kOutOfRange);
  EXPECT_EQ(memory->ReadRanges({{0, kPageSize}}, std::span(back).first(1)).error().code,
            Code::kInvalidArgument);
}

// What a container's seccomp profile does to process_vm_readv and process_vm_writev.
bool RefuseProcessVm() {
  sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_process_vm_readv, 1, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_process_vm_writev, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program{std::size(filter), filter};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

TEST_F(ProcessMemoryTest, WorksWhereProcessVmReadvIsRefused) {
  auto machine = TestMachine::Start(base_, kSize);
  ASSERT_TRUE(machine);
  auto memory = machine->Memory();
  ASSERT_TRUE(memory);
  const Ranges ranges{{0, 2 * kPageSize}, {7 * kPageSize, kPageSize}};
  std::vector<char> data(TotalLength(ranges), 'w');
  std::vector<char> back(kSize);
  Status written;
  Status read;
  bool refused = false;
  // The filter is the thread's own.
  std::thread([&] {
    refused = RefuseProcessVm();
    written = memory->WriteRanges(ranges, data);
    read = memory->Read(0, back);
    if (machine->Kill(); read) read = memory->Read(0, std::span(data));
  }).join();
  ASSERT_TRUE(refused);
  ASSERT_TRUE(written) << written.error().ToString();
  EXPECT_EQ(read.error().code, Code::kUnavailable);
  std::vector<char> model(kSize, 0);
  std::fill_n(model.begin(), kSize / 2, 'b');
  std::fill_n(model.begin(), 2 * kPageSize, 'w');
  std::fill_n(model.begin() + 7 * kPageSize, kPageSize, 'w');
  EXPECT_TRUE(back == model);
}

TEST_F(ProcessMemoryTest, AnEndedMachineIsUnavailable) {
  auto machine = TestMachine::Start(base_, kSize);
  ASSERT_TRUE(machine);
  auto memory = machine->Memory();
  ASSERT_TRUE(memory);
  machine->Kill();
  char byte = 0;
  EXPECT_EQ(memory->Read(0, {&byte, 1}).error().code, Code::kUnavailable);
  EXPECT_EQ(memory->Write(0, {&byte, 1}).error().code, Code::kUnavailable);
  EXPECT_EQ(memory->Written().error().code, Code::kUnavailable);
  EXPECT_EQ(FindMappings(machine->pid(), base_).error().code, Code::kUnavailable);
  const ProcessMemory nobody(999999999, {{.address = 4096, .length = 4096, .offset = 0}});
  EXPECT_EQ(nobody.Read(0, {&byte, 1}).error().code, Code::kUnavailable);
  EXPECT_EQ(nobody.Written().error().code, Code::kUnavailable);
}

TEST_F(ProcessMemoryTest, FindsTheFileNotTheName) {
  auto machine = TestMachine::Start(base_, kSize);
  ASSERT_TRUE(machine);
  const std::string other = dir_->path() + "/other name";
  ASSERT_EQ(::link(base_.c_str(), other.c_str()), 0);
  ASSERT_EQ(::unlink(base_.c_str()), 0);
  EXPECT_TRUE(FindMappings(machine->pid(), other));
  ASSERT_TRUE(WriteFileAtomically(base_, std::string(kSize, 'b')));  // the same name, another file
  EXPECT_EQ(FindMappings(machine->pid(), base_).error().code, Code::kNotFound);
  EXPECT_EQ(FindMappings(machine->pid(), dir_->path() + "/none").error().code, Code::kNotFound);
}

TEST_F(ProcessMemoryTest, RefusesASharedMapping) {
  auto machine = TestMachine::Start(base_, kSize, MAP_SHARED);
  ASSERT_TRUE(machine);
  EXPECT_EQ(FindMappings(machine->pid(), base_).error().code, Code::kFailedPrecondition);
}

// The kernel splits a mapping where a part of it is treated differently.
TEST_F(ProcessMemoryTest, PutsAMappingInPiecesTogether) {
  const UniqueFd file(::open(base_.c_str(), O_RDWR | O_CLOEXEC));
  void* mapped = ::mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE, file.get(), 0);
  ASSERT_NE(mapped, MAP_FAILED);
  char* const ram = static_cast<char*>(mapped);
  ASSERT_EQ(::madvise(ram + 10 * kPageSize, 5 * kPageSize, MADV_DONTDUMP), 0);
  const auto mappings = FindMappings(::getpid(), base_);
  ASSERT_TRUE(mappings) << mappings.error().ToString();
  ASSERT_EQ(mappings->size(), 3u);
  const ProcessMemory memory(::getpid(), *mappings);
  std::memset(ram + 9 * kPageSize, 'x', 7 * kPageSize);
  EXPECT_EQ(*memory.Written(), (Ranges{{9 * kPageSize, 7 * kPageSize}}));
  std::vector<char> back(kSize);
  ASSERT_TRUE(memory.Read(0, back));
  EXPECT_EQ(std::memcmp(back.data(), ram, kSize), 0);
  // Twice is one time too many: which of them is the RAM?
  void* second = ::mmap(nullptr, kPageSize, PROT_READ, MAP_PRIVATE, file.get(), 0);
  EXPECT_EQ(FindMappings(::getpid(), base_).error().code, Code::kFailedPrecondition);
  ::munmap(second, kPageSize);
  ::munmap(mapped, kSize);
}

}  // namespace
}  // namespace wrenn::memory
