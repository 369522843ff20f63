// SPDX-License-Identifier: Apache-2.0
//
// The answers that operators look at every day, each as a text of its own. Pure.
#pragma once

#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

namespace hnv::ctl {

using Json = nlohmann::json;

// What shows the answer to GET path best; its shape decides where no view here is made for it.
using View = std::string (*)(const Json&);
[[nodiscard]] View view_of(std::string_view path);

[[nodiscard]] std::string view_ports(const Json& json);
[[nodiscard]] std::string view_drops(const Json& json);  // reasons at zero are left out
[[nodiscard]] std::string view_routes(const Json& json);
[[nodiscard]] std::string view_lookup(const Json& json);
[[nodiscard]] std::string view_neighbors(const Json& json);
[[nodiscard]] std::string view_statistics(const Json& json);         // of the appliance
[[nodiscard]] std::string view_domain_statistics(const Json& json);  // of a domain
[[nodiscard]] std::string view_records(const Json& json);
[[nodiscard]] std::string view_batch(const Json& json);
[[nodiscard]] std::string view_trace_event(const Json& event);

}  // namespace hnv::ctl
