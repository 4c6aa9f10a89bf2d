#include "api/text_chunks.h"

#include <gtest/gtest.h>

#include "base/encoding.h"

namespace wrenn::api {
namespace {

TEST(TextChunks, TornCharactersAreHeldBack) {
  const std::string text = "aé€😀z";
  // Cut at every place: the pieces together are the text, and each is whole characters.
  for (size_t cut = 0; cut <= text.size(); ++cut) {
    TextChunks chunks;
    const auto first = chunks.Add(text.substr(0, cut));
    const auto second = chunks.Add(text.substr(cut));
    EXPECT_TRUE(first.is_text && second.is_text) << cut;
    EXPECT_TRUE(IsUtf8(first.data)) << cut;
    EXPECT_EQ(first.data + second.data, text) << cut;
    EXPECT_EQ(chunks.Finish().data, "");
  }
}

TEST(TextChunks, ByteByByteIsTheSameText) {
  const std::string text = "aé€😀z";
  TextChunks chunks;
  std::string all;
  for (const char byte : text) {
    const auto piece = chunks.Add(std::string_view(&byte, 1));
    EXPECT_TRUE(piece.is_text);
    all += piece.data;
  }
  EXPECT_EQ(all, text);
}

TEST(TextChunks, OtherBytesComeWholeAndAtOnce) {
  TextChunks chunks;
  const std::string bytes("ok\xff\0more", 8);
  const auto piece = chunks.Add(bytes);
  EXPECT_FALSE(piece.is_text);
  EXPECT_EQ(piece.data, bytes);
}

TEST(TextChunks, AByteWithWhichNoCharacterBeginsIsNotHeldBack) {
  for (const char byte : {'\xc0', '\xc1', '\xf5', '\xf8', '\xfd', '\xff'}) {
    TextChunks chunks;
    const auto piece = chunks.Add(std::string_view(&byte, 1));
    EXPECT_FALSE(piece.is_text);
    EXPECT_EQ(piece.data, std::string(1, byte));
  }
}

TEST(TextChunks, AnEndWithinACharacterIsNoText) {
  TextChunks chunks;
  EXPECT_EQ(chunks.Add("x\xe2\x82").data, "x");
  const auto rest = chunks.Finish();
  EXPECT_FALSE(rest.is_text);
  EXPECT_EQ(rest.data, "\xe2\x82");
}

TEST(TextChunks, WhatNeverBecomesACharacterIsNotHeldForEver) {
  TextChunks chunks;
  EXPECT_EQ(chunks.Add("\xe2").data, "");
  const auto piece = chunks.Add("A");
  EXPECT_FALSE(piece.is_text);
  EXPECT_EQ(piece.data,
            "\xe2"
            "A");
}

TEST(TextChunks, MessagesSayTheirEncoding) {
  EXPECT_EQ(json::serialize(PieceMessage("stdout", {"hi", true})),
            R"({"type":"stdout","data":"hi"})");
  EXPECT_EQ(json::serialize(PieceMessage("stderr", {"\xff", false})),
            R"({"type":"stderr","data":"/w==","encoding":"base64"})");
}

}  // namespace
}  // namespace wrenn::api
