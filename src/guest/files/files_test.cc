#include <gtest/gtest.h>

#include <cstring>

#include "base/id.h"
#include "guest/files/entries.h"
#include "guest/files/gzip.h"
#include "guest/files/multipart.h"
#include "guest/files/range.h"

namespace wrenn::guest {
namespace {

// Gives a text in pieces of a size, to try every way a stream can be cut.
class TextSource : public ByteSource {
 public:
  TextSource(std::string text, size_t piece) : text_(std::move(text)), piece_(piece) {}
  Result<size_t> Read(std::span<char> out) override {
    const size_t count = std::min({piece_, out.size(), text_.size() - at_});
    std::memcpy(out.data(), text_.data() + at_, count);
    at_ += count;
    return count;
  }

 private:
  std::string text_;
  size_t piece_;
  size_t at_ = 0;
};

std::string ReadAll(ByteSource& source, Status* status = nullptr) {
  std::string text;
  char buffer[7000];
  for (;;) {
    auto got = source.Read(buffer);
    if (!got && status) *status = Fail(got.error());
    if (!got || *got == 0) return text;
    text.append(buffer, *got);
  }
}

TEST(Range, OneRangeIsServed) {
  using Kind = RangeAnswer::Kind;
  const auto part = [](std::string_view field) { return ParseRange(field, 100); };
  EXPECT_EQ(part("bytes=0-9").range, (ByteRange{0, 9}));
  EXPECT_EQ(part("bytes=90-").range, (ByteRange{90, 99}));
  EXPECT_EQ(part("bytes=90-500").range, (ByteRange{90, 99}));
  EXPECT_EQ(part("bytes=-10").range, (ByteRange{90, 99}));
  EXPECT_EQ(part("bytes=-1000").range, (ByteRange{0, 99}));
  EXPECT_EQ(part("bytes=100-").kind, Kind::kUnsatisfiable);
  EXPECT_EQ(part("bytes=-0").kind, Kind::kUnsatisfiable);
  for (const char* field :
       {"", "bytes=", "bytes=-", "bytes=5", "bytes=9-5", "bytes=a-b", "bytes=0-1,5-6", "lines=0-1",
        "bytes=1--2", "bytes=99999999999999999999999-"}) {
    EXPECT_EQ(part(field).kind, Kind::kWhole) << field;
  }
}

TEST(Gzip, RoundTripInAnyPieces) {
  std::string text = RandomBytes(30000);
  text.append(100000, 'a');
  Gzip gzip;
  std::string packed = gzip.Add(std::string_view(text).substr(0, 777), false);
  packed += gzip.Add(std::string_view(text).substr(777), false);
  packed += gzip.Add({}, true);
  for (const size_t piece : {size_t{1}, size_t{100}, size_t{100000}}) {
    TextSource source(packed, piece);
    GunzipSource gunzip(source);
    EXPECT_EQ(ReadAll(gunzip), text);
  }
  // Two members are one after the other.
  TextSource twice(packed + packed, 5000);
  GunzipSource both(twice);
  EXPECT_EQ(ReadAll(both), text + text);
  // Cut short, and broken.
  Status status;
  TextSource cut(packed.substr(0, packed.size() - 1), 5000);
  GunzipSource cut_gunzip(cut);
  ReadAll(cut_gunzip, &status);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, Code::kUnavailable);
}

TEST(Multipart, BoundaryIsFoundInTheType) {
  EXPECT_EQ(MultipartBoundary("multipart/form-data; boundary=abc"), "abc");
  EXPECT_EQ(MultipartBoundary("Multipart/Form-Data; charset=x; Boundary=\"a b\""), "a b");
  EXPECT_FALSE(MultipartBoundary("multipart/form-data"));
  EXPECT_FALSE(MultipartBoundary("multipart/form-data; boundary="));
  EXPECT_FALSE(MultipartBoundary("multipart/mixed; boundary=abc"));
  EXPECT_FALSE(MultipartBoundary(""));
}

TEST(Multipart, PartsComeWholeInAnyPieces) {
  const std::string content = "\r\n--XY not it\r\n-\r--\r\n--X";
  const std::string body =
      "preamble\r\n--XX  \r\ncontent-disposition: form-data; name=file; filename=\"a\\\"b\\c\"\r\n"
      "X: y\r\n\r\n" +
      content +
      "\r\n--XX\r\n"
      "Content-Disposition: form-data; name=\"empty\"\r\n\r\n\r\n--XX--\r\nepilogue";
  for (size_t piece = 1; piece < body.size(); piece += 3) {
    TextSource source(body, piece);
    MultipartReader reader(source, "XX");
    auto part = reader.NextPart();
    ASSERT_TRUE(part && *part) << piece;
    EXPECT_EQ((*part)->name, "file");
    EXPECT_EQ((*part)->filename, "a\"b\\c");
    EXPECT_EQ(ReadAll(reader), content);
    part = reader.NextPart();
    ASSERT_TRUE(part && *part);
    EXPECT_EQ((*part)->name, "empty");
    EXPECT_EQ(ReadAll(reader), "");
    part = reader.NextPart();
    ASSERT_TRUE(part);
    EXPECT_FALSE(*part);
  }
}

TEST(Multipart, ABodyCutShortIsAnError) {
  const std::string body = "--XX\r\nContent-Disposition: form-data; name=f\r\n\r\nabc\r\n--XX--";
  for (size_t length = 0; length < body.size(); ++length) {
    TextSource source(body.substr(0, length), 10);
    MultipartReader reader(source, "XX");
    Status status;
    for (;;) {
      auto part = reader.NextPart();
      if (!part) {
        status = Fail(part.error());
        break;
      }
      ASSERT_TRUE(*part) << length;
      ReadAll(reader);
    }
    EXPECT_EQ(status.error().code, Code::kUnavailable) << length;
  }
}

TEST(Multipart, MalformedHeadsAreRefused) {
  for (const char* body : {"--XX\r\nno colon\r\n\r\n", "--XXjunk\r\n\r\n"}) {
    TextSource source(body, 100);
    EXPECT_EQ(MultipartReader(source, "XX").NextPart().error().code, Code::kInvalidArgument);
  }
  TextSource endless("--XX\r\n" + std::string(100000, 'a'), 1000);
  EXPECT_EQ(MultipartReader(endless, "XX").NextPart().error().code, Code::kInvalidArgument);
}

TEST(Entries, PermissionsAreInGosForm) {
  EXPECT_EQ(PermissionText(S_IFREG | 0644), "-rw-r--r--");
  EXPECT_EQ(PermissionText(S_IFDIR | 0755), "drwxr-xr-x");
  EXPECT_EQ(PermissionText(S_IFLNK | 0777), "Lrwxrwxrwx");
  EXPECT_EQ(PermissionText(S_IFDIR | S_ISVTX | 0777), "dtrwxrwxrwx");
  EXPECT_EQ(PermissionText(S_IFREG | S_ISUID | 0755), "urwxr-xr-x");
}

}  // namespace
}  // namespace wrenn::guest
