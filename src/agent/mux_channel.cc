#include "agent/channel.h"
#include "agent/mux_lane.h"

namespace wrenn::agent {
namespace {

class MuxChannel : public Channel {
 public:
  MuxChannel(std::string interactive_path, std::string bulk_path) {
    const bool same = interactive_path == bulk_path;
    interactive_ = std::make_shared<MuxLane>(std::move(interactive_path));
    bulk_ = same ? interactive_ : std::make_shared<MuxLane>(std::move(bulk_path));
  }
  ~MuxChannel() override { Close(); }

  Result<UniqueFd> Connect(uint16_t port, Lane lane, Deadline deadline) override {
    return (lane == Lane::kBulk ? bulk_ : interactive_)->Connect(port, deadline);
  }

  // The other lane is opened when it is needed, which most sandboxes never do.
  Status Open(Deadline deadline) override { return interactive_->Open(deadline); }

  void Close() override {
    interactive_->Close();
    bulk_->Close();
  }

 private:
  std::shared_ptr<MuxLane> interactive_;
  std::shared_ptr<MuxLane> bulk_;
};

}  // namespace

std::unique_ptr<Channel> MakeMuxChannel(std::string interactive_path, std::string bulk_path) {
  return std::make_unique<MuxChannel>(std::move(interactive_path), std::move(bulk_path));
}

}  // namespace wrenn::agent
