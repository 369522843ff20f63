// SPDX-License-Identifier: Apache-2.0
//
// Every security association that the gateway knows, from one or more charons.
//
//   charon → plugin → SaChannel ──▶ SaDatabase ──▶ SaTable (immutable) ──▶ the ESP stations
//                                       ▲── SaState (what each carried) ◀──────┘
//
// Rules (they follow from what charon does, and from what a lost process must not break):
//
// - Of the outbound SAs of a tunnel the newest is used; when it is deleted, the one before it.
//   charon adds an outbound SA exactly when its side is to switch.
// - A key is never used again with sequence numbers that it had: an outbound SA that a gateway gets
//   replayed, and does not know, is *closed* until charon has rekeyed it. Inbound ones open.
// - When a charon connects, what it does not send again until `synced` is stale. Stale SAs go on
//   forwarding for a grace time, so that a new charon can make its tunnels first.
// - Hard limits of time and volume are enforced here, whether or not charon is alive.
// - Only the tunnels that were announced have SAs, and each only those of its charon.
//
// Threads: the control thread. An SaTable may be read by any.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

#include "compartments/clock.h"
#include "compartments/cow_array.h"
#include "compartments/result.h"
#include "vpn/sa.h"

namespace hnv {

using CharonId = uint16_t;  // 0: the shared one; others: dedicated ones

// What the dataplane reads. A value; copies share.
struct SaTable {
  uint64_t generation = 0;
  // By the index in the SPI (sa_protocol::index_of_spi). The reader compares the whole SPI and the
  // outer destination; null where there is none.
  CowArray<std::shared_ptr<const Sa>> inbound;
  // By if_id: the one to encrypt with; null while there is none.
  CowArray<std::shared_ptr<const Sa>> outbound;
};

// Names an SA as charon does: an outbound SPI is the peer's choice, unique only with its address.
struct SaName {
  SaDirection direction = SaDirection::inbound;
  uint32_t spi = 0;
  IpAddress<Space::external> destination;
  friend bool operator==(const SaName&, const SaName&) = default;
};

// Why charon should be told about an SA.
struct SaExpiry {
  enum class Kind : uint8_t { soft, hard };
  SaName name;
  Kind kind = Kind::soft;
};

// What one SA carried, for charon's counters.
struct SaReport {
  SaName name;
  SaUse use;
};

struct TunnelSas {
  enum class Outbound : uint8_t { none, open, closed };  // closed: until it is rekeyed
  unsigned inbound = 0;                                  // how many
  Outbound outbound = Outbound::none;
};

class SaDatabase {
 public:
  struct IndexRange {  // of inbound SPIs; those of two charons do not overlap
    uint32_t first = 0;
    uint32_t count = 0;
  };
  enum class Origin : uint8_t { fresh, replayed };
  enum class Added : uint8_t { open, closed };

  // `grace`: how long stale SAs go on forwarding after a charon has sent what it has.
  explicit SaDatabase(Duration grace = std::chrono::seconds(60)) : grace_(grace) {}

  // Which charons there are, and which tunnels may have SAs from which. Removing either removes its
  // SAs at once.
  void add_charon(CharonId charon, IndexRange range);
  void remove_charon(CharonId charon);
  void add_tunnel(uint32_t if_id, CharonId charon);
  void remove_tunnel(uint32_t if_id);

  // charon's plugin said hello: from here to `synced` it sends what it has.
  void connected(CharonId charon);
  void synced(CharonId charon, Instant now);

  // `hard` is how long the SA may live (zero: for ever). An error says why it was refused; the SA
  // must not be used then. A replayed outbound SA needs no keys.
  [[nodiscard]] Result<Added> add(CharonId charon, SaSpec spec, Origin origin, Duration hard,
                                  Instant now);
  // New endpoints; not found when there is no such SA.
  [[nodiscard]] Result<void> update(CharonId charon, const SaName& name, const SaEndpoint& source,
                                    const SaEndpoint& destination, SaEncapsulation encapsulation);
  // Whether it was there: charon also deletes what it never added.
  bool remove(CharonId charon, const SaName& name);
  void flush(CharonId charon);

  // Ends what has outlived its time. Cheap when nothing has.
  void tick(Instant now);
  // What an SA carried since it is there. Limits of volume are judged here.
  void count(uint64_t uid, const SaUse& use);
  // The same of every SA, from what its worker counted.
  void count_all();

  // The current table; `generation` grows with every change.
  [[nodiscard]] const SaTable& table() const { return table_; }
  [[nodiscard]] TunnelSas tunnel(uint32_t if_id) const;
  [[nodiscard]] const SaUse* use_of(uint64_t uid) const;
  [[nodiscard]] size_t size() const { return entries_.size(); }
  // Where a new charon should begin in its range, so that it meets no SA of the one before.
  [[nodiscard]] uint32_t next_index(CharonId charon) const;

  // Since they were last taken: limits reached, SAs of one charon that were used, and tunnels whose
  // TunnelSas may have changed.
  [[nodiscard]] std::vector<SaExpiry> take_expiries(CharonId charon);
  [[nodiscard]] std::vector<SaReport> take_reports(CharonId charon);
  [[nodiscard]] std::set<uint32_t> take_changed_tunnels();

 private:
  struct Key {
    SaDirection direction = SaDirection::inbound;
    uint32_t spi = 0;
    IpAddress<Space::external> destination;  // outbound only
    friend auto operator<=>(const Key&, const Key&) = default;
  };
  struct Entry {
    std::shared_ptr<const Sa> sa;
    CharonId charon = 0;
    bool closed = false;
    bool confirmed = true;  // by the charon that is connected
    bool soft_told = false;
    bool hard_told = false;        // volume: it forwards no more
    std::optional<Instant> until;  // hard lifetime
    std::optional<Instant> stale_until;
    SaUse use;
  };
  struct Tunnel {
    CharonId charon = 0;
    unsigned inbound = 0;
    std::vector<Key> outbound;  // oldest first
  };
  struct Charon {
    IndexRange range;
    uint32_t highest = 0;     // index last given out, from the range's begin
    std::set<uint64_t> used;  // uids to report
    std::vector<SaExpiry> expiries;
  };
  using Entries = std::map<Key, Entry>;

  [[nodiscard]] static Key key_of(const SaName& name);
  [[nodiscard]] static SaName name_of(const Sa& sa);
  [[nodiscard]] Result<void> check(CharonId charon, const SaSpec& spec, Origin origin) const;
  [[nodiscard]] Result<void> make_room(const SaSpec& spec);
  [[nodiscard]] std::optional<Added> keep_replayed(const Key& key, Entry& entry, Duration hard,
                                                   Instant now);
  void insert(const Key& key, Entry entry);
  Entries::iterator erase(Entries::iterator at);
  template <class If>
  void erase_if(If condition);
  void set_inbound(uint32_t spi, const std::shared_ptr<const Sa>& sa);
  void choose_outbound(uint32_t if_id);
  void close(Entries::iterator at);
  void note_deadline(std::optional<Instant> at);

  Duration grace_;
  uint64_t next_uid_ = 1;
  SaTable table_;
  std::map<CharonId, Charon> charons_;
  std::unordered_map<uint32_t, Tunnel> tunnels_;
  Entries entries_;
  std::unordered_map<uint64_t, Key> by_uid_;
  std::optional<Instant> next_deadline_;
  std::set<uint32_t> changed_tunnels_;
};

}  // namespace hnv
