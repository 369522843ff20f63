// SPDX-License-Identifier: Apache-2.0
#include <set>
#include <string>
#include <type_traits>

#include <gtest/gtest.h>

#include "compartments/address.h"

namespace hnv {
namespace {

using Ca = IpAddress<Space::customer>;
using CaPrefix = Prefix<Space::customer>;

static_assert(!std::is_convertible_v<CaAddress, PaAddress>);
static_assert(!std::is_constructible_v<PaAddress, CaAddress>);
static_assert(!std::is_constructible_v<IpAddress<Space::provider>, Ca>);

TEST(Address, ReadsAndWritesText) {
  struct Case {
    const char* text;
    const char* canonical;
  };
  const Case cases[] = {
      {"0.0.0.0", "0.0.0.0"},
      {"10.0.0.7", "10.0.0.7"},
      {"255.255.255.255", "255.255.255.255"},
      {"::", "::"},
      {"::1", "::1"},
      {"2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1"},
      {"fe80::1", "fe80::1"},
      {"::ffff:10.0.0.1", "::ffff:10.0.0.1"},
  };
  for (const Case& c : cases) {
    const auto address = Ca::parse(c.text);
    ASSERT_TRUE(address) << c.text;
    EXPECT_EQ(address->to_string(), c.canonical);
    EXPECT_EQ(Ca::parse(address->to_string()), address);
  }
}

TEST(Address, RefusesOtherText) {
  const std::string cases[] = {
      "",
      "10",
      "10.0.0",
      "10.0.0.0.1",
      "10.0.0.256",
      "010.0.0.1",
      "10.0.0.1 ",
      " 10.0.0.1",
      "10.0.0.-1",
      "0x0a.0.0.1",
      "10.0.0.1/32",
      ":::",
      "1::2::3",
      "12345::",
      "fe80::1%1",
      "[::1]",
      std::string("::1\0", 4),
      std::string("10.0.0.1\0", 9),
  };
  for (const std::string& text : cases) EXPECT_FALSE(Ca::parse(text)) << text;
}

TEST(Address, OrdersByFamilyThenNumber) {
  EXPECT_LT(Ca(CaAddress(0xffffffff)), Ca(CaAddress6()));
  EXPECT_LT(Ca(CaAddress(0x0affffff)), Ca(CaAddress(0x0b000000)));
  EXPECT_EQ(Ca(CaAddress(0x0a000001)).v4().value(), 0x0a000001U);
  EXPECT_EQ(Ca(CaAddress(0x0a000001)).bytes()[0], 10);
}

TEST(Prefix, ReadsAndWritesText) {
  for (const char* text : {"0.0.0.0/0", "10.0.0.0/8", "10.128.0.0/9", "10.0.0.7/32", "::/0",
                           "2001:db8::/32", "2001:db8:0:0:8000::/65", "::1/128"}) {
    const auto prefix = CaPrefix::parse(text);
    ASSERT_TRUE(prefix) << text;
    EXPECT_EQ(prefix->to_string(), text);
  }
}

TEST(Prefix, RefusesOtherText) {
  for (const char* text : {"", "/", "10.0.0.0", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/08",
                           "10.0.0.0/+8", "10.0.0.0/-1", "10.0.0.0/8 ", "10.0.0.1/8", "0.0.0.1/0",
                           "2001:db8::1/64", "::/129", "10.0.0.0/1000", "10.0.0.0/8/8"}) {
    EXPECT_FALSE(CaPrefix::parse(text)) << text;
  }
}

TEST(Prefix, MasksHostBits) {
  EXPECT_EQ(CaPrefix(CaAddress(0x0a0102ff), 25).to_string(), "10.1.2.128/25");
  EXPECT_EQ(CaPrefix(CaAddress(0xffffffff), 0).to_string(), "0.0.0.0/0");
  EXPECT_EQ(CaPrefix(Ca::parse("ffff:ffff:ffff:ffff:ffff::").value(), 65).to_string(),
            "ffff:ffff:ffff:ffff:8000::/65");
}

TEST(Prefix, ContainsAndOverlaps) {
  const auto p = [](const char* text) { return CaPrefix::parse(text).value(); };
  EXPECT_TRUE(p("10.0.0.0/8").contains(Ca::parse("10.255.255.255").value()));
  EXPECT_FALSE(p("10.0.0.0/8").contains(Ca::parse("11.0.0.0").value()));
  EXPECT_FALSE(p("0.0.0.0/0").contains(Ca::parse("::").value()));
  EXPECT_TRUE(p("10.0.0.0/8").overlaps(p("10.1.0.0/16")));
  EXPECT_TRUE(p("10.1.0.0/16").overlaps(p("10.0.0.0/8")));
  EXPECT_FALSE(p("10.1.0.0/16").overlaps(p("10.2.0.0/16")));
  EXPECT_FALSE(p("0.0.0.0/0").overlaps(p("::/0")));
}

TEST(InterfaceAddress, KeepsHostBits) {
  const auto a = InterfaceAddress<Space::provider>::parse("192.168.1.2/24");
  ASSERT_TRUE(a);
  EXPECT_EQ(a->to_string(), "192.168.1.2/24");
  EXPECT_EQ(a->prefix().to_string(), "192.168.1.0/24");
  for (const char* text : {"192.168.1.2", "192.168.1.2/33", "192.168.1/24", "/24"}) {
    EXPECT_FALSE(InterfaceAddress<Space::provider>::parse(text)) << text;
  }
}

TEST(MacAddress, ReadsAndWritesText) {
  for (const char* text : {"02:00:5e:00:00:0A", "02-00-5e-00-00-0a", "02005e00000a"}) {
    const auto mac = MacAddress::parse(text);
    ASSERT_TRUE(mac) << text;
    EXPECT_EQ(mac->to_string(), "02:00:5e:00:00:0a");
  }
  for (const char* text : {"", "02:00:5e:00:00", "02:00:5e:00:00:0g", "02:00-5e:00:00:0a",
                           "02.00.5e.00.00.0a", "02:00:5e:00:00:0a:", "2:00:5e:00:00:0a0"}) {
    EXPECT_FALSE(MacAddress::parse(text)) << text;
  }
}

TEST(MacAddress, RandomOnesAreLocalUnicast) {
  std::set<MacAddress> seen;
  for (int i = 0; i < 100; ++i) {
    const MacAddress mac = MacAddress::random_local();
    EXPECT_EQ(mac.bytes()[0] & 0x03, 0x02);
    EXPECT_FALSE(mac.multicast());
    seen.insert(mac);
  }
  EXPECT_EQ(seen.size(), 100U);
  EXPECT_TRUE(MacAddress::broadcast().multicast());
  EXPECT_TRUE(MacAddress().zero());
}

}  // namespace
}  // namespace hnv
