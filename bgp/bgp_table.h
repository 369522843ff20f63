// SPDX-License-Identifier: Apache-2.0
//
// A routing domain's BGP table as bgpd has it, a page at a time.
//
// bgpd can list a table only as a whole, in one go in which it does nothing else, and holds the
// answer: a million routes are 325 MB and 6 s. So only small tables are listed. The prefixes of a
// larger one are taken from whoever knows the routes that bgpd chose; what no path of it can be
// used is then not found, unless it is asked for by name. Paths are asked for prefix by prefix,
// which is 0.1 ms of bgpd's each, with others' work in between.
//
// What a peer sent before its policy bgpd does not keep (soft-reconfiguration would double its
// memory): `received` are the routes that the policy let in.
//
// Threads: any that may wait; see VtyReader.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "bgp/bgp_route.h"
#include "bgp/json_members.h"
#include "bgp/vty_reader.h"
#include "compartments/enum_names.h"

namespace hnv {

enum class BgpRouteType : uint8_t {
  all,
  best,        // that are used
  received,    // from peers
  advertised,  // what a peer was told
};
inline constexpr Names<BgpRouteType, 4> kBgpRouteTypeNames{
    {{"all", BgpRouteType::all},
     {"best", BgpRouteType::best},
     {"received", BgpRouteType::received},
     {"advertised", BgpRouteType::advertised}}};

struct BgpTableQuestion {
  std::string vrf{};  // bgpd's name of it
  BgpRouteType type = BgpRouteType::all;
  std::optional<IpAddress<Space::customer>> peer{};  // advertised needs one
  std::optional<Prefix<Space::customer>> within{};   // it, and what lies in it
  std::optional<Prefix<Space::customer>> after{};    // begin behind it; it need not exist
  size_t limit = 1'000;                              // prefixes
};

struct BgpTablePage {
  std::vector<BgpRoute> routes{};  // by prefix; of each prefix that is there every path that fits
  // Where the next page begins. A page may have fewer prefixes than were asked for, and more may
  // come.
  std::optional<Prefix<Space::customer>> next{};
  bool complete = true;  // else prefixes without a path that can be used may be missing
};

class BgpTable {
 public:
  using Visit = std::function<bool(const Prefix<Space::customer>&)>;
  // Calls visit for the prefixes behind `after` (absent: all) that bgpd may have, in their order
  // (IPv4 first, then by address, then the shorter one), while it says to go on.
  using Known =
      std::function<void(const std::optional<Prefix<Space::customer>>& after, const Visit& visit)>;

  static constexpr uint64_t kListed = 65'536;  // nodes of a table, or prefixes told, at most
  static constexpr size_t kLookedAt = 10'000;  // prefixes, for one page

  BgpTable(VtyReader& reader, Known known) : reader_(reader), known_(std::move(known)) {}

  // unavailable: bgpd is gone, does not know the VRF, or is too slow. limit_reached: the peer was
  // told too much to list it.
  [[nodiscard]] Result<BgpTablePage> page(const BgpTableQuestion& question);

 private:
  struct Found {
    std::vector<Prefix<Space::customer>> prefixes;
    bool more = false;
  };
  [[nodiscard]] Result<void> add_family(const BgpTableQuestion& question, Family family,
                                        BgpTablePage& page);
  [[nodiscard]] Result<void> add_advertised(const BgpTableQuestion& question, Family family,
                                            BgpTablePage& page);
  [[nodiscard]] Result<BgpTableSize> size_of(const BgpTableQuestion& question, Family family);
  [[nodiscard]] Result<void> read_members(const std::string& command, JsonMembers& members);
  [[nodiscard]] Result<Found> list(const BgpTableQuestion& question, Family family);
  [[nodiscard]] Found look_up(const BgpTableQuestion& question, Family family) const;
  [[nodiscard]] Result<std::vector<std::vector<BgpRoute>>> paths_of(
      const BgpTableQuestion& question, std::span<const Prefix<Space::customer>> prefixes);

  VtyReader& reader_;
  Known known_;
  size_t taken_ = 0;  // prefixes of the page
};

}  // namespace hnv
