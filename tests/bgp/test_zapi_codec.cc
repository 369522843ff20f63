// SPDX-License-Identifier: Apache-2.0
//
// Bytes that bgpd 8.4.4 sent and took, recorded with a zebra written in another language.
#include <algorithm>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include <gtest/gtest.h>

#include "bgp/zapi_codec.h"
#include "tests/bgp/hex.h"

namespace hnv {
namespace {

const ZapiRelease& release() { return *zapi_release_of("8.4.4"); }

BgpPrefix prefix(const char* text) { return BgpPrefix::parse(text).value(); }
BgpAddress address(const char* text) { return BgpAddress::parse(text).value(); }

struct Read {
  uint32_t vrf = 0;
  Result<BgpdMessage> message;
};

Read read(const std::vector<uint8_t>& bytes) {
  ZapiStream stream;
  stream.feed(bytes);
  const auto frame = stream.next();
  if (!frame) return {0, fail(ErrorCode::invalid_value, "no whole frame")};
  if (!*frame) return {0, tl::make_unexpected(frame->error())};
  return {(*frame)->vrf, decode_zapi(release(), **frame)};
}

template <class T>
T must(const char* hex, uint32_t vrf) {
  const Read got = read(from_hex(hex));
  EXPECT_EQ(got.vrf, vrf);
  EXPECT_TRUE(got.message.has_value()) << got.message.error().message;
  if (!got.message) return T{};
  const T* message = std::get_if<T>(&*got.message);
  EXPECT_NE(message, nullptr) << "another message: " << got.message->index();
  return message != nullptr ? *message : T{};
}

TEST(ZapiDecode, Hello) {
  const auto hello = must<ZapiHello>("0013fe06000000000012 09 0000 00000000 00 00", 0);
  EXPECT_EQ(hello.protocol, kZapiBgp);
  EXPECT_EQ(hello.session, 0U);
}

TEST(ZapiDecode, RequestsOfAVrf) {
  EXPECT_EQ(must<ZapiInterfaceRequest>("000afe060000000b0000", 11).change, ZapiSwitch::on);
  EXPECT_EQ(must<ZapiInterfaceRequest>("000afe060000000b0001", 11).change, ZapiSwitch::off);
  EXPECT_EQ(must<ZapiRouterIdRequest>("000cfe060000000b000f0001", 11).change, ZapiSwitch::on);
  EXPECT_EQ(must<ZapiRouterIdRequest>("000cfe060000000b00100001", 11).change, ZapiSwitch::off);
  EXPECT_EQ(must<ZapiBfdClient>("000efe0600000000002500001abb", 0).process, 0x1abbU);
  const auto wanted = must<ZapiRedistribute>("000efe060000000b000b 01 02 0000", 11);
  EXPECT_EQ(wanted.change, ZapiSwitch::on);
  EXPECT_EQ(wanted.family, Family::ipv4);
  EXPECT_EQ(wanted.type, release().types.connected);
}

TEST(ZapiDecode, NextHopsToWatch) {
  const auto peer =
      must<ZapiNextHopWatches>("0015fe060000000b0014 01 00 0001 0002 20 0a000002", 11);
  EXPECT_EQ(peer.change, ZapiSwitch::on);
  EXPECT_EQ(peer.watches, (std::vector<ZapiWatch>{{prefix("10.0.0.2/32"), true, false, 1}}));
  const auto network =
      must<ZapiNextHopWatches>("0015fe060000000b0014 00 01 0001 0002 10 ac100000", 11);
  EXPECT_EQ(network.watches, (std::vector<ZapiWatch>{{prefix("172.16.0.0/16"), false, true, 1}}));
  const auto six = must<ZapiNextHopWatches>(
      "0021fe060000000b0015 01 00 0001 000a 80 fd000001000000000000000000000002", 11);
  EXPECT_EQ(six.change, ZapiSwitch::off);
  EXPECT_EQ(six.watches, (std::vector<ZapiWatch>{{prefix("fd00:1::2/128"), true, false, 1}}));
}

TEST(ZapiDecode, Routes) {
  const auto route = must<ZapiRoute>(
      "0030fe060000000b0008 09 0000 00000000 00000007 01 02 18 c0a80a"
      "0001 0000000b 02 00 0a000002 00000000 0f 00000021",
      11);
  EXPECT_EQ(route, (ZapiRoute{ZapiSwitch::on,
                              prefix("192.168.10.0/24"),
                              9,
                              0,
                              1,
                              {{11, address("10.0.0.2"), 0, false}},
                              15,
                              33,
                              0}));
  const auto six = must<ZapiRoute>(
      "003ffe060000000b00080900000000000000000007010a3020010db80010"
      "00010000000b0400fd000001000000000000000000000002000000001400000000",
      11);
  EXPECT_EQ(six.prefix, prefix("2001:db8:10::/48"));
  EXPECT_EQ(six.next_hops, (std::vector<ZapiNextHop>{{11, address("fd00:1::2"), 0, false}}));
  const auto aggregate = must<ZapiRoute>(
      "0028fe060000000b00080900000000000500000007010210c0a8000100000000060001c800000000", 11);
  EXPECT_EQ(aggregate.flags, kZapiAllowRecursion | kZapiInternal);
  EXPECT_EQ(aggregate.next_hops, (std::vector<ZapiNextHop>{{0, std::nullopt, 0, true}}));
  const auto gone = must<ZapiRoute>("001bfe060000000b00090900000000000000000000010218c0a80a", 11);
  EXPECT_EQ(gone.change, ZapiSwitch::off);
  EXPECT_EQ(gone.prefix, prefix("192.168.10.0/24"));
  EXPECT_TRUE(gone.next_hops.empty());
}

TEST(ZapiDecode, RoutesWithSeveralNextHopsAndEveryField) {
  // Labels, a weight and a router's MAC behind next hops; an opaque field behind all.
  const auto route = must<ZapiRoute>(
      "0066fe060000000c0008 09 0000 00000001 0000051f 01 02 08 0a"
      "0003 0000000c 03 02 0a000002 00000002 01 10000000"
      "     0000000c 02 44 0a000003 00000000 00000005 020000000001"
      "     0000000c 01 00 00000002"
      "14 00000021 00000007 000005dc 00000064 0003 616263",
      12);
  EXPECT_EQ(route.next_hops, (std::vector<ZapiNextHop>{{12, address("10.0.0.2"), 2, false},
                                                       {12, address("10.0.0.3"), 0, false},
                                                       {12, std::nullopt, 2, false}}));
  EXPECT_EQ(route.metric, 33U);
  EXPECT_EQ(route.tag, 7U);
}

TEST(ZapiDecode, Capabilities) {
  const auto stale =
      must<ZapiClientCapability>("0016fe06000000000077 00000001 000001f4 0000000b", 0);
  EXPECT_EQ(stale.capability, ZapiCapability::graceful_restart);
  EXPECT_EQ(stale.stale_seconds, 500U);
  EXPECT_EQ(stale.vrf, 11U);
  const auto complete =
      must<ZapiClientCapability>("001afe06000000000077 00000002 00000002 00000001 0000000b", 0);
  EXPECT_EQ(complete.capability, ZapiCapability::route_update_complete);
  EXPECT_EQ(complete.family, Family::ipv6);
  EXPECT_EQ(complete.vrf, 11U);
}

// To a peer that offers every family bgpd says so of Ethernet's, too.
TEST(ZapiDecode, CapabilitiesOfOtherFamiliesAreSkipped) {
  EXPECT_EQ(
      must<ZapiSkipped>("001afe06000000000077 00000003 00000003 00000001 0000000b", 0).command,
      119);
}

TEST(ZapiDecode, BfdSessions) {
  const auto first = must<ZapiBfdSession>(
      "0028fe060000000b001a 00001abb 0002 0a000002 0000012c 0000012c 03 00 0002 00000000 01 00 00 "
      "00",
      11);
  EXPECT_EQ(first.change, ZapiBfdSession::Change::add);
  EXPECT_EQ(first.destination, address("10.0.0.2"));
  EXPECT_FALSE(first.source);
  EXPECT_EQ(first.min_receive_milliseconds, 300U);
  EXPECT_EQ(first.multiplier, 3);
  const auto second = must<ZapiBfdSession>(
      "002cfe060000000b001a00001abb00020a0000020000012c0000012c030000020a0000010104626770300000",
      11);
  EXPECT_EQ(second.source, address("10.0.0.1"));
  EXPECT_EQ(second.interface, "bgp0");
  EXPECT_EQ(
      must<ZapiBfdSession>("0028fe060000000b001b00001abb00020a0000020000012c0000012c0300000200"
                           "00000001000000",
                           11)
          .change,
      ZapiBfdSession::Change::remove);
}

TEST(ZapiDecode, OtherMessagesAreSkipped) {
  EXPECT_EQ(must<ZapiSkipped>("0010fe06000000000023ffffffff0103", 0).command, 35);
  EXPECT_EQ(
      must<ZapiSkipped>("001efe0600000000004f00000001000000b4000000050000000000000000", 0).command,
      79);
}

TEST(ZapiDecode, ACutMessageIsRefusedWhereverItIsCut) {
  constexpr const char* kRoute =
      "0030fe060000000b00080900000000000000000007010218c0a80a00010000000b02000a000002000000000f00"
      "000021";
  const char* messages[] = {
      "0013fe06000000000012090000000000000000",
      "000efe0600000000002500001abb",
      "000efe060000000b000b01020000",
      "0021fe060000000b001401000001000a80fd000001000000000000000000000002",
      kRoute,
      "001afe060000000000770000000200000001000000010000000b",
      "002cfe060000000b001a00001abb00020a0000020000012c0000012c030000020a0000010104626770300000",
  };
  for (const char* message : messages) {
    const auto whole = from_hex(message);
    for (size_t size = kZapiHeader; size < whole.size(); ++size) {
      auto cut = std::vector<uint8_t>(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(size));
      cut[0] = 0;
      cut[1] = static_cast<uint8_t>(size);
      const Read got = read(cut);
      ASSERT_FALSE(got.message.has_value()) << message << " cut to " << size;
      EXPECT_TRUE(got.message.error().message.starts_with("ZAPI ")) << got.message.error().message;
    }
    auto longer = whole;
    longer.push_back(0);
    longer[1] = static_cast<uint8_t>(longer.size());
    EXPECT_FALSE(read(longer).message.has_value()) << message << " with a byte too many";
  }
}

TEST(ZapiDecode, RefusesValuesThatAreNone) {
  const char* messages[] = {
      "000efe060000000b000b03020000",                            // afi 3
      "0015fe060000000b00140100000100031e0a000002",              // family 3
      "0015fe060000000b0014010000010002210a000002",              // /33
      "0016fe060000000000770000000900000001 0000000b",           // capability 9
      "001bfe060000000b00090900000000000080000000010218c0a80a",  // fields unknown
      "0028fe060000000b00080900000000000500000007010210c0a8000100000000070001c800000000",  // hop 7
  };
  for (const char* message : messages) {
    EXPECT_FALSE(read(from_hex(message)).message.has_value()) << message;
  }
}

TEST(ZapiStream, CutsWhateverThePieces) {
  const auto one = from_hex("000efe0600000000002500001abb");
  const auto two = from_hex("000afe060000000b0000");
  std::vector<uint8_t> both = one;
  both.insert(both.end(), two.begin(), two.end());
  for (size_t piece = 1; piece <= both.size(); ++piece) {
    ZapiStream stream;
    std::vector<uint32_t> vrfs;
    for (size_t at = 0; at < both.size(); at += piece) {
      stream.feed(std::span(both).subspan(at, std::min(piece, both.size() - at)));
      while (const auto frame = stream.next()) {
        ASSERT_TRUE(frame->has_value());
        vrfs.push_back((*frame)->vrf);
      }
    }
    EXPECT_EQ(vrfs, (std::vector<uint32_t>{0, 11})) << piece;
  }
}

TEST(ZapiStream, RefusesWhatIsNotZapi) {
  for (const char* bytes : {"000aff060000000b0000", "000afe050000000b0000", "0009fe060000000b0000",
                            "4001fe060000000b0000"}) {
    ZapiStream stream;
    stream.feed(from_hex(bytes));
    const auto frame = stream.next();
    ASSERT_TRUE(frame.has_value());
    EXPECT_FALSE(frame->has_value()) << bytes;
  }
}

TEST(ZapiEncode, Capabilities) {
  EXPECT_EQ(to_hex(zapi_capabilities(release(), 64)), "0014fe0600000000001300000001000000004000");
}

TEST(ZapiEncode, Vrf) {
  const ZapiVrf vrf{11, "d7", "bgpc-a"};
  EXPECT_EQ(
      to_hex(zapi_vrf(release(), ZapiSwitch::on, vrf)),
      "0056fe060000000b002100000000626770632d6100000000000000000000000000000000000000000000000000"
      "0000000000643700000000000000000000000000000000000000000000000000000000000000000000");
  EXPECT_EQ(zapi_vrf(release(), ZapiSwitch::off, vrf)[9], 34);
}

TEST(ZapiEncode, InterfaceAndAddresses) {
  const ZapiInterface interface { "bgp0", 2, 1500 };
  EXPECT_EQ(zapi_interface(release(), ZapiCommand::interface_add, 11, interface),
            from_hex("004afe060000000b0000 62677030000000000000000000000000 00000002 05 "
                     "0000000000001041 00 00 00000000 00000000 000005dc 000005dc 00000000 00000000 "
                     "00000000 00000000 00"));
  const auto down = zapi_interface(release(), ZapiCommand::interface_down, 11, interface);
  EXPECT_EQ(down[9], 5);
  EXPECT_EQ(down[38], 0) << "IFF_UP and IFF_RUNNING are off";
  const auto v4 = InterfaceAddress<Space::customer>::parse("10.0.0.1/24").value();
  EXPECT_EQ(to_hex(zapi_address(release(), ZapiSwitch::on, 11, 2, v4)),
            "0019fe060000000b00020000000200020a0000011800000000");
  const auto v6 = InterfaceAddress<Space::customer>::parse("fe80::1/64").value();
  EXPECT_EQ(
      to_hex(zapi_address(release(), ZapiSwitch::on, 11, 2, v6)),
      "0031fe060000000b000200000002000afe800000000000000000000000000001400000000000000000000000"
      "0000000000");
  EXPECT_EQ(zapi_address(release(), ZapiSwitch::off, 11, 2, v6)[9], 3);
  EXPECT_EQ(to_hex(zapi_router_id(release(), 11, address("10.0.0.1").v4())),
            "0010fe060000000b0011020a00000120");
}

TEST(ZapiEncode, NextHopUpdates) {
  const ZapiWatch peer{prefix("10.0.0.2/32"), true, false, 1};
  EXPECT_EQ(
      to_hex(zapi_nexthop_update(release(), 11, peer, {prefix("10.0.0.0/24"), 2, 0, 0, 2})),
      "0031fe060000000b00160000000000010002200a0000020002180a0000000200000000000000010000000b0100"
      "00000002");
  const ZapiWatch six{prefix("fd00:1::2/128"), true, false, 1};
  EXPECT_EQ(
      to_hex(zapi_nexthop_update(release(), 11, six, {prefix("fd00:1::/64"), 2, 0, 0, 2})),
      "0049fe060000000b0016000000000001000a80fd000001000000000000000000000002000a40fd0000010000"
      "000000000000000000000200000000000000010000000b010000000002");
  // Nowhere: no next hop.
  EXPECT_EQ(zapi_nexthop_update(release(), 11, peer, {}),
            from_hex("0027fe060000000b0016 00000000 0001 0002200a000002 00020000000000 00 0000 00 "
                     "00000000 00"));
}

TEST(ZapiEncode, RedistributedRoutes) {
  EXPECT_EQ(
      to_hex(zapi_redistributed(release(), ZapiSwitch::on, 11, prefix("10.0.0.0/24"), 2, 0, 2)),
      "0030fe060000000b001e02000000000008000000170102180a000000010000000b010000000002000000000000"
      "000000");
  EXPECT_EQ(zapi_redistributed(release(), ZapiSwitch::off, 11, prefix("10.0.0.0/24"), 2, 0, 2)[9],
            31);
}

TEST(ZapiEncode, NotesStatesAndAnswers) {
  EXPECT_EQ(zapi_route_note(release(), 11, prefix("10.0.0.0/8"), ZapiRouteNote::installed),
            from_hex("001afe060000000b000a 02000000 02 08 0a000000 00000000 01 01"));
  ZapiBfdSession session;
  session.destination = address("10.0.0.2");
  session.source = address("10.0.0.1");
  EXPECT_EQ(zapi_bfd_state(release(), 11, session, 2, ZapiBfdState::up),
            from_hex("001ffe060000000b0019 00000002 02 0a000002 20 00000004 02 0a000001 20 00"));
  session.multihop = true;
  EXPECT_EQ(zapi_bfd_state(release(), 11, session, 2, ZapiBfdState::down)[13], 0)
      << "a path of several hops has no interface";
  EXPECT_EQ(to_hex(zapi_bfd_replay(release())), "000afe0600000000001d");
  EXPECT_EQ(to_hex(zapi_label_manager_answer(release(), {9, 0})), "000efe0600000000003209000000");
}

// What is written for bgpd has the layout of what bgpd writes, where both write it.
TEST(ZapiEncode, RedistributedRoutesAreRoutes) {
  auto bytes = zapi_redistributed(release(), ZapiSwitch::on, 11, prefix("2001:db8::/33"), 2, 7, 2);
  bytes[9] = 8;  // ROUTE_ADD
  const Read got = read(bytes);
  ASSERT_TRUE(got.message.has_value()) << got.message.error().message;
  const auto& route = std::get<ZapiRoute>(*got.message);
  EXPECT_EQ(route.prefix, prefix("2001:db8::/33"));
  EXPECT_EQ(route.metric, 7U);
  EXPECT_EQ(route.next_hops, (std::vector<ZapiNextHop>{{11, std::nullopt, 2, false}}));
}

}  // namespace
}  // namespace hnv
