// Phases: how long each part of a transition took.
#pragma once

#include <chrono>
#include <cmath>
#include <string_view>

#include "base/json.h"

namespace wrenn::sandbox {

class Phases {
 public:
  // Ends a phase that began with the previous one's end: adds "<name>_ms" in milliseconds.
  void Mark(std::string_view name) {
    const auto now = Clock::now();
    Put(name, now - last_);
    last_ = now;
  }

  // Notes something else beside the times.
  void Note(std::string_view name, json::value value) { details_[name] = std::move(value); }

  // All phases, and "total_ms".
  json::object Finish() {
    Put("total", Clock::now() - begin_);
    return details_;
  }

 private:
  using Clock = std::chrono::steady_clock;

  void Put(std::string_view name, Clock::duration time) {
    const double ms = std::chrono::duration<double, std::milli>(time).count();
    details_[std::string(name) + "_ms"] = std::round(ms * 10) / 10;
  }

  const Clock::time_point begin_ = Clock::now();
  Clock::time_point last_ = begin_;
  json::object details_;
};

}  // namespace wrenn::sandbox
