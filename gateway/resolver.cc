// SPDX-License-Identifier: Apache-2.0
#include "gateway/resolver.h"

#include <spdlog/spdlog.h>

#include "compartments/ip6_checks.h"
#include "compartments/neighbor_discovery.h"
#include "compartments/wire.h"
#include "gateway/discovery_frames.h"
#include "gateway/reentry.h"

namespace hnv {
namespace {

// The link that an answer came in on, if it is for us: a network's by the attachment, an L3
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

// Where a packet asks for a neighbour: on its tenant's connection, or on the network that NAT sends
// it to. Invalid: that is gone.
LinkId link_asked(const SideNote& asked, const Compiled& compiled) {
  if (!asked.connection.valid()) {
    const auto network = compiled.network_links.find(asked.attachment);
    return network == compiled.network_links.end() ? LinkId() : network->second;
  }
  const CompartmentView* view = compiled.compartments[asked.origin.compartment.value()].get();
  return view != nullptr && view->uid == asked.origin.compartment_uid
             ? view->connection(asked.connection).link
             : LinkId();
}

bool is_packet_too_big(const wire::Ipv6& ip) {
  const auto* start = reinterpret_cast<const uint8_t*>(&ip);
  return start[upper_layer_of(ip).offset] == wire::icmp6::kPacketTooBig;
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
  answer.worker = asked.worker;
  if (const LinkId link = link_asked(asked, compiled); link.valid()) {
    Neighbors::Actions actions;
    const LinkAddress address = asked.family == Family::ipv4 ? LinkAddress(asked.address4())
                                                             : LinkAddress(asked.address6());
    answer.next_hop = next_hops_.demand({link, address}, now, actions);
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
  const be16 type = *reinterpret_cast<const be16*>(start + note.l2_bytes - sizeof(be16));
  if (type != wire::ether_type::kIpv4 && is_claim(start + note.l2_bytes, ethernet, note, now))
    return;
  const OutLink* link = next_hops_.link(link_of(compiled, note.attachment, ethernet.destination));
  if (link == nullptr) return;
  if (type == wire::ether_type::kIpv4) {
    const auto& ip = *reinterpret_cast<const wire::Ipv4*>(start + note.l2_bytes);
    learn_path_mtu(read_path_mtu(ip, note.attachment, *compiled.vsids), *link, now);
  } else if (note.family == Family::ipv4) {
    learn_arp(*reinterpret_cast<const wire::Arp*>(start + note.l2_bytes), ethernet, *link, now);
  } else if (const auto& ip = *reinterpret_cast<const wire::Ipv6*>(start + note.l2_bytes);
             is_packet_too_big(ip)) {
    learn_path_mtu(read_path_mtu(ip, note.attachment, *compiled.vsids), *link, now);
  } else {
    learn_nd(ip, ethernet, *link, now);
  }
}

// One of our own addresses, out of another's mouth.
bool Resolver::is_claim(const uint8_t* l3, const wire::Ethernet& ethernet, const SideNote& note,
                        Instant now) {
  using Claim = OwnAddresses::Claim;
  Neighbors::Actions actions;
  const MacAddress other = ethernet.source.address();
  const auto claim = [&](const LinkAddress& address, Claim how) {
    watch_.claimed(note.attachment, address, other, how, now, actions);
    act(actions);
  };
  if (note.family == Family::ipv4) {
    const auto& arp = *reinterpret_cast<const wire::Arp*>(l3);
    claim(Ip4<Space::external>(arp.sender_ip.value()), Claim::statement);
    return false;  // it may be the answer to something else
  }
  const auto& ip = *reinterpret_cast<const wire::Ipv6*>(l3);
  const auto* icmp = l3 + upper_layer_of(ip).offset;
  if (*icmp != wire::icmp6::kNeighborSolicitation && *icmp != wire::icmp6::kNeighborAdvertisement) {
    return false;
  }
  const auto message = read_nd(ip, sizeof(wire::Ipv6));
  if (!message) return true;
  const bool asks = message->type == wire::icmp6::kNeighborSolicitation;
  claim(Ip6<Space::external>(message->target), asks ? Claim::question : Claim::statement);
  return asks;
}

void Resolver::learn_arp(const wire::Arp& arp, const wire::Ethernet& ethernet, const OutLink& link,
                         Instant now) {
  // What Ethernet says and what ARP says must agree; a neighbour speaks for itself.
  if (ethernet.source.key() != arp.sender_mac.key()) return;
  const bool answer_to_us =
      arp.operation == wire::kArpReply && ethernet.destination.key() == link.mac.key();
  if (!answer_to_us && !link.trusted) return;
  Neighbors::Actions actions;
  next_hops_.learn(link.id, Ip4<Space::external>(arp.sender_ip.value()), arp.sender_mac.address(),
                   now, actions);
  act(actions);
}

// An advertisement; classify has made sure that it is one and lies in the packet.
void Resolver::learn_nd(const wire::Ipv6& ip, const wire::Ethernet& ethernet, const OutLink& link,
                        Instant now) {
  const auto message = read_nd(ip, upper_layer_of(ip).offset);
  if (!message || message->type != wire::icmp6::kNeighborAdvertisement) return;
  // A neighbour speaks for itself: nobody else's address, and not under another's MAC.
  if (message->target_mac && message->target_mac->key() != ethernet.source.key()) return;
  Neighbors::Advertisement advertisement{.mac = {},
                                         .router = (message->flags & wire::kNdRouter) != 0,
                                         .solicited = (message->flags & wire::kNdSolicited) != 0,
                                         .overrides = (message->flags & wire::kNdOverride) != 0};
  if (message->target_mac) {
    advertisement.mac = message->target_mac->address();
  } else if (!ethernet.source.multicast()) {
    // §4.4: the answer to a unicast solicitation may leave the option out.
    advertisement.mac = ethernet.source.address();
  }
  Neighbors::Actions actions;
  next_hops_.advertised(link.id, Ip6<Space::external>(message->target), advertisement, now,
                        actions);
  act(actions);
}

void Resolver::learn_path_mtu(const std::optional<PathMtu>& path, const OutLink& link,
                              Instant now) {
  if (!path || !next_hops_.learn_path_mtu({link.id, path->host}, path->mtu, now)) return;
  spdlog::info("{}: the path to {} carries packets of {} bytes", link.name, path->host.to_string(),
               path->mtu);
  // RFC 8200 §5: IPv6 packets of 1,280 bytes must get through, and NVGRE packets are not
  // fragmented.
  const unsigned overhead = path->host.is_v4() ? wire::kNvgreOverIpv4 : wire::kNvgreOverIpv6;
  if (path->mtu < kIpv6MinimumMtu + overhead) {
    spdlog::warn(
        "{}: the path to {} is too narrow for tenants' IPv6: it carries {} bytes, and needs {}",
        link.name, path->host.to_string(), path->mtu, kIpv6MinimumMtu + overhead);
  }
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
  const auto source = link == nullptr ? std::nullopt : link->source_for(request.key.address);
  if (!source) return;
  // RFC 4429 §3.2: nobody is to learn an address that is not verified; that of our MAC is there
  // too.
  const bool optimistic = !source->is_v4() && watch_.addresses().is_optimistic({link->id, *source});
  const LinkAddress from =
      optimistic ? LinkAddress(Ip6<Space::external>(link_local_of(link->mac))) : *source;
  rte_mbuf* mbuf = make_request(packets_, *link, from, request.key.address, request.to);
  if (mbuf == nullptr) return;  // asked again when the retransmission is due
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
