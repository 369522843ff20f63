// SPDX-License-Identifier: Apache-2.0
#include "gateway/trace.h"

#include <fmt/format.h>

#include "compartments/wire.h"

namespace hnv {
namespace {

// Where the tenant's IP header is, seen from where the packet has just been; null: not in the
// buffer.
const wire::Ipv4* tenant_header(const TraceRecord& record, const PacketSlot& slot) {
  const uint8_t* start = slot.data;
  uint32_t offset = 0;
  if (!slot.inside) {
    constexpr auto kNvgre = static_cast<uint32_t>(sizeof(NvgreHeader));
    switch (record.from) {
      case Stage::enter_nvgre:
        offset = slot.l2_bytes + kNvgre;
        break;
      case Stage::enter_l3:
      case Stage::classify:
        offset = slot.l2_bytes;
        break;
      case Stage::leave_nvgre:
        offset = slot.inner;
        break;
      case Stage::rewrite:
        offset = slot.inner;
        if (!record.dropped) {  // what rewrite drops has no Ethernet header yet
          const auto& ethernet = *reinterpret_cast<const wire::Ethernet*>(start);
          offset += ethernet.type == wire::ether_type::kVlan ? 18 : 14;
        }
        break;
      default:
        break;
    }
  }
  if (offset + sizeof(wire::Ipv4) > slot.bytes) return nullptr;
  const auto* ip = reinterpret_cast<const wire::Ipv4*>(start + offset);
  return ip->version_ihl >> 4 == 4 ? ip : nullptr;  // ARP, or cut headers
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
  const wire::Ipv4* ip = tenant_header(record, slot);
  if (ip == nullptr) return;
  record.source = ip->source.value();
  record.destination = ip->destination.value();
  record.protocol = ip->protocol;
  record.bytes = ip->total_length.value();
  const bool has_ports =
      (ip->protocol == wire::ip_protocol::kTcp || ip->protocol == wire::ip_protocol::kUdp) &&
      !ip->is_later_fragment();
  const uint8_t* end = slot.data + slot.bytes;
  const auto* ports = reinterpret_cast<const uint8_t*>(ip) + ip->header_bytes();
  if (has_ports && ports + sizeof(wire::Ports) <= end) {
    record.source_port = reinterpret_cast<const wire::Ports*>(ports)->source.value();
    record.destination_port = reinterpret_cast<const wire::Ports*>(ports)->destination.value();
  }
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
  const std::string source = address_text::format4(record.source);
  const std::string destination = address_text::format4(record.destination);
  std::string packet = record.source_port != 0 || record.destination_port != 0
                           ? fmt::format("{}:{} > {}:{}", source, record.source_port, destination,
                                         record.destination_port)
                           : fmt::format("{} > {}", source, destination);
  packet += fmt::format(", protocol {}, {} bytes", record.protocol, record.bytes);
  if (record.vsid != 0) packet += fmt::format(", vsid {}", record.vsid);
  event.packet = std::move(packet);
  return event;
}

}  // namespace hnv
