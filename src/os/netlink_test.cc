#include "os/netlink.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>

namespace wrenn::os {
namespace {

TEST(NetlinkMessageTest, AttributesComeBackAsTheyWentIn) {
  NetlinkAttributes attributes;
  attributes.PutString(1, "tap0");
  attributes.Nest(2, [&] {
    attributes.PutBig32(3, 0x01020304);
    attributes.Nest(4, [&] { attributes.PutNumber<uint8_t>(5, 7); });
  });
  attributes.PutBig64(6, 1);

  const auto read = ReadAttributes(attributes.bytes());
  ASSERT_EQ(read.size(), 3U);
  EXPECT_EQ(read[0].value, std::string_view("tap0", 5));
  const auto inner = FindAttribute(attributes.bytes(), 2);
  ASSERT_TRUE(inner);
  EXPECT_EQ(FindAttribute(*inner, 3), std::string_view("\1\2\3\4", 4));
  const auto innermost = FindAttribute(*inner, 4);
  ASSERT_TRUE(innermost);
  EXPECT_EQ(NumberFrom<uint8_t>(*FindAttribute(*innermost, 5)), 7);
  EXPECT_EQ(read[2].value, std::string_view("\0\0\0\0\0\0\0\1", 8));
}

TEST(NetlinkMessageTest, BrokenAttributesEndTheList) {
  NetlinkAttributes attributes;
  attributes.PutString(1, "x");
  const std::string good = attributes.bytes();
  for (size_t length = 0; length < good.size() - 2; ++length) {
    EXPECT_THAT(ReadAttributes(good.substr(0, length)), testing::IsEmpty()) << length;
  }
  EXPECT_THAT(ReadAttributes(good + std::string("\3\0\1\0", 4)), testing::SizeIs(1));
  EXPECT_THAT(ReadAttributes(good + std::string("\xff\xff\1\0", 4)), testing::SizeIs(1));
}

TEST(NetlinkMessageTest, MessagesAreNumberedAndMeasured) {
  NetlinkRequest request;
  request.Begin("one", 16, 0, "abcd");
  request.Begin("two", 17, 0, "abcdef");
  EXPECT_FALSE(request.acknowledged());
  request.AcknowledgeLast();
  EXPECT_EQ(request.acknowledged(), 1U);
  const std::string_view bytes = request.Finish(7);
  const auto first = NumberFrom<nlmsghdr>(bytes);
  EXPECT_EQ(first.nlmsg_len, sizeof first + 4);
  EXPECT_EQ(first.nlmsg_seq, 7U);
  const auto second = NumberFrom<nlmsghdr>(bytes.substr(first.nlmsg_len));
  EXPECT_EQ(second.nlmsg_len, sizeof second + 8);
  EXPECT_EQ(second.nlmsg_seq, 8U);
  EXPECT_EQ(second.nlmsg_flags, NLM_F_REQUEST | NLM_F_ACK);
}

TEST(NetlinkSocketTest, ARefusalSaysWhatAndWhy) {
  auto socket = NetlinkSocket::Open(NETLINK_ROUTE);
  ASSERT_TRUE(socket) << socket.error().ToString();
  NetlinkRequest request;
  ifinfomsg nothing{};
  nothing.ifi_index = 2'000'000'000;
  request.Begin("ask about nothing", RTM_GETLINK, NLM_F_ACK, BytesOf(nothing));
  const Status refused = socket->Send(request);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message,
              testing::HasSubstr("cannot ask about nothing: No such device"));
  // It can be used on.
  NetlinkRequest list;
  list.Begin("list devices", RTM_GETLINK, NLM_F_DUMP, BytesOf(ifinfomsg{}));
  int parts = 0;
  ASSERT_TRUE(socket->Dump(list, [&] { parts = 0; }, [&](std::string_view) { ++parts; }));
  EXPECT_GE(parts, 1);
}

}  // namespace
}  // namespace wrenn::os
