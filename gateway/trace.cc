// SPDX-License-Identifier: Apache-2.0
#include "gateway/trace.h"

#include <algorithm>

#include <fmt/format.h>

#include "compartments/ip6_checks.h"

namespace hnv {
namespace {

// Where the tenant's IP header is, seen from where the packet has just been.
uint32_t tenant_offset(const TraceRecord& record, const PacketSlot& slot) {
  if (slot.inside) return 0;
  switch (record.from) {
    case Stage::enter_nvgre:
      return slot.l2_bytes + static_cast<uint32_t>(slot.family == Family::ipv6
                                                       ? sizeof(NvgreHeader6)
                                                       : sizeof(NvgreHeader));
    case Stage::enter_l3:
    case Stage::classify:
      return slot.l2_bytes;
    case Stage::leave_nvgre:
      return slot.inner;
    case Stage::rewrite: {
      if (record.dropped) return slot.inner;  // it has no Ethernet header yet
      const auto& ethernet = *reinterpret_cast<const wire::Ethernet*>(slot.data);
      return slot.inner + (ethernet.type == wire::ether_type::kVlan ? 18U : 14U);
    }
    default:
      return 0;
  }
}

// Fills in the flow. False: there is no IP header in the buffer (ARP, or cut headers).
bool read_flow(const PacketSlot& slot, uint32_t offset, TraceRecord& record) {
  const uint8_t* start = slot.data + offset;
  if (offset >= slot.bytes) return false;
  const uint32_t left = slot.bytes - offset;
  uint32_t upper = 0;
  bool has_upper = true;
  if (*start >> 4 == 4 && left >= sizeof(wire::Ipv4)) {
    const auto& ip = *reinterpret_cast<const wire::Ipv4*>(start);
    record.source = CaAddress(ip.source.value());
    record.destination = CaAddress(ip.destination.value());
    record.protocol = ip.protocol;
    record.bytes = ip.total_length.value();
    upper = ip.header_bytes();
    has_upper = !ip.is_later_fragment();
  } else if (*start >> 4 == 6 && left >= sizeof(wire::Ipv6)) {
    const auto& ip = *reinterpret_cast<const wire::Ipv6*>(start);
    if (!ipv6_header_fits(ip, left)) return false;
    const Upper6 found = upper_layer_of(ip);
    record.source = CaAddress6(ip.source);
    record.destination = CaAddress6(ip.destination);
    record.protocol = found.protocol;
    record.bytes = static_cast<uint16_t>(std::min<uint32_t>(ip.total_length(), UINT16_MAX));
    upper = found.offset;
    has_upper = found.whole && !found.later_fragment;
  } else {
    return false;
  }
  const bool has_ports =
      record.protocol == wire::ip_protocol::kTcp || record.protocol == wire::ip_protocol::kUdp;
  if (has_ports && has_upper && upper + sizeof(wire::Ports) <= left) {
    const auto& ports = *reinterpret_cast<const wire::Ports*>(start + upper);
    record.source_port = ports.source.value();
    record.destination_port = ports.destination.value();
  }
  return true;
}

template <class T>
bool matches(const std::optional<T>& wanted, T found) {
  return !wanted || *wanted == found;
}

}  // namespace

void WorkerTrace::note(TraceRecord record, const PacketSlot& slot) {
  if (left_ == 0 || slot.compartment == nullptr ||
      slot.compartment->uid != match_.compartment_uid) {
    return;
  }
  if (!read_flow(slot, tenant_offset(record, slot), record)) return;
  if (!matches(match_.source, record.source) || !matches(match_.destination, record.destination) ||
      !matches(match_.protocol, record.protocol) ||
      !matches(match_.source_port, record.source_port) ||
      !matches(match_.destination_port, record.destination_port)) {
    return;
  }
  record.at = now_;
  if (slot.in_subnet.valid()) record.vsid = slot.compartment->subnet(slot.in_subnet).vsid;
  --left_;
  if (ring_.push(&record, 1) == 0) missed_.add();
}

void WorkerTrace::moved(Stage from, Stage to, const PacketSlot& slot) {
  note(TraceRecord{.at = {}, .from = from, .to = to}, slot);
}

void WorkerTrace::dropped(Stage from, DropReason reason, const PacketSlot& slot) {
  note(TraceRecord{.at = {}, .from = from, .reason = reason, .dropped = true}, slot);
}

TraceEvent to_event(const TraceRecord& record, unsigned worker, Instant begin) {
  TraceEvent event;
  event.time_seconds = in_seconds(record.at - begin);
  event.worker = worker;
  event.station = to_string(record.from);
  event.next = record.dropped ? fmt::format("drop: {}", to_string(record.reason))
                              : std::string(to_string(record.to));
  const auto text = [&](const IpAddress<Space::customer>& address, uint16_t port) {
    if (record.source_port == 0 && record.destination_port == 0) return address.to_string();
    if (address.is_v4()) return fmt::format("{}:{}", address.to_string(), port);
    return fmt::format("[{}]:{}", address.to_string(), port);
  };
  std::string packet =
      fmt::format("{} > {}, protocol {}, {} bytes", text(record.source, record.source_port),
                  text(record.destination, record.destination_port), record.protocol, record.bytes);
  if (record.vsid != 0) packet += fmt::format(", vsid {}", record.vsid);
  event.packet = std::move(packet);
  return event;
}

}  // namespace hnv
