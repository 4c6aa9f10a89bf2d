#include "sandbox/user_numbers.h"

#include <gtest/gtest.h>

namespace wrenn::sandbox {
namespace {

TEST(UserNumbersTest, EachIsGivenOnceAndRests) {
  UserNumbers users("/data");
  const auto one = users.Take();
  const auto two = users.Take();
  ASSERT_TRUE(one && two);
  EXPECT_GE(*one, kFirstUser);
  EXPECT_LT(*two, 0x7fff0000u);
  EXPECT_NE(*one, *two);
  users.GiveBack(*one);
  EXPECT_NE(*users.Take(), *one);
}

TEST(UserNumbersTest, ServersHavePlacesOfTheirOwn) {
  EXPECT_EQ(*UserNumbers("/data").Take(), *UserNumbers("/data").Take());
  EXPECT_NE(*UserNumbers("/data").Take(), *UserNumbers("/data2").Take());
}

TEST(UserNumbersTest, WhatIsKeptIsNotGiven) {
  const uint32_t first = *UserNumbers("/data").Take();
  UserNumbers users("/data");
  users.Keep(first);
  EXPECT_EQ(*users.Take(), first + 1);
  for (uint32_t i = 2; i < kUsersPerServer; ++i) ASSERT_TRUE(users.Take());
  EXPECT_EQ(users.Take().error().code, Code::kResourceExhausted);
  users.GiveBack(first);
  EXPECT_EQ(*users.Take(), first);
}

}  // namespace
}  // namespace wrenn::sandbox
