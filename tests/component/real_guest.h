// What tests with a real guest need: the template `minimal`, built once, and machines made of it.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>

#include "agent/client.h"
#include "agent/test_shell.h"
#include "os/files.h"
#include "template/catalogue.h"
#include "vmm/machine.h"

namespace wrenn::component {

// How long anything may take on a busy machine under emulation.
inline Deadline Patience() { return Deadline::After(std::chrono::minutes(3)); }

// The files of `minimal`, built at the first call of the first test program. An error where it
// cannot be built; the tests are skipped then.
const Result<template_::Resolved>& MinimalTemplate();

// What a shell command in a guest, run by root, writes to stdout.
inline std::string RunShell(agent::Client& client, const std::string& script) {
  return agent::RunShell(client, script, Patience());
}

// What runs on this host with the machine's name among its arguments.
int ProcessesOf(const std::string& id);

// A folder with an overlay, and the configuration of a machine on it.
class RealGuestTest : public testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;

  // Boots config_ and waits for the agent; a fatal failure otherwise.
  void Boot();
  // Waits until the agent has answered the step after the boot.
  void WaitForAgent();
  std::string Shell(const std::string& script) { return RunShell(*client_, script); }
  // Waits for the end of the machine.
  vmm::MachineExit WaitForExit();
  // The console so far.
  std::string Console() const;
  int ProcessesOfMachine() const { return ProcessesOf(config_.id); }

  std::unique_ptr<vmm::Engine> engine_;
  std::optional<os::TemporaryDirectory> directory_;
  vmm::MachineConfig config_;
  std::unique_ptr<vmm::Machine> machine_;
  json::object record_;  // of the machine that Boot() made
  std::unique_ptr<agent::Client> client_;
};

}  // namespace wrenn::component
