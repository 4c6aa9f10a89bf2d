#include "os/dm_request.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace wrenn::os {
namespace {

// Enough for most answers; the largest that is taken.
constexpr size_t kRoom = 16 << 10;
constexpr size_t kMaxRoom = 16 << 20;

constexpr size_t kAlignment = 8;  // of target specifications

bool Fits(std::string_view text, size_t room) {
  return text.size() < room && text.find('\0') == std::string_view::npos;
}

tl::unexpected<Error> Garbled() {
  return Fail(Code::kDataLoss, "the device-mapper's answer makes no sense");
}

// The text from `offset` to its NUL.
Result<std::string> TextAt(std::string_view bytes, size_t offset) {
  if (offset >= bytes.size()) return Garbled();
  const size_t end = bytes.find('\0', offset);
  if (end == std::string_view::npos) return Garbled();
  return std::string(bytes.substr(offset, end - offset));
}

template <typename T>
Result<T> ValueAt(std::string_view bytes, size_t offset) {
  if (offset > bytes.size() || bytes.size() - offset < sizeof(T)) return Garbled();
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

}  // namespace

DmRequest::DmRequest(std::string_view name, std::string_view uuid)
    : buffer_(sizeof(dm_ioctl) + kRoom),
      valid_(Fits(name, DM_NAME_LEN) && Fits(uuid, DM_UUID_LEN)) {
  // The kernel takes any minor version that is not newer than its own.
  head().version[0] = DM_VERSION_MAJOR;
  head().data_start = sizeof(dm_ioctl);
  if (!valid_) return;
  name.copy(head().name, name.size());
  uuid.copy(head().uuid, uuid.size());
}

void DmRequest::SetData(std::string_view data) {
  buffer_.resize(sizeof(dm_ioctl) + data.size());
  std::ranges::copy(data, buffer_.begin() + sizeof(dm_ioctl));
}

int DmRequest::Send(int control, unsigned long command) {
  if (!valid_) return ENAMETOOLONG;
  const dm_ioctl asked = head();
  for (;;) {
    head().data_size = static_cast<uint32_t>(buffer_.size());
    if (::ioctl(control, command, buffer_.data()) < 0) {
      if (errno == EINTR) continue;
      return errno;
    }
    if ((head().flags & DM_BUFFER_FULL_FLAG) == 0) return 0;
    if (buffer_.size() >= kMaxRoom) return EOVERFLOW;
    buffer_.assign(buffer_.size() * 2, 0);
    head() = asked;
  }
}

std::string_view DmRequest::Answer() const {
  const size_t begin = std::min<size_t>(head().data_start, buffer_.size());
  const size_t end = std::clamp<size_t>(head().data_size, begin, buffer_.size());
  return {buffer_.data() + begin, end - begin};
}

Result<std::string> EncodeDmTable(const std::vector<DmTarget>& table) {
  std::string data;
  for (const DmTarget& target : table) {
    if (!Fits(target.type, DM_MAX_TYPE_NAME)) {
      return Fail(Code::kInvalidArgument, "'{}' is no type of a target", target.type);
    }
    const size_t size = sizeof(dm_target_spec) + target.text.size() + 1;
    const size_t padded = (size + kAlignment - 1) / kAlignment * kAlignment;
    dm_target_spec spec{};
    spec.sector_start = target.begin;
    spec.length = target.length;
    spec.next = static_cast<uint32_t>(padded);  // from the start of this one
    target.type.copy(spec.target_type, target.type.size());
    data.append(reinterpret_cast<const char*>(&spec), sizeof spec);
    data += target.text;
    data.append(padded - size + 1, '\0');
  }
  return data;
}

Result<std::vector<DmTarget>> ParseDmTargets(std::string_view answer, size_t count) {
  std::vector<DmTarget> targets;
  size_t offset = 0;
  for (size_t i = 0; i < count; ++i) {
    ASSIGN_OR_RETURN(const auto spec, ValueAt<dm_target_spec>(answer, offset));
    const std::string_view type(spec.target_type, sizeof spec.target_type);
    ASSIGN_OR_RETURN(std::string text, TextAt(answer, offset + sizeof spec));
    targets.push_back({spec.sector_start, spec.length, std::string(type.substr(0, type.find('\0'))),
                       std::move(text)});
    // From the start of the first one.
    if (i + 1 < count && spec.next <= offset) return Garbled();
    offset = spec.next;
  }
  return targets;
}

Result<std::vector<std::string>> ParseDmNames(std::string_view answer) {
  std::vector<std::string> names;
  if (answer.empty()) return names;
  for (size_t offset = 0;;) {
    ASSIGN_OR_RETURN(const auto device,
                     ValueAt<uint64_t>(answer, offset + offsetof(dm_name_list, dev)));
    if (device == 0) return names;  // none at all
    ASSIGN_OR_RETURN(const auto next,
                     ValueAt<uint32_t>(answer, offset + offsetof(dm_name_list, next)));
    ASSIGN_OR_RETURN(std::string name, TextAt(answer, offset + offsetof(dm_name_list, name)));
    names.push_back(std::move(name));
    if (next == 0) return names;
    offset += next;
  }
}

}  // namespace wrenn::os
