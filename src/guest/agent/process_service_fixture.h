// For tests: what the tests of the process service have in common.
#pragma once

#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <thread>

#include "guest/agent/test_agent.h"

namespace wrenn::guest {

inline json::object Select(uint32_t pid) {
  json::object request;
  request["process"] = {{"pid", pid}};
  return request;
}

// Reads the start event off a stream.
inline uint32_t PidOf(TestStream& stream) {
  const auto event = stream.NextEvent();
  if (!event || !std::holds_alternative<wire::ProcessStarted>(*event)) {
    ADD_FAILURE() << "no start event";
    return 0;
  }
  return std::get<wire::ProcessStarted>(*event).pid;
}

// Waits until the process is gone, whoever was to reap it.
inline bool WaitGone(pid_t pid) {
  const Deadline deadline = Soon();
  while (::kill(pid, 0) == 0) {
    const auto stat = FileText("/proc/" + std::to_string(pid) + "/stat");
    if (stat.find(") Z ") != std::string::npos) return true;
    if (deadline.HasPassed()) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

}  // namespace wrenn::guest
