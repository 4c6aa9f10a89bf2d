#include "sandbox/metrics.h"

#include <algorithm>

#include <fmt/format.h>

namespace wrenn::sandbox {

void Metrics::Observe(std::string_view transition, std::string_view phase, double seconds) {
  const auto bucket = std::ranges::lower_bound(kBounds, seconds) - kBounds.begin();
  std::lock_guard lock(mutex_);
  Histogram& histogram = phases_[{std::string(transition), std::string(phase)}];
  ++histogram.buckets[static_cast<size_t>(bucket)];
  histogram.sum += seconds;
}

void Metrics::CountCreate(std::string_view origin) {
  std::lock_guard lock(mutex_);
  ++creates_[std::string(origin)];
}

void Metrics::CountResume(std::string_view way) {
  std::lock_guard lock(mutex_);
  ++resumes_[std::string(way)];
}

void Metrics::CountPoolMiss(const std::string& template_name) {
  std::lock_guard lock(mutex_);
  ++pool_misses_[template_name];
}

std::string Metrics::Render() const {
  std::lock_guard lock(mutex_);
  std::string text =
      "# HELP wrenn_creates_total Sandboxes made, by what they came from.\n"
      "# TYPE wrenn_creates_total counter\n";
  for (const auto& [origin, count] : creates_) {
    text += fmt::format("wrenn_creates_total{{origin=\"{}\"}} {}\n", origin, count);
  }
  text +=
      "# HELP wrenn_resumes_total Sandboxes resumed, by how.\n"
      "# TYPE wrenn_resumes_total counter\n";
  for (const auto& [way, count] : resumes_) {
    text += fmt::format("wrenn_resumes_total{{way=\"{}\"}} {}\n", way, count);
  }
  text +=
      "# HELP wrenn_warm_pool_misses_total Sandboxes restored since the warm pool had none ready.\n"
      "# TYPE wrenn_warm_pool_misses_total counter\n";
  for (const auto& [name, count] : pool_misses_) {
    text += fmt::format("wrenn_warm_pool_misses_total{{template=\"{}\"}} {}\n", name, count);
  }
  text +=
      "# HELP wrenn_phase_seconds Time that the phases of transitions took.\n"
      "# TYPE wrenn_phase_seconds histogram\n";
  for (const auto& [name, histogram] : phases_) {
    const std::string labels =
        fmt::format("transition=\"{}\",phase=\"{}\"", name.first, name.second);
    uint64_t count = 0;
    for (size_t i = 0; i < kBounds.size(); ++i) {
      count += histogram.buckets[i];
      text +=
          fmt::format("wrenn_phase_seconds_bucket{{{},le=\"{}\"}} {}\n", labels, kBounds[i], count);
    }
    count += histogram.buckets.back();
    text += fmt::format("wrenn_phase_seconds_bucket{{{},le=\"+Inf\"}} {}\n", labels, count);
    text += fmt::format("wrenn_phase_seconds_sum{{{}}} {}\n", labels, histogram.sum);
    text += fmt::format("wrenn_phase_seconds_count{{{}}} {}\n", labels, count);
  }
  return text;
}

}  // namespace wrenn::sandbox
