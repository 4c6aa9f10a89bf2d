#include "tests/component/restore_fixture.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>

#include "base/id.h"
#include "base/io.h"
#include "memory/capture.h"
#include "memory/fill.h"

namespace wrenn::component {

Guest::~Guest() {
  client.reset();
  if (!machine) return;
  if (testing::Test::HasFailure()) {
    std::fprintf(stderr, "console of %s:\n%s\n", config.id.c_str(),
                 ReadFile(Path("console.log")).value_or("").c_str());
  }
  const Status killed = machine->Kill(Patience());
  EXPECT_TRUE(killed) << killed.error().ToString();
  machine.reset();
  EXPECT_EQ(ProcessesOf(config.id), 0);
}

Status Guest::Init() {
  client = std::make_unique<agent::Client>(machine->channel(), "");
  // The clock is read when the agent can take it, not before.
  RETURN_IF_ERROR(client->Health(Patience()));
  wire::InitRequest request;
  request.timestamp = std::chrono::system_clock::now();
  ASSIGN_OR_RETURN([[maybe_unused]] const wire::InitReply reply, client->Init(request, Patience()));
  return {};
}

void Guest::Loop(const std::string& name, const std::string& step) {
  // In one write to a file that is there, so that no reader finds it empty for long.
  (void)Shell(
      fmt::format("(i=0; while :; do {}; i=$((i + 1)); echo $i > /run/{}; done) "
                  "> /dev/null 2>&1 < /dev/null & echo $! > /run/{}.pid",
                  step, name, name));
}

int64_t Guest::Rounds(const std::string& name) {
  const std::string text =
      Shell(fmt::format("until [ -s /run/{0} ]; do sleep 0.01; done; "
                        "cat /run/{0}",
                        name));
  return text.empty() ? -1 : std::strtoll(text.c_str(), nullptr, 10);
}

int64_t Guest::WaitForRounds(const std::string& name, int64_t count) {
  const Deadline deadline = Patience();
  for (;;) {
    const int64_t rounds = Rounds(name);
    if (rounds >= count || deadline.HasPassed()) return rounds;
    (void)Shell("sleep 0.05");  // the guest's own time is what passes
  }
}

Result<std::unique_ptr<Guest>> RestoreTest::BootGuest() {
  auto guest = std::make_unique<Guest>(std::move(*directory_));
  ASSIGN_OR_RETURN(const disk::Layer layer,
                   disk::ParseLayer(config_.disk.substr(config_.disk.rfind('/') + 1)));
  guest->layers = {layer};
  const uint64_t bytes = static_cast<uint64_t>(config_.memory_mb) << 20;
  guest->image = memory::Image::Zero(bytes);
  config_.memory = guest->Path("memory.empty");
  const UniqueFd base(::open(config_.memory.c_str(), O_WRONLY | O_CREAT | O_EXCL, 0600));
  if (!base || ::ftruncate(base.get(), static_cast<off_t>(bytes)) < 0) {
    return Fail(ErrnoError("cannot make '" + config_.memory + "'"));
  }
  guest->config = config_;
  ASSIGN_OR_RETURN(guest->machine, engine_->Boot(guest->config, Patience()));
  RETURN_IF_ERROR(guest->Init());
  return guest;
}

Result<std::string> RestoreTest::PrepareLayer(Guest& guest) {
  ASSIGN_OR_RETURN(disk::Layer next,
                   disk::AddLayer(guest.config.directory, guest.layers.front(), 0));
  const std::string path = guest.Path(next.name);
  RETURN_IF_ERROR(guest.machine->PrepareDisk(path, Patience()));
  guest.layers.insert(guest.layers.begin(), std::move(next));
  guest.config.disk = path;
  guest.config.disk_format = vmm::DiskFormat::kQcow2;
  return path;
}

Result<std::unique_ptr<Frozen>> RestoreTest::Take(Guest& guest) {
  ASSIGN_OR_RETURN(auto folder, os::TemporaryDirectory::Make());
  auto frozen = std::make_unique<Frozen>(std::move(folder));
  frozen->config = guest.config;
  frozen->layers = guest.layers;
  frozen->fingerprint = engine_->Fingerprint(guest.config);
  ASSIGN_OR_RETURN(const std::string next, PrepareLayer(guest));

  RETURN_IF_ERROR(guest.machine->Freeze(Patience()));
  RETURN_IF_ERROR(guest.machine->SaveState(frozen->State(), Patience()));
  ASSIGN_OR_RETURN(const memory::ProcessMemory memory, guest.machine->Memory());
  ASSIGN_OR_RETURN(const memory::Ranges ranges, memory.Written());
  memory::Written written;
  const auto read = [&](uint64_t offset, std::span<char> out) { return memory.Read(offset, out); };
  ASSIGN_OR_RETURN(frozen->image, memory::WriteImage(guest.image, guest.config.directory, ranges,
                                                     read, frozen->folder.path(), written));
  RETURN_IF_ERROR(guest.machine->SwitchDisk(next, Patience()));
  RETURN_IF_ERROR(guest.machine->Continue(Patience()));
  RETURN_IF_ERROR(memory::Save(frozen->image, frozen->folder.path()));
  RETURN_IF_ERROR(disk::LinkLayers(frozen->layers, guest.config.directory, frozen->folder.path()));
  return frozen;
}

Result<std::unique_ptr<Guest>> RestoreTest::Prepare(const Frozen& frozen) {
  ASSIGN_OR_RETURN(auto folder, os::TemporaryDirectory::Make());
  auto guest = std::make_unique<Guest>(std::move(folder));
  const std::string& path = guest->folder.path();
  guest->config = frozen.config;
  guest->config.id = NewId("sb");
  guest->config.directory = path;
  guest->config.runtime_directory = path + "/run";
  guest->config.kernel.clear();
  guest->config.initramfs.clear();
  guest->layers = frozen.layers;
  RETURN_IF_ERROR(disk::LinkLayers(frozen.layers, frozen.folder.path(), path));
  ASSIGN_OR_RETURN(disk::Layer top, disk::AddLayer(path, frozen.layers.front(), 0));
  guest->config.disk = guest->Path(top.name);
  guest->config.disk_format = vmm::DiskFormat::kQcow2;
  guest->layers.insert(guest->layers.begin(), std::move(top));
  ASSIGN_OR_RETURN(guest->image, memory::Load(frozen.folder.path()));
  for (const memory::ImageFile& file : guest->image.files) {
    RETURN_IF_ERROR(os::LinkFile(frozen.folder.path() + "/" + file.name, guest->Path(file.name)));
  }
  guest->config.memory = guest->Path(guest->image.files.at(guest->image.base).name);
  RETURN_IF_ERROR(engine_->CheckFingerprint(guest->config, frozen.fingerprint));
  return guest;
}

Status RestoreTest::Start(Guest& guest, const Frozen& frozen) {
  const auto fill = [&](const memory::ProcessMemory& memory) -> Status {
    ASSIGN_OR_RETURN([[maybe_unused]] const uint64_t filled,
                     memory::Fill(guest.image, guest.config.directory, memory));
    return {};
  };
  ASSIGN_OR_RETURN(guest.machine, engine_->Restore(guest.config, frozen.State(), fill, Patience()));
  RETURN_IF_ERROR(guest.machine->Continue(Patience()));
  return guest.Init();
}

Result<std::unique_ptr<Guest>> RestoreTest::Restore(const Frozen& frozen) {
  ASSIGN_OR_RETURN(auto guest, Prepare(frozen));
  RETURN_IF_ERROR(Start(*guest, frozen));
  return guest;
}

}  // namespace wrenn::component
