// SPDX-License-Identifier: Apache-2.0
//
// What anybody on the fabric may say about a path's MTU: through the line to the control thread,
// and what is believed there. Never an MTU that is none, never more than the packet that is quoted,
// never from a quotation that is not ours (RFC 1191, RFC 8201 §4).
#include <cstdlib>
#include <cstring>

#include "gateway/path_mtu.h"
#include "tests/fuzz/fuzz_world.h"

namespace hnv {
namespace {

constexpr const char* kOurs[] = {"10.250.0.1", "10.250.0.2", "10.250.0.77"};
constexpr const char* kHosts[] = {"10.250.0.11", "10.250.0.12", "10.9.9.9"};
constexpr const char* kOurs6[] = {"fd60::1", "fd60::2"};
constexpr const char* kHosts6[] = {"fd60::11", "fd60::77", "ff02::1"};
constexpr size_t kIcmp = sizeof(wire::Icmp);  // in front of what is quoted
constexpr uint32_t kVsids[] = {5000, 5001, 5004, 6000, 6004, 4096, 0};

void require(bool condition) {
  if (!condition) std::abort();
}

GreLayer tunnel(Choices& c) {
  return gre(c.among(kVsids), c.byte()).with([&](GreLayer& l) {
    if (c.one_in(16)) l.flags = c.word();
    if (c.one_in(16)) l.protocol = c.word();
  });
}

Frame about_ipv4(Choices& c) {
  const Bytes quoted = (Frame(ip(c.among(kOurs), c.among(kHosts)).with([&](IpLayer& l) {
                          l.protocol = c.one_in(8) ? c.byte() : 47;
                          l.total_length = c.word();
                          if (c.one_in(16)) l.version_ihl = c.byte();
                        })) /
                        tunnel(c) / raw(c.rest(16)))
                           .bytes();
  return Frame(eth(kFabricMac, kRouterMac)) / ip("10.250.0.254", "10.250.0.1") /
         icmp(3, 4).with([&](IcmpLayer& l) { l.word1 = c.word(); }) / raw(quoted);
}

Frame about_ipv6(Choices& c) {
  const Bytes quoted = (Frame(ip6(c.among(kOurs6), c.among(kHosts6)).with([&](Ip6Layer& l) {
                          l.next_header = c.one_in(8) ? c.byte() : 47;
                          l.payload_length = c.word();
                          if (c.one_in(16)) l.version = c.byte() % 16;
                        })) /
                        tunnel(c) / raw(c.rest(16)))
                           .bytes();
  return Frame(eth(kFabricMac, kRouterMac)) / vlan(60) / ip6("fd60::fe", "fd60::1") /
         icmp6(2).with([&](Icmp6Layer& l) {
           l.word0 = c.one_in(8) ? c.word() : uint16_t{0};
           l.word1 = c.word();
         }) /
         raw(quoted);
}

// An MTU below the least that is believed is raised to it.
void check(const PathMtu& path, uint16_t least, uint32_t quoted) {
  require(path.mtu >= least);
  require(path.mtu < quoted || path.mtu == least);
}

}  // namespace
}  // namespace hnv

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {  // NOLINT: its name
  using namespace hnv;
  Choices c(data, size);
  Bytes bytes = (c.one_in(2) ? about_ipv4(c) : about_ipv6(c)).bytes();
  spoil(bytes, c);
  const auto punted = fuzz_world().send(kFabricPort, std::move(bytes));
  if (!punted || punted->note.resolve) return 0;
  const VsidTable& vsids = *fuzz_world().plane().vsids;
  const uint8_t* at = punted->frame.data() + punted->note.l2_bytes;
  if (*at >> 4 == 4) {
    const auto& ip = *reinterpret_cast<const wire::Ipv4*>(at);
    if (ip.protocol != wire::ip_protocol::kIcmp) return 0;
    const auto path = read_path_mtu(ip, punted->note.attachment, vsids);
    if (!path) return 0;  // only what is believed quotes a whole header
    const auto& quoted = *reinterpret_cast<const wire::Ipv4*>(at + ip.header_bytes() + kIcmp);
    check(*path, kLeastPathMtu, quoted.total_length.value());
  } else if (*at >> 4 == 6) {
    const auto& ip = *reinterpret_cast<const wire::Ipv6*>(at);
    const Upper6 upper = upper_layer_of(ip);
    if (upper.protocol != wire::ip_protocol::kIcmpV6) return 0;
    const auto path = read_path_mtu(ip, punted->note.attachment, vsids);
    if (!path) return 0;  // only what is believed quotes a whole header
    const auto& quoted = *reinterpret_cast<const wire::Ipv6*>(at + upper.offset + kIcmp);
    check(*path, kLeastPathMtu6, quoted.total_length());
  }
  return 0;
}
