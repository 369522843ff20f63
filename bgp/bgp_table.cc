// SPDX-License-Identifier: Apache-2.0
#include "bgp/bgp_table.h"

#include <algorithm>

#include <fmt/format.h>

namespace hnv {
namespace {

using CaPrefix = Prefix<Space::customer>;

constexpr size_t kAskedAtOnce = 500;  // prefixes, between two looks whether they are enough
constexpr size_t kComplaint = 200;    // bytes of bgpd's that are shown

bool is_in(const CaPrefix& prefix, const std::optional<CaPrefix>& block) {
  return !block || (prefix.length() >= block->length() && block->contains(prefix.address()));
}

std::string table_of(const BgpTableQuestion& question, Family family) {
  return fmt::format("show bgp vrf {} {} unicast", question.vrf,
                     family == Family::ipv4 ? "ipv4" : "ipv6");
}

bool fits(const BgpTableQuestion& question, const BgpRoute& route) {
  switch (question.type) {
    case BgpRouteType::all:
    case BgpRouteType::advertised:
      return !question.peer || route.peer == question.peer;
    case BgpRouteType::best:
      return route.best && (!question.peer || route.peer == question.peer);
    case BgpRouteType::received:
      return question.peer ? route.peer == question.peer : route.peer.has_value();
  }
  return false;
}

// bgpd says what is missing in an answer of its own.
Result<void> check_code(uint8_t code, const std::string& text) {
  if (code == 0) return {};
  return fail(
      ErrorCode::unavailable,
      fmt::format("bgpd has no answer yet ({}): it may be starting, or the routing domain's "
                  "BGP is; try again later",
                  text.substr(0, kComplaint)));
}

}  // namespace

Result<void> BgpTable::read_members(const std::string& command, JsonMembers& members) {
  std::string begin;  // of the answer, which may be a complaint
  bool whole = true;
  // To its end, though there may be enough already: something else is asked behind it.
  const auto code = reader_.read(command, [&](std::string_view piece) {
    if (begin.size() < kComplaint) begin += piece.substr(0, kComplaint);
    whole = members.feed(piece);
    return whole;
  });
  if (!code) return tl::make_unexpected(code.error());
  if (!whole) return fail(ErrorCode::internal, "bgpd's answer has a part that is too long");
  return check_code(*code, begin);
}

Result<BgpTableSize> BgpTable::size_of(const BgpTableQuestion& question, Family family) {
  Result<BgpTableSize> out;
  const std::string command = table_of(question, family) + " summary json";
  const auto asked = reader_.ask({&command, 1}, [&](size_t, const VtyAnswer& answer) {
    if (auto good = check_code(answer.code, answer.text); !good) {
      out = tl::make_unexpected(good.error());
    } else {
      out = read_table_size(question.peer, answer.text);
    }
  });
  if (!asked) return tl::make_unexpected(asked.error());
  return out;
}

// Every prefix of the family's table behind `after`, from bgpd.
Result<BgpTable::Found> BgpTable::list(const BgpTableQuestion& question, Family family) {
  Found found;
  JsonMembers members("routes", [&](std::string_view name, std::string_view) {
    const auto prefix = CaPrefix::parse(name);
    if (!prefix || !is_in(*prefix, question.within)) return true;
    if (question.after && *prefix <= *question.after) return true;
    if (found.prefixes.size() == kLookedAt) {
      found.more = true;
    } else {
      found.prefixes.push_back(*prefix);
    }
    return true;
  });
  const auto begin = read_members(table_of(question, family) + " json", members);
  if (!begin) return tl::make_unexpected(begin.error());
  return found;
}

BgpTable::Found BgpTable::look_up(const BgpTableQuestion& question, Family family) const {
  Found found;
  std::optional<CaPrefix> after = question.after;
  const CaPrefix first = question.within.value_or(
      family == Family::ipv4 ? CaPrefix() : CaPrefix(Ip6<Space::customer>(), 0));
  if (!after || *after < first) {
    found.prefixes.push_back(first);  // though none of its paths may be usable
    after = first;
  }
  known_(after, [&](const CaPrefix& prefix) {
    const bool past =
        prefix.family() != family || (question.within && !is_in(prefix, question.within));
    if (past) return false;
    found.more = found.prefixes.size() == kLookedAt;
    if (!found.more) found.prefixes.push_back(prefix);
    return !found.more;
  });
  return found;
}

Result<std::vector<std::vector<BgpRoute>>> BgpTable::paths_of(const BgpTableQuestion& question,
                                                              std::span<const CaPrefix> prefixes) {
  std::vector<std::string> commands;
  commands.reserve(prefixes.size());
  for (const CaPrefix& prefix : prefixes) {
    commands.push_back(
        fmt::format("{} {} json", table_of(question, prefix.family()), prefix.to_string()));
  }
  std::vector<std::vector<BgpRoute>> out(prefixes.size());
  Result<void> good;
  const auto asked = reader_.ask(commands, [&](size_t i, const VtyAnswer& answer) {
    auto paths = read_bgp_paths(prefixes[i], answer.text);
    if (!paths) {
      good = tl::make_unexpected(paths.error());
      return;
    }
    std::copy_if(paths->begin(), paths->end(), std::back_inserter(out[i]),
                 [&](const BgpRoute& route) { return fits(question, route); });
  });
  if (!asked) return tl::make_unexpected(asked.error());
  if (!good) return tl::make_unexpected(good.error());
  return out;
}

Result<void> BgpTable::add_family(const BgpTableQuestion& question, Family family,
                                  BgpTablePage& page) {
  const auto size = size_of(question, family);
  if (!size) return tl::make_unexpected(size.error());
  Found found;
  if (size->nodes <= kListed) {
    auto listed = list(question, family);
    if (!listed) return tl::make_unexpected(listed.error());
    found = std::move(*listed);
  } else {
    found = look_up(question, family);
    page.complete = false;
  }
  const std::span<const CaPrefix> all(found.prefixes);
  for (size_t i = 0; i < all.size(); i += kAskedAtOnce) {
    const auto some = all.subspan(i, std::min(kAskedAtOnce, all.size() - i));
    auto paths = paths_of(question, some);
    if (!paths) return tl::make_unexpected(paths.error());
    for (size_t k = 0; k < some.size(); ++k) {
      if ((*paths)[k].empty()) continue;
      if (taken_ == question.limit) {
        page.next = page.routes.back().prefix;
        return {};
      }
      ++taken_;
      std::move((*paths)[k].begin(), (*paths)[k].end(), std::back_inserter(page.routes));
    }
  }
  if (found.more) page.next = all.back();
  return {};
}

Result<void> BgpTable::add_advertised(const BgpTableQuestion& question, Family family,
                                      BgpTablePage& page) {
  const auto size = size_of(question, family);
  if (!size) return tl::make_unexpected(size.error());
  if (size->told > kListed) {
    return fail(ErrorCode::limit_reached,
                fmt::format("the peer was told {} prefixes: more than {} cannot be listed; "
                            "\"type=best\" shows what there was to tell",
                            size->told, kListed),
                "type");
  }
  if (size->told == 0) return {};
  Result<void> good;
  JsonMembers members("advertisedRoutes", [&](std::string_view name, std::string_view value) {
    const auto prefix = CaPrefix::parse(name);
    if (!prefix || !is_in(*prefix, question.within) || page.next) return true;
    if (question.after && *prefix <= *question.after) return true;
    auto route = read_advertised(*prefix, value);
    if (!route) {
      good = tl::make_unexpected(route.error());
      return true;
    }
    if (taken_ == question.limit) {
      page.next = page.routes.back().prefix;
      return true;
    }
    ++taken_;
    page.routes.push_back(std::move(*route));
    return true;
  });
  const auto read =
      read_members(fmt::format("{} neighbors {} advertised-routes json", table_of(question, family),
                               question.peer->to_string()),
                   members);
  return read ? good : read;
}

Result<BgpTablePage> BgpTable::page(const BgpTableQuestion& question) {
  BgpTablePage out;
  taken_ = 0;
  for (const Family family : {Family::ipv4, Family::ipv6}) {
    if (question.within && question.within->family() != family) continue;
    if (question.after && question.after->family() > family) continue;
    auto done = question.type == BgpRouteType::advertised ? add_advertised(question, family, out)
                                                          : add_family(question, family, out);
    if (!done) return tl::make_unexpected(done.error());
    if (out.next) break;
  }
  return out;
}

}  // namespace hnv
