// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/fuzz_world.h"

#include <cstdio>
#include <cstdlib>
#include <string>

#include "tests/support/frame_text.h"

namespace hnv {
namespace {

constexpr size_t kLeastMtu = 1280;  // of all doors of the world

enum class Whose : uint8_t { nobody, contoso, fabrikam };

[[noreturn]] void die(const std::string& why, const Bytes& in) {
  std::fprintf(stderr, "%s\nthe frame that came in:\n%s", why.c_str(), difference({}, in).c_str());
  std::abort();
}

Whose owner_of_vsid(uint32_t vsid) {
  if (vsid >= kContoso.gateway && vsid <= kContoso.six) return Whose::contoso;
  if (vsid >= kFabrikam.gateway && vsid <= kFabrikam.six) return Whose::fabrikam;
  return Whose::nobody;
}

uint32_t number(const Bytes& frame, size_t at, size_t bytes) {
  uint32_t value = 0;
  for (size_t i = 0; i < bytes; ++i)
    value = value << 8 | (at + i < frame.size() ? frame[at + i] : 0);
  return value;
}

// How far behind an IPv6 header GRE begins; 0: it does not. Another way than the product's.
size_t behind_extensions(const Bytes& frame, size_t l3) {
  uint32_t type = number(frame, l3 + 6, 1);
  size_t at = 40;
  for (int i = 0; i < 32 && type != 47; ++i) {
    const size_t units = number(frame, l3 + at + 1, 1);
    const uint32_t next = number(frame, l3 + at, 1);
    switch (type) {
      case 0:
      case 43:
      case 60:
      case 135:
      case 139:
      case 140:
        at += (units + 1) * 8;
        break;
      case 51:
        at += (units + 2) * 4;
        break;
      default:
        return 0;
    }
    type = next;
  }
  return type == 47 ? at : 0;
}

// In whose name a frame goes, by nothing but its outside. `mac_at`: where the gateway's MAC stands,
// 0 in what comes in, 6 in what goes out.
Whose whose(unsigned port, const Bytes& frame, size_t mac_at) {
  const bool tagged = number(frame, 12, 2) == 0x8100;
  const uint32_t vlan_id = tagged ? number(frame, 14, 2) & 0xfff : 0;
  const size_t l3 = tagged ? 18 : 14;
  if (port == kWanPort) {
    if (vlan_id == kContoso.private_vlan) return Whose::contoso;
    if (vlan_id == kFabrikam.private_vlan) return Whose::fabrikam;
    const uint32_t low = number(frame, mac_at + 2, 4);
    if (vlan_id != 30 || number(frame, mac_at, 2) != 0x0200) return Whose::nobody;
    return low == 0xc1 ? Whose::contoso : low == 0xc2 ? Whose::fabrikam : Whose::nobody;
  }
  const bool v6 = number(frame, l3 - 2, 2) == 0x86dd;
  if (!v6 && (number(frame, l3 - 2, 2) != 0x0800 || number(frame, l3 + 9, 1) != 47)) {
    return Whose::nobody;
  }
  const size_t header = v6 ? behind_extensions(frame, l3) : size_t{number(frame, l3, 1) & 15U} * 4;
  if (header == 0) return Whose::nobody;
  return owner_of_vsid(number(frame, l3 + header + 4, 3));
}

}  // namespace

FuzzWorld::FuzzWorld() : network_(twin_ports()), line_(network_) {
  network_.change(twin_requests());
  for (const Tenant& tenant : kTwins) {
    for (const char* name : {"private", "shared"}) {
      const std::string link = "routingDomains/" + tenant.name + "/networkConnections/" + name;
      (void)network_.demand(link, name[0] == 'p' ? "192.168.7.50" : "192.168.9.50");
      (void)network_.demand(link, name[0] == 'p' ? "fd07::50" : "fd09::50");
    }
  }
  network_.answer_all();
}

std::optional<FuzzWorld::Punted> FuzzWorld::send(unsigned port, Bytes frame) {
  if (frame.size() > FakeMbufs::kRoom) frame.resize(FakeMbufs::kRoom);
  network_.clock().advance(std::chrono::milliseconds(10));
  line_.punts().clear();
  line_.notes().clear();
  const auto sent = line_.run({{port, frame}});
  const std::string fault = line_.fault();
  if (!fault.empty()) die(fault, frame);
  if (line_.line().held() != 0) die("something waits though every neighbour has answered", frame);
  if (sent.size() + line_.punts().size() > 1 && frame.size() <= kLeastMtu) {
    die("one frame became several, and none had to be cut", frame);
  }
  const Whose came = whose(port, frame, 0);
  for (const Sent& out : sent) {
    const Whose went = whose(out.port, out.frame, 6);
    // An advertisement has its option even where the solicitation had none.
    const bool grown = out.frame.size() > frame.size() + sizeof(wire::LinkLayerOption);
    if (went != came && (went != Whose::nobody || grown)) {
      die("left in another name than it came in:\n" + difference({}, out.frame), frame);
    }
  }
  for (const SideNote& note : line_.notes()) {
    if (!note.resolve) continue;
    const char* name = came == Whose::contoso ? "contoso" : "fabrikam";
    if (came == Whose::nobody || network_.compartment(name).uid != note.origin.compartment_uid) {
      die("punted in another name than it came in", frame);
    }
  }
  if (line_.punts().empty()) return {};
  return Punted{line_.punts()[0], line_.notes()[0]};
}

FuzzWorld& fuzz_world() {
  static FuzzWorld world;
  return world;
}

void spoil(Bytes& frame, Choices& choices) {
  for (unsigned i = choices.byte() % 4; i > 0 && !frame.empty(); --i) {
    frame[choices.word() % frame.size()] = choices.byte();
  }
  if (choices.one_in(8)) frame.resize(choices.word() % (frame.size() + 1));
}

}  // namespace hnv
