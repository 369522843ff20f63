// SPDX-License-Identifier: Apache-2.0
//
// hnvctl nat: sessions, mappings and pools as operators look at them.
#pragma once

#include <optional>
#include <string>

#include "api/hnvctl/commands.h"

namespace hnv::ctl {

// Which sessions: as the API's query words it. Addresses may be prefixes.
struct SessionFilter {
  std::string domain;
  std::optional<std::string> protocol, inside, outside, remote;
  std::optional<uint16_t> inside_port, outside_port, remote_port;
};

// Shows at most `limit` sessions and says on stderr when there are more.
void show_sessions(Client& client, Output output, const SessionFilter& filter, size_t limit);
// Ends what fits, or with `all` every session, and says how many those were.
void end_sessions(Client& client, Output output, const SessionFilter& filter, bool all);

[[nodiscard]] std::string view_sessions(const Json& json);
[[nodiscard]] std::string view_mappings(const Json& json);  // of a domain's NAT
[[nodiscard]] std::string view_pools(const Json& json);

}  // namespace hnv::ctl
