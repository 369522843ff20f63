// SPDX-License-Identifier: Apache-2.0
//
// The NAT door, inbound: an external network sends to one of our public addresses.
//
//   outer Eth | IP (→ public address) | TCP, UDP, ICMP | …   →   the same, to the inside address
//
// What decides whose it is, in this order: a session, a static mapping, a mapping that something
// inside has opened (if its filter lets the sender in). One-to-one addresses need none of them.
// Nothing in the packet but its endpoints has a say.
//
// A port names the worker that owns it; what arrives elsewhere is handed over as it came.
#include "compartments/scratch.h"
#include "nat/enter_parts.h"
#include "nat/prefetch_rules.h"

namespace hnv {
namespace nat_in {
namespace {

// A plain packet (is_plain) on its way.
struct Plain {
  PacketSlot* slot = nullptr;
  uint64_t addresses = 0;
  uint64_t hash = 0;
  uint32_t ports = 0;
  uint32_t candidate = NatTable::kNone;
  const NatRules* rules = nullptr;  // of the candidate
  uint8_t protocol = 0;
};

// How many; 0, and nothing has happened: they are not all plain, to addresses that only have
// sessions, for this worker.
unsigned read_plain(Burst<Side::outside> in, const NatContext& nat, Out out,
                    Scratch<Plain, kVector>& packets) {
  unsigned count = 0;
  for (const auto packet : in) {
    const wire::Ipv4& ip = ip_of(packet);
    const PacketSlot& slot = packet.slot();
    const PublicAddress& address = address_of(slot, nat.plan);
    if (!is_plain(ip) || was_hairpinned(slot) || address.compartment.valid() ||
        nat.plan.find(ip.source) != nullptr) {
      return 0;
    }
    const uint32_t ports = ports_of_plain(ip);
    const be16 port = split_ports(ports).destination;
    if (owner_of(nat.plan, address, ip.protocol, port, out.worker()) != out.worker()) return 0;
    Plain& plain = packets[count++];
    plain.slot = &packet.slot();
    plain.addresses = addresses_of(ip);
    plain.ports = ports;
    plain.protocol = ip.protocol;
    plain.hash = OutsideFlow::hash_of(plain.addresses, ports, plain.protocol);
    nat.mine.table.prefetch_outside(plain.hash);
  }
  return count;
}

void pass_plain(const Plain& plain, NatSession& session, const NatContext& nat, Out out) {
  const Packet<Side::outside> packet(*plain.slot);
  const NatRules& rules = *plain.rules;
  wire::Ipv4& ip = ip_of(packet);
  if (plain.protocol == wire::ip_protocol::kTcp) {
    const uint8_t flags = tcp_of_plain(ip).flags;
    session.state = after_segment(session.state, flags, false);
    if ((flags & wire::tcp_flag::kSyn) != 0) [[unlikely]] {
      clamp_mss(ip, read_transport(ip), mss_of(rules.inner_mtu));
    }
  }
  count(session, ip.total_length.value(), nat);
  rewrite_plain(ip, Side4::destination, session.inside, session.inside_port);
  enter(packet, *tenant_of(nat, &rules), rules, session.inside, out);
}

// Plain packets, in order, each in the pass that its memory has been fetched for.
void enter_plain(unsigned count, Scratch<Plain, kVector>& packets, const NatContext& nat, Out out) {
  NatTable& table = nat.mine.table;
  for (unsigned i = 0; i < count; ++i) {
    packets[i].candidate = table.candidate_outside(packets[i].hash);
    table.prefetch_session(packets[i].candidate);
  }
  for (unsigned i = 0; i < count; ++i) {
    Plain& plain = packets[i];
    plain.rules = nullptr;
    if (plain.candidate == NatTable::kNone) continue;
    const CompartmentId domain = table.compartment_of(plain.candidate);
    prefetch_view(nat.compartments[domain.value()].get());
    plain.rules = nat.plan.rules_of(domain);
    prefetch_rules(plain.rules);
  }
  for (unsigned i = 0; i < count; ++i) {
    if (packets[i].rules != nullptr) prefetch_counters(*packets[i].rules, out.worker());
  }
  for (unsigned i = 0; i < count; ++i) {
    const Plain& plain = packets[i];
    NatSession* session = plain.rules == nullptr ? nullptr : &table.at(plain.candidate);
    const bool known = session != nullptr &&
                       session->is_outside(plain.addresses, plain.ports, plain.protocol) &&
                       session->rules == plain.rules->serial && plain.rules->enabled;
    if (known) [[likely]] {
      pass_plain(plain, *session, nat, out);
    } else {
      enter_one(Packet<Side::outside>(*plain.slot), nat, out);
    }
  }
}

}  // namespace
}  // namespace nat_in

void enter_nat(Burst<Side::outside> in, const NatContext& nat, Exit<Stage::enter_nat> out) {
  using namespace nat_in;
  Scratch<Plain, kVector> packets;
  const unsigned plain = read_plain(in, nat, out, packets);
  if (plain > 0) [[likely]] {
    return enter_plain(plain, packets, nat, out);
  }
  enter_any(in, nat, out);
}

}  // namespace hnv
