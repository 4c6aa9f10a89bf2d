#include "tests/component/real_guest.h"

#include <charconv>
#include <condition_variable>
#include <cstdlib>
#include <mutex>

#include "base/id.h"
#include "disk/backend.h"
#include "os/process_info.h"
#include "vmm/qemu/engine.h"

namespace wrenn::component {
namespace {

Result<template_::Resolved> BuildMinimal() {
  const char* guest = std::getenv("WRENN_TEST_GUEST");
  if (WRENN_SANITIZED && !guest) {
    return Fail(Code::kUnimplemented,
                "a sanitized wrenn-init cannot boot: name a plain one in $WRENN_TEST_GUEST");
  }
  os::Paths paths;
  paths.root = WRENN_TEST_ROOT;
  paths.runtime = paths.root + "/run";
  RETURN_IF_ERROR(paths.Prepare());
  ASSIGN_OR_RETURN(auto store, store::OpenSqlite(paths.Database()));
  template_::BuildRequest request;
  request.name = "minimal";
  request.kind = "minimal";
  ASSIGN_OR_RETURN([[maybe_unused]] const auto built,
                   template_::Build(paths, *store, request, guest ? guest : WRENN_INIT_PROGRAM,
                                    [](int, int, const std::string&) {}));
  return template_::MakeCatalogue(paths, *store)->Find("default", "minimal");
}

}  // namespace

const Result<template_::Resolved>& MinimalTemplate() {
  static const Result<template_::Resolved> resolved = BuildMinimal();
  return resolved;
}

void RealGuestTest::SetUp() {
  vmm::QemuOptions options;
  auto engine = vmm::MakeQemuEngine(options);
  if (!engine) GTEST_SKIP() << engine.error().message;
  engine_ = std::move(*engine);
  const auto& files = MinimalTemplate();
  if (!files) GTEST_SKIP() << "no template to start: " << files.error().ToString();

  auto directory = os::TemporaryDirectory::Make();
  ASSERT_TRUE(directory);
  directory_.emplace(std::move(*directory));
  config_.id = NewId("sb");
  config_.directory = directory_->path();
  config_.runtime_directory = directory_->path() + "/run";
  config_.memory_mb = 256;
  config_.kernel = files->vmlinux;
  config_.initramfs = files->initramfs;
  auto backend = disk::MakeBackend("qcow2");
  auto overlay = (*backend)->Create(files->image, config_.directory, 0);
  ASSERT_TRUE(overlay) << overlay.error().ToString();
  config_.disk = config_.directory + "/" + overlay->name;
}

void RealGuestTest::TearDown() {
  client_.reset();
  if (!machine_) {
    // A test that failed between a machine and its adoption.
    if (!record_.empty()) {
      EXPECT_TRUE(engine_->Reap(config_, record_));
    }
    return;
  }
  if (HasFailure()) std::fprintf(stderr, "console:\n%s\n", Console().c_str());
  const auto killed = machine_->Kill(Patience());
  EXPECT_TRUE(killed) << killed.error().ToString();
  machine_.reset();
  EXPECT_EQ(ProcessesOfMachine(), 0);
}

void RealGuestTest::Boot() {
  auto machine = engine_->Boot(config_, Patience());
  ASSERT_TRUE(machine) << machine.error().ToString();
  machine_ = std::move(*machine);
  record_ = machine_->Record();
  WaitForAgent();
}

void RealGuestTest::WaitForAgent() {
  client_ = std::make_unique<agent::Client>(machine_->channel(), "");
  wire::InitRequest init;
  init.timestamp = std::chrono::system_clock::now();
  auto reply = client_->Init(init, Patience());
  ASSERT_TRUE(reply) << reply.error().ToString();
}

vmm::MachineExit RealGuestTest::WaitForExit() {
  struct Shared {
    std::mutex mutex;
    std::condition_variable changed;
    std::optional<vmm::MachineExit> exit;
  };
  // Shared with the machine's thread, which may be later than our patience.
  auto shared = std::make_shared<Shared>();
  machine_->OnExit([shared](const vmm::MachineExit& exit) {
    std::lock_guard lock(shared->mutex);
    shared->exit = exit;
    shared->changed.notify_all();
  });
  std::unique_lock lock(shared->mutex);
  shared->changed.wait_until(lock, Patience().when(), [&] { return shared->exit.has_value(); });
  return shared->exit.value_or(vmm::MachineExit{"it runs on", false});
}

std::string RealGuestTest::Console() const {
  return ReadFile(config_.directory + "/console.log").value_or("");
}

int ProcessesOf(const std::string& id) {
  int count = 0;
  const auto names = os::ListDirectory("/proc");
  for (const std::string& name : *names) {
    pid_t pid = 0;
    if (std::from_chars(name.data(), name.data() + name.size(), pid).ec != std::errc()) continue;
    const auto arguments = os::ReadCommandLine(pid);
    if (!arguments) continue;
    for (const std::string& argument : *arguments) count += argument == "wrenn-" + id;
  }
  return count;
}

}  // namespace wrenn::component
