// SPDX-License-Identifier: Apache-2.0
#include "compartments/own_addresses.h"

#include <algorithm>
#include <cstring>

namespace hnv {
namespace {

// Up to kMaxDelay (RFC 4862 §5.4.2), other for every address and the same at every start.
Duration delay_of(const NeighborKey& key, const MacAddress& mac) {
  uint64_t words[2];
  std::memcpy(words, key.address.bytes().data(), sizeof words);
  uint64_t low = 0;
  std::memcpy(&low, mac.bytes().data(), 6);
  const uint64_t mixed = (words[0] ^ words[1] ^ low) * 0x9e3779b97f4a7c15U;
  return OwnAddresses::kMaxDelay * static_cast<int>(mixed >> 54) / 1024;
}

}  // namespace

std::string_view to_string(AddressStatus status) {
  switch (status) {
    case AddressStatus::optimistic:
      return "optimistic";
    case AddressStatus::valid:
      return "valid";
    case AddressStatus::duplicate:
      return "duplicate";
  }
  return "duplicate";
}

void OwnAddresses::schedule(const NeighborKey& key, Entry& entry, Instant at) {
  entry.due = at;
  due_.emplace(at, key);
}

void OwnAddresses::set_status(const NeighborKey& key, Entry& entry, AddressStatus status,
                              Actions& out) {
  if (entry.status == status) return;
  if (entry.status != AddressStatus::valid) --unsettled_;
  if (entry.status == AddressStatus::duplicate) --duplicates_;
  entry.status = status;
  if (status != AddressStatus::valid) ++unsettled_;
  if (status == AddressStatus::duplicate) ++duplicates_;
  out.changed.push_back(key.link);
}

void OwnAddresses::begin(const NeighborKey& key, Entry& entry, Instant now) {
  entry.probing = true;
  entry.sent = 0;
  schedule(key, entry, now + delay_of(key, entry.mac));
}

void OwnAddresses::erase(Entries::iterator at) {
  const Entry& entry = at->second;
  if (entry.status != AddressStatus::valid) --unsettled_;
  if (entry.status == AddressStatus::duplicate) --duplicates_;
  const auto [first, last] = by_place_.equal_range({entry.attachment, at->first.address});
  for (auto place = first; place != last; ++place) {
    if (place->second != at->first.link) continue;
    by_place_.erase(place);
    break;
  }
  entries_.erase(at);  // what is left of it in due_ finds nothing
}

void OwnAddresses::remove(LinkId link) {
  for (auto at = entries_.lower_bound({link, {}});
       at != entries_.end() && at->first.link == link;) {
    erase(at++);
  }
}

void OwnAddresses::set(const Link& link, Instant now, Actions& out) {
  for (auto at = entries_.lower_bound({link.id, {}});
       at != entries_.end() && at->first.link == link.id;) {
    const auto next = std::next(at);
    const bool stays = at->second.attachment == link.attachment && at->second.mac == link.mac &&
                       std::find(link.addresses.begin(), link.addresses.end(), at->first.address) !=
                           link.addresses.end();
    if (!stays) erase(at);
    at = next;
  }
  for (const LinkAddress& address : link.addresses) {
    const NeighborKey key{link.id, address};
    const auto [at, fresh] = entries_.try_emplace(key);
    Entry& entry = at->second;
    entry.announce = link.announce;
    if (fresh) {
      entry.attachment = link.attachment;
      entry.mac = link.mac;
      ++unsettled_;
      by_place_.emplace(std::pair(link.attachment, address), link.id);
      out.changed.push_back(link.id);
    }
    if (!link.detect) {
      set_status(key, entry, AddressStatus::valid, out);
      entry.probing = false;
      entry.due = Instant{};
    } else if (fresh || (entry.status == AddressStatus::duplicate && !entry.probing)) {
      begin(key, entry, now);
    }
  }
}

void OwnAddresses::claimed(AttachmentId attachment, const LinkAddress& address,
                           const MacAddress& other, Claim how, Instant now, Actions& out) {
  const auto [first, last] = by_place_.equal_range({attachment, address});
  // One of ours has the address for several tenants: their MACs are nobody else's.
  for (auto place = first; place != last; ++place) {
    if (entries_.at({place->second, address}).mac == other) return;
  }
  for (auto place = first; place != last; ++place) {
    const NeighborKey key{place->second, address};
    Entry& entry = entries_.at(key);
    const bool news = entry.other != other || now - entry.other_seen >= kRetryDuplicate;
    entry.other = other;
    ++conflicts_;
    // §5.4.4: before it is verified, an answer makes it a duplicate. RFC 5227 §2.4 for IPv4 and
    // for what comes later: it is ours, and that is said again, though not for ever.
    const bool gives_up = !address.is_v4() && entry.status != AddressStatus::valid;
    if (gives_up) {
      set_status(key, entry, AddressStatus::duplicate, out);
      entry.probing = false;
      schedule(key, entry, now + kRetryDuplicate);
    } else if (how == Claim::question ? entry.announce || std::next(first) == last
                                      : entry.announce && now - entry.defended >= kDefendInterval) {
      entry.defended = now;
      out.messages.push_back({key, Message::Kind::defence});
    }
    if (news) {
      entry.other_seen = now;
      out.news.push_back({key, entry.status, other, false});
    }
  }
}

// One probe, one announcement, or the verdict.
void OwnAddresses::step(const NeighborKey& key, Entry& entry, Instant now, Actions& out) {
  if (entry.status == AddressStatus::duplicate && !entry.probing) {
    entry.probing = true;
    entry.sent = 0;
  }
  if (entry.probing) {
    if (entry.sent < (key.address.is_v4() ? kProbes4 : kProbes6)) {
      ++entry.sent;
      out.messages.push_back({key, Message::Kind::probe});
      schedule(key, entry, now + kProbeInterval);
      return;
    }
    const bool taken_back = entry.status == AddressStatus::duplicate;
    set_status(key, entry, AddressStatus::valid, out);
    if (taken_back) {
      out.news.push_back({key, entry.status, MacAddress(), true});
      entry.other.reset();  // who comes again is news
    }
    entry.probing = false;
    entry.sent = 0;
  }
  if (!entry.announce || entry.sent == kAnnouncements) return;
  ++entry.sent;
  out.messages.push_back({key, Message::Kind::announcement});
  schedule(key, entry, now + kAnnounceInterval);
}

void OwnAddresses::tick(Instant now, Actions& out) {
  while (!due_.empty() && due_.begin()->first <= now) {
    const auto [at, key] = *due_.begin();
    due_.erase(due_.begin());
    const auto found = entries_.find(key);
    if (found == entries_.end() || found->second.due != at) continue;
    found->second.due = Instant{};
    step(key, found->second, now, out);
  }
}

const OwnAddresses::Entry* OwnAddresses::find(const NeighborKey& key) const {
  const auto at = entries_.find(key);
  return at == entries_.end() ? nullptr : &at->second;
}

}  // namespace hnv
