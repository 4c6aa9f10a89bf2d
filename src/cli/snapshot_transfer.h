// wrenn snapshot export and import.
#pragma once

namespace CLI {
class App;
}

namespace wrenn::cli {

struct Invocation;

// Adds them to the group `snapshot`.
void AddSnapshotTransfer(CLI::App& group, Invocation& invocation);

}  // namespace wrenn::cli
