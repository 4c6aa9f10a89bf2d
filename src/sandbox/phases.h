// Phases: how long each part of a transition took.
#pragma once

#include <functional>

#include <chrono>
#include <cmath>
#include <string_view>

#include "base/json.h"

namespace wrenn::sandbox {

class Phases {
 public:
  // `on_mark`, which may be empty, is called at the end of each phase with its name.
  explicit Phases(std::function<void(std::string_view)> on_mark = {})
      : on_mark_(std::move(on_mark)) {}

  // Ends a phase that began with the previous one's end: adds "<name>_ms" in milliseconds.
  void Mark(std::string_view name) {
    const auto now = Clock::now();
    Put(name, now - last_);
    last_ = now;
    if (on_mark_) on_mark_(name);
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

  const std::function<void(std::string_view)> on_mark_;
  const Clock::time_point begin_ = Clock::now();
  Clock::time_point last_ = begin_;
  json::object details_;
};

}  // namespace wrenn::sandbox
