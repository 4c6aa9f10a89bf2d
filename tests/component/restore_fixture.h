// What tests of snapshots need: machines with the files that they run on, as src/sandbox keeps
// them, and snapshots of them, without its records and folders.
#pragma once

#include <memory>
#include <string>

#include "disk/layers.h"
#include "memory/image.h"
#include "tests/component/real_guest.h"

namespace wrenn::component {

// A machine in a folder of its own, ended with the object.
struct Guest {
  explicit Guest(os::TemporaryDirectory its_folder) : folder(std::move(its_folder)) {}
  Guest(const Guest&) = delete;
  Guest& operator=(const Guest&) = delete;
  ~Guest();

  std::string Path(const std::string& name) const { return folder.path() + "/" + name; }
  std::string Shell(const std::string& script) { return RunShell(*client, script); }
  // The step after boot and restore, with this host's time.
  Status Init();
  // Names what runs in the guest's place, in Shell(), for ever: writes its number of rounds to
  // /run/<name>.
  void Loop(const std::string& name, const std::string& step);
  // How many rounds a loop has made; -1 when it has made none. Waits until there are so many.
  int64_t Rounds(const std::string& name);
  int64_t WaitForRounds(const std::string& name, int64_t count);

  os::TemporaryDirectory folder;
  vmm::MachineConfig config;
  disk::Layers layers;  // top first
  memory::Image image;  // what the memory began with
  std::unique_ptr<vmm::Machine> machine;
  std::unique_ptr<agent::Client> client;
};

// The files of a snapshot. Folders lie beside each other, never in each other, for layers name the
// image below them by a relative path.
struct Frozen {
  explicit Frozen(os::TemporaryDirectory its_folder) : folder(std::move(its_folder)) {}
  std::string State() const { return folder.path() + "/state"; }

  os::TemporaryDirectory folder;
  vmm::MachineConfig config;  // of the machine that it is of
  disk::Layers layers;
  memory::Image image;
  json::object fingerprint;
};

class RestoreTest : public RealGuestTest {
 protected:
  // Boots config_, on an empty base and its overlay.
  Result<std::unique_ptr<Guest>> BootGuest();
  // Takes a snapshot of a machine that goes on with another layer of its disk.
  Result<std::unique_ptr<Frozen>> Take(Guest& guest);
  // Adds a layer to the disk of a machine and makes ready to switch to it: its path.
  static Result<std::string> PrepareLayer(Guest& guest);
  // A folder with all that a machine needs to begin where the snapshot ends; none runs.
  Result<std::unique_ptr<Guest>> Prepare(const Frozen& frozen);
  // Starts it, and waits for its agent.
  Status Start(Guest& guest, const Frozen& frozen);
  Result<std::unique_ptr<Guest>> Restore(const Frozen& frozen);
};

}  // namespace wrenn::component
