// SPDX-License-Identifier: Apache-2.0
//
// NAT between two twin tenants and an internet that lies: a few packets, waits and changes of rules
// in a row, each chosen by bytes of the input. An oracle that only watches what leaves knows whose
// every public endpoint is: nothing may come in by it but to that one, and nobody else may have it
// until it has rested.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <tuple>

#include "tests/fuzz/choices.h"
#include "tests/support/nat_network.h"

namespace hnv {
namespace {

constexpr const char* kInside[] = {"10.0.1.11", "10.0.1.12", "10.0.2.21", "10.0.1.99", "10.0.0.2"};
constexpr const char* kRemotes[] = {"192.0.2.80",   "192.0.2.99",   "203.0.113.254",
                                    "198.51.100.5", "198.51.100.9", "203.0.113.1"};
constexpr const char* kPublic[] = {"198.51.100.4", "198.51.100.5", "198.51.100.6",
                                   "198.51.100.7", "198.51.100.9", "198.51.100.20"};
constexpr uint16_t kPorts[] = {53, 80, 5353, 40000, 0, 65535, 8080};
constexpr uint8_t kProtocols[] = {17, 6, 1, 47};
constexpr const char* kRules[] = {
    R"("filtering":"AddressAndPortDependent")", R"("filtering":"AddressDependent","hairpin":false)",
    R"("staticMappings":[{"name":"web","externalNetwork":"internet","protocol":"TCP",
        "publicAddress":"198.51.100.9","publicPort":8080,
        "insideAddress":"10.0.1.11","insidePort":80}])",
    R"("staticMappings":[{"name":"all","externalNetwork":"internet","protocol":"All",
        "publicAddress":"198.51.100.20","insideAddress":"10.0.1.11"}])",
    R"("staticMappings":[{"name":"dns","externalNetwork":"internet","protocol":"UDP",
        "publicAddress":"198.51.100.4","publicPort":5353,
        "insideAddress":"10.0.1.12","insidePort":53}])"};
// RFC 6888 REQ-8: how long a port rests at least, which is less than any session is kept.
constexpr Duration kRest = std::chrono::seconds(120);

// Who somebody is, inside or outside.
using Public = std::tuple<std::string, uint16_t, uint8_t>;
struct Owner {
  const Tenant* tenant = nullptr;
  std::string address;
  uint16_t port = 0;
  Instant last;
  friend bool same(const Owner& a, const Owner& b) {
    return a.tenant == b.tenant && a.address == b.address && a.port == b.port;
  }
};

[[noreturn]] void die(const std::string& why) {
  std::fprintf(stderr, "%s\n", why.c_str());
  std::abort();
}

std::string text_of(const NatPacket& p) {
  return p.from + ":" + std::to_string(p.from_port) + " > " + p.to + ":" +
         std::to_string(p.to_port) + " protocol " + std::to_string(p.protocol);
}

bool has_ports(const NatPacket& p) {
  const bool query = p.protocol == 1 && (p.icmp_type == 8 || p.icmp_type == 0);
  return (p.fragment & 0x3fff) == 0 && (p.protocol == 17 || p.protocol == 6 || query);
}
// The end of a packet that is ours, for the oracle.
Public sender(const NatPacket& p) { return {p.from, p.from_port, p.protocol}; }
Public receiver(const NatPacket& p) {
  return {p.to, p.protocol == 1 ? p.from_port : p.to_port, p.protocol};
}

class NatFuzz {
 public:
  void run(Choices& c) {
    for (int step = 0; step < 24; ++step) {
      switch (c.byte() % 8) {
        case 0:
        case 1:
        case 2:
          from_inside(c);
          break;
        case 3:
        case 4:
          from_outside(c);
          break;
        case 5:
          reply(c);
          break;
        case 6:
          wait(c);
          break;
        default:
          if (c.one_in(4)) change(c);
      }
      if (const std::string fault = net_.fault(); !fault.empty()) die(fault);
    }
    // What waits has been let go, and nothing was forgotten.
    pass(net_.wait(std::chrono::seconds(10)), nullptr, nullptr);
  }

 private:
  static NatPacket packet(Choices& c, const char* from, const char* to) {
    NatPacket p = nat_udp(from, c.among(kPorts), to, c.among(kPorts));
    p.protocol = c.among(kProtocols);
    if (p.protocol == 6) p.flags = c.byte();
    if (p.protocol == 1 && c.one_in(4)) p.icmp_type = c.byte();
    if (c.one_in(8)) p.fragment = c.word();
    if (c.one_in(8)) p.id = c.byte() % 4;
    if (c.one_in(8)) p.ttl = c.byte();
    if (c.one_in(8)) p.mss = c.word();
    if (c.one_in(16)) p.options = Bytes(size_t{4} * (1 + c.byte() % 10U), c.byte());
    if (c.one_in(16)) p.payload.assign(c.word() % 1500, 0x62);
    p.without_checksum = p.protocol == 17 && c.one_in(16);
    return p;
  }

  void from_inside(Choices& c) {
    const Tenant& tenant = kTwins[c.byte() % 2];
    NatPacket p = packet(c, c.among(kInside), c.one_in(4) ? c.among(kPublic) : c.among(kRemotes));
    if (c.one_in(8)) p = error_about(last_in_, p.from, 3, c.byte() % 16, c.word());
    if (c.one_in(8)) return pass(net_.bytes_from_vm(tenant, spoiled(p, c)), nullptr, nullptr);
    pass(net_.from_vm(tenant, p), &tenant, &p);
  }

  void from_outside(Choices& c) {
    NatPacket p = packet(c, c.among(kRemotes), c.among(kPublic));
    if (c.one_in(4)) p = error_about(last_out_, c.among(kRemotes), 3, c.byte() % 16, c.word());
    if (c.one_in(8)) return pass(net_.bytes_from_internet(spoiled(p, c)), nullptr, nullptr);
    pass(net_.from_internet(p), nullptr, &p);
  }

  void reply(Choices& c) {
    NatPacket p = reply_to(last_out_);
    if (p.protocol == 6) p.flags = c.byte();
    if (c.one_in(4)) p.from_port = c.word();
    pass(net_.from_internet(p), nullptr, &p);
  }

  void wait(Choices& c) { pass(net_.wait(std::chrono::seconds(c.byte() * 2)), nullptr, nullptr); }

  void change(Choices& c) {
    const Tenant& tenant = kTwins[c.byte() % 2];
    std::string body = NatNetwork::rules(c.among(kRules));
    if (c.one_in(4)) body = R"({"outboundRules":[]})";
    if (c.one_in(4)) body = NatNetwork::rules();
    // Refused while the other tenant has published the same.
    (void)net_.network().try_change({{"routingDomains/" + tenant.name + "/nat", body}});
    // What its rules no longer allow has no claim to rest.
    std::erase_if(owners_, [&](const auto& one) { return one.second.tenant == &tenant; });
  }

  // Bytes that are hardly a packet. Always an IPv4 header's worth: the world's hosts send no less.
  static Bytes spoiled(const NatPacket& p, Choices& c) {
    Bytes bytes = p.bytes();
    for (unsigned i = 1 + c.byte() % 4U; i > 0; --i) {
      // Not the version: then it is no IPv4 frame any more.
      bytes[1 + c.word() % (bytes.size() - 1)] = c.byte();
    }
    if (c.one_in(4)) bytes.resize(20 + c.word() % (bytes.size() - 19));
    return bytes;
  }

  // What came out. `in`: what went in, if it was a packet; of `tenant`, or from outside.
  void pass(const std::vector<NatSeen>& all, const Tenant* tenant, const NatPacket* in) {
    for (const NatSeen& seen : all) {
      if (in != nullptr && !seen.fault.empty()) die(seen.fault + text_of(seen.packet));
      if (seen.where == "elsewhere") die("left by another door: " + text_of(seen.packet));
      if (in == nullptr || !has_ports(*in) || !has_ports(seen.packet)) continue;
      if (seen.where == "internet") {
        if (tenant != nullptr) went_out(*tenant, *in, seen.packet);
      } else {
        came_in(seen, tenant, *in);
      }
    }
  }

  void went_out(const Tenant& tenant, const NatPacket& in, const NatPacket& out) {
    if (!out.from.starts_with("198.51.100.")) die("left untranslated: " + text_of(out));
    if (in.to != out.to || in.payload != out.payload) die("changed on its way: " + text_of(out));
    last_out_ = out;
    claim(sender(out), tenant, in);
  }

  void claim(const Public& endpoint, const Tenant& tenant, const NatPacket& in) {
    const Instant now = net_.network().clock().now();
    const Owner mine{&tenant, in.from, in.from_port, now};
    const auto [at, fresh] = owners_.try_emplace(endpoint, mine);
    if (!fresh && !same(at->second, mine) && now - at->second.last < kRest) {
      die("a public endpoint given twice: " + text_of(in));
    }
    at->second = mine;
  }

  void came_in(const NatSeen& seen, const Tenant* from, const NatPacket& in) {
    const NatPacket& p = seen.packet;
    if (from != nullptr && !in.to.starts_with("198.51.100.")) {
      // Refused: the error goes to who sent it, and has no ports. Else it went within its domain.
      if (seen.where != from->name) die("crossed over: " + text_of(in));
      return;
    }
    if (p.protocol == 1 && p.icmp_type == 0 && p.from == in.to && p.to == in.from) {
      return;  // the public address itself has answered
    }
    last_in_ = p;
    const bool is_published = std::get<0>(receiver(in)) == "198.51.100.9" ||
                              std::get<0>(receiver(in)) == "198.51.100.20" ||
                              receiver(in) == Public("198.51.100.4", 5353, 17);
    if (is_published) return;
    const auto at = owners_.find(receiver(in));
    if (at == owners_.end()) return;  // since before a change of rules
    const uint16_t port = p.protocol == 1 ? p.from_port : p.to_port;
    if (at->second.tenant->name != seen.where || at->second.address != p.to ||
        at->second.port != port) {
      die("came in to somebody else: " + text_of(in) + " as " + text_of(p));
    }
  }

  NatNetwork net_;
  std::map<Public, Owner> owners_;
  NatPacket last_out_ = nat_udp("198.51.100.4", 2000, "192.0.2.80", 53);
  NatPacket last_in_ = nat_udp("192.0.2.80", 53, "10.0.1.11", 5353);
};

}  // namespace
}  // namespace hnv

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {  // NOLINT: its name
  // One for the process: every input meets it as the one before has left it.
  static hnv::NatFuzz fuzz;
  hnv::Choices choices(data, size);
  fuzz.run(choices);
  return 0;
}
