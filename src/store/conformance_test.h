// What every Store must do, whatever is underneath: the tests are in conformance_test.cc; an
// implementation's own test instantiates them with a StoreBackend.
#pragma once

#include <functional>
#include <memory>
#include <ostream>
#include <string>

#include <gtest/gtest.h>

#include "store/store.h"

namespace wrenn::store {

// A database of its own for one test, gone with the object.
class TestDatabase {
 public:
  virtual ~TestDatabase() = default;
  // Another connection to it.
  virtual std::unique_ptr<Store> Open() = 0;
};

struct StoreBackend {
  std::string name;
  std::function<std::unique_ptr<TestDatabase>()> make;
  friend void PrintTo(const StoreBackend& backend, std::ostream* out) { *out << backend.name; }
};

class StoreConformanceTest : public ::testing::TestWithParam<StoreBackend> {
 protected:
  void SetUp() override {
    database_ = GetParam().make();
    ASSERT_NE(database_, nullptr);
    store_ = database_->Open();
    ASSERT_NE(store_, nullptr);
  }

  std::unique_ptr<TestDatabase> database_;
  std::unique_ptr<Store> store_;
};

}  // namespace wrenn::store
