// Metrics: how long the steps of sandboxes take and where they come from, for GET /v1/metrics.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

namespace wrenn::sandbox {

// Thread-safe.
class Metrics {
 public:
  // A phase of a transition ("pause", "state"), or all of it ("total"), in seconds.
  void Observe(std::string_view transition, std::string_view phase, double seconds);
  // A sandbox that was made: "boot", "template", "snapshot", "pool", "fork", or "failed".
  void CountCreate(std::string_view origin);
  // One that was resumed: by its "standby", by a "restore", by a "boot", or "failed".
  void CountResume(std::string_view way);
  // A sandbox that could have come from the warm pool, had one been ready.
  void CountPoolMiss(const std::string& template_name);

  // In the text format of Prometheus
  // (https://prometheus.io/docs/instrumenting/exposition_formats/, version 0.0.4).
  std::string Render() const;

 private:
  // Upper bounds in seconds; the last bucket has none.
  static constexpr std::array kBounds = {0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1,
                                         0.2,   0.5,   1.0,   2.0,  5.0,  10.0, 30.0};
  struct Histogram {
    std::array<uint64_t, kBounds.size() + 1> buckets{};
    double sum = 0;
  };

  mutable std::mutex mutex_;
  std::map<std::pair<std::string, std::string>, Histogram> phases_;
  std::map<std::string, uint64_t> creates_;
  std::map<std::string, uint64_t> resumes_;
  std::map<std::string, uint64_t> pool_misses_;  // by template
};

}  // namespace wrenn::sandbox
