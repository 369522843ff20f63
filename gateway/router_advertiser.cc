// SPDX-License-Identifier: Apache-2.0
#include "gateway/router_advertiser.h"

#include <algorithm>
#include <cstring>
#include <new>

#include "compartments/ip6_checks.h"
#include "gateway/encapsulate.h"
#include "gateway/reentry.h"

namespace hnv {
namespace {

const CustomerRecord* l2_record_of(const CompartmentView& view, SubnetId subnet, uint64_t mac) {
  const L2Record wanted{subnet, mac, {}};
  const auto at =
      std::lower_bound(view.l2_records.begin(), view.l2_records.end(), wanted, l2_before);
  return at == view.l2_records.end() || l2_before(wanted, *at) ? nullptr : &at->record;
}

// Where frames for the VM of a record go; null when this record is not the one of it that counts.
const CustomerRecord* recipient(const CompartmentView& view, SubnetId subnet,
                                const SubnetModel& model, const RecordId& id) {
  if (const auto* mac = std::get_if<MacAddress>(&id)) {
    return l2_record_of(view, subnet, wire::mac_key(*mac));
  }
  const auto* ca = std::get_if<IpAddress<Space::customer>>(&id);
  if (ca == nullptr || ca->is_v4()) return nullptr;
  const LookupRecord* record = model.records.find(id);
  if (model.records.contains(RecordId(record->mac_address))) return nullptr;  // its own turn comes
  const CustomerRecord* found = view.records->find(CaKey(*ca));
  return found != nullptr && found->subnet == subnet && found->type != RecordType::own ? found
                                                                                       : nullptr;
}

// Customer addresses ascend, IPv4 before IPv6, MACs at the end.
RecordId first_record() { return IpAddress<Space::customer>(CaAddress6()); }

}  // namespace

Duration RouterAdvertiser::random_up_to(Duration most) {
  random_ = (random_ ^ random_ >> 30) * 0xbf58476d1ce4e5b9 + 0x9e3779b97f4a7c15;
  return most * static_cast<int64_t>(random_ >> 44) / (int64_t{1} << 20);
}

void RouterAdvertiser::add(const Key& key, Subnet subnet) {
  due_.emplace(subnet.due, key);
  subnets_.insert_or_assign(key, std::move(subnet));
}

void RouterAdvertiser::remove(const Key& key) {
  const auto at = subnets_.find(key);
  due_.erase({at->second.due, key});
  subnets_.erase(at);
}

void RouterAdvertiser::changed(const CompiledDomain* before, const CompiledDomain* after,
                               const DomainModel* model, const Hops& hops, Instant now) {
  if (before != nullptr) {
    for (const auto& [id, was] : before->advertised) {
      const bool same_domain = after != nullptr && after->view->uid == before->view->uid;
      const auto is = same_domain ? after->advertised.find(id) : before->advertised.end();
      const bool stays =
          same_domain && is != after->advertised.end() && is->second.name == was.name;
      if (stays && is->second == was) continue;
      remove({before->view->uid, id});
      // What goes on under another MAC is another router to hosts.
      if (stays && is->second.advertisement.mac.key() == was.advertisement.mac.key()) continue;
      end(*before, was, id, model, hops);
    }
  }
  if (after == nullptr) return;
  for (const auto& [id, what] : after->advertised) {
    const Key key{after->view->uid, id};
    if (subnets_.contains(key)) continue;
    random_ ^= now.nanoseconds ^ wire::mac_key(MacAddress(what.advertisement.mac.address()));
    add(key, {.domain = after->view->name,
              .compartment = after->view->id,
              .what = what,
              .due = now + random_up_to(kMaxDelay)});
  }
}

// §6.2.5. The records may be gone a moment later: who is told is noted now.
void RouterAdvertiser::end(const CompiledDomain& before, const AdvertisedSubnet& what, SubnetId id,
                           const DomainModel* model, const Hops& hops) {
  const auto* subnet = model == nullptr ? nullptr : model->subnets.find(what.name);
  if (subnet == nullptr) return;
  Final last{.view = before.view,
             .subnet = id,
             .packet = packet_of(final_of(what.advertisement), kAllNodes),
             .left = {}};
  for (auto at = (*subnet)->records.lower_bound(first_record());
       at != (*subnet)->records.end() && last.left.size() < kMaxFinal; ++at) {
    const CustomerRecord* record = recipient(*before.view, id, **subnet, at->first);
    if (record != nullptr) last.left.emplace_back(*record, hops[record->next_hop.value()]);
  }
  if (!last.left.empty()) finals_.push_back(std::move(last));
}

void RouterAdvertiser::solicited(const rte_mbuf& mbuf, Instant now) {
  const SideNote& note = *static_cast<const SideNote*>(mbuf.buf_addr);
  const Key key{note.origin.compartment_uid, note.origin.in_subnet};
  const auto& ethernet = *rte_pktmbuf_mtod(&mbuf, const wire::Ethernet*);
  const auto& ip = *rte_pktmbuf_mtod_offset(&mbuf, const wire::Ipv6*, sizeof ethernet);
  if (!subnets_.contains(key) || asked_.size() == kMaxAsked) return;
  if (!asking_.emplace(key, ethernet.source.key()).second) return;
  random_ ^= now.nanoseconds ^ ethernet.source.key();
  asked_.emplace(now + random_up_to(kMaxDelay),
                 Asked{.key = key, .source = ip.source, .mac = ethernet.source});
}

void RouterAdvertiser::answer(const Compiled& compiled, const Hops& hops, Instant now) {
  while (!asked_.empty() && asked_.begin()->first <= now && budget_ > 0) {
    const Asked asked = asked_.begin()->second;
    asked_.erase(asked_.begin());
    asking_.erase({asked.key, asked.mac.key()});
    const auto at = subnets_.find(asked.key);
    if (at == subnets_.end()) continue;
    const auto& view = compiled.compartments[at->second.compartment.value()];
    if (view == nullptr || view->uid != asked.key.first) continue;
    const CustomerRecord* record =
        record_of_nd_sender(*view, asked.key.second, asked.source, asked.mac);
    if (record == nullptr) continue;
    // §6.2.6: to who has no address yet, to all nodes.
    const auto& to = is_unspecified6(asked.source) ? kAllNodes : asked.source;
    (void)send(*view, asked.key.second, *record, hops[record->next_hop.value()],
               packet_of(at->second.what.advertisement, to));
  }
}

void RouterAdvertiser::tick(const DesiredState& model, const Compiled& compiled, const Hops& hops,
                            Instant now) {
  budget_ = kFramesAtOnce;
  looks_ = kLooksAtOnce;
  Duration turns{0};  // in the order of whose turn it was
  answer(compiled, hops, now);
  while (!finals_.empty() && budget_ > 0) {
    Final& last = finals_.front();
    while (!last.left.empty() && budget_ > 0) {
      const auto& [record, hop] = last.left.front();
      if (!send(*last.view, last.subnet, record, hop, last.packet)) return;
      last.left.pop_front();
    }
    if (last.left.empty()) finals_.pop_front();
  }
  while (!due_.empty() && due_.begin()->first <= now + turns && budget_ > 0 && looks_ > 0) {
    const Key key = due_.begin()->second;
    due_.erase(due_.begin());
    Subnet& subnet = subnets_.at(key);
    turn(key, subnet, model, compiled, hops, now);
    if (subnet.under_way) subnet.due = now + ++turns;
    due_.emplace(subnet.due, key);
  }
}

// A part of a round.
void RouterAdvertiser::turn(const Key& key, Subnet& subnet, const DesiredState& model,
                            const Compiled& compiled, const Hops& hops, Instant now) {
  if (!subnet.under_way) {
    subnet.under_way = true;
    subnet.began = now;
    subnet.last.reset();
  }
  const auto& view = compiled.compartments[subnet.compartment.value()];
  const SubnetModel* records = model.subnet(subnet.domain, subnet.what.name);
  if (view == nullptr || view->uid != key.first || records == nullptr) return finish_round(subnet);
  const std::vector<uint8_t> packet = packet_of(subnet.what.advertisement, kAllNodes);
  auto at = records->records.lower_bound(subnet.last.value_or(first_record()));
  if (subnet.last && at != records->records.end() && at->first == *subnet.last) ++at;
  for (unsigned i = 0; i < kTurn && budget_ > 0 && looks_ > 0; ++i, ++at) {
    if (at == records->records.end()) return finish_round(subnet);
    --looks_;
    const CustomerRecord* record = recipient(*view, key.second, *records, at->first);
    if (record != nullptr &&
        !send(*view, key.second, *record, hops[record->next_hop.value()], packet)) {
      break;
    }
    subnet.last = at->first;
  }
}

// §6.2.4: the first ones soon after another, then at random.
void RouterAdvertiser::finish_round(Subnet& subnet) {
  subnet.under_way = false;
  const Duration least = std::max<Duration>(subnet.what.interval / 3, kLeastInterval);
  Duration wait = least + random_up_to(subnet.what.interval - least);
  if (subnet.initial_left > 0) --subnet.initial_left;
  if (subnet.initial_left > 0) wait = std::min(wait, kInitialInterval);
  subnet.due = subnet.began + wait;
}

// False: not now. A host that cannot be reached yet is passed over.
bool RouterAdvertiser::send(const CompartmentView& view, SubnetId subnet,
                            const CustomerRecord& record, const NextHop& hop,
                            const std::vector<uint8_t>& packet) {
  if (hop.state != NextHopState::resolved) return true;
  rte_mbuf* mbuf = rte_pktmbuf_alloc(&packets_);
  if (mbuf == nullptr) {
    budget_ = 0;
    return false;
  }
  const SubnetView& out = view.subnet(subnet);
  const auto headers = static_cast<uint16_t>(hop.header_bytes + out.header_bytes());
  auto* start = rte_pktmbuf_append(mbuf, static_cast<uint16_t>(headers + packet.size()));
  std::memcpy(start + headers, packet.data(), packet.size());
  (void)rte_pktmbuf_adj(mbuf, headers);
  PacketSlot slot;
  slot.load(mbuf);
  (void)encapsulate(slot, out, record, 0, 0, wire::ether_type::kIpv6);  // there is room
  std::memcpy(slot.prepend(hop.header_bytes), hop.header.data(), hop.header_bytes);
  slot.store();
  mbuf->port = static_cast<uint16_t>(hop.port.value());
  SideNote& note = *new (mbuf->buf_addr) SideNote;
  note.complete_frame = true;
  if (!inject_(mbuf)) {
    rte_pktmbuf_free(mbuf);
    budget_ = 0;
    return false;
  }
  ++sent_;
  --budget_;
  return true;
}

}  // namespace hnv
