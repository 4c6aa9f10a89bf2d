// TextChunks: a process's output as JSON text, whatever bytes it is.
#pragma once

#include <string>
#include <string_view>

#include "base/json.h"

namespace wrenn::api {

// Cuts a stream of bytes into pieces that are UTF-8 where they can be: a character that a chunk's
// end tears is held back until its rest comes.
class TextChunks {
 public:
  struct Piece {
    std::string data;
    bool is_text = true;  // else not UTF-8
  };

  // The piece that `bytes` make with what was held back; its data may be empty.
  Piece Add(std::string_view bytes);
  // What is still held back at the stream's end: never UTF-8.
  Piece Finish();

 private:
  std::string held_;  // the beginning of a character, at most 3 bytes
};

// {"type":type,"data":...} and, for what is not UTF-8, "encoding":"base64".
json::object PieceMessage(std::string_view type, const TextChunks::Piece& piece);

// The length of the incomplete character at the end of `bytes`: 0 to 3.
size_t TornTail(std::string_view bytes);

}  // namespace wrenn::api
