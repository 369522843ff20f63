// SPDX-License-Identifier: Apache-2.0
//
// IPv6 outside, inside and both: extension headers in any order, neighbour discovery and ICMPv6,
// right and nearly right.
#include "tests/fuzz/fuzz_world.h"

namespace hnv {
namespace {

constexpr const char* kMacs[] = {kVm41Mac, kVm42Mac, kVm11Mac,           kVm21Mac,
                                 kL2Mac,   kPeerMac, "33:33:00:00:00:01"};
constexpr const char* kTo[] = {kGatewayMac,         kFabricMac,          kPrivateMac,
                               "02:00:00:00:00:c1", "02:00:00:00:00:c2", "33:33:ff:00:00:01",
                               "33:33:00:00:00:16", "ff:ff:ff:ff:ff:ff", kWanMac};
constexpr const char* kAddresses[] = {
    "fd10::2",        "fd10:0:0:1::11", "fd10:0:0:1::12", "fd10:0:0:2::1", "fd10:0:0:2::21",
    "fd10:0:0:4::1",  "fd10:0:0:4::41", "fd10:0:0:4::42", "fd07::1",       "fd07::fe",
    "fd07::50",       "fd09::1",        "fd09::50",       "fd16::4",       "fd20::5",
    "fd21::5",        "fd60::1",        "fd60::11",       "fd60::77",      "fe80::ff:fe00:1",
    "fe80::41",       "ff02::1",        "ff02::1:ff00:1", "ff02::16",      "::",
    "::ffff:1.2.3.4", "2001:db8::1",    "2001:db8:30::1"};
constexpr uint8_t kExtensions[] = {0, 43, 60, 51, 135, 139, 140, 44};
constexpr uint32_t kVsids[] = {5000, 5001, 5002, 5003, 5004, 6000, 6001, 6002, 6003, 6004};
constexpr uint16_t kVlans[] = {0, 30, 31, 32, 50, 60};

Frame message_of(Choices& c) {
  switch (c.byte() % 5) {
    case 0:
      return Frame(udp(c.word(), c.one_in(4) ? 547 : c.word())) / payload(c.byte());
    case 1:
      return Frame(tcp(c.word(), c.word())) / payload(c.byte());
    case 2: {
      NdLayer nd;
      nd.type = static_cast<uint8_t>(133 + c.byte() % 5);
      nd.flags = uint32_t{c.byte()} << 24;
      nd.target = c.among(kAddresses);
      nd.option = c.byte() % 4;
      nd.mac = c.among(kMacs);
      return Frame(nd) / raw(c.one_in(4) ? c.rest(16) : Bytes{});
    }
    case 3:
      return Frame(icmp6(c.one_in(2) ? 128 : c.byte(), c.byte() % 8).with([&](Icmp6Layer& l) {
               if (c.one_in(8)) l.checksum = c.word();
             })) /
             payload(c.byte());
    default:
      return Frame(icmp6(c.byte() % 2 == 0 ? 143 : 1)) / vm_udp6();
  }
}

Frame packet_of(Choices& c, const char* source, const char* destination) {
  Frame frame(ip6(source, destination).with([&](Ip6Layer& l) {
    l.hop_limit = c.one_in(3) ? c.byte() : 255;
    if (c.one_in(16)) l.payload_length = c.word();
    if (c.one_in(16)) l.version = c.byte() % 16;
  }));
  for (unsigned i = c.byte() % 4; i > 0; --i) {
    frame = frame / extension(c.among(kExtensions), size_t{8} * (1U + c.byte() % 3U))
                        .with([&](ExtensionLayer& l) {
                          if (c.one_in(8)) l.length = c.byte();
                        });
  }
  return frame;
}

}  // namespace
}  // namespace hnv

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {  // NOLINT: its name
  using namespace hnv;
  Choices c(data, size);
  const unsigned port = c.byte() & 1U;
  Frame frame(eth(c.among(kTo), c.among(kMacs)));
  const uint16_t id = c.among(kVlans);
  if (c.one_in(2)) {  // inside NVGRE
    const bool six = c.one_in(2);
    frame = Frame(eth(kFabricMac, kVm11Mac));
    if (six) {
      frame = frame / vlan(60) /
              packet_of(c, c.one_in(4) ? c.among(kAddresses) : "fd60::11",
                        c.one_in(8) ? c.among(kAddresses) : "fd60::1");
    } else {
      frame = frame / ip(c.one_in(2) ? "10.250.0.12" : "10.250.0.11",
                         c.one_in(2) ? "10.250.0.2" : "10.250.0.1");
    }
    frame = frame / gre(c.among(kVsids)) / eth(c.among(kTo), c.among(kMacs));
  } else if (id != 0) {
    frame = frame / vlan(id);
  }
  frame = frame / packet_of(c, c.among(kAddresses), c.among(kAddresses)) / message_of(c);
  Bytes bytes = frame.padded(c.byte() % 32).bytes();
  spoil(bytes, c);
  fuzz_world().send(port, std::move(bytes));
  return 0;
}
