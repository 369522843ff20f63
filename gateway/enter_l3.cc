// SPDX-License-Identifier: Apache-2.0
//
// The L3 door, inbound: a tenant's physical network.
//
// outer Eth (→ the connection's MAC) | [802.1Q] | IP of the tenant
//
// The destination MAC chooses the connection; nothing in the IP packet may influence that choice.
// The source must be reached through the same connection (strict reverse path, RFC 3704), unless
// the connection says loose (any route) or off.
#include "compartments/checksum.h"
#include "compartments/ip_checks.h"
#include "compartments/reverse_path.h"
#include "compartments/scratch.h"
#include "gateway/stations.h"

namespace hnv {
namespace {

using Out = Exit<Stage::enter_l3>;

// Header checks; the length is the tenant's packet's. False when the packet has been dropped.
bool header_right(Packet<Side::outside> packet, Out out) {
  const uint32_t offset = packet.slot().l2_bytes;
  if (packet.bytes() < offset + sizeof(wire::Ipv4)) [[unlikely]] {
    out.drop(packet, DropReason::frame_short);
    return false;
  }
  const auto& ip = packet.at<wire::Ipv4>(offset);
  if (!ipv4_header_fits(ip, packet.bytes() - offset)) [[unlikely]] {
    out.drop(packet, DropReason::inner_bad_header);
    return false;
  }
  if (!checksum_right(ip)) [[unlikely]] {
    out.drop(packet, DropReason::inner_bad_checksum);
    return false;
  }
  if (is_martian_source(ip.source.value())) [[unlikely]] {
    out.drop(packet, DropReason::inner_bad_source);
    return false;
  }
  return true;
}

// The compartment is known now (for counters and traces); the packet has not entered it yet.
bool bind(Packet<Side::outside> packet, const L3Table::Entry* door, const Dataplane& plane,
          Out out) {
  if (door == nullptr) [[unlikely]] {
    out.drop(packet, DropReason::mac_not_ours);
    return false;
  }
  packet.slot().compartment = plane.compartment(door->compartment);
  packet.slot().in_connection = door->connection;
  return true;
}

void enter(Packet<Side::outside> packet, Out out) {
  PacketSlot& slot = packet.slot();
  const CompartmentView& tenant = *slot.compartment;
  const auto& ip = packet.at<wire::Ipv4>(slot.l2_bytes);
  const uint16_t length = ip.total_length.value();
  slot.destination = ip.destination.value();
  slot.ingress = Ingress::l3;
  slot.data += slot.l2_bytes;
  slot.bytes = length;
  CompartmentCounters& counters = out.counters(tenant);
  counters.l3_in_packets.add();
  counters.l3_in_bytes.add(length);
  auto& mine = tenant.connection_counters_of(out.worker(), slot.in_connection);
  mine.in_packets.add();
  mine.in_bytes.add(length);
  out.to<Stage::route>(out.enter(packet, tenant));
}

}  // namespace

void enter_l3(Burst<Side::outside> in, const Dataplane& plane, Exit<Stage::enter_l3> out) {
  Scratch<uint64_t, kVector> keys;
  Scratch<PacketSlot*, kVector> slots;
  Scratch<const FibRoot*, kVector> tables;
  Scratch<uint32_t, kVector> sources;
  Scratch<HopId, kVector> hops;
  // MAC → connection, a line a step, each fetched while the others are looked at.
  const unsigned received = in.size();
  for (unsigned i = 0; i < received; ++i) {
    keys[i] = L3Table::key(in[i].slot().attachment, in[i].at<wire::Ethernet>(0).destination);
    plane.l3->prefetch(keys[i]);
  }
  unsigned bound = 0;
  for (unsigned i = 0; i < received; ++i) {
    if (!bind(in[i], plane.l3->find(keys[i]), plane, out)) continue;
    slots[bound++] = &in[i].slot();
    prefetch_view(in[i].slot().compartment);
  }
  // The headers; fetch what the reverse path and the counters touch.
  unsigned count = 0;
  for (unsigned i = 0; i < bound; ++i) {
    const Packet<Side::outside> packet(*slots[i]);
    if (!header_right(packet, out)) continue;
    PacketSlot& slot = *slots[i];
    const CompartmentView& tenant = *slot.compartment;
    __builtin_prefetch(&tenant.connection(slot.in_connection));
    __builtin_prefetch(&out.counters(tenant), 1);
    slots[count] = &slot;
    tables[count] = &tenant.fib;
    sources[count] = packet.at<wire::Ipv4>(slot.l2_bytes).source.value();
    ++count;
  }
  lookup_bulk(tables.data(), sources.data(), hops.data(), count);
  for (unsigned i = 0; i < count; ++i) {
    const CompartmentView& tenant = *slots[i]->compartment;
    if (hops[i].valid()) __builtin_prefetch(&tenant.hop(hops[i]));
    __builtin_prefetch(&tenant.connection_counters_of(out.worker(), slots[i]->in_connection), 1);
  }
  for (unsigned i = 0; i < count; ++i) {
    const Packet<Side::outside> packet(*slots[i]);
    const CompartmentView& tenant = *slots[i]->compartment;
    if (hops[i].valid() && is_nobodys_source(tenant.hop(hops[i]).kind)) {
      out.drop(packet, DropReason::inner_bad_source);
    } else if (!reached_through(tenant, hops[i], slots[i]->in_connection)) {
      out.drop(packet, DropReason::l3_source_not_routed);
    } else {
      enter(packet, out);
    }
  }
}

}  // namespace hnv
