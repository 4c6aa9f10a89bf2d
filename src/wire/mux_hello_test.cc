#include "wire/mux_hello.h"

#include <gtest/gtest.h>

#include "wire/mux_server_session.h"

namespace wrenn::wire {
namespace {

TEST(MuxServerSessionTest, OnlyLocalhostIsAnAuthority) {
  EXPECT_EQ(ParseMuxAuthority("localhost:80").value_or(0), 80);
  EXPECT_EQ(ParseMuxAuthority("localhost:65535").value_or(0), 65535);
  for (const char* bad :
       {"", "localhost", "localhost:", "localhost:0", "localhost:65536", "localhost:80x",
        "localhost:-1", "localhost:+1", "localhost: 80", "10.0.0.1:80", "LOCALHOST:80"}) {
    EXPECT_FALSE(ParseMuxAuthority(bad)) << bad;
  }
}

TEST(MuxHelloTest, TrackerFindsTheHandshakeBehindAnyCut) {
  std::string session(24, 'p');  // stands for the connection preface
  const auto frame = [&](size_t size) {
    session.push_back(static_cast<char>(size >> 16));
    session.push_back(static_cast<char>(size >> 8));
    session.push_back(static_cast<char>(size));
    session.append(6 + size, '\0');
  };
  for (const size_t size : {size_t{0}, size_t{4}, size_t{300}, kMuxMaxFrame}) frame(size);
  const std::string hello = FormatHello("0123456789abcdef");
  for (size_t cut = 0; cut <= session.size(); cut += cut < 400 ? 1 : 37) {
    for (const size_t piece : {size_t{7}, size_t{100'000}}) {
      const std::string stream = session.substr(0, cut) + hello;
      FrameTracker tracker;
      size_t at = 0;
      for (;;) {
        ASSERT_LT(at, stream.size()) << "cut at " << cut;
        const std::string_view part = std::string_view(stream).substr(at, piece);
        const size_t own = tracker.Admit(part);
        at += own;
        if (own < part.size()) break;
      }
      PatternScanner scanner{std::string(kHelloMagic), kHelloNonceBytes};
      EXPECT_EQ(scanner.Feed(std::string_view(stream).substr(at)).value_or(""), "0123456789abcdef");
    }
  }
}

TEST(MuxHelloTest, ScannerFindsAPatternInPieces) {
  const std::string stream = "ababcabcd-nonce-rest";
  for (size_t piece = 1; piece < stream.size(); ++piece) {
    PatternScanner scanner{"abcd", 7};
    std::optional<std::string> found;
    size_t at = 0;
    for (; !found && at < stream.size(); at += piece)
      found = scanner.Feed(std::string_view(stream).substr(at, piece));
    EXPECT_EQ(found.value_or("none"), "-nonce-");
    EXPECT_EQ(scanner.rest() + (at < stream.size() ? stream.substr(at) : ""), "rest");
  }
}

}  // namespace
}  // namespace wrenn::wire
