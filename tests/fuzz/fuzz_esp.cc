// SPDX-License-Identifier: Apache-2.0
//
// ESP of two twin tenants' sites, of each kind: whole packets that are spoiled somewhere, and
// sealed ones with anything inside, so that what lies behind the ICV is reached, too. Nothing may
// come out at a tenant but what its own site has sealed.
#include <cstdio>
#include <cstdlib>
#include <string>

#include "compartments/checksum.h"
#include "tests/fuzz/choices.h"
#include "tests/support/ipsec_network.h"

namespace hnv {
namespace {

[[noreturn]] void die(const std::string& why) {
  std::fprintf(stderr, "%s\n", why.c_str());
  std::abort();
}

IpsecOptions options_of(Choices& c) {
  IpsecOptions options;
  const uint8_t shape = c.byte();
  if ((shape & 1) != 0) {
    options.cipher = SaCipher::aes_cbc;
    options.integrity = SaIntegrity::hmac_sha256_128;
  }
  if ((shape & 2) != 0) options.encapsulation = SaEncapsulation::udp;
  if ((shape & 4) != 0) options.sequence = SaSequence::extended;
  options.outer_ipv6 = (shape & 8) != 0;
  if ((shape & 16) != 0) options.source_validation = SourceValidation::off;
  return options;
}

Bytes inner_of(Choices& c) {
  Bytes inner;
  switch (c.byte() % 4) {
    case 0:
      return c.rest(c.byte());
    case 1:
      inner = udp_packet("172.16.5.5", "10.0.1.11", c.byte());
      break;
    case 2:
      inner = udp_packet("fd16::5", "fd10:0:0:1::11", c.byte());
      break;
    default:
      inner = udp_packet("172.16.9.9", "10.0.1.12", c.byte(), c.byte());
  }
  for (unsigned spoiled = c.byte() % 4; spoiled > 0; --spoiled) {
    inner[c.byte() % inner.size()] = c.byte();
  }
  return inner;
}

SiteSends how_of(Choices& c) {
  SiteSends how;
  if (c.one_in(4)) how.next_header = c.byte();
  if (c.one_in(4)) how.more_padding = c.byte() % 15U * 16U;
  if (c.one_in(4)) how.traffic_flow_padding = c.byte();
  if (c.one_in(4)) how.sequence = uint64_t{c.word()} << (c.byte() % 33);
  how.wrong_padding = c.one_in(8);
  how.wrong_icv = c.one_in(8);
  how.tos = c.one_in(4) ? c.byte() : uint8_t{0};
  if (how.more_padding > 220) how.more_padding = 0;
  return how;
}

void run(Choices& c) {
  constexpr int kSteps = 6;
  IpsecNetwork net(options_of(c));
  for (int step = 0; step < kSteps; ++step) {
    const Tenant& tenant = kTwins[c.byte() % 2];
    const Bytes inner = inner_of(c);
    Bytes outer = net.seal(tenant, inner, how_of(c));
    const bool spoiled = c.one_in(3);
    for (unsigned i = spoiled ? 1 + c.byte() % 6U : 0; i > 0; --i) {
      outer[c.word() % outer.size()] = c.byte();
    }
    if (c.one_in(6)) outer.resize(1 + c.word() % outer.size());
    if (outer[0] >> 4 == 4 && outer.size() >= 20 && !c.one_in(8)) {
      outer[0] = 0x45;
      set_checksum(*reinterpret_cast<wire::Ipv4*>(outer.data()));
    }
    for (const IpsecSeen& seen : net.from_internet(outer)) {
      if (seen.where != tenant.name && seen.where != "site" && seen.where != "elsewhere") {
        die("a packet of " + tenant.name + "'s site came out at " + seen.where);
      }
      const Tenant& other = tenant.name == kContoso.name ? kFabrikam : kContoso;
      if (seen.where == "site" && net.open(other, seen.packet)) {
        die("an answer to " + tenant.name + "'s site went to the other one");
      }
    }
    if (const std::string fault = net.fault(); !fault.empty()) die(fault);
  }
}

}  // namespace
}  // namespace hnv

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {  // NOLINT: its name
  hnv::Choices choices(data, size);
  hnv::run(choices);
  return 0;
}
