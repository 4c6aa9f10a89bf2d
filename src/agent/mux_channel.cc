#include "agent/mux_channel.h"

#include "agent/mux_lane.h"
#include "wire/sockets.h"

namespace wrenn::agent {
namespace {

class MuxChannel : public Channel {
 public:
  MuxChannel(std::shared_ptr<MuxLane> interactive, std::shared_ptr<MuxLane> bulk)
      : interactive_(std::move(interactive)), bulk_(std::move(bulk)) {}
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

std::shared_ptr<MuxLane> SerialLane(std::string path) {
  Transport transport;
  transport.connect = [path = std::move(path)](Deadline deadline) {
    return wire::ConnectUnix(path, deadline);
  };
  return std::make_shared<MuxLane>(std::move(transport));
}

}  // namespace

std::unique_ptr<Channel> MakeMuxChannel(std::string interactive_path, std::string bulk_path) {
  const bool same = interactive_path == bulk_path;
  auto interactive = SerialLane(std::move(interactive_path));
  auto bulk = same ? interactive : SerialLane(std::move(bulk_path));
  return std::make_unique<MuxChannel>(std::move(interactive), std::move(bulk));
}

std::unique_ptr<Channel> MakeMuxChannel(const Transport& transport) {
  return std::make_unique<MuxChannel>(std::make_shared<MuxLane>(transport),
                                      std::make_shared<MuxLane>(transport));
}

}  // namespace wrenn::agent
