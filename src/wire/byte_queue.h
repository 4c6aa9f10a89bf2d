// ByteQueue: bytes that wait to be written, taken from the front.
#pragma once

#include <string>
#include <string_view>

namespace wrenn::wire {

class ByteQueue {
 public:
  bool empty() const { return begin_ == data_.size(); }
  size_t size() const { return data_.size() - begin_; }
  std::string_view front() const { return std::string_view(data_).substr(begin_); }

  void Append(std::string_view bytes) {
    // Moves the rest to the front when that is cheap, so that the text grows no longer than needed.
    if (begin_ > data_.size() / 2) {
      data_.erase(0, begin_);
      begin_ = 0;
    }
    data_.append(bytes);
  }

  // Drops `count` bytes, at most size(). A queue that runs empty gives large memory back.
  void Consume(size_t count) {
    begin_ += count;
    if (!empty()) return;
    begin_ = 0;
    data_.clear();
    if (data_.capacity() > kKeptBytes) data_.shrink_to_fit();
  }

  void Clear() { Consume(size()); }

 private:
  static constexpr size_t kKeptBytes = 256 << 10;

  std::string data_;
  size_t begin_ = 0;
};

}  // namespace wrenn::wire
