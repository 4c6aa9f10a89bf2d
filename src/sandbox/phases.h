// Phases: how long each part of a transition took.
#pragma once

#include <functional>

#include <chrono>
#include <cmath>
#include <string_view>
#include <utility>

#include "base/json.h"

namespace wrenn::sandbox {

class Phases {
 public:
  using OnPhase = std::function<void(std::string_view name, std::chrono::duration<double> time)>;

  // `on_phase`, which may be empty, is called at the end of each phase, and of the "total".
  explicit Phases(OnPhase on_phase = {}) : on_phase_(std::move(on_phase)) {}

  // Ends a phase that began with the previous one's end: adds "<name>_ms" in milliseconds.
  void Mark(std::string_view name) {
    const auto before = std::exchange(last_, Clock::now());
    Put(name, last_ - before);
  }

  // Notes something else beside the times.
  void Note(std::string_view name, json::value value) { details_[name] = std::move(value); }

  // All phases, and "total_ms". Once.
  json::object Finish() {
    Put("total", Clock::now() - begin_);
    return details_;
  }

 private:
  using Clock = std::chrono::steady_clock;

  void Put(std::string_view name, Clock::duration time) {
    const double ms = std::chrono::duration<double, std::milli>(time).count();
    details_[std::string(name) + "_ms"] = std::round(ms * 10) / 10;
    if (on_phase_) on_phase_(name, time);
  }

  const OnPhase on_phase_;
  const Clock::time_point begin_ = Clock::now();
  Clock::time_point last_ = begin_;
  json::object details_;
};

}  // namespace wrenn::sandbox
