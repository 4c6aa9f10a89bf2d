#include "api/multipart.h"

#include <gtest/gtest.h>

#include <cstring>

namespace wrenn::api {
namespace {

// Gives `text` in reads of at most `step` bytes.
MultipartReader::Source From(std::string text, size_t step) {
  return [text = std::move(text), step,
          at = size_t{0}](std::span<char> out) mutable -> Result<size_t> {
    const size_t count = std::min({step, out.size(), text.size() - at});
    std::memcpy(out.data(), text.data() + at, count);
    at += count;
    return count;
  };
}

// All parts as "name=content;", or "error: ...".
std::string Parse(const std::string& body, size_t step = 1 << 20) {
  MultipartReader reader(From(body, step), "b");
  std::string all;
  for (;;) {
    auto part = reader.NextPart();
    if (!part) return "error: " + part.error().message;
    if (!*part) return all;
    auto content = reader.ReadAll(1 << 20);
    if (!content) return "error: " + content.error().message;
    all += (*part)->name + ((*part)->filename ? "(" + *(*part)->filename + ")" : "") + "=" +
           *content + ";";
  }
}

std::string Part(const std::string& name, const std::string& content) {
  return "--b\r\nContent-Disposition: form-data; name=\"" + name + "\"\r\n\r\n" + content + "\r\n";
}

TEST(Multipart, PartsComeWholeWhateverTheReads) {
  const std::string body = Part("path", "/tmp/x") + Part("file", "one\r\n--\r\n--bx\r\n-\r") +
                           Part("empty", "") + "--b--\r\n";
  // A line that begins like a boundary is one, so "--bx" is malformed in strict reading.
  EXPECT_TRUE(Parse(body).starts_with("error"));
  const std::string good = Part("path", "/tmp/x") + Part("file", "one\r\n--\r\n-b\r\n-\r") +
                           Part("empty", "") + "--b--\r\n";
  for (size_t step = 1; step <= good.size(); ++step) {
    EXPECT_EQ(Parse(good, step), "path=/tmp/x;file=one\r\n--\r\n-b\r\n-\r;empty=;") << step;
  }
}

TEST(Multipart, LargePartsTakeConstantMemoryAndAreIntact) {
  std::string content;
  for (int i = 0; content.size() < (3 << 20); ++i) content += std::to_string(i) + "\r\n-";
  const std::string body = Part("file", content) + "--b--";
  MultipartReader reader(From(body, 70'000), "b");
  ASSERT_TRUE(reader.NextPart());
  std::string all;
  char piece[100'000];
  for (;;) {
    auto got = reader.Read(piece);
    ASSERT_TRUE(got);
    if (*got == 0) break;
    all.append(piece, *got);
  }
  EXPECT_EQ(all, content);
  auto end = reader.NextPart();
  ASSERT_TRUE(end);
  EXPECT_FALSE(*end);
}

TEST(Multipart, PartsCanBeSkipped) {
  MultipartReader reader(From(Part("a", std::string(100'000, 'x')) + Part("b", "2") + "--b--", 999),
                         "b");
  EXPECT_EQ((*reader.NextPart())->name, "a");
  EXPECT_EQ((*reader.NextPart())->name, "b");
  EXPECT_EQ(*reader.ReadAll(10), "2");
  EXPECT_FALSE(*reader.NextPart());
  EXPECT_FALSE(*reader.NextPart());
}

TEST(Multipart, NamesAreReadAsWritten) {
  EXPECT_EQ(Parse("--b\r\nX: y\r\ncontent-disposition: form-data; name=file; "
                  "filename=\"a \\\"b\\\" c\"\r\nContent-Type: text/plain\r\n\r\nz\r\n--b--"),
            "file(a \"b\" c)=z;");
}

TEST(Multipart, MalformedBodiesAreRefused) {
  for (const std::string& body : std::vector<std::string>{
           "", "garbage", "preamble\r\n" + Part("a", "1") + "--b--", "--b", "--b\r\n", "--bx\r\n",
           "--b\r\n\r\nno name\r\n--b--", Part("a", "1"), Part("a", "1") + "--b",
           "--b\nContent-Disposition: form-data; name=\"a\"\n\n1\n--b--",
           "--b\r\nContent-Disposition: attachment; name=\"a\"\r\n\r\n1\r\n--b--",
           "--b\r\nContent-Disposition: form-data; name=\"a\r\n\r\n1\r\n--b--",
           "--b\r\nContent-Disposition form-data\r\n\r\n1\r\n--b--",
           "--b\r\n" + std::string(5000, 'h') + ": x\r\n\r\n1\r\n--b--",
           "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nunended"}) {
    for (const size_t step : {size_t{1}, size_t{1} << 20}) {
      EXPECT_TRUE(Parse(body, step).starts_with("error: ")) << body.substr(0, 60);
    }
  }
}

TEST(Multipart, LimitsAreKept) {
  MultipartReader reader(From(Part("a", std::string(100, 'x')) + "--b--", 7), "b");
  ASSERT_TRUE(reader.NextPart());
  auto content = reader.ReadAll(99);
  ASSERT_FALSE(content);
  EXPECT_EQ(content.error().code, Code::kOutOfRange);
}

TEST(Multipart, BoundariesComeFromTheContentType) {
  EXPECT_EQ(*MultipartReader::Boundary("multipart/form-data; boundary=abc"), "abc");
  EXPECT_EQ(*MultipartReader::Boundary("Multipart/Form-Data; charset=utf-8; boundary=\"a b\""),
            "a b");
  for (const char* type : {"", "multipart/form-data", "multipart/mixed; boundary=a",
                           "multipart/form-data; boundary=", "multipart/form-data; boundary=\"a"}) {
    EXPECT_FALSE(MultipartReader::Boundary(type)) << type;
  }
  EXPECT_FALSE(MultipartReader::Boundary("multipart/form-data; boundary=" + std::string(71, 'x')));
}

}  // namespace
}  // namespace wrenn::api
