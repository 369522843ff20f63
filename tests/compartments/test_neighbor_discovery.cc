// SPDX-License-Identifier: Apache-2.0
//
// The messages of RFC 4861 as bytes: what is written is read back, and every check of §6.1.1,
// §7.1.1 and §7.1.2 has a packet that fails only that one.
#include <functional>
#include <vector>

#include <gtest/gtest.h>

#include "compartments/checksum.h"
#include "compartments/neighbor_discovery.h"

namespace hnv {
namespace {

const wire::Mac kMac{{2, 0, 0, 0, 0, 0x11}};

wire::Address6 a6(const char* text) { return *address_text::parse6(text); }

struct Message {
  std::vector<uint8_t> bytes = std::vector<uint8_t>(512);
  wire::Ipv6& ip() { return *reinterpret_cast<wire::Ipv6*>(bytes.data()); }
  wire::NeighborMessage& body() {
    return *reinterpret_cast<wire::NeighborMessage*>(bytes.data() + sizeof(wire::Ipv6));
  }
  wire::LinkLayerOption& option() {
    return *reinterpret_cast<wire::LinkLayerOption*>(bytes.data() + sizeof(wire::Ipv6) +
                                                     sizeof(wire::NeighborMessage));
  }
  // As a sender that means it would.
  void sign() {
    body().checksum = be16{0};
    body().checksum = be16::from_raw(static_cast<uint16_t>(
        ~checksum_fold(checksum_sum6(ip().source, ip().destination, wire::ip_protocol::kIcmpV6,
                                     &body(), ip().payload_length.value()))));
  }
  std::optional<NdMessage> read() { return read_nd(ip(), sizeof(wire::Ipv6)); }
};

Message solicitation(const char* source = "fd00::11", bool probe = false) {
  Message m;
  write_solicitation(
      m.bytes.data(),
      {.source = a6(source), .target = a6("fd00::1"), .source_mac = kMac, .probe = probe});
  return m;
}
Message advertisement(const char* asker = "fd00::11") {
  Message m;
  write_advertisement(m.bytes.data(), {.target = a6("fd00::1"),
                                       .asker = a6(asker),
                                       .own_mac = kMac,
                                       .flags = wire::kNdRouter | wire::kNdOverride});
  return m;
}

TEST(NeighborDiscovery, ASolicitationGoesToTheSolicitedNodeGroup) {
  Message m = solicitation();
  EXPECT_EQ(m.ip().destination, a6("ff02::1:ff00:1"));
  EXPECT_EQ(m.ip().hop_limit, 255);
  const auto read = m.read();
  ASSERT_TRUE(read);
  EXPECT_EQ(read->target, a6("fd00::1"));
  EXPECT_EQ(read->source_mac->key(), kMac.key());
  EXPECT_FALSE(read->target_mac);
}

TEST(NeighborDiscovery, AProbeGoesToTheTargetItself) {
  Message m = solicitation("fd00::11", true);
  EXPECT_EQ(m.ip().destination, a6("fd00::1"));
  EXPECT_TRUE(m.read());
}

TEST(NeighborDiscovery, DuplicateDetectionHasNoSourceAndNoOption) {  // RFC 4862 §5.4.2
  Message m = solicitation("::");
  EXPECT_EQ(m.ip().payload_length.value(), sizeof(wire::NeighborMessage));
  const auto read = m.read();
  ASSERT_TRUE(read);
  EXPECT_FALSE(read->source_mac);
}

TEST(NeighborDiscovery, AnAdvertisementAnswersItsAsker) {
  Message m = advertisement();
  const auto read = m.read();
  ASSERT_TRUE(read);
  EXPECT_EQ(m.ip().destination, a6("fd00::11"));
  EXPECT_EQ(m.ip().source, a6("fd00::1"));
  EXPECT_EQ(read->flags, wire::kNdRouter | wire::kNdOverride | wire::kNdSolicited);
  EXPECT_EQ(read->target_mac->key(), kMac.key());
}

TEST(NeighborDiscovery, S724NobodyInParticularIsAnsweredAtAllNodes) {
  Message m = advertisement("::");
  EXPECT_EQ(m.ip().destination, kAllNodes);
  EXPECT_EQ(m.read()->flags & wire::kNdSolicited, 0U);
}

struct Spoilt {
  const char* name;
  bool advertises;
  std::function<void(Message&)> spoil;
  bool sign = true;
};

TEST(NeighborDiscovery, EveryCheckOfS71Drops) {
  const std::vector<Spoilt> cases = {
      {"a router on the way (hop limit)", false, [](Message& m) { m.ip().hop_limit = 254; }},
      {"a wrong checksum", false, [](Message& m) { m.body().checksum = be16{0x1234}; }, false},
      {"a code", false, [](Message& m) { m.body().code = 1; }},
      {"shorter than its fields", false, [](Message& m) { m.ip().payload_length = be16{23}; }},
      {"a group as the target", false, [](Message& m) { m.body().target = kAllNodes; }},
      {"an option of no length", false, [](Message& m) { m.option().length = 0; }},
      {"an option longer than the packet", false, [](Message& m) { m.option().length = 2; }},
      {"bytes that are no option", false, [](Message& m) { m.ip().payload_length = be16{28}; }},
      {"nobody asks, with an option", false, [](Message& m) { m.ip().source = {}; }},
      {"nobody asks, not the group", false,
       [](Message& m) {
         m.ip().source = {};
         m.ip().payload_length = be16{24};
         m.ip().destination = a6("fd00::1");
       }},
      {"a group asks", false, [](Message& m) { m.ip().source = kAllNodes; }},
      {"solicited, yet to a group", true, [](Message& m) { m.ip().destination = kAllNodes; }},
      {"an advertisement from nobody", true, [](Message& m) { m.ip().source = {}; }},
      {"an advertisement of a group", true, [](Message& m) { m.body().target = kAllNodes; }},
      {"another type", true, [](Message& m) { m.body().type = wire::icmp6::kRedirect; }},
  };
  for (const Spoilt& c : cases) {
    Message m = c.advertises ? advertisement() : solicitation();
    ASSERT_TRUE(m.read()) << c.name;
    c.spoil(m);
    if (c.sign) m.sign();
    EXPECT_FALSE(m.read()) << c.name;
  }
}

TEST(NeighborDiscovery, S46UnknownOptionsAreSkipped) {
  Message m = solicitation();
  m.ip().payload_length = be16{24 + 16 + 8};
  uint8_t* options = reinterpret_cast<uint8_t*>(&m.option());
  options[0] = 14;  // nonce
  options[1] = 2;
  *reinterpret_cast<wire::LinkLayerOption*>(options + 16) = {
      .type = wire::kSourceLinkLayer, .length = 1, .mac = kMac};
  m.sign();
  ASSERT_TRUE(m.read());
  EXPECT_EQ(m.read()->source_mac->key(), kMac.key());
}

// RFC 7045: headers are skipped, known by their length alone, and nothing is read past the end.
class ExtensionHeaders : public ::testing::Test {
 protected:
  std::vector<uint8_t> bytes_ = std::vector<uint8_t>(40);
  uint8_t* last_ = &bytes_[6];
  void add(uint8_t type, uint8_t length, size_t size) {
    const size_t at = bytes_.size();
    const size_t next = static_cast<size_t>(last_ - bytes_.data());
    bytes_.resize(at + size);
    bytes_[next] = type;
    bytes_[at + 1] = length;
    last_ = &bytes_[at];
  }
  Upper6 walk(uint8_t upper, size_t payload = 8) {
    *last_ = upper;
    bytes_[0] = 0x60;
    const size_t total = bytes_.size() - 40 + payload;
    bytes_[4] = static_cast<uint8_t>(total >> 8);
    bytes_[5] = static_cast<uint8_t>(total);
    bytes_.resize(bytes_.size() + payload);
    return upper_layer_of(*reinterpret_cast<const wire::Ipv6*>(bytes_.data()));
  }
};

TEST_F(ExtensionHeaders, NoneIsTheCommonCase) {
  const Upper6 upper = walk(17);
  EXPECT_TRUE(upper.whole);
  EXPECT_EQ(upper.offset, 40U);
  EXPECT_EQ(upper.protocol, 17);
}
TEST_F(ExtensionHeaders, AllKindsAreSkipped) {
  add(0, 0, 8);
  add(60, 2, 24);
  add(43, 1, 16);
  add(51, 4, 24);
  add(135, 0, 8);
  add(139, 0, 8);
  add(140, 0, 8);
  const Upper6 upper = walk(6);
  EXPECT_TRUE(upper.whole);
  EXPECT_EQ(upper.offset, 40U + 8 + 24 + 16 + 24 + 24);
  EXPECT_EQ(upper.protocol, 6);
  EXPECT_FALSE(upper.fragment);
}
TEST_F(ExtensionHeaders, AFirstFragmentStillShowsItsUpperLayer) {
  add(44, 0, 8);
  bytes_[43] = 1;  // more
  const Upper6 upper = walk(17);
  EXPECT_TRUE(upper.fragment);
  EXPECT_FALSE(upper.later_fragment);
  EXPECT_EQ(upper.protocol, 17);
}
TEST_F(ExtensionHeaders, ALaterFragmentHasNone) {
  add(44, 0, 8);
  bytes_[42] = 1;
  const Upper6 upper = walk(17);
  EXPECT_TRUE(upper.later_fragment);
  EXPECT_TRUE(upper.whole);
}
TEST_F(ExtensionHeaders, OneThatRunsOverTheEndIsNotWhole) {
  add(60, 3, 8);
  EXPECT_FALSE(walk(17).whole);
}
TEST_F(ExtensionHeaders, OneThatIsCutIsNotWhole) {
  add(60, 0, 8);
  EXPECT_FALSE(walk(0, 4).whole);
}
TEST_F(ExtensionHeaders, AnEndlessChainIsNotFollowed) {
  for (int i = 0; i < 40; ++i) add(60, 0, 8);
  EXPECT_FALSE(walk(17).whole);
}

TEST(Address6, WhatIsNeverForwarded) {
  for (const char* text : {"::", "::1", "::ffff:10.0.0.1", "fe80::1", "febf::1", "ff02::1"}) {
    EXPECT_TRUE(is_martian_source6(a6(text))) << text;
    EXPECT_TRUE(is_martian_destination6(a6(text))) << text;
  }
  for (const char* text : {"fec0::1", "fd00::1", "2001:db8::1", "64:ff9b::1"}) {
    EXPECT_FALSE(is_martian_source6(a6(text))) << text;
  }
}

}  // namespace
}  // namespace hnv
