#include "disk/qcow2_writer.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/io.h"
#include "disk/sparse_copy.h"
#include "os/command.h"
#include "os/files.h"

namespace wrenn::disk {
namespace {

using Table = std::vector<Cluster>;

std::span<Cluster, kTableEntries> Span(Table& table) {
  return std::span<Cluster, kTableEntries>(table);
}

TEST(Qcow2WriterTest, WritesWhatTheReaderReads) {
  // More than the 32768 clusters that one refcount block counts.
  constexpr size_t kTables = 6;
  const UniqueFd fd(::memfd_create("image", MFD_CLOEXEC));
  Qcow2Writer writer(fd.get(), kTables * kTableReach);
  std::vector<Table> tables(kTables, Table(kTableEntries));
  for (size_t index = 0; index + 1 < kTables; ++index) {
    const Cluster first = writer.Allocate(kTableEntries);
    for (size_t i = 0; i < kTableEntries; ++i) {
      tables[index][i] = i == 7 ? kUnallocated : i == 8 ? kZeros : first + i * kCluster;
    }
    ASSERT_TRUE(writer.WriteTable(index, Span(tables[index])));
  }
  ASSERT_TRUE(writer.Finish("./below", Format::kQcow2));

  const auto reader = Qcow2Reader::Open(UniqueFd(::dup(fd.get())));
  ASSERT_TRUE(reader) << reader.error().ToString();
  EXPECT_EQ(reader->header().backing, "./below");
  EXPECT_EQ(reader->header().size_bytes, kTables * kTableReach);
  EXPECT_TRUE(reader->Check());
  for (size_t index = 0; index < kTables; ++index) {
    Table table(kTableEntries);
    EXPECT_EQ(reader->ReadTable(index, Span(table)).value(), index + 1 < kTables);
    EXPECT_EQ(table, tables[index]) << index;
  }
}

// QEMU finds every cluster counted, also where the counts themselves need one more block.
TEST(Qcow2WriterTest, CountsAllClusters) {
  if (!os::FindProgram("qemu-img")) GTEST_SKIP() << "needs qemu-img (package qemu-utils)";
  auto dir = os::TemporaryDirectory::Make();
  ASSERT_TRUE(dir);
  ASSERT_TRUE(WriteFileAtomically(dir->path() + "/below", ""));  // it is opened
  // Of the 32768 clusters of a block, seven are header, L1 table, refcount table and L2 tables.
  constexpr size_t kTables = 4;
  constexpr uint64_t kFits = 32768 - 3 - kTables;
  for (uint64_t data = kFits - 2; data <= kFits + 1; ++data) {
    const std::string path = dir->path() + "/image";
    auto file = NewFile::Make(path);
    ASSERT_TRUE(file);
    Qcow2Writer writer(file->fd(), kTables * kTableReach);
    uint64_t left = data;
    for (size_t index = 0; index < kTables; ++index) {
      Table table(kTableEntries);
      for (size_t i = 0; i < kTableEntries && left > 0; ++i, --left) table[i] = writer.Allocate(1);
      ASSERT_TRUE(writer.WriteTable(index, Span(table)));
    }
    ASSERT_TRUE(writer.Finish("./below", Format::kRaw));
    os::CommandOptions check;
    check.argv = {"qemu-img", "check", "-q", "-f", "qcow2", path};
    const auto checked = os::RunCommandOrFail(check, Deadline::After(std::chrono::seconds(60)));
    EXPECT_TRUE(checked) << data << ": " << checked.error().ToString();
  }
}

}  // namespace
}  // namespace wrenn::disk
