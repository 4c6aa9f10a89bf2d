// Memory images of a process with 256 MiB, with 16 and 64 MiB of it written: medians and worst of
// some rounds, for each step of a snapshot and of a restore.
//
// Usage: memory_image [DIRECTORY [ROUNDS]]     (DIRECTORY decides the file system; default: .)
#include <fcntl.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include "memory/copy.h"
#include "memory/fill.h"
#include "memory/flatten.h"
#include "memory/test_machine.h"
#include "memory/verify.h"
#include "memory/writer.h"
#include "os/files.h"

namespace {

namespace memory = wrenn::memory;
namespace os = wrenn::os;
using wrenn::Result;
using Clock = std::chrono::steady_clock;

constexpr uint64_t kMiB = 1 << 20;
constexpr uint64_t kSize = 256 * kMiB;

template <typename T>
T Must(Result<T> result) {
  if (!result) {
    std::fprintf(stderr, "memory_image: %s\n", result.error().ToString().c_str());
    std::exit(1);
  }
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

std::vector<std::string> order;
std::map<std::string, std::vector<double>> times;  // milliseconds by step

template <typename Function>
auto Time(const std::string& step, const Function& function) {
  const auto begin = Clock::now();
  auto result = function();
  const std::chrono::duration<double, std::milli> took = Clock::now() - begin;
  if (!times.contains(step)) order.push_back(step);
  times[step].push_back(took.count());
  return Must(std::move(result));
}

// Every other run of 64 KiB, so that it is neither one piece nor single pages.
void WritePages(memory::TestMachine& machine, uint64_t bytes, uint64_t seed) {
  constexpr uint64_t kRun = 16;
  for (uint64_t i = 0; i < bytes / memory::kPageSize; ++i) {
    machine.Make({.page = i / kRun * kRun * 2 + i % kRun, .seed = seed + i});
  }
}

void Round(const std::string& folder, uint64_t mib, uint64_t seed) {
  const std::string what = " " + std::to_string(mib) + " MiB";
  const std::string empty = folder + "/empty";
  Must(memory::MakeEmptyBase(empty, kSize));
  const auto first = folder + "/first";
  const auto second = folder + "/second";
  const auto flat = folder + "/flat";
  for (const auto& each : {first, second, flat}) Must(os::MakeDirectory(each));
  memory::Written written;

  // A machine that booted with 128 MiB, as the base of what is measured.
  auto booted = Must(memory::TestMachine::Start(empty, kSize));
  WritePages(booted, kSize / 2, seed);
  const auto ram = Must(booted.Memory());
  const memory::Image base = Time("WriteImage of a booted one, 128 MiB", [&] {
    return memory::WriteImage(
        memory::Image::Zero(kSize), folder, Must(ram.Written()),
        [&](uint64_t offset, std::span<char> out) { return ram.Read(offset, out); }, first,
        written);
  });

  const std::string base_file = first + "/" + base.files[0].name;
  auto machine = Must(memory::TestMachine::Start(base_file, kSize));
  WritePages(machine, mib * kMiB, seed + kSize);
  const auto memory = Time("FindMappings", [&] { return machine.Memory(); });
  const auto ranges = Time("Written" + what, [&] { return memory.Written(); });
  auto room = Time("CopyRoom" + what, [&] { return memory::CopyRoom::Make(mib * kMiB); });
  const auto copy = Time("Copy::Take" + what,
                         [&] { return memory::Copy::Take(memory, ranges, std::move(room)); });
  const memory::Image image = Time("WriteImage" + what, [&] {
    return memory::WriteImage(
        base, first, ranges,
        [&](uint64_t offset, std::span<char> out) { return copy.Read(offset, out); }, second,
        written);
  });
  Time("Save" + what, [&] { return memory::Save(image, second); });
  Time("Load" + what, [&] { return memory::Load(second); });
  auto restored = Must(memory::TestMachine::Start(base_file, kSize));
  const auto target = Must(restored.Memory());
  Time("Fill" + what, [&] { return memory::Fill(image, second, target); });
  if (restored.Digest() != machine.Digest())
    Must<void>(wrenn::Fail(wrenn::Code::kDataLoss, "it differs"));
  Time("Flatten" + what, [&] { return memory::Flatten(image, second, flat); });
  Time("Verify" + what, [&] { return memory::Verify(image, second); });
}

}  // namespace

int main(int argc, char** argv) {
  const std::string parent = argc > 1 ? argv[1] : ".";
  const int rounds = argc > 2 ? std::atoi(argv[2]) : 9;
  for (const uint64_t mib : {16, 64}) {
    for (int round = 0; round < rounds; ++round) {
      const auto folder = Must(os::TemporaryDirectory::Make(parent, "memory_image"));
      Round(folder.path(), mib, static_cast<uint64_t>(round) * kSize * 2);
    }
  }
  std::printf("%-40s %10s %10s\n", "milliseconds", "median", "worst");
  for (const std::string& step : order) {
    std::ranges::sort(times[step]);
    std::printf("%-40s %10.2f %10.2f\n", step.c_str(), times[step][times[step].size() / 2],
                times[step].back());
  }
}
