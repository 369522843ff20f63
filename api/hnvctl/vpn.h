// SPDX-License-Identifier: Apache-2.0
//
// hnvctl vpn: IPSec connections as operators look at them.
#pragma once

#include <string>

#include "api/hnvctl/commands.h"

namespace hnv::ctl {

// Those of a domain; of every domain when it is empty.
void list_tunnels(Client& client, Output output, const std::string& domain);
void show_tunnel(Client& client, Output output, const std::string& domain, const std::string& name);
// connect, disconnect or rekey.
void act_on_tunnel(Client& client, const std::string& domain, const std::string& name,
                   const std::string& action);

// Why a tunnel is not up, and what to change.
void diagnose_tunnel(Client& client, Output output, const std::string& domain,
                     const std::string& name);
// What somebody wanted of IKE that belongs to no tunnel.
void list_ike_faults(Client& client, Output output);

[[nodiscard]] std::string view_tunnels(const Json& json);
[[nodiscard]] std::string view_tunnel(const Json& json);
[[nodiscard]] std::string view_doctor(const Json& json);
[[nodiscard]] std::string view_ike_faults(const Json& json);

}  // namespace hnv::ctl
