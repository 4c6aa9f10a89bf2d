// Spinner: what is being waited for, and how long already.
#pragma once

#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

#include "cli/terminal.h"

namespace wrenn::cli {

// When stderr is a terminal, shows one line there once a second has passed, until Stop() or its
// end. Thread-safe.
class Spinner {
 public:
  explicit Spinner(std::string what);
  Spinner(const Spinner&) = delete;
  Spinner& operator=(const Spinner&) = delete;
  ~Spinner() { Stop(); }

  // Takes the line away, so that something else can be printed; it comes again a second later.
  void Clear();
  // For good.
  void Stop();

 private:
  void Run();

  const std::string what_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopped_ = false;
  ProgressLine line_;
  std::thread thread_;
};

}  // namespace wrenn::cli
