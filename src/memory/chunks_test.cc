#include "memory/chunks.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

namespace wrenn::memory {
namespace {

TEST(ChunksTest, FindsASingleByteAnywhere) {
  std::vector<char> page(4096, 0);
  EXPECT_TRUE(IsZero(page));
  EXPECT_TRUE(IsZero({}));
  for (size_t i = 0; i < page.size(); ++i) {
    page[i] = 1;
    EXPECT_FALSE(IsZero(page)) << i;
    page[i] = 0;
  }
  for (size_t length = 1; length < 20; ++length) {
    page[length - 1] = 1;
    EXPECT_FALSE(IsZero(std::span(page).first(length))) << length;
    page[length - 1] = 0;
    EXPECT_TRUE(IsZero(std::span(page).first(length))) << length;
  }
}

// Pieces of all sizes, data and zeros, across chunks.
TEST(ChunksTest, DigestsAreThoseOfTheWholeContent) {
  std::mt19937_64 random(3);
  for (int round = 0; round < 8; ++round) {
    std::vector<char> content;
    ChunkDigester digester;
    while (content.size() < 5 * kChunkSize) {
      const size_t length = 1 + random() % (random() % 2 ? 2 * kChunkSize : 9000);
      if (random() % 2) {
        digester.AddZeros(length);
        content.resize(content.size() + length);
      } else {
        std::vector<char> data(length, static_cast<char>(1 + random() % 255));
        digester.AddData(data);
        content.insert(content.end(), data.begin(), data.end());
      }
      EXPECT_EQ(digester.position(), content.size());
    }
    const std::vector<ChunkDigest> found = digester.Finish();
    std::vector<ChunkDigest> wanted;
    for (size_t at = 0; at < content.size(); at += kChunkSize) {
      const auto chunk =
          std::span(content).subspan(at, std::min<size_t>(kChunkSize, content.size() - at));
      wanted.push_back(DigestOfChunk(chunk));
    }
    EXPECT_TRUE(found == wanted);
  }
  EXPECT_TRUE(SaysZero(DigestOfChunk(std::vector<char>(100, 0))));
  EXPECT_FALSE(SaysZero(DigestOfChunk(std::vector<char>(100, 1))));
}

}  // namespace
}  // namespace wrenn::memory
