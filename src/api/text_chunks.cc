#include "api/text_chunks.h"

#include <algorithm>
#include <utility>

#include "base/encoding.h"

namespace wrenn::api {

size_t TornTail(std::string_view bytes) {
  for (size_t length = 1; length <= std::min<size_t>(3, bytes.size()); ++length) {
    const auto byte = static_cast<unsigned char>(bytes[bytes.size() - length]);
    if ((byte & 0xC0) == 0x80) continue;       // inside a character: look for its first byte
    if (byte < 0xC2 || byte > 0xF4) return 0;  // begins no character (RFC 3629, section 4)
    const size_t whole = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : 2;
    return whole > length ? length : 0;
  }
  return 0;
}

TextChunks::Piece TextChunks::Add(std::string_view bytes) {
  Piece piece;
  piece.data = std::exchange(held_, {}).append(bytes);
  const size_t tail = TornTail(piece.data);
  if (IsUtf8(std::string_view(piece.data).substr(0, piece.data.size() - tail))) {
    held_ = piece.data.substr(piece.data.size() - tail);
    piece.data.resize(piece.data.size() - tail);
  } else {
    piece.is_text = false;
  }
  return piece;
}

TextChunks::Piece TextChunks::Finish() { return {std::exchange(held_, {}), false}; }

json::object PieceMessage(std::string_view type, const TextChunks::Piece& piece) {
  if (piece.is_text) return {{"type", type}, {"data", piece.data}};
  return {{"type", type}, {"data", Base64Encode(piece.data)}, {"encoding", "base64"}};
}

}  // namespace wrenn::api
