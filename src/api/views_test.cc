#include "api/views.h"

#include <gtest/gtest.h>

namespace wrenn::api {
namespace {

TEST(EventView, HasTheTimesButNotWhatIsForTheLog) {
  store::EventRecord event;
  event.sequence = 3;
  event.kind = "create";
  event.phase = "failed";
  event.message = "the machine did not start";
  event.details = {{"boot_ms", 12},
                   {"error", "open /var/lib/wrenn/images/x: Permission denied"},
                   {"release_error", "rmdir /run/wrenn/sb/x"},
                   {"undo_error", "unlink /run/wrenn/sb/x"},
                   {"console", "/run/wrenn"}};
  const json::object view = EventView(event);
  EXPECT_EQ(view.at("details"), (json::object{{"boot_ms", 12}}));
  EXPECT_EQ(view.at("message"), "the machine did not start");
  EXPECT_EQ(json::serialize(view).find("wrenn"), std::string::npos);
}

}  // namespace
}  // namespace wrenn::api
