#include "disk/backend_conformance.h"

namespace wrenn::disk {

INSTANTIATE_TEST_SUITE_P(DM, BackendTest, testing::Values("dm-snapshot"));

}  // namespace wrenn::disk
