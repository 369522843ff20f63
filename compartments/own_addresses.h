// SPDX-License-Identifier: Apache-2.0
//
// The gateway's own addresses on outside networks: whether somebody else has them too. IPv6 by
// RFC 4862 §5.4 in the optimistic way of RFC 4429 (used while it is asked, so that a restart costs
// no second), IPv4 by RFC 5227. A pure state machine: time is passed in, what is to be sent comes
// out as actions; the control thread owns it and sends.
//
//   optimistic ─nobody answers→ valid ─somebody else speaks for it→ valid, defended and reported
//       └─somebody has it→ duplicate: an IPv6 address is not used; asked again every minute, valid
//                                     once nobody answers. An IPv4 address is defended instead
//                                     (RFC 5227 §2.4 c: a router does not give its address up).
//
// Two tenants may have one address on a network that they share; they are two entries and never
// each other's duplicate, since the gateway does not hear itself.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string_view>
#include <vector>

#include "compartments/address.h"
#include "compartments/clock.h"
#include "compartments/ids.h"
#include "compartments/neighbors.h"

namespace hnv {

enum class AddressStatus : uint8_t { optimistic, valid, duplicate };
[[nodiscard]] std::string_view to_string(AddressStatus status);

class OwnAddresses {
 public:
  static constexpr unsigned kProbes6 = 1;  // RFC 4862 §5.1, DupAddrDetectTransmits
  static constexpr unsigned kProbes4 = 3;  // RFC 5227 §1.1, PROBE_NUM
  static constexpr unsigned kAnnouncements = 2;
  static constexpr Duration kProbeInterval = std::chrono::seconds(1);
  static constexpr Duration kMaxDelay = std::chrono::seconds(1);  // before the first probe
  static constexpr Duration kAnnounceInterval = std::chrono::seconds(2);
  static constexpr Duration kDefendInterval = std::chrono::seconds(10);
  static constexpr Duration kRetryDuplicate = std::chrono::seconds(60);

  struct Entry {
    AttachmentId attachment{};
    MacAddress mac;  // ours on that link
    AddressStatus status = AddressStatus::optimistic;
    std::optional<MacAddress> other{};  // who else spoke for it last
    Instant other_seen{};
    bool probing = true;  // a duplicate is asked for again from time to time
    unsigned sent = 0;    // probes, or announcements
    bool announce = true;
    Instant due{};  // zero: nothing to do
    Instant defended{};
  };

  struct Message {
    enum class Kind : uint8_t { probe, announcement, defence };
    NeighborKey key;
    Kind kind = Kind::probe;
  };
  struct News {  // for the log
    NeighborKey key;
    AddressStatus status = AddressStatus::valid;
    MacAddress other;         // zero when it became valid again
    bool taken_back = false;  // valid after it was a duplicate
  };
  struct Actions {
    std::vector<Message> messages;
    std::vector<News> news;
    // Links with an address whose status changed: what the dataplane and the next hops may use.
    std::vector<LinkId> changed;
  };

  struct Link {
    LinkId id{};
    AttachmentId attachment{};
    MacAddress mac;
    std::vector<LinkAddress> addresses;
    bool detect = true;  // false: valid at once, nobody is asked or told
    // Announcements would tell a shared network that one address has the MACs of several tenants.
    bool announce = true;
  };
  // What a link has from now on. Addresses that it had stay what they are, but a duplicate is asked
  // for anew; so does everything when the MAC or the attachment is another.
  void set(const Link& link, Instant now, Actions& out);
  void remove(LinkId link);

  // Whether somebody said that an address is its own, or asked whether it may have it; who asks is
  // always told, where one of us has the address.
  enum class Claim : uint8_t { statement, question };
  // Somebody with the MAC `other`, on that attachment.
  void claimed(AttachmentId attachment, const LinkAddress& address, const MacAddress& other,
               Claim how, Instant now, Actions& out);
  void tick(Instant now, Actions& out);

  // Not ours in any state: nullptr.
  [[nodiscard]] const Entry* find(const NeighborKey& key) const;
  [[nodiscard]] bool is_duplicate(const NeighborKey& key) const {
    const Entry* entry = find(key);
    return entry != nullptr && entry->status == AddressStatus::duplicate;
  }
  [[nodiscard]] bool is_optimistic(const NeighborKey& key) const {
    const Entry* entry = find(key);
    return entry != nullptr && entry->status == AddressStatus::optimistic;
  }
  [[nodiscard]] const std::map<NeighborKey, Entry>& entries() const { return entries_; }
  // Entries that are not valid: few, and none most of the time.
  [[nodiscard]] size_t unsettled() const { return unsettled_; }
  // IPv6 addresses that are not used; and claims by others, counted.
  [[nodiscard]] size_t duplicates() const { return duplicates_; }
  [[nodiscard]] uint64_t conflicts() const { return conflicts_; }

 private:
  using Entries = std::map<NeighborKey, Entry>;
  void begin(const NeighborKey& key, Entry& entry, Instant now);
  void schedule(const NeighborKey& key, Entry& entry, Instant at);
  void set_status(const NeighborKey& key, Entry& entry, AddressStatus status, Actions& out);
  void step(const NeighborKey& key, Entry& entry, Instant now, Actions& out);
  void erase(Entries::iterator at);

  Entries entries_;
  std::multimap<Instant, NeighborKey> due_;
  std::multimap<std::pair<AttachmentId, LinkAddress>, LinkId> by_place_;
  size_t unsettled_ = 0, duplicates_ = 0;
  uint64_t conflicts_ = 0;
};

}  // namespace hnv
