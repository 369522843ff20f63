// SPDX-License-Identifier: Apache-2.0
#include "gateway/resolver.h"

#include <cstring>
#include <new>

#include "compartments/wire.h"
#include "gateway/reentry.h"

namespace hnv {
namespace {

// The link an ARP frame came in on, if it is for us: a network's by the attachment, an L3
// connection's by the destination MAC.
LinkId link_of(const Compiled& compiled, AttachmentId attachment, const wire::Mac& destination) {
  const auto* door = compiled.l3->find(L3Table::key(attachment, destination));
  if (door != nullptr) {
    const CompartmentView* view = compiled.compartments[door->compartment.value()].get();
    return view == nullptr ? LinkId() : view->connection(door->connection).link;
  }
  const auto network = compiled.network_links.find(attachment);
  return network == compiled.network_links.end() ? LinkId() : network->second;
}

}  // namespace

Resolver::~Resolver() {
  for (rte_mbuf* mbuf : waiting_) rte_pktmbuf_free(mbuf);
}

void Resolver::take(rte_mbuf* mbuf, const Compiled& compiled, Instant now) {
  if (side_note(*mbuf).resolve) return resolve(mbuf, compiled, now);
  learn(*mbuf, compiled, now);
  rte_pktmbuf_free(mbuf);
}

void Resolver::resolve(rte_mbuf* mbuf, const Compiled& compiled, Instant now) {
  const SideNote asked = side_note(*mbuf);
  SideNote answer;
  answer.origin = asked.origin;
  const CompartmentView* view = compiled.compartments[asked.origin.compartment.value()].get();
  if (view != nullptr && view->uid == asked.origin.compartment_uid) {
    Neighbors::Actions actions;
    const LinkId link = view->connection(asked.connection).link;
    answer.next_hop = next_hops_.demand({link, asked.address}, now, actions);
    if (answer.next_hop.valid()) answer.next_hop_uid = next_hops_.uid(answer.next_hop);
    act(actions);
  }
  side_note(*mbuf) = answer;
  waiting_.push_back(mbuf);
}

void Resolver::learn(const rte_mbuf& mbuf, const Compiled& compiled, Instant now) {
  const auto* start = rte_pktmbuf_mtod(&mbuf, const uint8_t*);
  const SideNote& note = *static_cast<const SideNote*>(mbuf.buf_addr);
  const auto& ethernet = *reinterpret_cast<const wire::Ethernet*>(start);
  const auto& arp = *reinterpret_cast<const wire::Arp*>(start + note.l2_bytes);
  const LinkId id = link_of(compiled, note.attachment, ethernet.destination);
  const OutLink* link = next_hops_.link(id);
  // What Ethernet says and what ARP says must agree; a neighbour speaks for itself.
  if (link == nullptr || ethernet.source.key() != arp.sender_mac.key()) return;
  const bool answer_to_us =
      arp.operation == wire::kArpReply && ethernet.destination.key() == link->mac.key();
  if (!answer_to_us && !link->trusted) return;
  Neighbors::Actions actions;
  next_hops_.learn(id, arp.sender_ip.value(), arp.sender_mac.address(), now, actions);
  act(actions);
}

void Resolver::tick(Instant now) {
  Neighbors::Actions actions;
  next_hops_.tick(now, actions);
  act(actions);
}

void Resolver::act(const Neighbors::Actions& actions) {
  next_hops_.apply(actions.changes);
  for (const Neighbors::Request& request : actions.requests) send_request(request);
}

void Resolver::send_request(const Neighbors::Request& request) {
  const OutLink* link = next_hops_.link(request.key.link);
  if (link == nullptr) return;
  rte_mbuf* mbuf = rte_pktmbuf_alloc(&packets_);
  if (mbuf == nullptr) return;  // asked again when the retransmission is due
  const auto l2 = static_cast<uint16_t>(sizeof(wire::Ethernet) +
                                        (link->vlan.tagged() ? sizeof(wire::VlanTag) : 0));
  auto* start = reinterpret_cast<uint8_t*>(
      rte_pktmbuf_append(mbuf, static_cast<uint16_t>(l2 + sizeof(wire::Arp))));
  auto& ethernet = *reinterpret_cast<wire::Ethernet*>(start);
  ethernet.destination = wire::Mac::of(request.to.value_or(MacAddress::broadcast()));
  ethernet.source = link->mac;
  ethernet.type = wire::ether_type::kArp;
  if (link->vlan.tagged()) {
    const wire::VlanTag tag{wire::ether_type::kVlan, be16{link->vlan.value()}};
    std::memcpy(start + 12, &tag, sizeof tag);
    std::memcpy(start + 16, &wire::ether_type::kArp, sizeof wire::ether_type::kArp);
  }
  auto& arp = *reinterpret_cast<wire::Arp*>(start + l2);
  arp = wire::Arp{.hardware_type = be16{1},
                  .protocol_type = wire::ether_type::kIpv4,
                  .hardware_bytes = 6,
                  .protocol_bytes = 4,
                  .operation = wire::kArpRequest,
                  .sender_mac = link->mac,
                  .sender_ip = be32{link->source_for(request.key.address)},
                  .target_mac = wire::Mac{},
                  .target_ip = be32{request.key.address}};
  mbuf->port = static_cast<uint16_t>(link->port.value());
  SideNote& note = *new (mbuf->buf_addr) SideNote;
  note.complete_frame = true;
  if (inject_(mbuf)) {
    ++requests_sent_;
  } else {
    rte_pktmbuf_free(mbuf);
  }
}

void Resolver::flush() {
  for (rte_mbuf* mbuf : waiting_) {
    if (!inject_(mbuf)) rte_pktmbuf_free(mbuf);
  }
  waiting_.clear();
}

}  // namespace hnv
