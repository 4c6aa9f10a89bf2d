#include "vmm/qemu/qmp_client.h"

#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "base/io.h"

namespace wrenn::vmm {
namespace {

Error Ended() { return Error{Code::kUnavailable, "the VMM closed its control connection", {}}; }

// One byte and a descriptor (SCM_RIGHTS, unix(7)).
Status SendWithDescriptor(int socket, const std::string& byte, int descriptor) {
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof descriptor)] = {};
  iovec data{const_cast<char*>(byte.data()), byte.size()};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof descriptor);
  std::memcpy(CMSG_DATA(header), &descriptor, sizeof descriptor);
  if (::sendmsg(socket, &message, MSG_NOSIGNAL) != 1) {
    return Fail(ErrnoError("cannot hand the VMM a descriptor"));
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<QmpClient>> QmpClient::Connect(UniqueFd socket, Deadline deadline) {
  auto client = std::unique_ptr<QmpClient>(new QmpClient(std::move(socket)));
  RETURN_IF_ERROR(client->Negotiate(deadline));
  return client;
}

// Before anybody pumps.
Status QmpClient::Negotiate(Deadline deadline) {
  ASSIGN_OR_RETURN(const QmpMessage first, ReadMessage(deadline));
  const auto* greeting = std::get_if<QmpGreeting>(&first);
  if (!greeting) return Fail(Code::kInternal, "the VMM's control socket does not speak QMP");
  build_ = greeting->build;
  RETURN_IF_ERROR(WriteAll(fd(), "{\"execute\":\"qmp_capabilities\"}\n", deadline));
  for (;;) {
    ASSIGN_OR_RETURN(const QmpMessage message, ReadMessage(deadline));
    if (std::holds_alternative<QmpReply>(message)) return {};
    if (const auto* error = std::get_if<QmpError>(&message)) {
      return Fail(Code::kInternal, "the VMM refused to be controlled: {}", error->description);
    }
  }
}

Result<QmpMessage> QmpClient::ReadMessage(Deadline deadline) {
  char buffer[4096];
  for (;;) {
    if (const auto line = lines_.Next()) return ParseQmpMessage(*line);
    auto got = ReadSome(fd(), buffer, deadline);
    if (!got && got.error().code == Code::kDeadlineExceeded) {
      return Fail(Code::kDeadlineExceeded, "the VMM did not answer in time");
    }
    if (!got || *got == 0) return Fail(Ended());
    RETURN_IF_ERROR(lines_.Add({buffer, *got}));
  }
}

Result<json::value> QmpClient::Execute(const std::string& command, json::object arguments,
                                       Deadline deadline) {
  return Send(command, std::move(arguments), -1, deadline);
}

Status QmpClient::PassDescriptor(const std::string& name, int descriptor, Deadline deadline) {
  ASSIGN_OR_RETURN([[maybe_unused]] const json::value done,
                   Send("getfd", {{"fdname", name}}, descriptor, deadline));
  return {};
}

Result<int64_t> QmpClient::AddDescriptor(int descriptor, Deadline deadline) {
  ASSIGN_OR_RETURN(const json::value reply, Send("add-fd", {}, descriptor, deadline));
  if (reply.is_object()) {
    JsonReader reader(reply.get_object());
    if (reader.Has("fdset-id")) return reader.Int("fdset-id", 0, 0, INT64_MAX);
  }
  return Fail(Code::kInternal, "the VMM does not say where it put a descriptor");
}

Result<json::value> QmpClient::Send(const std::string& command, json::object arguments,
                                    int descriptor, Deadline deadline) {
  Answer answer;
  std::unique_lock lock(mutex_);
  if (ended_) return Fail(Ended());
  const uint64_t id = next_id_++;
  waiting_[id] = &answer;
  lock.unlock();

  (void)Write(id, command, std::move(arguments), descriptor, deadline);

  lock.lock();
  const auto done = [&] { return answer.result.has_value(); };
  if (deadline.IsNever()) {
    answered_.wait(lock, done);
  } else {
    answered_.wait_until(lock, deadline.when(), done);
  }
  waiting_.erase(id);
  if (answer.result) return std::move(*answer.result);
  return Fail(Code::kDeadlineExceeded, "the VMM did not answer '{}' in time", command);
}

Status QmpClient::Post(const std::string& command, Deadline deadline) {
  std::unique_lock lock(mutex_);
  if (ended_) return Fail(Ended());
  const uint64_t id = next_id_++;
  lock.unlock();
  return Write(id, command, {}, -1, deadline);
}

Status QmpClient::Write(uint64_t id, const std::string& command, json::object arguments,
                        int descriptor, Deadline deadline) {
  json::object message{{"execute", command}, {"id", id}};
  if (!arguments.empty()) message["arguments"] = std::move(arguments);
  std::string line = json::serialize(message) + "\n";
  Status written;
  {
    std::lock_guard write_lock(write_mutex_);
    if (descriptor >= 0) {
      written = SendWithDescriptor(fd(), line.substr(0, 1), descriptor);
      line.erase(0, 1);
    }
    if (written) written = WriteAll(fd(), line, deadline);
  }
  // A command that was cut short spoils all that follow.
  if (!written) End();
  return written;
}

bool QmpClient::Pump(const std::function<void(const QmpEvent&)>& on_event) {
  char buffer[16384];
  const ssize_t got = ::recv(fd(), buffer, sizeof buffer, MSG_DONTWAIT);
  const bool nothing = got < 0 && (errno == EAGAIN || errno == EINTR);
  bool good = nothing || (got > 0 && lines_.Add({buffer, static_cast<size_t>(got)}));
  // Also when nothing came: the negotiation may have read more than its own answers.
  while (good) {
    const auto line = lines_.Next();
    if (!line) return true;
    auto message = ParseQmpMessage(*line);
    good = message.has_value();
    if (good) Deliver(std::move(*message), on_event);
  }
  End();
  return false;
}

void QmpClient::Deliver(QmpMessage message, const std::function<void(const QmpEvent&)>& on_event) {
  if (const auto* event = std::get_if<QmpEvent>(&message)) return on_event(*event);
  std::optional<uint64_t> id;
  Result<json::value> result = Fail(Code::kUnknown, "no answer");
  if (auto* reply = std::get_if<QmpReply>(&message)) {
    id = reply->id;
    result = std::move(reply->value);
  } else if (auto* error = std::get_if<QmpError>(&message)) {
    id = error->id;
    result = Fail(Error{Code::kInternal, "the VMM refused a command", error->description});
  }
  std::lock_guard lock(mutex_);
  // An answer that nobody waits for belongs to a caller that gave up at its deadline.
  const auto waiting = id ? waiting_.find(*id) : waiting_.end();
  if (waiting == waiting_.end()) return;
  waiting->second->result = std::move(result);
  answered_.notify_all();
}

void QmpClient::End() {
  std::lock_guard lock(mutex_);
  ended_ = true;
  for (auto& [id, answer] : waiting_) {
    if (!answer->result) answer->result = Fail(Ended());
  }
  answered_.notify_all();
}

}  // namespace wrenn::vmm
